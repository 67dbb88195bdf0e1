"""Commands on screens: submit, status, watch, rank, report."""

from __future__ import annotations

import csv
import io
import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from aiida_haml.cli.consent import need_consent
from aiida_haml.cli.files import file_name, writing
from aiida_haml.cli.messages import Refusal, echo
from aiida_haml.cli.root import find_node_or_group, profile_name, with_profile
from aiida_haml.cli.submission import load_checked, print_candidates

if TYPE_CHECKING:
    from aiida.orm import WorkChainNode

    from aiida_haml.queries.progress import ProcessState, Progress
    from aiida_haml.spec import ScreenSpec

#: Seconds between two looks at a running screen, and between two lines that say that it still runs.
POLL, HEARTBEAT = 2.0, 30.0


@click.group()
def screen() -> None:
    """Submit screens, follow them, and read their ranking.

    SCREEN is a pk, a UUID or the name in the specification; the newest screen where it is left out.
    """


# -- submit ------------------------------------------------------------------------------------------------


@screen.command()
@click.argument("spec", metavar="SPEC.yaml", type=click.Path(path_type=Path))
@click.option("--dry-run", "how", flag_value="dry-run", help="Check everything, print the candidates, store nothing.")
@click.option("--run", "how", flag_value="run", help="Run here and now, without the daemon.")
@click.option(
    "--resume",
    "how",
    flag_value="resume",
    help="Take up an unfinished screen of this name instead of a second one.",
)
@click.option("--yes", is_flag=True, help="Agree to codes and shell lines that are new to you, without being asked.")
@with_profile
def submit(spec: Path, how: str | None, yes: bool) -> None:
    """Check SPEC.yaml and submit the screen that it describes.

    Codes that you did not set up, and lines for the shell in the specification, are shown and run only if you agree.
    """
    checked = load_checked(spec)
    loaded = checked.spec
    if how == "dry-run":
        print_candidates(checked)
        return
    need_consent(checked.shell_texts, yes)
    unfinished = _unfinished(loaded.name) if how == "resume" else None
    if unfinished is not None:
        echo(f"screen <{unfinished.pk}> '{loaded.name}' is unfinished and goes on")
        return
    node = _start(loaded, in_process=how == "run")
    echo(f"screen <{node.pk}> '{loaded.name}' with {len(loaded.candidates())} candidates: {node.uuid}")


def _unfinished(name: str) -> WorkChainNode | None:
    from aiida_haml.queries.progress import find_screens

    return next(iter(find_screens(name, unfinished=True)), None)


def _start(spec: ScreenSpec, in_process: bool) -> Any:
    """Run or submit the screen and put it into the group of its name."""
    from aiida.engine import run_get_node
    from aiida.engine import submit as submit_

    from aiida_haml.groups import ScreenGroup
    from aiida_haml.report.collect import SPEC_EXTRA
    from aiida_haml.workchains.screen import ScreenWorkChain

    try:
        builder = ScreenWorkChain.get_builder_from_spec(spec)
    except ValueError as error:
        raise Refusal(f"the specification is refused: {error}") from error
    builder.metadata.label = spec.name
    node = run_get_node(builder)[1] if in_process else submit_(builder)
    node.base.extras.set(SPEC_EXTRA, spec.model_dump(mode="json"))
    group, _ = ScreenGroup.collection.get_or_create(label=spec.name)
    group.add_nodes(node)
    return node


# -- follow ------------------------------------------------------------------------------------------------


@screen.command("pk")
@click.argument("screen", required=False)
@with_profile
def print_pk(screen: str | None) -> None:
    """Print the pk of SCREEN, for scripts."""
    echo(_find(screen).pk)


@screen.command()
@click.argument("screen", required=False)
@with_profile
def status(screen: str | None) -> None:
    """Show each candidate of SCREEN: its state, cycle, segments and simulated time."""
    from aiida_haml.queries.progress import progress

    now = progress(_find(screen))
    echo(f"screen <{now.screen.pk}>: {now.screen.verdict}")
    _print_progress(now)


@screen.command()
@click.argument("screen", required=False)
@click.pass_context
@with_profile
def watch(context: click.Context, screen: str | None) -> None:
    """Follow SCREEN until it ends; exit with 1 if it failed. Ctrl-C stops watching, not the screen."""
    from aiida_haml.queries.progress import progress

    node = _find(screen)
    seen: dict[int, str] = {}
    begin = last = time.monotonic()
    while True:
        now = progress(node)
        lines = [line for state in now.processes if (line := _event(state, seen))]
        if not lines and time.monotonic() - last > HEARTBEAT and not now.screen.ended:
            lines = [f"running: {_running(now)}"]
        for line in lines:
            echo(f"[{_clock(time.monotonic() - begin)}] {line}")
            last = time.monotonic()
        if now.screen.ended:
            break
        time.sleep(POLL)
    echo(f"screen <{now.screen.pk}>: {now.screen.verdict}")
    _print_progress(now)
    context.exit(0 if now.screen.ok else 1)


def _find(identifier: str | None) -> WorkChainNode:
    """Return the screen with a pk, a UUID or a name; the newest one for None."""
    from aiida_haml.groups import ScreenGroup
    from aiida_haml.queries.progress import SCREEN, find_screens

    if identifier is None or (named := find_screens(identifier)):
        found = find_screens() if identifier is None else named
        if not found:
            raise Refusal(f"Profile '{profile_name()}' has no screen yet; start one with 'aiida-haml screen submit'.")
        return found[0]
    node: Any = find_node_or_group(identifier)
    if isinstance(node, ScreenGroup) and not node.is_empty:
        return max(node.nodes, key=lambda n: n.pk)
    if getattr(node, "process_type", None) != SCREEN:
        raise Refusal(f"'{identifier}' is {type(node).__name__}, not a screen.")
    return node


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
    return "; ".join(parts) or "preparing the next step"


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 60:3d}:{int(seconds) % 60:02d}"


def _print_progress(now: Progress) -> None:
    width = max([len(c.slug) for c in now.candidates] + [9])
    echo(f"{'candidate':<{width}}  {'cycle':>5}  {'bursts':>6}  {'stretches':>9}  {'fs':>8}  state")
    for c in now.candidates:
        state = c.process.verdict if c.process else "waiting"
        state += f" ({', '.join(c.running)})" if c.running else ""
        numbers = f"{c.cycle:>5}  {c.n_bursts:>6}  {c.n_stretches:>9}  {c.simulated_fs:>8.1f}"
        echo(f"{c.slug:<{width}}  {numbers}  {state}")


# -- results -----------------------------------------------------------------------------------------------


@screen.command()
@click.argument("screen", required=False)
@click.option(
    "--format",
    "form",
    type=click.Choice(["table", "json", "csv"]),
    default="table",
    show_default=True,
    help="Form.",
)
@with_profile
def rank(screen: str | None, form: str) -> None:
    """Print the ranking of SCREEN."""
    node = _find(screen)
    ranking = _ranking(node)
    if form == "json":
        echo(json.dumps(ranking, indent=2, sort_keys=True))
    elif form == "csv":
        echo(_csv(ranking), nl=False)
    else:
        _print_ranking(ranking, node.outputs.ranking.pk)


def _ranking(node: WorkChainNode) -> dict[str, Any]:
    if "ranking" not in node.outputs:
        state = node.process_state.value if node.process_state else "new"
        raise Refusal(
            f"Screen <{node.pk}> has no ranking; it is {state}. "
            f"See 'aiida-haml screen status {node.pk}' and 'verdi process report {node.pk}'."
        )
    return node.outputs.ranking.get_dict()


def _csv(ranking: dict[str, Any]) -> str:
    metrics = list(ranking["metrics"])
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    units = [f"{m} [{ranking['metrics'][m].get('unit', '')}]" for m in metrics]
    writer.writerow(["rank", "label", "score", "low", "high", "simulated_fs", "status", *units])
    for c in ranking["candidates"]:
        low, high = c.get("interval") or (None, None)
        values = [c["metrics"].get(m) for m in metrics]
        writer.writerow([c.get("rank"), c["label"], c.get("score"), low, high, c["simulated_fs"], c["status"], *values])
    return text.getvalue()


def _print_ranking(ranking: dict[str, Any], pk: int) -> None:
    """Print the table, each metric with its unit, its weight and which way is better."""
    if ranking.get("teacher"):
        echo("TEACHER: the labels are not ab initio; this ranking is a rehearsal and decides nothing.")
    width = max(len(c["label"]) for c in ranking["candidates"]) + 2
    echo(f"{'rank':>4}  {'candidate':<{width}}{'score':>8}  {'interval':<18}{'fs':>9}  status")
    for c in sorted(ranking["candidates"], key=lambda c: (c.get("rank") is None, c.get("rank"))):
        low, high = c.get("interval") or (None, None)
        head = f"{c.get('rank') or '-':>4}  {c['label']:<{width}}{_number(c.get('score')):>8}"
        tied = f"; not told apart from {', '.join(c['tied_with'])}" if c.get("tied_with") else ""
        interval = f"[{_number(low)}, {_number(high)}]"
        echo(f"{head}  {interval:<18}{c['simulated_fs']:>9.1f}  {c['status']}{tied}")
        for name, value in c["metrics"].items():
            echo(f"        {_metric_line(name, value, ranking['metrics'][name], c.get('parts', {}).get(name))}")
        if growth := c.get("kinetics"):
            echo(f"        {_growth_line(growth)}")
    for warning in ranking.get("warnings", []):
        echo(f"! {warning}")
    echo(f"level of theory {ranking.get('level_of_theory')}; walk it back with 'aiida-haml trace {pk}'")


def _metric_line(name: str, value: float | None, metric: dict[str, Any], part: float | None) -> str:
    share = "" if part is None else f"  adds {_number(part)}"
    meaning = f"({metric['direction']} is better, weight {_number(metric['weight'])})"
    return f"{name}: {_number(value)} {metric.get('unit', '')} {meaning}{share}"


def _growth_line(growth: dict[str, Any]) -> str:
    """Return the growth law and its rate constant, or why there is none."""
    if (rate := growth.get("rate_per_ps")) is None:
        return f"growth: {growth['model']}{': ' + growth['reason'] if growth.get('reason') else ''}"
    low, high = rate["interval"]
    return (
        f"growth: {growth['model'].replace('_', ' ')}, {_number(rate['value'])} [{_number(low)}, {_number(high)}] /ps"
    )


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g}"


@screen.command()
@click.argument("screen", required=False)
@click.option("-o", "--output", type=click.Path(path_type=Path), default=None, help="Path of the HTML file.")
@click.option(
    "--figures",
    type=click.Path(path_type=Path, file_okay=False),
    default=None,
    help="Folder for the figures of the report too, each as SVG and PDF.",
)
@with_profile
def report(screen: str | None, output: Path | None, figures: Path | None) -> None:
    """Write the report of SCREEN as one self-contained HTML file."""
    from aiida_haml.report import render, write_figures
    from aiida_haml.report.collect import collect

    node = _find(screen)
    _ranking(node)
    path = output or Path(f"screen-{file_name(node.label or 'report')}-{node.pk}.html")
    data = collect(node)
    with writing(path):
        path.write_text(render(data), encoding="utf-8")
    echo(f"wrote {path}")
    if figures is not None:
        echo(f"wrote {len(write_figures(data, figures))} files into {figures}")
