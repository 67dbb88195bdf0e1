"""Steps that are run again: a worker that dies in the middle of one leaves children which nobody waits for."""

from __future__ import annotations

from typing import Any

from aiida import orm
from aiida.common.links import LinkType
from aiida.engine import WorkChain


class OnceWorkChain(WorkChain):
    """Start every child once, by the name that its link has.

    AiiDA saves a WorkChain at the end of a step. If its worker dies before, the step is run again, and the children
    that it had started run as well: two jobs where one was wanted.
    """

    def submit(self, process: Any, inputs: dict[str, Any] | None = None, **kwargs: Any) -> orm.ProcessNode:
        """Return the child of this name that the same step started before; submit it where there is none."""
        label = (inputs or kwargs).get("metadata", {}).get("call_link_label")
        started = self._orphan(label) if label else None
        if started is None:
            return super().submit(process, inputs, **kwargs)
        self.report(
            f"{started.process_label}<{started.pk}> was started as {label} by this step before; it is waited for."
        )
        return started

    def _orphan(self, label: str) -> orm.ProcessNode | None:
        """Return the last child of a name, unless it has been waited for."""
        calls = (LinkType.CALL_CALC, LinkType.CALL_WORK)
        # The filter is one of SQL, for which an underscore is any letter.
        links = self.node.base.links.get_outgoing(link_type=calls, link_label_filter=label).all()
        waited_for = {child.pk for child in self.ctx.get("children", [])}
        named: list[Any] = [link.node for link in links if link.link_label == label and link.node.pk not in waited_for]
        return max(named, key=lambda node: node.pk, default=None)
