"""Along time: what reacts, what breaks, what moves, and under which conditions."""

from collections.abc import Callable, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from aiida_haml.report.data import Candidate
from aiida_haml.report.figures.balance import draw_consumed, draw_ladder, draw_left, draw_products, has_balance
from aiida_haml.report.figures.drawing import (
    BURST_COLOUR,
    COLOURS,
    Drawing,
    drawable,
    grid,
    plain,
    shared_legend,
    style,
    styled,
    thinned,
)

MAX_COMPARED_POINTS = 100
MAX_AREA_POINTS = 60
#: Kinds of bonds with a colour of their own among the events.
MAX_PAIRS = 6

#: Series compared over time: name -> axis label.
CURVES = {
    "ps4_fraction": "intact PS$_4$ units",
    "p_chalcogen_bonds": "bonds to S, O, Se per P",
    "p_bond_order_state": "state of P by its bonds",
    "broken_bonds": "bonds broken for good",
    "intact_molecules": "intact molecules",
}
#: Neighbours of P have no colours elsewhere: a scale of their own.
UNIT_COLOURS = ("#084594", "#4292C6", "#9ECAE1", "#DEEBF7", "#FDD0A2", "#FD8D3C", "#D94801", "#7F2704")
#: What moves: series, its times, the axis of time, the axis of the series.
MOTION = (
    ("li_msd_plane", "li_msd_lag", "time lag / ps", "Li in the plane, mean\nsquare displacement / Å$^2$"),
    ("li_msd_normal", "li_msd_lag", "time lag / ps", "Li along the normal, mean\nsquare displacement / Å$^2$"),
    ("lindemann", "lindemann_time", "time / ps", "Lindemann ratio of\nunreacted anions"),
)


@styled
def comparison(candidates: Sequence[Candidate]) -> Drawing:
    """Draw the curves of `CURVES` over time, all candidates in one frame each."""
    curves = [(name, "time", "time / ps", label) for name, label in CURVES.items()]
    return Drawing(
        "comparison",
        _compared(candidates, curves, columns=2),
        "What breaks along time, for all candidates: units, bonds of P, molecules.",
        "Candidates compared, best first.",
    )


@styled
def motion(candidates: Sequence[Candidate]) -> Drawing:
    """Draw how far lithium moves, and how much the anions rattle."""
    return Drawing(
        "motion",
        _compared(candidates, MOTION, columns=3),
        "Displacement of lithium, and Lindemann ratio of the anions, for all candidates.",
        "How far atoms move: mean square displacement of the electrolyte's lithium over the time lag, and how much the "
        "anions of what has not reacted rattle about their places.",
    )


def moves(candidate: Candidate) -> bool:
    """Return whether it is known how far the candidate's atoms move."""
    return any(_drawn(candidate, name, times) for name, times, _, _ in MOTION)


def _compared(candidates: Sequence[Candidate], curves: Sequence[tuple[str, str, str, str]], columns: int) -> Figure:
    curves = [c for c in curves if any(_drawn(candidate, c[0], c[1]) for candidate in candidates)]
    figure, frames = grid(max(len(curves), 1), columns, height=2.6)
    for axes, (name, times, below, label) in zip(frames, curves, strict=False):
        for index, candidate in enumerate(candidates):
            if _drawn(candidate, name, times):
                time, values = thinned(candidate.series[times], candidate.series[name], MAX_COMPARED_POINTS)
                axes.plot(time, values, lw=1.2, label=plain(candidate.key), **style(index))
        axes.set_xlabel(below)
        axes.set_ylabel(label)
        axes.grid()
    shared_legend(figure)
    return figure


def _drawn(candidate: Candidate, name: str, times: str) -> bool:
    values, at = candidate.series.get(name), candidate.series.get(times)
    return values is not None and at is not None and np.shape(values) == np.shape(at) and drawable(values)


@styled
def trajectory(candidate: Candidate, name: str) -> Drawing:
    """Draw the time line of one candidate, one panel for each kind of data that there is."""
    panels = [(draw, height) for has, draw, height in PANELS if has(candidate)]
    figure = Figure(figsize=(9, 0.7 + sum(height for _, height in panels)), layout="constrained")
    heights = [height for _, height in panels]
    frames = figure.subplots(len(panels), 1, sharex=True, squeeze=False, height_ratios=heights).ravel()
    for axes, (draw, _) in zip(frames, panels, strict=True):
        draw(axes, candidate)
        if axes.get_legend_handles_labels()[1]:
            axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5))
    frames[-1].set_xlabel("time / ps")
    return Drawing(
        name,
        figure,
        f"Time line of {candidate.key}: what is consumed, bonds and conditions; bursts shaded, handovers as lines.",
        "Balance, bonds and conditions along time; bursts (AIMD) shaded, handovers dotted. Ticks: lasting changes of "
        "bonds, broken below, formed above.",
    )


def _consumed(axes: Axes, candidate: Candidate) -> None:
    _segments(axes, candidate, named=True)
    if has_balance(candidate):
        draw_consumed(axes, candidate)


def _segments(axes: Axes, candidate: Candidate, named: bool = False) -> None:
    kinds = [s.kind for s in candidate.segments]
    for k, segment in enumerate(candidate.segments):
        if segment.kind == "burst":
            label = "burst (AIMD)" if named and "burst" not in kinds[:k] else None
            axes.axvspan(segment.time_start / 1000, segment.time_end / 1000, color=BURST_COLOUR, lw=0, label=label)
        if k:
            label = "handover" if named and k == 1 else None
            axes.axvline(segment.time_start / 1000, color="#555555", lw=0.7, ls=":", label=label)


def _temperature(axes: Axes, candidate: Candidate) -> None:
    _segments(axes, candidate)
    time, values = thinned(candidate.series["time"], candidate.series["temperature"])
    axes.plot(time, values, lw=0.9, color="#444444")
    if candidate.temperature_K is not None:
        axes.axhline(candidate.temperature_K, color=style(1)["color"], lw=1, ls="--", label="thermostat")
    axes.set_ylabel("temperature / K")


def _deviation(axes: Axes, candidate: Candidate) -> None:
    _segments(axes, candidate)
    good = np.isfinite(candidate.watch["deviation"])
    time, values = thinned(candidate.watch["time"][good], candidate.watch["deviation"][good])
    axes.plot(time, values, ".", ms=2.5, color=style(0)["color"])
    axes.set_ylim(bottom=0)
    axes.set_ylabel("deviation /\neV Å$^{-1}$")


def _units(axes: Axes, candidate: Candidate) -> None:
    """Draw the shares of P by what surrounds it."""
    names = [n for n in sorted(candidate.series) if n.startswith("units_") and n != "units_P2X6"]
    names = [n for n in names if _drawn(candidate, n, "time") and np.nanmax(candidate.series[n]) > 0.005]
    time = thinned(candidate.series["time"], candidate.series["time"], MAX_AREA_POINTS)[0]
    shares = [thinned(candidate.series["time"], np.nan_to_num(candidate.series[n]), MAX_AREA_POINTS)[1] for n in names]
    colours = [UNIT_COLOURS[i % len(UNIT_COLOURS)] for i in range(len(names))]
    labels = [plain(n.removeprefix("units_")) for n in names]
    axes.stackplot(time, np.array(shares), colors=colours, labels=labels, lw=0.3, edgecolor="#666666")
    axes.set_ylim(0, 1)
    axes.set_ylabel("units of P")


def _bonds(axes: Axes, candidate: Candidate) -> None:
    """Draw the bonds broken for good, and every lasting event as a tick: broken below, formed above."""
    _segments(axes, candidate)
    if _drawn(candidate, "broken_bonds", "time"):
        axes.plot(*thinned(candidate.series["time"], candidate.series["broken_bonds"]), lw=1.3, color="black")
    times, pairs, formed = (np.asarray(candidate.series.get(f"events_{n}", ())) for n in ("time", "pair", "formed"))
    if len(times) and len(times) == len(pairs) == len(formed):
        found, counts = np.unique(pairs, return_counts=True)
        common = [str(p) for p in found[np.argsort(-counts, kind="stable")][:MAX_PAIRS]]
        places = axes.get_xaxis_transform()
        for index, pair in enumerate([*common, None]):
            own = np.isin(pairs, common, invert=True) if pair is None else pairs == pair
            colour = "#888888" if pair is None else COLOURS[index]
            low = np.where(formed[own].astype(bool), 0.86, 0.02)
            if own.any():
                label = "other" if pair is None else plain(pair)
                axes.vlines(times[own] / 1000, low, low + 0.12, transform=places, color=colour, lw=1.2, label=label)
    axes.set_ylim(bottom=0)
    axes.margins(y=0.3)
    axes.set_ylabel("bonds broken")


def _has(*names: str) -> Callable[[Candidate], bool]:
    return lambda candidate: any(drawable(candidate.series.get(name)) for name in names)


#: Panels of a time line, top to bottom: whether there is something to draw, what draws it, its height in inches.
PANELS: tuple[tuple[Callable[[Candidate], bool], Callable[[Axes, Candidate], None], float], ...] = (
    (lambda _: True, _consumed, 1.9),
    (has_balance, draw_ladder, 1.5),
    (has_balance, draw_products, 1.6),
    (has_balance, draw_left, 1.1),
    (lambda c: any(n.startswith("units_") and drawable(v) for n, v in c.series.items()), _units, 1.5),
    (_has("broken_bonds", "events_time"), _bonds, 1.4),
    (_has("temperature"), _temperature, 1.1),
    (lambda c: drawable(c.watch.get("deviation")), _deviation, 1.1),
)
