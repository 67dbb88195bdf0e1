"""Environments of the atoms of a trajectory: described, projected and compared, a few frames at a time.

Only `DescriptionSettings.chunk` environments exist at full dimension at a time (5 kB each); what is kept is
32 single-precision numbers, so a million environments take 0.13 GB.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from aiida_haml.analysis.basis import Basis, Float32Array, SpeciesBasis, describe_atoms, soap
from aiida_haml.analysis.similarity import similarity
from aiida_haml.frames import FloatArray, Frames


@dataclass(frozen=True, eq=False)
class Environments:
    """Environments of M atoms.

    Attributes
    ----------
    projected : (M, C) float32 array
    central : (M,) int array
        Atomic number of the central atom.
    frame, atom : (M,) int array
        Index of the described frame and of the atom in it.
    z : (M,) array
        Place along the third cell vector as a share of it, from 0 to 1.
    phase : (M,) int array
        Index of the phase resembled, -1 for none.
    margin, product : (M,) array
        See `Similarity`.
    """

    projected: Float32Array
    central: NDArray[np.int16]
    frame: NDArray[np.int32]
    atom: NDArray[np.int32]
    z: Float32Array
    phase: NDArray[np.int16]
    margin: Float32Array
    product: Float32Array

    def __len__(self) -> int:
        return len(self.central)

    @classmethod
    def join(cls, parts: Sequence[Environments]) -> Environments:
        """Join parts end to end."""
        return cls(**{f.name: np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(cls)})


@dataclass(eq=False)
class VarianceCheck:
    """How much of the variance of a candidate's own environments the projection keeps, by central species."""

    n: dict[int, int]
    total: dict[int, float]
    lost: dict[int, float]
    sums: dict[int, FloatArray]

    @classmethod
    def empty(cls) -> VarianceCheck:
        return cls({}, {}, {}, {})

    def add(self, central: int, descriptors: Float32Array, projected: Float32Array, basis: SpeciesBasis) -> None:
        """Take in (M, D) descriptors and their (M, C) projection."""
        n, mean = len(descriptors), basis.mean.astype(np.float64)
        total = (np.ones(n, dtype=np.float32) @ descriptors).astype(np.float64)
        # Squares about the mean without a centred copy of the descriptors, the largest array here.
        squares = float(np.vdot(descriptors, descriptors)) - 2 * float(total @ mean) + n * float(mean @ mean)
        self.n[central] = self.n.get(central, 0) + n
        self.total[central] = self.total.get(central, 0.0) + squares
        self.lost[central] = self.lost.get(central, 0.0) + squares - float(np.vdot(projected, projected))
        self.sums[central] = self.sums.get(central, 0.0) + total - n * mean

    def merge(self, other: VarianceCheck) -> None:
        """Take in another check, of another segment."""
        for central in other.n:
            self.n[central] = self.n.get(central, 0) + other.n[central]
            self.total[central] = self.total.get(central, 0.0) + other.total[central]
            self.lost[central] = self.lost.get(central, 0.0) + other.lost[central]
        for central, sums in other.sums.items():
            self.sums[central] = self.sums.get(central, 0.0) + sums

    def explained(self, basis: Basis) -> dict[int, float]:
        """Return, by atomic number, the share of variance about the candidate's own mean that is kept.

        A species whose environments are all alike has no variance, and 1 is returned.
        """
        shares = {}
        for central, n in self.n.items():
            mean = self.sums[central] / n
            components = basis.species[central].components
            lost_of_mean = mean - components @ (mean @ components)
            own = self.total[central] - n * float(mean @ mean)
            lost = self.lost[central] - n * float(lost_of_mean @ lost_of_mean)
            shares[central] = 1.0 if own < 1e-9 * n else float(np.clip(1 - lost / own, 0, 1))
        return shares


def stream_environments(frames: Frames, basis: Basis, check: VarianceCheck | None = None) -> Iterator[Environments]:
    """Describe frames, a few at a time.

    Parameters
    ----------
    frames : Frames
        All are described.
    basis : Basis
    check : VarianceCheck, optional
        Takes in what the projection keeps.

    Yields
    ------
    Environments
        Of whole frames, or of parts of one frame where it holds more atoms than a chunk.

    Raises
    ------
    ValueError
        If the frames hold an element that the basis was not made for.
    """
    missing = sorted(set(frames.elements) - set(basis.settings.elements))
    if missing:
        raise ValueError(
            f"The frames hold {missing}, but DescriptionSettings.elements is "
            f"{list(basis.settings.elements)}; add them there, for all candidates of the screen."
        )
    descriptor = soap(basis.settings)
    check = VarianceCheck.empty() if check is None else check
    for work in _chunks(len(frames), frames.n_atoms, basis.settings.chunk):
        values = [describe_atoms(descriptor, _atoms(frames, f), atoms) for f, atoms in work]
        index = [np.full(len(atoms), f, dtype=np.int32) for f, atoms in work]
        where = np.concatenate([atoms for _, atoms in work])
        yield _project(frames, basis, check, np.concatenate(values), np.concatenate(index), where)


def _chunks(n_frames: int, n_atoms: int, size: int) -> Iterator[list[tuple[int, NDArray[np.int64]]]]:
    """Yield lists of (frame, atoms) with about `size` environments each."""
    atoms = np.arange(n_atoms)
    if n_atoms > size:
        yield from ([(f, part)] for f in range(n_frames) for part in np.array_split(atoms, -(-n_atoms // size)))
        return
    step = max(1, size // n_atoms)
    for start in range(0, n_frames, step):
        yield [(f, atoms) for f in range(start, min(start + step, n_frames))]


def _atoms(frames: Frames, index: int) -> Atoms:
    return Atoms(frames.numbers, frames.positions[index], cell=frames.cells[index], pbc=frames.pbc)


def _project(
    frames: Frames, basis: Basis, check: VarianceCheck, values: Float32Array,
    frame: NDArray[np.int32], atom: NDArray[np.int64],
) -> Environments:  # fmt: skip
    central = frames.numbers[atom]
    made = Environments(
        projected=np.empty((len(atom), basis.settings.n_components), dtype=np.float32),
        central=central.astype(np.int16),
        frame=frame,
        atom=atom.astype(np.int32),
        z=heights(frames)[frame, atom].astype(np.float32),
        phase=np.empty(len(atom), dtype=np.int16),
        margin=np.empty(len(atom), dtype=np.float32),
        product=np.empty(len(atom), dtype=np.float32),
    )
    for z in np.unique(central):
        rows = np.flatnonzero(central == z)
        species = basis.species[int(z)]
        projected = species.project(values[rows])
        check.add(int(z), values[rows], projected, species)
        answer = similarity(basis, int(z), projected)
        made.projected[rows], made.phase[rows] = projected, answer.phase
        made.margin[rows], made.product[rows] = answer.margin, answer.product
    return made


def heights(frames: Frames) -> FloatArray:
    """Return (F, N) places along the third cell vector, as a share of it from 0 to 1.

    Where the cell does not repeat, or has no third vector, the span of the atoms takes the vector's place.
    """
    if frames.pbc[2] and np.all(np.abs(np.linalg.det(frames.cells)) > 1e-9):
        scaled = np.einsum("fni,fij->fnj", frames.positions, np.linalg.inv(frames.cells))[..., 2] % 1.0
        return np.asarray(scaled)
    z = frames.positions[..., 2]
    low, high = z.min(axis=1, keepdims=True), z.max(axis=1, keepdims=True)
    return np.asarray((z - low) / np.maximum(high - low, 1e-9))
