"""Describe one candidate: frames of its segments in, environments and series out."""

import time
from pathlib import Path
from typing import Any

import numpy as np

from aiida_haml.analysis.description import Description, describe_batch
from aiida_haml.analysis.environments.basis import Basis, make_basis, reference_environments
from aiida_haml.analysis.settings import DescriptionSettings
from aiida_haml.engines.outcome import reports_errors, write_results
from aiida_haml.frames import Frames

#: What environments hold that only the balance reads, and what follows from the order of the atoms.
NOT_KEPT = ("reacted_phase", "thiophosphate", "atom")


@reports_errors
def run(folder: Path, task: dict[str, Any]) -> None:
    """Read ``inputs`` and write ``environments/*.npy``, ``series/*.npy`` and ``results.json``.

    Parameters
    ----------
    folder : Path
        The job's folder. ``inputs/segment_*`` are described; ``inputs/previous/segment_*`` (the segments ahead
        of them) and ``inputs/origin`` (the first segment of the trajectory) are there unless the batch is the
        first. ``inputs/built``, the cell as built, is optional.
    task : dict
        ``settings``: keys of `DescriptionSettings`, optional.

    Settings or segments that cannot be described are an ``error`` in ``results.json``, with the reason.
    """
    started = time.perf_counter()
    basis = make_basis(DescriptionSettings.from_dict(task.get("settings")))
    fitted = time.perf_counter()
    inputs = folder / "inputs"
    origin = Frames.load(inputs / "origin") if (inputs / "origin").is_dir() else None
    segments, previous = _load(inputs), _load(inputs / "previous")
    built = Frames.load(inputs / "built") if (inputs / "built").is_dir() else None
    description = describe_batch(segments, basis, origin, previous, built, basis.settings.n_workers)
    _save(folder / "environments", _environment_arrays(description, basis))
    _save(folder / "series", series_arrays(description, basis))
    ended = time.perf_counter()
    n, times = len(description.environments), description.series["time"]
    write_results(folder, {
        "basis_time_s": fitted - started,
        "environments_per_s": n / max(ended - fitted, 1e-9),
        "n_environments": n,
        "n_frames": len(times),
        "segments": description.segments,
        "time_start_fs": float(times[0]),
        "time_end_fs": float(times[-1]),
        "basis_key": basis.key,
        "phases": list(basis.names),
        "settings": basis.settings.to_dict(),
    })  # fmt: skip


def _load(folder: Path) -> dict[str, Frames]:
    return {path.name: Frames.load(path) for path in sorted(folder.glob("segment_*")) if path.is_dir()}


def _environment_arrays(description: Description, basis: Basis) -> dict[str, np.ndarray]:
    environments = description.environments
    kept = {name: values for name, values in vars(environments).items() if name not in NOT_KEPT}
    return (
        kept
        | reference_environments(basis)
        | {
            "time": description.series["time"][environments.frame],
            "phases": np.array(basis.names),
            "basis_key": np.array([basis.key]),
        }
    )


def series_arrays(description: Description, basis: Basis) -> dict[str, np.ndarray]:
    """Return the series of a description with what its phases are, as they are written."""
    return description.series | {
        "phases": np.array(basis.names),
        "roles": np.array([phase.role for phase in basis.phases]),
        "forms": np.array([phase.form for phase in basis.phases]),
        "conducts": np.array([phase.conducts for phase in basis.phases]),
        "elements": np.array(basis.settings.elements),
        "basis_key": np.array([basis.key]),
    }


def _save(folder: Path, arrays: dict[str, np.ndarray]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", array, allow_pickle=False)
