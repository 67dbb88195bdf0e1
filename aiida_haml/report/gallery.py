"""Which figures a report has, given its data: the page shows them, and they can be written as files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiida_haml.report import figures
from aiida_haml.report.data import Candidate, ReportData
from aiida_haml.report.figures import Drawing

#: Candidates drawn together, drawn by themselves, and with their fits: the rest is in the tables.
MAX_TOGETHER = 12
MAX_DETAILED = 8
MAX_FITTED = 12
#: Ranked labels in the figures of scores and of likeness.
MAX_LISTED = 60
FORMATS = ("svg", "pdf", "png")


@dataclass(frozen=True, eq=False)
class Gallery:
    """The figures of a report.

    Attributes
    ----------
    shared : mapping
        Name -> figure of all candidates.
    candidates : sequence
        Each candidate that is shown by itself, best first, and its figures: 'time', 'z' and 'cells'.
    viewed : sequence of Candidate
        Those whose cells are shown.
    """

    shared: Mapping[str, Drawing]
    candidates: Sequence[tuple[Candidate, Mapping[str, Drawing]]]
    viewed: Sequence[Candidate]

    def __iter__(self) -> Iterator[Drawing]:
        yield from self.shared.values()
        for _, own in self.candidates:
            yield from own.values()


def gallery(data: ReportData) -> Gallery:
    """Draw all figures that the data allow.

    Parameters
    ----------
    data : ReportData
    """
    ordered = in_order(data)
    detailed = ordered[:MAX_DETAILED]
    own = [(candidate, _own(candidate, place)) for place, candidate in enumerate(detailed, start=1)]
    return Gallery(
        shared={d.name: d for d in _shared(data, ordered)},
        candidates=own,
        viewed=[c for c in detailed if figures.has_cells(c)],
    )


def in_order(data: ReportData) -> list[Candidate]:
    """Return the candidates in the order of the ranking, those that it does not know last."""
    place = {row["label"]: i for i, row in enumerate(data.ranking.get("candidates", []))}
    return sorted(data.candidates, key=lambda c: (place.get(c.label, len(place)), c.key))


def _shared(data: ReportData, ordered: Sequence[Candidate]) -> Iterator[Drawing]:
    yield from _of_ranking(data, ordered)
    described = [c for c in ordered if len(c.series.get("time", ()))]
    if described:
        yield figures.comparison(described[:MAX_TOGETHER])
    moved = [c for c in described if figures.moves(c)]
    if moved:
        yield figures.motion(moved[:MAX_TOGETHER])
    mapped = figures.mapped(ordered)
    if mapped:
        yield figures.environments(mapped)
    taught = [c for c in ordered if c.cycles]
    if taught:
        yield figures.learning(taught[:MAX_TOGETHER])
    if data.cost is not None and data.cost.kinds:
        yield figures.costs(data.cost)


def _of_ranking(data: ReportData, ordered: Sequence[Candidate]) -> Iterator[Drawing]:
    rows: list[Mapping[str, Any]] = list(data.ranking.get("candidates", []))
    ranked = [row for row in rows if row.get("rank") is not None]
    if ranked:
        yield figures.scores(ranked[:MAX_LISTED])
    if len(ranked) > 1 and data.ranking.get("order_probability"):
        yield figures.order(ranked, data.ranking["order_probability"])
    probability = (data.ranking.get("sensitivity") or {}).get("rank_probability")
    if len(ranked) > 1 and probability:
        yield figures.sensitivity(ranked, probability)
    if 2 < len(rows) <= MAX_LISTED and data.ranking.get("distances"):
        yield figures.tree([row["label"] for row in rows], data.ranking["distances"])
    fitted = [row for row in rows if row.get("kinetics")]
    if fitted:
        yield figures.kinetics(fitted[:MAX_FITTED], ordered)
    found = figures.rates(data.ranking, data.candidates)
    if any(len(points) > 1 for points in found.values()):
        yield figures.arrhenius(data.ranking["arrhenius"], found)


def _own(candidate: Candidate, place: int) -> dict[str, Drawing]:
    name = f"{place:02d}-{figures.slug(candidate.key)}"
    found = {}
    if len(candidate.series.get("time", ())):
        found["time"] = figures.trajectory(candidate, f"time-{name}")
    if figures.has_profile(candidate):
        found["z"] = figures.along_z(candidate, f"z-{name}")
    if figures.has_cells(candidate):
        found["cells"] = figures.cells_figure(candidate, f"cells-{name}")
    return found


def write_figures(data: ReportData, folder: Path, formats: Sequence[str] = ("svg", "pdf")) -> list[Path]:
    """Write every figure of the report as files.

    Parameters
    ----------
    data : ReportData
    folder : Path
        Made if it does not exist. Names depend on the data alone: ``scores.svg``, ``time-01-KEY.svg``.
    formats : sequence of str
        Of 'svg', 'pdf', 'png'.

    Returns
    -------
    list of Path

    Raises
    ------
    ValueError
        If a format is unknown.
    """
    unknown = sorted(set(formats) - set(FORMATS))
    if unknown:
        raise ValueError(f"formats holds {unknown}; choose from {list(FORMATS)}.")
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    return [path for drawing in gallery(data) for path in drawing.save(folder, formats)]
