"""Cells as pictures: one palette and one way to draw atoms, for files and for the report.

Atoms are circles in the colour of their element, paler the farther they lie from the viewer; atoms of the metal have a
colour of their own. The same cell gives the same bytes.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib as mpl
import numpy as np
from ase import Atoms
from ase.data import atomic_numbers, chemical_symbols, covalent_radii
from ase.data.colors import jmol_colors
from matplotlib.axes import Axes
from matplotlib.collections import EllipseCollection, LineCollection
from matplotlib.colors import to_hex, to_rgb, to_rgba_array
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from aiida_haml.arrays import FloatArray
from aiida_haml.structures.checks import VACUUM
from aiida_haml.structures.errors import StructureError

#: Colours of the elements, told apart by colour-blind readers too; others have those of Jmol.
COLOURS = {
    "Li": "#8E7CC3", "P": "#D55E00", "S": "#F0C419", "Cl": "#2E9E6B", "O": "#C0392B", "F": "#56B4E9",
    "Se": "#8B5E3C", "Br": "#7B4B2A", "I": "#5E2A84", "C": "#4A4A4A", "H": "#E8E8E8", "N": "#3B5BA5",
}  # fmt: skip
#: Radii of the circles, Angstrom: small enough that depth can be seen. Others have 0.6 of the covalent radius.
RADII = {"Li": 0.55, "P": 0.62, "S": 0.78, "Cl": 0.78, "Se": 0.86, "Br": 0.86, "O": 0.55, "F": 0.55, "H": 0.28}
#: Atoms of the metal, by what follows their symbol.
METAL, METAL_COLOUR, METAL_RADIUS = " (metal)", "#AEB4BD", 0.85
OUTLINE = "#C2185B"
#: Bands behind the regions.
BANDS = {"electrolyte": "#E4EEFA", "metal": "#ECECEC", "liquid": "#E0F3EE"}
OTHER_BAND = "#F6EFE3"

#: How far a region's band reaches beyond its atoms, and a view beyond the cell, Angstrom.
MARGIN = 1.0
#: Steps of depth from the back to the front, and how pale the farthest atoms are.
DEPTHS, HAZE = 24, 0.5
#: Inches: both views together are no wider and no higher.
WIDTH, HEIGHT = 10.5, 5.2
#: Columns: right, up and towards the viewer. From the side, z points to the right.
SIDE, TOP = np.eye(3)[:, [2, 0, 1]], np.eye(3)
_CORNERS = np.array([(i, j, k) for i in (0, 1) for j in (0, 1) for k in (0, 1)])


def kinds_of(numbers: Sequence[int] | NDArray[np.int64], metal: Sequence[bool] | NDArray[np.bool_]) -> list[str]:
    """Return what a legend calls each of N atoms: its symbol, or 'Li (metal)'."""
    return [chemical_symbols[z] + METAL * bool(is_metal) for z, is_metal in zip(numbers, metal, strict=True)]


def look_of(kind: str) -> tuple[str, float]:
    """Return the colour of a kind of atom and the radius of its circle, Angstrom."""
    if kind.endswith(METAL):
        return METAL_COLOUR, METAL_RADIUS
    number = atomic_numbers[kind]
    return COLOURS.get(kind, to_hex(jmol_colors[number])), RADII.get(kind, float(0.6 * covalent_radii[number]))


def draw_atoms(
    axes: Axes,
    atoms: Atoms,
    colours: Sequence[str],
    radii: Sequence[float],
    view: FloatArray,
    outlined: Sequence[int] = (),
) -> None:
    """Draw N atoms from back to front, and the edges of the cell behind them.

    Parameters
    ----------
    axes : Axes
        Its units become Angstrom.
    atoms : Atoms
    colours, radii : (N,) sequences
        Radii in Angstrom.
    view : (3, 3) array
        Its columns point right, up and towards the viewer.
    outlined : sequence of int
        Atoms with a thick outline.
    """
    seen, corners, sizes = atoms.positions @ view, _CORNERS @ atoms.cell.array @ view, np.asarray(radii)
    edges = [corners[[i, i | bit], :2] for i in range(8) for bit in (1, 2, 4) if not i & bit]
    axes.add_collection(LineCollection(edges, colors="#555555", linewidths=0.6, zorder=1))
    near = (seen[:, 2] - seen[:, 2].min()) / max(float(np.ptp(seen[:, 2])), 1e-9)
    faces = 1 - (1 - to_rgba_array(colours)[:, :3]) * (1 - HAZE * (1 - near))[:, None]
    rims, widths = 0.62 * faces, np.full(len(atoms), 0.4)
    rims[list(outlined)], widths[list(outlined)] = to_rgb(OUTLINE), 1.8
    steps = np.ceil(DEPTHS * near)
    # One step and one size at a time, the largest first: SVG then holds each circle once and refers to it.
    for step, size in sorted({*zip(steps, sizes, strict=True)}, key=lambda pair: (pair[0], -pair[1])):
        here = np.flatnonzero((steps == step) & (sizes == size))
        axes.add_collection(
            EllipseCollection(
                [2 * size], [2 * size], [0], units="xy", offsets=seen[here, :2], offset_transform=axes.transData,
                facecolors=faces[here], edgecolors=rims[here], linewidths=widths[here], zorder=2,
            )
        )  # fmt: skip
    both = np.vstack([seen, corners])
    axes.set(xlim=_reach(both[:, 0]), ylim=_reach(both[:, 1]), aspect="equal")


def _reach(places: FloatArray) -> tuple[float, float]:
    return float(places.min()) - MARGIN, float(places.max()) + MARGIN


def draw(
    atoms: Atoms,
    regions: Mapping[str, Sequence[int]],
    path: str | Path,
    *,
    outlined: Sequence[int] = (),
    title: str | None = None,
) -> None:
    """Write a picture of a cell: from the side, with the normal to the right, and from above, both at one scale.

    Regions lie behind the side view as bands; a vacuum is left white.

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
    form = Path(path).suffix.lower().removeprefix(".")
    if form not in ("png", "svg"):
        raise StructureError("path", str(path), "has no suffix of a picture", "Write to a .png or .svg file.")
    if not len(atoms):
        raise StructureError("atoms", 0, "is nothing to draw", "Give a cell with atoms in it.")
    _require_indices(atoms, {**regions, "outlined": outlined})
    metadata = {"Software": None} if form == "png" else {"Date": None, "Creator": None}
    with mpl.rc_context({"svg.hashsalt": "cell", "svg.fonttype": "none", "font.size": 9, "font.family": "DejaVu Sans"}):
        _figure(atoms, regions, outlined, title).savefig(path, format=form, dpi=200, metadata=metadata)


def _require_indices(atoms: Atoms, groups: Mapping[str, Sequence[int]]) -> None:
    for name, indices in groups.items():
        wrong = [int(i) for i in indices if not 0 <= i < len(atoms)]
        if wrong:
            raise StructureError(
                f"regions.{name}", wrong, f"are no indices of {len(atoms)} atoms", "Give the regions of this cell."
            )


def _figure(atoms: Atoms, regions: Mapping[str, Sequence[int]], outlined: Sequence[int], title: str | None) -> Figure:
    kinds = kinds_of(atoms.numbers, np.isin(np.arange(len(atoms)), list(regions.get("metal", ()))))
    colours, radii = zip(*map(look_of, kinds), strict=True)
    x, y, z = np.ptp(np.vstack([atoms.positions, _CORNERS @ atoms.cell.array]), axis=0) + 2 * MARGIN
    scale = min(WIDTH / (x + z), HEIGHT / max(x, y))
    width, height = max(scale * (x + z), 4.2) + 0.6, scale * max(x, y) + 1.7
    figure = Figure(figsize=(width, height))
    room = {"left": 0.2 / width, "right": 1 - 0.2 / width, "bottom": 0.9 / height, "top": 1 - 0.8 / height}
    panels = figure.subplots(1, 2, width_ratios=(z, x), gridspec_kw={**room, "wspace": 0.04})
    named = ("side view, normal to the right", "top view, onto the metal")
    for axes, view, name in zip(panels, (SIDE, TOP), named, strict=True):
        draw_atoms(axes, atoms, colours, radii, view, outlined)
        axes.set_ylim(top=axes.get_ylim()[0] + max(x, y))
        axes.set_title(name, fontsize=8.5, color="#555555", pad=16)
        axes.set_yticks([])
        axes.spines[:].set_visible(False)
    _bands(panels[0], atoms, regions)
    panels[0].set_xlabel("z / Å", labelpad=1)
    panels[1].set_xticks([])
    _legend(figure, kinds, [kinds[i] for i in outlined])
    if title:
        figure.text(0.5, 1 - 0.06 / height, title, ha="center", va="top", fontsize=11.5)
    return figure


def _bands(axes: Axes, atoms: Atoms, regions: Mapping[str, Sequence[int]]) -> None:
    """Lay a band behind each region, in as many pieces as a vacuum divides it into, with its name above."""
    for name, indices in regions.items():
        levels = np.sort(atoms.positions[np.asarray(indices, dtype=int), 2])
        for piece in np.split(levels, np.flatnonzero(np.diff(levels) > VACUUM) + 1):
            if len(piece):
                left, right = piece[0] - MARGIN, piece[-1] + MARGIN
                axes.axvspan(left, right, color=BANDS.get(name, OTHER_BAND), linewidth=0, zorder=0)
                place = axes.get_xaxis_transform()
                axes.text((left + right) / 2, 1.01, name, transform=place, ha="center", va="bottom", fontsize=8.5)


def _legend(figure: Figure, kinds: Sequence[str], outlined: Sequence[str]) -> None:
    """Name the kinds of atoms, most frequent first, and the outline."""
    handles = []
    for kind in sorted(set(kinds), key=lambda kind: (kind.endswith(METAL), -kinds.count(kind), kind)):
        colour, _ = look_of(kind)
        name = f"{kind} (ion)" if kind + METAL in kinds else kind
        rim = (OUTLINE, 1.8) if kind in outlined else ("#555555", 0.6)
        handles.append(
            Line2D(
                [], [], linestyle="", marker="o", markersize=8, label=name + ", dopant" * (kind in outlined),
                markerfacecolor=colour, markeredgecolor=rim[0], markeredgewidth=rim[1],
            )
        )  # fmt: skip
    figure.legend(
        handles=handles, loc="lower center", ncols=min(len(handles), 8), frameon=False, fontsize=8.5,
        handletextpad=0.1, columnspacing=1.2,
    )  # fmt: skip
