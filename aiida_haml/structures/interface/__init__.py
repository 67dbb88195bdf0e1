"""A metal on a face of a solid electrolyte: matched, cut and stacked."""

from aiida_haml.structures.interface.build import build_interface
from aiida_haml.structures.interface.cuts import describe
from aiida_haml.structures.interface.layout import list_cuts, list_matches, make_layout
from aiida_haml.structures.interface.settings import MetalSlab, SolidInterface
from aiida_haml.structures.interface.stacking import METAL_SITE
from aiida_haml.structures.reservoir import Reservoir

__all__ = [
    "METAL_SITE",
    "MetalSlab",
    "Reservoir",
    "SolidInterface",
    "build_interface",
    "describe",
    "list_cuts",
    "list_matches",
    "make_layout",
]
