"""Where the time of a screen or a hybrid trajectory went, and what it gained over AIMD alone."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

from aiida import orm
from aiida.common import timezone

from aiida_haml.queries.training import LABEL_ENGINES
from aiida_haml.queries.walks import called_descendants, pk_of

HYBRID = "aiida.workflows:haml.hybrid"
#: What a kind of CalcJob is called in the account.
KINDS = {
    **dict.fromkeys(LABEL_ENGINES, "labels"),
    "aiida.calculations:haml.train": "training",
    "aiida.calculations:haml.evaluate": "evaluation",
    "aiida.calculations:haml.lammps": "MLP-MD",
    "aiida.calculations:haml.describe": "analysis",
    "aiida.calculations:haml.rank": "analysis",
}
CACHED_FROM = "_aiida_cached_from"


@dataclass
class KindCost:
    """The jobs of one kind: number run, number from the cache, seconds of the engines (cached ones too)."""

    n_jobs: int = 0
    n_cached: int = 0
    seconds: float = 0.0


@dataclass
class CostReport:
    """An account of wall time.

    Parameters
    ----------
    kinds : dict
        Kind of work -> `KindCost`.
    wall_s : float
        From the creation of the process to its end, or to now, s.
    busy_s : float
        Time in which at least one engine ran, s.
    spent_s : float
        Wall time spent on the trajectories one after another, engine and waiting included, plus all that the
        screen did besides; a job taken from the cache counts with the time that it had cost, s.
    aimd_steps : int
        Steps of AIMD computed.
    seconds_per_step : float or None
        Measured for AIMD, s.
    simulated_fs, simulated_steps : float
        Time on the hybrid time lines, in fs and in AIMD steps.
    """

    kinds: dict[str, KindCost] = field(default_factory=dict)
    wall_s: float = 0.0
    busy_s: float = 0.0
    spent_s: float = 0.0
    aimd_steps: int = 0
    seconds_per_step: float | None = None
    simulated_fs: float = 0.0
    simulated_steps: float = 0.0

    @property
    def overhead_s(self) -> float:
        """Wall time in which no engine ran, s."""
        return max(self.wall_s - self.busy_s, 0.0)

    @property
    def overhead_share(self) -> float | None:
        """Share of the wall time that is not the engines', between 0 and 1."""
        return self.overhead_s / self.wall_s if self.wall_s > 0 else None

    @property
    def aimd_alone_s(self) -> float | None:
        """Wall time that AIMD alone would have needed for the same simulated time, s."""
        return None if self.seconds_per_step is None else self.simulated_steps * self.seconds_per_step

    @property
    def speed_up(self) -> float | None:
        """Wall time of AIMD alone over the wall time actually spent, all of it."""
        return self.aimd_alone_s / self.spent_s if self.aimd_alone_s and self.spent_s > 0 else None

    @property
    def n_jobs(self) -> int:
        """CalcJobs that ran."""
        return sum(k.n_jobs for k in self.kinds.values())

    @property
    def n_cached(self) -> int:
        """CalcJobs that were taken from the cache."""
        return sum(k.n_cached for k in self.kinds.values())

    def as_dict(self) -> dict[str, Any]:
        """Return all figures, the derived ones included, as plain JSON."""
        derived = ("overhead_s", "overhead_share", "aimd_alone_s", "speed_up", "n_jobs", "n_cached")
        return {**asdict(self), **{name: getattr(self, name) for name in derived}}


def cost(process: orm.ProcessNode) -> CostReport:
    """Account for the wall time of a process and of all that it started.

    Parameters
    ----------
    process : ProcessNode
        Finished or still running.
    """
    below = {pk_of(process)} | called_descendants(process)
    jobs = [_Job(node) for node in _nodes(below, orm.CalcJobNode)]
    hybrids = _nodes(below, orm.WorkChainNode, HYBRID)
    report = CostReport(wall_s=_wall(process), busy_s=_union(j.interval for j in jobs if not j.cached))
    for job in jobs:
        kind = report.kinds.setdefault(KINDS.get(job.node.process_type or "", "other"), KindCost())
        kind.n_cached += job.cached
        kind.n_jobs += not job.cached
        kind.seconds += job.seconds
    _add_aimd(report, jobs)
    for hybrid in hybrids:
        _add_hybrid(report, hybrid)
    saved = sum(job.seconds for job in jobs if job.cached)
    besides = report.wall_s - _union(_interval(h) for h in hybrids)
    report.spent_s = sum(_wall(h) for h in hybrids) + besides + saved
    return report


class _Job:
    """A CalcJob, how long its engine ran and when."""

    def __init__(self, node: orm.CalcJobNode) -> None:
        self.node = node
        self.cached = CACHED_FROM in node.base.extras
        self.results = _results(node)
        recorded = self.results.get("wall_time_s")
        self.seconds = float(recorded) if recorded is not None else (0.0 if self.cached else _wall(node))
        # The engine's clock says how long it ran; that it ended when the node did is an approximation, since
        # retrieval and parsing come after. What lies before (upload, queue) is not the engine's.
        start, end = _interval(node)
        self.interval = max(start, end - self.seconds), end


def _results(node: orm.CalcJobNode) -> dict[str, Any]:
    """Return what a job says of itself: its output parameters, else ``results.json``."""
    if "output_parameters" in node.outputs:
        return node.outputs.output_parameters.get_dict()
    try:
        return json.loads(node.outputs.retrieved.base.repository.get_object_content("results.json"))
    except (AttributeError, FileNotFoundError, ValueError):
        return {}


def _nodes(pks: set[int], cls: type[orm.Node], process_type: str | None = None) -> list[Any]:
    filters: dict[str, Any] = {"id": {"in": sorted(pks)}}
    if process_type:
        filters["process_type"] = process_type
    return orm.QueryBuilder().append(cls, filters=filters, tag="n").order_by({"n": "id"}).all(flat=True)


def _interval(node: orm.ProcessNode) -> tuple[float, float]:
    """Return the seconds since the epoch at which a process was made and ended; now, if it still runs."""
    end = node.mtime if node.is_terminated else timezone.now()
    return node.ctime.timestamp(), end.timestamp()


def _wall(node: orm.ProcessNode) -> float:
    start, end = _interval(node)
    return end - start


def _union(intervals: Iterable[tuple[float, float]]) -> float:
    """Return the length of the union of time intervals."""
    total, reached = 0.0, float("-inf")
    for start, end in sorted(intervals):
        total += max(0.0, end - max(start, reached))
        reached = max(reached, end)
    return total


def _add_aimd(report: CostReport, jobs: list[_Job]) -> None:
    """Add up the steps of AIMD and their mean duration; single points and relaxations say nothing of either."""
    stepped = [j for j in jobs if j.node.process_type in LABEL_ENGINES and j.results.get("steps_done")]
    bursts = [j for j in stepped if "relax" not in j.node.inputs]
    report.aimd_steps = sum(int(j.results["steps_done"]) for j in bursts)
    timed = [(j.results["steps_done"], s) for j in bursts if (s := j.results.get("seconds_per_step")) is not None]
    if timed:
        report.seconds_per_step = sum(n * s for n, s in timed) / sum(n for n, _ in timed)


def _add_hybrid(report: CostReport, hybrid: orm.WorkChainNode) -> None:
    simulated = hybrid.outputs.history.get_dict().get("simulated_fs", 0.0) if "history" in hybrid.outputs else 0.0
    report.simulated_fs += simulated
    if timestep := _aimd_timestep(hybrid):
        report.simulated_steps += simulated / timestep


def _aimd_timestep(hybrid: orm.WorkChainNode) -> float | None:
    """Return the time step of a hybrid trajectory's AIMD, fs."""
    for node in _nodes(called_descendants(hybrid), orm.CalcJobNode):
        if node.process_type in LABEL_ENGINES and "md" in node.inputs:
            md = node.inputs.md.get_dict()
            if md.get("steps"):
                return float(md["timestep_fs"])
    return None
