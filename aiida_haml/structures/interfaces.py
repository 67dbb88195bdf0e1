"""Solid interfaces: a slab of the electrolyte and a few layers of the metal, periodic along z without vacuum.

The electrolyte lies below, the metal on top of it, and the electrolyte's next image on top of the metal: one
cell holds both of the electrolyte's terminations, as a (100) cut of the argyrodite has two.

The gap rule: each side of the metal is brought as near as the contact distances allow, that is until the
first pair across the gap is as far apart as the same pair is in a crystal (``CONTACTS``). The metal is
shifted along the surface to where both gaps together are smallest.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from ase import Atoms
from ase.build import bcc100, bcc110, bcc111, make_supercell
from numpy.typing import NDArray

from aiida_haml.structures.checks import check, count_intact_tetrahedra, pairs_within
from aiida_haml.structures.crystals import LITHIUM, REFERENCE_PHASES
from aiida_haml.structures.errors import StructureError
from aiida_haml.structures.matching import Match, best_match

FloatArray = NDArray[np.float64]

#: Surfaces of a bcc metal that can be built, by Miller indices.
FACETS = {(1, 0, 0): bcc100, (1, 1, 0): bcc110, (1, 1, 1): bcc111}

#: Metals that can be put against the electrolyte, and their cubic lattice constants, Angstrom.
METALS = {"Li": LITHIUM.a}


#: Nearest distance allowed between lithium metal and each element across a gap, Angstrom: the neighbour
#: distance in the binary compound; for Li-Li that of Li2S (a / 2), which is between Li+ and Li+, not that of
#: the metal.
CONTACTS = {
    "S": REFERENCE_PHASES["Li2S"].a * 3**0.5 / 4,
    "O": REFERENCE_PHASES["Li2O"].a * 3**0.5 / 4,
    "Se": REFERENCE_PHASES["Li2Se"].a * 3**0.5 / 4,
    "Cl": REFERENCE_PHASES["LiCl"].a / 2,
    "F": REFERENCE_PHASES["LiF"].a / 2,
    "P": REFERENCE_PHASES["Li3P"].a / 3**0.5,
    "Li": REFERENCE_PHASES["Li2S"].a / 2,
}

#: Steps of the search for the metal's place along each surface vector of its own lattice.
REGISTRY_STEPS = 12

#: Atomic planes closer than this are one plane when a place for the cut is sought, Angstrom.
PLANE_TOLERANCE = 0.05


#: Label in ``arrays['sites']`` of the metal's atoms.
METAL_SITE = "metal"


@dataclass(frozen=True)
class InterfaceSettings:
    """What an interface is to be.

    Parameters
    ----------
    metal : str
    facet : (int, int, int)
        Miller indices of the metal's surface: (1, 0, 0), (1, 1, 0) or (1, 1, 1). The electrolyte's is (100).
    layers : int
        Atomic layers of the metal.
    max_strain : float
        Limit of the metal's largest principal strain.
    gap_A : float, optional
        Distance between the outermost atomic planes at both sides, Angstrom; from the contact rule if left
        out.
    max_area_A2 : float
        Largest interface area searched for a match, Angstrom^2.
    metal_a_A : float, optional
        Lattice constant of the metal instead of the experimental one, Angstrom.

    Raises
    ------
    StructureError
        If a value makes no sense.
    """

    metal: str = "Li"
    facet: tuple[int, int, int] = (1, 0, 0)
    layers: int = 2
    max_strain: float = 0.03
    gap_A: float | None = None
    max_area_A2: float = 200.0
    metal_a_A: float | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.metal, str) or self.metal not in METALS:
            known = ", ".join(METALS)
            raise StructureError("interface.metal", self.metal, "is not a known metal", f"Choose one of {known}.")
        facet = self.facet
        if not isinstance(facet, (list, tuple)) or list(facet) not in [list(known) for known in FACETS]:
            known = ", ".join(str(list(f)) for f in FACETS)
            raise StructureError(
                "interface.facet", facet, "is not a facet that can be built", f"Choose one of {known}."
            )
        object.__setattr__(self, "facet", tuple(int(h) for h in facet))
        if isinstance(self.layers, bool) or not isinstance(self.layers, int) or self.layers < 1:
            raise StructureError("interface.layers", self.layers, "is not a number of layers", "Give 1 or more.")
        _require_number("interface.max_strain", self.max_strain, 0.0, 0.15)
        _require_number("interface.max_area_A2", self.max_area_A2, 10.0, 2000.0)
        if self.gap_A is not None:
            _require_number("interface.gap_A", self.gap_A, 0.5, 20.0)
        if self.metal_a_A is not None:
            _require_number("interface.metal_a_A", self.metal_a_A, 2.0, 8.0)


def _require_number(field: str, value: object, low: float, high: float) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not low < value <= high:
        raise StructureError(
            field,
            value,
            "is out of range",
            f"Give a number above {low:g} and up to {high:g}, or leave it out.",
        )


@dataclass(frozen=True)
class InterfaceReport:
    """What was built and which choices were made; plain numbers and lists, so that it can be stored as it is.

    Lengths in Angstrom, areas in Angstrom^2, strains dimensionless along the cell's axes, atoms by index.
    """

    electrolyte_supercell: list[list[int]]
    metal_supercell: list[list[int]]
    metal_rotation_degrees: float
    area: float
    strain: list[list[float]]
    largest_strain: float
    cut_shift: float
    cut_void: float
    tetrahedra_intact: int
    tetrahedra_expected: int
    gap_below_metal: float
    gap_above_metal: float
    shortest_distance: float
    shortest_pair: str
    shortest_by_pair: dict[str, float]
    n_electrolyte: int
    n_metal: int
    electrolyte_thickness: float
    metal_thickness: float
    metal_layers: int
    regions: dict[str, list[int]]

    def to_dict(self) -> dict[str, Any]:
        """Return the report as a plain dictionary."""
        return asdict(self)


# -- the cut ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Cut:
    """A plane between atoms.

    ``shift`` is a fraction of the cell's height, ``void`` the distance of the planes beside it in Angstrom,
    ``intact`` the number of whole PS4 units in the slab that the cut makes.
    """

    shift: float
    void: float
    intact: int


def find_cuts(bulk: Atoms) -> list[Cut]:
    """Return a cut between each two neighbouring atomic planes along z, best first.

    Best is what leaves most PS4 whole, then the widest, then the lowest.
    """
    height = float(bulk.cell.array[2, 2])
    z = np.sort(bulk.get_scaled_positions()[:, 2] * height)
    gaps = np.diff(np.append(z, z[0] + height))
    between = np.flatnonzero(gaps > PLANE_TOLERANCE)
    cuts = []
    for k in between:
        shift = round(float((z[k] + gaps[k] / 2) / height % 1.0), 10)
        cuts.append(Cut(shift, round(float(gaps[k]), 8), count_intact_tetrahedra(cut_slab(bulk, shift))))
    return sorted(cuts, key=lambda cut: (-cut.intact, -cut.void, cut.shift))


def best_cut(bulk: Atoms) -> Cut:
    """Return the cut that leaves every PS4 whole, the widest first.

    Raises
    ------
    StructureError
        If each cut breaks some.
    """
    expected = count_intact_tetrahedra(bulk)
    cut = find_cuts(bulk)[0]
    if cut.intact < expected:
        raise StructureError(
            "interface.cut",
            cut.shift,
            f"leaves {cut.intact} of {expected} PS4 units whole, and no other leaves more",
            "Choose another surface of the electrolyte.",
        )
    return cut


def cut_slab(bulk: Atoms, shift: float) -> Atoms:
    """Return the bulk cell opened at a height: not periodic along z, its lowest plane where the cut was."""
    slab = bulk.copy()
    scaled = slab.get_scaled_positions()
    scaled[:, 2] = (scaled[:, 2] - shift) % 1.0
    slab.set_scaled_positions(scaled)
    slab.pbc = (True, True, False)
    return slab


# -- the two sides ------------------------------------------------------------------------------------------


def metal_slab(settings: InterfaceSettings) -> Atoms:
    """Return the free metal's surface cell: right-handed vectors along xy, layers upwards from z = 0."""
    a = settings.metal_a_A or METALS[settings.metal]
    slab = FACETS[settings.facet](settings.metal, size=(1, 1, settings.layers), a=a)
    slab.cell[2] = (0.0, 0.0, float(np.ptp(slab.positions[:, 2])) + a)
    slab.positions[:, 2] -= slab.positions[:, 2].min()
    return Atoms(slab.symbols, slab.positions, cell=slab.cell, pbc=(True, True, False))


def _surface_vectors(atoms: Atoms) -> FloatArray:
    return np.asarray(atoms.cell.array[:2, :2])


def _repeat_in_plane(atoms: Atoms, cell: NDArray[np.int64]) -> Atoms:
    matrix = np.eye(3, dtype=int)
    matrix[:2, :2] = cell
    return make_supercell(atoms, matrix, order="atom-major")


def strained_metal(free: Atoms, match: Match) -> Atoms:
    """Return the metal's supercell of a match, strained and turned onto the electrolyte.

    Its layers move along z so that each atom keeps its volume: lithium's own response to biaxial strain
    (C12/C11 of 0.84) is near to that, and the density of the metal stays right.
    """
    slab = _repeat_in_plane(free, match.metal)
    slab.positions[:, :2] = slab.positions[:, :2] @ match.deformation.T
    slab.positions[:, 2] /= np.linalg.det(match.deformation)
    cell = slab.cell.array.copy()
    cell[:2, :2] = cell[:2, :2] @ match.deformation.T
    slab.set_cell(cell, scale_atoms=False)
    slab.wrap()
    return slab


# -- the gap ------------------------------------------------------------------------------------------------


def contact_gap(below: Atoms, above: Atoms, shifts: FloatArray) -> FloatArray:
    """Return how near two slabs can come before the first pair across the gap is in contact.

    A pair with lateral distance rho and contact distance d needs a height difference of sqrt(d^2 - rho^2);
    the gap is what the most demanding pair leaves between the outermost planes.

    Parameters
    ----------
    below, above : Atoms
        N and M atoms of slabs in the same lateral cell; one of them is the metal.
    shifts : (S, 2) array
        Lateral displacements of ``above``, Angstrom.

    Returns
    -------
    (S,) array
        Angstrom, between the highest plane of ``below`` and the lowest of ``above``.
    """
    contacts = np.maximum.outer(_contact_radii(below), _contact_radii(above))
    depths = below.positions[:, 2].max() - below.positions[:, 2]
    heights = above.positions[:, 2] - above.positions[:, 2].min()
    near_below, near_above = depths < contacts.max(), heights < contacts.max()
    contacts = contacts[np.ix_(near_below, near_above)]
    offsets = depths[near_below][:, None] + heights[near_above][None, :]
    lateral = above.positions[near_above][None, :, :2] - below.positions[near_below][:, None, :2]
    steps = np.array([(i, j) for i in (-1, 0, 1) for j in (-1, 0, 1)])
    images = steps @ _surface_vectors(below)
    inverse = np.linalg.inv(_surface_vectors(below))
    gaps = np.empty(len(shifts))
    for s, shift in enumerate(shifts):
        fractions = (lateral + shift) @ inverse
        wrapped = (fractions - np.round(fractions)) @ _surface_vectors(below)
        squares = ((wrapped[..., None, :] + images) ** 2).sum(axis=-1).min(axis=-1)
        needed = np.sqrt(np.clip(contacts**2 - squares, 0, None)) - offsets
        gaps[s] = np.where(squares < contacts**2, needed, 0.0).max()
    return gaps


def _contact_radii(slab: Atoms) -> FloatArray:
    """Contact distance of each atom to lithium metal; the metal itself demands nothing."""
    metal = slab.arrays["sites"] == METAL_SITE
    distances = np.array([CONTACTS[symbol] for symbol in slab.get_chemical_symbols()])
    return np.where(metal, 0.0, distances)


def registry_shifts(primitive: FloatArray) -> FloatArray:
    """Return the (S, 2) lateral shifts tried: a grid over the metal's strained cell (2, 2), Angstrom."""
    steps = np.arange(REGISTRY_STEPS) / REGISTRY_STEPS
    return np.array([(i, j) for i in steps for j in steps]) @ primitive


# -- all together -------------------------------------------------------------------------------------------


def interface_match(bulk: Atoms, settings: InterfaceSettings) -> Match:
    """Return the commensurate match of a metal's facet on the (100) face of a bulk cell.

    Raises
    ------
    StructureError
        If there is none within the limits.
    """
    surface = _surface_vectors(metal_slab(settings))
    return best_match(_surface_vectors(bulk), surface, settings.max_strain, settings.max_area_A2)


def build_interface(
    bulk: Atoms, settings: InterfaceSettings, parent: Atoms | None = None
) -> tuple[Atoms, InterfaceReport]:
    """Put a metal on the (100) face of an electrolyte.

    Parameters
    ----------
    bulk : Atoms
        Bulk cell with orthogonal third vector and Wyckoff labels in ``arrays['sites']``; doped or not.
    settings : InterfaceSettings
    parent : Atoms, optional
        Pristine host of the same cell. The cut and the place of the metal along the surface are chosen on it,
        so that two dopings differ in their dopants and, where those touch the metal, in their gap, and in
        nothing else.

    Returns
    -------
    Atoms
        Electrolyte first, in the order of the bulk, then the metal from its lowest layer up; periodic in all
        directions; ``arrays['sites']`` holds the Wyckoff labels and 'metal'.
    InterfaceReport

    Raises
    ------
    StructureError
        If there is no match, no cut that keeps PS4 whole, or the cell fails its checks.
    """
    match = interface_match(bulk, settings)
    cut = best_cut(bulk if parent is None else parent)
    slab = _repeat_in_plane(cut_slab(bulk, cut.shift), match.electrolyte)
    ideal = slab if parent is None else _repeat_in_plane(cut_slab(parent, cut.shift), match.electrolyte)
    free = metal_slab(settings)
    metal = strained_metal(free, match)
    metal.set_array("sites", np.full(len(metal), METAL_SITE))
    place = _best_registry(ideal, metal, registry_shifts(_surface_vectors(free) @ match.deformation.T))
    gaps = _gaps(slab, metal, place, settings.gap_A)
    atoms = _stack(slab, metal, place, gaps)
    report = _report(atoms, len(slab), match, cut, gaps, settings.layers)
    check(
        atoms, tetrahedra=report.tetrahedra_expected, strain=match.strain, max_strain=settings.max_strain
    )  # the match keeps to the limit; the check holds it to that
    return atoms, report


def _best_registry(slab: Atoms, metal: Atoms, shifts: FloatArray) -> FloatArray:
    total = contact_gap(slab, metal, shifts) + contact_gap(metal, slab, -shifts)
    return np.asarray(shifts[np.round(total, 8).argmin()])


def _gaps(slab: Atoms, metal: Atoms, place: FloatArray, wanted: float | None) -> tuple[float, float]:
    """Gap below and above the metal, Angstrom."""
    if wanted is not None:
        return wanted, wanted
    below = contact_gap(slab, metal, place[None])[0]
    above = contact_gap(metal, slab, -place[None])[0]
    return round(float(below), 8), round(float(above), 8)


def _stack(slab: Atoms, metal: Atoms, place: FloatArray, gaps: tuple[float, float]) -> Atoms:
    below, above = gaps
    lower, upper = slab.copy(), metal.copy()
    lower.positions[:, 2] += above / 2 - lower.positions[:, 2].min()
    top = lower.positions[:, 2].max() + below
    upper.positions[:, :2] += place
    upper.positions[:, 2] += top - upper.positions[:, 2].min()
    cell = slab.cell.array.copy()
    cell[2] = (0.0, 0.0, upper.positions[:, 2].max() + above / 2)
    order = np.lexsort(np.round(upper.positions, 6).T)
    symbols = lower.get_chemical_symbols() + list(np.array(upper.get_chemical_symbols())[order])
    atoms = Atoms(symbols, np.concatenate([lower.positions, upper.positions[order]]), cell=cell, pbc=True)
    atoms.wrap()
    atoms.set_array("sites", np.concatenate([lower.arrays["sites"], upper.arrays["sites"]]))
    return atoms


def shortest_across(atoms: Atoms, n_electrolyte: int) -> dict[str, float]:
    """Return the shortest distance (Angstrom) from the metal to each element beside it, nearest first.

    The first ``n_electrolyte`` atoms are the electrolyte's; elements farther than 8 Angstrom are left out.
    """
    pairs = pairs_within(atoms, 8.0)
    across = (pairs.i >= n_electrolyte) & (pairs.j < n_electrolyte)
    symbols = np.array(atoms.get_chemical_symbols())
    shortest: dict[str, float] = {}
    for i, j, distance in zip(pairs.i[across], pairs.j[across], pairs.distances[across], strict=True):
        name = f"{symbols[i]}-{symbols[j]}"
        shortest[name] = min(shortest.get(name, np.inf), round(float(distance), 6))
    return dict(sorted(shortest.items(), key=lambda item: (item[1], item[0])))


def _report(
    atoms: Atoms, n_electrolyte: int, match: Match, cut: Cut, gaps: tuple[float, float], layers: int
) -> InterfaceReport:
    electrolyte, metal = atoms[:n_electrolyte], atoms[n_electrolyte:]
    shortest = shortest_across(atoms, n_electrolyte)
    strain = np.zeros((3, 3))
    strain[:2, :2] = match.strain
    strain[2, 2] = 1 / np.linalg.det(match.deformation) - 1
    return InterfaceReport(
        electrolyte_supercell=match.electrolyte.tolist(),
        metal_supercell=match.metal.tolist(),
        metal_rotation_degrees=round(match.rotation_degrees, 6),
        area=round(match.area, 6),
        strain=np.round(strain, 10).tolist(),
        largest_strain=round(match.largest_strain, 10),
        cut_shift=cut.shift,
        cut_void=cut.void,
        tetrahedra_intact=count_intact_tetrahedra(atoms),
        tetrahedra_expected=electrolyte.get_chemical_symbols().count("P"),
        gap_below_metal=gaps[0],
        gap_above_metal=gaps[1],
        shortest_distance=next(iter(shortest.values())),
        shortest_pair=next(iter(shortest)),
        shortest_by_pair=shortest,
        n_electrolyte=n_electrolyte,
        n_metal=len(metal),
        electrolyte_thickness=round(float(np.ptp(electrolyte.positions[:, 2])), 6),
        metal_thickness=round(float(np.ptp(metal.positions[:, 2])), 6),
        metal_layers=layers,
        regions={
            "electrolyte": list(range(n_electrolyte)),
            "metal": list(range(n_electrolyte, len(atoms))),
        },
    )
