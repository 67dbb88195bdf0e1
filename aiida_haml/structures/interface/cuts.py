"""Facets of the electrolyte: its cell turned onto a lattice plane, and where it is cut open there.

Cuts are sought on the pristine host, in its smallest cell along the bulk's axes, with every site at its mean
occupancy. Neither a dopant nor an ordering of the lithium has a say, so that all candidates of a host are cut
at the same place. Every atom of a doped and ordered bulk then goes to the side where its site goes, however
far it is displaced from it.

Two kinds of cut are looked for. A *plain* one passes between two atomic planes. A *split* one passes through
a plane that a symmetry operation of the host which turns the normal over maps onto itself: half of the plane
stays below, the half that the operation makes of it goes above, and both faces of the slab are the same. That
is how a face gets non-polar whose planes alternate in charge, as those of the argyrodite's (100) do.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import product
from math import gcd

import numpy as np
import spglib
from ase import Atoms
from numpy.typing import NDArray

from aiida_haml.structures.errors import StructureError
from aiida_haml.structures.geometry import PHOSPHORUS_BOND, TETRAHEDRON_ANIONS
from aiida_haml.structures.interface.polarity import MOBILE, POLAR, Content, average_charges, planes, tasker_type

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

#: Atomic planes closer than this are one plane when a place for the cut is sought, Angstrom.
PLANE_TOLERANCE = 0.05

#: A displaced atom belongs to a site of its sublattice nearer than this, Angstrom: a corner of PS4 moves by
#: up to 0.5 when it is doped, sites of one sublattice are more than 1 apart (but for pairs of Li, which stay
#: on their side by their own height).
SITE_REACH = 0.6

#: Two sites are the same one in another copy of the host's cell within this, Angstrom.
SAME_SITE = 0.05

#: Largest Miller index.
MAX_INDEX = 4


# -- indices ------------------------------------------------------------------------------------------------


def read_indices(facet: object, name: str = "interface.electrolyte_facet") -> tuple[int, int, int]:
    """Return the Miller indices of ``"110"``, ``"1-10"`` or ``[1, 1, 0]``.

    Raises
    ------
    StructureError
        If that is no lattice plane, or an index is above 4.
    """
    remedy = 'Give three digits such as "100", "110", "111" or "1-10", or a list of three whole numbers.'
    if isinstance(facet, str) and re.fullmatch(r"(-?\d){3}", facet):
        indices = [int(digit) for digit in re.findall(r"-?\d", facet)]
    elif isinstance(facet, (list, tuple)) and len(facet) == 3 and all(type(h) is int for h in facet):
        indices = list(facet)
    else:
        raise StructureError(name, facet, "is not a lattice plane", remedy)
    if not any(indices) or max(map(abs, indices)) > MAX_INDEX:
        raise StructureError(name, facet, f"is not a lattice plane with indices up to {MAX_INDEX}", remedy)
    first, second, third = (index // gcd(*indices) for index in indices)
    return first, second, third


# -- the host's own cell ------------------------------------------------------------------------------------


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
    repeats: tuple[int, int, int]
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
        near = _nearest(folded[i], folded[kept], cell) if kept else None
        if near is not None and near[1] < SAME_SITE and labels[kept[near[0]]] == labels[i]:
            counts[near[0]] += 1.0
        else:
            kept.append(i)
            counts.append(1.0)
    atoms = Atoms([parent[k].symbol for k in kept], scaled_positions=folded[kept], cell=cell, pbc=True)
    atoms.set_array("sites", labels[kept])
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
            _nearest(position, scaled[labels == label], parent.cell.array)[1] < SAME_SITE
            for position, label in zip(moved, labels, strict=True)
        ):
            return n
    return 1


def _nearest(position: FloatArray, others: FloatArray, cell: FloatArray) -> tuple[int, float]:
    """Return which of (N, 3) scaled positions is nearest to one, and how far it is in Angstrom."""
    difference = others - position
    distances = np.linalg.norm((difference - np.round(difference)) @ cell, axis=1)
    k = int(distances.argmin())
    return k, float(distances[k])


# -- a facet ------------------------------------------------------------------------------------------------


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

    indices: tuple[int, int, int]
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


def facet_of(cell: FloatArray, indices: tuple[int, int, int]) -> Facet:
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


def host_facet(host: HostCell, facet: tuple[int, int, int]) -> Facet:
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


# -- cuts ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Cut:
    """A place where the electrolyte is opened.

    Parameters
    ----------
    shift : float
        Height as a fraction of the host cell's spacing along the normal.
    void : float
        Distance of the planes beside it, Angstrom; for a split cut, of the planes beside the split one.
    intact, expected : int
        Whole PS4 units per host cell, opened here and in the bulk.
    dipole_per_area : float
        Along the normal, of one host cell opened here, sites at their mean charge, e / Angstrom.
    tasker : int
        Tasker's type, 1 to 3.
    lower, upper : str
        What the lowest and the highest plane of the slab hold, per host cell.
    alike : bool
        Whether an operation of the host maps one face onto the other.
    raised : tuple of int
        Sites of a split plane that go above.
    """

    shift: float
    void: float
    intact: int
    expected: int
    dipole_per_area: float
    tasker: int
    lower: str
    upper: str
    alike: bool
    raised: tuple[int, ...] = ()

    @property
    def polar(self) -> bool:
        """Whether the repeat unit has a dipole along the normal."""
        return abs(self.dipole_per_area) >= POLAR

    @property
    def split(self) -> bool:
        """Whether it passes through a plane of atoms."""
        return bool(self.raised)

    def rank(self) -> tuple[int, bool, bool, float, float]:
        """Sort key: most PS4 whole, non-polar before polar, plain before split, the widest void, the lowest."""
        return -self.intact, self.polar, self.split, -self.void, self.shift


@dataclass(frozen=True, eq=False)
class _Surface:
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


def find_cuts(host: HostCell, facet: Facet) -> list[Cut]:
    """Return the distinct cuts of a facet, best first (:meth:`Cut.rank`); equivalent ones are listed once."""
    surface = _surface(host, facet)
    heights = np.sort(surface.atoms.positions[:, 2] % surface.spacing)
    gaps = np.diff(np.append(heights, heights[0] + surface.spacing))
    cuts = []
    for k in np.flatnonzero(gaps > PLANE_TOLERANCE):
        cuts.append(_assess(surface, float(heights[k] + gaps[k] / 2), float(gaps[k]), ()))
    for height in sorted({round(op[0], 6) for op in surface.operations}):
        raised = _half_of_plane(surface, height)
        if raised:
            below, above = _beside(surface, height)
            cuts.append(_assess(surface, height, above - below, raised))
    distinct: dict[tuple[object, ...], Cut] = {}
    for cut in sorted(cuts, key=Cut.rank):
        faces = tuple(sorted([cut.lower, cut.upper]))
        key = (cut.intact, cut.split, round(cut.void, 4), round(abs(cut.dipole_per_area), 5), faces)
        distinct.setdefault(key, cut)
    return list(distinct.values())


def choose_cut(cuts: list[Cut], index: int = 0, alike: bool = False) -> Cut:
    """Return one of the cuts that leave every PS4 whole, by its index among them.

    Parameters
    ----------
    cuts : list of Cut
        Best first.
    index : int
    alike : bool
        Count only those whose two faces are the same.

    Raises
    ------
    StructureError
        If there are not so many.
    """
    whole = [cut for cut in cuts if cut.intact == cut.expected]
    if not whole:
        best = cuts[0]
        raise StructureError(
            "interface.electrolyte_facet",
            best.shift,
            f"is the height of the best cut, which leaves {best.intact} of {best.expected} PS4 units whole",
            "Choose another facet of the electrolyte.",
        )
    fit = [cut for cut in whole if cut.alike or not alike]
    if not fit:
        least = min(abs(cut.dipole_per_area) for cut in whole)
        raise StructureError(
            "interface.symmetric",
            True,
            f"asks for two equal faces, which none of the {len(whole)} cuts that leave PS4 whole has (the least "
            f"dipole per area is {least:.3f} e/Angstrom)",
            "Choose another electrolyte_facet, or leave symmetric out.",
        )
    if index >= len(fit):
        offered = "; ".join(f"{k}: {describe(cut)}" for k, cut in enumerate(fit))
        raise StructureError(
            "interface.cut",
            index,
            f"is not the index of a cut that leaves PS4 whole, of which there are {len(fit)}",
            f"Choose one of: {offered}.",
        )
    return fit[index]


def describe(cut: Cut) -> str:
    """Return a cut in one line."""
    kind = "through" if cut.split else "between planes with"
    polar = f"polar, {cut.dipole_per_area:+.3f} e/Angstrom" if cut.polar else "non-polar"
    where = f"{cut.lower}" if cut.split else f"{cut.upper} and {cut.lower}"
    return f"at {cut.shift:.4f}, {kind} {where}, void {cut.void:.2f} Angstrom, {polar}"


def _surface(host: HostCell, facet: Facet) -> _Surface:
    atoms = facet.oriented(host.atoms)
    atoms.pbc = True
    cell = atoms.cell.array
    spacing, area = float(cell[2, 2]), float(cell[0, 0] * cell[1, 1])
    charges = average_charges(host.contents)
    return _Surface(atoms, host.contents, charges, _tetrahedra(atoms), spacing, area, _flips(atoms))


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


def _flips(atoms: Atoms) -> list[tuple[float, FloatArray, FloatArray]]:
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


def _assess(surface: _Surface, height: float, void: float, raised: tuple[int, ...]) -> Cut:
    levels = surface.levels(height, raised)
    kept = [abs(levels[j] - levels[i] - rise) < 1e-6 for i, j, rise in surface.bonds]
    corners = np.bincount([i for (i, _, _), whole in zip(surface.bonds, kept, strict=True) if whole], minlength=1)
    dipole = float(surface.charges @ levels) / surface.area
    stack = planes(surface.contents, levels, surface.charges, PLANE_TOLERANCE)
    middle = height % surface.spacing
    kept_heights = [op[0] for op in surface.operations]
    apart = [abs((middle - h + surface.spacing / 2) % surface.spacing - surface.spacing / 2) for h in kept_heights]
    return Cut(
        shift=round(middle / surface.spacing, 10) % 1.0,
        void=round(void, 8),
        intact=int((corners == 4).sum()),
        expected=len(surface.bonds) // 4,
        dipole_per_area=round(dipole, 10),
        tasker=tasker_type(stack, dipole),
        lower=_formula(stack[0].content),
        upper=_formula(stack[-1].content),
        alike=bool(raised) or any(distance < PLANE_TOLERANCE / 2 for distance in apart),
        raised=raised,
    )


def _formula(content: tuple[tuple[str, float], ...]) -> str:
    return "".join(f"{symbol}{'' if n == 1 else f'{n:g}'}" for symbol, n in content)


def _beside(surface: _Surface, height: float) -> tuple[float, float]:
    """Return the heights of the planes below and above an atomic plane, relative to it."""
    levels = surface.levels(height)
    others = levels[levels > PLANE_TOLERANCE]
    if not len(others):
        return -surface.spacing, surface.spacing
    return float(others.max() - surface.spacing), float(others.min())


def _half_of_plane(surface: _Surface, height: float) -> tuple[int, ...]:
    """Return the sites of a plane that go above when it is split, or nothing if no operation halves it.

    An operation that keeps the plane permutes its sites; going round each cycle, every other one is raised,
    so that the operation maps the half below onto the half above. Which half of a cycle is raised is chosen
    so that what stays below is spread widest.
    """
    members = np.flatnonzero(np.abs(surface.levels(height)) <= PLANE_TOLERANCE)
    if not len(members):
        return ()
    best: tuple[float, tuple[int, ...]] | None = None
    for kept, rotation, shift in surface.operations:
        if abs(kept - height) > 1e-5:
            continue
        cycles = _cycles(surface.atoms, members, rotation, shift)
        if cycles is None:
            continue
        raised, spread = _spread_widest(surface.atoms, cycles)
        if best is None or spread > best[0] + 1e-6:
            best = (spread, raised)
    return best[1] if best is not None else ()


def _cycles(atoms: Atoms, members: IntArray, rotation: FloatArray, shift: FloatArray) -> list[list[int]] | None:
    """Return the cycles in which an operation permutes sites; None if it does not, or one cannot be halved."""
    scaled = atoms.get_scaled_positions(wrap=False)
    labels = labels_of(atoms)
    image: dict[int, int] = {}
    for k in members:
        near, distance = _nearest(rotation @ scaled[k] + shift, scaled[members], atoms.cell.array)
        if distance > 2 * PLANE_TOLERANCE or labels[members[near]] != labels[k]:
            return None
        image[int(k)] = int(members[near])
    if len(set(image.values())) != len(members):
        return None
    cycles, left = [], [int(k) for k in members]
    while left:
        cycle = [left[0]]
        while image[cycle[-1]] != cycle[0]:
            cycle.append(image[cycle[-1]])
        if len(cycle) % 2:
            return None
        cycles.append(cycle)
        left = [k for k in left if k not in cycle]
    return cycles


def _spread_widest(atoms: Atoms, cycles: list[list[int]]) -> tuple[tuple[int, ...], float]:
    """Choose a half of each cycle, in turn; return the raised and the shortest distance of those that stay."""
    scaled, cell = atoms.get_scaled_positions(wrap=False), atoms.cell.array
    raised: list[int] = []
    staying: list[int] = []
    for cycle in cycles:
        halves = [(cycle[::2], cycle[1::2]), (cycle[1::2], cycle[::2])]
        below, above = max(halves, key=lambda half: round(_shortest(scaled[staying + half[0]], cell), 6))
        staying += below
        raised += above
    return tuple(sorted(raised)), _shortest(scaled[staying], cell)


def _shortest(scaled: FloatArray, cell: FloatArray) -> float:
    """Return the shortest distance between scaled positions (N, 3), Angstrom; infinite for a single one."""
    if len(scaled) < 2:
        return np.inf
    difference = scaled[:, None] - scaled[None]
    distances = np.linalg.norm((difference - np.round(difference)) @ cell, axis=-1)
    return float(distances[~np.eye(len(scaled), dtype=bool)].min())


# -- opening ------------------------------------------------------------------------------------------------


def open_slab(bulk: Atoms, host: HostCell, facet: Facet, cut: Cut, cells: int = 1) -> Atoms:
    """Open a bulk, doped and ordered in whatever way, at a cut of its host.

    Parameters
    ----------
    bulk : Atoms
        N atoms in ``host.repeats`` host cells.
    host : HostCell
    facet : Facet
        Of the host's cell.
    cut : Cut
    cells : int
        Repeats of the bulk along the normal.

    Returns
    -------
    Atoms
        N * cells atoms, copies of an atom one after the other, periodic in the plane; the cell's third vector
        is the normal, as long as the bulk that it holds; ``arrays['bulk_index']`` says which atom of the bulk
        each one is.
    """
    plane = bulk_facet(bulk, host, facet)
    turned = plane.oriented(bulk)
    cell = turned.cell.array
    spacing = float(cell[2, 2])
    height = cut.shift * float(facet.oriented(host.atoms).cell.array[2, 2])
    owner, offsets = _sites_of(bulk, host)
    site_heights = turned.positions[:, 2] + offsets @ plane.turn[2]
    levels = (site_heights - height + PLANE_TOLERANCE) % spacing - PLANE_TOLERANCE
    up = np.isin(owner, cut.raised) & (np.abs(levels) <= PLANE_TOLERANCE)
    steps = np.round((levels - (site_heights - height)) / spacing) + up
    copies = steps[:, None] + np.arange(cells)[None, :]
    positions = turned.positions[:, None, :] + copies[:, :, None] * cell[2]
    positions[..., 2] -= height
    index = np.repeat(np.arange(len(bulk)), cells)
    box = np.array([cell[0], cell[1], [0.0, 0.0, cells * spacing]])
    symbols = np.array(bulk.get_chemical_symbols())[index]
    slab = Atoms(symbols, positions.reshape(-1, 3), cell=box, pbc=(True, True, False))
    slab.set_array("sites", np.array(labels_of(bulk))[index])
    slab.set_array("bulk_index", index)
    return slab


def _sites_of(bulk: Atoms, host: HostCell) -> tuple[IntArray, FloatArray]:
    """Return which site of the host each atom has (-1: none), and the (N, 3) way there from the atom, Angstrom."""
    scaled = bulk.get_scaled_positions() * np.array(host.repeats)
    sites, cell = host.atoms.get_scaled_positions(), host.atoms.cell.array
    labels, known = labels_of(bulk), np.array(labels_of(host.atoms))
    owner, offsets = np.full(len(bulk), -1), np.zeros((len(bulk), 3))
    for i, label in enumerate(labels):
        same = np.flatnonzero(known == label)
        if not len(same):
            continue
        near, distance = _nearest(scaled[i], sites[same], cell)
        if distance < SITE_REACH:
            difference = sites[same[near]] - scaled[i]
            owner[i], offsets[i] = same[near], (difference - np.round(difference)) @ cell
    return owner, offsets
