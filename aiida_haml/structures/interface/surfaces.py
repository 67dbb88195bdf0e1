"""The host's cell on a facet, and what is asked of it wherever it is cut: charges, planes, bonds, operations.

A cut is polar where the repeat unit that it makes has a dipole along the normal (type 3 of P. W. Tasker, J. Phys. C 12,
4977 (1979)): a slab of such units stays whole only by moving charge from one face to the other. Against a metal on both
sides that charge comes from the metal: the interface reacts to the cut before it reacts to the electrolyte.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import spglib
from ase import Atoms

from aiida_haml.arrays import FloatArray
from aiida_haml.structures.charges import MOBILE, Content, charges_of, mean_charges
from aiida_haml.structures.geometry import PHOSPHORUS_BOND, TETRAHEDRON_ANIONS
from aiida_haml.structures.interface.facets import SAME_SITE, Facet, HostCell, labels_of

#: Atomic planes closer than this are one plane when a place for the cut is sought, Angstrom.
PLANE_TOLERANCE = 0.05

#: A repeat unit with less dipole per area than this is not polar, e / Angstrom. What is zero by symmetry
#: comes out below 1e-6; the smallest of a polar cut of the argyrodite is 0.07.
POLAR = 1e-3


@dataclass(frozen=True, eq=False)
class Surface:
    """The host's cell on a facet, and what is asked of it for each cut."""

    atoms: Atoms
    contents: tuple[Content, ...]
    charges: FloatArray
    bonds: list[tuple[int, int, float]]  # P, corner, height of the corner above P
    spacing: float
    area: float
    operations: list[tuple[float, FloatArray, FloatArray]]  # height, rotation and shift of scaled positions

    def levels(self, height: float, raised: tuple[int, ...] = ()) -> FloatArray:
        """Return the (N,) heights above the cut; atoms in its plane are at zero, the raised a spacing above."""
        levels = (self.atoms.positions[:, 2] - height + PLANE_TOLERANCE) % self.spacing - PLANE_TOLERANCE
        levels[list(raised)] += self.spacing
        return levels


def surface_of(host: HostCell, facet: Facet) -> Surface:
    atoms = facet.oriented(host.atoms)
    atoms.pbc = True
    cell = atoms.cell.array
    spacing, area = float(cell[2, 2]), float(cell[0, 0] * cell[1, 1])
    charges = mean_charges(host.contents, charges_of(host.atoms))
    return Surface(atoms, host.contents, charges, _tetrahedra(atoms), spacing, area, flips(atoms))


def _tetrahedra(atoms: Atoms) -> list[tuple[int, int, float]]:
    """Return the bonds of all P with four anions around it: P, anion, height of the anion above P."""
    from vesin import NeighborList  # as in checks: brings torch where that is installed

    symbols = np.array(atoms.get_chemical_symbols())
    i, j, vectors = NeighborList(cutoff=PHOSPHORUS_BOND, full_list=True, sorted=True).compute(
        points=atoms.positions, box=atoms.cell.array, periodic=True, quantities="ijD"
    )
    bonds = (symbols[i] == "P") & np.isin(symbols[j], TETRAHEDRON_ANIONS)
    whole = np.bincount(i[bonds], minlength=len(atoms)) == 4
    return [
        (int(a), int(b), float(v[2])) for a, b, v in zip(i[bonds], j[bonds], vectors[bonds], strict=True) if whole[a]
    ]


def flips(atoms: Atoms) -> list[tuple[float, FloatArray, FloatArray]]:
    """Return the host's operations that turn the normal over, each with the height in the cell that it keeps.

    Those of the immobile atoms: how lithium is ordered is not the host's.
    """
    symbols = np.array(atoms.get_chemical_symbols())
    framework = symbols != MOBILE if (symbols != MOBILE).any() else np.full(len(symbols), True)
    names = [f"{label} {symbol}" for label, symbol in zip(labels_of(atoms), symbols, strict=True)]
    kinds = [sorted(set(names)).index(name) for name in names]
    cell = atoms.cell.array
    symmetry = spglib.get_symmetry(
        (cell, atoms.get_scaled_positions()[framework], np.array(kinds)[framework]), symprec=SAME_SITE
    )
    if symmetry is None:
        return []
    spacing = float(cell[2, 2])
    found = []
    for rotation, translation in zip(symmetry["rotations"], symmetry["translations"], strict=True):
        turned = cell.T @ rotation @ np.linalg.inv(cell.T)
        if not np.allclose(turned[2], [0, 0, -1], atol=1e-6):
            continue
        for step in (0, 1):
            shift = translation + np.array([0, 0, step])
            height = float((shift @ cell)[2] / 2 % spacing)
            found.append((0.0 if spacing - height < 1e-6 else height, rotation, shift))
    return found


def planes(contents: Sequence[Content], heights: FloatArray, tolerance: float) -> list[dict[str, float]]:
    """Return what lies in each plane of ions by element, occupancies summed, from below.

    Atoms follow one another by less than ``tolerance`` (Angstrom) in a plane.
    """
    order = np.argsort(heights, kind="stable")
    breaks = np.flatnonzero(np.diff(heights[order]) > tolerance) + 1
    found = []
    for members in np.split(order, breaks):
        content: dict[str, float] = {}
        for k in members:
            for symbol, n in contents[k].items():
                content[symbol] = content.get(symbol, 0.0) + n
        found.append({symbol: round(n, 6) for symbol, n in sorted(content.items())})
    return found
