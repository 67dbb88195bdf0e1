"""The calcfunction of the plan: what a round will ask of each candidate."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from aiida import orm
from aiida.engine import calcfunction

from aiida_haml.calculations.rounds import port, read_calibration
from aiida_haml.learning.judge import Verdict
from aiida_haml.learning.plan import (
    Plan,
    Progress,
    WatchSettings,
    deviation_limit,
    first_plan,
    hottest,
    next_plan,
    thresholds,
)
from aiida_haml.learning.rounds import RoundSettings


@calcfunction
def plan_round(settings: orm.Dict, candidates: orm.Dict, **nodes: Any) -> orm.Dict:
    """Plan the next round of every candidate.

    Parameters
    ----------
    settings : Dict
        ``rounds`` (`RoundSettings`), ``watch`` (`WatchSettings`), ``timestep_fs``, ``simulated_fs``, ``n_committee``.
    candidates : Dict
        By slug ``temperature_K``, ``n_atoms``, and ``reached_fs`` where the time line goes on from an earlier run.
    **nodes
        After a round of the run ``verdicts``, ``calibration``, ``learning`` (what the learner found), ``previous`` (the
        plan before) and ``wall_time_s`` (only where there is a budget of it, as it makes every run different). A
        potential that explored does not drive before that is labelled. Before the first one, of a candidate that is
        gone on with, plan and verdicts of its last round in an earlier run, as ``SLUG__plan`` and ``SLUG__verdicts``:
        its stretches are as long as they were, and its budgets begin anew.

    Returns
    -------
    Dict
        By slug the fields of a `Plan`, ``remaining_steps``, ``watch``, the numbers that end a stretch, and
        ``max_burst_temperature_K``: a burst's heat raises what a stretch may reach, but only as far as a stretch from
        the thermostat's temperature might have got by itself, and a burst may get as far from there. Our choice.
    """
    content = settings.get_dict()
    rounds = RoundSettings.from_dict(content["rounds"])
    watch = WatchSettings.from_dict(content["watch"])
    known = nodes["calibration"].get_dict() if "calibration" in nodes else {}
    limit = deviation_limit(rounds, read_calibration(known), content["n_committee"])
    explored = nodes["learning"].get_dict().get("explored", {}) if "learning" in nodes else {}
    plans: dict[str, Any] = {}
    for slug, candidate in sorted(candidates.get_dict().items()):
        wanted = round(content["simulated_fs"] / content["timestep_fs"])
        earlier, verdict = _before(slug, nodes)
        reached = verdict["reached_fs"] if verdict else candidate.get("reached_fs", 0.0)
        remaining = wanted - round(reached / content["timestep_fs"])
        wall_time = nodes["wall_time_s"].value if "wall_time_s" in nodes else 0.0
        if earlier is not None and verdict is not None:
            plan = _next(rounds, earlier, verdict, remaining, content["timestep_fs"], wall_time, "previous" in nodes)
        elif "previous" in nodes:  # it has no part in the run any more
            continue
        else:
            plan = first_plan(rounds, remaining)
        if not plan.ends and slug in explored:
            plan = replace(plan, n_stretch=0, reason="A new potential: labels of its exploration before it drives.")
        normal, n_atoms = candidate["temperature_K"], candidate["n_atoms"]
        heated = hottest(watch, normal, n_atoms)
        reference = min(max(normal, (verdict or {}).get("temperature_K") or 0.0), heated)
        hottest_atom = (verdict or {}).get("hottest_atom_eV") or 0.0
        plans[slug] = plan.to_dict() | {
            "remaining_steps": remaining,
            "watch": thresholds(watch, reference, n_atoms, limit, known.get("shortest", {}), hottest_atom),
            "max_burst_temperature_K": hottest(watch, heated, n_atoms),
        }
    return orm.Dict(plans)


def _before(slug: str, nodes: Mapping[str, Any]) -> tuple[Mapping[str, Any] | None, Mapping[str, Any] | None]:
    """Return plan and verdict of a candidate's last round, in this run or an earlier one; None where there was none."""
    names = ("previous", "verdicts") if "previous" in nodes else (port(slug, "plan"), port(slug, "verdicts"))
    plan, verdict = (nodes[name].get_dict().get(slug) if name in nodes else None for name in names)
    return plan, verdict


def _next(
    rounds: RoundSettings,
    earlier: Mapping[str, Any],
    verdict: Mapping[str, Any],
    remaining: int,
    timestep_fs: float,
    wall_time_s: float,
    same_run: bool,
) -> Plan:
    """Return the plan that follows a round of the same run, or of the one that is gone on with."""
    previous = Plan.from_dict({name: earlier[name] for name in Plan.__dataclass_fields__})
    progress = Progress(
        stretch_steps=round(verdict["stretch_fs"] / timestep_fs),
        burst_steps=round(verdict["burst_fs"] / timestep_fs),
        remaining_steps=remaining,
        n_labels=verdict["n_labels"] if same_run else 0,
        wall_time_s=wall_time_s,
    )
    judged = Verdict.from_dict({name: verdict[name] for name in Verdict.__dataclass_fields__})
    return next_plan(rounds, previous if same_run else previous.anew(), judged, progress)
