"""Solid interfaces: a slab of the electrolyte and layers of a metal, commensurate and periodic.

The electrolyte lies below, the metal on top of it, and the electrolyte's next image on top of the metal: one
cell holds both of the electrolyte's faces. With a vacuum there is one interface, or with ``symmetric`` a metal
on either side.

Everything that could differ from candidate to candidate without need is chosen on the pristine host: the
match, the cut, the layers of metal and the metal's place along the surface. Two dopings differ in their dopants
and, where those touch the metal, in their gap.

The misfit is shared as asked (:mod:`~aiida_haml.structures.interface.matching`). Along the normal the metal
answers at constant volume, lithium's own response to a biaxial strain (C12 / C11 of 0.84) being near to that; the
electrolyte answers by its Poisson ratio, as a film with a free face does.
"""

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from aiida_haml.arrays import FloatArray
from aiida_haml.structures.charges import formal_charges
from aiida_haml.structures.checks import check
from aiida_haml.structures.errors import StructureError
from aiida_haml.structures.findings import Finding, require
from aiida_haml.structures.interface.layout import Layout, make_layout, metal_slab
from aiida_haml.structures.interface.report import InterfaceReport, make_report
from aiida_haml.structures.interface.settings import SolidInterface
from aiida_haml.structures.interface.slabs import open_slab
from aiida_haml.structures.interface.stacking import (
    METAL_SITE,
    Layer,
    contact_gap,
    deformed,
    joined,
    registry_shifts,
    repeat_in_plane,
    sorted_by_height,
    stack,
    surface_vectors,
)

#: Relative deviation of a side's density from its bulk that is refused.
DENSITY_TOLERANCE = 0.03


def build_interface(
    bulk: Atoms, settings: SolidInterface, parent: Atoms | None = None
) -> tuple[Atoms, InterfaceReport]:
    """Put a metal on a face of an electrolyte.

    Parameters
    ----------
    bulk : Atoms
        Bulk cell, a supercell of the host or not, doped and ordered or not, with sublattice labels in
        ``arrays['sites']``.
    settings : SolidInterface
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
    layout = make_layout(parent, settings)
    slab = _electrolyte(bulk, layout, settings)
    ideal = slab if parent is bulk else _electrolyte(parent, layout, settings)
    free = metal_slab(settings, layout.layers)
    metal = deformed(repeat_in_plane(free, layout.match.metal), layout.metal_map, layout.metal_normal)
    shifts = registry_shifts(surface_vectors(free) @ layout.metal_map.T)
    layers, gaps = _layers(slab, ideal, metal, shifts, settings)
    placed = stack(layers)
    electrolyte = next(part for part in placed if not _is_metal(part))
    metals = [sorted_by_height(part) for part in placed if _is_metal(part)]
    n, m = settings.repeat
    sides = [repeat_in_plane(part, np.diag([n, m])) for part in (electrolyte, joined(metals))]
    atoms = joined(sides)
    report = make_report(atoms, sides, bulk, layout, gaps, settings)
    _require_sound(atoms, bulk, report, settings)
    return atoms, report


def _is_metal(part: Atoms) -> bool:
    return bool((part.arrays["sites"] == METAL_SITE).all())


def _electrolyte(bulk: Atoms, layout: Layout, settings: SolidInterface) -> Atoms:
    slab = open_slab(bulk, layout.host, layout.facet, layout.cut, settings.electrolyte_cells)
    return deformed(repeat_in_plane(slab, layout.match.electrolyte), layout.electrolyte_map, layout.electrolyte_normal)


def _layers(
    slab: Atoms, ideal: Atoms, metal: Atoms, shifts: FloatArray, settings: SolidInterface
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


def _require_sound(atoms: Atoms, bulk: Atoms, report: InterfaceReport, settings: SolidInterface) -> None:
    """Refuse a cell that is not what was promised; the match keeps to its limits, and is held to that."""
    neutral = abs(formal_charges(bulk).sum()) < 1e-9
    check(atoms, tetrahedra=report.tetrahedra_expected, neutral=neutral)
    for tensor in (report.strain, report.electrolyte_strain):
        require(check_strain(np.array(tensor)[:2, :2], settings.max_strain))
    for side, density in report.densities.items():
        require(check_side_density(side, density["built"], density["bulk"]))


def check_strain(strain: NDArray[np.float64], limit: float) -> Finding:
    """Refuse a strain tensor whose largest principal value exceeds ``limit``, both dimensionless."""
    value = round(float(np.abs(np.linalg.eigvalsh(np.asarray(strain))).max()), 5)
    if value <= limit + 1e-9:
        return Finding("strain", True, "strain", value, f"{value} is the largest principal strain, not above {limit:g}")
    problem = f"is the largest principal strain, above the limit of {limit:g}"
    remedy = "Allow a larger cell, or raise max_strain if that is meant."
    return Finding("strain", False, "strain", value, problem, remedy)


def check_side_density(side: str, built: float, bulk: float, tolerance: float = DENSITY_TOLERANCE) -> Finding:
    """Refuse a side whose density (g/cm^3) is off its bulk's by more than a share of that."""
    deviation, value = built / bulk - 1, round(built, 4)
    numbers = f"g/cm^3 is the density of the {side}, {deviation:+.2%} off its bulk's {bulk:.4f}"
    if abs(deviation) <= tolerance:
        return Finding("density", True, f"density.{side}", value, f"{built:.4f} {numbers}")
    remedy = "Choose a match with less strain, or share the misfit otherwise (interface.metal_share)."
    return Finding("density", False, f"density.{side}", value, f"{numbers}, more than {tolerance:.0%}", remedy)
