"""Environments of the atoms of a trajectory: described, projected and compared, a few frames at a time.

Only `DescriptionSettings.chunk` environments exist at full dimension at a time (5 kB each); what is kept is
32 single-precision numbers, so a million environments take 0.13 GB. Of the descriptor, only the blocks of the
elements present are computed: those of the others are zero.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from functools import lru_cache

import numpy as np
from ase import Atoms
from ase.data import atomic_numbers
from dscribe.descriptors import SOAP
from numpy.typing import NDArray

from aiida_haml.analysis.environments.basis import Basis, SpeciesBasis
from aiida_haml.analysis.environments.modes import Float32Array
from aiida_haml.analysis.environments.similarity import similarity
from aiida_haml.analysis.environments.soap import soap
from aiida_haml.analysis.settings import DescriptionSettings
from aiida_haml.frames import Frames

LITHIUM = 3


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
    phase, reacted_phase : (M,) int array
        Index of the phase resembled, -1 for none; see `Similarity`.
    thiophosphate : (M,) array
        See `Similarity`.
    state, face : (M,) int array
        See `aiida_haml.analysis.balance.states`, and index of the face that the atom is at; -1 until the balance is
        read.
    """

    projected: Float32Array
    central: NDArray[np.int16]
    frame: NDArray[np.int32]
    atom: NDArray[np.int32]
    phase: NDArray[np.int16]
    reacted_phase: NDArray[np.int16]
    thiophosphate: Float32Array
    state: NDArray[np.int8]
    face: NDArray[np.int8]

    def __len__(self) -> int:
        return len(self.central)

    @classmethod
    def join(cls, parts: Sequence[Environments]) -> Environments:
        """Join parts end to end."""
        return cls(**{f.name: np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(cls)})


@dataclass(frozen=True, eq=False)
class DescribedFrames:
    """What a few frames that were described at once say."""

    environments: Environments


def check_elements(frames: Frames, basis: Basis) -> None:
    """Refuse frames with an element that the basis was not made for.

    Raises
    ------
    ValueError
    """
    missing = sorted(set(frames.elements) - set(basis.settings.elements))
    if missing:
        raise ValueError(
            f"The frames hold {missing}, but DescriptionSettings.elements is "
            f"{list(basis.settings.elements)}; add them there, for all candidates of the screen."
        )


def chunks(n_frames: int, n_atoms: int, size: int) -> Iterator[slice]:
    """Yield runs of whole frames with about `size` environments each, at least one frame."""
    step = max(1, size // n_atoms)
    return (slice(start, min(start + step, n_frames)) for start in range(0, n_frames, step))


def describe_frames(frames: Frames, basis: Basis) -> DescribedFrames:
    """Describe a few frames at once.

    The last digits of an answer hang on how many frames are described together, as the sums in a product of
    matrices come in an order that depends on their size.

    Parameters
    ----------
    frames : Frames
        As many as may exist at full dimension; a single frame of more than `DescriptionSettings.chunk` atoms
        is described in pieces.
    basis : Basis
    """
    shape = (len(frames), frames.n_atoms)
    made = {name: np.empty(shape, dtype) for name, dtype in _ANSWERS.items()}
    made["projected"] = np.empty((*shape, basis.settings.n_components), np.float32)
    for central, atoms, values in _descriptors(frames, basis.settings):
        species = basis.species[central]
        projected = _project(values, species, _columns(basis.settings, tuple(frames.elements)))
        answer = similarity(basis, central, projected)
        made["projected"][:, atoms] = projected.reshape(len(frames), len(atoms), -1)
        for name in _ANSWERS:
            made[name][:, atoms] = getattr(answer, name).reshape(len(frames), -1)
    return DescribedFrames(_flat(frames, made))


#: What `Similarity` says of each environment that is kept.
_ANSWERS = {"phase": np.int16, "reacted_phase": np.int16, "thiophosphate": np.float32}


def _flat(frames: Frames, made: dict[str, np.ndarray]) -> Environments:
    n_frames, n_atoms = len(frames), frames.n_atoms
    return Environments(
        central=np.tile(frames.numbers.astype(np.int16), n_frames),
        frame=np.repeat(np.arange(n_frames, dtype=np.int32), n_atoms),
        atom=np.tile(np.arange(n_atoms, dtype=np.int32), n_frames),
        state=np.full(n_frames * n_atoms, -1, dtype=np.int8),
        face=np.full(n_frames * n_atoms, -1, dtype=np.int8),
        **{name: array.reshape(n_frames * n_atoms, *array.shape[2:]) for name, array in made.items()},
    )


@lru_cache(maxsize=8)
def _soap_of(settings: DescriptionSettings, elements: tuple[str, ...]) -> SOAP:
    """Return the descriptor for the elements present alone; double precision saves it a copy."""
    return soap(replace(settings, elements=elements), "float64")


@lru_cache(maxsize=8)
def _columns(settings: DescriptionSettings, elements: tuple[str, ...]) -> NDArray[np.int64]:
    """Return which features of the whole descriptor the elements present fill: it is ordered by neighbour."""
    numbers = sorted(atomic_numbers[e] for e in settings.elements)
    block = soap(settings).get_number_of_features() // len(numbers)
    present = [numbers.index(atomic_numbers[e]) for e in elements]
    return np.concatenate([np.arange(k * block, (k + 1) * block) for k in sorted(present)])


def _descriptors(
    frames: Frames, settings: DescriptionSettings
) -> Iterator[tuple[int, NDArray[np.int64], Float32Array]]:
    """Yield central species, atoms and the (F * M, D') descriptors of those M atoms in all frames.

    Atoms are handed over in the order of their species, so that each species is one block of the result.
    """
    descriptor = _soap_of(settings, tuple(frames.elements))
    order = np.argsort(frames.numbers, kind="stable")
    numbers = frames.numbers[order]
    n_features, n_frames = descriptor.get_number_of_features(), len(frames)
    for piece in np.array_split(np.arange(len(order)), -(-len(order) // settings.chunk)):
        whole = len(piece) == len(order)
        species, starts = np.unique(numbers[piece], return_index=True)
        ends = [*starts[1:], len(piece)]
        sizes = np.array(ends) - starts
        buffers = [np.empty((n_frames, n, n_features), np.float32) for n in sizes]
        for f in range(n_frames):
            positions = frames.positions[f, order]
            atoms = Atoms(numbers, positions, cell=frames.cells[f], pbc=frames.pbc)
            # Centres as positions: as indices, each would cost a copy of all positions.
            values = descriptor.create(atoms, centers=None if whole else list(positions[piece]))
            for buffer, start, end in zip(buffers, starts, ends, strict=True):
                buffer[f] = values[start:end]
        for z, buffer, start, end in zip(species, buffers, starts, ends, strict=True):
            yield int(z), order[piece[start:end]], buffer.reshape(-1, n_features)


def _project(values: Float32Array, species: SpeciesBasis, columns: NDArray[np.int64]) -> Float32Array:
    """Return the (M, C) projection of (M, D') descriptors taken to unit length."""
    lengths = np.sqrt(np.einsum("md,md->m", values, values))
    projected = values @ np.ascontiguousarray(species.components[columns])
    projected *= (1 / np.maximum(lengths, np.finfo(np.float32).tiny))[:, None]
    projected -= species.mean @ species.components
    return projected
