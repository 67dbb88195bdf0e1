"""Describe one candidate: frames of its segments in, environments and series out."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from aiida_haml.analysis.basis import Basis, make_basis
from aiida_haml.analysis.description import (
    SegmentDescription,
    check_segments,
    describe_segment,
    explained_variance,
    join_segments,
    new_frames,
    profile,
    thinned,
)
from aiida_haml.analysis.settings import DescriptionSettings
from aiida_haml.engines.outcome import reports_errors, write_results
from aiida_haml.frames import Frames


@reports_errors
def run(folder: Path, task: dict[str, Any]) -> None:
    """Read ``inputs/segment_*`` and write ``environments/*.npy``, ``series/*.npy`` and ``results.json``.

    Parameters
    ----------
    folder : Path
        The job's folder.
    task : dict
        ``settings``: keys of `DescriptionSettings`, optional.

    Settings or segments that cannot be described are an ``error`` in ``results.json``, with the reason.
    """
    started = time.perf_counter()
    basis = make_basis(DescriptionSettings.from_dict(task.get("settings")))
    fitted = time.perf_counter()
    with threadpool_limits(1):
        description, names = _describe(folder / "inputs", basis)
    _save(folder / "environments", _environment_arrays(description, basis))
    _save(folder / "series", _series_arrays(description, basis))
    ended = time.perf_counter()
    n = len(description.environments)
    write_results(folder, {
        "basis_time_s": fitted - started,
        "environments_per_s": n / max(ended - fitted, 1e-9),
        "n_environments": n,
        "n_frames": len(description.times),
        "segments": names,
        "time_start_fs": float(description.times[0]),
        "time_end_fs": float(description.times[-1]),
        "basis_key": basis.key,
        "phases": list(basis.phases),
        "explained_variance": explained_variance(description.check, basis),
        "settings": basis.settings.to_dict(),
    })  # fmt: skip


def _describe(inputs: Path, basis: Basis) -> tuple[SegmentDescription, list[str]]:
    segments = {path.name: Frames.load(path) for path in sorted(inputs.glob("segment_*")) if path.is_dir()}
    check_segments(segments)
    origin = next(iter(segments.values()))[0]
    parts: list[SegmentDescription] = []
    described: list[str] = []
    end: float | None = None
    for name, frames in segments.items():
        fresh = new_frames(frames, end)
        if fresh is None:
            continue
        assert fresh.times is not None  # check_segments has seen to it
        end = float(fresh.times[-1])
        parts.append(describe_segment(thinned(fresh, basis.settings.every_fs), origin, basis))
        described.append(name)
    return join_segments(parts), described


def _environment_arrays(description: SegmentDescription, basis: Basis) -> dict[str, np.ndarray]:
    environments = description.environments
    return vars(environments) | {
        "time": description.times[environments.frame],
        "phases": np.array(basis.phases),
        "basis_key": np.array([basis.key]),
    }


def _series_arrays(description: SegmentDescription, basis: Basis) -> dict[str, np.ndarray]:
    return (
        description.series
        | profile(description, basis)
        | {
            "time": description.times,
            "phases": np.array(basis.phases),
            "roles": np.array(basis.roles),
            "elements": np.array(basis.settings.elements),
        }
    )


def _save(folder: Path, arrays: dict[str, np.ndarray]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", array, allow_pickle=False)
