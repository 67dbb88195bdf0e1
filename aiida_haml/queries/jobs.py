"""The CalcJobs of a part of the graph: how long each engine ran and when, and whether it ran at all."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from aiida import orm
from aiida.common import timezone

from aiida_haml.calculations.label_engines import engine_of
from aiida_haml.queries.anatomy import ENDED
from aiida_haml.queries.rows import rows
from aiida_haml.queries.stored import stored_files
from aiida_haml.queries.walks import links_into, links_out_of

#: Extra that AiiDA puts on a node which it copied instead of running it.
CACHED_FROM = "_aiida_cached_from"
JOB = orm.CalcJobNode.class_node_type
#: Columns of a process that tell when it ran, see `rows`.
PROCESS = {
    "node_type": "node_type", "process_type": "process_type", "started": "ctime", "changed": "mtime",
    "state": "attributes.process_state", "checked": "attributes.scheduler_lastchecktime", "user": "user_id",
    "cached": f"extras.{CACHED_FROM}",
}  # fmt: skip
_RESULTS = {
    "wall_time_s": "attributes.wall_time_s", "steps_done": "attributes.steps_done",
    "seconds_per_step": "attributes.seconds_per_step",
}  # fmt: skip


@dataclass(frozen=True)
class Job:
    """A CalcJob, how long its engine ran and when.

    Attributes
    ----------
    pk, user : int
    process_type : str
    cached : bool
        Whether it is a copy of another one.
    seconds : float
        As the engine says; a copy counts with what it had cost.
    interval : tuple of float
        When the engine ran, seconds since the epoch.
    steps_done, seconds_per_step, timestep_fs : number or None
        Of AIMD.
    """

    pk: int
    process_type: str
    user: int
    cached: bool
    seconds: float
    interval: tuple[float, float]
    steps_done: int
    seconds_per_step: float | None
    timestep_fs: float | None


def read_jobs(found: Iterable[Any]) -> Iterator[Job]:
    """Yield the jobs behind some rows, which hold the columns of `PROCESS`."""
    jobs = {row.id: row for row in found}
    told = _told(jobs)
    md = {link.target: link.source for link in links_into(jobs, ["input_calc"], ["md"])}
    settings = rows(md.values(), timestep_fs="attributes.timestep_fs")
    for pk, row in jobs.items():
        results, (start, end) = told.get(pk, {}), interval(row)
        cached = row.cached is not None or _ran_before(row)
        recorded = results.get("wall_time_s")
        seconds = float(recorded) if recorded is not None else (0.0 if cached else end - start)
        is_aimd = pk in md and engine_of(row.process_type) is not None
        yield Job(
            pk=pk,
            process_type=row.process_type or "",
            user=row.user,
            cached=cached,
            seconds=seconds,
            # The engine's clock says how long it ran; that it ended when the node did is an approximation, since
            # retrieval and parsing come after. What lies before (upload, queue) is not the engine's.
            interval=(max(start, end - seconds), end),
            steps_done=int(results.get("steps_done") or 0) if is_aimd else 0,
            seconds_per_step=results.get("seconds_per_step"),
            timestep_fs=settings[md[pk]].timestep_fs if is_aimd else None,
        )


def _ran_before(row: Any) -> bool:
    """Whether the scheduler was asked for the job before its node was made.

    Such a node is a copy from the cache. The extra that says so is AiiDA's own and does not travel with an archive.
    """
    return row.checked is not None and datetime.fromisoformat(row.checked) < row.started


def _told(jobs: Iterable[int]) -> dict[int, dict[str, Any]]:
    """Return what each job says of itself: its output parameters, else its ``results.json``."""
    links = links_out_of(jobs, ["create"], ["output_parameters", "retrieved"])
    outputs = {name: {link.target: link.source for link in links if link.label == name} for name in
               ("output_parameters", "retrieved")}  # fmt: skip
    told = {
        outputs["output_parameters"][pk]: row._asdict()
        for pk, row in rows(outputs["output_parameters"], **_RESULTS).items()
    }
    silent = [pk for pk, job in outputs["retrieved"].items() if job not in told]
    for pk, content in stored_files(silent, "results.json").items():
        told[outputs["retrieved"][pk]] = _parsed(content)
    return told


def _parsed(content: bytes) -> dict[str, Any]:
    try:
        results = json.loads(content)
    except ValueError:
        return {}
    return results if isinstance(results, dict) else {}


def interval(row: Any) -> tuple[float, float]:
    """Return the seconds since the epoch at which a process was made and ended; now, if it still runs."""
    end = row.changed if row.state in ENDED else timezone.now()
    return row.started.timestamp(), end.timestamp()
