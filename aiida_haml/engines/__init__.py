"""What runs on the computing machine: `haml-engine TASK`, started inside a job's folder.

Each task reads ``task.json`` and folders of frames from the working directory and writes its results
beside them. Tasks import only what they need, so that a job starts fast; nothing here knows of AiiDA.
"""

import argparse
import contextlib
import importlib
import io
import json
import warnings
from collections.abc import Iterator
from pathlib import Path

#: Task name -> module with a function ``run(folder: Path, task: dict) -> None``.
TASKS = {
    "teacher": "aiida_haml.engines.teacher",
    "learn": "aiida_haml.engines.mace_learning",
    "evaluate": "aiida_haml.engines.mace_evaluation",
    "describe": "aiida_haml.engines.description",
    "rank": "aiida_haml.engines.ranking",
    "watch": "aiida_haml.engines.lammps_watch",
}


@contextlib.contextmanager
def quietly() -> Iterator[None]:
    """Keep from a person's screen what torch, e3nn and MACE say as they load, and of every module that they build."""
    with (
        warnings.catch_warnings(),
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()),
    ):
        warnings.simplefilter("ignore")
        yield


def main(argv: list[str] | None = None) -> None:
    """Run one task in the current folder."""
    parser = argparse.ArgumentParser(prog="haml-engine", description=__doc__)
    parser.add_argument("task", choices=sorted(TASKS))
    name = parser.parse_args(argv).task
    folder = Path.cwd()
    task = json.loads((folder / "task.json").read_text())
    importlib.import_module(TASKS[name]).run(folder, task)
