"""Bonds counted by element, units of P by composition, and what the bonds say of the charge of P."""

from itertools import product

import numpy as np
from ase.data import chemical_symbols

from aiida_haml.analysis.chemistry.bonds import (
    ANIONS,
    BLOCK_SIZE,
    CHALCOGENS,
    HYSTERESIS,
    OXIDANTS,
    BondBlock,
    BondTracker,
)
from aiida_haml.arrays import BoolArray, FloatArray, IntArray
from aiida_haml.frames import Frames


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
            "li_anion_coordination": mean("Li", ANIONS),
        }

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
        return _units(bonds, self._compositions) | _bond_order_state(bonds)


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


def _bond_order_state(bonds: IntArray) -> dict[str, FloatArray]:
    if bonds.shape[1] == 0:
        return {"p_bond_order_state": np.full(len(bonds), np.nan)}
    return {"p_bond_order_state": np.clip(2 * bonds[..., :4].sum(axis=2) + bonds[..., 4] - 3, -3, 5).mean(axis=1)}


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
        - ``p_chalcogen_bonds``, ``p_s_bonds``, ``p_li_contacts``, ``p_p_contacts``: bonds for each P;
        - ``li_anion_coordination``: anions round each Li;
        - ``units_PS4``, ``units_PS3O``, ...: share of P with these four chalcogens, for all compositions of
          the cell's chalcogens; ``units_PX0`` to ``units_PX3`` and ``units_PX5``: share of P with another
          number of chalcogens, the last of five and more (these and the compositions add up to 1);
          ``units_P2X6``: share of P with three chalcogens and a bond to P, as in P2S6 (``units_PX3`` too);
        - ``p_bond_order_state``: the charge that the bonds of P give it, mean over P, see the notes.

    Notes
    -----
    The state is counted from bonds, not computed from electrons. Let each P complete its octet: a bond to a more
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
