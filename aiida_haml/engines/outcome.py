"""How a task says that it gave up: ``error`` in ``results.json``, which the parser makes an exit code."""

import functools
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

Run = Callable[[Path, dict[str, Any]], None]


class TaskError(Exception):
    """A task cannot be done, for a reason that the user has to read.

    Parameters
    ----------
    kind : str
        What the parser maps to an exit code, e.g. ``refused``, ``diverged``.
    message : str
        One full sentence that names the field, its value and a remedy.
    """

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


def reports_errors(run: Run) -> Run:
    """Put the message of a `TaskError` (or a ValueError: a bad input) into ``results.json``."""

    @functools.wraps(run)
    def wrapped(folder: Path, task: dict[str, Any]) -> None:
        try:
            run(folder, task)
        except (TaskError, ValueError) as error:
            kind = error.kind if isinstance(error, TaskError) else "refused"
            print(f"The task was given up ({kind}): {error}", flush=True)
            write_results(folder, {"error": {"kind": kind, "message": str(error)}})

    return wrapped


def seconds_so_far() -> float:
    """Return the seconds since this process began, imports included: what a job costs its computer."""
    return time.time() - psutil.Process().create_time()


def write_results(folder: Path, results: dict[str, Any]) -> None:
    """Write ``results.json`` in one step, with ``wall_time_s``, so that a killed job never leaves half of it.

    Raises
    ------
    ValueError
        If a value is NaN or infinite, which JSON and PostgreSQL do not know.
    """
    part = folder / "results.json.part"
    results = {**results, "wall_time_s": seconds_so_far()}
    part.write_text(json.dumps(results, indent=2, sort_keys=True, allow_nan=False))
    part.replace(folder / "results.json")
