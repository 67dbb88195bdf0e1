"""Cells from files: any format that ASE reads, and CIF; partial occupancies are no cell."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.data import chemical_symbols
from ase.io import read

from aiida_haml.structures.cif import SHARE_TOLERANCE, CifCell, is_cif, read_cif
from aiida_haml.structures.errors import StructureError


@dataclass(frozen=True, eq=False)
class CellFile:
    """A cell that was read, and which frame of its file it is, from 1 on."""

    atoms: Atoms
    frame: int = 1
    frames: int = 1


def read_cell(path: str | Path, file_format: str | None = None, elements: Sequence[str] = ()) -> CellFile:
    """Read the last frame of a structure file.

    Parameters
    ----------
    path : str or Path
    file_format : str, optional
        ASE's name of it, as ``lammps-data``; from the file's name and content where left out.
    elements : sequence of str
        Element of each atom type of LAMMPS data that bring no masses.

    Raises
    ------
    StructureError
        If there is no such file, it cannot be read, it holds partial occupancies, or elements are not known.
    """
    path = Path(path)
    if not path.is_file():
        raise StructureError("file", str(path), "is not a file", "Give the path of a structure.")
    if is_cif(path) and file_format in (None, "cif"):
        return CellFile(_full_cell(path, read_cif(path)))
    try:
        found = read(path, index=":", format=file_format)
    except Exception as error:  # readers of three dozen formats raise what they like
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        raise StructureError(
            "file",
            path.name,
            f"cannot be read as a structure ({reason})",
            "Give extxyz, CIF, POSCAR, a CP2K restart, ..., or name its format (--format lammps-data).",
        ) from error
    frames = found if isinstance(found, list) else [found]
    if not frames or not isinstance(frames[-1], Atoms) or len(frames[-1]) == 0:
        remedy = "Give a structure, or name the format of the file (--format lammps-data)."
        raise StructureError("file", path.name, "holds no atoms that can be read", remedy)
    atoms = frames[-1]
    if file_format == "lammps-data":
        _name_types(path, atoms, elements)
    return CellFile(atoms, len(frames), len(frames))


def _full_cell(path: Path, read: CifCell) -> Atoms:
    partial = [sum(shares.values()) for shares in read.occupancies]
    mixed = [k for k, shares in enumerate(read.occupancies) if len(shares) > 1 or partial[k] < 1 - SHARE_TOLERANCE]
    if mixed:
        raise StructureError(
            "file",
            path.name,
            f"has {_occupancies_in_words([read.occupancies[k] for k in mixed])}; a cell with partial occupancies is "
            "no cell",
            f"Build one from it with host: {{file: {path.name}}} in a specification.",
        )
    symbols = [next(iter(shares)) for shares in read.occupancies]
    atoms = Atoms(symbols, scaled_positions=read.scaled, cell=read.cell, pbc=True)
    if read.charges:
        atoms.info["charges"] = dict(read.charges)
    return atoms


def _occupancies_in_words(occupancies: list[dict[str, float]]) -> str:
    """Return "Li 0.5 at 48 sites, Cl 0.375 and S 0.625 at 4 sites"."""
    kinds = Counter(" and ".join(f"{e} {share:g}" for e, share in sorted(one.items())) for one in occupancies)
    return ", ".join(f"{kind} at {n} site{'s' * (n > 1)}" for kind, n in kinds.items())


def _name_types(path: Path, atoms: Atoms, elements: Sequence[str]) -> None:
    """Give LAMMPS's numbered types their elements; ASE takes type 1 for hydrogen where there are no masses."""
    types = np.asarray(atoms.arrays.get("type", atoms.numbers))
    with_masses = "Masses" in path.read_text(errors="replace")
    if not elements and with_masses:
        return
    wrong = [element for element in elements if element not in chemical_symbols[1:]]
    if wrong or len(elements) < int(types.max()):
        raise StructureError(
            "elements",
            " ".join(wrong or elements) or None,
            f"do not name the {int(types.max())} atom types of {path.name}, which has no masses"
            if not with_masses
            else f"do not name the {int(types.max())} atom types of {path.name}",
            "Give the element of each type in order, as --elements 'Li P S'.",
        )
    atoms.set_chemical_symbols([elements[kind - 1] for kind in types])
