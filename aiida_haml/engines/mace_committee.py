"""The members of a committee trained side by side: processes on CPUs, one a GPU, none of which outlives the job."""

import json
import math
import multiprocessing
import os
import time
from collections.abc import Callable, Sequence
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import torch

from aiida_haml.engines.mace_fit import Course, fit
from aiida_haml.engines.mace_network import write
from aiida_haml.engines.outcome import TaskError

_POLL_INTERVAL_S = 0.05


def resolve(device: str) -> str:
    """Return ``cpu`` or ``cuda`` for a wanted device.

    Raises
    ------
    ValueError
        If a GPU is asked for and there is none.
    """
    if device == "cuda" and not torch.cuda.is_available():
        raise ValueError("device is 'cuda', and torch sees no GPU here; ask for 'auto' or 'cpu'.")
    return "cuda" if device != "cpu" and torch.cuda.is_available() else "cpu"


def n_threads(n_parallel: int) -> int:
    """Return the threads of each member: what the job was given, or its share of the cores."""
    given = os.environ.get("OMP_NUM_THREADS", "")
    return int(given) if given.isdigit() and int(given) > 0 else max(1, _n_cores() // n_parallel)


def train(courses: Sequence[Course], folder: Path, deadline: float = math.inf) -> list[dict[str, Any]]:
    """Train all members and write ``member_i.model`` into a folder.

    Python, torch and MACE take seconds to import, so on CPUs members are children forked from this process. Those of
    several GPUs start afresh, as do those on the CPUs of a machine that has a GPU; those of one GPU take turns.

    Returns
    -------
    list of dict
        Of each member: ``steps``, ``lr``, ``restarts``, ``stopped_by``, ``validations``.

    Raises
    ------
    TaskError
        Of kind ``diverged``, ``no_checkpoint`` or ``failed`` (a member's process ended without a word).
    """
    on_gpu = courses[0].device.startswith("cuda")
    slots = torch.cuda.device_count() if on_gpu else courses[0].settings.n_parallel or _n_cores()
    slots = min(slots, len(courses))
    if slots == 1:
        for i, course in enumerate(courses):
            _train_one(i, course, folder, _share(deadline, len(courses) - i))
    else:
        _train_side_by_side(courses, folder, deadline, slots, _start_method())
    return [_outcome(folder, i) for i in range(len(courses))]


def _start_method() -> str:
    """Return how children start: CUDA, which torch's optimizers ask for even on CPUs, does not survive a fork."""
    return "spawn" if torch.cuda.is_available() else "fork"


def _share(deadline: float, n_left: int) -> float:
    now = time.perf_counter()
    return now + (deadline - now) / n_left


def _train_side_by_side(courses: Sequence[Course], folder: Path, deadline: float, slots: int, method: str) -> None:
    context: Any = multiprocessing.get_context(method)
    waiting = list(range(len(courses)))
    running: dict[int, BaseProcess] = {}
    try:
        while waiting or running:
            while waiting and len(running) < slots:
                i = waiting.pop(0)
                # Those that have to wait for a slot leave each other time.
                until = _share(deadline, math.ceil((len(waiting) + 1) / slots))
                # A clock of another process begins elsewhere: tell it how long.
                left = until - time.perf_counter()
                running[i] = context.Process(target=_child, args=(i, courses[i], folder, left, slots, os.getpid()))
                running[i].start()
            time.sleep(_POLL_INTERVAL_S)
            running = {i: process for i, process in running.items() if process.is_alive()}
    finally:
        for process in running.values():
            process.kill()
            process.join()


def _child(index: int, course: Course, folder: Path, seconds: float, slots: int, parent: int) -> None:
    torch.set_num_threads(n_threads(slots))

    def end_with_parent() -> None:
        if os.getppid() != parent:
            os._exit(1)  # the job is gone, and nobody will read what this process makes

    _train_one(index, course, folder, time.perf_counter() + seconds, end_with_parent)


def _train_one(
    index: int, course: Course, folder: Path, deadline: float, on_step: Callable[[], None] = lambda: None
) -> None:
    """Train one member; leave its model, and what is to be said of it, in files."""
    try:
        result = fit(course, deadline, on_step, lambda words: print(f"member {index}: {words}", flush=True))
    except TaskError as error:
        _say(folder, index, {"error": {"kind": error.kind, "message": f"Member {index}: {error}"}})
        return
    write(result.module, folder / f"member_{index}.model")
    _say(folder, index, {name: value for name, value in vars(result).items() if name != "module"})


def _say(folder: Path, index: int, words: dict[str, Any]) -> None:
    (folder / f"member_{index}.json").write_text(json.dumps(words))


def _outcome(folder: Path, index: int) -> dict[str, Any]:
    path = folder / f"member_{index}.json"
    if not path.is_file():
        raise TaskError(
            "failed", f"The process that trained member {index} was ended from outside; it may have lacked memory."
        )
    words = json.loads(path.read_text())
    if "error" in words:
        raise TaskError(words["error"]["kind"], words["error"]["message"])
    return words


def _n_cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
