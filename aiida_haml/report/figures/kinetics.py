"""How rates depend on the temperature."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from ase.units import kB
from matplotlib.axes import Axes

from aiida_haml.report.data import Candidate
from aiida_haml.report.figures.drawing import Drawing, grid, plain, style, styled

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


class Rate(NamedTuple):
    """A rate constant (with its interval) at a temperature, of a growth law: of two laws they are two quantities."""

    kelvin: float
    constant: Any
    law: str
    unit: str


def rates(ranking: Mapping[str, Any], candidates: Sequence[Candidate]) -> dict[str, list[Rate]]:
    """Return the rate constants of each group of the Arrhenius analysis, by the label of the group."""
    kelvin = {candidate.key: candidate.temperature_K for candidate in candidates}
    found: dict[str, list[Rate]] = {group["label"]: [] for group in ranking.get("arrhenius") or []}
    for row in ranking.get("candidates", []):
        growth = row.get("kinetics") or {}
        rate = growth.get("rate")
        temperature = next((kelvin[key] for key in row.get("members", ()) if kelvin.get(key) is not None), None)
        if temperature is None or (central(rate) or 0) <= 0:
            continue
        name = row["label"].removesuffix(f" {temperature:g} K")
        if name in found:
            found[name].append(Rate(temperature, rate, str(growth.get("law")), str(growth.get("unit"))))
    return found


@styled
def arrhenius(groups: Sequence[Mapping[str, Any]], found: Mapping[str, Sequence[Rate]]) -> Drawing:
    """Draw rates against inverse temperature, one frame for each law, with the lines of the activation energies.

    Parameters
    ----------
    groups : sequence of mapping
        ``label`` and ``activation_energy_eV``, None where it is undetermined.
    found : mapping
        As `rates` returns them.
    """
    shown = groups[:MAX_GROUPS]
    laws = sorted({(rate.law, rate.unit) for group in shown for rate in found.get(group["label"], ())})
    figure, frames = grid(len(laws), columns=2, height=3.2)
    for axes, (law, unit) in zip(frames, laws, strict=True):
        for index, group in enumerate(shown):
            points = [rate for rate in found.get(group["label"], ()) if rate.law == law]
            if points:
                _line(
                    axes,
                    sorted(points, key=lambda rate: rate.kelvin),
                    central(group.get("activation_energy_eV")),
                    index,
                    plain(group["label"]),
                )
        axes.set_yscale("log")
        axes.set_xlabel("1000 K / temperature")
        axes.set_ylabel(f"{law.replace('_', ' ')} rate constant / {unit}")
        axes.grid()
    handles = {
        label: handle for axes in frames for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)
    }
    figure.legend(handles.values(), handles, loc="outside lower center", ncols=3)
    return Drawing(
        "arrhenius",
        figure,
        "Rates on a logarithmic axis against inverse temperature, with lines of the activation energies.",
        "Rates against inverse temperature, apart for each growth law, whose constants are not of one kind; the slope "
        "of a line is an activation energy, drawn through the middle of its points.",
    )


def _line(axes: Axes, points: Sequence[Rate], energy: float | None, index: int, label: str) -> None:
    inverse = np.array([1000 / point.kelvin for point in points])
    values = np.array([central(point.constant) for point in points], dtype=float)
    axes.plot(inverse, values, "o", ms=4.5, color=style(index)["color"], label=label)
    for x, point in zip(inverse, points, strict=True):
        if (ends := bounds(point.constant)) and min(ends) > 0:
            axes.plot([x, x], ends, lw=1.2, color=style(index)["color"])
    if energy is not None and len(points) > 1:
        at = np.linspace(inverse.min(), inverse.max(), 20)
        middle = np.log(values).mean() - energy / kB * (at - inverse.mean()) / 1000
        axes.plot(at, np.exp(middle), lw=1.2, **style(index))
