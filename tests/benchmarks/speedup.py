"""How much faster than AIMD alone, all costs in, as the time line grows; and where the time goes.

Two candidates (pristine Li | Li6PS5Cl, and a quarter of the sulfur in PS4 replaced by oxygen; the demonstration's
cells), relaxed by the level itself, run to each of the times in turn, every run going on from where the last one ended.
AIMD alone is its measured seconds a step, of this very run, times the steps of the time lines. Costs are those of all
jobs one after another, and the wall time in which none ran.

    python tests/benchmarks/speedup.py [--level gfn1-xtb] [--ps 1 2 5] [--foundation start] [--only pristine] [--quick]

``data/speedup_gfn1-xtb.jsonl`` is a run to 1 and 5 ps from the start potential, beside two other studies on two cores,
``data/speedup_pbe-szv.jsonl`` one of ``--only pristine --relax-steps 12``, beside as much.
One line of JSON for each time, and one at the end; the exit code is 1 where an aim is missed.
"""

import argparse
import json
import sys
import warnings
from typing import Any

from _workplace import trajectories, wait_for, workplace

#: Speed-up that is wanted at a time, ps, by level.
AIMS = {"gfn1-xtb": {1.0: 3.0, 5.0: 10.0}, "pbe-szv": {3.0: 20.0, 10.0: 50.0}}
DOPINGS = {"pristine": "pristine", "O": "{dopant: O, site: 16e, fraction: 0.25, configuration: 0}"}
SPEC = """
name: speedup
demonstration: true
dopings: [{dopings}]
interface: {{metal: Li, facet: "100", layers: 2, max_strain: 0.03}}
temperature_K: 300
protocol: quick
level_of_theory: {level}
foundation: {foundation}
overrides:
  equilibration: {{relax_steps: {relax_steps}}}
  hybrid: {{simulated_fs: {fs}}}
  rounds: {{max_stretch: 2000}}
"""
#: What a run that goes on takes from the one before.
HANDED_ON = ("segments", "plans", "verdicts", "pool", "potential", "calibration")


def submitted(specification: str, before: Any) -> Any:
    """Run a screen to its end, going on with the time lines of one before it, if any; return its node."""
    from aiida.engine import submit

    from aiida_haml.queries.failures import failures
    from aiida_haml.queries.timelines import time_lines
    from aiida_haml.spec import parse_spec
    from aiida_haml.workchains.screen import ScreenWorkChain

    builder = ScreenWorkChain.get_builder_from_spec(parse_spec(specification))
    if before is not None:
        lines = time_lines(before)
        for name in HANDED_ON:
            setattr(builder, name, getattr(lines, name))
    node = submit(builder)
    wait_for([node])
    if not trajectories(node):
        causes = "; ".join(f"{failure.role}: {failure.reason}" for failure in failures(node))
        raise RuntimeError(f"{node.exit_message} {causes}")
    return node


def lines_of(node: Any) -> dict[str, dict[str, Any]]:
    """Return what became of each candidate's time line."""
    told = {}
    for slug, line in trajectories(node).items():
        history = line["history"].get_dict()
        rounds = history["rounds"]
        warmth = [entry["temperature_K"] for entry in rounds if entry["temperature_K"] is not None]
        told[slug] = {
            "simulated_fs": history["simulated_fs"],
            "labels": history["n_labels"],
            "rounds": len(rounds),
            "actions": [entry["action"] for entry in rounds],
            "temperature_K": [round(value) for value in warmth],
            "ended_because": history["ended_because"],
        }
    return told


def measured(specifications: dict[float, str]) -> list[dict[str, Any]]:
    """Run to each time; return what all runs up to it cost together."""
    from aiida_haml.queries import audit, cost

    found, node = [], None
    spent = alone = 0.0
    for ps, specification in specifications.items():
        node = submitted(specification, node)
        account, report = cost(node), audit(node)
        spent += account.spent_s
        alone += account.aimd_alone_s or 0.0
        found.append(
            {
                "ps": ps,
                "speed_up": round(alone / spent, 2),
                "of_the_last_part": round(account.speed_up or 0.0, 2),
                "seconds_per_step": account.seconds_per_step,
                "wall_s": round(account.wall_s),
                "no_engine_s": round(account.overhead_s),
                "seconds": {kind: round(work.seconds) for kind, work in account.kinds.items()},
                "lines": lines_of(node),
                "cut_untraced_doubts": [report.n_cut, report.n_untraced, len(report.doubts)],
            }
        )
        print(json.dumps(found[-1]), flush=True)
    return found


def main(argv: list[str] | None = None) -> int:
    """Measure it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--level", default="gfn1-xtb")
    parser.add_argument("--ps", type=float, nargs="+", default=[1.0, 2.0, 5.0])
    parser.add_argument("--foundation", default="null", help="start, for the package's start potential")
    parser.add_argument("--only", nargs="+", choices=list(DOPINGS), default=list(DOPINGS))
    parser.add_argument("--relax-steps", type=int, default=40, help="of the level, before the first burst")
    parser.add_argument("--quick", action="store_true", help="a tenth of a picosecond, in two parts: whether it runs")
    given = parser.parse_args(argv)
    warnings.filterwarnings("ignore")
    times = [0.05, 0.1] if given.quick else given.ps
    asked = {
        "level": given.level,
        "foundation": given.foundation,
        "dopings": ", ".join(DOPINGS[name] for name in given.only),
        "relax_steps": given.relax_steps,
    }
    wanted = {ps: SPEC.format(**asked, fs=1000.0 * ps) for ps in times}
    with workplace():
        found = measured(wanted)
    aims = AIMS.get(given.level, {})
    missed = [
        f"{one['ps']:g} ps: {one['speed_up']} of {aims[one['ps']]:g}"
        for one in found
        if one["speed_up"] < aims.get(one["ps"], 0.0)
    ]
    print(
        json.dumps({"level": given.level, "speed_up": {one["ps"]: one["speed_up"] for one in found}, "missed": missed})
    )
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
