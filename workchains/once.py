"""Steps that are run again: a worker that dies in the middle of one leaves children which nobody waits for."""

from typing import Any

from aiida import orm
from aiida.common.links import LinkType
from aiida.engine import ProcessState, WorkChain
from plumpy import PersistenceError

from aiida_haml.workchains.names import reading

#: What the node of a process says of itself that its worker left in the middle.
LEFT_BEHIND = "Its worker died before it was saved: what started it was run again."


class OnceWorkChain(WorkChain):
    """Start every child once, by the name that its link has.

    AiiDA saves a WorkChain at the end of a step. If its worker dies before, the step is run again, and the children
    that it had started run as well: two jobs where one was wanted. A child whose worker died between the storing of its
    node and its first checkpoint is one that nobody can run: waiting for it would never end.
    """

    def submit(self, process: Any, inputs: dict[str, Any] | None = None, **kwargs: Any) -> orm.ProcessNode:
        """Return the child of this name that the same step started before; submit it where there is none.

        A child that has no label is labelled by its name.
        """
        given = dict(inputs or kwargs)
        metadata = given.get("metadata", {})
        name = metadata.get("call_link_label")
        started = self._orphan(name) if name else None
        if started is None:
            if name and not metadata.get("label"):
                given["metadata"] = {**metadata, "label": reading(name)}
            return super().submit(process, given)
        self.report(
            f"{started.process_label}<{started.pk}> was started as {name} by this step before; it is waited for."
        )
        return started

    def on_terminated(self) -> None:
        """Give an end to what a worker left in the middle: no archive takes a process without one."""
        super().on_terminated()
        if not self.runner.is_daemon_runner:  # children of this very process have no checkpoint and are alive
            return
        unsealed = orm.QueryBuilder().append(orm.Node, filters={"id": self.node.pk}, tag="this")
        unsealed.append(orm.ProcessNode, with_incoming="this", filters={"attributes": {"!has_key": "sealed"}})
        for child in unsealed.all(flat=True):
            if child.checkpoint is None:
                _end(child)

    def _orphan(self, label: str) -> orm.ProcessNode | None:
        """Return the last child of a name that somebody can run or has run, unless it has been waited for."""
        calls = (LinkType.CALL_CALC, LinkType.CALL_WORK)
        # The filter is one of SQL, for which an underscore is any letter.
        links = self.node.base.links.get_outgoing(link_type=calls, link_label_filter=label).all()
        waited_for = {child.pk for child in self.ctx.get("children", [])}
        named: list[Any] = [link.node for link in links if link.link_label == label and link.node.pk not in waited_for]
        for node in named:
            if not node.is_terminated and node.checkpoint is None:
                _end(node)
        return max((node for node in named if not _was_left(node)), key=lambda node: node.pk, default=None)


def _was_left(node: orm.ProcessNode) -> bool:
    """Whether nobody could run it: by the end that it has from us, or from a worker that `verdi process repair` told to
    go on with it."""
    return node.process_status == LEFT_BEHIND or PersistenceError.__name__ in (node.exception or "")


def _end(node: orm.ProcessNode) -> None:
    """Seal a process from which nobody can go on; one from the cache had its end with its node."""
    if not node.is_terminated:
        node.set_process_state(ProcessState.KILLED)
        node.set_process_status(LEFT_BEHIND)
    node.seal()
