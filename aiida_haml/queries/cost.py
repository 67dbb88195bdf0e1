"""Where the time of a screen or a hybrid trajectory went, and what it gained over AIMD alone."""

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

from aiida import orm

from aiida_haml.queries.anatomy import FOLLOWED, KINDS, OF, Calls
from aiida_haml.queries.jobs import JOB, PROCESS, Job, interval, read_jobs
from aiida_haml.queries.people import emails
from aiida_haml.queries.rows import rows
from aiida_haml.queries.walks import called_descendants, links_into, links_out_of, pk_of

#: What is no candidate's own: the learner, isolated atoms, the ranking.
SHARED = "all"


@dataclass
class Work:
    """Some jobs: number run, number from the cache, seconds of the engines (cached ones too)."""

    n_jobs: int = 0
    n_cached: int = 0
    seconds: float = 0.0

    def add(self, job: Job) -> None:
        """Count a job."""
        self.n_cached += job.cached
        self.n_jobs += not job.cached
        self.seconds += job.seconds


@dataclass
class CostReport:
    """An account of wall time.

    Attributes
    ----------
    kinds, candidates, people : dict of str to Work
        By kind of work, by slug of the candidate (``all`` for what serves all of them), and by the e-mail address of
        the person who ran it.
    wall_s : float
        From the creation of the process to its end, or to now, s.
    busy_s : float
        Time in which at least one engine ran, s.
    aimd_steps : int
        Steps of AIMD computed.
    seconds_per_step : float or None
        Measured for AIMD, s.
    simulated_fs, simulated_steps : float
        Time on the hybrid time lines, in fs and in AIMD steps.
    """

    kinds: dict[str, Work] = field(default_factory=dict)
    candidates: dict[str, Work] = field(default_factory=dict)
    people: dict[str, Work] = field(default_factory=dict)
    wall_s: float = 0.0
    busy_s: float = 0.0
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
    def engine_s(self) -> float:
        """Time of all engines one after another; a job from the cache counts with what it had cost, s."""
        return sum(work.seconds for work in self.kinds.values())

    @property
    def spent_s(self) -> float:
        """Wall time that all of it would have taken one job after another, waiting included, s."""
        return self.engine_s + self.overhead_s

    @property
    def aimd_alone_s(self) -> float | None:
        """Wall time that AIMD alone would have needed for the same time lines one after another, s."""
        return None if self.seconds_per_step is None else self.simulated_steps * self.seconds_per_step

    @property
    def speed_up(self) -> float | None:
        """Wall time of AIMD alone over the wall time actually spent, all of it."""
        return self.aimd_alone_s / self.spent_s if self.aimd_alone_s and self.spent_s > 0 else None

    @property
    def n_jobs(self) -> int:
        """CalcJobs that ran."""
        return sum(work.n_jobs for work in self.kinds.values())

    @property
    def n_cached(self) -> int:
        """CalcJobs that were taken from the cache."""
        return sum(work.n_cached for work in self.kinds.values())

    def as_dict(self) -> dict[str, Any]:
        """Return all figures, the derived ones included, as plain JSON."""
        derived = ("overhead_s", "overhead_share", "engine_s", "spent_s", "aimd_alone_s", "speed_up")
        return {**asdict(self), **{name: getattr(self, name) for name in (*derived, "n_jobs", "n_cached")}}


def cost(process: orm.ProcessNode) -> CostReport:
    """Account for the wall time of a process and of all that it started.

    Parameters
    ----------
    process : ProcessNode
        Finished or still running.
    """
    pk = pk_of(process)
    below = rows({pk} | called_descendants(pk), **PROCESS)
    calls = Calls(below)
    jobs = list(read_jobs(row for row in below.values() if row.node_type == JOB))
    start, end = interval(below[pk])
    report = CostReport(wall_s=end - start, busy_s=_union(job.interval for job in jobs if not job.cached))
    people = emails(job.user for job in jobs)
    for job in jobs:
        report.kinds.setdefault(KINDS.get(job.process_type, "other"), Work()).add(job)
        report.candidates.setdefault(calls.candidate(job.pk) or SHARED, Work()).add(job)
        report.people.setdefault(people[job.user], Work()).add(job)
    _add_aimd(report, jobs)
    hybrids = {row.id for row in below.values() if row.process_type in FOLLOWED}
    timesteps = {calls.first_above(job.pk, hybrids) or pk: job.timestep_fs for job in jobs if job.timestep_fs}
    for hybrid, simulated in _simulated(hybrids):
        report.simulated_fs += simulated
        if hybrid in timesteps:
            report.simulated_steps += simulated / timesteps[hybrid]
    return report


def _union(intervals: Iterable[tuple[float, float]]) -> float:
    """Return the length of the union of time intervals."""
    total, reached = 0.0, float("-inf")
    for start, end in sorted(intervals):
        total += max(0.0, end - max(start, reached))
        reached = max(reached, end)
    return total


def _add_aimd(report: CostReport, jobs: Iterable[Job]) -> None:
    """Add up the steps of AIMD and their mean duration; single points and relaxations say nothing of either."""
    stepped = [job for job in jobs if job.steps_done]
    report.aimd_steps = sum(job.steps_done for job in stepped)
    timed = [(job.steps_done, job.seconds_per_step) for job in stepped if job.seconds_per_step is not None]
    if timed:
        report.seconds_per_step = sum(n * s for n, s in timed) / sum(n for n, _ in timed)


def _simulated(hybrids: Iterable[int]) -> Iterator[tuple[int, float]]:
    """Yield for each time line what was simulated in this run, fs."""
    hybrids = set(hybrids)
    told = [link for link in links_out_of(hybrids, ["return"]) if link.label.endswith(f"{OF}history")]
    # A run that goes on with earlier time lines is given them: SLUG__segment_NNNN, of which the last one counts.
    given = [link for link in links_into(hybrids, ["input_work"]) if link.label.startswith(f"segments{OF}")]
    last = {(link.target, link.label.split(OF)[1]): link.source for link in sorted(given, key=lambda g: g.label)}
    histories = rows((link.target for link in told), simulated_fs="attributes.simulated_fs")
    starts = rows(last.values(), time_end="attributes.time_end")
    for link in told:
        before = last.get((link.source, link.label.split(OF)[1]))
        start = (starts[before].time_end or 0.0) if before is not None else 0.0
        yield link.source, (histories[link.target].simulated_fs or 0.0) - start
