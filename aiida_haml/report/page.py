"""The report: one HTML file that opens from disk with the network off."""

from __future__ import annotations

import math
from collections.abc import Mapping
from importlib import resources
from typing import Any

import yaml
from jinja2 import Environment
from markupsafe import Markup

from aiida_haml.report import figures
from aiida_haml.report.data import Candidate, ReportData

#: Candidates drawn together, and drawn by themselves: the rest is in the tables.
MAX_TOGETHER = 12
MAX_DETAILED = 8
TEACHER = "TEACHER"
PIPELINE_ONLY = "pipeline only"
#: Levels of theory that show that the pipeline runs, and nothing of chemistry.
PIPELINE_LEVELS = ("gfn1-xtb",)


def render(data: ReportData) -> str:
    """Return the report of a screen as one self-contained HTML page.

    Parameters
    ----------
    data : ReportData

    Returns
    -------
    str
        Same data, same text. Everything that comes from the database is escaped; no script, nothing from the
        network.
    """
    environment = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.filters["number"] = number
    source = resources.files("aiida_haml.report").joinpath("report.html.j2").read_text(encoding="utf-8")
    rows = list(data.ranking.get("candidates", []))
    return environment.from_string(source).render(
        data=data,
        rows=rows,
        metrics=data.ranking.get("metrics", {}),
        mark=mark(data),
        teacher=TEACHER,
        pictures=pictures(data, rows),
        n_hidden=max(0, len(data.candidates) - MAX_DETAILED),
        spec=yaml.safe_dump(_plain(data.spec), sort_keys=False, allow_unicode=True) if data.spec else "",
    )


def mark(data: ReportData) -> str | None:
    """Return the warning that goes with all numbers: `TEACHER`, `PIPELINE_ONLY` or None."""
    if data.level.engine == "teacher" or data.ranking.get("teacher"):
        return TEACHER
    return PIPELINE_ONLY if data.level.name in PIPELINE_LEVELS else None


def pictures(data: ReportData, rows: list[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the figures that the data allows, by name; those of single candidates under 'candidates'."""
    found: dict[str, Any] = {}
    ranked = [row for row in rows if row.get("rank") is not None]
    place = {row["label"]: i for i, row in enumerate(rows)}
    ordered = sorted(data.candidates, key=lambda c: (place.get(c.label, len(place)), c.key))
    described = [c for c in ordered if len(c.series.get("time", ()))]
    if ranked:
        found["scores"] = Markup(figures.scores(ranked))
    if described:
        found["comparison"] = Markup(figures.comparison(described[:MAX_TOGETHER]))
    if any(c.cycles for c in ordered):
        found["learning"] = Markup(figures.learning([c for c in ordered if c.cycles][:MAX_TOGETHER]))
    if data.cost is not None and data.cost.kinds:
        found["cost"] = Markup(figures.costs(data.cost))
    if len(rows) > 2 and data.ranking.get("distances"):
        found["tree"] = Markup(figures.tree([row["label"] for row in rows], data.ranking["distances"]))
    found["candidates"] = [(c, _timeline(c, i)) for i, c in enumerate(ordered[:MAX_DETAILED])]
    return found


def _timeline(candidate: Candidate, index: int) -> Markup | None:
    if not len(candidate.series.get("time", ())):
        return None
    return Markup(figures.trajectory(candidate, f"candidate{index}"))


def number(value: float | None, digits: int = 3) -> str:
    """Return a number for a reader; a dash for what is not known."""
    if value is None or not math.isfinite(value):
        return "\N{EN DASH}"
    return f"{value:.{digits}g}" if abs(value) < 10**digits else f"{value:,.0f}"


def _plain(value: Any) -> Any:
    """Return plain containers, which YAML writes without tags."""
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    return value if isinstance(value, (str, int, float, bool, type(None))) else str(value)
