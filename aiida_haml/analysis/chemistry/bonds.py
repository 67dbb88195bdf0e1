"""Bonds and coordination along a trajectory.

A bond forms when a pair comes nearer than its cutoff less a margin and breaks when it goes farther than its
cutoff plus the margin; between the two it stays what it was (hysteresis), so that a bond that vibrates about
its cutoff does not flicker. Cutoffs are those of `aiida_haml.structures.bonds`.

Cost: pairs near enough to matter are listed once for a run of frames, until an atom has moved so far that
another pair could have come near (Verlet, Phys. Rev. 159, 98 (1967)); distances and states of the whole run
are then single array operations.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from ase.data import chemical_symbols
from vesin import NeighborList

from aiida_haml.arrays import BoolArray, IntArray
from aiida_haml.frames import Frames
from aiida_haml.structures.bonds import cutoff

CHALCOGENS = ("S", "O", "Se")
HALOGENS = ("F", "Cl", "Br", "I")
ANIONS = ("S", "O", "Se", "Cl", "F", "P", "Br", "I", "N")
#: More electronegative than P (2.19): they take both electrons of a bond with it in counting oxidation states.
OXIDANTS = (*CHALCOGENS, *HALOGENS, "N", "C")

#: Share of the cutoff between it and the distance at which a bond forms, and that at which it breaks.
HYSTERESIS = 0.08

#: How much farther than they need the pairs are listed, Angstrom: no atom may move half of it before a new list.
SKIN = 1.2

#: Distances held at a time.
BLOCK_SIZE = 500_000

LITHIUM = 3


# -- following bonds -------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Pairs:
    """P pairs of atoms, each once.

    Attributes
    ----------
    first, second : (P,) int array
        Indices of atoms, ``first <= second``.
    shift : (P, 3) int array
        Cell vectors to add to the second atom's position.
    key : (P,) int array
        A number for each pair of atom and image.
    """

    first: IntArray
    second: IntArray
    shift: IntArray
    key: IntArray

    def __len__(self) -> int:
        return len(self.key)

    def __getitem__(self, chosen: BoolArray | IntArray) -> Pairs:
        return Pairs(self.first[chosen], self.second[chosen], self.shift[chosen], self.key[chosen])

    @classmethod
    def of(cls, first: IntArray, second: IntArray, shift: IntArray, n_atoms: int) -> Pairs:
        """Make pairs from any order of their atoms, without doubles."""
        # An atom and its own image: of the two opposite shifts, the one whose first entry is positive.
        sign = np.sign(shift @ np.array([1 << 40, 1 << 20, 1]))
        turn = (first > second) | ((first == second) & (sign < 0))
        low, high = np.where(turn, second, first), np.where(turn, first, second)
        shift = np.where(turn[:, None], -shift, shift)
        # Images 128 cells apart share a key; no pair has two bonds that far apart.
        place = (shift & 127) @ np.array([1 << 14, 1 << 7, 1])
        key, unique = np.unique(((low * n_atoms + high) << 21) + place, return_index=True)
        return cls(low[unique], high[unique], shift[unique], key)

    @classmethod
    def join(cls, one: Pairs, other: Pairs) -> Pairs:
        return cls(*(np.concatenate([getattr(one, n), getattr(other, n)]) for n in ("first", "second", "shift", "key")))


@dataclass(frozen=True, eq=False)
class BondBlock:
    """Bonds of consecutive frames.

    Attributes
    ----------
    start : int
        Index of the first frame among the frames followed.
    pairs : Pairs
        All that are bonded in one of the frames or were in the frame ahead of them.
    before : (P,) bool array
        Whether a pair was bonded in the frame ahead; of the very first frame, its own state.
    bonded : (B, P) bool array
        Whether a pair is bonded in each frame.
    """

    start: int
    pairs: Pairs
    before: BoolArray
    bonded: BoolArray

    def __len__(self) -> int:
        return len(self.bonded)


class BondTracker:
    """Follows the bonds of one system from frame to frame.

    Parameters
    ----------
    numbers : (N,) int array
        Atomic numbers.
    hysteresis : float
        A bond forms below ``cutoff * (1 - hysteresis)`` and breaks above ``cutoff * (1 + hysteresis)``. In the
        first frame followed, what is between the two is bonded below the cutoff.

    Notes
    -----
    Pairs of two lithium atoms are not bonds. `follow` goes on where the last call of it ended, so that a
    batch can be started with the last frames of the batch ahead of it.
    """

    def __init__(self, numbers: IntArray, hysteresis: float = HYSTERESIS) -> None:
        self.numbers = np.asarray(numbers)
        kinds = np.unique(self.numbers)
        self._kind = np.searchsorted(kinds, self.numbers)
        limits = np.array([[cutoff(chemical_symbols[a], chemical_symbols[b]) for b in kinds] for a in kinds])
        lithium = kinds == LITHIUM
        limits[np.ix_(lithium, lithium)] = 0.0
        self._limits = limits
        self._hysteresis = hysteresis
        self._list = NeighborList(cutoff=max(limits.max() * (1 + hysteresis), 1.0) + SKIN, full_list=False)
        self._bonds: Pairs | None = None

    def follow(self, frames: Frames) -> Iterator[BondBlock]:
        """Yield the bonds of frames, a run of them at a time.

        Parameters
        ----------
        frames : Frames
            Of this tracker's atoms, following on the frames of the last call.
        """
        start = 0
        while start < len(frames):
            pairs = self._candidates(frames, start)
            limit = max(1, BLOCK_SIZE // max(len(pairs), 1))
            stop = start + _unmoved(frames, start, limit)
            yield self._block(frames, start, stop, pairs)
            start = stop

    def _candidates(self, frames: Frames, index: int) -> Pairs:
        """Return the pairs that can be bonds until an atom has moved by half of `SKIN`."""
        i, j, shift, d = self._list.compute(
            points=frames.positions[index], box=frames.cells[index], periodic=frames.pbc, quantities="ijSd"
        )
        i, j, shift = i.astype(np.int64), j.astype(np.int64), shift.astype(np.int64)
        far = self._limits * (1 + self._hysteresis) + np.where(self._limits > 0, SKIN, 0)
        near = d < far[self._kind[i], self._kind[j]]
        return Pairs.of(i[near], j[near], shift[near], len(self.numbers))

    def _block(self, frames: Frames, start: int, stop: int, pairs: Pairs) -> BondBlock:
        positions = frames.positions[start:stop]
        vectors = positions[:, pairs.second] - positions[:, pairs.first]
        vectors += pairs.shift @ frames.cells[start]
        squares = np.einsum("fpk,fpk->fp", vectors, vectors)
        limits = self._limits[self._kind[pairs.first], self._kind[pairs.second]]
        close = squares < (limits * (1 - self._hysteresis)) ** 2
        open_ = squares > (limits * (1 + self._hysteresis)) ** 2
        if self._bonds is None:
            before = close[0] | (~open_[0] & (squares[0] < limits**2))
        else:
            before = contained(pairs.key, self._bonds.key)
        bonded = _held(close, open_, before)
        kept = before | bonded.any(axis=0)
        pairs, before, bonded = pairs[kept], before[kept], bonded[:, kept]
        if self._bonds is not None:  # bonds whose atoms went out of reach from one frame to the next
            gone = self._bonds[~contained(self._bonds.key, pairs.key)]
            if len(gone):
                pairs = Pairs.join(pairs, gone)
                before = np.concatenate([before, np.ones(len(gone), dtype=bool)])
                bonded = np.concatenate([bonded, np.zeros((len(bonded), len(gone)), dtype=bool)], axis=1)
        self._bonds = pairs[bonded[-1]]
        return BondBlock(start, pairs, before, bonded)


def contained(keys: IntArray, among: IntArray) -> BoolArray:
    """Return which keys are among others, which are in rising order."""
    if not len(among):
        return np.zeros(len(keys), dtype=bool)
    place = np.minimum(np.searchsorted(among, keys), len(among) - 1)
    return np.asarray(among[place] == keys)


def _unmoved(frames: Frames, start: int, limit: int) -> int:
    """Return for how many frames no atom moves by half of `SKIN` and the cell stays; at least 1."""
    stop = min(start + limit, len(frames))
    limit_squared = (SKIN / 2) ** 2
    count, step = 1, 4
    while start + count < stop:
        chunk = slice(start + count, min(start + count + step, stop))
        moved = frames.positions[chunk] - frames.positions[start]
        moved -= moved.mean(axis=1, keepdims=True)
        far = np.einsum("fnk,fnk->fn", moved, moved).max(axis=1) >= limit_squared
        far |= (frames.cells[chunk] != frames.cells[start]).any(axis=(1, 2))
        if far.any():
            return count + int(far.argmax())
        count, step = count + len(far), 2 * step
    return count


def _held(close: BoolArray, far: BoolArray, before: BoolArray) -> BoolArray:
    """Return (B, P) states: bonded where close, not where far, else as in the frame ahead."""
    bonded = close.copy()
    undecided = ~(close | far)
    columns = np.flatnonzero(undecided.any(axis=0))
    if len(columns):
        decided = np.where(undecided[:, columns], -1, np.arange(len(close))[:, None])
        last = np.maximum.accumulate(decided, axis=0)
        held = np.take_along_axis(close[:, columns], np.maximum(last, 0), axis=0)
        bonded[:, columns] = np.where(last >= 0, held, before[columns])
    return bonded
