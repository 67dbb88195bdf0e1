"""Do liquids go through the same machinery as dopings? Two liquids of about 200 atoms against lithium.

Runs examples/liquid_screen.yaml with the teacher (at least two rounds each; --quick ends there) and one burst of five
steps at gfn1-xtb, and prints, along time, the share of the molecules that are intact and the bonds that have broken.
Exits 1 if a candidate fails, a trajectory has fewer than two rounds, or a cell starts with a broken molecule.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from _workplace import run_screen, trajectories, workplace

EXAMPLE = Path(__file__).parents[2] / "examples" / "liquid_screen.yaml"
#: A short run: at least two rounds.
SHORT = {
    "overrides": {
        "dynamics": {"timestep_fs": 0.5},
        "equilibration": {"relax_steps": 30, "warm_up_steps": 10, "warm_up_stages": 2},
        "hybrid": {"simulated_fs": 40.0},
        "rounds": {"n_burst_first": 8, "min_burst": 4, "n_stretch_first": 30, "min_stretch": 20},
        "learning": {"num_channels": 4, "steps_first": 200, "steps_per_round": 100},
        "ranking": {"min_simulated_fs": 20.0},
    }
}
#: Changes that make one burst of five steps of the example, on real GFN1-xTB.
BURST = {
    "name": "liquids at gfn1-xtb",
    "level_of_theory": "gfn1-xtb",
    "overrides": {
        "dynamics": {"timestep_fs": 0.5},
        "equilibration": {"relax_steps": 0, "warm_up_steps": 0},
        "hybrid": {"simulated_fs": 2.5},
        "rounds": {"n_burst_first": 5, "min_burst": 5},
        "ranking": {"min_simulated_fs": 1.0},
    },
}
#: Times at which the tables are printed, at most.
ROWS = 12


def along_time(screen: Any) -> dict[str, Any]:
    """Return, for each candidate, molecules and broken bonds along time."""
    from aiida_haml.analysis.joining import join_descriptions

    found = {}
    for slug, outputs in trajectories(screen).items():
        links = screen.base.links.get_outgoing(link_label_filter=f"{slug}%description%").all()
        parts = [link.node.outputs.series for link in sorted(links, key=lambda link: link.link_label)]
        series = join_descriptions([{name: p.get_array(name) for name in p.get_arraynames()} for p in parts])
        rows = np.unique(np.linspace(0, len(series["time"]) - 1, ROWS).astype(int))
        shown = [name for name in ("time", "intact_molecules", "broken_bonds") if name in series]
        found[slug] = {
            "rounds": len(outputs["history"]["rounds"]),
            "table": {name: [round(float(series[name][i]), 4) for i in rows] for name in shown},
        }
    return found


def run(content: dict[str, Any]) -> dict[str, Any]:
    """Run a screen and tell how it went."""
    import yaml

    screen, wall = run_screen(yaml.safe_dump(content))
    return {"ended_well": screen.is_finished_ok, "wall_s": round(wall), "candidates": along_time(screen)}


def main() -> int:
    """Run and print."""
    import yaml

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="the teacher only")
    quick = parser.parse_args().quick
    example = yaml.safe_load(EXAMPLE.read_text())
    with workplace(workers=2):
        results = {"teacher": run({**example, **SHORT})}
        if not quick:
            results["gfn1-xtb"] = run({**example, **BURST})
    rehearsed = results["teacher"]["candidates"].values()
    starts = [c["table"]["intact_molecules"][0] for r in results.values() for c in r["candidates"].values()]
    aims = {
        "ended_well": all(r["ended_well"] for r in results.values()),
        "two_rounds": all(c["rounds"] >= 2 for c in rehearsed),
        "whole_at_the_start": bool(starts) and min(starts) == 1,
    }
    print(json.dumps({**results, "aims": aims, "met": all(aims.values())}))
    return 0 if all(aims.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
