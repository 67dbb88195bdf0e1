"""How exact is each handover between burst and stretch, and what does the hybrid trajectory cost?

Runs a screen of two candidates (gfn1-xtb; --quick: the teacher), and prints, for each switch, the largest difference of
positions and velocities and the temperature on both sides; for each cycle the prequential force error and the
committee's deviation; and the speed-up over AIMD alone. Exits 1 if a difference exceeds the precision of the files.
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
from typing import Any

import numpy as np
from _workplace import hybrids, run_screen, workplace

SPEC = """
name: handover
dopings: [pristine, {{dopant: O, site: 16e, fraction: 0.25}}]
interface: {{layers: 1}}
demonstration: true
temperature_K: 300
protocol: quick
level_of_theory: {level}
max_in_flight: 2
"""

#: CP2K writes ten decimals of Angstrom and of bohr per atomic time (2.2e-9 Angstrom / fs).
AIMS = {"position_A": 2e-10, "velocity_A_per_fs": 3e-9, "time_fs": 1e-6}


def switches(hybrid: Any) -> list[dict[str, Any]]:
    """Compare the end of each segment with the start of the next."""
    segments = [hybrid.outputs.segments[name] for name in sorted(hybrid.outputs.segments)]
    rows = []
    for before, after in itertools.pairwise(segments):
        end, start = before.read(-1), after.read(0)
        rows.append(
            {
                "switch": f"{before.kind} -> {after.kind}",
                "time_fs": float(start.times[0]),
                "time_difference_fs": float(abs(start.times[0] - end.times[0])),
                "position_difference_A": float(np.abs(start.positions - end.positions).max()),
                "velocity_difference_A_per_fs": float(np.abs(start.velocities - end.velocities).max()),
                "temperature_before_K": float(end.temperatures()[0]),
                "temperature_after_K": float(start.temperatures()[0]),
            }
        )
    return rows


def main() -> int:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="teacher instead of CP2K")
    level = "teacher" if parser.parse_args().quick else "gfn1-xtb"
    with workplace():
        from aiida_haml.queries import cost

        screen, wall = run_screen(SPEC.format(level=level))
        runs = hybrids(screen)
        table = {slug: switches(node) for slug, node in runs.items() if node.is_finished_ok}
        cycles = {slug: node.outputs.history["cycles"] for slug, node in runs.items() if node.is_finished_ok}
        account = cost(screen).as_dict()
    rows = [row for switch in table.values() for row in switch]
    worst = {
        "position_A": max((r["position_difference_A"] for r in rows), default=np.inf),
        "velocity_A_per_fs": max((r["velocity_difference_A_per_fs"] for r in rows), default=np.inf),
        "time_fs": max((r["time_difference_fs"] for r in rows), default=np.inf),
    }
    met = len(table) == 2 and all(worst[name] <= aim for name, aim in AIMS.items())
    result = {
        "level_of_theory": level,
        "wall_time_s": wall,
        "worst": worst,
        "aims": AIMS,
        "met": met,
        "switches": table,
        "cycles": cycles,
        "cost": account,
    }
    print(json.dumps(result, default=str))
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
