"""How far a screen is: read in a few projections, so that it can be asked every second."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime

from aiida import orm

from aiida_haml.queries.anatomy import ENDED, FAILURES, HYBRID, JUDGE, KINDS, OF, Calls
from aiida_haml.queries.jobs import CACHED_FROM
from aiida_haml.queries.rows import rows
from aiida_haml.queries.walks import called_descendants, links_out_of, pk_of

#: Names of what a hybrid run starts for a candidate in a round: ``SLUG__burst_0003``.
_SEGMENT = re.compile(rf".+{OF}(?P<kind>burst|stretch)_(?P<round>\d+)")
_FIELDS = {
    "process_type": "process_type", "label": "attributes.process_label", "state": "attributes.process_state",
    "sealed": "attributes.sealed", "exit_status": "attributes.exit_status", "exit_message": "attributes.exit_message",
    "cached": f"extras.{CACHED_FROM}", "started": "ctime", "changed": "mtime",
}  # fmt: skip


@dataclass(frozen=True)
class ProcessState:
    """What a poll sees of one process.

    Attributes
    ----------
    name : str
        What the process that started it calls it, ``SLUG__burst_0003``.
    candidate : str
        Slug; empty for what serves all candidates.
    """

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
    name: str
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
    """One trajectory of a screen.

    Attributes
    ----------
    slug : str
    process : ProcessState or None
        The hybrid run that follows it; None before there is one.
    n_bursts, n_stretches : int
        That ended well, whatever the judge made of them.
    round : int
        The latest in which something was started for it, from 0.
    simulated_fs : float
        What the judge has let stand, fs.
    failure : str or None
        Why it ended too soon.
    running : list of str
        Kinds of jobs under way.
    """

    slug: str
    process: ProcessState | None = None
    n_bursts: int = 0
    n_stretches: int = 0
    round: int = 0
    simulated_fs: float = 0.0
    failure: str | None = None
    running: list[str] = field(default_factory=list)

    @property
    def verdict(self) -> str:
        """The state in words."""
        if self.failure is not None:
            return f"FAILED: {self.failure}"
        return self.process.verdict if self.process is not None else "waiting"


@dataclass
class Progress:
    """A screen as it is now.

    Attributes
    ----------
    screen : ProcessState
    processes : list of ProcessState
        All that it started, in the order of their making.
    candidates : list of CandidateProgress
    reached : dict of str to float
        By slug, what the judge has let stand, fs.
    """

    screen: ProcessState
    processes: list[ProcessState]
    candidates: list[CandidateProgress]
    reached: dict[str, float] = field(default_factory=dict)

    @property
    def shared(self) -> list[str]:
        """Kinds of jobs under way that serve all candidates: a training, the ranking, isolated atoms."""
        return [s.kind for s in self.processes if s.kind and not s.ended and not s.candidate]


def progress(screen: orm.ProcessNode, before: Progress | None = None) -> Progress:
    """Ask how far a screen is.

    Parameters
    ----------
    screen : ProcessNode
    before : Progress, optional
        The answer of an earlier call: what had ended then is not read again.
    """
    pk = pk_of(screen)
    known = {s.pk: s for s in (before.screen, *before.processes) if s.ended} if before is not None else {}
    everything = {pk} | called_descendants(pk)
    calls = Calls(everything)
    states = known | _read(everything - set(known), calls)
    candidates = {slug: CandidateProgress(slug) for slug in sorted(calls.slugs)}
    below = [states[key] for key in sorted(everything - {pk})]
    for state in below:
        if state.candidate:
            _note(candidates[state.candidate], state)
    judges = {state.pk for state in below if state.process_type == JUDGE}
    reached = (before.reached if before is not None else {}) | _reached(judges - set(known))
    hybrid = next((state for state in reversed(below) if state.process_type == HYBRID), None)
    failures = _failures(hybrid.pk) if hybrid is not None else {}
    for slug, candidate in candidates.items():
        candidate.process, candidate.failure = hybrid, failures.get(slug)
        candidate.simulated_fs = reached.get(slug, 0.0)
    return Progress(states[pk], below, list(candidates.values()), reached)


def _read(pks: Iterable[int], calls: Calls) -> dict[int, ProcessState]:
    found = {}
    for pk, row in rows(pks, **_FIELDS).items():
        seen = row._asdict()
        seen |= {"pk": seen.pop("id"), "cached": row.cached is not None, "sealed": bool(row.sealed)}
        seen |= {"state": row.state or "created", "process_type": row.process_type or "", "label": row.label or ""}
        found[pk] = ProcessState(**seen, name=calls.name(pk), candidate=calls.candidate(pk))
    return found


def _note(entry: CandidateProgress, state: ProcessState) -> None:
    if state.kind and not state.ended:
        entry.running.append(state.kind)
    if (match := _SEGMENT.fullmatch(state.name)) is not None:
        entry.round = max(entry.round, int(match["round"]))
        entry.n_bursts += state.ended and state.ok and match["kind"] == "burst"
        entry.n_stretches += state.ended and state.ok and match["kind"] == "stretch"


def _failures(hybrid: int) -> dict[str, str]:
    return rows([hybrid], failures=f"extras.{FAILURES}")[hybrid].failures or {}


def _reached(judges: Iterable[int]) -> dict[str, float]:
    """Return the time that each candidate has reached by the latest verdict on it, fs."""
    told = links_out_of(judges, ["create"], ["verdicts"])
    found: dict[str, float] = {}
    for row in rows((link.target for link in told), verdicts="attributes").values():
        found |= {slug: verdict.get("reached_fs") or 0.0 for slug, verdict in row.verdicts.items()}
    return found
