"""Along z and time: where the phases lie."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.figure import Figure

from aiida_haml.report.data import Candidate
from aiida_haml.report.figures.drawing import Drawing, colour_scale, phase_colour, plain, styled

#: Times at which the composition along z is drawn.
MAX_TIMES = 4


def has_profile(candidate: Candidate) -> bool:
    """Return whether the candidate's composition along z and time is known."""
    profile, times = candidate.series.get("profile"), candidate.series.get("profile_times")
    return profile is not None and times is not None and np.ndim(profile) == 3 and bool(np.nansum(profile) > 0)


@styled
def along_z(candidate: Candidate, name: str) -> Drawing:
    """Draw the composition of each slab at several times, and the share of reacted atoms over z and time."""
    profile = np.nan_to_num(np.asarray(candidate.series["profile"], dtype=float))
    edges = np.asarray(candidate.series["profile_times"], dtype=float) / 1000
    names = [*(str(p) for p in candidate.series["phases"]), "none"]
    filled = np.flatnonzero(profile.sum(axis=(1, 2)) > 0)
    chosen = filled[np.unique(np.linspace(0, len(filled) - 1, min(len(filled), MAX_TIMES)).round().astype(int))]
    height, unit = _height(candidate)
    figure = Figure(figsize=(9, 3.3), layout="constrained")
    frames = figure.subplots(1, len(chosen) + 1, squeeze=False, width_ratios=[1] * len(chosen) + [1.5])[0]
    for axes, b in zip(frames, chosen, strict=False):
        _stack(axes, profile[b], names, height)
        axes.set_title(f"{edges[b]:.3g} to {edges[b + 1]:.3g} ps", fontsize=8)
    frames[0].set_ylabel(f"z / {unit}")
    image = _reacted(frames[-1], profile, edges, _places(candidate, names), height)
    _events(frames[-1], candidate, height)
    colour_scale(figure, image, frames[-1], "share")
    handles: dict[str, Any] = {}
    for axes in frames[:-1]:
        axes.tick_params(labelleft=axes is frames[0])
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            handles.setdefault(label, handle)
    figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=8)
    return Drawing(
        name,
        figure,
        f"Phases of {candidate.key} along z at {len(chosen)} times, and the reacted share over z and time.",
        "Composition along z: share of the atoms of each slab that resemble each phase, at several times; right, the "
        "share that resembles neither electrolyte nor lithium metal, over z and time (blank: no atoms; dots: bonds "
        "broken for good).",
    )


def _height(candidate: Candidate) -> tuple[float, str]:
    """Return the extent of z: the cell's height in Angstrom where it is known, else 1, a share of it."""
    cells = candidate.series.get("snapshot_cells")
    if cells is None or not np.isfinite(cells).all():
        return 1.0, "cell height"
    cell = np.asarray(cells, dtype=float)[0]
    area = float(np.linalg.norm(np.cross(cell[0], cell[1])))
    height = abs(float(np.linalg.det(cell))) / area if area > 1e-6 else 0.0
    return (height, "Å") if height > 1e-6 else (1.0, "cell height")


def _stack(axes: Axes, counts: np.ndarray, names: list[str], height: float) -> None:
    """Draw the (Z, P + 1) shares of one time as bars side by side, one row for each slab."""
    totals = counts.sum(axis=1, keepdims=True)
    shares = np.divide(counts, totals, out=np.zeros_like(counts), where=totals > 0)
    edges = np.linspace(0, height, len(counts) + 1)
    left = np.zeros(len(counts))
    for i in (int(k) for k in np.flatnonzero(counts.any(axis=0))):
        right = left + shares[:, i]
        axes.fill_betweenx(
            edges, np.append(left, left[-1]), np.append(right, right[-1]), step="post",
            color=phase_colour(names[i], i), label=plain(names[i]), lw=0,
        )  # fmt: skip
        left = right
    axes.set_xlim(0, 1)
    axes.set_ylim(0, height)
    axes.set_xticks([0, 0.5, 1], ["0", "½", "1"])
    axes.set_xlabel("share")


def _places(candidate: Candidate, names: list[str]) -> list[int]:
    """Return the columns of what has reacted: products, and what no phase resembles."""
    roles = candidate.series.get("roles")
    if roles is not None and len(roles) == len(names) - 1:
        return [i for i, role in enumerate([*map(str, roles), "product"]) if role == "product"]
    return [i for i, name in enumerate(names) if name not in ("Li", "Li6PS5Cl")]


def _reacted(axes: Axes, profile: np.ndarray, edges: np.ndarray, columns: list[int], height: float) -> QuadMesh:
    totals = profile.sum(axis=2)
    share = np.divide(profile[:, :, columns].sum(axis=2), totals, out=np.full_like(totals, np.nan), where=totals > 0)
    z = np.linspace(0, height, profile.shape[1] + 1)
    image = axes.pcolormesh(edges, z, share.T, vmin=0, vmax=1, cmap="cividis", rasterized=True)
    axes.set_title("reacted", fontsize=8)
    axes.set_xlabel("time / ps")
    axes.tick_params(labelleft=False)
    return image


def _events(axes: Axes, candidate: Candidate, height: float) -> None:
    """Mark the bonds broken for good where and when they broke."""
    names = ("time", "z", "formed")
    times, z, formed = (np.asarray(candidate.series.get(f"events_{n}", ()), dtype=float) for n in names)
    if len(times) and len(times) == len(z) == len(formed):
        broken = formed == 0
        axes.plot(times[broken] / 1000, z[broken] * height, ".", ms=3, color="white", mec="black", mew=0.3,
                  rasterized=True)  # fmt: skip
