"""How far a screen is: read in a few projections, so that it can be asked every second."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from aiida import orm

from aiida_haml.data.frames import FramesData
from aiida_haml.queries.cost import CACHED_FROM, HYBRID, KINDS
from aiida_haml.queries.training import LABEL_ENGINES
from aiida_haml.queries.walks import CALLS, called_descendants, links_into

SCREEN = "aiida.workflows:haml.screen"
EQUILIBRATION = "aiida.workflows:haml.equilibrate"
MD = "aiida.calculations:haml.lammps"
ENDED = ("finished", "excepted", "killed")


@dataclass(frozen=True)
class ProcessState:
    """What a poll sees of one process."""

    pk: int
    process_type: str
    label: str
    state: str
    exit_status: int | None
    exit_message: str | None
    cached: bool
    sealed: bool
    started: datetime
    changed: datetime
    candidate: str

    @property
    def ended(self) -> bool:
        # A job from the cache starts with its source's state, "finished", and is sealed only once it has ended.
        return self.sealed and self.state in ENDED

    @property
    def ok(self) -> bool:
        return self.state == "finished" and self.exit_status == 0

    @property
    def kind(self) -> str | None:
        """Kind of CalcJob, as in the account of costs; None for anything else."""
        return KINDS.get(self.process_type)

    @property
    def verdict(self) -> str:
        """The state in words: running, done, or how it failed."""
        if not self.ended:
            return "ending" if self.state in ENDED else self.state
        if self.ok:
            return "from cache" if self.cached else "done"
        return f"FAILED [{self.exit_status}] {self.exit_message or self.state}"


@dataclass
class CandidateProgress:
    """One hybrid trajectory of a screen."""

    slug: str
    process: ProcessState | None = None
    n_bursts: int = 0
    n_stretches: int = 0
    simulated_fs: float = 0.0
    running: list[str] = field(default_factory=list)

    @property
    def cycle(self) -> int:
        """Number of the burst under way or done last, from 0."""
        return max(self.n_bursts - 1, 0)


@dataclass
class Progress:
    """A screen as it is now: itself, its processes in the order of their making, and its candidates."""

    screen: ProcessState
    processes: list[ProcessState]
    candidates: list[CandidateProgress]


def find_screens(name: str | None = None, unfinished: bool | None = None) -> list[orm.WorkChainNode]:
    """Return the screens of the profile, newest first.

    Parameters
    ----------
    name : str, optional
        Only those of this name.
    unfinished : bool, optional
        Only those that have not ended (True) or have (False).
    """
    filters: dict[str, Any] = {"process_type": SCREEN}
    if name is not None:
        filters["label"] = name
    if unfinished is not None:
        filters["attributes.process_state"] = {"!in" if unfinished else "in": list(ENDED)}
    builder = orm.QueryBuilder().append(orm.WorkChainNode, filters=filters, tag="n")
    return builder.order_by({"n": {"id": "desc"}}).all(flat=True)


def progress(screen: orm.ProcessNode) -> Progress:
    """Ask how far a screen is."""
    pk = int(screen.pk or 0)
    below = called_descendants(pk)
    candidate_of = _candidates_of(below)
    states = {row["pk"]: _state(row, candidate_of.get(row["pk"], "")) for row in _rows({pk} | below)}
    candidates = {slug: CandidateProgress(slug) for slug in _slugs(screen)}
    for state in (states[p] for p in sorted(below) if p in states):
        if not state.candidate:
            continue
        entry = candidates.setdefault(state.candidate, CandidateProgress(state.candidate))
        _note(entry, state)
    before = {pk for s in states.values() if s.process_type == EQUILIBRATION for pk in called_descendants(s.pk)}
    for slug, kind, end in _segments(s for s in states.values() if s.pk not in before):
        entry = candidates[slug]
        entry.n_bursts += kind == "burst"
        entry.n_stretches += kind == "stretch"
        entry.simulated_fs = max(entry.simulated_fs, end)
    return Progress(states[pk], [states[p] for p in sorted(below) if p in states], list(candidates.values()))


def _slugs(screen: orm.ProcessNode) -> list[str]:
    prefix = "candidates__"
    labels = (e.link_label for e in screen.base.links.get_incoming(link_label_filter=f"{prefix}%").all())
    return sorted(label.removeprefix(prefix) for label in labels)


def _candidates_of(pks: set[int]) -> dict[int, str]:
    """Map each process to its candidate: the call link of the hybrid trajectory above it, or of itself."""
    calls = {link.target: link for link in links_into(pks) if link.type in CALLS}
    rows = orm.QueryBuilder().append(
        orm.WorkChainNode,
        filters={"id": {"in": sorted(pks)}, "process_type": HYBRID},
        project=["id", "label"],
    )
    names = {pk: _call_name(calls[pk].label, label, pk) for pk, label in rows.iterall()}
    found: dict[int, str] = {}
    for pk in pks:
        here: int | None = pk
        while here is not None and here not in names:
            here = calls[here].source if here in calls else None
        if here is not None:
            found[pk] = names[here]
    return found


def _call_name(link_label: str, label: str, pk: int) -> str:
    return link_label if link_label != "CALL" else label or str(pk)


def _rows(pks: set[int]) -> Iterable[dict[str, Any]]:
    project = {
        "id": "pk", "process_type": "process_type", "attributes.process_label": "label", "ctime": "started",
        "attributes.process_state": "state", "attributes.sealed": "sealed", "mtime": "changed",
        "attributes.exit_status": "exit_status",
        "attributes.exit_message": "exit_message", f"extras.{CACHED_FROM}": "cached",
    }  # fmt: skip
    builder = orm.QueryBuilder().append(orm.ProcessNode, filters={"id": {"in": sorted(pks)}}, project=list(project))
    for row in builder.iterall():
        yield dict(zip(project.values(), row, strict=True))


def _state(row: dict[str, Any], candidate: str) -> ProcessState:
    row = {**row, "cached": row["cached"] is not None, "sealed": bool(row["sealed"])}
    row["state"] = row["state"] or "created"
    row["process_type"] = row["process_type"] or ""
    return ProcessState(**row, candidate=candidate)


def _note(entry: CandidateProgress, state: ProcessState) -> None:
    if state.process_type == HYBRID:
        entry.process = state
    elif state.kind and not state.ended:
        entry.running.append(state.kind)


def _segments(states: Iterable[ProcessState]) -> Iterator[tuple[str, str, float]]:
    """Yield candidate, kind and end (fs) of each burst and stretch that a job brought, cut short or not."""
    engines = {s.pk: s.candidate for s in states if s.candidate and s.process_type in (*LABEL_ENGINES, MD)}
    if not engines:
        return
    builder = orm.QueryBuilder()
    builder.append(orm.CalcJobNode, filters={"id": {"in": sorted(engines)}}, project="id", tag="job")
    builder.append(
        FramesData,
        with_incoming="job",
        edge_filters={"label": "frames"},
        filters={"attributes.kind": {"in": ["burst", "stretch"]}},
        project=["attributes.kind", "attributes.time_end"],
    )
    for job, kind, end in builder.iterall():
        yield engines[job], kind, end or 0.0
