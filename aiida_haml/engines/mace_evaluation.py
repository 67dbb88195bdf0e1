"""`haml-engine evaluate`: the errors of a potential on labels it was not trained on.

Reads ``frames.npz`` (runs by name) and ``inputs/potential/member_i.model``; ``task.json`` holds ``sha256``, one of each
member. Writes ``results.json`` with ``errors``, and ``tests/NAME__errors.npy`` and its like, as a learning does.
"""

import time
from pathlib import Path
from typing import Any

from aiida_haml.engines.mace_examination import examine, report, save_tests
from aiida_haml.engines.mace_potential import load_potential
from aiida_haml.engines.outcome import reports_errors, write_results
from aiida_haml.learning.runs import load_runs


@reports_errors
def run(folder: Path, task: dict[str, Any]) -> None:
    """Score a committee on labelled frames.

    Raises
    ------
    TaskError
        Of kind ``model_refused`` or ``diverged``.
    ValueError
        If there are no frames, if they lack labels or hold an element that the potential does not know.
    """
    start = time.perf_counter()
    runs = load_runs(folder / "frames.npz")
    if not runs or any(frames.energies is None or frames.forces is None for frames in runs.values()):
        raise ValueError("The frames to evaluate on hold no energies and forces; label them first.")
    symbols = sorted({symbol for frames in runs.values() for symbol in frames.symbols})
    models = load_potential(folder / "inputs/potential", task["sha256"], symbols)
    loaded = time.perf_counter()
    examined = examine([model.module for model in models], runs.values())
    save_tests(folder / "tests", dict(zip(runs, examined, strict=True)))
    errors = report(examined)
    end = time.perf_counter()
    write_results(folder, {"errors": errors, "prediction_time_s": end - loaded})
    print(
        f"{errors['n_frames']} frames: force error {errors['force_rmse']:.4f} eV/Å, in {end - start:.1f} s",
        flush=True,
    )
