"""From consecutive segments of one candidate to environments and series.

What a segment says hangs on the segment, on the start of the trajectory (for displacements) and on the last
`MEMORY_FS` before it (for what has a memory) alone, so that what is known of it stays valid when the
trajectory grows, and a trajectory described in batches of segments is described as one.
"""

from __future__ import annotations

import contextlib
import multiprocessing
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from ase.data import chemical_symbols
from threadpoolctl import threadpool_limits

from aiida_haml.analysis.basis import Basis
from aiida_haml.analysis.chemistry import NAMES, chemistry
from aiida_haml.analysis.environments import (
    LITHIUM,
    DescribedFrames,
    Environments,
    VarianceCheck,
    check_elements,
    chunks,
    describe_frames,
)
from aiida_haml.analysis.references import ELECTROLYTE, PRODUCT
from aiida_haml.frames import FloatArray, Frames

#: What is looked back at before a segment, fs: bonds count as made or broken once they have lasted.
MEMORY_FS = 300.0
#: Arrays of the chemistry that are not one row for each frame, event, interval or window: what describes the
#: start, and what describes the last frame.
ONCE_AT_THE_START = (NAMES, "partial_lithium_ions", "partial_anion_spacing")
ONCE_AT_THE_END = ("fragments", "fragment_counts")
#: Elements of molecules, whose environments no reference phase resembles.
ORGANIC = ("C", "H")


@dataclass(frozen=True, eq=False)
class Description:
    """What a batch of consecutive segments says.

    Attributes
    ----------
    environments : Environments
        `frame` counts from the first described frame.
    series : dict
        Name -> (T,) or (T, ...) array, see `describe_batch`.
    check : VarianceCheck
    segments : list of str
        Those that hold a frame which the one ahead does not.
    """

    environments: Environments
    series: dict[str, np.ndarray]
    check: VarianceCheck
    segments: list[str]


@dataclass(frozen=True, eq=False)
class Piece:
    """The frames of one segment that are described, and those of the last `MEMORY_FS` before them."""

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


def choose(segments: Mapping[str, Frames], previous: Mapping[str, Frames], every_fs: float) -> list[Piece]:
    """Return what is described of each segment; segments without new frames are left out.

    Parameters
    ----------
    segments, previous : mapping
        In the order of time; `previous` holds segments ahead of the first one.
    every_fs : float
        See `thinned`.

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
                pieces.append(Piece(name, described, _late(known, float(fresh.times[0]) - MEMORY_FS)))
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
    return _joined(late) if late else None


def _joined(parts: Sequence[Frames]) -> Frames:
    """Return the frames of all parts, with their times and nothing else."""
    return Frames(
        numbers=parts[0].numbers,
        positions=np.concatenate([p.positions for p in parts]),
        cells=np.concatenate([p.cells for p in parts]),
        pbc=parts[0].pbc,
        times=np.concatenate([p.times for p in parts if p.times is not None]),
    )


def describe_batch(
    segments: Mapping[str, Frames], basis: Basis, origin: Frames | None = None,
    previous: Mapping[str, Frames] | None = None, n_workers: int = 1,
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
        The segments ahead of these, as many as `MEMORY_FS` reaches back.
    n_workers : int
        Processes that work at it; they change no digit.

    Returns
    -------
    Description
        The series are those of `aiida_haml.analysis.chemistry.chemistry` and, for T described frames, P phases,
        S elements and Z slabs:

        - ``time`` (T,): fs; ``segment`` (T,): index of the segment among those described;
        - ``phase_fractions`` (T, P + 1): share of all atoms that resembles each phase; the last column is
          'none';
        - ``phase_fractions_by_species`` (T, S, P + 1): the same for each element of the basis (NaN if
          absent);
        - ``framework_fractions`` (T, P + 1): the same for all atoms but Li;
        - ``phase_probabilities`` (T, P + 1): mean over the atoms but Li of the probability of each phase;
        - ``reacted_fraction`` (T,): atoms but Li that do not resemble the electrolyte, or that belong to
          broken molecules, as ``reacted_by`` says;
        - ``product_score`` (T,): mean place of atoms but Li between electrolyte (0) and products (1), or the
          share of them that resembles a product where ``reacted_by`` is 'molecules';
        - ``framework_displacement`` (T,): root mean square displacement of atoms but Li since the start,
          without their common drift, Angstrom;
        - ``temperature`` (T,): K, if there are velocities;
        - ``z_phase_counts`` (T, Z, P + 1): atoms in each slab along the third cell vector by phase;
        - ``snapshot_positions`` (2, N, 3), ``snapshot_cells`` (2, 3, 3), ``snapshot_phases`` (2, N; -1 for
          none), ``snapshot_times`` (2,), ``snapshot_numbers`` (N,): the first and the last described frame.

    Raises
    ------
    ValueError
        If the segments form no trajectory, or hold elements that the basis was not made for, or molecules
        where ``reacted_by`` is 'phase'.
    """
    pieces = choose(segments, previous or {}, basis.settings.every_fs)
    start = (pieces[0].frames if origin is None else origin)[0]
    _check_start(start, pieces[0].frames, basis)
    # One thread: one order of summation, and threads fight for these small sizes.
    with threadpool_limits(1), _workers(n_workers, basis) as submit:
        chemical = [submit(chemistry, p.frames, start, p.before) for p in pieces]  # the longest jobs first
        spatial = [
            submit(_described, p.frames[rows])
            for p in pieces
            for rows in chunks(len(p.frames), p.frames.n_atoms, basis.settings.chunk)
        ]
        described = _gathered([job() for job in spatial])
        series = merge_chemistry([job() for job in chemical])
    return _assembled(pieces, described, series, start, basis)


# -- work that goes to other processes -------------------------------------------------------------------

_BASIS: list[Basis] = []


def _begin(basis: Basis) -> None:
    _BASIS[:] = [basis]


def _begin_process(basis: Basis) -> None:
    threadpool_limits(1)
    _begin(basis)


def _described(frames: Frames) -> DescribedFrames:
    return describe_frames(frames, _BASIS[0])


Submit = Callable[..., Callable[[], Any]]


@contextlib.contextmanager
def _workers(count: int, basis: Basis) -> Iterator[Submit]:
    """Give a function that takes on work and returns what waits for its result."""
    if count < 2:
        _begin(basis)
        yield lambda work, *given: lambda: work(*given)
        return
    # A forked process has the modules and the basis already.
    method = "fork" if "fork" in multiprocessing.get_all_start_methods() else "spawn"
    context = multiprocessing.get_context(method)
    with ProcessPoolExecutor(count, context, initializer=_begin_process, initargs=(basis,)) as pool:

        def submit(work: Callable[..., Any], *given: Any) -> Callable[[], Any]:
            future: Future[Any] = pool.submit(work, *given)
            return future.result

        yield submit


# -- putting together ------------------------------------------------------------------------------------


def _gathered(parts: Sequence[DescribedFrames]) -> DescribedFrames:
    check, environments, offset = VarianceCheck.empty(), [], 0
    for part in parts:
        check.merge(part.check)
        part.environments.frame[...] += np.int32(offset)
        environments.append(part.environments)
        offset += len(part.probabilities)
    probabilities = np.concatenate([p.probabilities for p in parts])
    return DescribedFrames(Environments.join(environments), check, probabilities)


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
    pieces: Sequence[Piece], described: DescribedFrames, chemical: dict[str, np.ndarray], start: Frames, basis: Basis
) -> Description:
    frames = [p.frames for p in pieces]
    times = np.concatenate([f.times for f in frames if f.times is not None])
    series = chemical | {
        "time": times,
        "segment": np.repeat(np.arange(len(frames)), [len(f) for f in frames]),
        "framework_displacement": np.concatenate([_framework_displacement(f, start) for f in frames]),
    }
    series |= _phase_series(described, len(times), basis)
    if basis.settings.reacted_by == "molecules":
        series |= _molecular_series(series, basis)
    if all(f.velocities is not None for f in frames):
        series["temperature"] = np.concatenate([f.temperatures() for f in frames])
    series |= _snapshots(frames[0][0], frames[-1][-1], described.environments)
    return Description(described.environments, series, described.check, [p.name for p in pieces])


def _snapshots(first: Frames, last: Frames, environments: Environments) -> dict[str, np.ndarray]:
    n = first.n_atoms
    return {
        "snapshot_positions": np.concatenate([first.positions, last.positions]),
        "snapshot_cells": np.concatenate([first.cells, last.cells]),
        "snapshot_phases": np.stack([environments.phase[:n], environments.phase[-n:]]),
        "snapshot_times": np.array([f.times[0] for f in (first, last) if f.times is not None]),
        "snapshot_numbers": first.numbers,
    }


def _check_start(start: Frames, frames: Frames, basis: Basis) -> None:
    check_elements(frames, basis)
    if not np.array_equal(start.numbers, frames.numbers):
        raise ValueError("origin holds other atoms than the segments; give the first segment of this trajectory.")
    if start.times is not None and frames.times is not None and start.times[0] > frames.times[0] + 1e-6:
        raise ValueError(
            f"origin starts at {start.times[0]} fs, after the segments do ({frames.times[0]} fs); give the first "
            "segment of the trajectory."
        )
    molecules = sorted(set(frames.elements) & set(ORGANIC))
    if molecules and basis.settings.reacted_by == "phase":
        raise ValueError(
            f"reacted_by is 'phase', but the frames hold {molecules}: a liquid resembles no crystal, so that all of "
            "it would count as reacted; set reacted_by to 'molecules'."
        )


def _phase_series(described: DescribedFrames, n_frames: int, basis: Basis) -> dict[str, np.ndarray]:
    environments, settings = described.environments, basis.settings
    n_columns = len(basis.phases) + 1
    centrals = np.array(sorted(basis.species))
    slab = np.minimum((environments.z * settings.z_bins).astype(np.int64), settings.z_bins - 1)
    species = np.searchsorted(centrals, environments.central)
    shape = (n_frames, settings.z_bins, len(centrals), n_columns)
    # -1, none, becomes the last column.
    flat = np.ravel_multi_index((environments.frame, slab, species, environments.phase), shape, mode="wrap")
    counts = np.bincount(flat, minlength=int(np.prod(shape))).reshape(shape)
    by_species = counts.sum(axis=1).astype(float)
    framework = by_species[:, centrals != LITHIUM].sum(axis=1)
    scored = (environments.central != LITHIUM) & np.isfinite(environments.product)
    weight = np.bincount(environments.frame[scored], minlength=n_frames)
    score = np.bincount(environments.frame[scored], environments.product[scored].astype(float), minlength=n_frames)
    shares = _normalised(framework)
    host = [i for i, role in enumerate(basis.roles) if role == ELECTROLYTE]
    return {
        "phase_fractions": _normalised(by_species.sum(axis=1)),
        "phase_fractions_by_species": _normalised(by_species),
        "framework_fractions": shares,
        "phase_probabilities": _normalised(described.probabilities),
        "reacted_fraction": 1 - shares[:, host].sum(axis=1),
        "product_score": np.divide(score, weight, out=np.full(n_frames, np.nan), where=weight > 0),
        "z_phase_counts": counts.sum(axis=2).astype(np.int32),
    }


def _molecular_series(series: Mapping[str, np.ndarray], basis: Basis) -> dict[str, np.ndarray]:
    products = [i for i, role in enumerate(basis.roles) if role == PRODUCT]
    return {
        "reacted_fraction": series["broken_atom_fraction"],
        "product_score": series["framework_fractions"][:, products].sum(axis=1),
    }


def _normalised(counts: FloatArray) -> FloatArray:
    totals = counts.sum(axis=-1, keepdims=True)
    return np.divide(counts, totals, out=np.full(counts.shape, np.nan), where=totals > 0)


def _framework_displacement(frames: Frames, origin: Frames) -> FloatArray:
    """Positions are unwrapped, so displacements need no images."""
    chosen = frames.numbers != LITHIUM
    if not chosen.any():
        return np.full(len(frames), np.nan)
    moved = frames.positions[:, chosen] - origin.positions[0][chosen]
    moved -= moved.mean(axis=1, keepdims=True)
    return np.asarray(np.sqrt((moved**2).sum(axis=2).mean(axis=1)))


def explained_variance(check: VarianceCheck, basis: Basis) -> dict[str, float]:
    """Return the share of variance of a candidate's own environments that is kept, by element."""
    return {chemical_symbols[z]: share for z, share in sorted(check.explained(basis).items())}
