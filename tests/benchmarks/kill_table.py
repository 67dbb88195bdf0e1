"""What is lost when something is killed, when a disk is full, when the wall time ends a job? Nothing is to be.

A hybrid run of one cell (the teacher as level of theory; two rounds, with jobs of all kinds) is made without a
disturbance, and then once for each row of the table, with no cache:

nothing                        the control: a second run gives the same numbers
label engine, training, LAMMPS SIGKILL of the engine of a job, at five seeded moments; --quick: at one
worker                         the same of AiiDA's daemon worker
whole tree                     the same of all that runs for the profile: daemon, broker, jobs
unsaved                        SIGKILL of the worker when the node of a child is stored, and no checkpoint of it yet
scratch, repository            that disk is full while a job writes its results, or while they are retrieved
wall time                      of one kind of job, too short for it; of a stretch: one long enough to be cut in two

A run ends well if its time line has its wanted length with no step twice and none missing, no job that had finished was
computed again, and, but for wall times, its trajectory and labels are those of the undisturbed run to the last bit.

    python tests/benchmarks/kill_table.py [--quick] [--only NAME ...]

The last line is a JSON object; the exit code is 1 where a run did not end well, or nothing happened to it: an engine
may have ended before it was to be killed.
"""

import argparse
import contextlib
import itertools
import json
import math
import os
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from _mishaps import ENGINES, WORKER, full, kill_all, kill_engine, processes, small_disk
from _repeated import SETTINGS, Bench, Run
from _workplace import daemon_stopped, shifts, workplace

#: Wall times (s) that are too short for a kind of job; that of a stretch follows from what one took.
SHORT = {"label": 1, "learn": 4}
MOMENTS = 5
#: A run whose one stretch takes longer than LAMMPS takes to start, so that a wall time can end it halfway: as many
#: femtoseconds as the others, in many short steps, and no watch that ends it first for what so small a potential does.
LONG = {
    **SETTINGS,
    "dynamics": {"timestep_fs": 0.025},
    "hybrid": {"simulated_fs": 40.75},
    "watch": {"heating": 4.0, "kinetic_energy_kT": 200.0, "max_drift": 1.0, "max_pressure_GPa": 100.0},
    "rounds": {**SETTINGS["rounds"], "n_stretch_first": 1600, "max_stretch": 1600},
}
#: What a row is called, what happens during its run, the scheduler options of its jobs, and settings of its own.
Row = tuple[str, Callable[[Any], bool], dict[str, Any], dict[str, Any]]


def nothing(_: Any) -> bool:
    """Let a run alone."""
    return True


def kills(bench: Bench, plain: Run, moments: int) -> Iterator[Row]:
    """Yield what is killed, and when: the moments are drawn from the times of the undisturbed run."""
    for (k, kind), i in itertools.product(enumerate([*ENGINES, "worker", "whole tree"]), range(moments)):
        random = np.random.default_rng([k, i])
        if kind in ENGINES:
            number = int(random.integers(plain["starts"][kind])) + 1
            delay = random.uniform(0, 0.8) * plain["lasts"][kind]
            yield (
                f"{kind} (job {number}, after {delay:.1f} s)",
                partial(kill_engine, bench.folder, kind, number, delay),
                {},
                {},
            )
        else:
            delay = random.uniform(0.02, 0.9) * plain["seconds"]
            kill = kill_worker if kind == "worker" else kill_tree
            yield f"{kind} (after {delay:.1f} s)", partial(kill, bench, delay), {}, {}


def kill_worker(bench: Bench, delay: float, _: Any) -> bool:
    """Kill the daemon's worker; the daemon starts another one."""
    time.sleep(delay)
    return kill_all(processes(bench.folder, WORKER)) > 0


def kill_tree(bench: Bench, delay: float, _: Any) -> bool:
    """Kill everything, as a power cut does, and start again."""
    time.sleep(delay)
    killed = kill_all(processes(bench.folder))
    bench.take_up()
    return killed > 0


def unsaved(bench: Bench) -> Iterator[Row]:
    """Yield which child its worker leaves behind as a node that nobody can run."""
    for label in ("MdWorkChain", "LammpsMdCalculation"):
        yield f"unsaved {label}", partial(kill_before_checkpoint, bench, label), {}, {}


def kill_before_checkpoint(bench: Bench, label: str, node: Any) -> bool:
    """Let the next worker die in the gap of milliseconds between the two."""
    flag, path = bench.folder / f"unsaved-{label}", os.environ["PYTHONPATH"]
    os.environ |= {"HAML_UNSAVED": f"{label}:{flag}", "PYTHONPATH": f"{Path(__file__).parent / 'unsaved'}:{path}"}
    bench.take_up()
    while not flag.exists() and not node.is_terminated:
        time.sleep(0.1)
    os.environ["PYTHONPATH"] = path
    return flag.exists()


def full_disks(bench: Bench, disks: dict[str, Path]) -> Iterator[Row]:
    """Yield which disk is full while the first labels are made, until something has failed by it."""
    for name, path in disks.items():
        yield f"{name} is full", partial(fill_disk, bench, path), {}, {}


def fill_disk(bench: Bench, path: Path, node: Any) -> bool:
    """Fill a disk as soon as an engine runs, and free it when a job has failed, or AiiDA's own doing with it has."""
    from aiida import orm

    while not processes(bench.folder, ENGINES["label engine"]) and not node.is_terminated:
        time.sleep(0.05)
    since = {"ctime": {">": node.ctime}}
    logs = orm.QueryBuilder().append(orm.CalcJobNode, filters=since, tag="job")
    logs.append(orm.Log, with_node="job", filters={"levelname": {"in": ["ERROR", "WARNING"]}})
    failed = orm.QueryBuilder().append(orm.CalcJobNode, filters={**since, "attributes.exit_status": {">": 0}})
    with full(path):
        while not (happened := bool(logs.count() or failed.count())) and not node.is_terminated:
            time.sleep(0.1)
    return happened


def short_times(bench: Bench, plain: Run) -> Iterator[Row]:
    """Yield a kind of job whose wall time is too short; nothing helps where it is shorter than the start of LAMMPS."""
    from aiida_haml.calculations.base import USABLE_WALL_TIME

    for kind, seconds in SHORT.items():
        yield f"wall time, {kind}: {seconds} s", nothing, {kind: {"max_wallclock_seconds": seconds}}, {}
    # Measured when it is needed: the same stretch takes another time an hour later, where others use the machine.
    halfway = (plain["lasts"]["LAMMPS"] + undisturbed(bench, LONG)["longest"]["LAMMPS"]) / 2
    seconds = math.ceil(halfway / USABLE_WALL_TIME)
    yield f"wall time, md: {seconds} s", nothing, {"md": {"max_wallclock_seconds": seconds}}, LONG


def undisturbed(bench: Bench, settings: dict[str, Any] | None = None) -> Run:
    """Run without a disturbance, and note how many engines of each kind there were and how long they took."""
    told = bench.run(nothing, {}, settings)
    found: dict[str, list[float]] = {kind: [] for kind in ENGINES}
    for script in shifts(bench.stamps):
        text = (Path(script.folder) / "_aiidasubmit.sh").read_text()
        for kind, words in ENGINES.items():
            if all(f"{word}'" in text for word in words) and script.end is not None:
                found[kind].append(script.end - script.start)
    return told | {
        "starts": {kind: len(times) for kind, times in found.items()},
        "lasts": {kind: float(np.median(times)) for kind, times in found.items()},
        "longest": {kind: max(times, default=0.0) for kind, times in found.items()},
    }


def verdict(row: Run, plain: Run, name: str) -> Run:
    """Return a row of the table: a run without the content it is compared by, with what came of it."""
    is_same, is_short = row["content"] == plain["content"], name.startswith("wall time")
    happened = row["happened"] and bool(row["failed"] or not is_short)  # a wall time that ended no job was none
    well = happened and row["ended"] and row["whole"] and not row["again"] and row["audit"] == []
    told = {key: value for key, value in row.items() if key != "content"}
    return {"what": name, **told, "happened": happened, "same": is_same, "well": well and (is_same or is_short)}


def main(argv: list[str] | None = None) -> int:
    """Run all rows and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="one moment instead of five")
    parser.add_argument("--only", nargs="+", default=[""], metavar="NAME", help="rows whose names begin so")
    arguments = parser.parse_args(argv)
    rows = []
    with workplace() as folder, contextlib.ExitStack() as stack:
        bench = Bench(folder)
        places = {
            "repository": next(folder.glob(".aiida/repository/*/container")),
            "scratch": folder / ".aiida/scratch",
        }
        with daemon_stopped():
            disks = {name: path for name, path in places.items() if stack.enter_context(small_disk(path))}
        bench.label_atoms()
        plain = undisturbed(bench)
        moments = 1 if arguments.quick else MOMENTS
        table = [
            ("nothing", nothing, {}, {}),
            *kills(bench, plain, moments),
            *unsaved(bench),
            *full_disks(bench, disks),
        ]
        for name, mishap, options, settings in itertools.chain(table, short_times(bench, plain)):
            if name.startswith(tuple(arguments.only)):
                rows.append(verdict(bench.run(mishap, options, settings), plain, name))
                print(json.dumps(rows[-1]), flush=True)
    missed = [row["what"] for row in rows if not row["well"]]
    figures = {"undisturbed_s": plain["seconds"], "not_mounted": sorted({*places} - {*disks})}
    print(json.dumps({**figures, "rows": rows, "missed": missed}))
    return 1 if missed or not plain["whole"] else 0


if __name__ == "__main__":
    sys.exit(main())
