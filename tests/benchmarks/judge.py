"""Does the watch or the judge catch what goes wrong with a potential, and does the run recover?

A screen of one cell (the teacher as level of theory, three seeds) starts with a potential that holds a planted fault:

unanimous   all members are the same, and off by five times the tolerance: the committee is silent
hole        atoms that come closer than is usual attract each other
runaway     forces point the wrong way: everything heats
drift       all members are the same, and off by a little more than the tolerance: nothing can be seen but by labels
clean       the same potential without a fault

For each stretch that a planted potential drove, the truth is asked for every frame that LAMMPS wrote, and the first at
which it complains is the onset. A fault is caught if the time line ends before; a stretch that was stopped, cut or
revoked though the truth complains nowhere is a false alarm.

    python tests/benchmarks/judge.py [--quick]

The last line is a JSON object; the exit code is 1 where an aim is missed: every fault caught, no frame behind an onset
on a time line, every run ends at its wanted time, less than one false alarm in 20 stretches of the clean potential.
"""

import argparse
import json
import os
import sys
import time
import warnings
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"
sys.path.insert(0, str(Path(__file__).parents[2]))

import _planted
from _lessons import finish, scratch
from _workplace import wait_for, workplace

from aiida_haml.learning.rounds import RoundSettings
from aiida_haml.structures.candidates import build

INTERFACE = {"facet": [1, 0, 0], "layers": 1, "max_strain": 0.03}
TOLERANCE = 0.2
MAX_FALSE_ALARMS = 0.05
ROUNDS = RoundSettings(
    n_burst_first=6, max_burst=20, n_stretch_first=40, min_stretch=20, max_stretch=160, force_rmse_tolerance=TOLERANCE
)
SPEC = """
name: judge {plant}
demonstration: true
dopings: [pristine]
interface: {{layers: 1}}
temperature_K: 300
seeds: {seeds}
protocol: quick
level_of_theory: teacher
max_in_flight: 3
overrides:
  equilibration: {{relax_steps: 300, max_force: 0.1, warm_up_steps: 100, warm_up_stages: 3}}
  hybrid: {{simulated_fs: {fs}}}
  rounds: {rounds}
  ranking: {{min_simulated_fs: 20.0}}
"""


def plants(folder: Path, steps: int, ps: float) -> dict[str, list[Path]]:
    """Return the model files of each committee."""
    atoms, _ = build({"host": "Li6PS5Cl", "interface": INTERFACE, "seed": 1, "doping": None, "compensation": None})
    frames = _planted.true_dynamics(atoms, (200.0, 300.0, 450.0), ps, every_fs=10)
    clean = _planted.trained(folder / "clean", frames, steps)
    seen = frames[len(frames) // 3 : 2 * len(frames) // 3 : 8]
    return {
        "clean": clean,
        "unanimous": _planted.unanimous(clean, folder / "unanimous", seen, 5 * TOLERANCE),
        "hole": _planted.hole(clean, folder / "hole"),
        "runaway": _planted.runaway(clean, folder / "runaway"),
        "drift": _planted.unanimous(clean, folder / "drift", seen, 1.5 * TOLERANCE),
    }


def submitted(plant: str, models: list[Path], seeds: list[int], fs: float) -> Any:
    """Submit the screen that starts with a committee, and return its node."""
    from aiida.engine import submit

    from aiida_haml.data.potential import PotentialData
    from aiida_haml.spec import parse_spec
    from aiida_haml.workchains.screen import ScreenWorkChain

    text = SPEC.format(plant=plant, seeds=seeds, fs=fs, rounds=json.dumps(ROUNDS.to_dict()))
    builder = ScreenWorkChain.get_builder_from_spec(parse_spec(text))
    builder.potential = PotentialData.from_files(models, ["Li", "P", "S", "Cl"], 5.0, "float32")
    builder.potential.label = plant
    builder.potential.trust()
    return submit(builder)


def examined(screen: Any, folder: Path) -> list[dict[str, Any]]:
    """Return what became of each stretch that the planted potential drove, and what the truth says of it."""
    from aiida import orm

    dynamics = next(child for child in screen.called if child.process_label == "HybridWorkChain")
    histories = {slug: out["history"].get_dict() for slug, out in dynamics.outputs.trajectories.items()}
    rows = []
    for link in dynamics.base.links.get_outgoing(node_class=orm.WorkChainNode).all():
        if link.node.process_label != "MdWorkChain" or link.node.inputs.job.potential.pk != screen.inputs.potential.pk:
            continue
        slug, _, number = link.link_label.partition("__stretch_")
        verdict = next((r for r in histories[slug]["rounds"] if r["round"] == int(number)), None)
        if verdict is not None and "frames" in link.node.outputs:
            rows.append(_row(link.node, verdict, folder) | {"candidate": slug, "round": int(number)})
    return rows


def _row(stretch: Any, verdict: dict[str, Any], folder: Path) -> dict[str, Any]:
    path = folder / "driver.model"
    path.write_bytes(stretch.inputs.job.potential.read_member(0))
    runs = [stretch.outputs[name].frames for name in ("frames", "untrusted") if name in stretch.outputs]
    points = [point for run in runs for point in _planted.truth(run, path)]
    onset = _planted.onset(points, ROUNDS)
    kept = verdict["end_fs"] if verdict["end_fs"] is not None else -1.0
    # The frame that a stretch starts from is a label, and stays whatever the potential says of it.
    behind = sum(onset <= p.time_fs <= kept for p in points[1:])
    return {
        "stopped_by": stretch.outputs.output_parameters["stopped_by"],
        "action": verdict["action"],
        "kept_to_fs": verdict["end_fs"],
        "onset_fs": None if onset == float("inf") else onset,
        "frames_behind_onset": behind,
        "rmse_max": max(p.force_rmse for p in points),
        "force_error_max": max(p.force_max for p in points),
    }


def summary(screen: Any, rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the figures of one planted potential."""
    dynamics = next(child for child in screen.called if child.process_label == "HybridWorkChain")
    told = [out["history"].get_dict() for out in dynamics.outputs.trajectories.values()]
    faulty = [row for row in rows if row["onset_fs"] is not None]
    alarms = [r for r in rows if r["onset_fs"] is None and (r["stopped_by"] or r["action"] in ("cut", "revoke"))]
    return {
        "stretches": len(rows),
        "with_fault": len(faulty),
        "caught": sum(row["frames_behind_onset"] == 0 for row in faulty),
        "by_watch": sum(bool(row["stopped_by"]) for row in faulty),
        "frames_behind_onset": sum(row["frames_behind_onset"] for row in rows),
        "false_alarms": len(alarms),
        "ended": sum("wanted simulated time" in str(history["ended_because"]) for history in told),
        "candidates": len(told),
        "endings": sorted({str(history["ended_because"]) for history in told}),
        "rounds": [len(history["rounds"]) for history in told],
        "labels": [history["n_labels"] for history in told],
    }


def missed(figures: dict[str, dict[str, Any]]) -> list[str]:
    """Return the aims that were missed, each in a sentence."""
    found = []
    for plant, told in figures.items():
        if told["ended"] < told["candidates"]:
            found.append(f"{plant}: {told['ended']} of {told['candidates']} runs reached their time")
        if plant != "clean" and (told["caught"] < told["with_fault"] or not told["with_fault"]):
            found.append(f"{plant}: {told['caught']} of {told['with_fault']} faults caught")
    clean = figures["clean"]
    if clean["false_alarms"] > MAX_FALSE_ALARMS * clean["stretches"]:
        found.append(f"clean: {clean['false_alarms']} false alarms in {clean['stretches']} stretches")
    return found


def main(argv: list[str] | None = None) -> int:
    """Plant, run, ask the truth."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="one seed, short runs, a potential that has learned less")
    quick = parser.parse_args(argv).quick
    warnings.filterwarnings("ignore")
    seeds, fs, steps, ps = ([1], 100.0, 200, 0.3) if quick else ([1, 2, 3], 400.0, 1500, 1.0)
    with scratch() as name, workplace():
        folder = Path(name)
        committees = plants(folder, steps, ps)
        started = time.perf_counter()
        screens = {plant: submitted(plant, models, seeds, fs) for plant, models in committees.items()}
        wait_for(list(screens.values()))
        rows = {plant: examined(screen, folder) for plant, screen in screens.items()}
        figures = {plant: summary(screen, rows[plant]) for plant, screen in screens.items()}
    for plant, told in figures.items():
        print(plant, json.dumps(told))
    return finish(
        {"plants": figures, "stretches": rows, "wall_time_s": round(time.perf_counter() - started)}, missed(figures)
    )


if __name__ == "__main__":
    sys.exit(main())
