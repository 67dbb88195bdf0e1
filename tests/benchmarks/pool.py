"""What is computed again where somebody else submits the same screen, in another order and under another name?

Two candidates with a teacher as level of theory: first by one person, then the other way round by a second one.

    python tests/benchmarks/pool.py

The last line is a JSON object; the exit code is 1 where an aim is missed: not one label that exists is computed again,
no other job either, and the ranking is the same to the last digit.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

from _workplace import call, daemon_stopped, wait_for, workplace

from tests.rehearsal import DOPINGS, SPEC


def main() -> int:
    """Submit twice, count what ran."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    with workplace() as folder:
        call("verdi", "config", "set", "caching.enabled_for", "aiida.calculations:haml.*")
        first = submitted(folder, "first", DOPINGS)
        with daemon_stopped():
            call("verdi", "user", "configure", "--email", "second@localhost", "--first-name", "Second",
                 "--last-name", "Person", "--institution", "none", "--set-default")  # fmt: skip
            call("aiida-haml", "setup")  # a computer is everybody's own to configure
            call("verdi", "config", "set", "caching.enabled_for", "aiida.calculations:haml.*")
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
