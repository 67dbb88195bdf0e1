"""What runs on the computing machine: `haml-engine TASK` and `haml-lammps`, started inside a job's folder.

Each task reads ``task.json`` and folders of frames from the working directory and writes its results
beside them. Tasks import only what they need, so that a job starts fast; nothing here knows of AiiDA.
"""

import argparse
import contextlib
import importlib
import io
import json
import sys
import types
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

#: What MACE loads for its own training loop alone, the curves that it draws and their metrics: with matplotlib and
#: pandas, a third of the time in which MACE loads. No task here uses any of it.
_OF_ITS_LOOP = ("torchmetrics", "mace.cli.visualise_train")


class _Unused(types.ModuleType):
    """Holds whatever name is imported from it, to inherit from or to annotate with."""

    def __getattr__(self, name: str) -> type:
        if name.startswith("__"):
            raise AttributeError(name)
        return object


@contextlib.contextmanager
def without_its_loop() -> Iterator[None]:
    """Let MACE load without what only its own training loop uses; who asks for that later gets the real thing."""
    held = {name: _Unused(name) for name in _OF_ITS_LOOP if name not in sys.modules}
    sys.modules.update(held)
    try:
        yield
    finally:
        for name in held:
            del sys.modules[name]


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
    with without_its_loop():
        module = importlib.import_module(TASKS[name])
    module.run(folder, task)


def lammps() -> None:
    """Run LAMMPS with MACE, as `aiida_haml.engines.lammps_launcher` tells."""
    with without_its_loop():
        module = importlib.import_module("aiida_haml.engines.lammps_launcher")
    module.main()
