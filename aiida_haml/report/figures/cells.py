"""The cells at start and end: as data for the viewer in the page, and as figures for print and files."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from ase import Atoms
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from aiida_haml.analysis.balance.states import STATES
from aiida_haml.report.data import Candidate
from aiida_haml.report.figures.drawing import STATE_COLOURS, Drawing, styled
from aiida_haml.structures.pictures import draw_atoms, kinds_of, look_of

#: Atoms of one cell that are shown; of a larger cell, a slice of it.
MAX_ATOMS = 4000
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

    @property
    def kinds(self) -> list[str]:
        """What a legend calls each atom, by element, with the metal's own apart."""
        return kinds_of(self.numbers, self.states == STATES.index("metal"))


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
    present, index = np.unique(cell.kinds, return_inverse=True)
    return {
        "name": cell.name,
        "time_fs": None if cell.time_fs is None else round(cell.time_fs, 2),
        "cell": np.round(np.nan_to_num(cell.cell), 3).tolist(),
        "elements": [{"name": k, "colour": look_of(k)[0], "radius": round(look_of(k)[1], 2)} for k in present.tolist()],
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
        _draw(axes[len(frames) + k], cell, [look_of(kind)[0] for kind in cell.kinds])
        for place in (k, len(frames) + k):
            time = "" if cell.time_fs is None else f", {cell.time_fs / 1000:.3g} ps"
            axes[place].set_title(f"{cell.name}{time}", fontsize=8)
    for i in sorted({int(i) for cell in frames for i in cell.states}):
        axes[0].plot([], [], "o", ms=5, color=STATE_COLOURS[STATES[i]], label=STATES[i])
    for kind in sorted({kind for cell in frames for kind in cell.kinds}):
        axes[-1].plot([], [], "o", ms=5, color=look_of(kind)[0], mec="#777777", mew=0.4, label=kind)
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
    radii = [look_of(kind)[1] for kind in cell.kinds]
    draw_atoms(axes, Atoms(cell.numbers, cell.positions, cell=cell.cell), colours, radii, view(TURN, TILT))
    axes.set_axis_off()
    for circles in axes.collections:
        circles.set_rasterized(True)
