"""A profile of its own for a benchmark, with daemon, and the screen run in it."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

SCRIPTS = Path(sys.executable).parent


@contextlib.contextmanager
def workplace(workers: int = 1) -> Iterator[None]:
    """Make a profile in a temporary folder, set up the codes, run a daemon, load the profile; clean up at the end."""
    with bare_profile("verdi", "presto", "-n", "-p", "bench", "--use-zeromq"):
        try:
            _call("aiida-haml", "setup")
            _call("verdi", "daemon", "start", str(workers))
            yield
        finally:
            with contextlib.suppress(subprocess.CalledProcessError):
                _call("verdi", "daemon", "stop")


@contextlib.contextmanager
def bare_profile(*command: str) -> Iterator[None]:
    """Make a profile called `bench` by a command in a temporary folder, load it, and remove the folder at the end."""
    folder = tempfile.mkdtemp(prefix="haml-bench-")
    os.environ |= {"AIIDA_PATH": folder, "OMP_NUM_THREADS": "1", "PATH": f"{SCRIPTS}:{os.environ['PATH']}"}
    try:
        _call(*command)
        from aiida import load_profile

        load_profile("bench")
        yield
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


def hybrids(screen: Any) -> dict[str, Any]:
    """Return the hybrid trajectories of a screen by the slug of their candidate."""
    from aiida.common.links import LinkType

    links = screen.base.links.get_outgoing(link_type=LinkType.CALL_WORK).all()
    return {x.link_label: x.node for x in links if x.node.process_label == "HybridWorkChain"}


def _call(*command: str) -> None:
    subprocess.run([str(SCRIPTS / command[0]), *command[1:]], check=True, stdout=subprocess.DEVNULL)
