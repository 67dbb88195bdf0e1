"""Packing of molecules into a periodic cell by Packmol, beside a slab that stays where it is.

Packmol (J. Comput. Chem. 30, 2157 (2009)) is a program of its own, started in a temporary folder. Its result is a
function of its input, which holds a seed.
"""

import importlib.util
import logging
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.data import vdw_radii
from numpy.typing import NDArray

from aiida_haml.structures.errors import StructureError

LOGGER = logging.getLogger(__name__)

#: Packmol's tolerance, Angstrom: the least distance of atoms whose radii are not set.
TOLERANCE = 2.0

#: Radii that are packed, as a multiple of van der Waals radii (Bondi, J. Phys. Chem. 68, 441 (1964)): two atoms of
#: different molecules come no nearer than the sum. In liquids the first contacts are at 0.85 to 0.95 of theirs.
RADIUS_FACTOR = 0.86

#: Radius of lithium ions and metal, Angstrom, in place of the above: Li-O of 2.3 then, and Li-H of 2.0.
LITHIUM_RADIUS = 1.0

#: Multiples of these radii that are tried in turn; a crowded liquid has to do with less.
SCALES = (1.0, 0.95, 0.9, 0.85)

#: Packmol's outer loops for all molecules together; a packing that works needs a few.
LOOPS = 60

#: Seconds after which a packing is given up.
TIME_LIMIT = 300.0


def find_packmol() -> Path:
    """Return Packmol's program: that of its Python package, beside this Python, or on the PATH.

    Raises
    ------
    StructureError
        If it is nowhere.
    """
    spec = importlib.util.find_spec("packmol")
    inside = (
        [Path(folder) / "binaries" / "packmol" for folder in (spec.submodule_search_locations or [])] if spec else []
    )
    on_path = shutil.which("packmol")
    for path in (*inside, Path(sys.executable).with_name("packmol"), *([Path(on_path)] if on_path else [])):
        if path.is_file():
            return path
    raise StructureError(
        "packmol", None, "is not installed, and liquids are packed by it", "Install it: pip install packmol."
    )


def packing_radii(numbers: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the (N,) radii that are packed, Angstrom."""
    radii = RADIUS_FACTOR * np.nan_to_num(vdw_radii[numbers], nan=2.0)
    return np.where(numbers == 3, LITHIUM_RADIUS, radii)


def pack(
    molecules: Sequence[Atoms],
    lengths: Sequence[float],
    region: tuple[float, float] | None = None,
    fixed: Atoms | None = None,
    seed: int = 0,
) -> tuple[list[NDArray[np.float64]], float]:
    """Place rigid molecules in a periodic, rectangular cell.

    Parameters
    ----------
    molecules : sequence of Atoms
        Each is placed once.
    lengths : (3,) floats
        Of the cell, Angstrom.
    region : (low, high), optional
        Heights between which all atoms of the molecules have to be, Angstrom; anywhere where left out.
    fixed : Atoms, optional
        Atoms that keep their place and are kept away from.
    seed : int

    Returns
    -------
    list of (N, 3) arrays
        Positions of each molecule, in one piece, perhaps across the cell's faces.
    float
        Which multiple of the radii was reached, of ``SCALES``.

    Raises
    ------
    StructureError
        If Packmol is missing or finds no packing.
    """
    program = find_packmol()
    n_atoms = sum(len(molecule) for molecule in molecules)
    for scale in SCALES:
        LOGGER.info("Packmol packs %d molecules (%d atoms) with %g of their radii", len(molecules), n_atoms, scale)
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            text = _write_input(folder, molecules, lengths, region, fixed, seed, scale)
            if _run(program, folder, text):
                return _read_output(folder / "packed.xyz", molecules, fixed), scale
    raise StructureError(
        "liquid",
        f"{len(molecules)} molecules in {', '.join(f'{x:.2f}' for x in lengths)} Angstrom",
        f"were not packed by Packmol, not even with {SCALES[-1]:g} of their radii",
        "Lower the density, widen the cell (area_A2, n_atoms), or try another seed.",
    )


def _write_input(
    folder: Path,
    molecules: Sequence[Atoms],
    lengths: Sequence[float],
    region: tuple[float, float] | None,
    fixed: Atoms | None,
    seed: int,
    scale: float,
) -> str:
    """Write the molecules' files and return the input."""
    lines = [f"tolerance {TOLERANCE}", f"seed {_packmol_seed(seed)}", "filetype xyz", "output packed.xyz"]
    lines += [f"nloop {LOOPS}", "pbc " + " ".join(f"{x:.6f}" for x in (0, 0, 0, *lengths))]
    if fixed is not None:
        lines += _block(folder / "fixed.xyz", fixed, scale, ["fixed 0. 0. 0. 0. 0. 0."])
    walls = []
    if region is not None:
        walls = [f"above plane 0. 0. 1. {region[0]:.6f}", f"below plane 0. 0. 1. {region[1]:.6f}"]
    else:
        walls = ["inside box " + " ".join(f"{x:.6f}" for x in (-lengths[0], -lengths[1], -lengths[2]))]
        walls[0] += " " + " ".join(f"{2 * x:.6f}" for x in lengths)
    for k, molecule in enumerate(molecules):
        lines += _block(folder / f"molecule_{k:04d}.xyz", molecule, scale, walls)
    return "\n".join(lines) + "\n"


def _block(path: Path, atoms: Atoms, scale: float, constraints: list[str]) -> list[str]:
    rows = [f"{s} {x:.6f} {y:.6f} {z:.6f}" for s, (x, y, z) in zip(atoms.symbols, atoms.positions, strict=True)]
    path.write_text("\n".join([str(len(atoms)), path.stem, *rows]) + "\n")
    lines = [f"structure {path.name}", "  number 1", *[f"  {c}" for c in constraints]]
    radii = scale * packing_radii(atoms.numbers)
    for radius in np.unique(radii):
        members = " ".join(str(i + 1) for i in np.flatnonzero(radii == radius))
        lines += [f"  atoms {members}", f"    radius {radius:.4f}", "  end atoms"]
    return [*lines, "end structure"]


def _packmol_seed(seed: int) -> int:
    """Spread seeds over Packmol's own, which are positive 32-bit integers."""
    return int(np.random.default_rng([seed, 2]).integers(1, 2**31 - 1))


def _run(program: Path, folder: Path, text: str) -> bool:
    """Return whether Packmol found a packing."""
    (folder / "packmol.inp").write_text(text)
    try:
        # A file, not a pipe: Packmol reads its input twice.
        with (folder / "packmol.inp").open() as source:
            done = subprocess.run(
                [str(program)],
                stdin=source,
                cwd=folder,
                capture_output=True,
                text=True,
                timeout=TIME_LIMIT,
                check=False,
            )
    except subprocess.TimeoutExpired as error:
        # Not a failed packing: going on with smaller radii would let the machine's speed decide about the atoms.
        raise StructureError(
            "packmol", TIME_LIMIT, "seconds were not enough for it", "Take fewer atoms or a lower density."
        ) from error
    if done.returncode not in (0, 173):  # 173: no packing was found
        raise StructureError(
            "packmol",
            done.returncode,
            f"is how it ended: {(done.stderr or done.stdout).strip()[-300:]!r}",
            "Check that version 20.15 or later is installed (pip install packmol).",
        )
    return done.returncode == 0 and "Success!" in done.stdout


def _read_output(path: Path, molecules: Sequence[Atoms], fixed: Atoms | None) -> list[NDArray[np.float64]]:
    rows = path.read_text().splitlines()[2:]
    points = np.array([[float(x) for x in row.split()[1:4]] for row in rows if row.strip()])
    start = 0 if fixed is None else len(fixed)
    ends = start + np.cumsum([len(molecule) for molecule in molecules])
    return [points[end - len(molecule) : end] for end, molecule in zip(ends, molecules, strict=True)]
