"""What was built and which choices were made, in plain numbers."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from ase import Atoms

from aiida_haml.arrays import FloatArray
from aiida_haml.structures.charges import formal_charges
from aiida_haml.structures.geometry import count_intact_tetrahedra, pairs_within
from aiida_haml.structures.interface.layout import Layout, metal_slab
from aiida_haml.structures.interface.settings import SolidInterface
from aiida_haml.structures.interface.slabs import open_slab
from aiida_haml.structures.interface.stacking import surface_vectors
from aiida_haml.structures.reservoir import reservoir_of

#: amu / Angstrom^3 in g / cm^3.
DENSITY = 1.66053906660


@dataclass(frozen=True)
class InterfaceReport:
    """What was built and which choices were made; plain numbers and lists, so that it can be stored as it is.

    Lengths in Angstrom, areas in Angstrom^2, densities in g/cm^3, dipoles in e Angstrom, strains dimensionless
    along x, y and z of the cell (its first vector along x), atoms by index.

    ``strain`` is the metal's. ``polar`` tells of the cut in the host with every site at its mean charge, ``dipole``
    and ``dipole_per_area`` (e/Angstrom) of the electrolyte as it was built, dopants, ordering, repeats and all.
    ``gap_below_metal`` lies on the electrolyte's upper face, ``gap_above_metal`` under its lower one; None where
    there is a vacuum. ``reservoir`` is a :class:`~aiida_haml.structures.reservoir.Reservoir`.
    """

    electrolyte_facet: str
    match: int
    metal_share: float
    repeat: list[int]
    electrolyte_cells: int
    area: float
    strain: list[list[float]]
    electrolyte_strain: list[list[float]]
    largest_strain: float
    cut: int
    polar: bool
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
    metal_thickness: float
    metal_layers: int
    reservoir: dict[str, Any]
    densities: dict[str, dict[str, float]]
    bulk_index: list[int]
    regions: dict[str, list[int]]

    def to_dict(self) -> dict[str, Any]:
        """Return the report as a plain dictionary."""
        return asdict(self)


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


def make_report(
    atoms: Atoms,
    sides: Sequence[Atoms],
    bulk: Atoms,
    layout: Layout,
    gaps: tuple[float | None, float | None],
    settings: SolidInterface,
) -> InterfaceReport:
    electrolyte, metal = sides
    match, cut = layout.match, layout.cut
    area = float(np.linalg.det(surface_vectors(atoms)))
    shortest = shortest_across(atoms, len(electrolyte))
    dipole = float(formal_charges(electrolyte) @ electrolyte.positions[:, 2])
    copies = len(electrolyte) // len(bulk)
    thickness = round(_metal_thickness(metal, settings), 6)
    return InterfaceReport(
        electrolyte_facet=settings.electrolyte_facet,
        match=settings.match,
        metal_share=round(match.metal_share, 10),
        repeat=list(settings.repeat),
        electrolyte_cells=settings.electrolyte_cells,
        area=round(area, 6),
        strain=_plain(layout.tensor(match.strain, layout.metal_normal)),
        electrolyte_strain=_plain(layout.tensor(match.electrolyte_strain, layout.electrolyte_normal)),
        largest_strain=round(match.largest_strain, 10),
        cut=settings.cut,
        polar=cut.polar,
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
        metal_thickness=thickness,
        metal_layers=layout.layers,
        reservoir=reservoir_of(electrolyte, len(metal), thickness).to_dict(),
        densities=_densities(sides, bulk, layout, settings),
        bulk_index=_bulk_index(bulk, layout, settings),
        regions={
            "electrolyte": list(range(len(electrolyte))),
            "metal": list(range(len(electrolyte), len(atoms))),
        },
    )


def _plain(tensor: FloatArray) -> list[list[float]]:
    """Return a tensor as lists, to ten decimals and without a negative zero."""
    return (np.round(tensor, 10) + 0.0).tolist()


def _metal_thickness(metal: Atoms, settings: SolidInterface) -> float:
    """Return the distance of the outermost planes of one metal slab, Angstrom."""
    return float(np.ptp(np.sort(metal.positions[:, 2])[: len(metal) // settings.metal_slabs]))


def _bulk_index(bulk: Atoms, layout: Layout, settings: SolidInterface) -> list[int]:
    """Return which atom of the bulk each atom of the electrolyte is."""
    n, m = settings.repeat
    copies = layout.match.n_electrolyte_cells * settings.electrolyte_cells * n * m
    return np.repeat(np.arange(len(bulk)), copies).tolist()


def _densities(
    sides: Sequence[Atoms], bulk: Atoms, layout: Layout, settings: SolidInterface
) -> dict[str, dict[str, float]]:
    """Return the density of both sides, measured on the atoms, and of their bulks, g/cm^3.

    A side fills its area to a height that is to its thickness as built as the height of that much bulk is to
    its thickness when opened. A single plane of metal has no thickness, and counts as high as it should be.
    """
    electrolyte, metal = sides
    area = float(np.linalg.det(surface_vectors(electrolyte)))
    opened = open_slab(bulk, layout.host, layout.facet, layout.cut, settings.electrolyte_cells)
    height = float(opened.cell.array[2, 2]) * np.ptp(electrolyte.positions[:, 2]) / np.ptp(opened.positions[:, 2])
    free = metal_slab(settings, layout.layers)
    thickness = float(np.ptp(free.positions[:, 2]))
    stretch = _metal_thickness(metal, settings) / thickness if thickness > 0 else layout.metal_normal
    metal_height = float(free.cell.array[2, 2]) * stretch * settings.metal_slabs
    values = {
        "electrolyte": (electrolyte.get_masses().sum() / (area * height), bulk.get_masses().sum() / bulk.get_volume()),
        "metal": (metal.get_masses().sum() / (area * metal_height), free.get_masses().sum() / free.get_volume()),
    }
    return {
        side: {"built": round(float(built) * DENSITY, 6), "bulk": round(float(of_bulk) * DENSITY, 6)}
        for side, (built, of_bulk) in values.items()
    }
