"""How rates depend on the temperature."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from ase.units import kB
from matplotlib.figure import Figure

from aiida_haml.report.data import Candidate
from aiida_haml.report.figures.drawing import Drawing, plain, style, styled

MAX_GROUPS = 12


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
        Label of the group -> temperature (K) and rate constant with its interval, where both are known.
    """
    kelvin = {candidate.key: candidate.temperature_K for candidate in candidates}
    found: dict[str, list[tuple[float, Any]]] = {group["label"]: [] for group in ranking.get("arrhenius") or []}
    for row in ranking.get("candidates", []):
        rate = (row.get("kinetics") or {}).get("rate")
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
            middle = np.log(values).mean() - energy / kB * (at - inverse.mean()) / 1000
            axes.plot(at, np.exp(middle), lw=1.2, **style(index))
    axes.set_yscale("log")
    axes.set_xlabel("1000 K / temperature")
    axes.set_ylabel("rate constant")
    axes.grid()
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
    return Drawing(
        "arrhenius",
        figure,
        "Rates on a logarithmic axis against inverse temperature, with lines of the activation energies.",
        "Rates against inverse temperature; the slope of a line is an activation energy, drawn through the middle of "
        "its points.",
    )
