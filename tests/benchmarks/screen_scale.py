"""What does a large screen cost beside AiiDA itself, and does it come to the same wherever it runs and whatever dies?

The same teacher screen (200 candidates, two rounds each; engines that take no time) in four ways, each in a profile of
its own:

embedded  SQLite, ZeroMQ, one worker with few slots
bare      as many processes of AiiDA's own (`core.arithmetic.multiply_add`: a WorkChain, a function and a job), as many
          at a time, after the screen and in its profile: what the same number of processes costs without us
killed    as embedded, the worker or all that runs killed at ten seeded moments
services  PostgreSQL, RabbitMQ and SLURM from Debian's packages, two workers (needs root; left out without them)

    python tests/benchmarks/screen_scale.py [--candidates 200] [--only embedded killed services]

The last line is a JSON object; the exit code is 1 where an aim is missed: every candidate ends, the same ranking to the
last digit, no finished job run again, and at most 10 % more than bare AiiDA, of wall time and of the worker's own.
"""

import argparse
import contextlib
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil

sys.path.insert(0, str(Path(__file__).parents[2]))

from _mishaps import WORKER, kill_all, processes
from _workplace import bare_profile, call, daemon_stopped, shifts, stamps, trajectories, wait_for, workplace
from rounds import DOPINGS, SPEC

from tests.services.people import Person
from tests.services.servers import create_database, own_folder, postgresql, rabbitmq, slurm

WINDOW, SLOTS, N_KILLS, MAX_EXCESS = 4, 20, 10, 0.10
#: A screen in which nothing has happened for so long is taken up by hand, s.
STALLED_S = 120.0
Figures = dict[str, Any]


class Meter(threading.Thread):
    """Follows the workers of a profile: the seconds they computed, and the most memory that one of them held."""

    def __init__(self, folder: Path) -> None:
        super().__init__(daemon=True)
        self.folder, self.ended = folder, threading.Event()
        self.seconds: dict[int, float] = {}
        self.memory = 0

    def run(self) -> None:
        """Look twice a second until told to end."""
        while not self.ended.wait(0.5):
            for worker in processes(self.folder, WORKER):
                with contextlib.suppress(psutil.Error):
                    times = worker.cpu_times()
                    self.seconds[worker.pid] = times.user + times.system
                    self.memory = max(self.memory, worker.memory_info().rss)


def metered(folder: Path, work: Callable[[], Any]) -> tuple[Any, Figures]:
    """Do something; return what it returned, and what it took."""
    meter, started = Meter(folder), time.perf_counter()
    before = {worker.pid: sum(worker.cpu_times()[:2]) for worker in processes(folder, WORKER)}
    meter.start()
    result = work()
    wall = time.perf_counter() - started
    meter.ended.set()
    meter.join()
    computed = sum(seconds - before.get(pid, 0.0) for pid, seconds in meter.seconds.items())
    return result, {
        "wall_s": round(wall, 1),
        "worker_s": round(computed, 1),
        "worker_MB": round(meter.memory / 1e6),
    }


# -- what is run -------------------------------------------------------------------------------------------


def screen(folder: Path, n_candidates: int) -> Any:
    """Submit the screen, and return its node."""
    from aiida.engine import submit

    from aiida_haml.spec import parse_spec
    from aiida_haml.workchains.screen import ScreenWorkChain

    options = {kind: stamps(folder / "stamps") for kind in ("label", "md", "learn", "analysis")}
    wanted = {"burst": 2, "probes": 3, "fs": 26.0, "seconds": 0, "window": WINDOW}
    seeds = list(range(1, n_candidates // 4 + 1))
    text = SPEC.format(dopings=DOPINGS, seeds=seeds, options=json.dumps(options), **wanted)
    return submit(ScreenWorkChain.get_builder_from_spec(parse_spec(text)))


def told(folder: Path, node: Any) -> Figures:
    """Return what came of a screen."""
    from aiida import orm

    from aiida_haml.queries import audit, called_descendants

    below = [orm.load_node(pk) for pk in called_descendants(node)]
    jobs = [process for process in below if isinstance(process, orm.CalcJobNode)]
    good = [job.base.caching.compute_hash() for job in jobs if job.is_finished_ok]
    scripts = [script.folder for script in shifts(folder / "stamps") if script.end is not None]
    return {
        "ended": sum(bool(out["history"]["rounds"]) for out in trajectories(node).values()),
        "exit_status": node.exit_status,
        "exit_message": node.exit_message,
        "jobs": len(jobs),
        "processes": len(below) + 1,
        "again": len(good) - len(set(good)) + len(scripts) - len(set(scripts)),
        "audit": len(audit(node).problems),
        "ranking": json.dumps(node.outputs.ranking.get_dict(), sort_keys=True) if "ranking" in node.outputs else None,
    }


def bare(n_processes: int) -> None:
    """Run a number of processes of AiiDA's own, as many at a time as the screen does."""
    from aiida import orm
    from aiida.engine import submit
    from aiida.plugins import WorkflowFactory

    chain: Any = WorkflowFactory("core.arithmetic.multiply_add")
    computer = orm.load_computer("localhost")
    code = orm.InstalledCode(computer=computer, filepath_executable="/bin/bash", label="bash").store()
    nodes: list[Any] = []
    for k in range(-(-n_processes // 3)):
        while len(nodes := [node for node in nodes if not node.is_terminated]) >= WINDOW:
            time.sleep(0.1)
        nodes.append(submit(chain, x=orm.Int(k), y=orm.Int(2), z=orm.Int(3), code=code))
    wait_for(nodes)


def kills(folder: Path, wall: float, node: Any) -> int:
    """Kill the worker or everything at seeded moments of the time that the run took undisturbed; take it up; count."""
    moments = np.sort(np.random.default_rng(1).uniform(0.02, 0.95, N_KILLS)) * wall
    started, killed = time.monotonic(), 0
    for k, moment in enumerate(moments):
        while time.monotonic() - started < moment and not node.is_terminated:
            time.sleep(0.1)
        if node.is_terminated:
            break
        killed += kill_all(processes(folder, WORKER if k % 2 else ())) > 0
        if not k % 2:
            take_up()
    return killed


def take_up() -> None:
    """Start the daemon anew, and give it back what the dead one had in its hands."""
    with daemon_stopped():
        call("verdi", "process", "repair", "--force")


def follow(node: Any) -> None:
    """Wait for the end of a screen, and take it up where nothing happens any more."""
    from aiida import orm

    newest = orm.QueryBuilder().append(orm.ProcessNode, project="mtime").order_by({orm.ProcessNode: {"mtime": "desc"}})
    seen, at = None, time.monotonic()
    while not node.is_terminated:
        time.sleep(1)
        if (now := newest.limit(1).all(flat=True)[0]) != seen:
            seen, at = now, time.monotonic()
        elif time.monotonic() - at > STALLED_S:
            take_up()
            at = time.monotonic()


# -- where it is run ---------------------------------------------------------------------------------------


def embedded(n_candidates: int) -> Figures:
    """Run the screen as `setup` leaves a profile, but with few slots, and bare AiiDA after it."""
    with workplace() as folder:
        with daemon_stopped():
            call("verdi", "config", "set", "daemon.worker_process_slots", str(SLOTS))
        node, took = metered(folder, lambda: _ended(screen(folder, n_candidates)))
        seen = told(folder, node) | took
        _, seen["bare"] = metered(folder, lambda: bare(seen["processes"]))
    return seen


def _ended(node: Any) -> Any:
    wait_for([node])
    return node


def killed(n_candidates: int, wall: float) -> Figures:
    """Run the screen, and kill what runs it again and again."""
    with workplace() as folder:
        node = screen(folder, n_candidates)
        n_killed = kills(folder, wall, node)
        follow(node)
        return told(folder, node) | {"n_killed": n_killed}


def services(n_candidates: int) -> Figures:
    """Run the screen on PostgreSQL, RabbitMQ and SLURM, with two workers."""
    with on_services() as folder:
        node, took = metered(folder, lambda: _ended(screen(folder, n_candidates)))
        return told(folder, node) | took


@contextlib.contextmanager
def on_services() -> Iterator[Path]:
    """Start the servers, make a profile on them, and run a daemon with two workers."""
    with postgresql() as database, rabbitmq() as broker, slurm() as variables, own_folder("scale") as repository:
        create_database(database, "bench")
        os.environ |= variables
        commands = Person("root", repository).profile_commands("bench", database, broker, repository / "files")
        with bare_profile(*commands) as folder:
            call("verdi", "config", "set", "warnings.rabbitmq_version", "False")
            call("aiida-haml", "setup", "--scheduler", "slurm", "--workdir", str(folder / "work"))
            call("verdi", "config", "unset", "caching.enabled_for")
            call("verdi", "daemon", "start", "2")
            try:
                yield folder
            finally:
                call("verdi", "daemon", "stop")


def in_a_process_of_its_own(name: str, n_candidates: int, wall: float) -> Figures:
    """Run one way in a process of its own, as one process has one profile; print and return its figures."""
    command = [sys.executable, __file__, "--way", name, "--candidates", str(n_candidates), "--wall", str(wall)]
    result = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    seen: Figures = json.loads(result.stdout.splitlines()[-1])
    print(f"{name}: {json.dumps({key: value for key, value in seen.items() if key != 'ranking'})}", flush=True)
    return seen


def missed(seen: dict[str, Figures], n_candidates: int) -> Iterator[str]:
    """Yield the aims that were missed, each in a sentence."""
    for name, row in seen.items():
        if row["exit_status"] != 0 or row["ended"] < n_candidates:
            yield f"{name}: {row['ended']} of {n_candidates} candidates ended, exit code {row['exit_status']}"
        if row["again"] or row["audit"]:
            yield f"{name}: {row['again']} jobs were run again, the audit has {row['audit']} problems"
    if None in (rankings := {row["ranking"] for row in seen.values()}) or len(rankings) > 1:
        yield "the rankings differ"
    for what in ("wall_s", "worker_s"):
        ours, theirs = seen["embedded"][what], seen["embedded"]["bare"][what]
        if ours > (1 + MAX_EXCESS) * theirs:
            yield f"{what}: {ours} against {theirs} of bare AiiDA"


def main() -> int:
    """Run all ways, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--candidates", type=int, default=200, help="a multiple of four")
    parser.add_argument("--only", nargs="+", default=["killed", "services"], help="beside embedded")
    parser.add_argument("--way", help=argparse.SUPPRESS)
    parser.add_argument("--wall", type=float, default=0.0, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    ways = {"embedded": embedded, "killed": lambda n: killed(n, chosen.wall), "services": services}
    if chosen.way:
        print(json.dumps(ways[chosen.way](chosen.candidates)))
        return 0
    seen = {"embedded": in_a_process_of_its_own("embedded", chosen.candidates, 0.0)}
    for name in (name for name in chosen.only if name != "embedded"):
        seen[name] = in_a_process_of_its_own(name, chosen.candidates, seen["embedded"]["wall_s"])
    aims = list(missed(seen, chosen.candidates))
    rows = {name: {key: value for key, value in row.items() if key != "ranking"} for name, row in seen.items()}
    print(json.dumps({"candidates": chosen.candidates, "ways": rows, "missed": aims}))
    return 1 if aims else 0


if __name__ == "__main__":
    sys.exit(main())
