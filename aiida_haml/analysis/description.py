"""From the segments of one candidate to environments and series.

Each segment is described by itself (`describe_segment` needs the segment and the start of the trajectory,
nothing else), so that what is known of a segment stays valid when the trajectory grows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from ase.data import chemical_symbols

from aiida_haml.analysis.basis import Basis
from aiida_haml.analysis.bonds import bond_series
from aiida_haml.analysis.environments import Environments, VarianceCheck, stream_environments
from aiida_haml.analysis.references import ELECTROLYTE
from aiida_haml.frames import FloatArray, Frames

LITHIUM = 3


@dataclass(frozen=True, eq=False)
class SegmentDescription:
    """What one segment says.

    Attributes
    ----------
    environments : Environments
        `frame` counts from the segment's first described frame.
    times : (T,) array
        fs, of the described frames.
    series : dict
        Name -> (T,) or (T, ...) array, see `describe_segment`.
    check : VarianceCheck
    """

    environments: Environments
    times: FloatArray
    series: dict[str, FloatArray]
    check: VarianceCheck


def check_segments(segments: dict[str, Frames]) -> None:
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


def describe_segment(frames: Frames, origin: Frames, basis: Basis) -> SegmentDescription:
    """Describe one segment.

    Parameters
    ----------
    frames : Frames
        With times; all are described.
    origin : Frames
        Its first frame is the start of the trajectory, from which displacements are counted.
    basis : Basis

    Returns
    -------
    SegmentDescription
        The series are those of `bond_series` and, for F frames and P phases:

        - ``phase_fractions`` (F, P + 1): share of all atoms that resembles each phase; the last column is
          'none';
        - ``phase_fractions_by_species`` (F, S, P + 1): the same for each element of the basis (NaN if
          absent);
        - ``framework_fractions`` (F, P + 1): the same for all atoms but Li;
        - ``reacted_fraction`` (F,): atoms but Li that do not resemble the electrolyte;
        - ``product_score`` (F,): mean place of atoms but Li between electrolyte (0) and products (1);
        - ``framework_displacement`` (F,): root mean square displacement of atoms but Li since the start,
          without their common drift, Angstrom;
        - ``temperature`` (F,): K, if there are velocities.
    """
    check = VarianceCheck.empty()
    environments = Environments.join(list(stream_environments(frames, basis, check)))
    series = bond_series(frames) | _phase_series(environments, len(frames), basis)
    series["framework_displacement"] = _framework_displacement(frames, origin)
    if frames.velocities is not None:
        series["temperature"] = frames.temperatures()
    times = frames.times if frames.times is not None else np.zeros(len(frames))
    return SegmentDescription(environments, times, series, check)


def join_segments(parts: Sequence[SegmentDescription]) -> SegmentDescription:
    """Join the descriptions of consecutive segments; series that not all of them have are dropped."""
    check = VarianceCheck.empty()
    environments, offset = [], 0
    for part in parts:
        check.merge(part.check)
        moved = {**vars(part.environments), "frame": part.environments.frame + np.int32(offset)}
        environments.append(Environments(**moved))
        offset += len(part.times)
    shared = [name for name in parts[0].series if all(name in p.series for p in parts)]
    series = {name: np.concatenate([p.series[name] for p in parts]) for name in shared}
    series["segment"] = np.repeat(np.arange(len(parts), dtype=float), [len(p.times) for p in parts])
    return SegmentDescription(Environments.join(environments), np.concatenate([p.times for p in parts]), series, check)


def profile(description: SegmentDescription, basis: Basis) -> dict[str, FloatArray]:
    """Return the composition along the third cell vector and time.

    Returns
    -------
    dict
        ``profile`` (B, Z, P + 1): share of the atoms of each time bin that lie in each slab and resemble each
        phase (the last column is 'none'); ``profile_times`` (B + 1,): edges of the time bins, fs.
    """
    settings, environments = basis.settings, description.environments
    times = description.times
    edges = np.linspace(times[0], max(times[-1], times[0] + 1e-6), settings.time_bins + 1)
    time_bin = np.clip(np.searchsorted(edges, times, side="right") - 1, 0, settings.time_bins - 1)
    slab = np.clip((environments.z * settings.z_bins).astype(int), 0, settings.z_bins - 1)
    shape = (settings.time_bins, settings.z_bins, len(basis.phases) + 1)
    flat = np.ravel_multi_index((time_bin[environments.frame], slab, environments.phase), shape, mode="wrap")
    counts = np.bincount(flat, minlength=int(np.prod(shape))).reshape(shape).astype(float)
    totals = counts.sum(axis=(1, 2), keepdims=True)
    return {"profile": counts / np.maximum(totals, 1), "profile_times": edges}


def _phase_series(environments: Environments, n_frames: int, basis: Basis) -> dict[str, FloatArray]:
    n_columns = len(basis.phases) + 1
    phase = environments.phase.astype(int) % n_columns  # -1, none, becomes the last column
    centrals = sorted(basis.species)
    counts = np.zeros((n_frames, len(centrals), n_columns))
    np.add.at(counts, (environments.frame, np.searchsorted(centrals, environments.central), phase), 1)
    framework = counts[:, [z != LITHIUM for z in centrals]].sum(axis=1)
    host = [i for i, role in enumerate(basis.roles) if role == ELECTROLYTE]
    scored = (environments.central != LITHIUM) & np.isfinite(environments.product)
    weight = np.bincount(environments.frame[scored], minlength=n_frames)
    score = np.bincount(environments.frame[scored], environments.product[scored].astype(float), minlength=n_frames)
    shares = _normalised(framework)
    return {
        "phase_fractions": _normalised(counts.sum(axis=1)),
        "phase_fractions_by_species": _normalised(counts),
        "framework_fractions": shares,
        "reacted_fraction": 1 - shares[:, host].sum(axis=1),
        "product_score": np.divide(score, weight, out=np.full(n_frames, np.nan), where=weight > 0),
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
