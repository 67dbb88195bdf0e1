"""The report: one HTML file that opens from disk with the network off."""

import base64
import hashlib
import json
import math
from collections.abc import Mapping
from importlib import resources
from typing import Any

import yaml
from jinja2 import Environment
from markupsafe import Markup

from aiida_haml.report.data import Candidate, ReportData
from aiida_haml.report.figures import viewer_data
from aiida_haml.report.gallery import MAX_DETAILED, MAX_TOGETHER, gallery, in_order

TEACHER = "TEACHER"
PIPELINE_ONLY = "pipeline only"
#: Levels of theory that show that the pipeline runs, and nothing of chemistry.
PIPELINE_LEVELS = ("gfn1-xtb",)
#: Pairs of candidates, and clusters of each, in the table of what sets them apart.
MAX_PAIRS, MAX_CLUSTERS = 10, 3
LIMITS = {"together": MAX_TOGETHER, "detailed": MAX_DETAILED, "clusters": MAX_CLUSTERS}


def render(data: ReportData) -> str:
    """Return the report of a screen as one self-contained HTML page.

    Parameters
    ----------
    data : ReportData

    Returns
    -------
    str
        Same data, same text. Everything that comes from the database is escaped; the one script is the package's own,
        no other may run, and nothing comes from the network.
    """
    environment = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {"number": number, "estimate": estimate, "words": words}
    drawn = gallery(data)
    viewer = _source("viewer.js")
    return environment.from_string(_source("report.html.j2")).render(
        data=data,
        rows=list(data.ranking.get("candidates", [])),
        metrics=data.ranking.get("metrics", {}),
        mark=mark(data),
        teacher=TEACHER,
        drawn=drawn,
        pictures={drawing.name: Markup(drawing.svg()) for drawing in drawn},
        ordered=in_order(data),
        places={candidate.key: place for place, (candidate, _) in enumerate(drawn.candidates, start=1)},
        limits=LIMITS,
        differences=differences(data),
        transport=[(candidate, facts) for candidate in in_order(data) if (facts := transport(candidate))],
        cells=safe_json(viewer_data(drawn.viewed)) if drawn.viewed else None,
        viewer=Markup(viewer),
        viewer_hash=base64.b64encode(hashlib.sha256(viewer.encode()).digest()).decode(),
        spec=yaml.safe_dump(_plain(data.spec), sort_keys=False, allow_unicode=True) if data.spec else "",
    )


def mark(data: ReportData) -> str | None:
    """Return the warning that goes with all numbers: `TEACHER`, `PIPELINE_ONLY` or None."""
    if data.level.engine == "teacher" or data.ranking.get("teacher"):
        return TEACHER
    return PIPELINE_ONLY if data.level.name in PIPELINE_LEVELS else None


def differences(data: ReportData) -> list[Mapping[str, Any]]:
    """Return the pairs of candidates whose environments are compared: those of the best one first."""
    pairs = list(data.ranking.get("differences") or [])
    best = next((row["label"] for row in data.ranking.get("candidates", [])), None)
    return sorted(pairs, key=lambda pair: best not in pair["labels"])[:MAX_PAIRS]


def transport(candidate: Candidate) -> dict[str, Any]:
    """Return what is known of diffusion, broken bonds and fragments of a candidate; nothing if nothing is."""
    series = candidate.series
    found: dict[str, Any] = {}
    for way in ("plane", "normal"):
        if f"li_diffusivity_{way}_cm2_s" in series:
            value, low, high = (float(v) for v in series[f"li_diffusivity_{way}_cm2_s"])
            reason = str(series.get(f"li_diffusivity_{way}_reason", ""))
            found[way] = {"value": value, "interval": [low, high], "reason": reason}
    if len(series.get("broken_bonds", ())):
        found["broken_bonds"] = float(series["broken_bonds"][-1])
    if "fragments" in series:
        pieces = zip(series["fragments"], series["fragment_counts"], strict=True)
        found["fragments"] = ", ".join(f"{int(count)} {formula}" for formula, count in pieces)
    return found


def safe_json(value: Any) -> Markup:
    """Return JSON that can stand inside a script element: nothing in it ends the element or starts a comment."""
    text = json.dumps(value, separators=(",", ":"), allow_nan=False)
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)


def number(value: float | None, digits: int = 3) -> str:
    """Return a number for a reader; a dash for what is not known."""
    if not isinstance(value, (int, float)) or not math.isfinite(value):
        return "\N{EN DASH}"
    return f"{value:.{digits}g}" if abs(value) < 10**digits else f"{value:,.0f}"


def estimate(value: Any) -> Markup:
    """Return a number, with its interval under it where it comes with one (``value``, ``interval``)."""
    if not isinstance(value, Mapping):
        return Markup(number(value))
    interval = value.get("interval")
    if not interval or any(v is None for v in interval):
        return Markup(number(value.get("value")))
    low, high = (number(v) for v in interval)  # numbers alone: nothing here needs to be escaped
    return Markup(f'{number(value.get("value"))}<span class="range">{low} … {high}</span>')


def words(name: Any) -> str:
    """Return a name from the data as words."""
    return str(name).replace("_", " ")


def _source(name: str) -> str:
    return resources.files("aiida_haml.report").joinpath(name).read_text(encoding="utf-8")


def _plain(value: Any) -> Any:
    """Return plain containers, which YAML writes without tags."""
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    return value if isinstance(value, (str, int, float, bool, type(None))) else str(value)
