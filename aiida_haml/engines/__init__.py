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
from collections.abc import Iterable, Iterator
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

#: What the packages of a task load beside what they do here, a third to a half of a job's start. With MACE: curves
#: and metrics of its own training loop (they bring matplotlib), peaks of e3nn's spherical signals, integrals of ASE's
#: densities of states, torch's compiler (an optimizer loads it later). With the analysis: arrays of torch, which vesin
#: takes as well, tables, which scikit-learn takes, and sparse descriptors of dscribe (they bring numba).
_BESIDE_MACE = ("torchmetrics", "mace.cli.visualise_train", "scipy.signal", "scipy.integrate", "torch._dynamo")
_BESIDE_ANALYSIS = ("torch", "pandas", "sparse")
_UNUSED = {
    "learn": _BESIDE_MACE, "evaluate": _BESIDE_MACE, "watch": _BESIDE_MACE,
    "describe": _BESIDE_ANALYSIS, "rank": _BESIDE_ANALYSIS,
}  # fmt: skip


class _Unused(types.ModuleType):
    """Holds a class for whatever is imported from it, to inherit from or to annotate with; nothing is one of these."""

    def __getattr__(self, name: str) -> type:
        if name.startswith("__"):
            raise AttributeError(name)
        return type(name, (), {})


@contextlib.contextmanager
def without(names: Iterable[str]) -> Iterator[None]:
    """Let others load without some modules that they do not use; who asks for these later gets the real ones."""
    held = {name: _Unused(name) for name in names if name not in sys.modules}
    sys.modules.update(held)
    try:
        yield
    finally:
        for name in held:
            del sys.modules[name]


def load(task: str) -> types.ModuleType:
    """Return the module of a task, loaded without what it does not use."""
    with without(_UNUSED.get(task, ())):
        return importlib.import_module(TASKS[task])


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
    load(name).run(folder, task)


def lammps() -> None:
    """Run LAMMPS with MACE, as `aiida_haml.engines.lammps_launcher` tells."""
    with without(_BESIDE_MACE):
        module = importlib.import_module("aiida_haml.engines.lammps_launcher")
    module.main()
