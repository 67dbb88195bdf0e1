"""Checks that refuse a cell, with numbers, before a machine spends a night on it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from ase import Atoms
from ase.data import covalent_radii
from numpy.typing import NDArray

from aiida_haml.structures.errors import StructureError

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


def check_finite(atoms: Atoms) -> None:
    """Refuse a cell without atoms or volume, or with NaN in it."""
    if len(atoms) == 0:
        raise StructureError("atoms", 0, "is no structure", "Give a cell with atoms in it.")
    if not np.isfinite(atoms.positions).all():
        bad = np.flatnonzero(~np.isfinite(atoms.positions).all(axis=1)).tolist()
        raise StructureError(
            "positions", bad, "are the atoms whose coordinates are not finite", "Look at what wrote them."
        )
    volume = float(abs(np.linalg.det(atoms.cell.array)))
    if not np.isfinite(volume) or (atoms.pbc.all() and volume < 1e-6):
        raise StructureError("cell", volume, "is not a volume in Angstrom^3", "Give three cell vectors.")


def check_overlaps(atoms: Atoms, fraction: float = 0.7) -> None:
    """Refuse two atoms closer than ``fraction`` of the sum of their covalent radii."""
    radii = covalent_radii[atoms.numbers]
    pairs = pairs_within(atoms, 2 * fraction * float(radii.max()))
    limits = fraction * (radii[pairs.i] + radii[pairs.j])
    worst = np.argmin(pairs.distances / limits) if len(pairs.i) else None
    if worst is None or pairs.distances[worst] >= limits[worst]:
        return
    i, j = int(pairs.i[worst]), int(pairs.j[worst])
    names = f"{atoms.symbols[i]}{i}-{atoms.symbols[j]}{j}"
    raise StructureError(
        "positions",
        names,
        f"are {pairs.distances[worst]:.3f} Angstrom apart, below {limits[worst]:.3f} ({fraction:g} of the "
        f"sum of their covalent radii); {int((pairs.distances < limits).sum()) // 2} pairs overlap",
        "Widen the gap or choose another cut, cell or configuration.",
    )


def check_reach(atoms: Atoms, reach: float) -> None:
    """Refuse a periodic cell that is thinner than ``reach`` (Angstrom) along a periodic direction."""
    heights = cell_heights(atoms)
    thin = [round(float(heights[k]), 3) for k in range(3) if atoms.pbc[k] and heights[k] < reach]
    if thin:
        raise StructureError(
            "cell",
            [round(float(h), 3) for h in heights],
            f"are the distances between its faces in Angstrom, of which {thin} lie below "
            f"the potential's reach of {reach:g}, so that atoms see their own images",
            "Repeat the cell in that direction, or add layers.",
        )


def check_tetrahedra(atoms: Atoms, expected: int) -> None:
    """Refuse a cell that holds another number of whole PS4 units (S, O, Se corners) than ``expected``."""
    intact = count_intact_tetrahedra(atoms)
    if intact != expected:
        raise StructureError(
            "PS4 units",
            intact,
            f"is the number of whole ones (four S, O or Se within {PHOSPHORUS_BOND} Angstrom of P); "
            f"{expected} are expected",
            "Cut where no P-S bond crosses, or do not displace the corners.",
        )


def check_strain(strain: NDArray[np.float64], limit: float) -> None:
    """Refuse a strain tensor whose largest principal value exceeds ``limit``, both dimensionless."""
    largest = float(np.abs(np.linalg.eigvalsh(np.asarray(strain))).max())
    if largest > limit:
        raise StructureError(
            "strain",
            round(largest, 5),
            f"is the largest principal strain, above the limit of {limit:g}",
            "Allow a larger cell, or raise max_strain if that is meant.",
        )


def check(
    atoms: Atoms,
    *,
    reach: float = 5.0,
    overlap_fraction: float = 0.7,
    tetrahedra: int | None = None,
    strain: NDArray[np.float64] | None = None,
    max_strain: float = 0.03,
) -> None:
    """Refuse a cell that should not be simulated; return nothing if all is well.

    Parameters
    ----------
    atoms : Atoms
    reach : float
        Cutoff of the potential, Angstrom; no periodic direction may be thinner.
    overlap_fraction : float
        Of the sum of the covalent radii; closer pairs are refused.
    tetrahedra : int, optional
        Whole PS4 units (S, O or Se at the corners) that there must be; not counted where left out.
    strain : (2, 2) or (3, 3) array, optional
        Symmetric strain tensor to be held against ``max_strain``.
    max_strain : float

    Raises
    ------
    StructureError
        With the field, the numbers and the remedy of the first check that fails.
    """
    check_finite(atoms)
    check_reach(atoms, reach)
    check_overlaps(atoms, overlap_fraction)
    if tetrahedra is not None:
        check_tetrahedra(atoms, tetrahedra)
    if strain is not None:
        check_strain(strain, max_strain)
