"""Long runs in half the bytes: single precision between two exact ends.

Frames of a stretch are looked at, described and counted. Only its ends are handed over, and have to be those of its
neighbours on the time line to the last digit. Compression gains nothing: the last digits of dynamics are noise.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

#: Arrays that are large; their error is 6e-8 of a value, 1e-5 A for an atom that has gone 100 A.
LARGE = ("positions", "velocities", "forces")
#: What the exact ends of an array are called: NAME_ends.
ENDS = "_ends"


def reduced(arrays: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arrays of some frames with the large ones in single precision, and their first and last rows exact."""
    small = {name: array for name, array in arrays.items() if name not in LARGE}
    large = {name: array for name, array in arrays.items() if name in LARGE}
    ends = {f"{name}{ENDS}": array[[0, -1]] for name, array in large.items()}
    return {**small, **{name: array.astype(np.float32) for name, array in large.items()}, **ends}


def restored(block: Any, ends: Any | None, start: int, n_frames: int) -> Any:
    """Return rows of an array in double precision, with the exact ends in their places.

    Parameters
    ----------
    block : (rows, ...) array
        From frame `start` on.
    ends : (2, ...) array or None
        Of the whole array; None where all of it is exact.
    start, n_frames : int
        Place of the first row, and number of rows of the whole array.
    """
    if ends is None:
        return block
    exact = block.astype(np.float64)
    for row, end in ((0, ends[0]), (n_frames - 1, ends[1])):
        if start <= row < start + len(exact):
            exact[row - start] = end
    return exact


def load_exact(folder: Path, name: str) -> Any:
    """Read an array that lies in a folder as ``NAME.npy``, with its exact ends if it has them."""
    array, ends = np.load(folder / f"{name}.npy", allow_pickle=False), folder / f"{name}{ENDS}.npy"
    return restored(array, np.load(ends, allow_pickle=False) if ends.exists() else None, 0, len(array))
