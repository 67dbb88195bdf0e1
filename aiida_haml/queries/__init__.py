"""Questions one asks of the graph: where a number comes from, whether its chain is whole, what it cost."""

from aiida_haml.queries.audit import AuditReport, CutNode, UntracedFrames, audit
from aiida_haml.queries.cost import CostReport, cost
from aiida_haml.queries.trace import trace
from aiida_haml.queries.training import TrainingStep, training_steps
from aiida_haml.queries.walks import ancestors, called_descendants, descendants

__all__ = [
    "AuditReport",
    "CostReport",
    "CutNode",
    "TrainingStep",
    "UntracedFrames",
    "ancestors",
    "audit",
    "called_descendants",
    "cost",
    "descendants",
    "trace",
    "training_steps",
]
