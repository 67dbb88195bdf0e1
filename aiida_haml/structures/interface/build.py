"""Solid interfaces: a slab of the electrolyte and layers of a metal, commensurate and periodic.

The electrolyte lies below, the metal on top of it, and the electrolyte's next image on top of the metal: one
cell holds both of the electrolyte's faces. With a vacuum there is one interface, or with ``symmetric`` a metal
on either side.

Everything that could differ from candidate to candidate without need is chosen on the pristine host: the
match, the cut and the metal's place along the surface. Two dopings differ in their dopants and, where those
touch the metal, in their gap.

The misfit is shared as asked (:mod:`~aiida_haml.structures.interface.matching`). Along the normal the metal answers at
constant volume, lithium's own response to a biaxial strain (C12 / C11 of 0.84) being near to that; the
electrolyte answers by its Poisson ratio, as a film with a free face does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from aiida_haml.structures.checks import check, check_side_density, require
from aiida_haml.structures.errors import StructureError
from aiida_haml.structures.geometry import count_intact_tetrahedra, pairs_within
from aiida_haml.structures.interface.cuts import (
    Cut,
    Facet,
    HostCell,
    bulk_facet,
    choose_cut,
    find_cuts,
    host_cell,
    host_facet,
    open_slab,
    read_indices,
)
from aiida_haml.structures.interface.elasticity import (
    ARGYRODITE_ELASTICITY,
    METAL_ELASTICITY,
    IsotropicElasticity,
    biaxial_modulus,
    metal_share_by_stiffness,
)
from aiida_haml.structures.interface.matching import Limits, Match, Progress, choose_match, find_matches
from aiida_haml.structures.interface.polarity import formal_charges
from aiida_haml.structures.interface.stacking import (
    CONTACTS,
    FACETS,
    METAL_SITE,
    METALS,
    Layer,
    contact_gap,
    deformed,
    joined,
    metal_layers,
    registry_shifts,
    repeat_in_plane,
    sorted_by_height,
    stack,
    surface_vectors,
)
from aiida_haml.structures.numbers import is_number

__all__ = [
    "CONTACTS",
    "FACETS",
    "METALS",
    "METAL_SITE",
    "InterfaceReport",
    "InterfaceSettings",
    "build_interface",
    "interface_match",
    "list_cuts",
    "list_matches",
    "metal_slab",
]

FloatArray = NDArray[np.float64]

#: Words for who takes the misfit; a number from 0 to 1 is the metal's share.
STRAINED = ("metal", "electrolyte", "stiffness")

#: A vacuum thinner than this is a gap that atoms see across, Angstrom.
LEAST_VACUUM = 8.0

#: amu / Angstrom^3 in g / cm^3.
DENSITY = 1.66053906660


# -- settings -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class InterfaceSettings:
    """What an interface is to be.

    Parameters
    ----------
    metal : str
    facet : (int, int, int)
        Miller indices of the metal's surface: (1, 0, 0), (1, 1, 0) or (1, 1, 1).
    layers : int
        Atomic planes of the metal.
    max_strain : float
        Limit of the largest principal strain of either side.
    gap_A : float, optional
        Distance between the outermost atomic planes at both sides, Angstrom; from the contact rule if left
        out.
    max_area_A2 : float
        Largest interface area searched for a match, Angstrom^2; one surface cell of the electrolyte is always
        tried.
    metal_a_A : float, optional
        Lattice constant of the metal instead of the experimental one, Angstrom.
    electrolyte_facet : str
        Miller indices of the electrolyte's surface, in the host's own cell: "100", "110", "111", "1-10". Of a
        cubic host the equivalent with ascending indices is taken.
    cut : int
        Index among the cuts of that facet which leave PS4 whole, best first: non-polar before polar, then
        the widest void.
    match : int
        Index among the commensurate matches, the smallest cell first.
    max_angle_degrees : float, optional
        Largest change of a right angle that a match may bring.
    strained : str or float
        Who takes the misfit: "metal", "electrolyte", "stiffness" (shared by biaxial moduli), or the metal's
        share, 0 to 1.
    electrolyte_young_GPa, electrolyte_poisson : float
        Of the electrolyte; the values of Li6PS5Cl by default.
    electrolyte_cells : int
        Repeats of the bulk along the normal.
    repeat : (int, int)
        Repeats of the matched cell in the plane.
    vacuum_A : float
        0: the electrolyte's image follows on the metal. Otherwise an empty layer of that thickness on the
        metal, 8 Angstrom at least, and one interface.
    symmetric : bool
        Both faces of the electrolyte are the same (a cut whose faces an operation of the host exchanges); with
        a vacuum, ``layers`` of metal on either side of the electrolyte.

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
    electrolyte_facet: str = "100"
    cut: int = 0
    match: int = 0
    max_angle_degrees: float | None = None
    strained: str | float = "metal"
    electrolyte_young_GPa: float = ARGYRODITE_ELASTICITY.young
    electrolyte_poisson: float = ARGYRODITE_ELASTICITY.poisson
    electrolyte_cells: int = 1
    repeat: Sequence[int] = (1, 1)
    vacuum_A: float = 0.0
    symmetric: bool = False

    def __post_init__(self) -> None:
        if not isinstance(self.metal, str) or self.metal not in METALS:
            known = ", ".join(METALS)
            raise StructureError("interface.metal", self.metal, "is not a known metal", f"Choose one of {known}.")
        object.__setattr__(self, "facet", _read_metal_facet(self.facet))
        indices = read_indices(self.electrolyte_facet)
        object.__setattr__(self, "electrolyte_facet", "".join(map(str, indices)))
        for name, low, high in (("layers", 1, 200), ("electrolyte_cells", 1, 50)):
            _require_whole(f"interface.{name}", getattr(self, name), low, high)
        for name in ("cut", "match"):
            _require_whole(f"interface.{name}", getattr(self, name), 0, 100_000)
        object.__setattr__(self, "repeat", _read_repeat(self.repeat))
        _require_number("interface.max_strain", self.max_strain, 0.0, 0.15)
        _require_number("interface.max_area_A2", self.max_area_A2, 10.0, 2000.0)
        _require_number("interface.electrolyte_young_GPa", self.electrolyte_young_GPa, 0.0, 1000.0)
        _require_number("interface.electrolyte_poisson", self.electrolyte_poisson, 0.0, 0.5)
        if self.gap_A is not None:
            _require_gap(self.gap_A)
        if self.metal_a_A is not None:
            _require_number("interface.metal_a_A", self.metal_a_A, 2.0, 8.0)
        if self.max_angle_degrees is not None:
            _require_number("interface.max_angle_degrees", self.max_angle_degrees, 0.0, 20.0)
        _require_shared(self.strained)
        if not isinstance(self.symmetric, bool):
            raise StructureError("interface.symmetric", self.symmetric, "is not yes or no", "Give true or false.")
        if isinstance(self.vacuum_A, bool) or self.vacuum_A != 0:
            _require_number("interface.vacuum_A", self.vacuum_A, LEAST_VACUUM - 1e-9, 200.0)

    @property
    def indices(self) -> tuple[int, int, int]:
        """Miller indices of the electrolyte's surface."""
        return read_indices(self.electrolyte_facet)

    @property
    def electrolyte_elasticity(self) -> IsotropicElasticity:
        """Young's modulus and Poisson's ratio of the electrolyte."""
        return IsotropicElasticity(self.electrolyte_young_GPa, self.electrolyte_poisson, "interface settings")

    @property
    def metal_share(self) -> float:
        """The metal's share of the misfit, 0 to 1."""
        if isinstance(self.strained, str):
            if self.strained == "stiffness":
                metal = biaxial_modulus(METAL_ELASTICITY[self.metal], self.facet)
                return metal_share_by_stiffness(metal, self.electrolyte_elasticity.biaxial_modulus)
            return {"metal": 1.0, "electrolyte": 0.0}[self.strained]
        return float(self.strained)

    @property
    def limits(self) -> Limits:
        """What a match may cost."""
        return Limits(self.max_strain, self.max_area_A2, self.max_angle_degrees, self.metal_share)

    def to_dict(self) -> dict[str, Any]:
        """Return plain numbers, words and lists."""
        plain = asdict(self)
        return {key: list(value) if isinstance(value, tuple) else value for key, value in plain.items()}


def _read_metal_facet(facet: object) -> tuple[int, int, int]:
    known = ", ".join(str(list(f)) for f in FACETS)
    try:
        indices = read_indices(facet, "interface.facet")
    except StructureError:
        indices = None
    if indices not in FACETS:
        raise StructureError("interface.facet", facet, "is not a facet that can be built", f"Choose one of {known}.")
    return indices


def _read_repeat(repeat: object) -> tuple[int, int]:
    """Return two whole numbers, from a tuple or from the list that comes back from a file or a database."""
    if not isinstance(repeat, (list, tuple)) or len(repeat) != 2:
        raise StructureError("interface.repeat", repeat, "is not two numbers", "Give repeats in the plane as [n, m].")
    for n in repeat:
        _require_whole("interface.repeat", n, 1, 50)
    return int(repeat[0]), int(repeat[1])


def _require_whole(field: str, value: object, low: int, high: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise StructureError(field, value, "is out of range", f"Give a whole number from {low} to {high}.")


def _require_number(field: str, value: object, low: float, high: float) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not low < value <= high:
        raise StructureError(
            field,
            value,
            "is out of range",
            f"Give a number above {low:g} and up to {high:g}, or leave it out.",
        )


def _require_gap(gap: object) -> None:
    if gap == "scan":
        raise StructureError(
            "interface.gap_A",
            gap,
            "would minimise a pair energy, and none is meaningful between a metal and ions",
            "Leave gap_A out for contact as in crystals, give a distance, or let the potential relax the cell.",
        )
    _require_number("interface.gap_A", gap, 0.5, 20.0)


def _require_shared(strained: object) -> None:
    named = isinstance(strained, str) and strained in STRAINED
    if not named and not (is_number(strained) and 0 <= strained <= 1):
        raise StructureError(
            "interface.strained",
            strained,
            "does not say who takes the misfit",
            f"Choose one of {', '.join(STRAINED)}, or give the metal's share from 0 to 1.",
        )


# -- choices that all candidates of a host share ---------------------------------------------------------------


def metal_slab(settings: InterfaceSettings) -> Atoms:
    """Return the free metal's surface cell: right-handed vectors along xy, layers upwards from z = 0."""
    return metal_layers(settings.metal, settings.facet, settings.layers, settings.metal_a_A)


def _facets(bulk: Atoms, settings: InterfaceSettings) -> tuple[HostCell, Facet, FloatArray]:
    """Return the host's own cell, the facet in it, and the bulk's (2, 2) surface vectors on it, Angstrom."""
    host = host_cell(bulk)
    facet = host_facet(host, settings.indices)
    oriented = bulk_facet(bulk, host, facet).oriented(bulk)
    return host, facet, surface_vectors(oriented)


def interface_match(bulk: Atoms, settings: InterfaceSettings, progress: Progress | None = None) -> Match:
    """Return the commensurate match that the settings choose for a host.

    Parameters
    ----------
    bulk : Atoms
        The pristine host's bulk cell.
    settings : InterfaceSettings
    progress : callable, optional
        Called with the supercells done and their number, where all are gone through.

    Raises
    ------
    StructureError
        If there is none within the limits, or not so many.
    """
    _, _, electrolyte = _facets(bulk, settings)
    metal = surface_vectors(metal_slab(settings))
    return choose_match(electrolyte, metal, settings.limits, settings.match, progress)


def list_matches(
    bulk: Atoms, settings: InterfaceSettings, limit: int | None = None, progress: Progress | None = None
) -> list[dict[str, Any]]:
    """Return the commensurate matches of a metal's facet on a host's, in the order of ``InterfaceSettings.match``.

    Parameters
    ----------
    bulk : Atoms
        The pristine host's bulk cell.
    settings : InterfaceSettings
    limit : int, optional
        How many at most.
    progress : callable, optional
        Called with the supercells done and their number.

    Returns
    -------
    list of dict
        ``match`` (index), ``area`` (Angstrom^2, of the matched cell), ``electrolyte_cells`` and ``metal_cells``
        in it, largest principal ``metal_strain`` and ``electrolyte_strain`` (with sign), ``rotation_degrees``,
        ``shear_degrees``, and the ``atoms`` that the settings would make of it.
    """
    _, _, electrolyte = _facets(bulk, settings)
    found = find_matches(electrolyte, surface_vectors(metal_slab(settings)), settings.limits, progress)
    n, m = settings.repeat
    per_electrolyte = len(bulk) * settings.electrolyte_cells * n * m
    per_metal = settings.layers * n * m * (2 if settings.vacuum_A and settings.symmetric else 1)
    return [
        {
            "match": index,
            "area": round(match.area, 4),
            "electrolyte_cells": match.n_electrolyte_cells,
            "metal_cells": match.n_metal_cells,
            "metal_strain": _largest(match.strain),
            "electrolyte_strain": _largest(match.electrolyte_strain),
            "rotation_degrees": round(match.rotation_degrees, 4),
            "shear_degrees": round(match.shear_degrees, 4),
            "atoms": per_electrolyte * match.n_electrolyte_cells + per_metal * match.n_metal_cells,
        }
        for index, match in enumerate(found[:limit])
    ]


def _largest(strain: FloatArray) -> float:
    principal = np.linalg.eigvalsh(strain)
    return round(float(principal[np.abs(principal).argmax()]), 8)


def list_cuts(bulk: Atoms, settings: InterfaceSettings) -> list[dict[str, Any]]:
    """Return the cuts of a host's facet that leave PS4 whole, in the order of ``InterfaceSettings.cut``.

    Returns
    -------
    list of dict
        ``cut`` (index) and the fields of :class:`~aiida_haml.structures.interface.cuts.Cut`, ``polar`` and ``split``.
    """
    host, facet, _ = _facets(bulk, settings)
    whole = [cut for cut in find_cuts(host, facet) if cut.intact == cut.expected]
    fit = [cut for cut in whole if cut.alike or not settings.symmetric]
    return [
        {"cut": index, "polar": cut.polar, "split": cut.split, **asdict(cut), "raised": list(cut.raised)}
        for index, cut in enumerate(fit)
    ]


# -- the report ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class InterfaceReport:
    """What was built and which choices were made; plain numbers and lists, so that it can be stored as it is.

    Lengths in Angstrom, areas in Angstrom^2, densities in g/cm^3, dipoles in e Angstrom, strains dimensionless
    along x, y and z of the cell (its first vector along x), atoms by index.

    ``strain`` is the metal's. ``cut_dipole_per_area`` (e/Angstrom) is that of one host cell with every site at
    its mean charge, ``dipole`` and ``dipole_per_area`` are those of the electrolyte as it was built, dopants,
    ordering, repeats and all. ``gap_below_metal`` lies on the electrolyte's upper face, ``gap_above_metal``
    under its lower one; None where there is a vacuum.
    """

    electrolyte_facet: str
    metal_facet: str
    match: int
    electrolyte_supercell: list[list[int]]
    metal_supercell: list[list[int]]
    metal_rotation_degrees: float
    shear_degrees: float
    metal_share: float
    repeat: list[int]
    electrolyte_cells: int
    area: float
    strain: list[list[float]]
    electrolyte_strain: list[list[float]]
    largest_strain: float
    cut: int
    cut_shift: float
    cut_void: float
    cut_split: bool
    cut_alike: bool
    cut_faces: list[str]
    polar: bool
    tasker_type: int
    cut_dipole_per_area: float
    dipole: float
    dipole_per_area: float
    tetrahedra_intact: int
    tetrahedra_expected: int
    gap_below_metal: float | None
    gap_above_metal: float | None
    vacuum: float
    symmetric: bool
    shortest_distance: float
    shortest_pair: str
    shortest_by_pair: dict[str, float]
    n_electrolyte: int
    n_metal: int
    electrolyte_thickness: float
    metal_thickness: float
    metal_layers: int
    densities: dict[str, dict[str, float]]
    bulk_index: list[int]
    regions: dict[str, list[int]]

    def to_dict(self) -> dict[str, Any]:
        """Return the report as a plain dictionary."""
        return asdict(self)


# -- building -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Plan:
    """What is chosen on the pristine host: match, cut, and how each side is mapped onto the common cell."""

    host: HostCell
    facet: Facet
    match: Match
    cut: Cut
    turn: FloatArray
    electrolyte_normal: float
    metal_normal: float

    @property
    def electrolyte_map(self) -> FloatArray:
        """(2, 2) map of the free electrolyte onto the common cell, whose first vector lies along x."""
        return self.turn @ self.match.electrolyte_deformation

    @property
    def metal_map(self) -> FloatArray:
        """(2, 2) map of the free metal onto the common cell."""
        return self.turn @ self.match.metal_deformation

    def tensor(self, in_plane: FloatArray, normal: float) -> FloatArray:
        """Return the (3, 3) strain along the cell's axes of an in-plane strain along the electrolyte's."""
        tensor = np.zeros((3, 3))
        tensor[:2, :2] = self.turn @ in_plane @ self.turn.T
        tensor[2, 2] = normal - 1
        return tensor


def _plan(parent: Atoms, settings: InterfaceSettings) -> _Plan:
    host, facet, surface = _facets(parent, settings)
    metal = surface_vectors(metal_slab(settings))
    match = choose_match(surface, metal, settings.limits, settings.match)
    cut = choose_cut(find_cuts(host, facet), settings.cut, settings.symmetric)
    if settings.vacuum_A and cut.polar:
        raise StructureError(
            "interface.vacuum_A",
            settings.vacuum_A,
            f"would leave a polar cell open to a vacuum: the cut has {cut.dipole_per_area:+.3f} e/Angstrom per "
            "cell of the host, whose field the vacuum would carry",
            "Choose a non-polar cut (interface.cut) or facet, or no vacuum.",
        )
    first = (match.electrolyte @ surface @ match.electrolyte_deformation.T)[0]
    x, y = first / np.linalg.norm(first)
    turn = np.eye(2) if abs(y) < 1e-12 and x > 0 else np.array([[x, y], [-y, x]])
    normal = settings.electrolyte_elasticity.normal_strain(match.electrolyte_strain)
    return _Plan(host, facet, match, cut, turn, 1 + normal, 1 / float(np.linalg.det(match.metal_deformation)))


def build_interface(
    bulk: Atoms, settings: InterfaceSettings, parent: Atoms | None = None
) -> tuple[Atoms, InterfaceReport]:
    """Put a metal on a face of an electrolyte.

    Parameters
    ----------
    bulk : Atoms
        Bulk cell, a supercell of the host or not, doped and ordered or not, with sublattice labels in
        ``arrays['sites']``.
    settings : InterfaceSettings
    parent : Atoms, optional
        Pristine host in the same cell, its lithium ordered or on all of its sites. Match, cut and the metal's
        place are chosen on it; on the bulk itself where left out.

    Returns
    -------
    Atoms
        Electrolyte first, in the order of the bulk, then the metal from its lowest layer up; periodic in all
        directions, the first cell vector along x, the third along z; ``arrays['sites']`` holds the sublattice
        labels and 'metal'.
    InterfaceReport

    Raises
    ------
    StructureError
        If there is no match, no cut that keeps PS4 whole, or the cell fails its checks.
    """
    parent = bulk if parent is None else parent
    if not np.allclose(parent.cell.array, bulk.cell.array, atol=1e-6):
        raise StructureError(
            "parent", parent.cell.lengths().round(4).tolist(), "is not the bulk's cell", "Give the host of that cell."
        )
    plan = _plan(parent, settings)
    slab = _electrolyte(bulk, plan, settings)
    ideal = slab if parent is bulk else _electrolyte(parent, plan, settings)
    free = metal_slab(settings)
    metal = deformed(repeat_in_plane(free, plan.match.metal), plan.metal_map, plan.metal_normal)
    shifts = registry_shifts(surface_vectors(free) @ plan.metal_map.T)
    layers, gaps = _layers(slab, ideal, metal, shifts, settings)
    placed = stack(layers)
    electrolyte = next(part for part in placed if not _is_metal(part))
    metals = [sorted_by_height(part) for part in placed if _is_metal(part)]
    n, m = settings.repeat
    sides = [repeat_in_plane(part, np.diag([n, m])) for part in (electrolyte, joined(metals))]
    atoms = joined(sides)
    report = _report(atoms, sides, bulk, plan, gaps, settings)
    _require_sound(atoms, bulk, report, settings)
    return atoms, report


def _is_metal(part: Atoms) -> bool:
    return bool((part.arrays["sites"] == METAL_SITE).all())


def _electrolyte(bulk: Atoms, plan: _Plan, settings: InterfaceSettings) -> Atoms:
    slab = open_slab(bulk, plan.host, plan.facet, plan.cut, settings.electrolyte_cells)
    return deformed(repeat_in_plane(slab, plan.match.electrolyte), plan.electrolyte_map, plan.electrolyte_normal)


def _layers(
    slab: Atoms, ideal: Atoms, metal: Atoms, shifts: FloatArray, settings: InterfaceSettings
) -> tuple[list[Layer], tuple[float | None, float | None]]:
    """Return the stack from below, and the gaps on the electrolyte's upper and under its lower face.

    Places are chosen on the ideal slab, gaps are those of the slab itself.
    """
    here = np.zeros(2)

    def gap(below: Atoms, above: Atoms, place: FloatArray) -> float:
        if settings.gap_A is not None:
            return float(settings.gap_A)
        return round(float(contact_gap(below, above, place[None])[0]), 8)

    if not settings.vacuum_A:
        total = contact_gap(ideal, metal, shifts) + contact_gap(metal, ideal, -shifts)
        place = _nearest_place(total, shifts)
        gaps = gap(slab, metal, place), gap(metal, slab, -place)
        return [Layer(slab, gaps[0], here), Layer(metal, gaps[1], place)], gaps
    upper = _nearest_place(contact_gap(ideal, metal, shifts), shifts)
    above = Layer(metal, settings.vacuum_A, upper)
    gap_above = gap(slab, metal, upper)
    if not settings.symmetric:
        return [Layer(slab, gap_above, here), above], (gap_above, None)
    lower = _nearest_place(contact_gap(metal, ideal, -shifts), shifts)
    gap_below = gap(metal, slab, -lower)
    return [Layer(metal, gap_below, lower), Layer(slab, gap_above, here), above], (gap_above, gap_below)


def _nearest_place(gaps: FloatArray, shifts: FloatArray) -> FloatArray:
    return np.asarray(shifts[np.round(gaps, 8).argmin()])


def shortest_across(atoms: Atoms, n_electrolyte: int) -> dict[str, float]:
    """Return the shortest distance (Angstrom) from the metal to each element beside it, nearest first.

    The first ``n_electrolyte`` atoms are the electrolyte's; elements farther than 8 Angstrom are left out.
    """
    pairs = pairs_within(atoms, 8.0)
    across = (pairs.i >= n_electrolyte) & (pairs.j < n_electrolyte)
    symbols = np.array(atoms.get_chemical_symbols())
    shortest: dict[str, float] = {}
    names = np.char.add(np.char.add(symbols[pairs.i[across]], "-"), symbols[pairs.j[across]])
    distances = pairs.distances[across]
    for name in np.unique(names):
        shortest[str(name)] = round(float(distances[names == name].min()), 6)
    return dict(sorted(shortest.items(), key=lambda item: (item[1], item[0])))


def _report(
    atoms: Atoms,
    sides: Sequence[Atoms],
    bulk: Atoms,
    plan: _Plan,
    gaps: tuple[float | None, float | None],
    settings: InterfaceSettings,
) -> InterfaceReport:
    electrolyte, metal = sides
    match, cut = plan.match, plan.cut
    area = float(np.linalg.det(surface_vectors(atoms)))
    shortest = shortest_across(atoms, len(electrolyte))
    dipole = float(formal_charges(electrolyte) @ electrolyte.positions[:, 2])
    copies = len(electrolyte) // len(bulk)
    return InterfaceReport(
        electrolyte_facet=settings.electrolyte_facet,
        metal_facet="".join(map(str, settings.facet)),
        match=settings.match,
        electrolyte_supercell=match.electrolyte.tolist(),
        metal_supercell=match.metal.tolist(),
        metal_rotation_degrees=round(match.rotation_degrees, 6),
        shear_degrees=round(match.shear_degrees, 6),
        metal_share=round(match.metal_share, 10),
        repeat=list(settings.repeat),
        electrolyte_cells=settings.electrolyte_cells,
        area=round(area, 6),
        strain=_plain(plan.tensor(match.strain, plan.metal_normal)),
        electrolyte_strain=_plain(plan.tensor(match.electrolyte_strain, plan.electrolyte_normal)),
        largest_strain=round(match.largest_strain, 10),
        cut=settings.cut,
        cut_shift=cut.shift,
        cut_void=cut.void,
        cut_split=cut.split,
        cut_alike=cut.alike,
        cut_faces=[cut.lower, cut.upper],
        polar=cut.polar,
        tasker_type=cut.tasker,
        cut_dipole_per_area=round(cut.dipole_per_area, 8) + 0.0,
        dipole=round(dipole, 6) + 0.0,
        dipole_per_area=round(dipole / area, 8) + 0.0,
        tetrahedra_intact=count_intact_tetrahedra(atoms),
        tetrahedra_expected=count_intact_tetrahedra(bulk) * copies,
        gap_below_metal=gaps[0],
        gap_above_metal=gaps[1],
        vacuum=float(settings.vacuum_A),
        symmetric=settings.symmetric,
        shortest_distance=next(iter(shortest.values())),
        shortest_pair=next(iter(shortest)),
        shortest_by_pair=shortest,
        n_electrolyte=len(electrolyte),
        n_metal=len(metal),
        electrolyte_thickness=round(float(np.ptp(electrolyte.positions[:, 2])), 6),
        metal_thickness=round(_metal_thickness(metal, settings), 6),
        metal_layers=settings.layers,
        densities=_densities(sides, bulk, plan, settings),
        bulk_index=_bulk_index(bulk, plan, settings),
        regions={
            "electrolyte": list(range(len(electrolyte))),
            "metal": list(range(len(electrolyte), len(atoms))),
        },
    )


def _plain(tensor: FloatArray) -> list[list[float]]:
    """Return a tensor as lists, to ten decimals and without a negative zero."""
    return (np.round(tensor, 10) + 0.0).tolist()


def _metal_thickness(metal: Atoms, settings: InterfaceSettings) -> float:
    """Return the distance of the outermost planes of one metal slab, Angstrom."""
    halves = 2 if settings.vacuum_A and settings.symmetric else 1
    return float(np.ptp(np.sort(metal.positions[:, 2])[: len(metal) // halves]))


def _bulk_index(bulk: Atoms, plan: _Plan, settings: InterfaceSettings) -> list[int]:
    """Return which atom of the bulk each atom of the electrolyte is."""
    n, m = settings.repeat
    copies = plan.match.n_electrolyte_cells * settings.electrolyte_cells * n * m
    return np.repeat(np.arange(len(bulk)), copies).tolist()


def _densities(
    sides: Sequence[Atoms], bulk: Atoms, plan: _Plan, settings: InterfaceSettings
) -> dict[str, dict[str, float]]:
    """Return the density of both sides, measured on the atoms, and of their bulks, g/cm^3.

    A side fills its area to a height that is to its thickness as built as the height of that much bulk is to
    its thickness when opened. A single plane of metal has no thickness, and counts as high as it should be.
    """
    electrolyte, metal = sides
    area = float(np.linalg.det(surface_vectors(electrolyte)))
    opened = open_slab(bulk, plan.host, plan.facet, plan.cut, settings.electrolyte_cells)
    height = float(opened.cell.array[2, 2]) * np.ptp(electrolyte.positions[:, 2]) / np.ptp(opened.positions[:, 2])
    free = metal_slab(settings)
    thickness = float(np.ptp(free.positions[:, 2]))
    stretch = _metal_thickness(metal, settings) / thickness if thickness > 0 else plan.metal_normal
    metal_height = float(free.cell.array[2, 2]) * stretch * (2 if settings.vacuum_A and settings.symmetric else 1)
    values = {
        "electrolyte": (electrolyte.get_masses().sum() / (area * height), bulk.get_masses().sum() / bulk.get_volume()),
        "metal": (metal.get_masses().sum() / (area * metal_height), free.get_masses().sum() / free.get_volume()),
    }
    return {
        side: {"built": round(float(built) * DENSITY, 6), "bulk": round(float(of_bulk) * DENSITY, 6)}
        for side, (built, of_bulk) in values.items()
    }


def _require_sound(atoms: Atoms, bulk: Atoms, report: InterfaceReport, settings: InterfaceSettings) -> None:
    """Refuse a cell that is not what was promised; the match keeps to its limits, and is held to that."""
    neutral = abs(formal_charges(bulk).sum()) < 1e-9
    for tensor in (report.strain, report.electrolyte_strain):
        check(
            atoms,
            tetrahedra=report.tetrahedra_expected,
            strain=np.array(tensor)[:2, :2],
            max_strain=settings.max_strain,
            neutral=neutral,
        )
    for side, density in report.densities.items():
        require(check_side_density(side, density["built"], density["bulk"]))
