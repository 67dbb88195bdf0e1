"""The projection of descriptors, and what the reference phases look like in it.

The projection is a function of the element set and the settings alone, never of the candidates, so that environments of
all candidates of a screen lie in one space and adding one recomputes nothing. What each phase looks like in it is
fitted to disordered snapshots (`aiida_haml.analysis.environments.modes`). The electrolyte alone is known by candidate
as well: `with_own_host` adds the candidate's own cell as built, doped and disordered as it is.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from ase import Atoms
from ase.data import atomic_numbers, chemical_symbols
from numpy.typing import NDArray
from scipy.linalg import eigh
from threadpoolctl import threadpool_limits

from aiida_haml.analysis.balance.states import ION, METAL, BondStates
from aiida_haml.analysis.balance.states import PRODUCT as REDUCED
from aiida_haml.analysis.chemistry.bonds import BondTracker
from aiida_haml.analysis.environments.modes import Float32Array, Modes, fit_modes
from aiida_haml.analysis.environments.samples import MIXED, OUTSIDE, Samples, draw_samples
from aiida_haml.analysis.environments.soap import describe_atoms, soap
from aiida_haml.analysis.references.disorder import heated, relaxed_at_random, snapshot, strained
from aiida_haml.analysis.references.phases import CRYSTAL, ELECTROLYTE, PRODUCT, ReferencePhase, reference_phases
from aiida_haml.analysis.settings import DescriptionSettings
from aiida_haml.frames import Frames

#: Raise when the phases, the disorder or the fit change: it enters the key that marks comparable results.
BASIS_VERSION = 5
#: Snapshots of a candidate's own cell for each temperature: as many as give so many environments, within bounds.
OWN_ENVIRONMENTS, OWN_SNAPSHOTS = 2400, (3, 12)
#: Snapshots and environments of each species of each phase that stand for it among the clusters.
SHOWN_SNAPSHOTS, SHOWN_ENVIRONMENTS = 3, 60
#: Environments of each phase that the principal components are fitted on.
MAX_POINTS = 600
#: Principal components that phases are told apart in; the others hold little but noise.
PHASE_COMPONENTS = 24
#: Modes of a species in what is no crystal; in crystals there is one for each site.
DISORDERED_MODES = 6


@dataclass(frozen=True, eq=False)
class SpeciesBasis:
    """Projection of the environments of one central species, and the phases in it.

    Attributes
    ----------
    mean : (D,) array
    components : (D, C) array
        Columns are principal components; zero columns where fewer exist.
    modes : Modes
    host_rows : (M, C') array
        Snapshots of the electrolyte that its modes are fitted to.
    calibration : tuple of (M, C') arrays
        Snapshots of each phase and, last, of none, that the modes are calibrated on.
    """

    mean: Float32Array
    components: Float32Array
    modes: Modes
    host_rows: Float32Array
    calibration: tuple[Float32Array, ...]

    def project(self, descriptors: Float32Array) -> Float32Array:
        """Return the (M, C) coordinates of (M, D) descriptors of unit length."""
        return np.asarray(descriptors @ self.components - self.mean @ self.components, dtype=np.float32)


@dataclass(frozen=True, eq=False)
class Basis:
    """Everything that turns atoms into comparable environments.

    Attributes
    ----------
    key : str
        Environments are comparable only if made with the same key.
    settings : DescriptionSettings
    phases : tuple of ReferencePhase
    species : dict
        Atomic number -> `SpeciesBasis`.
    """

    key: str
    settings: DescriptionSettings
    phases: tuple[ReferencePhase, ...]
    species: dict[int, SpeciesBasis]

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the phases."""
        return tuple(phase.name for phase in self.phases)

    def having(self, *roles: str) -> NDArray[np.bool_]:
        """Return (P,) which phases have one of the roles."""
        return np.array([phase.role in roles for phase in self.phases], dtype=bool)


def basis_key(settings: DescriptionSettings, phases: Sequence[ReferencePhase]) -> str:
    """Return a hash of what decides the projection and the phase answers: the settings and the phases."""
    names = ("elements", "r_cut", "n_max", "l_max", "sigma", "n_components", "reference_seed",
             "reference_temperatures_K")  # fmt: skip
    chosen = {name: settings.to_dict()[name] for name in names} | {"version": BASIS_VERSION}
    digest = hashlib.sha256(json.dumps(chosen, sort_keys=True).encode())
    for phase in phases:
        digest.update(f"{phase.name} {phase.role} {phase.form}".encode())
        for atoms in phase.cells:
            digest.update(atoms.numbers.astype("<i8").tobytes())
            # Rounded, so that the last digits of another machine's arithmetic do not matter; + 0.0 unites -0 and 0.
            for array in (atoms.positions, atoms.cell.array):
                digest.update((np.round(array, 4) + 0.0).astype("<f8").tobytes())
    return digest.hexdigest()[:16]


@lru_cache(maxsize=4)
def make_basis(settings: DescriptionSettings) -> Basis:
    """Fit the basis of an element set on disordered reference phases and mixtures.

    Parameters
    ----------
    settings : DescriptionSettings

    Returns
    -------
    Basis
        The same for the same settings. Some seconds for seven elements; kept for the life of the process.

    Raises
    ------
    ValueError
        If an element is unknown.
    """
    unknown = sorted(set(settings.elements) - set(chemical_symbols[1:]))
    if unknown:
        raise ValueError(f"DescriptionSettings.elements holds {unknown}, which are no chemical symbols; correct them.")
    phases = reference_phases(settings.elements, settings.host, settings.references)
    numbers = [atomic_numbers[e] for e in settings.elements]
    with threadpool_limits(1):  # one order of summation on every machine; and threads fight for these small sizes
        samples = draw_samples(phases, settings)
        species = {z: _fit_species(samples, phases, z, settings.n_components) for z in numbers}
    return Basis(basis_key(settings, phases), settings, phases, species)


def reference_environments(basis: Basis) -> dict[str, np.ndarray]:
    """Return environments of the reference phases, which belong to the clusters that candidates are compared by.

    Returns
    -------
    dict
        ``reference_projected`` (M, C), ``reference_central`` (M,) and ``reference_phase`` (M,), an even number of each
        species of each phase.
    """
    rng = np.random.default_rng([basis.settings.reference_seed, 5])
    descriptor = soap(basis.settings)
    temperature = min(basis.settings.reference_temperatures_K)
    rows: list[tuple[Float32Array, int, int]] = []
    for k, phase in enumerate(basis.phases):
        cells = [snapshot(phase, temperature, basis.settings.elements, rng) for _ in range(SHOWN_SNAPSHOTS)]
        described = [(atoms.numbers, describe_atoms(descriptor, atoms)) for atoms in cells]
        typical = [is_typical(phase, atoms) for atoms in cells]
        for z in sorted(set(cells[0].numbers.tolist())):
            of_z = [x[typ & (numbers == z)] for typ, (numbers, x) in zip(typical, described, strict=True)]
            own = _thin(np.concatenate(of_z), SHOWN_ENVIRONMENTS)
            if len(own):
                rows.append((basis.species[z].project(own), z, k))
    return {
        "reference_projected": np.concatenate([x for x, _, _ in rows]),
        "reference_central": np.repeat([z for _, z, _ in rows], [len(x) for x, _, _ in rows]).astype(np.int16),
        "reference_phase": np.repeat([k for _, _, k in rows], [len(x) for x, _, _ in rows]).astype(np.int16),
    }


def is_typical(phase: ReferencePhase, atoms: Atoms) -> NDArray[np.bool_]:
    """Return (N,) which atoms are what their phase is: in a product, those that are bound to lithium alone.

    Quenched cells hold P-P dimers and rests of PS4 as well, which are on their way to a product.
    """
    if phase.role != PRODUCT:
        return np.ones(len(atoms), dtype=bool)
    frames, states = Frames.from_ase([atoms]), BondStates(atoms.numbers)
    for block in BondTracker(atoms.numbers).follow(frames):
        states.add(block, frames)
    return np.isin(states.states()[0], (METAL, ION, REDUCED))


def with_own_host(basis: Basis, built: Atoms, electrolyte: NDArray[np.bool_]) -> Basis:
    """Return the basis with the electrolyte of one candidate among the snapshots of its host.

    Parameters
    ----------
    basis : Basis
    built : Atoms
        The candidate's cell as built: doped, disordered and cut as it is, and unreacted.
    electrolyte : (N,) bool array
        Its atoms that are the electrolyte's.

    Returns
    -------
    Basis
        With the same projection and key; unchanged where no host is among the phases.
    """
    hosts = np.flatnonzero(basis.having(ELECTROLYTE))
    if not len(hosts) or not electrolyte.any():
        return basis
    rng = np.random.default_rng([basis.settings.reference_seed, 3])
    count = int(np.clip(-(-OWN_ENVIRONMENTS // electrolyte.sum()), *OWN_SNAPSHOTS))
    descriptor = soap(basis.settings)
    rows: dict[int, list[Float32Array]] = {z: [] for z in basis.species}
    with threadpool_limits(1):
        for temperature in basis.settings.reference_temperatures_K:
            for k in range(count):
                atoms = relaxed_at_random(built, rng, electrolyte) if k % 4 else built
                atoms = strained(heated(atoms, temperature, ~electrolyte, rng), rng)
                for z in np.unique(built.numbers[electrolyte]).tolist():
                    chosen = np.flatnonzero(electrolyte & (built.numbers == z))
                    rows[z].append(basis.species[z].project(describe_atoms(descriptor, atoms, chosen)))
        species = {
            z: _with_host(own, int(hosts[0]), np.concatenate(rows[z])) if rows[z] else own
            for z, own in basis.species.items()
        }
    return replace(basis, species=species)


def _with_host(own: SpeciesBasis, host: int, rows: Float32Array) -> SpeciesBasis:
    size = len(own.modes.whitening)
    fitted, held_out = rows[::2, :size], rows[1::2, :size]
    modes = own.modes.with_phase(host, np.concatenate([own.host_rows, fitted]), 2 * DISORDERED_MODES)
    calibration = tuple(np.concatenate([x, held_out]) if p == host else x for p, x in enumerate(own.calibration))
    return replace(own, modes=modes.calibrated(calibration), calibration=calibration)


def _fit_species(samples: Samples, phases: Sequence[ReferencePhase], central: int, n_components: int) -> SpeciesBasis:
    everything = [samples.take("fit", p, central) for p in range(len(phases))]
    mixed = samples.take("fit", MIXED, central)
    mean, components = _principal_components(
        np.concatenate([*(_thin(x, MAX_POINTS) for x in everything), mixed]), n_components
    )
    size = min(PHASE_COMPONENTS, n_components)
    leading = components[:, :size]
    rows = [np.asarray((x - mean) @ leading, dtype=np.float32) for x in everything]
    modes = fit_modes(rows, [_n_modes(phase, central) for phase in phases], size)
    held_out = [samples.take("calibrate", p, central) for p in [*range(len(phases)), OUTSIDE]]
    calibration = tuple(np.asarray((x - mean) @ leading, dtype=np.float32) for x in held_out)
    nothing = np.empty((0, size), dtype=np.float32)
    host = next((rows[p] for p, phase in enumerate(phases) if phase.role == ELECTROLYTE), nothing)
    return SpeciesBasis(mean, components, modes.calibrated(calibration), host, calibration)


def _n_modes(phase: ReferencePhase, central: int) -> int:
    if phase.form != CRYSTAL or phase.role == ELECTROLYTE:
        return DISORDERED_MODES
    kinds = phase.cells[0].arrays.get("spacegroup_kinds")
    return 1 if kinds is None else len(set(kinds[phase.cells[0].numbers == central].tolist()))


def _thin(rows: Float32Array, limit: int) -> Float32Array:
    """Return at most `limit` rows, evenly spread."""
    return rows if len(rows) <= limit else rows[np.linspace(0, len(rows) - 1, limit).astype(int)]


def _principal_components(samples: Float32Array, count: int) -> tuple[Float32Array, Float32Array]:
    """Return mean and leading components, each with its largest entry positive so that signs are defined."""
    size = samples.shape[1]
    mean = samples.mean(axis=0, dtype=np.float64)
    centred = samples - mean
    kept = min(count, size)
    _, vectors = eigh(centred.T @ centred, subset_by_index=[size - kept, size - 1])
    vectors = vectors[:, ::-1]
    vectors = vectors * np.sign(vectors[np.abs(vectors).argmax(axis=0), np.arange(kept)])
    components = np.zeros((size, count), dtype=np.float32)
    components[:, :kept] = vectors
    return mean.astype(np.float32), components
