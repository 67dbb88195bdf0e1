"""Which elements on which sublattices of a host, in which arrangement, and how charge is balanced."""

from aiida_haml.structures.doping.lattice import Substitution, dope

__all__ = ["Substitution", "dope"]
