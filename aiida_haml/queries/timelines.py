"""The time lines of a screen as far as it has come, running or ended, read from what its judge has said."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from aiida import orm
from aiida.common.links import LinkType

from aiida_haml.calculations.rounds import flat, port
from aiida_haml.data.frames import FramesData
from aiida_haml.learning.judge import false_states
from aiida_haml.queries.anatomy import HYBRID

_CALLS = (LinkType.CALL_WORK, LinkType.CALL_CALC)


@dataclass
class TimeLines:
    """What a run can be gone on with.

    Attributes
    ----------
    segments : dict
        As SLUG__segment_NNNN, in the order of time.
    pool, potential, calibration : nodes or None
        The latest of each.
    plans, verdicts : dict
        By slug the plan of its last round, and what was said of it: the next one follows from them.
    """

    segments: dict[str, FramesData] = field(default_factory=dict)
    plans: dict[str, orm.Dict] = field(default_factory=dict)
    verdicts: dict[str, orm.Dict] = field(default_factory=dict)
    pool: Any = None
    potential: Any = None
    calibration: Any = None

    @property
    def slugs(self) -> list[str]:
        """Trajectories that have a time line."""
        return sorted({name.partition("__")[0] for name in self.segments})


def time_lines(process: orm.WorkChainNode) -> TimeLines:
    """Return the accepted time lines of a screen or a hybrid run, whatever state it is in.

    Parameters
    ----------
    process : WorkChainNode
        A ``haml.screen`` or a ``haml.hybrid``.
    """
    hybrid = process if process.process_type == HYBRID else _dynamics(process)
    if hybrid is None:
        return TimeLines()
    found = TimeLines()
    given = hybrid.inputs.segments if "segments" in hybrid.inputs else {}
    found.segments = flat(given)
    for name in ("pool", "potential", "calibration"):
        setattr(found, name, getattr(hybrid.inputs, name) if name in hybrid.inputs else None)
    for name in ("plans", "verdicts"):
        setattr(found, name, dict(getattr(hybrid.inputs, name)) if name in hybrid.inputs else {})
    called = {link.link_label: link.node for link in hybrid.base.links.get_outgoing(link_type=_CALLS).all()}
    number = 0
    while (judged := called.get(f"judge_{number:04d}")) is not None and judged.is_finished_ok:
        training = called.get(f"learn_{number:04d}")
        found.calibration = judged.outputs.calibration
        verdicts = judged.outputs.verdicts.get_dict()
        if training is not None and "potential" in training.outputs and not false_states(verdicts):
            found.potential = training.outputs.potential
        plan = called.get(f"plan_{number:04d}")
        for slug, verdict in verdicts.items():
            found.verdicts[slug] = judged.outputs.verdicts
            if plan is not None:
                found.plans[slug] = plan.outputs.result
            _extend(found.segments, slug, verdict, called, f"{number:04d}")
        number += 1
    for name, gathered in sorted(called.items()):  # labels of a round that has no verdict are paid for as well
        if name.startswith("gather_") and gathered.is_finished_ok:
            found.pool = gathered.outputs.result
    return found


def _dynamics(screen: orm.WorkChainNode) -> Any:
    links = screen.base.links.get_outgoing(link_type=_CALLS, link_label_filter="dynamics").all()
    return links[0].node if links else None


def _extend(
    segments: dict[str, FramesData], slug: str, verdict: Mapping[str, Any], called: Mapping[str, Any], number: str
) -> None:
    """Put what one round left of a trajectory at its end."""
    kept = []
    if verdict["action"] == "accept":
        kept.append(called[port(slug, f"stretch_{number}")].outputs.frames)
    elif verdict["action"] == "cut":
        kept.append(called[port(slug, f"cut_{number}")].outputs.trusted)
    if verdict["burst_stays"]:
        kept.append(called[port(slug, f"burst_{number}")].outputs.frames)
    before = sum(name.startswith(port(slug, "")) for name in segments)
    for i, node in enumerate(kept):
        segments[port(slug, f"segment_{before + i:04d}")] = node
