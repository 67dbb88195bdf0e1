"""Commands on the hybrid dynamics: the story of its rounds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import click

from aiida_haml.cli.messages import Refusal, echo
from aiida_haml.cli.root import find_process, with_profile


@click.group()
def hybrid() -> None:
    """Look into the rounds of hybrid dynamics."""


@hybrid.command()
@click.argument("process", metavar="PK")
@with_profile
def explain(process: str) -> None:
    """Tell, round by round and candidate by candidate, what was tried, what truth said, and what it taught.

    PK is a screen or a hybrid run that has ended.
    """
    node = find_process(process)
    trajectories = node.outputs.trajectories if "trajectories" in node.outputs else {}
    histories = {slug: outputs["history"].get_dict() for slug, outputs in trajectories.items() if "history" in outputs}
    told = {slug: history for slug, history in histories.items() if "rounds" in history}
    if not told:
        raise Refusal(f"{node.process_label}<{node.pk}> has no history; give a screen or hybrid run that has ended.")
    for slug, history in told.items():
        for line in story(slug, history):
            echo(line)


def story(slug: str, history: Mapping[str, Any]) -> Iterator[str]:
    """Yield the lines that tell a candidate's history."""
    yield f"{slug}: {history['simulated_fs']:g} fs, {history['n_labels']} labels"
    for entry in history["rounds"]:
        yield f"  round {entry['round']:>3}  {_tried(entry)}"
        yield f"             {entry['reason']}"
        if entry.get("force_rmse") is not None:
            errors = f"{1000 * entry['force_rmse']:.0f} meV/A, worst atom {1000 * entry['force_max']:.0f}"
            yield f"             truth: {errors}, from {entry['n_points']} labels of {entry['n_labels']}"
        if entry.get("learning"):
            yield f"             learner: {entry['learning']['reason']}"
        yield f"             at {entry['reached_fs']:g} fs (+{entry['advanced_fs']:g})"
    if history.get("ended_because"):
        yield f"  {history['ended_because']}"


def _tried(entry: Mapping[str, Any]) -> str:
    """Say what the plan asked for and what the stretch did."""
    planned, stretch = entry.get("planned") or {}, entry.get("stretch")
    if stretch is None:
        return f"a burst of {planned.get('n_burst', '?')} steps, no stretch"
    ended = f"ended by {stretch['stopped_by']}" if stretch.get("stopped_by") else "ran through"
    return f"a stretch of {planned.get('n_stretch', '?')} steps, {ended}, trusted up to step {stretch['trusted_steps']}"
