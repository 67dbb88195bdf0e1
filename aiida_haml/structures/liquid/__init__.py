"""Liquid electrolytes: species, their mixture, and cells packed beside a metal."""

from aiida_haml.structures.liquid.build import build_liquid, liquid_elements, liquid_label
from aiida_haml.structures.liquid.filling import plan_filling
from aiida_haml.structures.liquid.graphs import check_molecules, fragment_keys, molecule_key
from aiida_haml.structures.liquid.settings import Liquid, LiquidInterface, Molecule
from aiida_haml.structures.liquid.species import TABLE

__all__ = [
    "TABLE",
    "Liquid",
    "LiquidInterface",
    "Molecule",
    "build_liquid",
    "check_molecules",
    "fragment_keys",
    "liquid_elements",
    "liquid_label",
    "molecule_key",
    "plan_filling",
]
