"""The processes of a screen that have not ended: what pausing, playing and taking up reach."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from aiida.orm import WorkChainNode


def unended(node: WorkChainNode) -> list[Any]:
    """Return a screen and all its processes that have not ended."""
    return [process for process in (node, *node.called_descendants) if not process.is_terminated]


def play_all(node: WorkChainNode) -> None:
    """Let a paused screen go on, with all that is paused below it; a daemon has to run."""
    from aiida.engine.processes.control import play_processes

    play_processes(unended(node))
