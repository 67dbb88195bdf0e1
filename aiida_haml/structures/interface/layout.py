"""What is chosen on the pristine host, the same for all its candidates: match, cut and layers of metal."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from ase import Atoms

from aiida_haml.arrays import FloatArray
from aiida_haml.structures.charges import charges_of
from aiida_haml.structures.errors import StructureError
from aiida_haml.structures.interface.cuts import Cut, choose_cut, find_cuts
from aiida_haml.structures.interface.facets import Facet, HostCell, bulk_facet, host_cell, host_facet
from aiida_haml.structures.interface.match import Match
from aiida_haml.structures.interface.matching import Progress, choose_match, find_matches
from aiida_haml.structures.interface.settings import SolidInterface
from aiida_haml.structures.interface.stacking import METALS, PLANE_SPACINGS, metal_layers, surface_vectors
from aiida_haml.structures.reservoir import Reservoir, enough_layers, lithium_needed, mean_counts

#: Poisson's ratio of an electrolyte: of polycrystalline Li6PS5Cl by DFT (Z. Deng, Z. Wang, I.-H. Chu, J. Luo and
#: S. P. Ong, J. Electrochem. Soc. 163, A67 (2016)); what other thiophosphates have is near to it.
POISSON = 0.37


@dataclass(frozen=True, eq=False)
class Layout:
    """Match, cut and layers of an interface, and how each side is mapped onto the common cell.

    ``electrolyte_normal`` and ``metal_normal`` are stretches along the normal; ``layers`` those of each slab of metal.
    """

    host: HostCell
    facet: Facet
    match: Match
    cut: Cut
    turn: FloatArray
    electrolyte_normal: float
    metal_normal: float
    layers: int

    @property
    def electrolyte_map(self) -> FloatArray:
        """(2, 2) map of the free electrolyte onto the common cell, whose first vector lies along x."""
        return self.turn @ self.match.electrolyte_deformation

    @property
    def metal_map(self) -> FloatArray:
        """(2, 2) map of the free metal onto the common cell."""
        return self.turn @ self.match.metal_deformation

    def reservoir(self, needed: float, settings: SolidInterface) -> Reservoir:
        """Return the metal beside electrolyte bulk cells that each can take up ``needed`` lithium atoms."""
        n, m = settings.repeat
        copies = self.match.n_electrolyte_cells * settings.electrolyte_cells * n * m
        metal = self.layers * settings.metal_slabs * self.match.n_metal_cells * n * m
        thickness = (self.layers - 1) * _spacing(settings) * self.metal_normal
        return Reservoir(needed * copies, metal, thickness)

    def tensor(self, in_plane: FloatArray, normal: float) -> FloatArray:
        """Return the (3, 3) strain along the cell's axes of an in-plane strain along the electrolyte's."""
        tensor = np.zeros((3, 3))
        tensor[:2, :2] = self.turn @ in_plane @ self.turn.T
        tensor[2, 2] = normal - 1
        return tensor


def metal_slab(settings: SolidInterface, layers: int = 1) -> Atoms:
    """Return the free metal's surface cell: right-handed vectors along xy, layers upwards from z = 0."""
    return metal_layers(settings.metal, settings.facet_indices, layers, settings.metal_a_A)


def _facets(bulk: Atoms, settings: SolidInterface) -> tuple[HostCell, Facet, FloatArray]:
    """Return the host's own cell, the facet in it, and the bulk's (2, 2) surface vectors on it, Angstrom."""
    host = host_cell(bulk)
    facet = host_facet(host, settings.indices)
    oriented = bulk_facet(bulk, host, facet).oriented(bulk)
    return host, facet, surface_vectors(oriented)


def make_layout(parent: Atoms, settings: SolidInterface, progress: Progress | None = None) -> Layout:
    """Choose match, cut and layers on a pristine host.

    Parameters
    ----------
    parent : Atoms
        The pristine host's bulk cell.
    settings : SolidInterface
    progress : callable, optional
        Called with the supercells done and their number, where all are gone through.

    Raises
    ------
    StructureError
        If there is no match or cut within the limits, not so many, or a vacuum would lie on a polar face.
    """
    host, facet, surface = _facets(parent, settings)
    match = choose_match(surface, surface_vectors(metal_slab(settings)), settings.limits, settings.match, progress)
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
    normal = 1 - POISSON / (1 - POISSON) * float(np.trace(match.electrolyte_strain))  # its face is free of stress
    metal_normal = 1 / float(np.linalg.det(match.metal_deformation))
    layers = _layers(parent, settings, match, metal_normal)
    return Layout(host, facet, match, cut, turn, normal, metal_normal, layers)


def _layers(parent: Atoms, settings: SolidInterface, match: Match, metal_normal: float) -> int:
    """Return the layers of each slab of metal: as asked for, or as many as results need."""
    if settings.layers is not None:
        return settings.layers
    needed = lithium_needed(mean_counts(parent), charges_of(parent)) * match.n_electrolyte_cells
    per_layer = match.n_metal_cells  # one atom for each primitive surface cell
    spacing = _spacing(settings) * metal_normal
    return enough_layers(needed * settings.electrolyte_cells, per_layer, spacing, settings.metal_slabs)


def _spacing(settings: SolidInterface) -> float:
    """Return the distance of the free metal's planes, Angstrom."""
    return (settings.metal_a_A or METALS[settings.metal]) * PLANE_SPACINGS[settings.facet_indices]


# -- lists to choose from -----------------------------------------------------------------------------------


def list_matches(
    bulk: Atoms, settings: SolidInterface, limit: int | None = None, progress: Progress | None = None
) -> list[dict[str, Any]]:
    """Return the commensurate matches of a metal's facet on a host's, in the order of ``SolidInterface.match``.

    Parameters
    ----------
    bulk : Atoms
        The pristine host's bulk cell.
    settings : SolidInterface
    limit : int, optional
        How many at most.
    progress : callable, optional
        Called with the supercells done and their number.

    Returns
    -------
    list of dict
        ``match`` (index), ``area`` (Angstrom^2, of the matched cell), ``electrolyte_cells`` and ``metal_cells``
        in it, largest principal ``metal_strain`` and ``electrolyte_strain`` (with sign), ``rotation_degrees``,
        ``layers`` of metal and the ``atoms`` that the settings would make of it.
    """
    _, _, electrolyte = _facets(bulk, settings)
    found = find_matches(electrolyte, surface_vectors(metal_slab(settings)), settings.limits, progress)
    return list(_rows(bulk, settings, found[:limit]))


def _rows(bulk: Atoms, settings: SolidInterface, found: list[Match]) -> Iterator[dict[str, Any]]:
    n, m = settings.repeat
    for index, match in enumerate(found):
        layers = _layers(bulk, settings, match, 1 / float(np.linalg.det(match.metal_deformation)))
        atoms = sum(mean_counts(bulk).values()) * settings.electrolyte_cells * match.n_electrolyte_cells
        atoms += layers * settings.metal_slabs * match.n_metal_cells
        yield {
            "match": index,
            "area": round(match.area, 4),
            "electrolyte_cells": match.n_electrolyte_cells,
            "metal_cells": match.n_metal_cells,
            "metal_strain": _largest(match.strain),
            "electrolyte_strain": _largest(match.electrolyte_strain),
            "rotation_degrees": round(match.rotation_degrees, 4),
            "layers": layers,
            "atoms": round(atoms * n * m),
        }


def _largest(strain: FloatArray) -> float:
    principal = np.linalg.eigvalsh(strain)
    return round(float(principal[np.abs(principal).argmax()]), 8)


def list_cuts(bulk: Atoms, settings: SolidInterface) -> list[Cut]:
    """Return the cuts of a host's facet that leave PS4 whole, in the order of ``SolidInterface.cut``."""
    host, facet, _ = _facets(bulk, settings)
    whole = [cut for cut in find_cuts(host, facet) if cut.intact == cut.expected]
    return [cut for cut in whole if cut.alike or not settings.symmetric]
