"""What do the rounds of a screen cost beside its engines, and does it matter how many jobs run at a time?

The level of theory is a teacher that takes a second a step, as GFN1-xTB does on such a cell, but no core.

windows   a screen of 12 candidates with 1, 3 and 12 jobs at a time (--quick: 4 candidates; 1 and 4): the same ranking
          to the last digit; trainings a candidate; how often a round waits for the queue; the share of the wall time in
          which no engine ran, and what was done meanwhile: jobs handled (upload, poll, retrieval, parser), or none
          under way, which is calcfunctions and the steps of WorkChains
lengths   one candidate over ever more rounds: nodes, links and stored bytes, and the exponents of their growth, from a
          log-log fit of what each length has more than the shortest

    python tests/benchmarks/rounds.py [--quick]

The last line is a JSON object; the exit code is 1 where an aim is missed: all candidates end, equal rankings, at most
three waits a round with the widest window, exponents of at most 1.1, less than 10 % without an engine.
"""

import argparse
import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from _workplace import run_screen, shifts, stamps, trajectories, workplace

SPEC = """
name: rounds
dopings: {dopings}
interface: {{layers: 1}}
demonstration: true
temperature_K: 300
seeds: {seeds}
protocol: quick
level_of_theory: {{teacher: {{calculator: 'tests.faulty:SlowIons', parameters: {{seconds: {seconds}}}}}}}
max_in_flight: {window}
overrides:
  equilibration: {{relax_steps: 0, warm_up_steps: 0}}
  hybrid: {{simulated_fs: {fs}}}
  rounds:
    n_burst_first: {burst}
    min_burst: {burst}
    max_burst: {burst}
    n_stretch_first: 10
    min_stretch: 10
    max_stretch: 10
    n_explorations: 0
    force_rmse_tolerance: 5.0
    max_force_error: 50.0
    max_energy_error: 5.0
  probes: {{n_probes: {probes}}}
  distortions: {{n_rattled: 4, contact_ratios: []}}
  learning: {{num_channels: 4, steps_first: 100, steps_per_round: 50, gate_steps: 5}}
  ranking: {{min_simulated_fs: 5.0}}
  options: {options}
"""
PRISTINE = "[pristine]"
DOPINGS = (
    "[pristine, {dopant: O, site: 16e, fraction: 0.25}, {dopant: Se, site: 16e, fraction: 0.25}, "
    "{dopant: F, site: 4a, fraction: 0.25}]"
)
STEP_S = 1.0
MAX_SHARE, MAX_EXPONENT, MAX_WAITS = 0.10, 1.1, 3
Interval = tuple[float, float]


def screen(folder: Path, **wanted: Any) -> tuple[Any, list[Interval]]:
    """Run a screen; return its node and when each of its engines ran."""
    log = folder / "stamps"
    log.unlink(missing_ok=True)
    options = json.dumps({kind: stamps(log) for kind in ("label", "md", "learn", "analysis")})
    node, _ = run_screen(SPEC.format(options=options, **wanted))
    return node, [(script.start, script.end) for script in shifts(log) if script.end is not None]


# -- windows -----------------------------------------------------------------------------------------------


def account(node: Any, engines: list[Interval]) -> dict[str, Any]:
    """Return where the wall time of a screen went, and what it took."""
    from aiida import orm

    from aiida_haml.queries import called_descendants, cost

    processes = [p for pk in called_descendants(node) if isinstance(p := orm.load_node(pk), orm.ProcessNode)]
    jobs = _intervals(p for p in processes if isinstance(p, orm.CalcJobNode))
    functions = _intervals(p for p in processes if isinstance(p, orm.CalcFunctionNode))
    ((start, end),) = _intervals([node])
    wall, busy, handled = end - start, _length(_union(engines)), _length(_union([*jobs, *engines]))
    learned = [p for p in processes if p.process_label == "LearnCalculation"]
    histories = [out["history"]["rounds"] for out in trajectories(node).values()]
    rounds = max(map(len, histories), default=0)
    dynamics = next(p for p in processes if p.process_label == "HybridWorkChain")
    below = set(called_descendants(dynamics))
    own = _union(_intervals(p for p in processes if isinstance(p, orm.CalcJobNode) and p.pk in below))
    return {
        "ended_well": node.is_finished_ok,
        "candidates_ended": sum(bool(history) for history in histories),
        "rounds": rounds,
        "wall_s": round(wall, 1),
        "share_without_an_engine": round(1 - busy / wall, 3),
        "share_by_the_account": round(cost(node).overhead_share or 0.0, 3),
        "jobs_handled_s": round(handled - busy, 1),
        "no_job_under_way_s": round(wall - handled, 1),
        "calcfunctions_s": round(_length(_union([*jobs, *functions])) - _length(_union(jobs)), 1),
        "seconds_a_job_beside_its_engine": round((sum(map(_long, jobs)) - sum(map(_long, engines))) / len(jobs), 2),
        "jobs": len(jobs),
        "processes": len(processes),
        "trainings_a_candidate": sum("potential" in p.outputs for p in learned) / max(len(histories), 1),
        "waits_a_round": round(len(own) / max(rounds, 1), 2),
    }


def _intervals(processes: Iterable[Any]) -> list[Interval]:
    return [(p.ctime.timestamp(), p.mtime.timestamp()) for p in processes]


def _union(intervals: Iterable[Interval]) -> list[Interval]:
    """Return the disjoint intervals that some others cover together."""
    joined: list[Interval] = []
    for start, end in sorted(intervals):
        if joined and start <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(joined[-1][1], end))
        else:
            joined.append((start, end))
    return joined


def _long(interval: Interval) -> float:
    return interval[1] - interval[0]


def _length(disjoint: list[Interval]) -> float:
    return sum(map(_long, disjoint))


def windows(folder: Path, sizes: list[int], seeds: list[int]) -> tuple[dict[int, Any], bool]:
    """Run the same screen with different numbers of jobs at a time; return accounts, and whether the rankings agree."""
    accounts, rankings = {}, []
    for window in sizes:
        wanted = {
            "dopings": DOPINGS,
            "seeds": seeds,
            "burst": 10,
            "probes": 8,
            "fs": 50.0,
            "seconds": STEP_S,
            "window": window,
        }
        node, engines = screen(folder, **wanted)
        accounts[window] = account(node, engines)
        rankings.append(
            json.dumps(node.outputs.ranking.get_dict(), sort_keys=True) if "ranking" in node.outputs else None
        )
        print(f"window {window}: {json.dumps(accounts[window])}", flush=True)
    return accounts, None not in rankings and len(set(rankings)) == 1


# -- lengths -----------------------------------------------------------------------------------------------


def stored(folder: Path) -> dict[str, int]:
    """Return how much the database and its repository hold."""
    from aiida import orm

    links = orm.QueryBuilder().append(orm.Node, tag="from").append(orm.Node, with_incoming="from")
    files = [path for path in (folder / ".aiida" / "repository").rglob("*") if path.is_file()]
    return {
        "nodes": orm.QueryBuilder().append(orm.Node).count(),
        "links": links.count(),
        "bytes": sum(path.stat().st_size for path in files),
    }


def lengths(folder: Path, numbers: list[int]) -> dict[str, Any]:
    """Run one candidate over different numbers of rounds, and fit how what is stored grows with them.

    The first run is made twice: only then are the isolated atoms found in the database.
    """
    rows = []
    for seed, number in enumerate([numbers[0], *numbers], start=1):
        before = stored(folder)
        wanted = {
            "dopings": PRISTINE,
            "seeds": [seed],
            "burst": 2,
            "probes": 3,
            "fs": 2.0 + 12.0 * number,
            "seconds": 0,
            "window": 2,
        }
        node, _ = screen(folder, **wanted)
        rounds = max((len(out["history"]["rounds"]) for out in trajectories(node).values()), default=0)
        grown = {name: value - before[name] for name, value in stored(folder).items()}
        rows.append({"rounds": rounds, **grown})
        print(json.dumps(rows[-1]), flush=True)
    names = ("nodes", "links", "bytes")
    return {"rows": rows, "exponents": {name: exponent(rows[1:], name) for name in names}}


def exponent(rows: list[dict[str, int]], name: str) -> float:
    """Return the power of the rounds with which something grows, beyond what the shortest run has."""
    more = np.array([[row["rounds"] - rows[0]["rounds"], row[name] - rows[0][name]] for row in rows[1:]], dtype=float)
    if (more <= 0).any():
        return float("nan")
    x, y = np.log(more).T
    return round(float(np.polyfit(x, y, 1)[0]), 3)


def missed(accounts: dict[int, Any], is_same: bool, growth: dict[str, Any], n_candidates: int) -> list[str]:
    """Return the aims that were missed, each in a sentence."""
    found = [] if is_same else ["the rankings differ"]
    for window, told in accounts.items():
        if not told["ended_well"] or told["candidates_ended"] < n_candidates:
            found.append(f"window {window}: {told['candidates_ended']} of {n_candidates} candidates ended")
        if told["share_without_an_engine"] >= MAX_SHARE:
            found.append(f"window {window}: no engine ran for {told['share_without_an_engine']:.0%} of the wall time")
    widest = accounts[max(accounts)]
    if widest["waits_a_round"] > MAX_WAITS:
        found.append(f"a round waits {widest['waits_a_round']} times")
    found += [f"{name} grow as rounds^{x}" for name, x in growth["exponents"].items() if not x <= MAX_EXPONENT]
    return found


def main(argv: list[str] | None = None) -> int:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="4 candidates, short runs")
    quick = parser.parse_args(argv).quick
    sizes, seeds, numbers = ([1, 4], [1], [1, 2, 4]) if quick else ([1, 3, 12], [1, 2, 3], [1, 2, 4, 8, 16])
    with workplace() as folder:
        growth = lengths(folder, numbers)
        accounts, is_same = windows(folder, sizes, seeds)
    aims = missed(accounts, is_same, growth, 4 * len(seeds))
    print(json.dumps({"windows": accounts, "same_ranking": is_same, "growth": growth, "missed": aims}))
    return 1 if aims else 0


if __name__ == "__main__":
    sys.exit(main())
