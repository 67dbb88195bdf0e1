"""XYZ as text: frames with all that a file holds, under the names of the file."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ase import Atoms
from ase.io.extxyz import XYZError, key_val_str_to_dict, read_xyz

#: Columns that belong to the format.
_COLUMNS = ("species", "pos", "Z")
_CP2K = re.compile(r"^\s*i\s*=\s*\d+,(\s*time\s*=\s*(?P<time>[^,\s]+)\s*,)?.*\bE\s*=\s*(?P<energy>\S+)\s*$")


class ReadingError(ValueError):
    """A file that cannot be read whole; the message names the frame and what to do."""


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


def read_images(path: Path) -> Iterator[Atoms]:
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
