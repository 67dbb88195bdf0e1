"""The segments of one trajectory: which of their frames are described, and what is seen ahead of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from aiida_haml.frames import Frames


@dataclass(frozen=True, eq=False)
class Piece:
    """The frames of one segment that are described, and those shortly before them."""

    name: str
    frames: Frames
    before: Frames | None


def check_segments(segments: Mapping[str, Frames]) -> None:
    """Refuse segments that do not form one trajectory.

    Raises
    ------
    ValueError
        If there is none, one has no times, they hold different atoms or are not in time order.
    """
    if not segments:
        raise ValueError("No segments to describe: give at least one burst or stretch.")
    first_name, first = next(iter(segments.items()))
    previous: float | None = None
    for name, frames in segments.items():
        if frames.times is None:
            raise ValueError(f"{name} has no times; give each frame its time in fs, else nothing can be said of rates.")
        if not np.array_equal(frames.numbers, first.numbers):
            raise ValueError(
                f"{name} holds other atoms than {first_name}; all segments of a candidate hold the same "
                "atoms in the same order."
            )
        if previous is not None and frames.times[0] < previous - 1e-6:
            raise ValueError(
                f"{name} starts at {frames.times[0]} fs, before the one ahead of it ends ({previous} fs); "
                "name the segments in time order."
            )
        previous = float(frames.times[-1])


def new_frames(frames: Frames, end_of_previous: float | None) -> Frames | None:
    """Return the frames that the segment ahead did not hold already, or None if there are none."""
    if end_of_previous is None or frames.times is None:
        return frames
    fresh = np.flatnonzero(frames.times > end_of_previous + 1e-6)
    return frames[fresh] if len(fresh) else None


def thinned(frames: Frames, every_fs: float) -> Frames:
    """Return the first frame in each interval [k, k + 1) * every_fs, and the last frame; all if it is 0."""
    if every_fs <= 0 or frames.times is None:
        return frames
    interval = np.floor(frames.times / every_fs + 1e-9)
    first = np.unique(interval, return_index=True)[1]
    return frames[np.union1d(first, len(frames) - 1)]


def choose(
    segments: Mapping[str, Frames], previous: Mapping[str, Frames], every_fs: float, memory_fs: float
) -> list[Piece]:
    """Return what is described of each segment; segments without new frames are left out.

    Parameters
    ----------
    segments, previous : mapping
        In the order of time; `previous` holds segments ahead of the first one.
    every_fs : float
        See `thinned`.
    memory_fs : float
        How far back each piece sees.

    Raises
    ------
    ValueError
        If the segments form no trajectory, or none of them has a new frame.
    """
    check_segments(segments)
    check_segments({f"previous {name}": frames for name, frames in previous.items()} | dict(segments))
    end: float | None = None
    known: list[Frames] = []
    pieces: list[Piece] = []
    for wanted, group in ((False, previous), (True, segments)):
        for name, frames in group.items():
            fresh = new_frames(frames, end)
            if fresh is None or fresh.times is None:  # check_segments has seen to the times
                continue
            described = thinned(fresh, every_fs)
            if wanted:
                pieces.append(Piece(name, described, _late(known, float(fresh.times[0]) - memory_fs)))
            known.append(described)
            end = float(fresh.times[-1])
    if not pieces:
        raise ValueError(
            f"The segments {list(segments)} hold no frame after {end} fs, where the one ahead of them ends; "
            "leave them out."
        )
    return pieces


def _late(known: Sequence[Frames], since: float) -> Frames | None:
    """Return the frames from a time on, or None if there are none."""
    late = [f[np.flatnonzero(f.times >= since - 1e-6)] for f in known if f.times is not None and f.times[-1] >= since]
    return joined(late) if late else None


def joined(parts: Sequence[Frames]) -> Frames:
    """Return the frames of all parts, with their times and nothing else."""
    return Frames(
        numbers=parts[0].numbers,
        positions=np.concatenate([p.positions for p in parts]),
        cells=np.concatenate([p.cells for p in parts]),
        pbc=parts[0].pbc,
        times=np.concatenate([p.times for p in parts if p.times is not None]),
    )
