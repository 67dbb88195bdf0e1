"""How the potential learned, and what it cost."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from aiida_haml.report.data import Candidate
from aiida_haml.report.figures.drawing import COLOURS, Drawing, plain, shared_legend, style, styled

if TYPE_CHECKING:
    from aiida_haml.queries import CostReport


@styled
def learning(candidates: Sequence[Candidate]) -> Drawing:
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
                axes.plot(*zip(*points, strict=True), "o", ls=style(index)["linestyle"], ms=3.5, lw=1.2,
                          color=style(index)["color"], label=plain(candidate.key))  # fmt: skip
        axes.set_xlabel("cycle")
        axes.set_ylabel(label)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        axes.set_ylim(bottom=0)
        axes.grid()
    shared_legend(figure)
    return Drawing(
        "learning",
        figure,
        "Prequential force error and largest committee deviation in each cycle.",
        "Left, prequential error: of the current potential on a burst before it is trained on it. Right, the largest "
        "deviation of the committee on one atom.",
    )


@styled
def costs(cost: CostReport) -> Drawing:
    """Draw the seconds of each kind of work."""
    kinds = sorted(cost.kinds.items(), key=lambda item: item[1].seconds)
    figure = Figure(figsize=(7, 0.9 + 0.3 * len(kinds)))
    axes = figure.subplots()
    axes.barh([plain(name) for name, _ in kinds], [work.seconds for _, work in kinds], color=COLOURS[0])
    axes.set_xlabel("engines' time / s")
    axes.grid(axis="x")
    return Drawing(
        "cost", figure, "Seconds that the engines spent on each kind of work.", "Where the engines' time went."
    )
