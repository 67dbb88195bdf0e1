"""Frames: a run of atomic configurations of one system, as every pure part of the package sees them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np
from ase import Atoms, units
from ase.calculators.singlepoint import SinglePointCalculator
from ase.data import atomic_masses, chemical_symbols
from numpy.typing import NDArray

from aiida_haml.arrays import FloatArray
from aiida_haml.precision import load_exact

#: Arrays whose first axis is the frame; the rest describe the system as a whole.
PER_FRAME = ("positions", "cells", "times", "velocities", "energies", "forces", "stresses", "deviations")
#: Frames less than this apart (fs, Angstrom) are one that was written twice; a relative tolerance grows with the time.
SAME_MOMENT, SAME_PLACE = 1e-3, 1e-6


@dataclass(frozen=True, eq=False)
class Frames:
    """One or more configurations of the same atoms.

    Parameters
    ----------
    numbers : (N,) int array
        Atomic numbers; the same for all frames.
    positions : (F, N, 3) array
        Angstrom, not wrapped.
    cells : (F, 3, 3) array
        Cell vectors as rows, Angstrom.
    pbc : (3,) bool array
    times : (F,) array, optional
        Femtoseconds on the time line of the hybrid trajectory.
    velocities : (F, N, 3) array, optional
        Angstrom / fs.
    energies : (F,) array, optional
        Potential energy, eV.
    forces : (F, N, 3) array, optional
        eV / Angstrom.
    stresses : (F, 6) array, optional
        ASE's sign and Voigt order (xx, yy, zz, yz, xz, xy), without the kinetic part, eV / Angstrom^3.
    deviations : (F,) array, optional
        Largest per-atom deviation of a committee's forces in each frame, eV / Angstrom; NaN where not measured.

    Raises
    ------
    ValueError
        If an array's shape does not fit, or a number that must be finite is not.
    """

    numbers: NDArray[np.int64]
    positions: FloatArray
    cells: FloatArray
    pbc: NDArray[np.bool_]
    times: FloatArray | None = None
    velocities: FloatArray | None = None
    energies: FloatArray | None = None
    forces: FloatArray | None = None
    stresses: FloatArray | None = None
    deviations: FloatArray | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "numbers", np.asarray(self.numbers, dtype=np.int64))
        object.__setattr__(self, "pbc", np.broadcast_to(np.asarray(self.pbc, dtype=bool), (3,)).copy())
        for name in PER_FRAME:
            value = getattr(self, name)
            if value is not None:
                object.__setattr__(self, name, np.asarray(value, dtype=np.float64))
        self._check()

    def _check(self) -> None:
        n_frames, n_atoms = len(self.positions), len(self.numbers)
        shapes = {
            "positions": (n_frames, n_atoms, 3), "cells": (n_frames, 3, 3), "times": (n_frames,),
            "velocities": (n_frames, n_atoms, 3), "energies": (n_frames,), "forces": (n_frames, n_atoms, 3),
            "stresses": (n_frames, 6), "deviations": (n_frames,),
        }  # fmt: skip
        if n_frames == 0 or n_atoms == 0:
            raise ValueError(f"frames need at least one frame and one atom, not {n_frames} and {n_atoms}")
        if self.numbers.min() < 1 or self.numbers.max() >= len(chemical_symbols):
            raise ValueError(f"unknown atomic numbers in {sorted(set(self.numbers.tolist()))}")
        for name, array in self.arrays().items():
            if name not in shapes:
                continue
            if array.shape != shapes[name]:
                raise ValueError(f"{name} has shape {array.shape}; expected {shapes[name]}")
            if name != "deviations" and not np.isfinite(array).all():
                raise ValueError(f"{name} holds NaN or infinite values")
        if self.times is not None and np.any(np.diff(self.times) <= 0):
            raise ValueError("times must increase from frame to frame")

    # -- views ---------------------------------------------------------------------------------------------

    def __len__(self) -> int:
        return len(self.positions)

    def __getitem__(self, index: int | slice | NDArray[np.int64]) -> Frames:
        """Return the selected frames; an integer gives a run of one."""
        if isinstance(index, (int, np.integer)):
            i = int(index) % len(self) if -len(self) <= index < len(self) else None
            if i is None:
                raise IndexError(f"frame {index} of {len(self)}")
            index = slice(i, i + 1)
        chosen = {n: getattr(self, n)[index] for n in PER_FRAME if getattr(self, n) is not None}
        return replace(self, **chosen)

    def __iter__(self) -> Iterator[Frames]:
        return (self[i] for i in range(len(self)))

    def arrays(self) -> dict[str, np.ndarray]:
        """Return the arrays that are present, by name."""
        return {f.name: v for f in fields(self) if (v := getattr(self, f.name)) is not None}

    @property
    def n_atoms(self) -> int:
        return len(self.numbers)

    @property
    def symbols(self) -> list[str]:
        return [chemical_symbols[z] for z in self.numbers]

    @property
    def elements(self) -> list[str]:
        """Chemical symbols present, in alphabetical order."""
        return sorted(set(self.symbols))

    @property
    def masses(self) -> FloatArray:
        """(N,) standard atomic masses, amu."""
        return np.asarray(atomic_masses[self.numbers])

    def temperatures(self) -> FloatArray:
        """Return the (F,) kinetic temperature in K, with 3N - 3 degrees of freedom.

        Raises
        ------
        ValueError
            If the frames have no velocities.
        """
        if self.velocities is None:
            raise ValueError("frames without velocities have no temperature")
        return np.asarray(2 * self.kinetic_energies().sum(axis=1) / (max(3 * self.n_atoms - 3, 1) * units.kB))

    def pressures(self) -> FloatArray:
        """Return the (F,) pressure in GPa, positive under compression; where there are velocities, with the motion's.

        Raises
        ------
        ValueError
            If the frames have no stresses.
        """
        if self.stresses is None:
            raise ValueError("frames without stresses have no pressure")
        pressure = -self.stresses[:, :3].mean(axis=1)
        if self.velocities is not None:
            pressure = pressure + 2 * self.kinetic_energies().sum(axis=1) / (3 * np.abs(np.linalg.det(self.cells)))
        return np.asarray(pressure / units.GPa)

    def kinetic_energies(self) -> FloatArray:
        """Return the (F, N) kinetic energy of each atom in eV, of frames that have velocities."""
        assert self.velocities is not None
        return np.asarray(0.5 * self.masses * np.square(self.velocities / units.fs).sum(axis=2))

    # -- other forms ---------------------------------------------------------------------------------------

    @classmethod
    def from_ase(cls, images: Atoms | Sequence[Atoms]) -> Frames:
        """Take frames from ASE, with velocities (momenta), time (``info['time']``, fs) and results if all have them.

        Raises
        ------
        ValueError
            If the images do not hold the same atoms in the same order.
        """
        images = [images] if isinstance(images, Atoms) else list(images)
        if not images:
            raise ValueError("no frames given")
        first = images[0]
        for i, atoms in enumerate(images):
            if not np.array_equal(atoms.numbers, first.numbers) or not np.array_equal(atoms.pbc, first.pbc):
                raise ValueError(f"frame {i} holds other atoms or boundary conditions than frame 0")
        times = [a.info.get("time") for a in images]
        moving = all(a.has("momenta") for a in images)
        return cls(
            numbers=first.numbers,
            positions=np.array([a.positions for a in images]),
            cells=np.array([a.cell.array for a in images]),
            pbc=first.pbc,
            times=np.array(times, dtype=float) if None not in times else None,
            velocities=np.array([a.get_velocities() for a in images]) * units.fs if moving else None,
            energies=_results(images, "energy"),
            forces=_results(images, "forces"),
            stresses=_results(images, "stress"),
        )

    def to_ase(self) -> list[Atoms]:
        """Return one Atoms object a frame, results in a SinglePointCalculator, time (fs) in ``info``."""
        images = []
        for i in range(len(self)):
            atoms = Atoms(self.numbers, self.positions[i], cell=self.cells[i], pbc=self.pbc)
            if self.velocities is not None:
                atoms.set_velocities(self.velocities[i] / units.fs)
            if self.times is not None:
                atoms.info["time"] = float(self.times[i])
            results: dict[str, object] = {}
            if self.energies is not None:
                results["energy"] = float(self.energies[i])
            if self.forces is not None:
                results["forces"] = self.forces[i].copy()
            if self.stresses is not None:
                results["stress"] = self.stresses[i].copy()
            if results:
                atoms.calc = SinglePointCalculator(atoms, **results)
            images.append(atoms)
        return images

    def save(self, folder: Path | str) -> None:
        """Write each array as ``folder/NAME.npy``; `load` reads it back."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        for name, array in self.arrays().items():
            np.save(folder / f"{name}.npy", array, allow_pickle=False)

    @classmethod
    def load(cls, folder: Path | str) -> Frames:
        """Read what `save` wrote, or what a frames node keeps in its repository.

        Raises
        ------
        FileNotFoundError
            If the folder lacks one of the arrays that every run of frames has.
        """
        needed = {"numbers", "positions", "cells", "pbc"}
        names = [f.name for f in fields(cls) if f.name in needed or (Path(folder) / f"{f.name}.npy").exists()]
        return cls(**{name: load_exact(Path(folder), name) for name in names})


def _results(images: Iterable[Atoms], name: str) -> FloatArray | None:
    values = [a.calc.results.get(name) if a.calc is not None else None for a in images]
    return None if any(v is None for v in values) else np.array(values, dtype=float)


def concatenate(parts: Sequence[Frames]) -> Frames:
    """Join runs of the same atoms end to end, dropping a first frame that repeats the last one before it.

    Raises
    ------
    ValueError
        If the parts differ in their atoms, or none is given.
    """
    if not parts:
        raise ValueError("no frames given")
    kept = [parts[0]]
    for part in parts[1:]:
        if not np.array_equal(part.numbers, parts[0].numbers):
            raise ValueError("cannot join frames of different atoms")
        if not _repeats(part, kept[-1]):
            kept.append(part)
        elif len(part) > 1:
            kept.append(part[1:])
    present = [n for n in PER_FRAME if all(getattr(p, n) is not None for p in kept)]
    joined = {n: np.concatenate([getattr(p, n) for p in kept]) for n in present}
    return Frames(numbers=parts[0].numbers, pbc=parts[0].pbc, **joined)


def _repeats(part: Frames, previous: Frames) -> bool:
    """Whether a run begins with the frame that the one before it ended with; a relaxation has no times to tell by."""
    if part.times is not None and previous.times is not None:
        return bool(abs(part.times[0] - previous.times[-1]) < SAME_MOMENT)
    return np.allclose(part.positions[0], previous.positions[-1], rtol=0.0, atol=SAME_PLACE)


def maxwell_boltzmann(masses: FloatArray, temperature: float, seed: int) -> FloatArray:
    """Draw velocities of exactly the wanted temperature, without drift of the centre of mass.

    Parameters
    ----------
    masses : (N,) array
        amu.
    temperature : float
        K; the drawn velocities are scaled to it with 3N - 3 degrees of freedom.
    seed : int

    Returns
    -------
    (N, 3) array
        Angstrom / fs.
    """
    rng = np.random.default_rng(seed)
    velocities = rng.standard_normal((len(masses), 3)) * np.sqrt(units.kB * temperature / masses)[:, None]
    velocities -= (masses[:, None] * velocities).sum(axis=0) / masses.sum()
    drawn = (masses[:, None] * velocities**2).sum() / (max(3 * len(masses) - 3, 1) * units.kB)
    return np.asarray(velocities * np.sqrt(temperature / drawn) * units.fs if drawn > 0 else velocities)
