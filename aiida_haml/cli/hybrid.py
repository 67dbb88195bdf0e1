"""Commands on the hybrid dynamics: the story of its rounds."""

import math
from collections.abc import Iterator, Mapping
from typing import Any

import click

from aiida_haml.cli.consent import agree_to_go_on
from aiida_haml.cli.messages import Refusal, echo
from aiida_haml.cli.root import find_process, with_profile
from aiida_haml.cli.screen import failure, run_or_submit
from aiida_haml.cli.submission import refuse_starvation


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
    asked = planned.get("n_stretch", stretch["steps_done"])
    return f"a stretch of {asked} steps, {ended}, trusted up to step {stretch['trusted_steps']}"


@hybrid.command()
@click.argument("process", metavar="PK")
@click.argument("candidate")
@click.option("--repeat", type=click.IntRange(1), nargs=2, default=(3, 3), show_default=True,
              help="Copies of the candidate's cell along its first two vectors.")  # fmt: skip
@click.option("--ps", type=click.FloatRange(min=0, max=1e6, min_open=True), default=10.0, show_default=True,
              help="Time to follow it, ps.")  # fmt: skip
@click.option(
    "--temperature-k", type=click.FloatRange(min=0, max=1e5, min_open=True), help="The candidate's otherwise."
)
@click.option("--run", "in_process", is_flag=True, help="Run here and now, without the daemon.")
@click.option("--yes", is_flag=True, help="Agree to codes and shell lines that are new to you, without being asked.")
@with_profile
def produce(
    process: str,
    candidate: str,
    repeat: tuple[int, int],
    ps: float,
    temperature_k: float | None,
    in_process: bool,
    yes: bool,
) -> None:
    """Follow a wide cell of CANDIDATE with the potential that the screen or hybrid run PK has taught.

    The cell is that from which the candidate's time line starts, repeated along the interface. As it goes, small cells
    are cut out of it and labelled: where truth finds the potential wrong, the run ends.
    """
    from aiida_haml.workchains.production import ProductionWorkChain

    if not math.isfinite(ps):  # which click's range lets pass
        raise Refusal(f"--ps is {ps}; give the time to follow the cell, ps.")
    node = find_process(process)
    agree_to_go_on(node, yes)
    try:
        builder = ProductionWorkChain.get_builder_from_run(node, candidate, (*repeat, 1), 1000.0 * ps, temperature_k)
    except ValueError as error:
        raise Refusal(str(error)) from error
    if not in_process:
        refuse_starvation(builder.max_in_flight.value, 2 * builder.settings["cutouts"]["n_moments"])
    made = run_or_submit(builder, in_process)
    echo(f"production <{made.pk}> of {candidate}, {builder.structure.n_atoms} atoms, {ps:g} ps: {made.uuid}")
    if made.is_terminated and not made.is_finished_ok:
        raise Refusal(failure(made, "production"))
