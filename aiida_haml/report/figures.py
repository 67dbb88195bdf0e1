"""Figures of the report as SVG text: same values, same bytes."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from scipy.cluster.hierarchy import dendrogram, linkage
from scipy.spatial.distance import squareform

from aiida_haml.report.data import Candidate, Cost

#: Points kept of a curve: more cannot be seen and make the page heavy.
MAX_POINTS = 200
MAX_COMPARED_POINTS = 120
MAX_AREA_POINTS = 80
#: Colours that colour-blind readers tell apart (Okabe and Ito), told apart in print by the line styles.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
STYLES = ("-", "--", "-.", ":")
PHASE_COLOURS = {
    "Li2S": "#E69F00", "Li3P": "#CC79A7", "LiCl": "#009E73", "Li2O": "#D55E00", "LiF": "#56B4E9",
    "Li2Se": "#8B5E3C", "Li": "#BBBBBB", "Li6PS5Cl": "#0072B2", "none": "#F4F4F4",
}  # fmt: skip
BURST_COLOUR = "#F0C8A0"

#: Series shown over time: name -> axis label.
CURVES = {
    "ps4_fraction": "intact PS$_4$ units",
    "p_chalcogen_bonds": "bonds to S, O, Se per P",
    "reacted_fraction": "reacted share (not Li)",
    "product_score": "electrolyte 0 … product 1",
}


def svg(figure: Figure, name: str, description: str) -> str:
    """Return a figure as SVG to be put into a page.

    Parameters
    ----------
    figure : Figure
    name : str
        Unique in the page: it goes ahead of all ids in the drawing.
    description : str
        For readers who do not see it.
    """
    buffer = io.StringIO()
    with mpl.rc_context({"svg.hashsalt": name, "svg.fonttype": "none"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None}, bbox_inches="tight")
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r'\bid="', f'id="{name}-', text)
    text = re.sub(r"url\(#", f"url(#{name}-", text)
    text = re.sub(r'xlink:href="#', f'xlink:href="#{name}-', text)
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    # Hundredths of a point are enough, and half the page.
    text = re.sub(r' d="[^"]*"', lambda m: re.sub(r"(\.\d\d)\d+", r"\1", m.group()), text)
    label = description.replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;").replace(">", "&gt;")
    return text.replace("<svg ", f'<svg role="img" aria-label="{label}" ', 1)


def plain(text: str) -> str:
    """Return text from the database so that matplotlib draws it as it stands, dollars included."""
    return text.replace("$", r"\$")


def style(index: int) -> dict[str, Any]:
    """Return colour and line style of the candidate with this index."""
    return {"color": COLOURS[index % len(COLOURS)], "linestyle": STYLES[index // len(COLOURS) % len(STYLES)]}


def thinned(times: np.ndarray, values: np.ndarray, limit: int = MAX_POINTS) -> tuple[np.ndarray, np.ndarray]:
    """Return at most `limit` samples, the first and the last among them; times in ps."""
    chosen = np.unique(np.linspace(0, len(times) - 1, min(len(times), limit)).astype(int))
    return np.asarray(times)[chosen] / 1000, np.asarray(values)[chosen]


def scores(rows: Sequence[Mapping[str, Any]]) -> str:
    """Draw the scores of the ranked candidates with their intervals."""
    figure = Figure(figsize=(7, 0.9 + 0.32 * len(rows)))
    axes = figure.subplots()
    for place, row in enumerate(rows):
        low, high = row["interval"]
        axes.plot([low, high], [place, place], lw=2.5, color=COLOURS[0], solid_capstyle="butt")
        axes.plot([row["score"]], [place], "o", color="black", ms=5)
    axes.set_yticks(range(len(rows)), [plain(f"{r['rank']}. {r['label']}") for r in rows])
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_xlabel("score")
    axes.grid(axis="x", alpha=0.3)
    return svg(figure, "scores", "Score of each candidate with its interval, best on top.")


def comparison(candidates: Sequence[Candidate]) -> str:
    """Draw the curves of `CURVES` over time, all candidates in one frame each."""
    figure = Figure(figsize=(9, 6), layout="constrained")
    for axes, (name, label) in zip(figure.subplots(2, 2).flat, CURVES.items(), strict=True):
        for index, candidate in enumerate(candidates):
            if name in candidate.series and np.isfinite(candidate.series[name]).any():
                time, values = thinned(candidate.series["time"], candidate.series[name], MAX_COMPARED_POINTS)
                axes.plot(time, values, lw=1.2, label=plain(candidate.key), **style(index))
        axes.set_xlabel("time / ps")
        axes.set_ylabel(label)
        axes.grid(alpha=0.3)
    _legend(figure, len(candidates))
    return svg(figure, "comparison", "Intact PS4, bonds of P, reacted share and product score of all candidates.")


def trajectory(candidate: Candidate, name: str) -> str:
    """Draw the time line of one candidate: segments and handovers, bond series, phase fractions."""
    figure = Figure(figsize=(9, 4.6), layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True)
    _segments(upper, candidate)
    for index, curve in enumerate(("ps4_fraction", "reacted_fraction", "product_score")):
        values = candidate.series.get(curve)
        if values is not None and np.isfinite(values).any():
            time, values = thinned(candidate.series["time"], values)
            upper.plot(time, values, lw=1.3, label=CURVES[curve], **style(index))
    upper.set_ylim(-0.03, 1.03)
    upper.set_ylabel("share")
    upper.legend(fontsize="x-small", loc="center left", bbox_to_anchor=(1.01, 0.5))
    _phases(lower, candidate)
    lower.set_xlabel("time / ps")
    lower.set_ylabel("phases (not Li)")
    return svg(figure, name, f"Time line of {candidate.key}: bonds and phases; bursts shaded, handovers as lines.")


def _segments(axes: Axes, candidate: Candidate) -> None:
    for k, segment in enumerate(candidate.segments):
        if segment.kind == "burst":
            label = "burst (AIMD)" if "burst" not in [s.kind for s in candidate.segments[:k]] else None
            axes.axvspan(segment.time_start / 1000, segment.time_end / 1000, color=BURST_COLOUR, lw=0, label=label)
        if k:
            axes.axvline(
                segment.time_start / 1000,
                color="#555555",
                lw=0.7,
                ls=":",
                label="handover" if k == 1 else None,
            )


def _phases(axes: Axes, candidate: Candidate) -> None:
    shares = candidate.series.get("framework_fractions")
    if shares is None or not len(shares) or not np.isfinite(shares).any():
        return
    time, shares = thinned(candidate.series["time"], np.nan_to_num(shares), MAX_AREA_POINTS)
    names = [*(str(p) for p in candidate.series["phases"]), "none"]
    shown = [i for i in range(len(names)) if shares[:, i].any()]
    colours = [PHASE_COLOURS.get(names[i], COLOURS[i % len(COLOURS)]) for i in shown]
    axes.stackplot(
        time,
        shares[:, shown].T,
        colors=colours,
        labels=[plain(names[i]) for i in shown],
        lw=0.3,
        edgecolor="#666666",
    )
    axes.set_ylim(0, 1)
    axes.legend(fontsize="x-small", loc="center left", bbox_to_anchor=(1.01, 0.5))


def learning(candidates: Sequence[Candidate]) -> str:
    """Draw prequential error and committee deviation against the cycle."""
    figure = Figure(figsize=(9, 3.2), layout="constrained")
    panels: list[tuple[str, Callable[[Any], float | None]]] = [
        ("prequential force error / eV Å$^{-1}$", lambda c: c.force_rmse),
        ("largest committee deviation / eV Å$^{-1}$", lambda c: c.deviation_max),
    ]
    for axes, (label, value) in zip(figure.subplots(1, 2), panels, strict=True):
        for index, candidate in enumerate(candidates):
            points = [(c.cycle, v) for c in candidate.cycles if (v := value(c)) is not None]
            if points:
                axes.plot(*zip(*points, strict=True), "o", ls=style(index)["linestyle"], ms=4, lw=1.2,
                          color=style(index)["color"], label=plain(candidate.key))  # fmt: skip
        axes.set_xlabel("cycle")
        axes.set_ylabel(label)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        axes.set_ylim(bottom=0)
        axes.grid(alpha=0.3)
    _legend(figure, len(candidates))
    return svg(figure, "learning", "Prequential force error and largest committee deviation in each cycle.")


def costs(cost: Cost) -> str:
    """Draw the seconds of each kind of work."""
    kinds = sorted(cost.kinds.items(), key=lambda item: item[1].seconds)
    figure = Figure(figsize=(7, 0.9 + 0.32 * len(kinds)))
    axes = figure.subplots()
    axes.barh([plain(name) for name, _ in kinds], [work.seconds for _, work in kinds], color=COLOURS[0])
    axes.set_xlabel("engines' time / s")
    axes.grid(axis="x", alpha=0.3)
    return svg(figure, "cost", "Seconds that the engines spent on each kind of work.")


def tree(labels: Sequence[str], distances: Sequence[Sequence[float | None]]) -> str:
    """Draw the hierarchical order of candidates by the distance between their environments."""
    matrix = np.array([[1.0 if d is None else d for d in row] for row in distances], dtype=float)
    figure = Figure(figsize=(7, 0.9 + 0.32 * len(labels)))
    axes = figure.subplots()
    links = linkage(squareform(matrix, checks=False), method="average")
    dendrogram(links, labels=[plain(x) for x in labels], orientation="right", ax=axes,
               color_threshold=0, above_threshold_color=COLOURS[0])  # fmt: skip
    axes.set_xlabel("Jensen-Shannon distance")
    return svg(figure, "tree", "Candidates joined by how alike their environments are.")


def _legend(figure: Figure, count: int) -> None:
    """Put one legend for all frames underneath."""
    seen: dict[str, Any] = {}
    for axes in figure.axes:
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            seen.setdefault(label, handle)
    if seen:
        figure.legend(seen.values(), seen.keys(), loc="outside lower center", ncols=min(count, 4), fontsize="small")
