"""What is measured on a cell: pairs of near atoms, whole tetrahedra, heights and voids."""

from dataclasses import dataclass

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

#: Anions that may sit at the corner of a PS4 unit, doped or not.
TETRAHEDRON_ANIONS = ("S", "O", "Se")

#: A P-X pair below this distance is a bond, Angstrom. P-O 1.53, P-S 2.02, P-Se 2.20; the next shell is above
#: 3.3.
PHOSPHORUS_BOND = 2.5


@dataclass(frozen=True)
class Pairs:
    """Directed pairs of atoms: ``i`` and ``j`` (M,) indices, ``distances`` (M,) in Angstrom."""

    i: NDArray[np.int64]
    j: NDArray[np.int64]
    distances: NDArray[np.float64]


def pairs_within(atoms: Atoms, cutoff: float) -> Pairs:
    """Return all directed pairs closer than ``cutoff`` (Angstrom), periodic images included."""
    from vesin import NeighborList  # brings torch where that is installed; a specification is checked without

    neighbours = NeighborList(cutoff=cutoff, full_list=True, sorted=True)
    i, j, distances = neighbours.compute(
        points=atoms.positions, box=atoms.cell.array, periodic=atoms.pbc.tolist(), quantities="ijd"
    )
    return Pairs(i.astype(np.int64), j.astype(np.int64), distances)


def count_intact_tetrahedra(atoms: Atoms) -> int:
    """Return how many P have exactly four S, O or Se within 2.5 Angstrom."""
    symbols = np.array(atoms.get_chemical_symbols())
    pairs = pairs_within(atoms, PHOSPHORUS_BOND)
    bonds = (symbols[pairs.i] == "P") & np.isin(symbols[pairs.j], TETRAHEDRON_ANIONS)
    corners = np.bincount(pairs.i[bonds], minlength=len(atoms))
    return int((corners[symbols == "P"] == 4).sum())


def cell_heights(atoms: Atoms) -> NDArray[np.float64]:
    """Return the (3,) distances between opposite faces of the cell, Angstrom."""
    cell = atoms.cell.array
    areas = np.linalg.norm(np.cross(cell[[1, 2, 0]], cell[[2, 0, 1]]), axis=1)
    return np.asarray(abs(np.linalg.det(cell)) / areas)


def widest_void(atoms: Atoms) -> float:
    """Return the thickest layer along the third cell vector's face normal without an atom in it, Angstrom."""
    height = float(cell_heights(atoms)[2])
    levels = np.sort(atoms.get_scaled_positions(wrap=False)[:, 2] % 1.0) * height
    return float(np.diff(np.append(levels, levels[0] + height)).max())
