"""`haml-engine evaluate`: the errors of a potential on labels it was not trained on, and its calibration.

Reads ``inputs/frames/`` and ``inputs/potential/member_i.model``; ``task.json`` holds ``sha256``, one of each
member. Writes ``results.json`` with ``errors``, and ``deviations.npy``, (F, N), eV / Angstrom.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np

from aiida_haml.engines.mace_examination import calibration, examine, report
from aiida_haml.engines.mace_potential import load_potential
from aiida_haml.engines.outcome import reports_errors, write_results
from aiida_haml.frames import Frames


@reports_errors
def run(folder: Path, task: dict[str, Any]) -> None:
    """Score a committee on labelled frames.

    Raises
    ------
    TaskError
        Of kind ``model_refused`` or ``diverged``.
    ValueError
        If the frames lack labels or hold an element that the potential does not know.
    """
    start = time.perf_counter()
    frames = Frames.load(folder / "inputs/frames")
    if frames.energies is None or frames.forces is None:
        raise ValueError("The frames to evaluate on hold no energies and forces; label them first.")
    models = load_potential(folder / "inputs/potential", task["sha256"], frames.symbols)
    loaded = time.perf_counter()
    examined = examine([model.module for model in models], [frames])
    deviations = examined[0].deviations
    np.save(folder / "deviations.npy", deviations)
    errors = report(examined) | {
        "deviation_max": float(deviations.max()),
        "deviation_mean": float(deviations.mean()),
        "calibration": calibration(examined),
    }
    end = time.perf_counter()
    write_results(folder, {"errors": errors, "prediction_time_s": end - loaded})
    print(
        f"{len(frames)} frames: force error {errors['force_rmse']:.4f} eV/Å, in {end - start:.1f} s",
        flush=True,
    )
