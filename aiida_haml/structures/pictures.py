"""A picture of a cell: from the side, with the normal to the right, and from above, both at one scale.

Atoms are circles in the colour of their element, paler the farther they lie from the viewer; lithium of the
metal has a colour of its own. Regions lie behind the side view as bands, a vacuum is left white. The same cell
gives the same bytes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl
import numpy as np
from ase import Atoms
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from aiida_haml.structures.checks import VACUUM
from aiida_haml.structures.colours import BANDS, OTHER_BAND, OUTLINE, colour_of, looks_of, rim_of
from aiida_haml.structures.errors import StructureError
from aiida_haml.structures.geometry import PHOSPHORUS_BOND, TETRAHEDRON_ANIONS

FloatArray = NDArray[np.float64]

#: How far a region's band reaches beyond its atoms, and a view beyond the cell, Angstrom.
MARGIN = 1.0

#: Steps of depth from the back to the front, and how pale the farthest atoms are.
DEPTHS = 24
HAZE = 0.62

#: Inches: the drawings together are no wider and no higher.
WIDTH, HEIGHT = 10.5, 5.2


@dataclass(frozen=True, eq=False)
class _View:
    """How the atoms are looked at: which axes point right, up and to the viewer (with their signs)."""

    name: str
    right: int
    up: int
    front: int
    sign: float

    def flat(self, points: FloatArray) -> FloatArray:
        """Return (N, 2) of (N, 3) points."""
        return points[:, [self.right, self.up]]

    def depth(self, points: FloatArray) -> FloatArray:
        """Return the (N,) heights towards the viewer."""
        return self.sign * points[:, self.front]


#: x upwards, z to the right: the viewer looks along -y, where y points to them (right-handed).
SIDE = _View("side view, normal to the right", 2, 0, 1, 1.0)
TOP = _View("top view, onto the metal", 0, 1, 2, 1.0)


def draw(
    atoms: Atoms,
    regions: Mapping[str, Sequence[int]],
    path: str | Path,
    *,
    outlined: Sequence[int] = (),
    title: str | None = None,
) -> None:
    """Write a picture of a cell.

    Parameters
    ----------
    atoms : Atoms
        Periodic, its third vector along z.
    regions : mapping
        Indices of the atoms of each region: 'electrolyte', 'metal', 'liquid', or another name.
    path : str or Path
        PNG or SVG, by its suffix.
    outlined : sequence of int
        Atoms with a thick outline: the dopants.
    title : str, optional

    Raises
    ------
    StructureError
        If there is nothing to draw, an index is not that of an atom, or the suffix is another one.
    """
    target = Path(path)
    if target.suffix.lower() not in (".png", ".svg"):
        raise StructureError("path", str(path), "has no suffix of a picture", "Write to a .png or .svg file.")
    if not len(atoms):
        raise StructureError("atoms", 0, "is nothing to draw", "Give a cell with atoms in it.")
    _require_indices(atoms, {**regions, "outlined": outlined})
    with mpl.rc_context({"svg.hashsalt": "cell", "svg.fonttype": "none", "font.size": 9, "font.family": "DejaVu Sans"}):
        figure = _figure(atoms, regions, np.asarray(outlined, dtype=int), title)
        if target.suffix.lower() == ".svg":
            figure.savefig(target, format="svg", metadata={"Date": None, "Creator": None})
        else:
            figure.savefig(target, format="png", dpi=200, metadata={"Software": None})


def _require_indices(atoms: Atoms, groups: Mapping[str, Sequence[int]]) -> None:
    for name, indices in groups.items():
        wrong = [int(i) for i in indices if not 0 <= i < len(atoms)]
        if wrong:
            raise StructureError(
                f"regions.{name}", wrong, f"are no indices of {len(atoms)} atoms", "Give the regions of this cell."
            )


def _figure(
    atoms: Atoms, regions: Mapping[str, Sequence[int]], outlined: NDArray[np.int64], title: str | None
) -> Figure:
    """Lay out both views at one scale, the legend below."""
    views = (SIDE, TOP)
    boxes = [_extent(atoms, view) for view in views]
    sizes = np.array([box[1] - box[0] for box in boxes])  # (2, 2): width and height, Angstrom
    between, above, below, edge = 0.4, 0.85 if title else 0.5, 0.8, 0.2
    scale = min((WIDTH - between) / sizes[:, 0].sum(), HEIGHT / sizes[:, 1].max())
    width = max(scale * sizes[:, 0].sum() + between, 4.2) + 2 * edge
    height = scale * sizes[:, 1].max() + above + below
    figure = Figure(figsize=(width, height))
    left = (width - scale * sizes[:, 0].sum() - between) / 2
    looks = looks_of(atoms, regions)
    for view, box, size in zip(views, boxes, sizes, strict=True):
        bottom = below + scale * (sizes[:, 1].max() - size[1])
        axes = figure.add_axes((left / width, bottom / height, scale * size[0] / width, scale * size[1] / height))
        axes.set_xlim(box[0, 0], box[1, 0])
        axes.set_ylim(box[0, 1], box[1, 1])
        axes.set_axis_off()
        left += scale * size[0] + between
        if view is SIDE:
            _bands(axes, atoms, regions)
        _cell(axes, atoms, view)
        _atoms(axes, atoms, view, looks, outlined, 72 * scale)
        axes.set_title(view.name, fontsize=8.5, color="#555555", pad=16 if view is SIDE else 4)
        if view is SIDE:
            _scale_bar(figure, axes, float(size[0]), scale / height)
    _legend(figure, atoms, regions, outlined)
    if title:
        figure.text(0.5, 1 - 0.06 / height, title, ha="center", va="top", fontsize=11.5)
    return figure


def _extent(atoms: Atoms, view: _View) -> FloatArray:
    """Return the (2, 2) lowest and highest corner of what a view shows, Angstrom."""
    points = np.concatenate([view.flat(atoms.positions), view.flat(_corners(atoms))])
    return np.array([points.min(axis=0) - MARGIN, points.max(axis=0) + MARGIN])


def _corners(atoms: Atoms) -> FloatArray:
    """Return the (8, 3) corners of the cell, Angstrom."""
    steps = np.array([(i, j, k) for i in (0, 1) for j in (0, 1) for k in (0, 1)])
    return np.asarray(steps @ atoms.cell.array)


def _cell(axes: Axes, atoms: Atoms, view: _View) -> None:
    corners = view.flat(_corners(atoms))
    edges = [(i, i | bit) for i in range(8) for bit in (1, 2, 4) if not i & bit]
    axes.add_collection(
        LineCollection([corners[list(edge)] for edge in edges], colors="#333333", linewidths=0.7, zorder=1)
    )


def _atoms(
    axes: Axes,
    atoms: Atoms,
    view: _View,
    looks: tuple[FloatArray, FloatArray],
    outlined: NDArray[np.int64],
    points_per_angstrom: float,
) -> None:
    """Draw circles and the bonds of PS4 units in steps of depth, from the back."""
    colours, radii = looks
    depth = view.depth(atoms.positions)
    nearness = (depth - depth.min()) / max(float(np.ptp(depth)), 1e-9)
    step = np.minimum((nearness * DEPTHS).astype(int), DEPTHS - 1)
    haze = (HAZE * (1 - nearness))[:, None]
    faces = colours * (1 - haze) + haze
    rims = faces * 0.62
    marked = np.zeros(len(atoms), dtype=bool)
    marked[outlined] = True
    rims[marked] = to_rgb(OUTLINE)
    thin = float(np.clip(0.035 * points_per_angstrom, 0.15, 0.6))
    widths = np.where(marked, max(1.2, 3 * thin), thin)
    flat = view.flat(atoms.positions)
    owners, stubs = _half_bonds(atoms, view)
    for k in range(DEPTHS):
        bonds = np.flatnonzero(step[owners] == k)
        if len(bonds):
            axes.add_collection(
                LineCollection(
                    list(stubs[bonds]),
                    colors=faces[owners[bonds]] * 0.8,
                    linewidths=0.2 * points_per_angstrom,
                    capstyle="butt",
                    zorder=2 + k,
                )
            )
        at_depth = np.flatnonzero(step == k)
        # One size at a time, the largest first: SVG then holds each circle once and refers to it.
        for radius in np.unique(radii[at_depth])[::-1]:
            here = at_depth[radii[at_depth] == radius]
            here = here[np.argsort(depth[here], kind="stable")]
            axes.scatter(
                flat[here, 0],
                flat[here, 1],
                s=(2 * float(radius) * points_per_angstrom) ** 2,
                c=faces[here],
                edgecolors=rims[here],
                linewidths=widths[here].tolist(),
                zorder=2.5 + k,
            )


def _half_bonds(atoms: Atoms, view: _View) -> tuple[NDArray[np.int64], FloatArray]:
    """Return whose each half bond of a P with its anions is (B,), and its ends in the view (B, 2, 2)."""
    from vesin import NeighborList  # as in checks: brings torch where that is installed

    symbols = np.array(atoms.get_chemical_symbols())
    i, j, vectors = NeighborList(cutoff=PHOSPHORUS_BOND, full_list=True, sorted=True).compute(
        points=atoms.positions, box=atoms.cell.array, periodic=atoms.pbc.tolist(), quantities="ijD"
    )
    anion = np.isin(symbols, TETRAHEDRON_ANIONS)
    bonds = ((symbols[i] == "P") & anion[j]) | ((symbols[j] == "P") & anion[i])
    owners, half = i[bonds].astype(np.int64), vectors[bonds] / 2
    start = atoms.positions[owners]
    return owners, np.stack([view.flat(start), view.flat(start + half)], axis=1)


def _bands(axes: Axes, atoms: Atoms, regions: Mapping[str, Sequence[int]]) -> None:
    """Lay a band behind each region, in as many pieces as a vacuum divides it into, with its name above."""
    corners = SIDE.flat(_corners(atoms))
    low, high = corners[:, 1].min(), corners[:, 1].max()
    end = float(corners[:, 0].max())
    for name, indices in regions.items():
        if not len(indices):
            continue
        levels = np.sort(atoms.positions[np.asarray(indices, dtype=int), 2])
        for piece in np.split(levels, np.flatnonzero(np.diff(levels) > VACUUM) + 1):
            left, right = max(float(piece[0]) - MARGIN, 0.0), min(float(piece[-1]) + MARGIN, end)
            colour = BANDS.get(name, OTHER_BAND)
            axes.add_patch(Rectangle((left, low), right - left, high - low, color=colour, linewidth=0, zorder=0))
            middle, top = (left + right) / 2, axes.get_ylim()[1]
            axes.text(middle, top, name, ha="center", va="bottom", fontsize=8.5, color="#222222", clip_on=False)


def _scale_bar(figure: Figure, axes: Axes, width: float, per_angstrom: float) -> None:
    """Draw a bar of 2, 5, 10 or 20 Angstrom under the left end of a view ``width`` Angstrom wide."""
    length = max((n for n in (2, 5, 10, 20) if n <= width / 3), default=2)
    box = axes.get_position()
    y = box.y0 - 0.15 * per_angstrom
    start = box.x0 + 0.9 * box.width / width
    end = start + length * box.width / width
    figure.add_artist(Line2D([start, end], [y, y], color="black", linewidth=2.2, solid_capstyle="butt"))
    figure.text((start + end) / 2, y - 0.02, f"{length} Å", ha="center", va="top", fontsize=8)


def _legend(figure: Figure, atoms: Atoms, regions: Mapping[str, Sequence[int]], outlined: NDArray[np.int64]) -> None:
    """Name the elements, most frequent first, the metal's own and the outline."""
    symbols = np.array(atoms.get_chemical_symbols())
    metal = np.zeros(len(atoms), dtype=bool)
    metal[np.asarray(regions.get("metal", ()), dtype=int)] = True
    marked = {str(symbol) for symbol in symbols[outlined]}
    counts = {str(s): int((symbols[~metal] == s).sum()) for s in np.unique(symbols[~metal])}
    entries = [
        (f"{symbol}{' (ion)' if symbol in symbols[metal] else ''}", colour_of(symbol, False), symbol in marked)
        for symbol, _ in sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    ]
    entries += [(f"{symbol} (metal)", colour_of(symbol, True), False) for symbol in np.unique(symbols[metal])]
    handles = [
        Line2D(
            [], [], linestyle="", marker="o", markersize=8, label=f"{label}, dopant" if outline else label,
            markerfacecolor=colour, markeredgecolor=to_rgb(OUTLINE) if outline else rim_of(colour),
            markeredgewidth=1.8 if outline else 0.6,
        )
        for label, colour, outline in entries
    ]  # fmt: skip
    figure.legend(
        handles=handles,
        loc="lower center",
        ncols=min(len(handles), 8),
        frameon=False,
        fontsize=8.5,
        handletextpad=0.1,
        columnspacing=1.2,
    )
