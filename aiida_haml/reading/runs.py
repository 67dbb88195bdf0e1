"""Runs of frames: what follows each other in a file and holds the same, with an account of it."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import numpy as np
from ase.geometry import cellpar_to_cell
from numpy.typing import NDArray

from aiida_haml.frames import Frames
from aiida_haml.reading.quantities import NAMES, Choice, Taken, take
from aiida_haml.reading.text import ReadingError, read_images


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
    taken = [take(i, atoms, choice) for i, atoms in enumerate(read_images(Path(path)), 1)]
    for quantity, name in choice.names.items():
        if not any(quantity in one.found for one in taken):
            there = ", ".join(sorted({n for one in taken for n in (*one.found.values(), *one.left)})) or "none"
            raise ReadingError(f"no frame holds {quantity} under the name '{name}'; the names there are {there}.")
    groups = groupby(_numbered(taken), key=lambda pair: pair[0])
    return [_run([one for _, one in group]) for _, group in groups]


def _numbered(frames: Iterable[Taken]) -> Iterator[tuple[int, Taken]]:
    """Number the runs: a new one begins where atoms, quantities or the direction of time change."""
    run, before = 0, None
    for one in frames:
        if before is not None and not _goes_on(before, one):
            run += 1
        before = one
        yield run, one


def _goes_on(before: Taken, one: Taken) -> bool:
    same_atoms = all(np.array_equal(getattr(before.atoms, n), getattr(one.atoms, n)) for n in ("numbers", "pbc"))
    later = "times" not in one.values or one.values["times"] > before.values.get("times", -np.inf)
    return same_atoms and later and before.found == one.found and before.left == one.left


def _run(same: Sequence[Taken]) -> Run:
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
