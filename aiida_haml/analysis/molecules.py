"""What becomes of the covalent units of the start: the molecules of a liquid, the PS4 of a solid.

A unit is a connected piece of the covalent graph (bonds without lithium) of the first frame. It is intact as
long as its bonds are those of the start: none missing, none new. Connectivity alone would call a ring that
opened, as of ethylene carbonate, whole.
"""

from __future__ import annotations

from collections import Counter

import numpy as np
from ase.data import chemical_symbols
from ase.formula import Formula
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from aiida_haml.analysis.bonds import LITHIUM, BondBlock, BondTracker, IntArray, Pairs, contained
from aiida_haml.analysis.events import covalent
from aiida_haml.frames import FloatArray, Frames

#: A cell with one of these holds molecules.
MOLECULAR = (1, 6, 7)


def formula(numbers: IntArray) -> str:
    """Return the formula of some atoms in Hill's order: C, H, then by alphabet."""
    return Formula.from_list([chemical_symbols[z] for z in numbers]).format("hill")


def pieces(pairs: Pairs, n_atoms: int) -> IntArray:
    """Return for each atom the number of the connected piece that it is in."""
    graph = coo_matrix((np.ones(len(pairs)), (pairs.first, pairs.second)), shape=(n_atoms, n_atoms))
    return np.asarray(connected_components(graph, directed=False)[1], dtype=np.int64)


class Units:
    """The covalent units of the start and what is left of them along time.

    Parameters
    ----------
    origin : Frames
        Its first frame is the start.
    hysteresis : float
        See `BondTracker`; it has to be that of the blocks.
    """

    def __init__(self, origin: Frames, hysteresis: float) -> None:
        self._numbers = origin.numbers
        block = next(BondTracker(origin.numbers, hysteresis).follow(origin[0]))
        bonds = block.pairs[covalent(block.pairs, origin.numbers)]
        self._start = bonds[block.before[covalent(block.pairs, origin.numbers)]]
        self._unit = pieces(self._start, origin.n_atoms)
        self._names, self._weights = self._series_weights()
        self._rows: list[FloatArray] = []

    @property
    def has_units(self) -> bool:
        """Whether the start holds units of more than one atom."""
        return len(self._start) > 0

    @property
    def has_molecules(self) -> bool:
        """Whether the cell is a liquid's: units, and H, C or N."""
        return self.has_units and bool(np.isin(self._numbers, MOLECULAR).any())

    def add(self, block: BondBlock) -> None:
        """Take in the next block."""
        chosen = covalent(block.pairs, self._numbers)
        pairs = block.pairs[chosen]
        broken = np.zeros((len(block), len(self._weights)))
        # What broke long ago is not among the block's pairs any more.
        lost = ~np.isin(self._start.key, pairs.key)
        broken[:, self._unit[self._start.first[lost]]] = 1
        frame, pair = np.nonzero(block.bonded[:, chosen] != contained(pairs.key, self._start.key))
        broken[frame, self._unit[pairs.first[pair]]] = 1
        broken[frame, self._unit[pairs.second[pair]]] = 1
        self._rows.append(broken @ self._weights)
        self._last, self._broken = pairs[block.bonded[-1, chosen]], broken[-1] > 0

    def series(self) -> dict[str, FloatArray]:
        """Return the series of all blocks taken in.

        Returns
        -------
        dict
            Name -> (F,) array of shares from 0 to 1:

            - ``broken_atom_fraction``: atoms other than Li whose unit at the start is no longer intact, of all
              of them; left out if the start holds no covalent bond;
            - ``intact_molecules``: units of more than one atom that are intact, and ``intact_C4H10O2`` and the
              like by formula; left out in cells without H, C and N.
        """
        values = np.concatenate(self._rows)
        return {
            name: values[:, k] if name == "broken_atom_fraction" else 1 - values[:, k]
            for k, name in enumerate(self._names)
        }

    def fragments(self) -> dict[str, np.ndarray]:
        """Return the pieces of the last frame that are not intact units of the start.

        Returns
        -------
        dict
            ``fragments`` (K,) formulas in alphabetical order, ``fragment_counts`` (K,) int; left out if the
            start holds no covalent bond.
        """
        if not self.has_units:
            return {}
        piece = pieces(self._last, len(self._numbers))
        changed = self._broken[self._unit] & (self._numbers != LITHIUM)
        counts = Counter(formula(self._numbers[piece == p]) for p in np.unique(piece[changed]).tolist())
        names = sorted(counts)
        return {
            "fragments": np.array(names, dtype=f"<U{max(map(len, names), default=1)}"),
            "fragment_counts": np.array([counts[n] for n in names], dtype=np.int64),
        }

    def _series_weights(self) -> tuple[list[str], FloatArray]:
        """Return the names of the series and the (U, K) share of each unit in each of them."""
        n_units = int(self._unit.max()) + 1
        if not self.has_units:
            return [], np.zeros((n_units, 0))
        atoms = np.bincount(self._unit[self._numbers != LITHIUM], minlength=n_units)
        columns = {"broken_atom_fraction": atoms}
        if self.has_molecules:
            several = np.flatnonzero(atoms > 1)
            columns["intact_molecules"] = np.bincount(several, minlength=n_units)
            kinds = {m: formula(self._numbers[self._unit == m]) for m in several.tolist()}
            for kind in sorted(set(kinds.values())):
                alike = [m for m, name in kinds.items() if name == kind]
                columns[f"intact_{kind}"] = np.bincount(alike, minlength=n_units)
        return list(columns), np.stack([c / c.sum() for c in columns.values()], axis=1)
