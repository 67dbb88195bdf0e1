"""The cells at start and end: as data for the viewer in the page, and as figures for print and files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from ase.data import chemical_symbols, covalent_radii
from matplotlib.axes import Axes
from matplotlib.collections import EllipseCollection
from matplotlib.figure import Figure

from aiida_haml.analysis.balance.states import STATES
from aiida_haml.report.data import Candidate
from aiida_haml.report.figures.drawing import COLOURS, STATE_COLOURS, Drawing, styled

#: Atoms of one cell that are shown; of a larger cell, a slice of it.
MAX_ATOMS = 4000
#: Share of the covalent radius that an atom is drawn with.
DRAWN_RADIUS = 0.6
ELEMENT_COLOURS = {
    "Li": "#BBBBBB", "P": "#CC79A7", "S": "#E69F00", "Cl": "#009E73", "O": "#D55E00", "F": "#56B4E9", "Se": "#8B5E3C",
    "C": "#444444", "N": "#0072B2", "H": "#F0F0F0", "Na": "#8A7FBF", "Br": "#7F2704", "I": "#54278F",
}  # fmt: skip
#: From where the static figures look: degrees about the vertical and above the horizon.
TURN, TILT = 25.0, 12.0
FRAMES = ("start", "end")


@dataclass(frozen=True, eq=False)
class Cell:
    """One configuration to be shown, its atoms moved into the cell.

    Attributes
    ----------
    name : str
        'start' or 'end'.
    time_fs : float or None
    cell : (3, 3) array
        Rows are cell vectors, Angstrom.
    positions : (N, 3) array
        Angstrom.
    numbers : (N,) int array
    states : (N,) int array
        See `aiida_haml.analysis.balance.states`.
    n_hidden : int
        Atoms of a large cell that are not among them.
    """

    name: str
    time_fs: float | None
    cell: np.ndarray
    positions: np.ndarray
    numbers: np.ndarray
    states: np.ndarray
    n_hidden: int


def has_cells(candidate: Candidate) -> bool:
    """Return whether the candidate's cells are known."""
    names = ("snapshot_positions", "snapshot_cells", "snapshot_states", "snapshot_numbers")
    return all(name in candidate.series for name in names) and len(candidate.series["snapshot_numbers"]) > 0


def cells(candidate: Candidate) -> list[Cell]:
    """Return the first and the last configuration of a candidate."""
    series = candidate.series
    numbers = np.asarray(series["snapshot_numbers"], dtype=int)
    times = series.get("snapshot_times")
    made = []
    for k, name in enumerate(FRAMES):
        cell = np.asarray(series["snapshot_cells"][k], dtype=float)
        positions = wrapped(np.asarray(series["snapshot_positions"][k], dtype=float), cell)
        shown = _slice(positions, cell)
        states = np.asarray(series["snapshot_states"][k], dtype=int)
        time = None if times is None else float(times[k])
        hidden = len(numbers) - len(shown)
        made.append(Cell(name, time, cell, positions[shown], numbers[shown], states[shown], hidden))
    return made


def wrapped(positions: np.ndarray, cell: np.ndarray) -> np.ndarray:
    """Return (N, 3) positions moved into the cell; as they are where the cell has no volume."""
    if abs(np.linalg.det(cell)) < 1e-6:
        return positions
    return np.asarray((positions @ np.linalg.inv(cell) % 1.0) @ cell)


def _slice(positions: np.ndarray, cell: np.ndarray) -> np.ndarray:
    """Return the atoms to show: all, or those of a slice along the first cell vector if there are too many."""
    if len(positions) <= MAX_ATOMS:
        return np.arange(len(positions))
    along = positions @ np.linalg.inv(cell)[:, 0] if abs(np.linalg.det(cell)) > 1e-6 else positions[:, 0]
    return np.sort(np.argsort(along, kind="stable")[:MAX_ATOMS])


def element_colour(symbol: str) -> str:
    """Return the colour of an element, the same in every figure."""
    fallback = COLOURS[sum(symbol.encode()) % (len(COLOURS) - 1)]
    return ELEMENT_COLOURS.get(symbol, fallback)


def viewer_data(candidates: Sequence[Candidate]) -> list[dict[str, Any]]:
    """Return what the viewer of the page needs, as JSON values; positions in hundredths of an Angstrom."""
    return [
        {
            "label": candidate.label,
            "key": candidate.key,
            "states": [{"name": name, "colour": STATE_COLOURS[name]} for name in STATES],
            "frames": [_frame(cell) for cell in cells(candidate)],
        }
        for candidate in candidates
    ]


def _frame(cell: Cell) -> dict[str, Any]:
    present, index = np.unique(cell.numbers, return_inverse=True)
    symbols = [chemical_symbols[z] for z in present]
    return {
        "name": cell.name,
        "time_fs": None if cell.time_fs is None else round(cell.time_fs, 2),
        "cell": np.round(np.nan_to_num(cell.cell), 3).tolist(),
        "elements": [
            {"name": s, "colour": element_colour(s), "radius": round(float(DRAWN_RADIUS * covalent_radii[z]), 2)}
            for s, z in zip(symbols, present, strict=True)
        ],
        "kinds": index.tolist(),
        "states": cell.states.tolist(),
        "positions": np.rint(100 * np.nan_to_num(cell.positions)).astype(int).ravel().tolist(),
        "hidden": cell.n_hidden,
    }


@styled
def cells_figure(candidate: Candidate, name: str) -> Drawing:
    """Draw start and end, by state and by element, as seen from one side."""
    frames = cells(candidate)
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    axes = figure.subplots(1, 2 * len(frames))
    for k, cell in enumerate(frames):
        _draw(axes[k], cell, [STATE_COLOURS[STATES[i]] for i in cell.states])
        _draw(axes[len(frames) + k], cell, [element_colour(chemical_symbols[z]) for z in cell.numbers])
        for place in (k, len(frames) + k):
            time = "" if cell.time_fs is None else f", {cell.time_fs / 1000:.3g} ps"
            axes[place].set_title(f"{cell.name}{time}", fontsize=8)
    for i in sorted({int(i) for cell in frames for i in cell.states}):
        axes[0].plot([], [], "o", ms=5, color=STATE_COLOURS[STATES[i]], label=STATES[i])
    for symbol in sorted({chemical_symbols[z] for z in frames[0].numbers}):
        axes[-1].plot([], [], "o", ms=5, color=element_colour(symbol), mec="#777777", mew=0.4, label=symbol)
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower left", ncols=5)
    figure.legend(*axes[-1].get_legend_handles_labels(), loc="outside lower right", ncols=5)
    return Drawing(
        name,
        figure,
        f"Cell of {candidate.key} at start and end, coloured by state on the left and by element on the right.",
        "The cell at start and end: left, coloured by the state of each atom; right, by element."
        + (f" A slice: {frames[0].n_hidden} atoms are not drawn." if frames[0].n_hidden else ""),
    )


def view(turn: float, tilt: float) -> np.ndarray:
    """Return the (3, 3) matrix whose columns are right, up and towards the viewer, for z upright; degrees."""
    a, b = np.radians([turn, tilt])
    right = np.array([np.cos(a), np.sin(a), 0.0])
    towards = np.array([np.sin(a) * np.cos(b), -np.cos(a) * np.cos(b), np.sin(b)])
    return np.column_stack([right, np.cross(towards, right), towards])


def _draw(axes: Axes, cell: Cell, colours: Sequence[str]) -> None:
    """Draw atoms from back to front, and the edges of the cell behind them."""
    seen = cell.positions @ view(TURN, TILT)
    order = np.argsort(seen[:, 2], kind="stable")
    corners = np.array([[i, j, k] for i in (0, 1) for j in (0, 1) for k in (0, 1)])
    places = corners @ cell.cell @ view(TURN, TILT)
    for i in range(8):
        for j in range(i):
            if np.abs(corners[i] - corners[j]).sum() == 1:
                axes.plot(places[[i, j], 0], places[[i, j], 1], color="#999999", lw=0.6, zorder=0)
    size = 2 * DRAWN_RADIUS * covalent_radii[cell.numbers[order]]
    axes.add_collection(
        EllipseCollection(
            size, size, np.zeros(len(size)), units="xy", offsets=seen[order, :2], offset_transform=axes.transData,
            facecolors=[colours[i] for i in order], edgecolors="#333333", linewidths=0.25, rasterized=True, zorder=1,
        )
    )  # fmt: skip
    both = np.vstack([seen, places])
    axes.set_xlim(both[:, 0].min() - 1.5, both[:, 0].max() + 1.5)
    axes.set_ylim(both[:, 1].min() - 1.5, both[:, 1].max() + 1.5)
    axes.set_aspect("equal")
    axes.set_axis_off()
