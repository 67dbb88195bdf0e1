"""From the graph to what the report shows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from aiida import orm

from aiida_haml.analysis.joining import join_descriptions, join_environments
from aiida_haml.analysis.tables import Table, tables
from aiida_haml.calculations.label_engines import label_process_types
from aiida_haml.data.frames import FramesData
from aiida_haml.queries import AuditReport, CostReport, audit, cost
from aiida_haml.queries.walks import called_descendants
from aiida_haml.report.data import (
    Audit,
    Candidate,
    Cost,
    Cycle,
    Level,
    Reference,
    ReportData,
    Segment,
    Work,
)

Arrays = Mapping[str, np.ndarray]

#: Environments read for the map, over all candidates, and fewest of one candidate.
MAX_MAPPED, MIN_MAPPED = 60_000, 1_000


def collect(screen: orm.WorkChainNode) -> ReportData:
    """Read all that the report of a screen shows.

    Parameters
    ----------
    screen : WorkChainNode
        A ``haml.screen`` with a ranking.

    Raises
    ------
    ValueError
        If the screen has no ranking.
    """
    if "ranking" not in screen.outputs:
        raise ValueError(f"Screen <{screen.pk}> has no ranking, so that there is nothing to report.")
    ranking: orm.Dict = screen.outputs.ranking
    content = ranking.get_dict()
    level = screen.inputs.label.job.level.get_dict() if "label" in screen.inputs else {}
    return ReportData(
        title=screen.label or f"Screen {screen.pk}",
        ranking=content,
        level=Level(level.get("name", "?"), content.get("level_of_theory") or "?", level.get("engine", "?")),
        candidates=list(_candidates(screen, ranking)),
        spec=screen.inputs.specification.get_dict() if "specification" in screen.inputs else {},
        cost=_cost(cost(screen)),
        audit=_audit(audit(screen)),
        provenance=[
            Reference("screen", screen.uuid, screen.pk),
            Reference("ranking", ranking.uuid, ranking.pk),
        ],
        versions=_versions(screen),
    )


def described_tables(screen: orm.WorkChainNode) -> Iterator[tuple[str, dict[str, Table]]]:
    """Yield the key and the tables of each candidate that the ranking of a screen read."""
    rank: Any = screen.outputs.ranking.creator
    described = dict(rank.inputs["series"]) if rank is not None and "series" in rank.inputs else {}
    for key, parts in sorted(described.items()):
        yield key, tables(_joined(parts, join_descriptions))


def _candidates(screen: orm.WorkChainNode, ranking: orm.Dict) -> Iterator[Candidate]:
    trajectories: Any = screen.outputs.trajectories if "trajectories" in screen.outputs else {}
    run = next((link.node for link in screen.base.links.get_outgoing(link_label_filter="dynamics").all()), screen)
    rank: Any = ranking.creator
    inputs: Any = rank.inputs if rank is not None else {}
    described = {name: dict(inputs[name]) if name in inputs else {} for name in ("series", "environments")}
    quota = max(MIN_MAPPED, MAX_MAPPED // max(len(screen.inputs.candidates), 1))
    for key, node in sorted(screen.inputs.candidates.items()):
        series = _joined(described["series"].get(key), join_descriptions)
        environments = sampled(_joined(described["environments"].get(key), join_environments), quota)
        yield _candidate(key, node.get_dict(), run.uuid, trajectories.get(key, {}), series, environments)


def _joined(node: Any, join: Callable[[Sequence[Arrays]], Arrays]) -> Arrays:
    """Return the arrays of a description: joined where it was made in parts, empty where there is none."""
    if node is None:
        return {}
    if isinstance(node, orm.ArrayData):
        return _arrays(node)
    return join([_arrays(part) for _, part in sorted(node.items())])


def _arrays(node: orm.ArrayData) -> Arrays:
    return {name: node.get_array(name) for name in node.get_arraynames()}


def sampled(environments: Arrays, quota: int) -> Arrays:
    """Return what the map of environments needs of at most `quota` of them, drawn at random.

    Parameters
    ----------
    environments : mapping
        ``projected`` (M, C), ``central``, ``phase``, ``time`` (M,) and others.
    quota : int
    """
    names = ("central", "phase", "time")
    if "projected" not in environments or any(name not in environments for name in names):
        return {}
    count = len(environments["central"])
    chosen = np.sort(np.random.default_rng(0).permutation(count)[:quota])
    found = {name: np.asarray(environments[name][chosen]) for name in names}
    return found | {"projected": np.asarray(environments["projected"][chosen, :2])}


def _candidate(
    key: str, content: Mapping[str, Any], run: str, told: Mapping[str, Any], series: Arrays, environments: Arrays
) -> Candidate:
    history = told["history"].get_dict() if "history" in told else {}
    segments = [node for _, node in sorted(told["segments"].items())] if "segments" in told else []
    return Candidate(
        key=key,
        label=content["label"],
        uuid=run if told else None,
        formula=segments[0].base.attributes.get("formula") if segments else None,
        temperature_K=content.get("temperature_K"),
        seed=content.get("seed"),
        simulated_fs=history.get("simulated_fs"),
        pressure_GPa=_pressure(segments),
        segments=[_segment(node) for node in segments],
        cycles=[_cycle(told) for told in history.get("rounds", [])],
        series=series,
        environments=environments,
        watch=_watch(segments),
    )


def _pressure(segments: Sequence[FramesData]) -> float | None:
    """Return the mean pressure of the ab initio steps in the later half of the bursts, GPa."""
    bursts = [node for node in segments if node.kind == "burst" and "stresses" in node.get_arraynames()]
    found = [node.frames.pressures() for node in bursts[len(bursts) // 2 :]]
    return float(np.concatenate(found).mean()) if found else None


def _watch(segments: Sequence[orm.ArrayData]) -> Arrays:
    """Return times and deviations of all frames in which the committee was compared."""
    watched = [node for node in segments if {"times", "deviations"} <= set(node.get_arraynames())]
    if not watched:
        return {}
    time, deviation = (np.concatenate([node.get_array(n) for node in watched]) for n in ("times", "deviations"))
    good = np.isfinite(deviation)
    return {"time": time[good], "deviation": deviation[good]}


def _segment(node: orm.Node) -> Segment:
    attributes = node.base.attributes
    return Segment(attributes.get("kind"), attributes.get("time_start"), attributes.get("time_end"), node.uuid)


def _cycle(told: Mapping[str, Any]) -> Cycle:
    planned, stretch = told.get("planned") or {}, told.get("stretch") or {}
    return Cycle(
        cycle=told["round"],
        burst_steps=planned.get("n_burst"),
        force_rmse=told.get("force_rmse"),
        stretch_steps=stretch.get("steps_done"),
        trusted_steps=stretch.get("trusted_steps"),
        stopped_by=stretch.get("stopped_by"),
    )


def _cost(report: CostReport) -> Cost:
    names = ("wall_s", "overhead_s", "spent_s", "aimd_alone_s", "speed_up", "seconds_per_step")
    kinds = {name: Work(kind.n_jobs, kind.n_cached, kind.seconds) for name, kind in report.kinds.items()}
    return Cost(kinds, **{name: getattr(report, name) for name in names})


def _audit(report: AuditReport) -> Audit:
    return Audit(
        n_cut=report.n_cut,
        n_untraced=report.n_untraced,
        n_data=report.n_data,
        n_training_frames=report.n_training_frames,
        problems=[str(problem) for problem in report.problems],
    )


def _versions(screen: orm.WorkChainNode) -> dict[str, str]:
    """Return the version of the code behind the labels, as the code itself said it."""
    filters = {"id": {"in": sorted(called_descendants(screen))}, "process_type": {"in": label_process_types()}}
    builder = orm.QueryBuilder().append(orm.CalcJobNode, filters=filters, tag="job")
    builder.append(
        orm.Dict,
        with_incoming="job",
        edge_filters={"label": "output_parameters"},
        project="attributes.code_version",
    )
    versions = sorted({str(version) for (version,) in builder.iterall() if version})
    return {"labels": ", ".join(versions)} if versions else {}
