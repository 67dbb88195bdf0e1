"""What is consumed at the faces, per area, and what becomes of it."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from aiida_haml.analysis.balance.areal import Balance, balance
from aiida_haml.analysis.balance.states import LADDER, STATES
from aiida_haml.report.data import Candidate
from aiida_haml.report.figures.drawing import STATE_COLOURS, Drawing, phase_colour, plain, style, styled, thinned

#: Moments at which replicates are compared, and labels with a band of their own.
MOMENTS = 120
MAX_BANDS = 7
MAX_AREA_POINTS = 60


def has_balance(candidate: Candidate) -> bool:
    """Return whether it is known what the candidate has consumed."""
    return "electrolyte" in candidate.series and len(candidate.series.get("time", ())) > 0


@styled
def consumed(name: str, rows: Sequence[Mapping[str, Any]], candidates: Sequence[Candidate]) -> Drawing:
    """Draw what each label of a group consumes at a face: the mean, and a band over its faces and seeds.

    Parameters
    ----------
    name : str
    rows : sequence of mapping
        Of the ranking, with the ``members`` of each label.
    candidates : sequence of Candidate
    """
    by_key = {c.key: c for c in candidates if has_balance(c)}
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    axes = figure.subplots()
    for index, row in enumerate(rows):
        known = [balance(by_key[key].series) for key in row.get("members", ()) if key in by_key]
        if known:
            _band(axes, f"{plain(row['label'])}\n{plain(row['verdict'])}", known, index)
    axes.axhline(0, color="#555555", lw=0.6)
    axes.set_xlabel("time / ps")
    axes.set_ylabel("electrolyte consumed\nat a face / Å")
    axes.grid()
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
    return Drawing(
        name,
        figure,
        "Electrolyte consumed at a face along time, for each candidate of the group.",
        "Electrolyte consumed at a face, as the thickness that it had as built, less what the unreacted cell reads: "
        "the mean over seeds and faces (lines) and all of them (bands). A cross marks where the metal or the "
        "electrolyte of a cell was used up.",
    )


def _band(axes: Axes, label: str, known: Sequence[Balance], index: int) -> None:
    """Draw one label over the time that all its replicates have."""
    length = min(float(b.time[-1] - b.time[0]) for b in known)
    moments = np.linspace(0, length, MOMENTS)
    faces = np.array([np.interp(moments, b.time - b.time[0], smooth(face)) for b in known for face in b.consumed.T])
    own = style(index)
    axes.plot(moments / 1000, faces.mean(axis=0), lw=1.8, label=label, **own)
    if len(faces) > 1 and index < MAX_BANDS:
        axes.fill_between(moments / 1000, faces.min(axis=0), faces.max(axis=0), color=own["color"], alpha=0.15, lw=0)
    for b in known:
        end, what = b.end
        if what is not None:
            at = end - float(b.time[0])
            height = np.interp(at, b.time - b.time[0], b.consumed.mean(axis=1))
            axes.plot([at / 1000], [height], "x", color=own["color"], ms=7, mew=2)


def smooth(values: np.ndarray) -> np.ndarray:
    """Return the mean of each value and its neighbours, over one part in forty of the series."""
    width = max(1, len(values) // 40)
    padded = np.pad(values, (width // 2, width - 1 - width // 2), "edge")
    return np.convolve(padded, np.ones(width) / width, "valid")


def draw_consumed(axes: Axes, candidate: Candidate) -> None:
    """Draw what one candidate has consumed at each of its faces, and how thick its layers are."""
    known = balance(candidate.series)
    for index, face in enumerate(known.faces):
        time, values = thinned(known.time, known.consumed[:, index])
        axes.plot(time, values, lw=1.3, label=plain(f"consumed, {face} face"), **style(index))
        if np.isfinite(known.thickness[:, index]).any():
            time, values = thinned(known.time, known.thickness[:, index])
            axes.plot(time, values, lw=0.9, ls=":", color=style(index)["color"], label=plain(f"layer, {face} face"))
    axes.set_ylabel("at a face / Å")


def draw_left(axes: Axes, candidate: Candidate) -> None:
    """Draw the shares of metal and electrolyte that are left."""
    known = balance(candidate.series)
    for index, (label, values) in enumerate((("metal", known.metal_left), ("electrolyte", known.electrolyte_left))):
        if np.isfinite(values).any():
            axes.plot(*thinned(known.time, values), lw=1.3, label=label, **style(index))
    axes.set_ylim(-0.03, 1.08)
    axes.set_ylabel("share left")


def draw_ladder(axes: Axes, candidate: Candidate) -> None:
    """Draw P by its rung, per area of a face, summed over the faces."""
    known = balance(candidate.series)
    rungs = known.phosphorus.sum(axis=1)
    element = "P"
    if not rungs.any():
        rungs, element = known.rungs.sum(axis=1), "not Li"
    time, rungs = thinned(known.time, rungs, MAX_AREA_POINTS)
    names = [STATES[rung] for rung in LADDER]
    axes.stackplot(
        time, rungs.T, colors=[STATE_COLOURS[name] for name in names], labels=names, lw=0.3, edgecolor="#666666"
    )
    axes.set_ylabel(f"{element} / nmol cm$^{{-2}}$")


def draw_products(axes: Axes, candidate: Candidate) -> None:
    """Draw what has reacted by the phase that it resembles, per area, summed over the faces."""
    known = balance(candidate.series)
    time, amounts = thinned(known.time, known.phases.sum(axis=1), MAX_AREA_POINTS)
    names = [*(str(p) for p in candidate.series["phases"]), "none"]
    shown = [i for i in range(len(names)) if amounts[:, i].any()]
    if shown:
        axes.stackplot(
            time, amounts[:, shown].T, colors=[phase_colour(names[i], i) for i in shown],
            labels=[plain(names[i]) for i in shown], lw=0.3, edgecolor="#666666",
        )  # fmt: skip
    axes.set_ylabel("reacted, not Li\n/ nmol cm$^{-2}$")
