"""Whether the chain from every result to its AIMD steps is whole."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import cast

from aiida import orm

from aiida_haml.queries.training import TRAINING, training_labels
from aiida_haml.queries.walks import (
    CALLS,
    Link,
    ancestors,
    called_descendants,
    callers,
    links_into,
    links_out_of,
    pk_of,
)

INPUTS = ("input_calc", "input_work")
OUTPUTS = ("create", "return")
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

    Parameters
    ----------
    cut : list of CutNode
    untraced : list of UntracedFrames
    n_processes, n_data, n_training_frames : int
        How much was looked at: a clean report over nothing proves nothing.
    """

    cut: list[CutNode] = field(default_factory=list)
    untraced: list[UntracedFrames] = field(default_factory=list)
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
    def ok(self) -> bool:
        return not self.cut and not self.untraced


def audit(root: orm.Node | orm.Group) -> AuditReport:
    """Check the provenance of a process, of a data node or of all nodes of a group.

    Looked at are the nodes themselves, all processes that they started, everything those read and made, and
    what all of it was made from, in other screens too.

    Returns
    -------
    AuditReport
        ``cut`` names the nodes that no calculation created and that are no input of the process which a
        person started; ``untraced`` the training frames that are not a step of an AIMD calculation.
    """
    graph = _Graph(_starts(root))
    report = AuditReport(n_processes=len(graph.processes), n_data=len(graph.data))
    report.cut = [node for pk in sorted(graph.orphans) if (node := _judge(pk, graph))]
    _trace_training((pk for pk, kind in graph.processes.items() if kind == TRAINING), report)
    return report


def _starts(root: orm.Node | orm.Group) -> set[int]:
    return {pk_of(node) for node in (root.nodes if isinstance(root, orm.Group) else [root])}


class _Graph:
    """The part of the graph that an audit looks at."""

    def __init__(self, starts: set[int]) -> None:
        kinds = _rows(starts)
        processes = {pk for pk in starts if kinds[pk][0].startswith("process.")}
        processes |= called_descendants(processes)
        nodes = starts | processes
        nodes |= {link.source for link in links_into(processes) if link.type in INPUTS}
        nodes |= {link.target for link in links_out_of(processes) if link.type in OUTPUTS}
        nodes |= ancestors(nodes)
        above = callers(nodes)
        rows = _rows(nodes | above)
        self.processes = {pk: kind for pk, (ntype, kind) in rows.items() if ntype.startswith("process.")}
        self.data = {pk: ntype for pk, (ntype, _) in rows.items() if ntype.startswith("data.")}
        # Everything that leads into these nodes, and every use of them by a process that is looked at.
        into = list(links_into(rows))
        self.inputs: dict[int, set[int]] = {}
        self.caller: dict[int, int] = {}
        self._tops: dict[int, int] = {}
        self.returned: dict[int, list[Link]] = {}
        self.used: dict[int, list[Link]] = {}
        created: set[int] = set()
        for link in into:
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


def _rows(pks: Iterable[int]) -> dict[int, tuple[str, str | None]]:
    found: dict[int, tuple[str, str | None]] = {}
    ordered = sorted(set(pks))
    for i in range(0, len(ordered), 500):
        builder = orm.QueryBuilder().append(
            orm.Node,
            filters={"id": {"in": ordered[i : i + 500]}},
            project=["id", "node_type", "process_type"],
        )
        found.update({pk: (ntype, ptype) for pk, ntype, ptype in builder.iterall()})
    return found


def _judge(pk: int, graph: _Graph) -> CutNode | None:
    """Return why a node without a creator must not be, or None if a person gave it or it is a setting."""
    for link in graph.returned.get(pk, []):
        top = graph.top(link.source)
        given = graph.given_to(pk, link.source) if top in graph.processes else _is_input(pk, link.source)
        if not given:
            return _cut(pk, link, f"was returned by workflow <{link.source}>, and no process created it")
    if graph.data[pk].startswith(SETTINGS):
        return None
    for link in graph.used.get(pk, []):
        if not graph.given_to(pk, link.target):
            return _cut(pk, link, f"was made in a step and given to process <{link.target}>; no process created it")
    return None


def _is_input(data: int, process: int) -> bool:
    """Whether a workflow outside the part looked at, or one of its callers, had the data as input."""
    above = {process} | callers(process)
    return any(link.source == data and link.type in INPUTS for link in links_into(above))


def _cut(pk: int, link: Link, reason: str) -> CutNode:
    node = orm.load_node(pk)
    return CutNode(pk=pk, uuid=node.uuid, type=type(node).__name__, link=link.label, reason=reason)


def _trace_training(calculations: Iterable[int], report: AuditReport) -> None:
    """Count each frame once, however many generations of potentials read it."""
    seen: set[int] = set()
    for pk in sorted(calculations):
        for label in training_labels(cast(orm.ProcessNode, orm.load_node(pk))):
            here = pk_of(label.node)
            if here in seen:
                continue
            seen.add(here)
            report.n_training_frames += len(label.node)
            if label.engine is None:
                creator = label.node.creator
                reason = f"made by {creator.process_label} <{creator.pk}>" if creator else "no process created them"
                untraced = UntracedFrames(here, label.node.uuid, len(label.node), pk, reason)
                report.untraced.append(untraced)
