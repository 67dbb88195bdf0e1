"""Facets of the electrolyte: the host's smallest cell, and that cell turned onto a lattice plane."""

from dataclasses import dataclass
from itertools import product
from math import gcd

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from aiida_haml.arrays import FloatArray, IntArray
from aiida_haml.structures.charges import MOBILE, Content
from aiida_haml.structures.interface.settings import Indices

#: Two sites are the same one in another copy of the host's cell within this, Angstrom.
SAME_SITE = 0.05


@dataclass(frozen=True, eq=False)
class HostCell:
    """The smallest cell of a host along its bulk's axes, all sites at their mean occupancy.

    Parameters
    ----------
    atoms : Atoms
        N sites, ``arrays['sites']`` with their labels.
    repeats : (int, int, int)
        How often it lies in the bulk's cell along each axis.
    contents : tuple of mapping
        Atoms of each element on each site.
    """

    atoms: Atoms
    repeats: Indices
    contents: tuple[Content, ...]

    @property
    def cubic(self) -> bool:
        """Whether the cell is a cube to 0.01 %."""
        lengths, angles = self.atoms.cell.lengths(), self.atoms.cell.angles()
        return bool(np.ptp(lengths) < 1e-4 * lengths[0] and np.abs(angles - 90).max() < 1e-2)


def labels_of(atoms: Atoms) -> list[str]:
    """Return the sublattice labels, or the elements where an atom has no label."""
    if "sites" in atoms.arrays:
        return [str(label) for label in atoms.arrays["sites"]]
    return list(atoms.get_chemical_symbols())


def host_cell(parent: Atoms) -> HostCell:
    """Fold a pristine host, which may be a supercell with ordered lithium, into its smallest cell.

    The repeat along each axis is the largest whose translation maps the immobile atoms onto themselves. What a
    site holds is told by ``info["occupancies"]``, ``{label: {element: share}}``, where there is one, or else
    counted.
    """
    labels = np.array(labels_of(parent))
    framework = np.array(parent.get_chemical_symbols()) != MOBILE
    if not framework.any():
        framework[:] = True
    scaled = parent.get_scaled_positions()
    repeats = tuple(_repeats_along(axis, scaled[framework], labels[framework], parent) for axis in range(3))
    cell = parent.cell.array / np.array(repeats)[:, None]
    folded = scaled * repeats % 1.0
    kept: list[int] = []
    counts: list[float] = []
    for i in range(len(parent)):
        near = nearest_site(folded[i], folded[kept], cell) if kept else None
        if near is not None and near[1] < SAME_SITE and labels[kept[near[0]]] == labels[i]:
            counts[near[0]] += 1.0
        else:
            kept.append(i)
            counts.append(1.0)
    atoms = Atoms([parent[k].symbol for k in kept], scaled_positions=folded[kept], cell=cell, pbc=True)
    atoms.set_array("sites", labels[kept])
    atoms.info = {"charges": parent.info.get("charges", {})}
    shares = parent.info.get("occupancies", {})
    contents = tuple(
        {element: float(share) * n / np.prod(repeats) for element, share in shares.get(label, {symbol: 1.0}).items()}
        for label, symbol, n in zip(labels[kept], atoms.get_chemical_symbols(), counts, strict=True)
    )
    return HostCell(atoms, (repeats[0], repeats[1], repeats[2]), contents)


def _repeats_along(axis: int, scaled: FloatArray, labels: NDArray[np.str_], parent: Atoms) -> int:
    for n in range(max(1, int(parent.cell.lengths()[axis] / 3.0)), 1, -1):
        moved = scaled.copy()
        moved[:, axis] += 1.0 / n
        if all(
            nearest_site(position, scaled[labels == label], parent.cell.array)[1] < SAME_SITE
            for position, label in zip(moved, labels, strict=True)
        ):
            return n
    return 1


def nearest_site(position: FloatArray, others: FloatArray, cell: FloatArray) -> tuple[int, float]:
    """Return which of (N, 3) scaled positions is nearest to one, and how far it is in Angstrom."""
    difference = others - position
    distances = np.linalg.norm((difference - np.round(difference)) @ cell, axis=1)
    k = int(distances.argmin())
    return k, float(distances[k])


@dataclass(frozen=True, eq=False)
class Facet:
    """A lattice plane of a cell.

    Parameters
    ----------
    indices : (int, int, int)
        Of the plane, in the reciprocal vectors of the cell that is turned.
    basis : (3, 3) int array
        Rows: two shortest vectors in the plane and the shortest out of it, of determinant 1.
    turn : (3, 3) array
        Rotation that brings the first vector along x and the normal along z, x' = T x.
    """

    indices: Indices
    basis: IntArray
    turn: FloatArray

    def oriented(self, atoms: Atoms) -> Atoms:
        """Return the same atoms in the same order, turned, in a cell whose first two vectors span the plane."""
        turned = atoms.copy()
        turned.set_cell(self.basis @ atoms.cell.array @ self.turn.T, scale_atoms=False)
        turned.positions = atoms.positions @ self.turn.T
        cell = turned.cell.array.copy()
        cell[0, 1:], cell[1, 2] = 0.0, 0.0  # zero but for the last digit
        turned.set_cell(cell, scale_atoms=False)
        return turned


def facet_of(cell: FloatArray, indices: Indices) -> Facet:
    """Return the smallest basis of a lattice plane of a (3, 3) cell, Angstrom; of equal ones that along the axes."""
    normal = np.array(indices)
    reach = int(np.abs(normal).max()) + 1
    grid = np.array(list(product(range(-reach, reach + 1), repeat=3)))
    lengths = np.round(np.linalg.norm(grid @ cell, axis=1), 6)
    order = np.lexsort((-grid[:, 2], -grid[:, 1], -grid[:, 0], lengths))
    grid = grid[order]
    flat = grid[(grid @ normal == 0) & np.any(grid != 0, axis=1)]
    first = flat[0]
    second = next(v for v in flat if (np.cross(first, v) == normal).all())
    third = next(v for v in grid if v @ normal == 1)
    turns = ((first, second), (second, -first), (-first, -second), (-second, first))
    first, second = max(turns, key=lambda pair: (*pair[0].tolist(), *pair[1].tolist()))
    basis = np.array([first, second, third])
    vectors = basis @ cell
    x = vectors[0] / np.linalg.norm(vectors[0])
    z = np.cross(vectors[0], vectors[1])
    z /= np.linalg.norm(z)
    turn = np.array([x, np.cross(z, x), z])
    return Facet(indices, basis, np.where(np.abs(turn) < 1e-15, 0.0, turn))


def host_facet(host: HostCell, facet: Indices) -> Facet:
    """Return a facet of the host's cell.

    In a cube the equivalent with ascending indices is taken, so that the normal of (100) is the cell's third
    vector; in other cells the indices are what they are.
    """
    first, second, third = sorted(facet, key=abs) if host.cubic else facet
    return facet_of(host.atoms.cell.array, (first, second, third))


def bulk_facet(bulk: Atoms, host: HostCell, facet: Facet) -> Facet:
    """Return the same facet of a bulk cell of ``host.repeats`` host cells, in the bulk's own indices."""
    scaled = np.array(facet.indices) * np.array(host.repeats)
    first, second, third = (scaled // gcd(*scaled.tolist())).tolist()
    return facet_of(bulk.cell.array, (first, second, third))
