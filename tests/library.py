"""Crystals of the reference library, as their files hold them."""

from pathlib import Path

from ase import Atoms
from ase.io import read

from aiida_haml import structures

LIBRARY = Path(structures.__file__).parent / "data" / "references"


def reference(name: str, a: float | None = None) -> Atoms:
    """Return the cell of a phase, scaled to the lattice constant `a` (Angstrom) where one is given."""
    atoms = read(LIBRARY / f"{name}.cif")
    atoms.set_cell(atoms.cell.array * (1 if a is None else a / atoms.cell.lengths()[0]), scale_atoms=True)
    return atoms
