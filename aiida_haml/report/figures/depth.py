"""Along the normal and time: where metal, electrolyte and layer lie, and where charge gathers."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.figure import Figure
from scipy.ndimage import gaussian_filter1d

from aiida_haml.analysis.balance.inventory import BIN
from aiida_haml.analysis.balance.states import HOST, STATES
from aiida_haml.report.data import Candidate
from aiida_haml.report.figures.drawing import STATE_COLOURS, Drawing, colour_scale, styled

#: Times at which the profile is drawn, the share of the trajectory that each averages over, and columns of the map.
MAX_TIMES, WINDOW, MAX_COLUMNS = 3, 0.1, 60
#: Width (standard deviation) of the mean along the normal of charges, Angstrom: of planes that repeat after 5 Angstrom,
#: as those of the hosts do, it leaves less than a hundredth.
PLANES = 2.5
#: What is said of each map.
SAID = {
    "reacted": "the reacted share of the atoms other than lithium (blank: there are none)",
    "formal charge": f"the formal charge, counted from bonds and smoothed by a Gaussian of {PLANES:g} Å, so that "
    "planes of ions cancel (lithium counts as soon as it is no metal: positive where no bond has taken its electron "
    "yet)",
}


def has_profile(candidate: Candidate) -> bool:
    """Return whether the candidate's profile along the normal is known."""
    profile = candidate.series.get("profile")
    return profile is not None and np.ndim(profile) == 3 and len(profile) > 0 and "area" in candidate.series


@styled
def along_z(candidate: Candidate, name: str) -> Drawing:
    """Draw the density of atoms by state at several times, and reacted share and charge over height and time."""
    profile = np.asarray(candidate.series["profile"], dtype=float)
    time = np.asarray(candidate.series["time"], dtype=float) / 1000
    windows = averaged(profile, time)
    density = 1 / (float(candidate.series["area"][0]) * BIN)
    maps = [("reacted", "share", reacted_share(profile, MAX_COLUMNS), (0.0, 1.0), "cividis")]
    if len(charge := np.asarray(candidate.series.get("profile_charge", ()), dtype=float)):  # older ones lack it
        charge = _thinned(smoothed(charge * density * 1000), MAX_COLUMNS)
        strongest = float(np.abs(charge).max()) or 1.0
        maps.append(("formal charge", "e / nm$^3$", charge, (-strongest, strongest), "RdBu_r"))
    figure = Figure(figsize=(9, 3.3), layout="constrained")
    ratios = [1.0] * len(windows) + [1.5] * len(maps)
    frames = figure.subplots(1, len(ratios), squeeze=False, width_ratios=ratios)[0]
    most = 1.05 * density * max(mean.sum(axis=1).max() for _, _, mean in windows)
    for axes, (start, end, mean) in zip(frames, windows, strict=False):
        _stack(axes, mean * density)
        axes.set_xlim(0, most)
        axes.set_title(f"{start:.3g} to {end:.3g} ps", fontsize=8)
        axes.tick_params(labelleft=axes is frames[0])
    frames[0].set_ylabel("height / Å")
    for axes, (title, label, values, limits, colours) in zip(frames[len(windows) :], maps, strict=True):
        colour_scale(figure, _over_time(axes, title, values, time, limits, colours), axes, label)
    figure.legend(*frames[0].get_legend_handles_labels(), loc="outside lower center", ncols=len(STATES))
    return Drawing(
        name,
        figure,
        f"Atoms of {candidate.key} by state along the normal at {len(windows)} times, and over height and time "
        f"{' and '.join(title for title, *_ in maps)}.",
        "Profiles along the normal, from the middle of the metal (or of the vacuum) on: atoms by state at several "
        f"times; then {'; '.join(SAID[title] for title, *_ in maps)}.",
    )


def averaged(profile: np.ndarray, time: np.ndarray) -> list[tuple[float, float, np.ndarray]]:
    """Return the (Z, S) mean profiles at start, middle and end, each with the times that it is the mean of."""
    width = max(1, round(WINDOW * len(profile)))
    starts = np.unique(np.linspace(0, len(profile) - width, MAX_TIMES).round().astype(int))
    return [(float(time[k]), float(time[k + width - 1]), profile[k : k + width].mean(axis=0)) for k in starts]


def _stack(axes: Axes, density: np.ndarray) -> None:
    """Draw (Z, S) densities as bars side by side, one row for each slab."""
    edges = np.arange(len(density) + 1) * BIN
    left = np.zeros(len(density))
    for state, label in enumerate(STATES):
        right = left + density[:, state]
        axes.fill_betweenx(
            edges, np.append(left, left[-1]), np.append(right, right[-1]), step="post",
            color=STATE_COLOURS[label], label=label, lw=0,
        )  # fmt: skip
        left = right
    axes.set_ylim(0, edges[-1])
    axes.set_xlabel("atoms / Å$^3$")


def reacted_share(profile: np.ndarray, columns: int) -> np.ndarray:
    """Return the (columns, Z) reacted share of the atoms other than lithium, NaN where there are none."""
    parts = np.array_split(profile, min(columns, len(profile)))
    counts = np.array([part.sum(axis=0) for part in parts])
    framework = counts[:, :, HOST:].sum(axis=2)
    reacted = counts[:, :, HOST + 1 :].sum(axis=2)
    return np.divide(reacted, framework, out=np.full_like(framework, np.nan), where=framework > 0)


def smoothed(charge: np.ndarray) -> np.ndarray:
    """Return (T, Z) densities averaged over a Gaussian of `PLANES` along the normal, which is periodic."""
    return np.asarray(gaussian_filter1d(charge, PLANES / BIN, axis=1, mode="wrap"))


def _thinned(values: np.ndarray, columns: int) -> np.ndarray:
    return np.array([part.mean(axis=0) for part in np.array_split(values, min(columns, len(values)))])


def _over_time(
    axes: Axes, title: str, values: np.ndarray, time: np.ndarray, limits: tuple[float, float], colours: str
) -> QuadMesh:
    """Draw a map of (columns, Z) values."""
    across = np.linspace(time[0], max(time[-1], time[0] + 1e-6), len(values) + 1)
    heights = np.arange(values.shape[1] + 1) * BIN
    image = axes.pcolormesh(across, heights, values.T, vmin=limits[0], vmax=limits[1], cmap=colours, rasterized=True)
    axes.set_title(title, fontsize=8)
    axes.set_xlabel("time / ps")
    axes.tick_params(labelleft=False)
    return image
