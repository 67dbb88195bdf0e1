"""Which elements on which sublattices of a host, in which arrangement, and how charge is balanced."""

from aiida_haml.structures.doping.dope import DopedCell, dopant_indices, dope
from aiida_haml.structures.doping.lattice import Lattice
from aiida_haml.structures.doping.settings import Configuration, Sample, Substitution, read_doping

__all__ = [
    "Configuration",
    "DopedCell",
    "Lattice",
    "Sample",
    "Substitution",
    "dopant_indices",
    "dope",
    "read_doping",
]
