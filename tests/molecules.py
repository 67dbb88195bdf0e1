"""Molecules of the table of species."""

from ase import Atoms

from aiida_haml.structures.liquid.species import TABLE, conformers


def molecule(name: str, seed: int = 0) -> Atoms:
    """Return one geometry of a species, not periodic, its centre at the origin."""
    return conformers(TABLE[name], 1, seed)[0]
