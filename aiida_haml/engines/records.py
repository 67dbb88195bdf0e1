"""Append-only ``.npy`` tables: a run that is killed at any moment leaves all rows but the one it was writing."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray


class RecordWriter:
    """Writes records of one type to a file, each of them at once.

    The header says that there is no row: how many there are follows from the size of the file, see `read_records`.

    Parameters
    ----------
    path : Path
        Replaced if it exists.
    dtype : numpy.dtype
    """

    def __init__(self, path: Path, dtype: np.dtype[Any]) -> None:
        self.path, self.dtype = path, dtype
        with path.open("wb") as handle:
            header = {"descr": npy.dtype_to_descr(dtype), "fortran_order": False, "shape": (0,)}
            npy.write_array_header_1_0(handle, header)

    def append(self, record: NDArray[np.void]) -> None:
        """Append one record or several."""
        with self.path.open("ab") as handle:
            handle.write(record.astype(self.dtype).tobytes())


def read_records(path: Path) -> NDArray[np.void]:
    """Read the whole rows of a table.

    Raises
    ------
    ValueError
        If the file has no header.
    """
    with path.open("rb") as handle:
        npy.read_magic(handle)
        _, _, dtype = npy.read_array_header_1_0(handle)
        content = handle.read()
    n_rows = len(content) // dtype.itemsize
    return np.frombuffer(content[: n_rows * dtype.itemsize], dtype=dtype)
