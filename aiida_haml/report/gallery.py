"""Which figures a report has, given its data: the page shows them, and they can be written as files."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiida_haml.report import figures
from aiida_haml.report.data import Candidate, ReportData
from aiida_haml.report.figures import Drawing

#: Candidates drawn together, and drawn by themselves: the rest is in the tables.
MAX_TOGETHER = 12
MAX_DETAILED = 8
#: Ranked labels in the figures of scores and of likeness.
MAX_LISTED = 60
FORMATS = ("svg", "pdf", "png")


@dataclass(frozen=True, eq=False)
class Gallery:
    """The figures of a report.

    Attributes
    ----------
    groups : sequence
        Each group of candidates that are compared, and its figures: 'consumed', 'scores', 'order', 'sensitivity' and
        'tree'.
    shared : mapping
        Name -> figure of all candidates.
    candidates : sequence
        Each candidate that is shown by itself, best first, and its figures: 'time', 'z' and 'cells'.
    viewed : sequence of Candidate
        Those whose cells are shown.
    """

    groups: Sequence[tuple[Mapping[str, Any], Mapping[str, Drawing]]]
    shared: Mapping[str, Drawing]
    candidates: Sequence[tuple[Candidate, Mapping[str, Drawing]]]
    viewed: Sequence[Candidate]

    def __iter__(self) -> Iterator[Drawing]:
        for _, own in self.groups:
            yield from own.values()
        yield from self.shared.values()
        for _, own in self.candidates:
            yield from own.values()


def gallery(data: ReportData) -> Gallery:
    """Draw all figures that the data allow.

    Parameters
    ----------
    data : ReportData

    Raises
    ------
    ValueError
        If the ranking contradicts itself.
    """
    ordered = in_order(data)
    detailed = ordered[:MAX_DETAILED]
    own = [(candidate, _own(candidate, place)) for place, candidate in enumerate(detailed, start=1)]
    groups = list(data.ranking.get("groups") or [])
    return Gallery(
        groups=[(group, _of_group(data, group, place)) for place, group in enumerate(groups, start=1)],
        shared={d.name: d for d in _shared(data, ordered)},
        candidates=own,
        viewed=[c for c in detailed if figures.has_cells(c)],
    )


def in_order(data: ReportData) -> list[Candidate]:
    """Return the candidates in the order of the ranking, those that it does not know last."""
    place = {row["label"]: i for i, row in enumerate(data.ranking.get("candidates", []))}
    return sorted(data.candidates, key=lambda c: (place.get(c.label, len(place)), c.key))


def _shared(data: ReportData, ordered: Sequence[Candidate]) -> Iterator[Drawing]:
    described = [c for c in ordered if len(c.series.get("time", ()))]
    if described:
        yield figures.comparison(described[:MAX_TOGETHER])
    moved = [c for c in described if figures.moves(c)]
    if moved:
        yield figures.motion(moved[:MAX_TOGETHER])
    mapped = figures.mapped(ordered)
    if mapped:
        yield figures.environments(mapped)
    found = figures.rates(data.ranking, data.candidates)
    if any(len(points) > 1 for points in found.values()):
        yield figures.arrhenius(data.ranking["arrhenius"], found)
    taught = [c for c in ordered if c.cycles]
    if taught:
        yield figures.learning(taught[:MAX_TOGETHER])
    if data.cost is not None and data.cost.kinds:
        yield figures.costs(data.cost)


def _of_group(data: ReportData, group: Mapping[str, Any], place: int) -> dict[str, Drawing]:
    """Draw what there is of one group: names end in its place."""
    rows = [row for row in data.ranking.get("candidates", []) if row.get("group") == group["name"]]
    ranked = [row for row in rows if row.get("rank") is not None]
    found: dict[str, Drawing] = {}
    known = {candidate.key for candidate in data.candidates if figures.has_balance(candidate)}
    drawn = [row for row in rows if known & set(row.get("members", ()))]
    if drawn:
        found["consumed"] = figures.consumed(f"consumed-{place}", drawn[:MAX_TOGETHER], data.candidates)
    if ranked:
        found["scores"] = figures.scores(f"scores-{place}", ranked[:MAX_LISTED])
    if len(ranked) > 1 and group.get("order_probability"):
        found["order"] = figures.order(f"order-{place}", ranked, group["order_probability"])
    probability = (group.get("sensitivity") or {}).get("rank_probability")
    if len(ranked) > 1 and probability:
        found["sensitivity"] = figures.sensitivity(f"sensitivity-{place}", ranked, probability)
    labels = [row["label"] for row in rows]
    if 2 < len(rows) <= MAX_LISTED and data.ranking.get("distances"):
        places = [i for i, row in enumerate(data.ranking["candidates"]) if row["label"] in labels]
        matrix = _distances(data.ranking)
        # One without an interphase has no distance to any other.
        places = [i for i in places if any(matrix[i][j] is not None for j in places if j != i)]
        distances = [[matrix[i][j] for j in places] for i in places]
        labels = [data.ranking["candidates"][i]["label"] for i in places]
        if len(places) > 1:
            found["tree"] = figures.tree(f"tree-{place}", labels, distances, group.get("floor"))
    return found


def _distances(ranking: Mapping[str, Any]) -> Sequence[Sequence[float | None]]:
    """Return how far the candidates of a ranking are from each other, which an archive may have brought mutilated."""
    count, distances = len(ranking["candidates"]), ranking["distances"]
    widths = [len(row) if isinstance(row, list) else None for row in distances]
    if widths != [count] * count:
        found = ", ".join(sorted({str(width) for width in widths}))
        raise ValueError(
            f"The ranking contradicts itself: `distances` has to be a table of {count} x {count}, as many as there are "
            f"candidates, and has {len(widths)} rows of {found} entries; run the screen again with caching on, which "
            "ranks it anew."
        )
    return list(distances)


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
        Made if it does not exist. Names depend on the data alone: ``consumed-1.svg``, ``time-01-KEY.svg``.
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
