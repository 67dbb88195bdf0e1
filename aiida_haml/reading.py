"""Extended XYZ in: frames, and an account of what was found in them under which names.

Everybody's files call the same things by other names, and a reader that knows one name only loses the rest without a
word. Here every name that a file holds is either read or told.

Units are those of the format: A, eV, eV/A; stresses eV/A^3 in ASE's sign; virials eV; velocities A/fs; times fs. CP2K's
own XYZ (``i = 5, time = 2.500, E = -10.1``) is in Hartree.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms, units
from ase.geometry import cellpar_to_cell
from ase.io.extxyz import XYZError, key_val_str_to_dict, read_xyz
from numpy.typing import NDArray

from aiida_haml.frames import Frames

#: The names that each quantity goes by, in lower case; the first of a row is taken where several say the same.
NAMES: Mapping[str, tuple[str, ...]] = {
    "energies": ("energy", "ref_energy", "dft_energy", "total_energy", "free_energy", "ref_free_energy", "e_hartree"),
    "forces": ("forces", "force", "ref_forces", "ref_force", "dft_forces", "dft_force", "frc"),
    "stresses": ("stress", "ref_stress", "dft_stress", "virial", "virials", "ref_virial", "ref_virials", "dft_virial"),
    "velocities": ("momenta", "velocities", "velocity", "velo", "vel", "v"),
    "times": ("time", "time_fs"),
}
#: Names of which one may differ from the other by right: an energy extrapolated to no smearing, and the free energy.
_OTHER_ENERGIES = ("free_energy", "ref_free_energy")
#: Columns that belong to the format.
_COLUMNS = ("species", "pos", "Z")
_CP2K = re.compile(r"^\s*i\s*=\s*\d+,(\s*time\s*=\s*(?P<time>[^,\s]+)\s*,)?.*\bE\s*=\s*(?P<energy>\S+)\s*$")


class ReadingError(ValueError):
    """A file that cannot be read whole; the message names the frame and what to do."""


@dataclass(frozen=True)
class Run:
    """Frames of the same atoms that follow each other in a file and hold the same quantities.

    Parameters
    ----------
    frames : Frames
    first : int
        Number of the first frame in the file, from 1 on.
    found : mapping
        Quantity (see `NAMES`) to the name that it had in the file.
    left : tuple of str
        Names in the file that were not read.
    """

    frames: Frames
    first: int
    found: Mapping[str, str]
    left: tuple[str, ...]

    def account(self) -> str:
        """Say what was found, under which names, and what was not."""
        has = [f"{quantity} ({name})" for quantity, name in self.found.items()]
        has += [] if not self.frames.cells.any() else ["cell"]
        lacks = [quantity for quantity in NAMES if quantity not in self.found]
        lacks += [] if self.frames.cells.any() else ["cell"]
        parts = ["found " + ", ".join(has) if has else "found positions only"]
        parts += ["no " + ", ".join(lacks)] if lacks else []
        parts += ["not read: " + ", ".join(self.left)] if self.left else []
        return "; ".join(parts)


@dataclass(frozen=True)
class Choice:
    """What a person says of a file.

    Parameters
    ----------
    names : mapping
        Quantity to the name that it has in the file, where the known names (`NAMES`) do not do.
    cell : (3, 3) array, optional
        Cell of frames that name none, A; they are periodic then.
    """

    names: Mapping[str, str] = field(default_factory=dict)
    cell: NDArray[np.float64] | None = None


def read_cell(text: str) -> NDArray[np.float64]:
    """Return a cell as (3, 3) array, A, from 3 lengths, 3 lengths and 3 angles, or 9 numbers.

    Raises
    ------
    ValueError
    """
    try:
        numbers = [float(part) for part in re.split(r"[\s,]+", text.strip())]
        cell = np.reshape(numbers, (3, 3)) if len(numbers) == 9 else np.asarray(cellpar_to_cell(numbers))
    except (ValueError, AssertionError, TypeError) as error:
        raise ValueError(f"'{text}' is no cell; give 3 lengths, 3 lengths and 3 angles, or 9 numbers.") from error
    if not np.isfinite(cell).all() or abs(np.linalg.det(cell)) < 1e-6:
        raise ValueError(f"'{text}' is a cell without a volume.")
    return cell


def read_extxyz(path: Path | str, choice: Choice | None = None) -> list[Run]:
    """Read extended XYZ, or CP2K's XYZ, whole.

    Raises
    ------
    ReadingError
        If any part of the file cannot be read, or two names say different things of one quantity.
    """
    choice = choice or Choice()
    taken = [_take(i, atoms, choice) for i, atoms in enumerate(_images(Path(path)), 1)]
    for quantity, name in choice.names.items():
        if not any(quantity in one.found for one in taken):
            there = ", ".join(sorted({n for one in taken for n in (*one.found.values(), *one.left)})) or "none"
            raise ReadingError(f"no frame holds {quantity} under the name '{name}'; the names there are {there}.")
    groups = groupby(_numbered(taken), key=lambda pair: pair[0])
    return [_run([one for _, one in group]) for _, group in groups]


# -- one frame ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _One:
    """One frame of a file, its quantities read."""

    number: int
    atoms: Atoms
    values: Mapping[str, Any]
    found: Mapping[str, str]
    left: tuple[str, ...]


def require_whole(path: Path) -> None:
    """Refuse an XYZ file whose frames are not as long as they say, before anybody reads on for a billion lines.

    Raises
    ------
    ReadingError
    """
    try:
        with path.open(encoding="utf-8") as handle:
            number, gap = 0, False
            for header in handle:
                if not header.strip() or header.lstrip().startswith("VEC"):
                    gap = gap or not header.strip()
                    continue
                number += 1
                if gap:  # ASE stops there without a word
                    raise ReadingError(f"a blank line stands before frame {number}; remove it.")
                _skip_frame(number, header, handle)
    except UnicodeDecodeError as error:
        raise ReadingError(f"{path} is not text in UTF-8; give extended XYZ.") from error
    if number == 0:
        raise ReadingError(f"{path} holds no frame; give extended XYZ.")


def _skip_frame(number: int, header: str, lines: Iterator[str]) -> None:
    if not header.strip().isdigit() or len(header) > 12 or int(header) == 0:
        start = repr(header.strip()[:40])
        raise ReadingError(
            f"frame {number} is no extended XYZ: it starts with {start}, no number of atoms; correct it."
        )
    next(lines, None)
    for k in range(int(header)):
        if not next(lines, "").strip():
            raise ReadingError(
                f"frame {number} has {k} atoms of the {int(header)} that it announces; correct or remove it."
            )


def _images(path: Path) -> Iterator[Atoms]:
    """Yield the frames with all that they hold under the names of the file, in ``info`` and ``arrays``."""
    require_whole(path)
    number = 0
    try:
        with path.open(encoding="utf-8") as handle:
            for atoms in read_xyz(handle, index=slice(None), properties_parser=_parse_comment):
                number += 1
                yield atoms
    except (XYZError, ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
        raise ReadingError(f"frame {number + 1} is no extended XYZ ({error}); correct or remove it.") from error


def _parse_comment(line: str) -> dict[str, Any]:
    """Read a comment line so that ASE takes cell and columns alone, and what it holds keeps its names."""
    if "Properties" not in line and (match := _CP2K.search(line)):
        given = {"E_Hartree": match["energy"], "time": match["time"]}
        return {"given": {name: float(text) for name, text in given.items() if text is not None}}
    # ASE refuses these two in any form but nine numbers.
    values = key_val_str_to_dict(re.sub(r"(?<![\w.])(stress|virial)(?=\s*=)", r"given_\1", line))
    ours = {key: values.pop(key) for key in ("Lattice", "Properties", "pbc") if key in values}
    if "Properties" in ours:
        ours["Properties"] = _renamed(str(ours["Properties"]))
    return {**ours, "given": {key.removeprefix("given_"): value for key, value in values.items()}}


def _renamed(properties: str) -> str:
    """Give columns names that mean nothing to ASE."""
    parts = properties.split(":")
    names = [name if name in _COLUMNS else f"given_{name}" for name in parts[::3]]
    return ":".join(":".join(triple) for triple in zip(names, parts[1::3], parts[2::3], strict=True))


def _take(number: int, atoms: Atoms, choice: Choice) -> _One:
    columns = {name.removeprefix("given_"): v for name, v in atoms.arrays.items() if name.startswith("given_")}
    given = {**atoms.info.get("given", {}), **columns}
    if choice.cell is not None and not atoms.cell.any():
        atoms.set_cell(choice.cell)
        atoms.pbc = True
    values: dict[str, Any] = {}
    found: dict[str, str] = {}
    for quantity in NAMES:
        if name := _name_of(number, quantity, given, choice):
            values[quantity] = _value(number, quantity, name, given[name], atoms)
            found[quantity] = name
    known = {name for names in NAMES.values() for name in names}
    left = [name for name in given if name not in found.values() and not (name.lower() in known and _told(name, found))]
    return _One(number, atoms, values, found, tuple(sorted(left)))


def _told(name: str, found: Mapping[str, str]) -> bool:
    """Whether a name that was not taken says what another one said already."""
    return any(name.lower() in NAMES[quantity] for quantity in found) and name.lower() not in _OTHER_ENERGIES


def _name_of(number: int, quantity: str, given: Mapping[str, Any], choice: Choice) -> str | None:
    """Return the name under which a frame holds a quantity."""
    if wanted := choice.names.get(quantity):
        return wanted if wanted in given else None
    by_lower = {name.lower(): name for name in given}
    there = [by_lower[name] for name in NAMES[quantity] if name in by_lower]
    rivals = [name for name in there[1:] if name.lower() not in _OTHER_ENERGIES and "virial" not in name.lower()]
    for rival in rivals:
        if not _same(given[there[0]], given[rival]):
            option = {"energies": "--energy-key", "forces": "--forces-key", "stresses": "--stress-key"}.get(quantity)
            remedy = f"name the right one with {option}" if option else "remove one"
            raise ReadingError(f"frame {number} holds {there[0]} and {rival}, which differ; {remedy}.")
    return there[0] if there else None


def _same(one: Any, other: Any) -> bool:
    try:
        return bool(np.allclose(np.asarray(one, float), np.asarray(other, float)))
    except (TypeError, ValueError):
        return False


def _value(number: int, quantity: str, name: str, value: Any, atoms: Atoms) -> Any:
    """Return a quantity in our units and form."""
    try:
        numbers = np.asarray(value, dtype=float)
    except (TypeError, ValueError) as error:
        raise ReadingError(f"frame {number}: {name} is {value!r}, which is no number.") from error
    if quantity == "stresses":
        return _stress(number, name, numbers, atoms)
    wanted = {"energies": (), "times": ()}.get(quantity, (len(atoms), 3))
    if numbers.shape != wanted:
        raise ReadingError(f"frame {number}: {name} has the shape {numbers.shape}, not {wanted}; name the right one.")
    if name.lower() == "e_hartree":
        return numbers * units.Hartree
    if quantity == "velocities" and name.lower() == "momenta":
        return numbers / atoms.get_masses()[:, None] * units.fs
    return numbers


def _stress(number: int, name: str, numbers: NDArray[np.float64], atoms: Atoms) -> NDArray[np.float64]:
    """Return a stress in Voigt's order, eV/A^3, from six numbers, nine, or a virial."""
    if numbers.size == 9:
        full = numbers.reshape(3, 3)
        full = (full + full.T) / 2
        voigt = full[[0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]]
    elif numbers.size == 6:
        voigt = numbers.reshape(6)
    else:
        raise ReadingError(f"frame {number}: {name} has {numbers.size} numbers; a stress has 6 or 9.")
    if "virial" not in name.lower():
        return voigt
    if not atoms.cell.rank == 3:
        raise ReadingError(f"frame {number} holds {name} and no cell; give the cell with --cell.")
    return -voigt / atoms.get_volume()


# -- runs --------------------------------------------------------------------------------------------------


def _numbered(frames: Iterable[_One]) -> Iterator[tuple[int, _One]]:
    """Number the runs: a new one begins where atoms, quantities or the direction of time change."""
    run, before = 0, None
    for one in frames:
        if before is not None and not _goes_on(before, one):
            run += 1
        before = one
        yield run, one


def _goes_on(before: _One, one: _One) -> bool:
    same_atoms = np.array_equal(before.atoms.numbers, one.atoms.numbers) and np.array_equal(
        before.atoms.pbc, one.atoms.pbc
    )
    later = "times" not in one.values or one.values["times"] > before.values.get("times", -np.inf)
    return same_atoms and later and before.found == one.found and before.left == one.left


def _run(same: Sequence[_One]) -> Run:
    first = same[0]
    arrays = {quantity: np.array([one.values[quantity] for one in same]) for quantity in first.found}
    try:
        frames = Frames(
            numbers=first.atoms.numbers,
            positions=np.array([one.atoms.positions for one in same]),
            cells=np.array([one.atoms.cell.array for one in same]),
            pbc=first.atoms.pbc,
            **arrays,
        )
    except ValueError as error:
        raise ReadingError(f"frames {first.number} to {same[-1].number}: {error}.") from error
    return Run(frames, first.number, first.found, first.left)
