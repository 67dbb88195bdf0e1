"""Bonds and coordination along a trajectory.

A bond forms when a pair comes nearer than its cutoff less a margin and breaks when it goes farther than its
cutoff plus the margin; between the two it stays what it was (hysteresis), so that a bond that vibrates about
its cutoff does not flicker. The cutoff is the first minimum of the pair distribution of crystals and melts,
between the bond and the next shell. Bonds of reference: P-S 2.02-2.05, P-O 1.54, P-Se 2.20, P-P 2.25,
P-Cl 2.04, P-F 1.57, Li-S 2.48, Li-O 2.00, Li-Se 2.60, Li-Cl 2.57, Li-F 2.02, Li-P 2.46-2.7, S-S 2.05 Angstrom.

Cost: pairs near enough to matter are listed once for a run of frames, until an atom has moved so far that
another pair could have come near (Verlet, Phys. Rev. 159, 98 (1967)); distances and states of the whole run
are then single array operations.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

import numpy as np
from ase.data import atomic_numbers, chemical_symbols, covalent_radii
from numpy.typing import NDArray
from vesin import NeighborList

from aiida_haml.frames import FloatArray, Frames

IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]

#: Bond cutoffs, Angstrom.
CUTOFFS: dict[frozenset[str], float] = {
    frozenset(pair.split("-")): cutoff
    for pair, cutoff in {
        "P-S": 2.6, "P-O": 2.0, "P-Se": 2.8, "P-P": 2.6, "P-Cl": 2.5, "P-F": 2.0,
        "Li-S": 3.2, "Li-O": 2.7, "Li-Se": 3.35, "Li-Cl": 3.3, "Li-F": 2.6, "Li-P": 3.2,
        # Not by radii: the two S of bis(fluorosulfonyl)imide are 2.7-2.8 apart and not bonded.
        "S-S": 2.4, "S-Se": 2.55, "Se-Se": 2.7,
    }.items()
}  # fmt: skip

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


def cutoff(first: str, second: str) -> float:
    """Return the bond cutoff of a pair, Angstrom: 1.3 times the covalent radii where `CUTOFFS` lacks it."""
    known = CUTOFFS.get(frozenset((first, second)))
    if known is not None:
        return known
    return float(1.3 * (covalent_radii[atomic_numbers[first]] + covalent_radii[atomic_numbers[second]]))


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


# -- what the bonds say ----------------------------------------------------------------------------------


class BondSeries:
    """Collects the series of `bond_series` from blocks.

    Parameters
    ----------
    numbers : (N,) int array
    """

    def __init__(self, numbers: IntArray) -> None:
        self._rows: list[dict[str, FloatArray]] = []
        self._bonds: list[tuple[IntArray, IntArray, IntArray]] = []
        self._n_bonds = self._n_frames = 0
        symbols = np.array([chemical_symbols[z] for z in numbers])
        self.elements = sorted(set(symbols.tolist()))
        self._kind = np.searchsorted(self.elements, symbols)
        self._number = {e: int((symbols == e).sum()) for e in self.elements}
        self._phosphorus = _index(symbols == "P")
        self._chalcogen = _index(np.isin(symbols, CHALCOGENS))
        # For each atom, the column of its element in counts for each P: S, O, Se, other oxidants, P; -1 for the rest.
        column = {**dict.fromkeys(OXIDANTS, 3), "S": 0, "O": 1, "Se": 2, "P": 4}
        self._column = np.array([column.get(s, -1) for s in symbols])
        self._compositions = compositions([c for c in CHALCOGENS if c in self._number])

    def add(self, block: BondBlock) -> None:
        """Take in the next block."""
        frame, pair = np.nonzero(block.bonded)
        self._bonds.append((frame + self._n_frames, block.pairs.first[pair], block.pairs.second[pair]))
        self._n_bonds += len(frame)
        self._n_frames += len(block)
        if self._n_bonds > BLOCK_SIZE:
            self._count()

    def series(self) -> dict[str, FloatArray]:
        """Return the series of all blocks."""
        self._count()
        return {name: np.concatenate([row[name] for row in self._rows]) for name in self._rows[0]}

    def _count(self) -> None:
        """Count many short blocks at once: what NumPy costs does not depend on how short they are."""
        if self._n_frames:
            frame, first, second = (np.concatenate(part) for part in zip(*self._bonds, strict=True))
            n = self._n_frames
            self._rows.append(self._means(frame, first, second, n) | self._of_phosphorus(frame, first, second, n))
        self._bonds, self._n_bonds, self._n_frames = [], 0, 0

    def _means(self, frame: IntArray, first: IntArray, second: IntArray, n_frames: int) -> dict[str, FloatArray]:
        n = len(self.elements)
        code = (frame * n + self._kind[first]) * n + self._kind[second]
        table = np.bincount(code, minlength=n_frames * n * n).reshape(n_frames, n, n)
        table = (table + table.transpose(0, 2, 1)).astype(float)  # bonds of each element's atoms to each other element

        def mean(centre: str, neighbours: tuple[str, ...]) -> FloatArray:
            if centre not in self._number:
                return np.full(n_frames, np.nan)
            columns = [self.elements.index(e) for e in neighbours if e in self._number]
            total = table[:, self.elements.index(centre), columns].sum(axis=1)
            return np.asarray(total / self._number[centre])

        return {
            "p_chalcogen_bonds": mean("P", CHALCOGENS),
            "p_s_bonds": mean("P", ("S",)),
            "p_li_contacts": mean("P", ("Li",)),
            "p_p_contacts": mean("P", ("P",)),
            "p_f_bonds": mean("P", ("F",)),
            "p_cl_bonds": mean("P", ("Cl",)),
            "li_anion_coordination": mean("Li", ANIONS),
        } | {f"li_around_{x}": mean(x, ("Li",)) for x in ANIONS if x in self._number}

    def _of_phosphorus(
        self, frame: IntArray, first: IntArray, second: IntArray, n_frames: int
    ) -> dict[str, FloatArray]:
        # Each bond of P in both directions: a P-P bond counts for both.
        centre, other = np.concatenate([first, second]), np.concatenate([second, first])
        frame = np.concatenate([frame, frame])
        chosen = (self._phosphorus[centre] >= 0) & (self._column[other] >= 0)
        frame, centre, other = frame[chosen], centre[chosen], other[chosen]
        n = self._number.get("P", 0)
        code = (frame * n + self._phosphorus[centre]) * 5 + self._column[other]
        bonds = np.bincount(code, minlength=n_frames * n * 5).reshape(n_frames, n, 5)
        return self._free_chalcogen(frame, other, n_frames) | _units(bonds, self._compositions) | _oxidation(bonds)

    def _free_chalcogen(self, frame: IntArray, other: IntArray, n_frames: int) -> dict[str, FloatArray]:
        n = sum(self._number.get(c, 0) for c in CHALCOGENS)
        held = self._chalcogen[other] >= 0
        bound = np.bincount(frame[held] * n + self._chalcogen[other[held]], minlength=n_frames * n)
        return {"free_chalcogen_fraction": _share(bound.reshape(n_frames, n) == 0)}


def compositions(chalcogens: list[str]) -> dict[str, tuple[int, ...]]:
    """Return the units of one P and four of the chalcogens: name -> numbers of S, O, Se, as ``PS3O: (3, 1, 0)``."""
    found = {}
    for counts in product(range(4, -1, -1), repeat=3):
        if sum(counts) == 4 and all(n == 0 or c in chalcogens for c, n in zip(CHALCOGENS, counts, strict=True)):
            parts = [f"{c}{n if n > 1 else ''}" for c, n in zip(CHALCOGENS, counts, strict=True) if n]
            found["P" + "".join(parts)] = counts
    return found


def _units(bonds: IntArray, known: dict[str, tuple[int, ...]]) -> dict[str, FloatArray]:
    chalcogens = bonds[..., :3].sum(axis=2)
    code = bonds[..., :3] @ np.array([25, 5, 1])
    units = {f"units_{name}": _share(code == 25 * s + 5 * o + se) for name, (s, o, se) in known.items()}
    return (
        {"ps4_fraction": _share(chalcogens == 4)}
        | units
        | {f"units_PX{n}": _share(chalcogens == n) for n in range(4)}
        | {"units_PX5": _share(chalcogens > 4), "units_P2X6": _share((chalcogens == 3) & (bonds[..., 4] > 0))}
    )


def _oxidation(bonds: IntArray) -> dict[str, FloatArray]:
    if bonds.shape[1] == 0:
        state = np.full(len(bonds), np.nan)
    else:
        state = np.clip(2 * bonds[..., :4].sum(axis=2) + bonds[..., 4] - 3, -3, 5).mean(axis=1)
    return {"p_oxidation_state": state, "p_reduction": (5 - state) / 8}


def _index(chosen: BoolArray) -> IntArray:
    """Return for each atom its number among the chosen, -1 for others."""
    return np.where(chosen, np.cumsum(chosen) - 1, -1)


def _share(good: BoolArray) -> FloatArray:
    """Return the share of each row that is true; NaN for rows without entries."""
    return np.asarray(good.mean(axis=1)) if good.shape[1] else np.full(len(good), np.nan)


def bond_series(
    frames: Frames, previous: Frames | None = None, hysteresis: float = HYSTERESIS
) -> dict[str, FloatArray]:
    """Return the bond series of a run of frames.

    Parameters
    ----------
    frames : Frames
    previous : Frames, optional
        The frames ahead of them, from which bonds near their cutoff are known.
    hysteresis : float
        See `BondTracker`.

    Returns
    -------
    dict
        Name -> (F,) array, dimensionless; NaN where the elements needed are absent:

        - ``ps4_fraction``: P atoms with exactly four chalcogens (S, O, Se) bonded, of all P;
        - ``p_chalcogen_bonds``, ``p_s_bonds``, ``p_li_contacts``, ``p_p_contacts``, ``p_f_bonds``,
          ``p_cl_bonds``: bonds for each P;
        - ``li_anion_coordination``: anions round each Li;
        - ``free_chalcogen_fraction``: chalcogens without a P neighbour (as in Li2S), of all chalcogens;
        - ``li_around_X`` for each anion X: Li round each X (8 in Li2S, Li2O, Li2Se; 6 in LiCl, LiF; 11 in
          Li3P);
        - ``units_PS4``, ``units_PS3O``, ...: share of P with these four chalcogens, for all compositions of
          the cell's chalcogens; ``units_PX0`` to ``units_PX3`` and ``units_PX5``: share of P with another
          number of chalcogens, the last of five and more (these and the compositions add up to 1);
          ``units_P2X6``: share of P with three chalcogens and a bond to P, as in P2S6 (``units_PX3`` too);
        - ``p_oxidation_state``: mean formal oxidation state of P, see the notes;
        - ``p_reduction``: the same from 0 (P5+, as in PS4) to 1 (P3-, as in Li3P).

    Notes
    -----
    The oxidation state is counted, not computed. Let each P complete its octet: a bond to a more
    electronegative element (S, O, Se, halogens, N, C) leaves it none of two electrons, a bond to P one of
    two, all else is its own. So it holds 8 - 2 n_X - n_P electrons of the 5 it has as an atom, and the state
    is 2 n_X + n_P - 3, kept between -3 and 5. That gives +5 in PS4 and P2S7, +4 in P2S6, 0 in elemental P, -1
    in chains of LiP, -2 in Li4P2, and -3 in Li3P. The limits: it knows nothing of the electrons, so that a
    unit torn apart counts as reduced at once whether or not an electron came from the metal; hypervalent P
    (PF6) counts as +5; H on P counts as the metal.
    """
    tracker, series = BondTracker(frames.numbers, hysteresis), BondSeries(frames.numbers)
    if previous is not None:
        for _ in tracker.follow(previous):
            pass
    for block in tracker.follow(frames):
        series.add(block)
    return series.series()


def frame_bonds(frame: Frames) -> dict[str, float]:
    """Return `bond_series` of the first frame as numbers."""
    return {name: float(values[0]) for name, values in bond_series(frame[0]).items()}
