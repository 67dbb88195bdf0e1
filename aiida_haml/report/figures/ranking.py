"""Scores, the order of the candidates and how alike they are."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from scipy.cluster.hierarchy import dendrogram, linkage
from scipy.spatial.distance import squareform

from aiida_haml.report.figures.drawing import COLOURS, Drawing, colour_scale, plain, styled

#: Candidates in the table of pairs: beyond, its cells cannot be read.
MAX_PAIRED = 16


@styled
def scores(name: str, rows: Sequence[Mapping[str, Any]]) -> Drawing:
    """Draw the scores of the ranked candidates of a group with their intervals."""
    figure = Figure(figsize=(7, 0.9 + 0.28 * len(rows)))
    axes = figure.subplots()
    for place, row in enumerate(rows):
        low, high = row["interval"]
        if low is not None and high is not None:
            axes.plot([low, high], [place, place], lw=2.5, color=COLOURS[0], solid_capstyle="butt")
        axes.plot([row["score"]], [place], "o", color="black", ms=4.5)
    axes.set_yticks(range(len(rows)), [plain(f"{r['rank']}. {r['label']}") for r in rows])
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_xlabel("score")
    axes.grid(axis="x")
    return Drawing(
        name,
        figure,
        "Score of each candidate with its interval, best on top.",
        "Scores (points) and their intervals (bars). Bars that overlap are no proof of a tie: see the column "
        "“Tied with”.",
    )


@styled
def order(name: str, rows: Sequence[Mapping[str, Any]], probability: Sequence[Sequence[float | None]]) -> Drawing:
    """Draw how sure it is that the candidate of a row is better than that of a column."""
    rows = rows[:MAX_PAIRED]
    n = len(rows)
    values = np.array([[np.nan if p is None else p for p in line[:n]] for line in probability[:n]], dtype=float)
    np.fill_diagonal(values, np.nan)
    figure = _table(rows, values, "RdBu")
    return Drawing(
        name,
        figure,
        "Probability that the candidate of a row scores above that of a column, for each pair.",
        "How sure the order is: probability that the candidate of the row scores above that of the column. Values "
        "near one half cannot be told apart.",
    )


@styled
def sensitivity(name: str, rows: Sequence[Mapping[str, Any]], probability: Mapping[str, Sequence[float]]) -> Drawing:
    """Draw how often each candidate takes each rank when the weights are drawn at random."""
    rows = [row for row in rows if row["label"] in probability][:MAX_PAIRED]
    values = np.array([list(probability[row["label"]])[: len(rows)] for row in rows], dtype=float)
    return Drawing(
        name,
        _table(rows, values, "Blues"),
        "Probability of each rank for each candidate over random weights.",
        "How much of the order is the weights' doing: probability of each rank (column) when the weights are drawn at "
        "random about the declared ones.",
    )


def _table(rows: Sequence[Mapping[str, Any]], values: np.ndarray, colours: str) -> Figure:
    """Draw (L, L) probabilities as a coloured table, a row for each candidate."""
    n = len(rows)
    figure = Figure(figsize=(3.6 + 0.42 * n, 1.0 + 0.3 * n), layout="constrained")
    axes = figure.subplots()
    image = axes.imshow(values, vmin=0, vmax=1, cmap=colours, aspect="auto")
    for i, j in np.argwhere(np.isfinite(values)):
        red, green, blue, _ = image.cmap(float(values[i, j]))
        shade = "black" if 0.3 * red + 0.59 * green + 0.11 * blue > 0.55 else "white"
        axes.text(j, i, f"{values[i, j]:.2f}", ha="center", va="center", fontsize=6.5, color=shade)
    axes.set_yticks(range(n), [plain(f"{row['rank']}. {row['label']}") for row in rows])
    axes.set_xticks(range(n), [f"{k + 1}." for k in range(n)])
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    colour_scale(figure, image, axes, "probability")
    return figure


@styled
def tree(name: str, labels: Sequence[str], distances: Sequence[Sequence[float | None]], floor: float | None) -> Drawing:
    """Draw the hierarchical order of candidates by the distance between their interphases, with the floor."""
    matrix = np.array(distances, dtype=float)
    figure = Figure(figsize=(7, 0.9 + 0.28 * len(labels)))
    axes = figure.subplots()
    links = linkage(squareform(matrix, checks=False), method="average")
    dendrogram(links, labels=[plain(x) for x in labels], orientation="right", ax=axes, leaf_font_size=9,
               color_threshold=0, above_threshold_color=COLOURS[0])  # fmt: skip
    if floor is not None:
        axes.axvline(floor, color=COLOURS[1], lw=1.2, ls="--")
    axes.set_xlabel("Jensen-Shannon distance")
    axes.spines["left"].set_visible(False)
    return Drawing(
        name,
        figure,
        "Candidates joined by how alike their late interphases are.",
        "Candidates by how alike their late interphases are, over the clusters of environments. The dashed line is the "
        "floor, the mean distance between seeds of one candidate: what joins to its left is not told apart.",
    )
