"""The cell as built: where its metal is, which way its faces look, how long its parts are."""

from collections import Counter
from dataclasses import dataclass

import numpy as np
from vesin import NeighborList

from aiida_haml.analysis.chemistry.bonds import LITHIUM
from aiida_haml.arrays import BoolArray, FloatArray, IntArray
from aiida_haml.frames import Frames
from aiida_haml.structures.errors import StructureError
from aiida_haml.structures.reservoir import lithium_needed

#: Volume of an atom of bcc lithium at 3.51 Angstrom, Angstrom^3.
LITHIUM_VOLUME = 21.6
#: A stretch without atoms that is longer than this is vacuum, Angstrom.
LEAST_VACUUM = 6.0
#: How far a solid reaches beyond its outermost atoms towards a vacuum, Angstrom.
SURFACE = 1.25
#: Lithium that is not this far out of the electrolyte's other atoms is none of the metal as built, however few its
#: bonds, Angstrom: a cut leaves ions at the surface with one or none.
DEPTH = 0.8
#: A face is where metal is nearer to the electrolyte than this along the normal, Angstrom.
CONTACT = 5.0
#: Metal is lithium that is bound to one anion at most and has this many of its like nearer than this, Angstrom (bcc
#: has 8 at 3.04 and 6 at 3.51).
LITHIUM_NEIGHBOURS, LITHIUM_REACH = 3, 3.9
MOST_ANIONS = 1
#: Lithium that a layer wets is bound to more anions than that, up to this, and metal still if this many of the metal
#: are near: more than the five that an atom on top of a (100) surface has beneath it.
MOST_WETTING, WET_NEIGHBOURS = 2, 6
#: Elements of molecules, whose reactions no oxidation states tell.
MOLECULAR = frozenset("CHN")

LOWER, UPPER, WHOLE = "lower", "upper", "whole"


@dataclass(frozen=True, eq=False)
class BuiltCell:
    """A cell as built: what all that happens in it is counted from.

    Attributes
    ----------
    frame : Frames
        One frame.
    normal : int
        Index of the cell vector that the faces' normal belongs to.
    metal : (N,) bool array
        Which atoms are lithium metal.
    heights : (N,) array
        Places along the normal from the middle of the electrolyte, which is in one piece, Angstrom.
    faces : tuple of str
        `LOWER` and `UPPER`, as the cell has them, or `WHOLE` where there is no metal.
    ends : (float, float)
        Heights of the dividing surfaces of the electrolyte as built, where metal or vacuum begin, Angstrom.
    seam : float
        Where the cell is cut open along the normal: in the middle of the vacuum, or of the metal; Angstrom.
    period : float
        Length of the cell along the normal, Angstrom.
    vacuum : float
        Part of it that is empty, Angstrom.
    area : float
        Of a face, Angstrom^2.
    """

    frame: Frames
    normal: int
    metal: BoolArray
    heights: FloatArray
    faces: tuple[str, ...]
    ends: tuple[float, float]
    seam: float
    period: float
    vacuum: float
    area: float

    @property
    def framework(self) -> BoolArray:
        """(N,) which atoms are not lithium."""
        return np.asarray(self.frame.numbers != LITHIUM)

    @property
    def metal_length(self) -> float:
        """Thickness of the metal, Angstrom."""
        return float(self.metal.sum() * LITHIUM_VOLUME / self.area)

    @property
    def electrolyte_length(self) -> float:
        """Thickness of the electrolyte between its dividing surfaces, Angstrom."""
        return self.ends[1] - self.ends[0]

    @property
    def reservoir(self) -> float:
        """Metallic lithium over what the electrolyte needs to react whole; NaN where that is not known."""
        counts = Counter(np.array(self.frame.symbols)[~self.metal].tolist())
        if MOLECULAR & set(counts):
            return float("nan")
        try:
            needed = lithium_needed(counts)
        except StructureError:  # an element without an oxidation state
            return float("nan")
        return float(self.metal.sum() / needed) if needed else float("nan")


def built_cell(frame: Frames, anion_bonds: IntArray, normal: int | None = None) -> BuiltCell:
    """Return what is to be known of a cell as built.

    Parameters
    ----------
    frame : Frames
        Its first frame is the cell.
    anion_bonds : (N,) array
        Number of anions that each atom is bonded to.
    normal : int, optional
        Index of the cell vector along which metal and electrolyte follow on each other; found where left out: the one
        along which the metal is most in one place.
    """
    frame = frame[0]
    metal = metallic(frame, anion_bonds[None])[0]
    normal = find_normal(frame, metal) if normal is None else normal
    unit, area = _across(frame, normal)
    z = frame.positions[0] @ unit
    periodic = bool(frame.pbc[normal]) and abs(np.linalg.det(frame.cells[0])) > 1e-9
    period = float(frame.cells[0][normal] @ unit) if periodic else float(np.ptp(z)) + 2 * (SURFACE + LEAST_VACUUM)
    framework = frame.numbers != LITHIUM
    heights, half = _in_one_piece(z, framework if framework.any() else np.ones_like(framework), period)
    metal &= np.abs(heights) > half + DEPTH
    empty, middle = _widest_gap(heights, period)
    vacuum = max(empty - 2 * SURFACE, 0.0) if empty > LEAST_VACUUM else 0.0
    if not metal.any():
        outer = min(half + SURFACE, period / 2)
        return BuiltCell(frame, normal, metal, heights, (WHOLE,), (-outer, outer), period / 2, period, vacuum, area)
    if not vacuum:
        middle = float(np.mean(np.where(heights[metal] < -half, heights[metal] + period, heights[metal])))
    seam = (middle + half) % period - half
    heights = _wrapped(heights, seam, period)
    near = {
        UPPER: heights[metal & (heights > half)] - half,
        LOWER: -half - heights[metal & (heights < -half)],
    }
    faces = tuple(name for name in (LOWER, UPPER) if near[name].min(initial=np.inf) < CONTACT)
    ends = _ends(heights[metal], half, period if not vacuum else np.inf, LITHIUM_VOLUME / area)
    return BuiltCell(frame, normal, metal, heights, faces or (WHOLE,), ends, seam, period, vacuum, area)


def _ends(metal: FloatArray, half: float, period: float, per_atom: float) -> tuple[float, float]:
    """Return where the metal's equimolar surfaces are on either side of an electrolyte of known half extent."""
    if np.isfinite(period):
        middle, thick = float(np.mean(metal + period * (metal < 0))), len(metal) * per_atom
        return middle + thick / 2 - period, middle - thick / 2
    above, below = metal[metal > 0], metal[metal < 0]
    upper = float(above.mean() - len(above) * per_atom / 2) if len(above) else half + SURFACE
    lower = float(below.mean() + len(below) * per_atom / 2) if len(below) else -half - SURFACE
    return lower, upper


def metallic(frames: Frames, anion_bonds: IntArray) -> BoolArray:
    """Return (F, N) which atoms are lithium metal: bound to one anion at most and among its like, or wet and on these.

    Parameters
    ----------
    frames : Frames
    anion_bonds : (F, N) array
        Number of anions that each atom is bonded to.
    """
    lithium = frames.numbers == LITHIUM
    found = np.zeros(anion_bonds.shape, dtype=bool)
    neighbours = NeighborList(cutoff=LITHIUM_REACH, full_list=True)
    for f, bonds in enumerate(anion_bonds):
        atoms = np.flatnonzero(lithium & (bonds <= MOST_WETTING))
        bare = bonds[atoms] <= MOST_ANIONS
        if bare.sum() > LITHIUM_NEIGHBOURS:
            pairs = neighbours.compute(frames.positions[f, atoms], frames.cells[f], frames.pbc, "ij")
            i, j = (ends.astype(np.int64) for ends in pairs)
            metal = bare & (np.bincount(i[bare[j]], minlength=len(atoms)) >= LITHIUM_NEIGHBOURS)
            found[f, atoms] = metal | (np.bincount(i[metal[j]], minlength=len(atoms)) >= WET_NEIGHBOURS)
    return found


def find_normal(frame: Frames, metal: BoolArray) -> int:
    """Return the index of the cell vector along which the metal is most in one place; the third if there is none."""
    if not metal.any() or abs(np.linalg.det(frame.cells[0])) < 1e-9:
        return 2
    scaled = np.linalg.solve(frame.cells[0].T, frame.positions[0, metal].T)
    return int(np.abs(np.exp(2j * np.pi * scaled).mean(axis=1)).argmax())


def _across(frame: Frames, normal: int) -> tuple[FloatArray, float]:
    """Return the unit vector across the plane of the two other cell vectors, and the area that they span."""
    cell = frame.cells[0]
    cross = np.cross(cell[(normal + 1) % 3], cell[(normal + 2) % 3])
    area = float(np.linalg.norm(cross))
    if area < 1e-9:
        raise ValueError("The cell has no area across its normal; give frames with the cell that they were made in.")
    return cross / area, area


def _in_one_piece(z: FloatArray, chosen: BoolArray, period: float) -> tuple[FloatArray, float]:
    """Return heights from the middle of the chosen atoms, put together across the widest gap, and half their extent."""
    layers = np.sort(z[chosen] % period)
    gaps = np.diff(np.append(layers, layers[0] + period))
    start = layers[(int(gaps.argmax()) + 1) % len(layers)]
    length = period - gaps.max()
    middle = start + length / 2
    return np.asarray((z - middle + period / 2) % period - period / 2), float(length / 2)


def _widest_gap(heights: FloatArray, period: float) -> tuple[float, float]:
    """Return length and middle of the widest stretch without atoms."""
    layers = np.sort(heights)
    gaps = np.diff(np.append(layers, layers[0] + period))
    k = int(gaps.argmax())
    return float(gaps[k]), float(layers[k] + gaps[k] / 2)


def _wrapped(heights: FloatArray, seam: float, period: float | FloatArray) -> FloatArray:
    """Return heights below the seam and not more than a period under it."""
    return np.asarray(seam - (seam - heights) % period)
