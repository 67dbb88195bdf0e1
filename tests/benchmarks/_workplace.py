"""A profile of its own for a benchmark, with daemon, and the screens run in it, each engine's time taken by its job."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SCRIPTS = Path(sys.executable).parent
TESTS = Path(__file__).parents[1]


@contextlib.contextmanager
def workplace(workers: int = 1) -> Iterator[Path]:
    """Make a profile in a temporary folder, set up the codes, run a daemon, load the profile; clean up at the end."""
    with bare_profile(("verdi", "presto", "-n", "-p", "bench", "--use-zeromq")) as folder:
        try:
            call("aiida-haml", "setup")
            call("verdi", "config", "unset", "caching.enabled_for")  # what is measured has to be run
            call("verdi", "daemon", "start", str(workers))
            yield folder
        finally:
            with contextlib.suppress(subprocess.CalledProcessError):
                call("verdi", "daemon", "stop")


@contextlib.contextmanager
def bare_profile(*commands: tuple[str, ...]) -> Iterator[Path]:
    """Make a profile called `bench` by commands in a temporary folder, load it, and remove the folder at the end."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that a benchmark that is ended ends its daemon
    folder = tempfile.mkdtemp(prefix="haml-bench-")
    os.environ |= {"AIIDA_PATH": folder, "OMP_NUM_THREADS": "1", "PATH": f"{SCRIPTS}:{os.environ['PATH']}"}
    # Teachers of the tests are no part of the package: jobs have to find them, and to trust them.
    os.environ |= {"PYTHONPATH": str(TESTS.parent), "HAML_TRUSTED_CALCULATORS": str(TESTS / "trusted_calculators")}
    try:
        for command in commands:
            call(*command)
        from aiida import load_profile

        load_profile("bench")
        yield Path(folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def run_screen(specification: str) -> tuple[Any, float]:
    """Submit a screen given as YAML text and wait for its end; return its node and the seconds it took."""
    from aiida.engine import submit

    from aiida_haml.spec import parse_spec
    from aiida_haml.workchains.screen import ScreenWorkChain

    started = time.perf_counter()
    node = submit(ScreenWorkChain.get_builder_from_spec(parse_spec(specification)))
    wait_for([node])
    if node.exit_status != 0:
        print(f"The screen ended with {node.exit_status}: {node.exit_message}", file=sys.stderr)
    return node, time.perf_counter() - started


def wait_for(nodes: list[Any], at_most: int = 0) -> None:
    """Wait until no more than so many of the processes are unfinished."""
    while sum(not node.is_terminated for node in nodes) > at_most:
        time.sleep(1)


def trajectories(process: Any) -> dict[str, Any]:
    """Return what a screen or a hybrid run returned of each candidate, by slug, as far as there is anything."""
    return dict(process.outputs.trajectories) if "trajectories" in process.outputs else {}


@contextlib.contextmanager
def daemon_stopped() -> Iterator[None]:
    """Do something while there is no daemon, which may be dead already, and start it again."""
    from aiida.manage import get_manager

    with contextlib.suppress(subprocess.CalledProcessError):
        call("verdi", "daemon", "stop")
    yield
    call("verdi", "daemon", "start")
    # The broker is the daemon's: what is submitted through the one that is gone waits for ever.
    get_manager().reset_runner()
    get_manager().reset_broker()


def call(*command: str) -> None:
    """Run a program of this Python environment.

    Raises
    ------
    subprocess.CalledProcessError
        If it fails.
    """
    subprocess.run([str(SCRIPTS / command[0]), *command[1:]], check=True, stdout=subprocess.DEVNULL)


# -- when engines run --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Shift:
    """One execution of a job's script: the folder in which it ran, and its start and end, s since the epoch."""

    folder: str
    start: float
    end: float | None


def stamps(path: Path) -> dict[str, str]:
    """Return the scheduler options that let a job's script write into a file when it starts and ends."""
    line = f'echo "{{}} $(date +%s.%N) $PWD" >> {path}'
    return {"prepend_text": line.format("start"), "append_text": line.format("end")}


def shifts(path: Path) -> list[Shift]:
    """Read what scripts with `stamps` wrote; one that was killed has no end."""
    started: dict[str, list[float]] = {}
    found = []
    for line in path.read_text().splitlines() if path.exists() else ():
        what, when, folder = line.split(maxsplit=2)
        if what == "start":
            started.setdefault(folder, []).append(float(when))
        else:
            found.append(Shift(folder, started[folder].pop(), float(when)))
    return found + [Shift(folder, start, None) for folder, starts in started.items() for start in starts]
