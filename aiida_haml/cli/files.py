"""Files that commands write: names made of labels, and refusals in one line."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from aiida_haml.cli.messages import Refusal

LONGEST_NAME = 100


def file_name(label: str) -> str:
    """Return a label as a file's name, which leads nowhere else: letters, digits and ``. - + _``."""
    name = "".join(c if (c.isascii() and c.isalnum()) or c in ".-+" else "_" for c in label)[:LONGEST_NAME]
    return name.lstrip(".-") or "_"


@contextmanager
def writing(path: Path) -> Iterator[Path]:
    """Say in one line why a file cannot be written.

    Raises
    ------
    Refusal
    """
    if not path.parent.is_dir():
        raise Refusal(f"{path} cannot be written: there is no folder {path.parent}.")
    try:
        yield path
    except OSError as error:
        raise Refusal(f"{path} cannot be written: {error.strerror or error}.") from error


def making(folder: Path) -> Path:
    """Make a folder, and say in one line why it cannot be made.

    Raises
    ------
    Refusal
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise Refusal(f"{folder} cannot be made: {error.strerror or error}.") from error
    return folder
