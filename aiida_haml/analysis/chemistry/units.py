"""What becomes of the covalent units of the cell as built: the PS4 of a solid, the molecules of a liquid.

A unit is a connected piece of the covalent graph (bonds without lithium) of the cell as built; a network that spans the
cell is cut into its central atoms with their nearest corners. A unit is intact as long as its bonds are those it was
built with: none missing, none new. Connectivity alone would call a ring that opened, as of ethylene carbonate, whole.
"""

from collections import Counter

import numpy as np
from ase.data import atomic_numbers, chemical_symbols
from ase.formula import Formula
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from aiida_haml.analysis.chemistry.bonds import ANIONS, LITHIUM, BondBlock, BondTracker, Pairs, contained
from aiida_haml.analysis.chemistry.events import covalent
from aiida_haml.arrays import BoolArray, FloatArray, IntArray
from aiida_haml.frames import Frames

#: A cell with one of these holds molecules.
MOLECULAR = (1, 6, 7)
#: A larger piece of the graph is a network and no molecule, atoms.
LARGEST_MOLECULE = 60
#: Units whose fate an atom without bonds shares: the nearest ones as built. Odd, so that they never disagree evenly.
NEIGHBOURS = 3


def formula(numbers: IntArray) -> str:
    """Return the formula of some atoms in Hill's order: C, H, then by alphabet."""
    return Formula.from_list([chemical_symbols[z] for z in numbers]).format("hill")


def pieces(pairs: Pairs, n_atoms: int) -> IntArray:
    """Return for each atom the number of the connected piece that it is in."""
    graph = coo_matrix((np.ones(len(pairs)), (pairs.first, pairs.second)), shape=(n_atoms, n_atoms))
    return np.asarray(connected_components(graph, directed=False)[1], dtype=np.int64)


class Units:
    """The covalent units of the cell as built and what is left of them along time.

    Parameters
    ----------
    built : Frames
        Its first frame is the cell as built.
    hysteresis : float
        See `BondTracker`; it has to be that of the blocks.

    Attributes
    ----------
    unit : (N,) int array
        Index of each atom's unit.
    several : (U,) bool array
        Which units hold more than one atom.
    centre : (U,) int array
        The atom of each unit with most bonds.
    """

    def __init__(self, built: Frames, hysteresis: float) -> None:
        self._numbers = built.numbers
        block = next(BondTracker(built.numbers, hysteresis).follow(built[0]))
        chosen = covalent(block.pairs, built.numbers)
        self._start = block.pairs[chosen][block.before[chosen]]
        self.unit = _without_networks(pieces(self._start, built.n_atoms), built)
        degree = np.bincount(np.concatenate([self._start.first, self._start.second]), minlength=built.n_atoms)
        order = np.lexsort((np.arange(built.n_atoms), -degree, self.unit))
        self.centre = order[np.unique(self.unit[order], return_index=True)[1]]
        self.several = np.bincount(self.unit) > 1
        self._free, self._nearest = self._neighbours(built)
        self._rows: list[BoolArray] = []

    def _neighbours(self, built: Frames) -> tuple[IntArray, IntArray]:
        """Return (A,) the atoms that are in no unit, lithium apart, and (A, K) the units whose fate each shares."""
        several = np.flatnonzero(self.several)
        free = np.flatnonzero((built.numbers != LITHIUM) & ~self.several[self.unit])
        n_shared = NEIGHBOURS if len(several) >= NEIGHBOURS else min(1, len(several))
        order = np.argsort(distances(built, free, self.centre[several]), axis=1, kind="stable")
        return free, several[order[:, :n_shared]]

    @property
    def has_units(self) -> bool:
        """Whether the cell as built holds units of more than one atom."""
        return bool(self.several.any())

    @property
    def has_molecules(self) -> bool:
        """Whether the cell is a liquid's: units, and H, C or N."""
        return self.has_units and bool(np.isin(self._numbers, MOLECULAR).any())

    def has_other(self, atoms: BoolArray) -> BoolArray:
        """Return (U,) which units hold atoms besides the (N,) chosen ones."""
        return np.bincount(self.unit, ~atoms, minlength=len(self.several)) > 0

    def add(self, block: BondBlock) -> None:
        """Take in the next block."""
        chosen = covalent(block.pairs, self._numbers)
        pairs = block.pairs[chosen]
        broken = np.zeros((len(block), len(self.several)), dtype=bool)
        # What broke long ago is not among the block's pairs any more.
        lost = ~np.isin(self._start.key, pairs.key)
        for ends in (self._start.first, self._start.second):
            broken[:, self.unit[ends[lost]]] = True
        frame, pair = np.nonzero(block.bonded[:, chosen] != contained(pairs.key, self._start.key))
        for ends in (pairs.first, pairs.second):
            broken[frame, self.unit[ends[pair]]] = True
        self._rows.append(broken)
        self._last = pairs[block.bonded[-1, chosen]]

    def broken(self) -> BoolArray:
        """Return (F, U) which units are not intact in each frame taken in."""
        return np.concatenate(self._rows)

    def fate(self, reacted: BoolArray) -> BoolArray:
        """Return (F, N) whether each atom's unit has reacted; an atom of none (S2-, Cl-) goes with most of the nearest.

        Parameters
        ----------
        reacted : (F, U) bool array
        """
        atoms = reacted[:, self.unit]
        if self._nearest.size:
            atoms[:, self._free] |= reacted[:, self._nearest].mean(axis=2) > 0.5
        return atoms

    def series(self) -> dict[str, FloatArray]:
        """Return the (F,) shares of molecules that are intact.

        Returns
        -------
        dict
            ``intact_molecules``: of the units of more than one atom; ``intact_C4H10O2`` and the like, by formula. Empty
            in cells without H, C and N.
        """
        if not self.has_molecules:
            return {}
        whole = ~self.broken()
        formulas = np.array([formula(self._numbers[self.unit == m]) for m in range(len(self.several))])
        kinds = sorted(set(formulas[self.several].tolist()))
        chosen = {"molecules": self.several} | {kind: self.several & (formulas == kind) for kind in kinds}
        return {f"intact_{name}": whole[:, members].mean(axis=1) for name, members in chosen.items()}

    def fragments(self) -> dict[str, np.ndarray]:
        """Return the pieces of the last frame that are not intact units.

        Returns
        -------
        dict
            ``fragments`` (K,) formulas in alphabetical order, ``fragment_counts`` (K,) int; left out if the
            cell as built holds no covalent bond.
        """
        if not self.has_units:
            return {}
        piece = pieces(self._last, len(self._numbers))
        changed = self._rows[-1][-1][self.unit] & (self._numbers != LITHIUM)
        counts = Counter(formula(self._numbers[piece == p]) for p in np.unique(piece[changed]).tolist())
        names = sorted(counts)
        return {
            "fragments": np.array(names, dtype=f"<U{max(map(len, names), default=1)}"),
            "fragment_counts": np.array([counts[n] for n in names], dtype=np.int64),
        }


def _without_networks(piece: IntArray, built: Frames) -> IntArray:
    """Return units: of pieces too large for a molecule, each central atom with the corners nearest to it."""
    anions = np.isin(built.numbers, [atomic_numbers[s] for s in ANIONS if s != "P"])
    for p in np.flatnonzero(np.bincount(piece) > LARGEST_MOLECULE):
        own = np.flatnonzero(piece == p)
        centres, corners = own[~anions[own]], own[anions[own]]
        if len(centres):
            nearest = distances(built, corners, centres).argmin(axis=1)
            piece[centres] = piece.max() + 1 + np.arange(len(centres))
            piece[corners] = piece[centres][nearest]
    return np.asarray(np.unique(piece, return_inverse=True)[1])


def distances(frame: Frames, first: IntArray, second: IntArray) -> FloatArray:
    """Return (A, B) distances between atoms of the first frame to the nearest images, in cells not too oblique."""
    cell = frame.cells[0]
    vectors = frame.positions[0, second][None] - frame.positions[0, first][:, None]
    if abs(np.linalg.det(cell)) > 1e-9:
        scaled = vectors @ np.linalg.inv(cell)
        vectors = (scaled - np.round(scaled) * frame.pbc) @ cell
    return np.asarray(np.linalg.norm(vectors, axis=2))
