"""A metal on a face of a solid electrolyte: matched, cut and stacked."""

from aiida_haml.structures.interface.build import InterfaceSettings, build_interface, list_cuts, list_matches
from aiida_haml.structures.interface.stacking import METAL_SITE

__all__ = ["METAL_SITE", "InterfaceSettings", "build_interface", "list_cuts", "list_matches"]
