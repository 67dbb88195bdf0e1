"""What can happen to a run from outside: processes killed at a moment, a disk that is full for a while."""

import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil

#: Kind of job -> words of its engine's command line.
ENGINES = {"label engine": ("haml-engine", "teacher"), "training": ("haml-engine", "learn"), "LAMMPS": ("haml-lammps",)}
WORKER = ("daemon", "worker")
_POLL_S = 0.05


def processes(folder: Path, words: tuple[str, ...] = ()) -> list[psutil.Process]:
    """Return what runs for the profile in a folder: all, or those whose command line holds some words in order."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            line = " ".join(process.cmdline())
            if all(word in line for word in words) and _works_for(process, folder):
                found.append(process)
    return [process for process in found if process.pid != os.getpid()]


def _works_for(process: psutil.Process, folder: Path) -> bool:
    return process.environ().get("AIIDA_PATH", "").startswith(str(folder))


def kill_all(victims: list[psutil.Process]) -> int:
    """Kill processes without a word; return how many were there to be killed."""
    killed = 0
    for process in victims:
        with contextlib.suppress(psutil.Error):
            os.kill(process.pid, signal.SIGKILL)
            killed += 1
    return killed


def kill_engine(folder: Path, kind: str, number: int, delay: float, run: Any) -> bool:
    """Kill the engine of the ``number``-th job of a kind in a run, some seconds after its start.

    Returns
    -------
    bool
        Whether it was killed: it may have ended by then, or never begun.
    """
    seen: set[str] = set()
    while not run.is_terminated:
        for process in processes(folder, ENGINES[kind]):
            with contextlib.suppress(psutil.Error):
                seen.add(process.cwd())
                if len(seen) == number:
                    time.sleep(max(process.create_time() + delay - time.time(), 0.0))
                    return kill_all([process, *process.children(recursive=True)]) > 0
        time.sleep(_POLL_S)
    return False


# -- disks -------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def small_disk(path: Path, megabytes: int = 256) -> Iterator[bool]:
    """Put a folder on a disk of its own, in memory, for a while; yield False where this needs rights one lacks."""
    aside = path.with_name(f"{path.name}-aside")
    path.mkdir(parents=True, exist_ok=True)
    path.rename(aside)
    path.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(path)]
    is_mounted = subprocess.run(command, check=False, capture_output=True).returncode == 0
    shutil.copytree(aside, path, dirs_exist_ok=True)
    try:
        yield is_mounted
    finally:
        if is_mounted:
            subprocess.run(["umount", "-l", str(path)], check=False, capture_output=True)


@contextlib.contextmanager
def full(path: Path) -> Iterator[None]:
    """Leave no byte on the disk of a folder for a while."""
    ballast = path / "ballast"
    try:
        with contextlib.suppress(OSError), ballast.open("wb", buffering=0) as handle:
            while True:
                handle.write(bytes(4096))
        yield
    finally:
        ballast.unlink()
