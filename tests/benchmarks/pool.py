"""What is computed again where somebody else submits the same screen, in another order and under another name?

Two candidates with a teacher as level of theory: first by one person, then the other way round by a second one.

    python tests/benchmarks/pool.py

The last line is a JSON object; the exit code is 1 where an aim is missed: not one label that exists is computed again,
no other job either, and the ranking is the same to the last digit.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from _workplace import call, daemon_stopped, wait_for, workplace

DOPINGS = ("pristine", "{dopant: O, site: 16e, fraction: 0.25}")
SPEC = """
name: {name}
dopings: [{dopings}]
interface: {{layers: 1}}
demonstration: true
temperature_K: 300
protocol: quick
level_of_theory: teacher
overrides:
  equilibration: {{relax_steps: 4, max_force: 0.05, warm_up_steps: 3, warm_up_stages: 1}}
  hybrid: {{simulated_fs: 40.0}}
  rounds:
    n_burst_first: 4
    min_burst: 2
    n_stretch_first: 10
    min_stretch: 5
    force_rmse_tolerance: 1.0
    max_force_error: 10.0
    max_energy_error: 0.5
  probes: {{n_probes: 3}}
  distortions: {{n_rattled: 4, contact_ratios: []}}
  learning: {{num_channels: 4, steps_first: 60, steps_per_round: 20, gate_steps: 5}}
  ranking: {{min_simulated_fs: 20.0}}
"""


def main() -> int:
    """Submit twice, count what ran."""
    with workplace() as folder:
        call("verdi", "config", "set", "caching.enabled_for", "aiida.calculations:haml.*")
        first = submitted(folder, "first", DOPINGS)
        with daemon_stopped():
            call("verdi", "user", "configure", "-n", "--email", "second@localhost", "--first-name", "Second",
                 "--last-name", "Person", "--institution", "none", "--set-default")  # fmt: skip
        second = submitted(folder, "second", DOPINGS[::-1])
    same = first.pop("ranking") == second.pop("ranking")
    met = same and second["owner"] != first["owner"] and second["labels"] == second["jobs"] == 0
    print(json.dumps({"first": first, "second": second, "same_ranking": same, "met": met}))
    return 0 if met else 1


def submitted(folder: Path, name: str, dopings: tuple[str, ...]) -> dict[str, Any]:
    """Submit a screen as a person does, wait for it, and return what was computed for it."""
    from aiida import orm

    from aiida_haml.queries import cost
    from aiida_haml.queries.screens import find_screens

    spec = folder / f"{name}.yaml"
    spec.write_text(SPEC.format(name=name, dopings=", ".join(dopings)))
    call("aiida-haml", "screen", "submit", "--yes", str(spec))
    node: Any = orm.load_node(find_screens(name)[0].pk)
    wait_for([node])
    report = cost(node)
    print(f"{name}: {report.n_jobs} jobs run, {report.n_cached} from the cache", flush=True)
    return {
        "owner": node.user.email,
        "labels": report.kinds["labels"].n_jobs,
        "jobs": report.n_jobs,
        "cached": report.n_cached,
        "wall_s": round(report.wall_s, 1),
        "ranking": node.outputs.ranking.get_dict() if "ranking" in node.outputs else None,
    }


if __name__ == "__main__":
    sys.exit(main())
