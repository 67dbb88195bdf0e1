"""From consecutive segments of one candidate to environments and series.

What a segment says hangs on the segment, on the cell as built (for what has reacted), on the start of the trajectory
(for displacements) and on what lies shortly before it (for what has a memory) alone, so that what is known of it
stays valid when the trajectory grows, and a trajectory described in batches of segments is described as one.
"""

import contextlib
import multiprocessing
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from aiida_haml.analysis.balance.reader import BalanceReader
from aiida_haml.analysis.chemistry.batch import ATOMIC, NAMES, chemistry
from aiida_haml.analysis.chemistry.surroundings import surroundings
from aiida_haml.analysis.environments.basis import Basis
from aiida_haml.analysis.environments.stream import (
    DescribedFrames,
    Environments,
    check_elements,
    chunks,
    describe_frames,
)
from aiida_haml.analysis.segments import Piece, choose, joined
from aiida_haml.frames import Frames

#: Arrays of the chemistry that are not one row for each frame, event, interval or window: what describes the
#: start, and what describes the last frame.
ONCE_AT_THE_START = (NAMES, "partial_anion_spacing")
ONCE_AT_THE_END = ("fragments", "fragment_counts")


@dataclass(frozen=True, eq=False)
class Description:
    """What a batch of consecutive segments says.

    Attributes
    ----------
    environments : Environments
        `frame` counts from the first described frame.
    series : dict
        Name -> (T,) or (T, ...) array, see `describe_batch`.
    segments : list of str
        Those that hold a frame which the one ahead does not.
    """

    environments: Environments
    series: dict[str, np.ndarray]
    segments: list[str]


def describe_batch(
    segments: Mapping[str, Frames], basis: Basis, origin: Frames | None = None,
    previous: Mapping[str, Frames] | None = None, built: Frames | None = None, n_workers: int = 1,
) -> Description:  # fmt: skip
    """Describe consecutive segments.

    Parameters
    ----------
    segments : mapping
        Name -> frames with times, in the order of time.
    basis : Basis
    origin : Frames, optional
        Its first frame is the start of the trajectory; the first segment has it where this is left out.
    previous : mapping, optional
        The segments ahead of these, as many as `DescriptionSettings.memory_fs` reaches back.
    built : Frames, optional
        Its first frame is the cell as built, before it was relaxed or warmed up: what has reacted is counted from it.
        The start of the trajectory takes its place where it is left out.
    n_workers : int
        Processes that work at it; they change no digit.

    Returns
    -------
    Description
        The series are those of `aiida_haml.analysis.chemistry.batch.chemistry`, of
        `aiida_haml.analysis.balance.inventory.inventory`, of `aiida_haml.analysis.balance.reader.BalanceReader` and of
        `aiida_haml.analysis.chemistry.surroundings.surroundings`, and for T described frames:

        - ``time`` (T,): fs; ``segment`` (T,): index of the segment among those described;
        - ``temperature`` (T,): K, if there are velocities;
        - ``snapshot_positions`` (2, N, 3), ``snapshot_cells`` (2, 3, 3), ``snapshot_states`` (2, N),
          ``snapshot_times`` (2,), ``snapshot_numbers`` (N,): the first and the last described frame.

    Raises
    ------
    ValueError
        If the segments form no trajectory, or hold elements that the basis was not made for.
    """
    settings = basis.settings
    pieces = choose(segments, previous or {}, settings.every_fs, settings.memory_fs)
    start = (pieces[0].frames if origin is None else origin)[0]
    _check_start("origin", start, pieces[0].frames, basis)
    first = start if built is None else built[0]
    _check_start("built", first, pieces[0].frames, basis)
    # One thread: one order of summation, and threads fight for these small sizes.
    with threadpool_limits(1):
        reader = BalanceReader(first, basis)
        with _workers(n_workers, reader) as submit:
            chemical = [submit(chemistry, p.frames, start, p.before, reader.built, settings) for p in pieces]
            spatial = [
                submit(_described, p.frames[rows])
                for p in pieces
                for rows in chunks(len(p.frames), p.frames.n_atoms, settings.chunk)
            ]
            described = _gathered([job() for job in spatial])
            series = merge_chemistry([job() for job in chemical])
        return _assembled(pieces, described, series, start, reader)


# -- work that goes to other processes -------------------------------------------------------------------

_READER: list[BalanceReader] = []
_POLL_INTERVAL_S = 1.0


def _begin(reader: BalanceReader) -> None:
    _READER[:] = [reader]


def _begin_process(reader: BalanceReader, parent: int) -> None:
    threadpool_limits(1)
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    _begin(reader)


def _end_with(parent: int) -> None:
    """End this process once the job that started it is gone: nobody will read what it makes."""
    while os.getppid() == parent:
        time.sleep(_POLL_INTERVAL_S)
    os._exit(1)


def _described(frames: Frames) -> DescribedFrames:
    return describe_frames(frames, _READER[0].basis)


Submit = Callable[..., Callable[[], Any]]


@contextlib.contextmanager
def _workers(count: int, reader: BalanceReader) -> Iterator[Submit]:
    """Give a function that takes on work and returns what waits for its result."""
    if count < 2:
        _begin(reader)
        yield lambda work, *given: lambda: work(*given)
        return
    # A forked process has the modules and the basis already.
    method = "fork" if "fork" in multiprocessing.get_all_start_methods() else "spawn"
    context = multiprocessing.get_context(method)
    with ProcessPoolExecutor(count, context, initializer=_begin_process, initargs=(reader, os.getpid())) as pool:

        def submit(work: Callable[..., Any], *given: Any) -> Callable[[], Any]:
            future: Future[Any] = pool.submit(work, *given)
            return future.result

        yield submit


# -- putting together ------------------------------------------------------------------------------------


def _gathered(parts: Sequence[DescribedFrames]) -> Environments:
    environments, offset = [], 0
    for part in parts:
        part.environments.frame[...] += np.int32(offset)
        environments.append(part.environments)
        offset = int(part.environments.frame[-1]) + 1
    return Environments.join(environments)


def merge_chemistry(parts: Sequence[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Put what was said of consecutive segments into one part, which `join_chemistry` takes as it takes them."""
    merged = {}
    for name in parts[0]:
        if name in ONCE_AT_THE_START:
            merged[name] = parts[0][name]
        elif name in ONCE_AT_THE_END:
            merged[name] = parts[-1][name]
        else:
            merged[name] = np.concatenate([part[name] for part in parts])
    return merged


def _assembled(
    pieces: Sequence[Piece], described: Environments, series: dict[str, np.ndarray], start: Frames,
    reader: BalanceReader,
) -> Description:  # fmt: skip
    parts = [p.frames for p in pieces]
    frames = joined(parts)
    counted, environments = reader.read(frames, start, series, described)
    series = {name: values for name, values in series.items() if name not in ATOMIC} | counted | reader.constants
    segment = np.repeat(np.arange(len(parts)), [len(f) for f in parts])
    series |= {"time": frames.times if frames.times is not None else np.empty(0), "segment": segment}
    states = environments.state.reshape(len(frames), frames.n_atoms)
    ahead = pieces[0].before
    before = float(ahead.times[-1]) if ahead is not None and ahead.times is not None else -np.inf
    series |= surroundings(frames, states, before, reader.basis.settings.elements)
    if all(f.velocities is not None for f in parts):
        series["temperature"] = np.concatenate([f.temperatures() for f in parts])
    series |= _snapshots(frames, environments)
    return Description(environments, series, [p.name for p in pieces])


def _snapshots(frames: Frames, environments: Environments) -> dict[str, np.ndarray]:
    n, ends = frames.n_atoms, [0, len(frames) - 1]
    return {
        "snapshot_positions": frames.positions[ends],
        "snapshot_cells": frames.cells[ends],
        "snapshot_states": np.stack([environments.state[:n], environments.state[-n:]]),
        "snapshot_times": frames.times[ends] if frames.times is not None else np.empty(0),
        "snapshot_numbers": frames.numbers,
    }


def _check_start(name: str, start: Frames, frames: Frames, basis: Basis) -> None:
    check_elements(frames, basis)
    if not np.array_equal(start.numbers, frames.numbers):
        raise ValueError(f"{name} holds other atoms than the segments; give the one of this trajectory.")
    if start.times is not None and frames.times is not None and start.times[0] > frames.times[0] + 1e-6:
        raise ValueError(
            f"{name} starts at {start.times[0]} fs, after the segments do ({frames.times[0]} fs); give the one of this "
            "trajectory."
        )
