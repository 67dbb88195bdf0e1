"""Whether the chain from every result to its AIMD steps is whole."""

from collections.abc import Iterable
from dataclasses import dataclass, field

import sqlalchemy as sa
from aiida import orm

from aiida_haml.queries.doubts import Doubt, doubts
from aiida_haml.queries.rows import rows
from aiida_haml.queries.training import TRAINING, Teaching, engines
from aiida_haml.queries.walks import (
    CALLS,
    INPUTS,
    OUTPUTS,
    Link,
    ancestors,
    called_descendants,
    callers,
    links_into,
    links_out_of,
    pk_of,
)
from aiida_haml.storage import read, tables

#: Types that a WorkChain step may make as settings of a child. A *result* of these types is science too.
SETTINGS = (
    "data.core.base.", "data.core.bool.", "data.core.code.", "data.core.dict.", "data.core.enum.",
    "data.core.float.", "data.core.int.", "data.core.list.", "data.core.numeric.", "data.core.str.",
)  # fmt: skip


@dataclass(frozen=True)
class CutNode:
    """A node that carries science and came from nowhere."""

    pk: int
    uuid: str
    type: str
    link: str
    reason: str

    def __str__(self) -> str:
        return f"{self.type}<{self.pk}> ({self.link}) {self.reason}"


@dataclass(frozen=True)
class UntracedFrames:
    """Frames that a potential learned from and that no AIMD calculation made."""

    pk: int
    uuid: str
    n_frames: int
    training: int
    reason: str

    def __str__(self) -> str:
        read = f"read by training <{self.training}>"
        return f"{self.n_frames} frames of FramesData<{self.pk}>, {read}: {self.reason}"


@dataclass
class AuditReport:
    """What an audit looked at and what it found.

    Attributes
    ----------
    cut : list of CutNode
    untraced : list of UntracedFrames
    doubts : list of Doubt
        What has a creator, and is still not known to come from where it should.
    n_processes, n_data, n_training_frames : int
        How much was looked at: a clean report over nothing proves nothing.
    """

    cut: list[CutNode] = field(default_factory=list)
    untraced: list[UntracedFrames] = field(default_factory=list)
    doubts: list[Doubt] = field(default_factory=list)
    n_processes: int = 0
    n_data: int = 0
    n_training_frames: int = 0

    @property
    def n_cut(self) -> int:
        """Number of nodes that carry science, have no creator and were given by no user."""
        return len(self.cut)

    @property
    def n_untraced(self) -> int:
        """Number of training frames that cannot be traced to an AIMD step."""
        return sum(u.n_frames for u in self.untraced)

    @property
    def problems(self) -> list[CutNode | UntracedFrames | Doubt]:
        """All that was found, each of which reads as a sentence."""
        return [*self.cut, *self.untraced, *self.doubts]

    @property
    def ok(self) -> bool:
        return not self.problems


def audit(root: orm.Node | orm.Group) -> AuditReport:
    """Check the provenance of a process, of a data node or of all nodes of a group.

    Looked at are the nodes themselves, all processes that they started, everything those read and made, and
    what all of it was made from, in other screens too.

    Returns
    -------
    AuditReport
        ``cut`` names the nodes that no calculation created and that are no input of the process which a
        person started; ``untraced`` the training frames that are not a step of an AIMD calculation; ``doubts`` what
        is named in `aiida_haml.queries.doubts`.
    """
    graph = _Graph(_starts(root))
    report = AuditReport(n_processes=len(graph.processes), n_data=len(graph.data))
    report.cut = _cut_nodes(graph)
    trainings = sorted(pk for pk, kind in graph.processes.items() if kind == TRAINING)
    teaching = Teaching(trainings)
    _trace_training(teaching, report)
    report.doubts = doubts(graph.processes, graph.data, teaching)
    return report


def _starts(root: orm.Node | orm.Group) -> set[int]:
    if not isinstance(root, orm.Group):
        return {pk_of(root)}
    member = tables().member
    return {row.dbnode_id for row in read(sa.select(member.dbnode_id).where(member.dbgroup_id == root.pk))}


class _Graph:
    """The part of the graph that an audit looks at."""

    def __init__(self, starts: set[int]) -> None:
        kinds = rows(starts, node_type="node_type")
        processes = {pk for pk, row in kinds.items() if row.node_type.startswith("process.")}
        processes |= called_descendants(processes)
        nodes = starts | processes
        nodes |= {link.source for link in links_into(processes, INPUTS)}
        nodes |= {link.target for link in links_out_of(processes, OUTPUTS)}
        nodes |= ancestors(nodes)
        seen = rows(nodes | callers(nodes), node_type="node_type", process_type="process_type")
        self.processes = {pk: row.process_type for pk, row in seen.items() if row.node_type.startswith("process.")}
        self.data = {pk: row.node_type for pk, row in seen.items() if row.node_type.startswith("data.")}
        # Everything that leads into these nodes, and every use of them by a process that is looked at.
        self.inputs: dict[int, set[int]] = {}
        self.caller: dict[int, int] = {}
        self._tops: dict[int, int] = {}
        self.returned: dict[int, list[Link]] = {}
        self.used: dict[int, list[Link]] = {}
        created: set[int] = set()
        for link in links_into(seen):
            if link.type in INPUTS:
                self.inputs.setdefault(link.target, set()).add(link.source)
                self.used.setdefault(link.source, []).append(link)
            elif link.type in CALLS:
                self.caller[link.target] = link.source
            elif link.type == "create":
                created.add(link.target)
            elif link.type == "return":
                self.returned.setdefault(link.target, []).append(link)
        self.orphans = set(self.data) - created
        self._look_above()

    def _look_above(self) -> None:
        """Read the callers of workflows outside the part looked at that returned an orphan, and what those read."""
        outside = {link.source for pk in self.orphans for link in self.returned.get(pk, [])} - set(self.processes)
        for link in links_into(outside | callers(outside), (*CALLS, *INPUTS)):
            if link.type in CALLS:
                self.caller.setdefault(link.target, link.source)
            else:
                self.inputs.setdefault(link.target, set()).add(link.source)

    def top(self, process: int) -> int:
        """Return the process that a person started to make this one run."""
        path = []
        while process in self.caller and process not in self._tops:
            path.append(process)
            process = self.caller[process]
        top = self._tops.get(process, process)
        self._tops.update(dict.fromkeys(path, top))
        return top

    def given_to(self, data: int, process: int) -> bool:
        """Whether the data were an input of the process that a person started."""
        return data in self.inputs.get(self.top(process), ())


def _cut_nodes(graph: _Graph) -> list[CutNode]:
    """Return the nodes without a creator that must have one, which no person gave and that are no setting."""
    found = {pk: verdict for pk in sorted(graph.orphans) if (verdict := _judge(pk, graph)) is not None}
    named = rows(found, uuid="uuid", node_type="node_type")
    return [
        CutNode(pk, str(named[pk].uuid), named[pk].node_type.split(".")[-2], link.label, reason)
        for pk, (link, reason) in found.items()
    ]


def _judge(pk: int, graph: _Graph) -> tuple[Link, str] | None:
    """Return the use of a node without a creator that must not be, and why; None if there is none."""
    for link in graph.returned.get(pk, []):
        if not graph.given_to(pk, link.source):
            return link, f"was returned by workflow <{link.source}>, and no process created it"
    if graph.data[pk].startswith(SETTINGS):
        return None
    for link in graph.used.get(pk, []):
        if not graph.given_to(pk, link.target):
            return link, f"was made in a step and given to process <{link.target}>; no process created it"
    return None


def _trace_training(teaching: Teaching, report: AuditReport) -> None:
    """Count each frame once, however many generations of potentials read it."""
    lessons = teaching.all_lessons()
    report.n_training_frames = sum(lesson.n_frames for lesson in lessons.values())
    untraced = set(lessons) - set(engines(lessons))
    if not untraced:
        return
    named, makers = rows(untraced, uuid="uuid"), _makers(untraced)
    readers = _first_readers(teaching)
    for pk in sorted(untraced):
        reason = makers.get(pk, "no process created them")
        report.untraced.append(UntracedFrames(pk, str(named[pk].uuid), lessons[pk].n_frames, readers[pk], reason))


def _makers(pks: Iterable[int]) -> dict[int, str]:
    made = links_into(pks, ["create"])
    labels = rows({link.source for link in made}, label="attributes.process_label")
    return {link.target: f"made by {labels[link.source].label} <{link.source}>" for link in made}


def _first_readers(teaching: Teaching) -> dict[int, int]:
    """Return the first training that had each node of frames in sight."""
    found: dict[int, int] = {}
    known: set[int] = set()
    for training in sorted({*teaching.pool, *teaching.atoms}):
        for pool in teaching.pools(training):
            if pool in known:
                break  # an earlier training read it, and all before it
            known.add(pool)
            for lesson in teaching.joined.get(pool, []):
                found.setdefault(lesson.pk, training)
        for lesson in teaching.atoms.get(training, []):
            found.setdefault(lesson.pk, training)
    return found
