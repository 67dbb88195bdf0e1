"""Why a process failed: the deepest reason, in one line.

A WorkChain that failed says what it was doing, and not why: the reason stands in a child of a child, as an exit
message, an exception, or the last words of a job. AiiDA shows the level at which one asks.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from aiida import orm

#: States in which a process has ended otherwise than by finishing.
BROKEN = ("excepted", "killed")
#: What the scheduler's error stream says is cut at so many characters.
LONGEST = 300
STDERR = "_scheduler-stderr.txt"

_ROW = {
    "id": "pk", "attributes.process_label": "label", "attributes.process_state": "state",
    "attributes.exit_status": "exit_status", "attributes.exit_message": "exit_message",
    "attributes.exception": "exception", "attributes.process_status": "status",
}  # fmt: skip


@dataclass(frozen=True)
class Reason:
    """Where and why a process failed first.

    Parameters
    ----------
    pk : int
    label : str
        What kind of process it is.
    text : str
        One line.
    """

    pk: int
    label: str
    text: str

    def __str__(self) -> str:
        return f"{self.label}<{self.pk}> {self.text}"


def deepest_reason(process: orm.ProcessNode | int) -> Reason | None:
    """Return the deepest reason for the failure of a process; None if it did not fail, or has not ended.

    Of several children that failed the last one is followed: those before it were tried again, or borne. One statement
    for each level of calls.
    """
    pk = process if isinstance(process, int) else process.pk
    row = next(iter(_rows(orm.QueryBuilder().append(orm.ProcessNode, filters={"id": pk}, project=list(_ROW)))), None)
    if row is None or not _failed(row):
        return None
    while child := _last_failure_below(row["pk"]):
        row = child
    return Reason(row["pk"], row["label"] or "process", _text(row))


def _last_failure_below(pk: int) -> dict[str, Any] | None:
    builder = orm.QueryBuilder().append(orm.WorkflowNode, filters={"id": pk}, tag="caller")
    builder.append(orm.ProcessNode, with_incoming="caller", project=list(_ROW))
    failed = [row for row in _rows(builder) if _failed(row)]
    return max(failed, key=lambda row: row["pk"], default=None)


def _rows(builder: orm.QueryBuilder) -> list[dict[str, Any]]:
    return [dict(zip(_ROW.values(), values, strict=True)) for values in builder.iterall()]


def _failed(row: dict[str, Any]) -> bool:
    return row["state"] in BROKEN or (row["state"] == "finished" and bool(row["exit_status"]))


def _text(row: dict[str, Any]) -> str:
    told = said(row)
    words = _last_words(row["pk"]) if row["state"] == "finished" else ""
    return f"{told} (last words: {words})" if words and words not in told else told


def said(row: dict[str, Any]) -> str:
    """Return what a process that failed says of it, in one line.

    Parameters
    ----------
    row : dict
        ``state``, ``status``, ``exception``, ``exit_status`` and ``exit_message``.
    """
    if row["state"] == "killed":
        return f"was killed{': ' + _last_line(row['status']) if row['status'] else ''}"
    if row["state"] == "excepted":
        return f"broke off: {_last_line(row['exception']) or 'without a word'}"
    return f"failed [{row['exit_status']}]: {_last_line(row['exit_message']) or 'no message'}"


def _last_words(pk: int) -> str:
    """Return the last line that a job wrote to its error stream, if it is one and did."""
    node = orm.load_node(pk)
    if not isinstance(node, orm.CalcJobNode):
        return ""
    try:
        return _last_line(node.outputs.retrieved.get_object_content(STDERR))[:LONGEST]
    except (AttributeError, OSError, UnicodeDecodeError):
        return ""


def _last_line(text: str | None) -> str:
    lines = [line.strip() for line in (text or "").splitlines() if line.strip()]
    return lines[-1] if lines else ""
