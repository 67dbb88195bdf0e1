"""What does the platform itself cost? A teacher screen of 12 candidates, 3 in flight, one daemon worker.

Prints the wall time and the share of it in which no engine was running; --quick runs 4 candidates. Trajectories and
trainings are short, so that the share is larger than in any real screen. The only aim is that all candidates end.
"""

from __future__ import annotations

import argparse
import json
import sys

from _workplace import hybrids, run_screen, workplace

SPEC = """
name: overhead
dopings:
  - pristine
  - {{dopant: O, site: 16e, fraction: 0.25}}
  - {{dopant: Se, site: 16e, fraction: 0.25}}
  - {{dopant: F, site: 4a, fraction: 0.25}}
interface: {{layers: 1}}
demonstration: true
temperature_K: 300
seeds: {seeds}
protocol: quick
level_of_theory: teacher
max_in_flight: 3
overrides:
  hybrid: {{simulated_fs: 40.0}}
  controller: {{n_burst_first: 5, min_burst: 3, n_stretch_first: 20, min_stretch: 5, max_force_error: 20.0}}
  training: {{max_epochs: 10, fine_tune_epochs: 5}}
  ranking: {{min_simulated_fs: 20.0}}
"""


def main() -> int:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="4 candidates")
    seeds = [1] if parser.parse_args().quick else [1, 2, 3]
    with workplace(workers=1):
        from aiida_haml.queries import cost

        node, wall = run_screen(SPEC.format(seeds=seeds))
        runs = hybrids(node)
        ended = sum(run.is_finished_ok for run in runs.values())
        account = cost(node)
    met = node.is_finished_ok and ended == 4 * len(seeds)
    result = {
        "candidates": len(runs),
        "ended_well": ended,
        "in_flight": 3,
        "workers": 1,
        "wall_time_s": wall,
        "share_without_an_engine": account.overhead_share,
        "met": met,
        "cost": account.as_dict(),
    }
    print(json.dumps(result, default=str))
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
