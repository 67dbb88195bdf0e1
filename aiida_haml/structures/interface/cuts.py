"""Where an electrolyte is cut open.

Cuts are sought on the pristine host, in its smallest cell along the bulk's axes, with every site at its mean
occupancy. Neither a dopant nor an ordering of the lithium has a say, so that all candidates of a host are cut
at the same place.

Two kinds of cut are looked for. A *plain* one passes between two atomic planes. A *split* one passes through
a plane that a symmetry operation of the host which turns the normal over maps onto itself: half of the plane
stays below, the half that the operation makes of it goes above, and both faces of the slab are the same. That
is how a face gets non-polar whose planes alternate in charge, as those of the argyrodite's (100) do.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from ase import Atoms

from aiida_haml.arrays import FloatArray, IntArray
from aiida_haml.structures.errors import StructureError
from aiida_haml.structures.interface.facets import Facet, HostCell, labels_of, nearest_site
from aiida_haml.structures.interface.surfaces import PLANE_TOLERANCE, POLAR, Surface, planes, surface_of


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


def find_cuts(host: HostCell, facet: Facet) -> list[Cut]:
    """Return the distinct cuts of a facet, best first (:meth:`Cut.rank`); equivalent ones are listed once."""
    surface = surface_of(host, facet)
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
    """Return a cut in words."""
    if cut.split:
        where = f"through a plane of {cut.lower}, half of which goes to either side"
    else:
        where = f"between planes of {cut.upper} below and {cut.lower} above"
    polar = f"polar ({cut.dipole_per_area:+.3f} e/Angstrom)" if cut.polar else "non-polar"
    alike = ", both faces alike" if cut.alike else ""
    return f"{polar}, {where}, {cut.void:.2f} Angstrom apart{alike}"


def _assess(surface: Surface, height: float, void: float, raised: tuple[int, ...]) -> Cut:
    levels = surface.levels(height, raised)
    kept = [abs(levels[j] - levels[i] - rise) < 1e-6 for i, j, rise in surface.bonds]
    corners = np.bincount([i for (i, _, _), whole in zip(surface.bonds, kept, strict=True) if whole], minlength=1)
    dipole = float(surface.charges @ levels) / surface.area
    stack = planes(surface.contents, levels, PLANE_TOLERANCE)
    middle = height % surface.spacing
    kept_heights = [op[0] for op in surface.operations]
    apart = [abs((middle - h + surface.spacing / 2) % surface.spacing - surface.spacing / 2) for h in kept_heights]
    return Cut(
        shift=round(middle / surface.spacing, 10) % 1.0,
        void=round(void, 8),
        intact=int((corners == 4).sum()),
        expected=len(surface.bonds) // 4,
        dipole_per_area=round(dipole, 10),
        lower=_formula(stack[0]),
        upper=_formula(stack[-1]),
        alike=bool(raised) or any(distance < PLANE_TOLERANCE / 2 for distance in apart),
        raised=raised,
    )


def _formula(content: Mapping[str, float]) -> str:
    return "".join(f"{symbol}{'' if n == 1 else f'{n:g}'}" for symbol, n in content.items())


def _beside(surface: Surface, height: float) -> tuple[float, float]:
    """Return the heights of the planes below and above an atomic plane, relative to it."""
    levels = surface.levels(height)
    others = levels[levels > PLANE_TOLERANCE]
    if not len(others):
        return -surface.spacing, surface.spacing
    return float(others.max() - surface.spacing), float(others.min())


# -- halves of a plane --------------------------------------------------------------------------------------


def _half_of_plane(surface: Surface, height: float) -> tuple[int, ...]:
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
        near, distance = nearest_site(rotation @ scaled[k] + shift, scaled[members], atoms.cell.array)
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
