"""The story of a run, as its rounds told it."""

from collections.abc import Mapping
from typing import Any

from aiida import orm
from aiida.engine import calcfunction

from aiida_haml.calculations.rounds import OF, by_candidate


@calcfunction
def tell_history(**nodes: orm.Dict) -> dict[str, Any]:
    """Collect what happened to each candidate, round by round.

    Parameters
    ----------
    **nodes
        ``plan_NNNN``, ``verdicts_NNNN``, ``learning_NNNN``, ``calibration_NNNN`` and, as ``SLUG__stretch_NNNN``, the
        output parameters of the stretches.

    Returns
    -------
    dict
        By slug a Dict with ``rounds`` (a list) and ``simulated_fs``, ``n_labels``, ``ended_because``.
    """
    stretches = by_candidate({name: node for name, node in nodes.items() if OF in name})
    contents = {name: node.get_dict() for name, node in nodes.items() if OF not in name}
    rounds = sorted(name.removeprefix("verdicts_") for name in contents if name.startswith("verdicts_"))
    slugs = sorted({slug for number in rounds for slug in contents[f"verdicts_{number}"]})
    return {slug: orm.Dict(_history(slug, rounds, contents, stretches.get(slug, {}))) for slug in slugs}


def _history(
    slug: str, rounds: list[str], contents: Mapping[str, dict[str, Any]], stretches: Mapping[str, orm.Dict]
) -> dict[str, Any]:
    told, ended = [], None
    simulated = 0.0
    for number in rounds:
        verdict = contents[f"verdicts_{number}"].get(slug)
        if verdict is None:
            continue
        after = contents.get(f"plan_{int(number) + 1:04d}", {}).get(slug)
        stretch = stretches.get(f"stretch_{number}")
        simulated = verdict["reached_fs"]
        learning = contents.get(f"learning_{number}", {})
        told.append(
            verdict
            | {
                "round": int(number),
                "planned": contents.get(f"plan_{number}", {}).get(slug),
                "stretch": _seen(stretch.get_dict()) if stretch is not None else None,
                "learning": {name: learning.get(name) for name in ("verdict", "reason")} if learning else None,
                "threshold": contents.get(f"calibration_{number}", {}).get("threshold"),
            }
        )
        ended = after["reason"] if after is not None and after["n_burst"] == 0 else verdict.get("ends")
    n_labels = sum(entry["n_labels"] for entry in told)
    return {"rounds": told, "simulated_fs": simulated, "n_labels": n_labels, "ended_because": ended}


def _seen(parameters: Mapping[str, Any]) -> dict[str, Any]:
    names = ("steps_done", "trusted_steps", "stopped_by", "stopped_at_step", "reason", "seconds_per_step")
    found = {name: parameters.get(name) for name in names}
    return found | {"deviation_max": parameters.get("checks", {}).get("deviation_max")}
