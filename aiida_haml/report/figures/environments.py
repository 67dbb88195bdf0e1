"""The map of environments: every point is one atom in one frame, placed by what surrounds it."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from ase.data import chemical_symbols
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from aiida_haml.report.data import Candidate
from aiida_haml.report.figures.drawing import COLOURS, NONE_ON_WHITE, Drawing, colour_scale, phase_colour, plain, styled

#: Points of one frame, central species drawn, and candidates with a colour of their own.
MAX_MAPPED = 4000
MAX_SPECIES = 6
MAX_COLOURED = 6


def mapped(candidates: Sequence[Candidate]) -> list[Candidate]:
    """Return the candidates whose environments can be mapped."""
    return [c for c in candidates if len(c.environments.get("projected", ())) and len(c.series.get("phases", ()))]


@styled
def environments(candidates: Sequence[Candidate]) -> Drawing:
    """Draw the first two principal components, a row for each central species: by phase, time and candidate."""
    names = [*(str(p) for p in candidates[0].series["phases"]), "none"]
    joined = _joined(candidates)
    species, counts = np.unique(joined["central"], return_counts=True)
    chosen = np.sort(species[np.argsort(-counts, kind="stable")][:MAX_SPECIES])
    figure = Figure(figsize=(9, 0.9 + 2.3 * len(chosen)), layout="constrained")
    frames = figure.subplots(len(chosen), 3, squeeze=False)
    for line, z in zip(frames, chosen, strict=True):
        rows = _drawn(np.flatnonzero(joined["central"] == z))
        x, y = joined["projected"][rows, 0], joined["projected"][rows, 1]
        _by_phase(line[0], x, y, joined["phase"][rows], names)
        image = line[1].scatter(x, y, s=2, c=joined["time"][rows] / 1000, cmap="viridis", lw=0, rasterized=True)
        colour_scale(figure, image, line[1], "time / ps")
        _by_candidate(line[2], x, y, joined["owner"][rows], candidates)
        line[0].set_ylabel(f"{chemical_symbols[int(z)]}: 2nd component")
        for axes in line:
            axes.set_xticks([])
            axes.set_yticks([])
    for axes, title in zip(frames[0], ("by phase resembled", "by time", "by candidate"), strict=True):
        axes.set_title(title)
    for axes in frames[-1]:
        axes.set_xlabel("1st component")
    _legends(figure, frames)
    return Drawing(
        "environments",
        figure,
        "Environments of each central species on their first two principal components, coloured by phase, time and "
        "candidate.",
        f"Map of environments: each point is one atom in one frame, a sample of at most {MAX_MAPPED} for each central "
        "species, on the first two principal components of its descriptor. Points that lie close have alike "
        "surroundings; all candidates share one projection.",
    )


def _joined(candidates: Sequence[Candidate]) -> dict[str, np.ndarray]:
    fields = ("projected", "central", "phase", "time")
    joined = {name: np.concatenate([np.asarray(c.environments[name]) for c in candidates]) for name in fields}
    counts = [len(c.environments["central"]) for c in candidates]
    return joined | {"owner": np.repeat(np.arange(len(candidates)), counts)}


def _drawn(rows: np.ndarray) -> np.ndarray:
    """Return a sample of rows in an order without meaning, so that no class hides another."""
    drawn = np.random.default_rng(0).permutation(rows)
    return np.asarray(drawn[:MAX_MAPPED])


def _by_phase(axes: Axes, x: np.ndarray, y: np.ndarray, phase: np.ndarray, names: list[str]) -> None:
    index = phase.astype(int) % len(names)  # -1, none, is the last
    colours = np.array([NONE_ON_WHITE if n == "none" else phase_colour(n, i) for i, n in enumerate(names)])
    axes.scatter(x, y, s=2, c=colours[index], lw=0, rasterized=True)
    for i in np.unique(index):
        axes.plot([], [], "o", ms=4, color=colours[i], label=plain(names[i]))


def _by_candidate(axes: Axes, x: np.ndarray, y: np.ndarray, owner: np.ndarray, candidates: Sequence[Candidate]) -> None:
    colours = np.array([COLOURS[i] if i < MAX_COLOURED else "#CCCCCC" for i in range(len(candidates))])
    axes.scatter(x, y, s=2, c=colours[owner], lw=0, rasterized=True)
    for i, candidate in enumerate(candidates[:MAX_COLOURED]):
        axes.plot([], [], "o", ms=4, color=colours[i], label=plain(candidate.key))
    if len(candidates) > MAX_COLOURED:
        axes.plot([], [], "o", ms=4, color="#CCCCCC", label="others")


def _legends(figure: Figure, frames: np.ndarray) -> None:
    """Put the phases and the candidates underneath, each under its own column."""
    for column in (0, 2):
        seen: dict[str, Any] = {}
        for axes in frames[:, column]:
            for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
                seen.setdefault(label, handle)
        if column == 0:
            figure.legend(list(seen.values()), list(seen), loc="outside lower left", ncols=4)
        else:
            figure.legend(list(seen.values()), list(seen), loc="outside lower right", ncols=2)
