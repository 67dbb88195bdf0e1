"""Commands that show what a screen has brought: rank, report."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from aiida_haml.cli.files import file_name, making, table_form, writing
from aiida_haml.cli.messages import Refusal, echo, visible
from aiida_haml.cli.root import with_profile
from aiida_haml.cli.screen import failure, find_ranked_screen, screen

if TYPE_CHECKING:
    from aiida.orm import WorkChainNode


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
    node = find_ranked_screen(screen)
    pk, ranking = _ranking(node)
    if form == "json":
        echo(json.dumps(ranking, indent=2, sort_keys=True))
        return
    _refuse_earlier(ranking)
    if form == "csv":
        echo(_csv(ranking), nl=False)
    else:
        _print_ranking(ranking, pk)


def _refuse_earlier(ranking: dict[str, Any]) -> None:
    """Refuse to show a ranking by another score as if it were one of this version."""
    if not all(isinstance(group, dict) for group in ranking.get("groups", [None])):
        raise Refusal(
            "This ranking was made by an earlier version, whose score rewarded how much had reacted; run the screen "
            "again with caching on, which describes and ranks it anew. Its content is shown by --format json."
        )


def _ranking(node: WorkChainNode) -> tuple[int, dict[str, Any]]:
    """Return the pk and the content of the ranking of a screen, of whose other outputs there may be thousands."""
    from aiida_haml.queries.rows import rows
    from aiida_haml.queries.walks import links_out_of, pk_of

    told = [link.target for link in links_out_of([pk_of(node)], ["return"], ["ranking"])]
    if not told:
        state = node.process_state.value if node.process_state else "new"
        why = failure(node) if node.is_terminated and not node.is_finished_ok else f"it is {state}"
        raise Refusal(f"Screen <{node.pk}> has no ranking; {why}. See 'aiida-haml screen status {node.pk}'.")
    return told[0], rows(told, content="attributes")[told[0]].content


def _csv(ranking: dict[str, Any]) -> str:
    metrics = list(ranking["metrics"])
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    units = [f"{m} [{ranking['metrics'][m].get('unit', '')}]" for m in metrics]
    writer.writerow(["group", "rank", "label", "verdict", "score", "low", "high", "simulated_fs", "status", *units])
    for c in ranking["candidates"]:
        low, high = c.get("interval") or (None, None)
        values = [c["metrics"].get(m) for m in metrics]
        head = [c["group"], c.get("rank"), c["label"], c["verdict"], c.get("score"), low, high]
        writer.writerow([*head, c["simulated_fs"], c["status"], *values])
    return text.getvalue()


def _print_ranking(ranking: dict[str, Any], pk: int) -> None:
    """Print a table for each group of like candidates, each metric with its unit, weight and which way is better."""
    if ranking.get("teacher"):
        echo("TEACHER: the labels are not ab initio; this ranking is a rehearsal and decides nothing.")
    width = max(len(visible(c["label"])) for c in ranking["candidates"]) + 2
    for group in ranking["groups"]:
        echo(visible(group["sentence"]))
        echo(f"{'rank':>4}  {'candidate':<{width}}{'score':>8}  {'interval':<18}{'fs':>9}  verdict")
        for c in (c for c in ranking["candidates"] if c["group"] == group["name"]):
            _print_candidate(c, ranking["metrics"], width)
    for warning in ranking.get("warnings", []):
        echo(f"! {visible(warning)}")
    echo(f"level of theory {ranking.get('level_of_theory')}; walk it back with 'aiida-haml trace {pk}'")


def _print_candidate(c: dict[str, Any], metrics: dict[str, Any], width: int) -> None:
    low, high = c.get("interval") or (None, None)
    head = f"{c.get('rank') or '-':>4}  {visible(c['label']):<{width}}{_number(c.get('score')):>8}"
    tied = f"; not told apart from {', '.join(c['tied_with'])}" if c.get("tied_with") else ""
    interval = f"[{_number(low)}, {_number(high)}]"
    echo(f"{head}  {interval:<18}{c['simulated_fs']:>9.1f}  {visible(c['status'] + tied)}")
    for name, value in c["metrics"].items():
        echo(f"        {_metric_line(name, value, metrics[name], c.get('parts', {}).get(name))}")
    if growth := c.get("kinetics"):
        echo(f"        {_growth_line(growth)}")


def _metric_line(name: str, value: float | None, metric: dict[str, Any], part: float | None) -> str:
    share = "" if part is None else f"  adds {_number(part)}"
    counts = f"weight {_number(metric['weight'])}" if metric["weight"] else "not counted"
    meaning = f"({metric['direction']} is better, {counts})"
    return f"{name}: {_number(value)} {metric.get('unit', '')} {meaning}{share}"


def _growth_line(growth: dict[str, Any]) -> str:
    """Return the growth law and its rate constant, or why there is none."""
    law = growth["law"].replace("_", " ")
    if (rate := growth.get("rate")) is None:
        return f"growth: {law}{': ' + growth['reason'] if growth.get('reason') else ''}"
    low, high = rate["interval"]
    told = f"growth: {law}, {_number(rate['value'])} [{_number(low)}, {_number(high)}] {growth['unit']}"
    known = growth.get("parabolic_nm2_per_h")
    return told if known is None else f"{told} ({_number(known['value'])} nm²/h)"


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

    node = find_ranked_screen(screen)
    _refuse_earlier(_ranking(node)[1])
    path = output or Path(f"screen-{file_name(node.label or 'report')}-{node.pk}.html")
    data = collect(node)
    try:
        page = render(data)
    except ValueError as error:
        raise Refusal(f"screen <{node.pk}> has no report: {error}") from error
    with writing(path):
        path.write_text(page, encoding="utf-8")
    echo(f"wrote {path}")
    if figures is not None:
        echo(f"wrote {len(write_figures(data, figures))} files into {figures}")


@screen.command()
@click.argument("screen", required=False)
@click.option("-o", "--output", type=click.Path(path_type=Path, file_okay=False), required=True, help="Folder.")
@table_form
@with_profile
def tables(screen: str | None, output: Path, form: str) -> None:
    """Write what is known of SCREEN as tables, each a file: faces, cell, phases, profiles, ...; the ranking as CSV."""
    from aiida_haml.analysis.table_files import write_tables
    from aiida_haml.report.collect import described_tables

    node = find_ranked_screen(screen)
    _, ranking = _ranking(node)
    _refuse_earlier(ranking)
    paths = write_tables(making(output), described_tables(node), form)
    path = output / "ranking.csv"
    with writing(path):
        path.write_text(_csv(ranking), encoding="utf-8")
    echo(f"wrote {len(paths) + 1} files into {output}")
