"""LAMMPS' binary dumps (`dump custom` to a file ``*.bin``): exact numbers, and nothing to be parsed as text.

The format is that of LAMMPS' ``DumpCustom::header_binary`` and ``DumpCustom::write_binary``, revision 2 (since 2020).
"""

import mmap
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from aiida_haml.arrays import FloatArray

TRAJECTORY = "trajectory.bin"
LAST_FRAME = "last_frame.bin"
#: Frames of the latest checks, a file each; LAMMPS deletes the older ones.
RESTARTS = "restart.*.bin"

#: One LAMMPS time unit, in fs.
PICOSECOND = 1000.0

COLUMNS = "id type xu yu zu vx vy vz fx fy fz"
_MAGIC = b"DUMPCUSTOM"


@dataclass(frozen=True)
class DumpedFrame:
    """One frame of a dump, in LAMMPS' frame of reference.

    Parameters
    ----------
    step : int
    cell : (3, 3) array
        Lower triangular, rows, Angstrom.
    types : (N,) int array
        From 1, in the order of the elements in `pair_coeff`.
    positions, velocities, forces : (N, 3) arrays
        Angstrom (unwrapped), Angstrom / fs, eV / Angstrom.
    """

    step: int
    cell: FloatArray
    types: NDArray[np.int64]
    positions: FloatArray
    velocities: FloatArray
    forces: FloatArray

    @property
    def is_finite(self) -> bool:
        """Whether no number is NaN or infinite."""
        arrays = (self.positions, self.velocities, self.forces)
        return all(bool(np.isfinite(array).all()) for array in arrays)


def read_run(folder: Path, n_atoms: int) -> list[DumpedFrame]:
    """Return all frames that a run left, saved ones, restarts and the last, once each and in order."""
    paths = [folder / TRAJECTORY, *folder.glob(RESTARTS), folder / LAST_FRAME]
    frames = {frame.step: frame for path in paths for frame in read_dump(path, n_atoms)}
    return [frames[step] for step in sorted(frames)]


def read_dump(path: Path, n_atoms: int) -> Iterator[DumpedFrame]:
    """Yield the whole frames of a dump, up to the first one that is cut off, broken or not finite.

    Parameters
    ----------
    path : Path
        A file that does not exist has no frames.
    n_atoms : int
        Frames in which atoms are missing count as broken.
    """
    if not path.is_file() or not path.stat().st_size:
        return
    with path.open("rb") as handle:
        reader = _Reader(mmap.mmap(handle.fileno(), 0, access=mmap.ACCESS_READ))
    while not reader.is_at_end:
        try:
            frame = _frame(reader, n_atoms)
        except (struct.error, ValueError):  # the file ends, or is none
            return
        if frame is None or not frame.is_finite:
            return
        yield frame


class _Reader:
    """Takes values off the front of a file's bytes."""

    def __init__(self, content: mmap.mmap) -> None:
        self._content, self._at = content, 0

    @property
    def is_at_end(self) -> bool:
        return self._at >= len(self._content)

    def take(self, form: str) -> tuple[int, ...]:
        values = struct.unpack_from(f"<{form}", self._content, self._at)
        self._at += struct.calcsize(f"<{form}")
        return values

    def text(self, length: int) -> bytes:
        self._at += length
        return self._content[self._at - length : self._at]

    def doubles(self, count: int) -> FloatArray:
        values = np.frombuffer(self._content, "<f8", count, self._at)
        self._at += 8 * count
        return values


def _frame(reader: _Reader, n_atoms: int) -> DumpedFrame | None:
    (length,) = reader.take("q")
    if reader.text(abs(length)) != _MAGIC or reader.take("ii") != (1, 2):  # magic, byte order, revision
        return None
    step, count, triclinic = reader.take("qqi")
    reader.take("6i")  # boundaries
    low, high = reader.doubles(6).reshape(3, 2).T
    tilts = reader.doubles(3) if triclinic else np.zeros(3)
    (columns,) = reader.take("i")
    reader.text(*reader.take("i"))  # style of the units
    if reader.text(1) != b"\0":
        reader.doubles(1)  # time
    names = reader.text(*reader.take("i"))
    (chunks,) = reader.take("i")  # one of each writing process
    values = np.concatenate([reader.doubles(*reader.take("i")) for _ in range(chunks)])
    if count != n_atoms or names.decode() != COLUMNS or values.size != count * columns:
        return None
    table = values.reshape(count, columns)
    return DumpedFrame(
        step=step,
        cell=_cell(low, high, tilts),
        types=table[:, 1].astype(np.int64),
        positions=table[:, 2:5],
        velocities=table[:, 5:8] / PICOSECOND,
        forces=table[:, 8:11],
    )


def _cell(low: FloatArray, high: FloatArray, tilts: FloatArray) -> FloatArray:
    """Undo the bounding box that a dump gives of a tilted cell (LAMMPS manual, "Triclinic simulation boxes")."""
    xy, xz, yz = tilts
    edges = high - low
    edges[0] -= max(0.0, xy, xz, xy + xz) - min(0.0, xy, xz, xy + xz)
    edges[1] -= max(0.0, yz) - min(0.0, yz)
    return np.array([[edges[0], 0.0, 0.0], [xy, edges[1], 0.0], [xz, yz, edges[2]]])
