"""Commands that follow a screen: pk, status, watch."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import click

from aiida_haml.cli.messages import echo
from aiida_haml.cli.root import with_profile
from aiida_haml.cli.screen import NO_DAEMON, daemon_runs, failure, find_screen, screen

if TYPE_CHECKING:
    from aiida.orm import WorkChainNode

    from aiida_haml.queries.progress import ProcessState, Progress

#: Seconds between two looks at a running screen, and between two lines that say that it still runs.
POLL, HEARTBEAT = 2.0, 30.0


@screen.command("pk")
@click.argument("screen", required=False)
@with_profile
def print_pk(screen: str | None) -> None:
    """Print the pk of SCREEN, for scripts."""
    echo(find_screen(screen).pk)


@screen.command()
@click.argument("screen", required=False)
@click.pass_context
@with_profile
def status(context: click.Context, screen: str | None) -> None:
    """Show each candidate of SCREEN: its state, round, segments and simulated time; exit with 1 if it failed."""
    from aiida_haml.queries.progress import progress

    node = find_screen(screen)
    _end(context, node, progress(node))


@screen.command()
@click.argument("screen", required=False)
@click.pass_context
@with_profile
def watch(context: click.Context, screen: str | None) -> None:
    """Follow SCREEN until it ends; exit with 1 if it failed. Ctrl-C stops watching, not the screen."""
    from aiida_haml.queries.progress import progress

    node = find_screen(screen)
    seen: dict[int, str] = {}
    begin = last = time.monotonic()
    now = None
    while True:
        now = progress(node, now)
        lines = [line for state in now.processes if (line := _event(state, seen))]
        if not lines and time.monotonic() - last > HEARTBEAT and not now.screen.ended:
            lines = [f"running: {_running(now)}"]
        for line in lines:
            echo(f"[{_clock(time.monotonic() - begin)}] {line}")
            last = time.monotonic()
        if now.screen.ended:
            break
        time.sleep(POLL)
    _end(context, node, now)


def _end(context: click.Context, node: WorkChainNode, now: Progress) -> None:
    """Show where a screen is, and leave with 1 and the deepest reason if it failed."""
    echo(f"screen <{now.screen.pk}>: {now.screen.verdict}")
    _print_progress(now)
    if now.screen.ended and not now.screen.ok:
        echo(failure(node), err=True)
        context.exit(1)


def _event(state: ProcessState, seen: dict[int, str]) -> str | None:
    """Return a line if a job started or ended since the last look; workflows speak only when they fail."""
    stage = state.verdict if state.ended else "started"
    if seen.get(state.pk) == stage:
        return None
    seen[state.pk] = stage
    if state.kind is None and (not state.ended or state.ok):
        return None
    where = f"{state.candidate}: " if state.candidate else ""
    took = f" in {(state.changed - state.started).total_seconds():.0f} s" if state.ended and not state.cached else ""
    return f"{where}{state.kind or state.label} <{state.pk}> {stage}{took}"


def _running(now: Progress) -> str:
    parts = [f"{c.slug} {', '.join(c.running)} ({c.simulated_fs:.0f} fs)" for c in now.candidates if c.running]
    parts += [f"for all {', '.join(now.shared)}"] if now.shared else []
    return "; ".join(parts) or ("preparing the next step" if daemon_runs() else NO_DAEMON)


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 60:3d}:{int(seconds) % 60:02d}"


def _print_progress(now: Progress) -> None:
    width = max([len(c.slug) for c in now.candidates] + [9])
    echo(f"{'candidate':<{width}}  {'round':>5}  {'bursts':>6}  {'stretches':>9}  {'fs':>8}  state")
    for c in now.candidates:
        state = c.verdict
        state += f" ({', '.join(c.running)})" if c.running else ""
        numbers = f"{c.round:>5}  {c.n_bursts:>6}  {c.n_stretches:>9}  {c.simulated_fs:>8.1f}"
        echo(f"{c.slug:<{width}}  {numbers}  {state}")
    if now.shared:
        echo(f"for all: {', '.join(now.shared)}")
