"""Commands that go on with a screen: longer, with more candidates, again, or with what there is so far."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from aiida_haml.cli.consent import agree_to_go_on, need_consent
from aiida_haml.cli.control import play_all, unended
from aiida_haml.cli.messages import Refusal, echo
from aiida_haml.cli.root import with_profile
from aiida_haml.cli.screen import announce, find_screen, screen, start
from aiida_haml.cli.submission import load_checked

if TYPE_CHECKING:
    from aiida.orm import WorkChainNode

    from aiida_haml.queries.timelines import TimeLines


@screen.command()
@click.argument("screen", required=False)
@click.option("--simulated-fs", type=click.FloatRange(min=0, min_open=True), required=True, help="Time to reach, fs.")
@click.option("--run", "in_process", is_flag=True, help="Run here and now, without the daemon.")
@click.option("--yes", is_flag=True, help="Agree to codes and shell lines that are new to you, without being asked.")
@with_profile
def extend(screen: str | None, simulated_fs: float, in_process: bool, yes: bool) -> None:
    """Follow the candidates of SCREEN for longer, from where their time lines end."""
    if not math.isfinite(simulated_fs):  # which click's range lets pass
        raise Refusal(f"--simulated-fs is {simulated_fs}; give the time to reach in fs.")
    node = find_screen(screen)
    agree_to_go_on(node, yes)
    builder = _again(node, simulated_fs)
    announce(start(builder, in_process), f"goes on from <{node.pk}> to {simulated_fs:g} fs")


@screen.command()
@click.argument("screen")
@click.argument("spec", metavar="SPEC.yaml", type=click.Path(path_type=Path))
@click.option("--run", "in_process", is_flag=True, help="Run here and now, without the daemon.")
@click.option("--yes", is_flag=True, help="Agree to codes and shell lines that are new to you, without being asked.")
@with_profile
def add(screen: str, spec: Path, in_process: bool, yes: bool) -> None:
    """Follow the candidates of SPEC.yaml that SCREEN lacks, in the same learner, and rank all of them.

    SPEC.yaml holds the old candidates and the new ones. The old ones are not followed again.
    """
    from aiida_haml.queries.timelines import time_lines
    from aiida_haml.workchains.screen import ScreenWorkChain

    node = find_screen(screen)
    checked = load_checked(spec)
    need_consent(checked.shell_texts, yes)
    builder = ScreenWorkChain.get_builder_from_spec(checked.spec)
    known = _take_over(builder, node, time_lines(node))
    new = sorted(set(builder.candidates) - known)
    if not new:
        raise Refusal(f"{spec} holds no candidate that screen <{node.pk}> does not have.")
    announce(start(builder, in_process), f"adds {', '.join(new)} to the {len(known)} of <{node.pk}>")


@screen.command()
@click.argument("screen", required=False)
@click.option("--run", "in_process", is_flag=True, help="Run here and now, without the daemon.")
@click.option("--yes", is_flag=True, help="Agree to codes and shell lines that are new to you, without being asked.")
@with_profile
def retry(screen: str | None, in_process: bool, yes: bool) -> None:
    """Go on with the candidates of SCREEN that failed or ended too soon; the others are ranked as they are."""
    node = find_screen(screen)
    agree_to_go_on(node, yes)
    builder = _again(node, node.inputs.settings["hybrid"]["simulated_fs"])
    announce(start(builder, in_process), f"tries again what <{node.pk}> did not bring to its end")


@screen.command("rank-so-far")
@click.argument("screen", required=False)
@click.option("--run", "in_process", is_flag=True, help="Run here and now, without the daemon.")
@click.option("--yes", is_flag=True, help="Agree to codes and shell lines that are new to you, without being asked.")
@with_profile
def rank_so_far(screen: str | None, in_process: bool, yes: bool) -> None:
    """Rank the candidates of SCREEN by what the judge has accepted of them until now; SCREEN itself goes on.

    The ranking belongs to a screen of its own, which follows nothing any further.
    """
    node = find_screen(screen)
    agree_to_go_on(node, yes)
    builder = _again(node, None)
    announce(start(builder, in_process), f"ranks what <{node.pk}> has brought so far")


def _again(node: WorkChainNode, simulated_fs: float | None) -> Any:
    """Return a builder that goes on from the time lines of a screen; None follows them no further."""
    from aiida.orm import Dict

    from aiida_haml.queries.timelines import time_lines

    lines = time_lines(node)
    builder = _restart(node)
    if simulated_fs is None:
        if not lines.slugs:
            raise Refusal(f"Screen <{node.pk}> has no time line yet; wait for its first round.")
        ends = [max(_end(lines, slug), 1.0) for slug in lines.slugs]
        simulated_fs = min(ends)
        builder.candidates = {slug: builder.candidates[slug] for slug in lines.slugs}
    settings = node.inputs.settings.get_dict()
    settings["hybrid"]["simulated_fs"] = simulated_fs
    builder.settings = Dict(settings)
    _take_over(builder, node, lines)
    return builder


def _restart(node: WorkChainNode) -> Any:
    """Return a builder of the inputs of a screen, but for its time lines.

    AiiDA's own sets each job's options whole, and then misses those that were left to their defaults.
    """
    from aiida.common.links import LinkType

    from aiida_haml.handover import given_options
    from aiida_haml.workchains.job import fill

    builder: Any = node.process_class.get_builder()
    inputs = node.base.links.get_incoming(link_type=LinkType.INPUT_WORK).nested()
    fill(builder, {name: value for name, value in inputs.items() if name not in ("segments", "plans", "verdicts")})
    fill(builder, {kind: {"job": {"metadata": {"options": o}}} for kind, o in given_options(node).items()})
    fill(builder.metadata, {"label": node.label, "description": node.description})
    return builder


def _end(lines: TimeLines, slug: str) -> float:
    names = [name for name in lines.segments if name.startswith(f"{slug}__")]
    return float(lines.segments[max(names)].base.attributes.get("time_end"))


def _take_over(builder: Any, node: WorkChainNode, lines: TimeLines) -> set[str]:
    """Hand time lines, pool and potential of a screen to the next one; return the candidates that it knows."""
    same = {
        slug
        for slug, given in node.inputs.candidates.items()
        if slug in builder.candidates and builder.candidates[slug].get_dict() == given.get_dict()
    }
    segments = {name: frames for name, frames in lines.segments.items() if name.partition("__")[0] in same}
    if segments:
        builder.segments = segments
    elements = set(builder.settings["learning"]["elements"] or [])
    for name in ("pool", "potential", "calibration"):
        value = getattr(lines, name)
        if value is not None and (name != "potential" or elements == set(value.elements)):
            builder[name] = value
    if builder.potential is not None:  # without one the next run begins with labels, as any first one
        builder.plans = {slug: node for slug, node in lines.plans.items() if slug in same}
        builder.verdicts = {slug: node for slug, node in lines.verdicts.items() if slug in same}
    histories = {}
    for slug, outputs in node.outputs.trajectories.items() if "trajectories" in node.outputs else ():
        if slug in same and "history" in outputs:
            histories[slug] = outputs["history"]
    if histories:
        builder.histories = histories
    return {name.partition("__")[0] for name in segments}


# -- processes ---------------------------------------------------------------------------------------------


@screen.command()
@click.argument("screen", required=False)
@with_profile
def pause(screen: str | None) -> None:
    """Pause SCREEN: jobs that run end, and no new ones are started."""
    from aiida.engine.processes.control import pause_processes

    node = find_screen(screen)
    pause_processes(unended(node), msg_text="Paused by aiida-haml screen pause")
    echo(f"screen <{node.pk}> is paused; 'aiida-haml screen play {node.pk}' goes on")


@screen.command()
@click.argument("screen", required=False)
@with_profile
def play(screen: str | None) -> None:
    """Let a paused SCREEN go on."""
    node = find_screen(screen)
    play_all(node)
    echo(f"screen <{node.pk}> goes on")


@screen.command()
@click.argument("screen", required=False)
@click.confirmation_option(prompt="End the screen and its running jobs?")
@with_profile
def kill(screen: str | None) -> None:
    """End SCREEN and its jobs; what it has finished stays, and 'screen retry' goes on from it."""
    from aiida.engine.processes.control import kill_processes

    node = find_screen(screen)
    kill_processes([node], msg_text="Killed by aiida-haml screen kill", force=False)
    echo(f"screen <{node.pk}> is ended; 'aiida-haml screen retry {node.pk}' goes on from what it has")
