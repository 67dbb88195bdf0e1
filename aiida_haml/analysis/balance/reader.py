"""From bonds and environments of frames to the balance: one reader for each candidate, made from its cell as built."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from ase import Atoms

from aiida_haml.analysis.balance.cell import built_cell
from aiida_haml.analysis.balance.inventory import inventory
from aiida_haml.analysis.balance.states import HOST, METAL, BondStates, Ladder, anion_bonds
from aiida_haml.analysis.chemistry.bonds import LITHIUM, BondTracker
from aiida_haml.analysis.chemistry.charges import FormalCharges
from aiida_haml.analysis.chemistry.units import Units
from aiida_haml.analysis.environments.basis import Basis, with_own_host
from aiida_haml.analysis.environments.stream import Environments, describe_frames
from aiida_haml.analysis.references.disorder import heated
from aiida_haml.analysis.references.phases import ELECTROLYTE
from aiida_haml.arrays import FloatArray
from aiida_haml.frames import Frames

#: Copies of the cell as built, shaken as at `BASELINE_K`, that say what an unreacted cell reads, and how it scatters.
BASELINE_FRAMES = 12
BASELINE_K = 300.0
#: Share of the thermal displacements within a molecule: its bonds are stiff, and vibrate by 0.03 Angstrom at 300 K.
WITHIN_MOLECULE = 0.3


class BalanceReader:
    """Reads the balance of one candidate.

    Parameters
    ----------
    built : Frames
        Its first frame is the cell as built.
    basis : Basis
        Of all candidates.

    Attributes
    ----------
    built : BuiltCell
    basis : Basis
        With the candidate's own electrolyte among the snapshots of its host.
    units : Units
    constants : dict
        What does not change along time: ``faces`` (F,), ``area`` (1,) Angstrom^2, ``normal`` (3,) unit vector,
        ``electrolyte_length`` and ``metal_length`` (1,) as built, Angstrom; ``n_framework`` and ``n_metal`` (1,)
        atoms as built; ``n_units`` (1,) PS4 units or molecules (atoms, where there are none); ``reservoir`` (1,);
        ``baseline_metal`` (2,) mean and standard deviation of the metal's atoms, and ``baseline_consumed`` (2,) of
        the reacted share of the electrolyte, of the cell as built, shaken.
    """

    def __init__(self, built: Frames, basis: Basis) -> None:
        settings = basis.settings
        self.built = built_cell(built, anion_bonds(built, settings.hysteresis), settings.normal)
        self.units = Units(built, settings.hysteresis)
        self.ladder = Ladder(built, self.units)
        atoms = built[0].to_ase()[0]
        self.basis = with_own_host(basis, atoms, ~self.built.metal)
        self.elements = tuple(sorted(set(settings.elements) - {"Li"}))
        self._host = next((i for i, p in enumerate(basis.phases) if p.role == ELECTROLYTE), -1)
        self.constants = self._geometry() | self._baseline()

    def read(
        self, frames: Frames, start: Frames, bonds: Mapping[str, np.ndarray], environments: Environments
    ) -> tuple[dict[str, np.ndarray], Environments]:
        """Return the balance of frames, and their environments with states and with phases that agree with them.

        Parameters
        ----------
        frames : Frames
            F frames.
        start : Frames
            The start of the trajectory: displacements before it are taken to be the shortest there are.
        bonds : mapping
            ``atom_states``, ``atom_charges`` and ``broken_units`` of the same frames.
        environments : Environments
            Of the same frames.
        """
        shape = (len(frames), frames.n_atoms)
        thiophosphate = environments.thiophosphate.reshape(shape)
        states = self.ladder.states(bonds["atom_states"], bonds["broken_units"], thiophosphate)
        # An atom that has reacted is not the electrolyte's whatever it resembles, and one that has not is.
        phase = np.where(states == HOST, self._host, environments.reacted_phase.reshape(shape))
        phase = np.where(frames.numbers == LITHIUM, environments.phase.reshape(shape), phase).astype(np.int16)
        counted = inventory(
            frames,
            self._risen(frames, start),
            states,
            np.where(states == METAL, 0, bonds["atom_charges"]),
            phase,
            len(self.basis.phases),
            self.built,
            self.ladder,
            self.elements,
        )
        face = counted.pop("atom_face").astype(np.int8)
        named = replace(environments, state=states.ravel(), phase=phase.ravel(), face=face.ravel())
        return counted, named

    def _risen(self, frames: Frames, start: Frames) -> FloatArray:
        """Return (F, N) changes of the scaled coordinate along the normal since the cell was built.

        From the cell as built to the start of the trajectory the shortest way is taken, from there on atoms are
        followed.
        """
        normal, built = self.built.normal, self.built.frame
        first = _scaled(start, normal)[:1] - _scaled(built, normal)
        first -= np.round(first) * built.pbc[normal]
        return np.asarray(_scaled(frames, normal) - _scaled(start, normal)[:1] + first)

    def _geometry(self) -> dict[str, np.ndarray]:
        built, cell = self.built, self.built.frame.cells[0]
        across = np.cross(cell[(built.normal + 1) % 3], cell[(built.normal + 2) % 3])
        return {
            "faces": np.array(built.faces),
            "area": np.array([built.area]),
            "normal": across / np.linalg.norm(across),
            "electrolyte_length": np.array([built.electrolyte_length]),
            "metal_length": np.array([built.metal_length]),
            "n_framework": np.array([built.framework.sum()]),
            "n_metal": np.array([built.metal.sum()]),
            "n_units": np.array([self.units.several.sum() or built.framework.sum()]),
            "reservoir": np.array([built.reservoir]),
        }

    def _baseline(self) -> dict[str, np.ndarray]:
        """Read shaken copies of the cell as built: what they show is not reaction."""
        rng = np.random.default_rng([self.basis.settings.reference_seed, 4])
        atoms = self.built.frame.to_ase()[0]
        atoms.info.clear()  # snapshots have no time
        frames = Frames.from_ase([self._shaken(atoms, rng) for _ in range(BASELINE_FRAMES)])
        bonds = self._bonds(frames)
        counted, _ = self.read(frames, self.built.frame, bonds, describe_frames(frames, self.basis).environments)
        return {
            f"baseline_{name}": np.array([values.mean(), values.std()])
            for name, values in (
                ("metal", counted["metal"]),
                ("consumed", counted["consumed"].sum(axis=1)),
                ("thickness", counted["thickness"].mean(axis=1)),
            )
        }

    def _shaken(self, atoms: Atoms, rng: np.random.Generator) -> Atoms:
        """Return the cell with thermal displacements; molecules move as a whole, and little within."""
        hot = heated(atoms, BASELINE_K, self.built.metal, rng)
        if self.units.has_molecules:
            unit = self.units.unit
            moved = hot.positions - atoms.positions
            whole = np.stack([np.bincount(unit, column) for column in moved.T], axis=1) / np.bincount(unit)[:, None]
            hot.positions = atoms.positions + whole[unit] + WITHIN_MOLECULE * (moved - whole[unit])
        return hot

    def _bonds(self, frames: Frames) -> dict[str, np.ndarray]:
        """Return states, charges and broken units of frames that have nothing to do with each other."""
        hysteresis = self.basis.settings.hysteresis
        states, units = BondStates(frames.numbers), Units(self.built.frame, hysteresis)
        charges = FormalCharges(frames.numbers)
        for f in range(len(frames)):
            for block in BondTracker(frames.numbers, hysteresis).follow(frames[f]):
                states.add(block, frames[f])
                charges.add(block)
                units.add(block)
        return {
            "atom_states": states.states(),
            "atom_charges": charges.charges(),
            "broken_units": units.broken(),
        }


def _scaled(frames: Frames, normal: int) -> FloatArray:
    """Return (F, N) scaled coordinates along one cell vector."""
    return np.asarray(np.einsum("fni,fi->fn", frames.positions, np.linalg.inv(frames.cells)[:, :, normal]))
