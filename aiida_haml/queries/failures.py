"""What failed in a screen, where and why it did so first, and how it was dealt with.

A WorkChain that failed says what it was doing, and not why: the reason stands in a child of a child, as an exit
message, an exception, or the last words of a job. AiiDA shows the level at which one asks.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from itertools import pairwise
from typing import Any

from aiida import orm

from aiida_haml.queries.anatomy import Calls
from aiida_haml.queries.rows import rows
from aiida_haml.queries.stored import stored_files
from aiida_haml.queries.walks import called_descendants, links_out_of, pk_of

#: States in which a process has ended otherwise than by finishing.
BROKEN = ("excepted", "killed")
#: What the scheduler's error stream says is cut at so many characters.
LONGEST = 300
STDERR = "_scheduler-stderr.txt"

_FIELDS = {
    "label": "attributes.process_label", "state": "attributes.process_state",
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
    """A process that failed by itself: what it had started and what failed, if any, was tried again.

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
        ``RUN_AGAIN``: it, or what it took along, was started once more. ``BORNE``: what had started it went on.
        ``PASSED_ON``: what had started it failed too.
    led_to : int or None
        Pk of the next try; where it was passed on, of the highest process that it took along.
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
        return f"{self.role or self.label}: {self.what}; {after[self.outcome]}"

    @property
    def what(self) -> str:
        """What failed and why, in one line."""
        return f"{self.label}<{self.pk}> {self.reason}"


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
    again = _tried_again(below, calls)
    failed = {key for key, row in below.items() if _has_failed(row)}
    passed_on = {key: above for key in failed - set(again) if (above := calls.caller(key)) in failed}
    roots = sorted(failed - set(passed_on.values()))
    words = _last_words(key for key in roots if below[key].state == "finished")
    found = []
    for key in roots:
        row, outcome = below[key], _outcome(key, pk, passed_on, again)
        told = row.label or "process", calls.role(key), calls.candidate(key), _reason(row, words.get(key, ""))
        found.append(Failure(key, *told, *outcome))
    return found


def cause(process: orm.ProcessNode) -> Failure | None:
    """Return the failure that took a process along, the last one of several; None if the process has not failed."""
    return next((found for found in reversed(failures(process)) if found.led_to == pk_of(process)), None)


def _has_failed(row: Any) -> bool:
    return row.state in BROKEN or (row.state == "finished" and bool(row.exit_status))


def _tried_again(processes: Iterable[int], calls: Calls) -> dict[int, int]:
    """Return the next try after each one that a restart workflow started, which it does until one ends well."""
    tries: dict[int | None, list[int]] = {}
    for key in sorted(processes):
        if re.fullmatch(r"iteration_\d+", calls.name(key)):
            tries.setdefault(calls.caller(key), []).append(key)
    return {key: later for keys in tries.values() for key, later in pairwise(keys)}


def _outcome(root: int, top: int, passed_on: Mapping[int, int], again: Mapping[int, int]) -> tuple[Outcome, int | None]:
    highest = root
    while highest in passed_on:
        highest = passed_on[highest]
    if highest in again:
        return Outcome.RUN_AGAIN, again[highest]
    return (Outcome.BORNE, None) if highest == root != top else (Outcome.PASSED_ON, highest)


def _reason(row: Any, words: str) -> str:
    """Return what a process that failed says of it, and the last words of its job, in one line."""
    if row.state == "killed":
        return f"was killed{': ' + _last_line(row.status) if row.status else ''}"
    if row.state == "excepted":
        return f"broke off: {_last_line(row.exception) or 'without a word'}"
    told = f"failed [{row.exit_status}]: {_last_line(row.exit_message) or 'no message'}"
    return f"{told} (last words: {words})" if words and words not in told else told


def _last_words(jobs: Iterable[int]) -> dict[int, str]:
    """Return the last line that each job wrote to its error stream, where it did."""
    retrieved = {link.target: link.source for link in links_out_of(jobs, ["create"], ["retrieved"])}
    streams = stored_files(retrieved, STDERR)
    return {retrieved[pk]: _last_line(text.decode(errors="replace"))[:LONGEST] for pk, text in streams.items()}


def _last_line(text: str | None) -> str:
    lines = [line.strip() for line in (text or "").splitlines() if line.strip()]
    return lines[-1] if lines else ""
