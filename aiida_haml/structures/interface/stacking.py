"""Slabs on top of one another: metal layers, how near two slabs may come, and one cell of all of them.

The gap rule: two slabs are brought as near as the contact distances allow, that is until the first pair across
the gap is as far apart as the same pair is in a crystal (:data:`CONTACTS`). One of them may be moved along
the surface to where that is nearest.

No energy is minimised to find the gap. A pair model of formal charges cannot say what lithium without a charge
does beside an ion, the metal's answer to the ions being its electrons'; a few steps of the potential or of the
ab initio engine can, and they begin from contact without a wall to climb.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from ase import Atoms
from ase.build import bcc100, bcc110, bcc111, make_supercell
from ase.data import atomic_numbers, covalent_radii
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from aiida_haml.arrays import FloatArray
from aiida_haml.structures.crystals import LITHIUM

#: Surfaces of a bcc metal that can be built, by Miller indices, and their planes' distance over a.
FACETS = {(1, 0, 0): bcc100, (1, 1, 0): bcc110, (1, 1, 1): bcc111}
PLANE_SPACINGS = {(1, 0, 0): 1 / 2, (1, 1, 0): 1 / 2**0.5, (1, 1, 1): 3**0.5 / 6}

#: Metals that can be put against the electrolyte, and their cubic lattice constants, Angstrom.
METALS = {"Li": LITHIUM.a}

#: Label in ``arrays['sites']`` of the metal's atoms.
METAL_SITE = "metal"

#: Nearest distance allowed between lithium metal and each element across a gap, Angstrom: the neighbour
#: distance in the binary compound, by the lattice constants of the reference crystals (``structures/data/references``);
#: for Li-Li that of Li2S (a / 2), which is between Li+ and Li+, not that of the metal. LiBr, LiI and LiH: Wyckoff,
#: Crystal Structures, vol. 1 (1963). Elements that are not here have the sum of the covalent radii.
CONTACTS = {
    "S": 5.708 * 3**0.5 / 4,
    "O": 4.619 * 3**0.5 / 4,
    "Se": 6.005 * 3**0.5 / 4,
    "Cl": 5.12954 / 2,
    "F": 4.0173 / 2,
    "Br": 5.501 / 2,
    "I": 6.000 / 2,
    "H": 4.083 / 2,
    "P": 4.264 / 3**0.5,
    "Li": 5.708 / 2,
}

#: Steps of the search for the metal's place along each surface vector of its own lattice.
REGISTRY_STEPS = 12


def contact_distance(symbol: str) -> float:
    """Return how near lithium metal may come to an element across a gap, Angstrom."""
    if symbol in CONTACTS:
        return float(CONTACTS[symbol])
    return float(covalent_radii[atomic_numbers["Li"]] + covalent_radii[atomic_numbers[symbol]])


def metal_layers(metal: str, facet: tuple[int, int, int], layers: int, a: float | None = None) -> Atoms:
    """Return a free metal's surface cell, labelled as metal.

    Parameters
    ----------
    metal : str
    facet : (int, int, int)
    layers : int
        Atomic planes.
    a : float, optional
        Lattice constant in Angstrom instead of the metal's own.

    Returns
    -------
    Atoms
        Right-handed surface vectors along xy, layers upwards from z = 0, periodic in the plane; the third
        vector is the normal, as long as the layers are thick in the crystal.
    """
    length = METALS[metal] if a is None else a
    built = FACETS[facet](metal, size=(1, 1, layers), a=length)
    cell = built.cell.array.copy()
    cell[2] = (0.0, 0.0, layers * PLANE_SPACINGS[facet] * length)
    positions = built.positions.copy()
    positions[:, 2] -= positions[:, 2].min()
    slab = Atoms(built.symbols, positions, cell=cell, pbc=(True, True, False))
    slab.set_array("sites", np.full(len(slab), METAL_SITE))
    return slab


def surface_vectors(atoms: Atoms) -> FloatArray:
    """Return the (2, 2) first two cell vectors, Angstrom, which lie along xy."""
    return np.asarray(atoms.cell.array[:2, :2])


def repeat_in_plane(atoms: Atoms, cell: NDArray[np.int64]) -> Atoms:
    """Return a (2, 2) supercell in the plane, the copies of an atom one after the other."""
    matrix = np.eye(3, dtype=int)
    matrix[:2, :2] = cell
    if (matrix == np.eye(3)).all():
        return atoms.copy()
    repeated = make_supercell(atoms, matrix, order="atom-major")
    repeated.info = dict(atoms.info)
    return repeated


def deformed(slab: Atoms, in_plane: FloatArray, normal: float) -> Atoms:
    """Return a slab mapped by a (2, 2) matrix in the plane and a factor along the normal, wrapped in the plane."""
    changed = slab.copy()
    cell = slab.cell.array.copy()
    cell[:2, :2] = cell[:2, :2] @ in_plane.T
    cell[2, 2] *= normal
    changed.set_cell(np.where(np.abs(cell) < 1e-9, 0.0, cell), scale_atoms=False)  # zero but for the last digit
    changed.positions[:, :2] = slab.positions[:, :2] @ in_plane.T
    changed.positions[:, 2] = slab.positions[:, 2] * normal
    changed.wrap()
    return changed


def contact_gap(below: Atoms, above: Atoms, shifts: FloatArray) -> FloatArray:
    """Return how near two slabs can come before the first pair across the gap is in contact.

    A pair with lateral distance rho and contact distance d needs a height difference of sqrt(d^2 - rho^2);
    the gap is what the most demanding pair leaves between the outermost planes.

    Parameters
    ----------
    below, above : Atoms
        N and M atoms of slabs in the same lateral cell; what is labelled metal demands nothing itself.
    shifts : (S, 2) array
        Lateral displacements of ``above``, Angstrom.

    Returns
    -------
    (S,) array
        Angstrom, between the highest plane of ``below`` and the lowest of ``above``.
    """
    radii = _contact_radii(below), _contact_radii(above)
    reach = float(max(radii[0].max(), radii[1].max()))
    depths = below.positions[:, 2].max() - below.positions[:, 2]
    heights = above.positions[:, 2] - above.positions[:, 2].min()
    near_below, near_above = np.flatnonzero(depths < reach), np.flatnonzero(heights < reach)
    owners, images = _images(below, near_below, reach)
    tree = cKDTree(images)
    vectors = surface_vectors(below)
    inverse = np.linalg.inv(vectors)
    gaps = np.zeros(len(shifts))
    for s, shift in enumerate(shifts):
        lateral = ((above.positions[near_above, :2] + shift) @ inverse % 1.0) @ vectors
        pairs = tree.sparse_distance_matrix(cKDTree(lateral), reach, output_type="ndarray")
        lower, upper = owners[pairs["i"]], near_above[pairs["j"]]
        squares = np.maximum(radii[0][lower], radii[1][upper]) ** 2 - pairs["v"] ** 2
        needed = np.sqrt(squares[squares > 0]) - (depths[lower] + heights[upper])[squares > 0]
        gaps[s] = max(0.0, float(needed.max(initial=0.0)))
    return gaps


def _images(slab: Atoms, members: NDArray[np.int64], reach: float) -> tuple[NDArray[np.int64], FloatArray]:
    """Return whose each lateral image no farther than ``reach`` from the cell is (I,), and where it is (I, 2)."""
    vectors = surface_vectors(slab)
    fractions = slab.positions[members, :2] @ np.linalg.inv(vectors) % 1.0
    margins = reach * np.linalg.norm(np.linalg.inv(vectors), axis=0)
    far = [np.arange(-int(np.ceil(margin)), int(np.ceil(margin)) + 1) for margin in margins]
    steps = np.array([(i, j) for i in far[0] for j in far[1]])
    images = (fractions[None] + steps[:, None]).reshape(-1, 2)
    owners = np.tile(members, len(steps))
    kept = np.all((images >= -margins) & (images <= 1 + margins), axis=1)
    return owners[kept], images[kept] @ vectors


def _contact_radii(slab: Atoms) -> FloatArray:
    """Contact distance of each atom to lithium metal; the metal itself demands nothing."""
    metal = slab.arrays["sites"] == METAL_SITE
    distances = np.array([contact_distance(symbol) for symbol in slab.get_chemical_symbols()])
    return np.where(metal, 0.0, distances)


def registry_shifts(primitive: FloatArray) -> FloatArray:
    """Return the (S, 2) lateral shifts tried: a grid over the metal's strained cell (2, 2), Angstrom."""
    steps = np.arange(REGISTRY_STEPS) / REGISTRY_STEPS
    return np.array([(i, j) for i in steps for j in steps]) @ primitive


@dataclass(frozen=True, eq=False)
class Layer:
    """A slab in a stack.

    Parameters
    ----------
    atoms : Atoms
        In the stack's lateral cell, ``arrays['sites']`` set.
    gap_above : float
        From its highest plane to the lowest of the next layer, Angstrom; of the last one, to the first's image.
    place : (2,) array
        Lateral displacement, Angstrom.
    """

    atoms: Atoms
    gap_above: float
    place: FloatArray


def stack(layers: Sequence[Layer]) -> list[Atoms]:
    """Put slabs on top of one another in one periodic cell.

    Parameters
    ----------
    layers : sequence of Layer
        From below; half of the last one's gap lies below the first.

    Returns
    -------
    list of Atoms
        The slabs at their places, in the order given, all in the stack's cell and wrapped into it.
    """
    height = layers[-1].gap_above / 2
    placed = []
    for k, layer in enumerate(layers):
        atoms = layer.atoms.copy()
        atoms.positions[:, :2] += layer.place
        atoms.positions[:, 2] += height - atoms.positions[:, 2].min()
        height = float(atoms.positions[:, 2].max()) + layer.gap_above / (2 if k == len(layers) - 1 else 1)
        placed.append(atoms)
    cell = layers[0].atoms.cell.array.copy()
    cell[2] = (0.0, 0.0, height)
    for atoms in placed:
        atoms.set_cell(cell, scale_atoms=False)
        atoms.pbc = True
        atoms.wrap()
    return placed


def joined(parts: Sequence[Atoms]) -> Atoms:
    """Return the atoms of all parts in one, in order, with the cell of the first and all labels."""
    symbols = [symbol for part in parts for symbol in part.get_chemical_symbols()]
    positions = np.concatenate([part.positions for part in parts])
    atoms = Atoms(symbols, positions, cell=parts[0].cell, pbc=parts[0].pbc)
    atoms.set_array("sites", np.concatenate([part.arrays["sites"] for part in parts]))
    atoms.info = dict(parts[0].info)
    return atoms


def sorted_by_height(slab: Atoms) -> Atoms:
    """Return the atoms from the lowest up; in a plane by y, then x."""
    return slab[np.lexsort(np.round(slab.positions, 6).T)]
