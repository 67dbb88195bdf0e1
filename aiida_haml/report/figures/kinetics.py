"""How fast the interphase forms: measured courses, what was fitted to them, and rates against temperature."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from aiida_haml.report.data import Candidate
from aiida_haml.report.figures.drawing import COLOURS, Drawing, drawable, grid, plain, style, styled, thinned

MAX_MEASURED_POINTS = 150
MAX_GROUPS = 12
#: eV / K, CODATA 2018 (exact).
BOLTZMANN = 8.617333262e-5


@styled
def kinetics(rows: Sequence[Mapping[str, Any]], candidates: Sequence[Candidate]) -> Drawing:
    """Draw the reacted share of each label's members, with the fitted course over it.

    Parameters
    ----------
    rows : sequence of mapping
        Of the ranking, those with ``kinetics``.
    candidates : sequence of Candidate
    """
    by_key = {c.key: c for c in candidates}
    figure, frames = grid(len(rows))
    for axes, row in zip(frames, rows, strict=True):
        for key in row.get("members", ()):
            if key in by_key:
                _measured(axes, by_key[key])
        _fitted(axes, row["kinetics"])
        axes.set_title(plain(row["label"]))
        axes.set_xlabel("time / ps")
        axes.set_ylabel("reacted share")
        axes.grid()
    return Drawing(
        "kinetics",
        figure,
        "Reacted share along time for each candidate, measured and fitted, with the chosen model.",
        "Reacted share (not Li): measured (grey, one line a seed) and the fitted course (blue); the time to a layer is "
        "marked where there is one.",
    )


def _measured(axes: Axes, candidate: Candidate) -> None:
    values = candidate.series.get("reacted_fraction")
    if drawable(values):
        time = np.asarray(candidate.series["time"], dtype=float)
        axes.plot(*thinned(time - time[0], np.asarray(values), MAX_MEASURED_POINTS), lw=0.8, color="#888888")


def _fitted(axes: Axes, found: Mapping[str, Any]) -> None:
    curve = found.get("curve") or {}
    if drawable(curve.get("fitted")):
        time, fitted = thinned(np.array(curve["time_fs"], dtype=float), np.array(curve["fitted"], dtype=float))
        axes.plot(time, fitted, lw=1.8, color=COLOURS[0])
    layer = central(found.get("time_to_layer_fs"))
    if layer is not None:
        axes.axvline(layer / 1000, color=COLOURS[1], lw=1, ls="--")
    rate = central(found.get("rate_per_ps"))
    note = plain(str(found.get("model") or "no model"))
    note += "\nrate undetermined" if rate is None else f"\n{rate:.3g} ps$^{{-1}}$"
    axes.text(0.97, 0.05, note, transform=axes.transAxes, ha="right", va="bottom", fontsize=7.5,
              bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.75, "pad": 1.5})  # fmt: skip


def central(value: Any) -> float | None:
    """Return the number in a value that may come with its interval (``value``, ``interval``), or be missing."""
    if isinstance(value, Mapping):
        value = value.get("value")
    return float(value) if isinstance(value, (int, float)) and np.isfinite(value) else None


def bounds(value: Any) -> tuple[float, float] | None:
    """Return the interval that comes with a value, if it has one."""
    interval = value.get("interval") if isinstance(value, Mapping) else None
    if not interval or any(v is None for v in interval):
        return None
    return float(interval[0]), float(interval[1])


def rates(ranking: Mapping[str, Any], candidates: Sequence[Candidate]) -> dict[str, list[tuple[float, Any]]]:
    """Return the rate constants of each group of the Arrhenius analysis.

    Returns
    -------
    dict
        Label of the group -> temperature (K) and rate (1/ps, with its interval), where both are known.
    """
    kelvin = {candidate.key: candidate.temperature_K for candidate in candidates}
    found: dict[str, list[tuple[float, Any]]] = {group["label"]: [] for group in ranking.get("arrhenius") or []}
    for row in ranking.get("candidates", []):
        rate = (row.get("kinetics") or {}).get("rate_per_ps")
        temperature = next((kelvin[key] for key in row.get("members", ()) if kelvin.get(key) is not None), None)
        if temperature is None or (central(rate) or 0) <= 0:
            continue
        name = row["label"].removesuffix(f" {temperature:g} K")
        if name in found:
            found[name].append((temperature, rate))
    return found


@styled
def arrhenius(groups: Sequence[Mapping[str, Any]], found: Mapping[str, Sequence[tuple[float, Any]]]) -> Drawing:
    """Draw rates against inverse temperature, with the lines of the activation energies through their middle.

    Parameters
    ----------
    groups : sequence of mapping
        ``label`` and ``activation_energy_eV``, None where it is undetermined.
    found : mapping
        As `rates` returns them.
    """
    figure = Figure(figsize=(6, 3.2), layout="constrained")
    axes = figure.subplots()
    for index, group in enumerate(groups[:MAX_GROUPS]):
        points = sorted(found.get(group["label"], ()), key=lambda point: point[0])
        if not points:
            continue
        inverse = np.array([1000 / kelvin for kelvin, _ in points])
        values = np.array([central(rate) for _, rate in points], dtype=float)
        axes.plot(inverse, values, "o", ms=4.5, color=style(index)["color"], label=plain(group["label"]))
        for x, (_, rate) in zip(inverse, points, strict=True):
            if (ends := bounds(rate)) and min(ends) > 0:
                axes.plot([x, x], ends, lw=1.2, color=style(index)["color"])
        energy = central(group.get("activation_energy_eV"))
        if energy is not None and len(points) > 1:
            at = np.linspace(inverse.min(), inverse.max(), 20)
            middle = np.log(values).mean() - energy / BOLTZMANN * (at - inverse.mean()) / 1000
            axes.plot(at, np.exp(middle), lw=1.2, **style(index))
    axes.set_yscale("log")
    axes.set_xlabel("1000 K / temperature")
    axes.set_ylabel("rate / ps$^{-1}$")
    axes.grid()
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
    return Drawing(
        "arrhenius",
        figure,
        "Rates on a logarithmic axis against inverse temperature, with lines of the activation energies.",
        "Rates against inverse temperature; the slope of a line is an activation energy, drawn through the middle of "
        "its points.",
    )
