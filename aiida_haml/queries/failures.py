"""What failed in a screen, and how it was dealt with."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from aiida import orm

from aiida_haml.queries.anatomy import Calls
from aiida_haml.queries.reason import BROKEN, said
from aiida_haml.queries.rows import rows
from aiida_haml.queries.walks import called_descendants, pk_of

_FIELDS = {
    "process_type": "process_type", "label": "attributes.process_label", "state": "attributes.process_state",
    "exit_status": "attributes.exit_status", "exit_message": "attributes.exit_message",
    "exception": "attributes.exception", "status": "attributes.process_status",
}  # fmt: skip


class Outcome(Enum):
    """What became of a failure."""

    RUN_AGAIN = "run again"
    BORNE = "borne"
    PASSED_ON = "passed on"


@dataclass(frozen=True)
class Failure:
    """A process that failed while none that it had started did.

    Attributes
    ----------
    pk : int
    label : str
        What kind of process it is.
    role, candidate : str
        What it was for (``SLUG__burst_0003``), and the slug.
    reason : str
        In one line.
    outcome : Outcome
        ``RUN_AGAIN``: the one that had started it started another one of its kind. ``BORNE``: it ended well without.
        ``PASSED_ON``: it failed too.
    led_to : int or None
        Pk of the next one of its kind; where it was passed on, of the highest process that it took along.
    """

    pk: int
    label: str
    role: str
    candidate: str
    reason: str
    outcome: Outcome
    led_to: int | None

    def __str__(self) -> str:
        after = {
            Outcome.RUN_AGAIN: f"run again as <{self.led_to}>",
            Outcome.BORNE: "what had started it went on",
            Outcome.PASSED_ON: f"took <{self.led_to}> along",
        }
        return f"{self.role or self.label}: {self.label}<{self.pk}> {self.reason}; {after[self.outcome]}"


def failures(process: orm.ProcessNode) -> list[Failure]:
    """Return what failed below a process, in the order of its making, each at its root.

    Parameters
    ----------
    process : ProcessNode
        Ended or running; itself included.
    """
    pk = pk_of(process)
    below = rows({pk} | called_descendants(pk), **_FIELDS)
    calls = Calls(below)
    failed = {key for key, row in below.items() if _has_failed(row)}
    above = {caller for key in failed if (caller := calls.caller(key)) in failed}
    children: dict[int | None, list[int]] = {}
    for key in sorted(below):
        children.setdefault(calls.caller(key), []).append(key)
    found = []
    for key in sorted(failed - above):
        outcome, led_to = _outcome(key, pk, calls, failed, children)
        role, row = calls.role(key), below[key]
        found.append(Failure(key, row.label or "process", role, calls.candidate(key), _text(row), outcome, led_to))
    return found


def _has_failed(row: Any) -> bool:
    return row.state in BROKEN or (row.state == "finished" and bool(row.exit_status))


def _text(row: Any) -> str:
    return said(row._asdict())


def _outcome(
    pk: int,
    top: int,
    calls: Calls,
    failed: set[int],
    children: Mapping[int | None, list[int]],
) -> tuple[Outcome, int | None]:
    caller = calls.caller(pk) if pk != top else None
    later = [key for key in children.get(caller, []) if key > pk and _is_try(calls.name(key))]
    if caller is not None and later and _is_try(calls.name(pk)):
        return Outcome.RUN_AGAIN, later[0]
    if caller is not None and caller not in failed:
        return Outcome.BORNE, None
    highest = pk
    while highest != top and (above := calls.caller(highest)) is not None and above in failed:
        highest = above
    return Outcome.PASSED_ON, highest


def _is_try(name: str) -> bool:
    """Whether a restart workflow calls a process so, which it starts until one of them does."""
    return re.fullmatch(r"iteration_\d+", name) is not None
