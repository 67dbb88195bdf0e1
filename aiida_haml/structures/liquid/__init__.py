"""Liquid electrolytes: species, their mixture, and cells packed beside a metal."""

from aiida_haml.structures.liquid.build import build_liquid
from aiida_haml.structures.liquid.molecules import (
    TABLE,
    check_molecules,
    fragment_keys,
    molecule,
    molecule_key,
    read_molecule,
)
from aiida_haml.structures.liquid.settings import LiquidInterface

__all__ = [
    "TABLE",
    "LiquidInterface",
    "build_liquid",
    "check_molecules",
    "fragment_keys",
    "molecule",
    "molecule_key",
    "read_molecule",
]
