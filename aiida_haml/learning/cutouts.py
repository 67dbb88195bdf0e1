"""Cut-outs: small periodic cells taken from a wide one, so that ab initio can say how a potential does in it.

A wide cell cannot be labelled, but what an atom feels is mostly near it. A cut-out is a box around an atom, a whole
fraction of the wide cell, made periodic. Where its walls meet, atoms face others than in the wide cell; so only its
*inner* atoms count, whose surroundings it shares with the wide cell. Potential and ab initio see the same cut-out, so
that their difference is an error whatever became of its walls. (MLIP-3 cuts boxes out of large cells to learn from,
Podryabinkin et al., J. Chem. Phys. 159, 084112 (2023); that inner atoms judge a run is our choice.)
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import vesin
from ase.data import covalent_radii
from numpy.typing import NDArray

from aiida_haml.arrays import FloatArray
from aiida_haml.frames import Frames
from aiida_haml.learning.selection import Novelty
from aiida_haml.settings import Settings, require_integer, require_number

#: Of atoms that face each other across a wall, closer than this share of the sum of covalent radii, one is left out.
CLASH = 0.8
#: Scaled coordinates that differ by less are one.
ON_THE_WALL = 1e-9
#: Farthest that two atoms of any elements can clash, Angstrom.
_CLASH_REACH = 4.0


@dataclass(frozen=True)
class CutoutSettings(Settings):
    """How often and where a run of a wide cell is looked into. Our choice.

    Attributes
    ----------
    n_stretch : int
        Steps between two looks.
    n_moments : int
        Frames of such a stretch that are looked into, its last one among them; two cut-outs are taken of each.
    width : float
        Least width of a cut-out, Angstrom.
    reach : float
        An atom is inner if all within this distance of it are its neighbours in the wide cell too, Angstrom: its first
        shell.
    n_known : int
        Most labels that atoms are compared with.
    """

    n_stretch: int = 1000
    n_moments: int = 3
    width: float = 9.0
    reach: float = 3.5
    n_known: int = 200

    def __post_init__(self) -> None:
        require_integer("n_stretch", self.n_stretch, 1)
        require_integer("n_moments", self.n_moments, 1)
        require_integer("n_known", self.n_known, 0)
        require_number("reach", self.reach)
        require_number("width", self.width, 2 * self.reach)


@dataclass(frozen=True)
class Spot:
    """Where a wide cell is looked into, and why."""

    frame: int
    atom: int
    kind: str
    reason: str


@dataclass(frozen=True)
class Cutout:
    """A small periodic cell.

    Attributes
    ----------
    frame : Frames
        One frame.
    atoms : (M,) int array
        Which atoms of the wide cell it holds.
    inner : (M,) bool array
        Those whose surroundings are the wide cell's.
    n_left_out : int
        Atoms of the box that clashed with others across a wall.
    """

    frame: Frames
    atoms: NDArray[np.int64]
    inner: NDArray[np.bool_]
    n_left_out: int


def spots(
    frames: Frames,
    breach: Frames | None,
    known: Sequence[Frames],
    settings: CutoutSettings,
    seed: int,
    breaching: int | None = None,
) -> list[Spot]:
    """Choose where a stretch of a wide cell is looked into: at frames evenly spread, at two atoms of each.

    One is the atom that is least like all labels, the other is drawn: the first finds what is worst, the second says
    how the potential does in general.

    Parameters
    ----------
    frames : Frames
        The stretch; its first frame is not looked into.
    breach : Frames, optional
        What lies behind it; the last one, where the watch ended it, is looked into as well.
    known : sequence of Frames
        Labelled frames, of any atoms.
    settings : CutoutSettings
    seed : int
    breaching : int, optional
        The atom that ended it; the one that is least like all labels where it was no single one.
    """
    n = min(settings.n_moments, len(frames) - 1)
    moments = np.unique(np.linspace(0, len(frames) - 1, n + 1).round().astype(int))[1:]
    parts = [frames[np.append(0, moments)], *([] if breach is None else [breach[len(breach) - 1]])]
    looked_into = _bare(parts)
    # What a stretch begins with is not labelled, as no label holds the whole cell: it is a measure only without any.
    novelty, rows = Novelty(looked_into, known or [looked_into[:1]]), np.arange(len(looked_into))
    random = np.random.default_rng(seed)
    chosen = []
    for row, moment in enumerate(moments.tolist(), start=1):
        chosen.append(_strangest(novelty, rows == row, looked_into.symbols, moment, "far"))
        drawn = int(random.integers(frames.n_atoms))
        chosen.append(Spot(moment, drawn, "drawn", f"{frames.symbols[drawn]} atom {drawn}, drawn by the seed."))
    if breach is not None and breaching is None:
        chosen.append(_strangest(novelty, rows == rows[-1], looked_into.symbols, len(breach) - 1, "breach"))
    elif breach is not None and breaching is not None:
        chosen.append(Spot(len(breach) - 1, breaching, "breach", "Here the watch ended the stretch."))
    return chosen


def _strangest(novelty: Novelty, allowed: NDArray[np.bool_], symbols: Sequence[str], moment: int, kind: str) -> Spot:
    found = novelty.farthest(allowed)
    if found is None:
        return Spot(moment, 0, kind, "All of it is labelled.")
    _, atom, value = found
    told = f"{symbols[atom]} atom {atom} is {value:.1f} times as far from all labels as is usual."
    return Spot(moment, atom, kind, told)


def _bare(parts: Sequence[Frames]) -> Frames:
    first = parts[0]
    positions, cells = (np.concatenate([getattr(part, name) for part in parts]) for name in ("positions", "cells"))
    return Frames(first.numbers, positions, cells, first.pbc)


def divisions(cell: FloatArray, width: float, thick: int = 2) -> tuple[int, int, int]:
    """Return into how many boxes each cell vector can be divided, so that none is narrower than a width.

    Parameters
    ----------
    cell : (3, 3) array
        Angstrom.
    width : float
        Angstrom, between opposite walls.
    thick : int
        The direction that is never divided: across the interface, where a cut would make a surface.

    Raises
    ------
    ValueError
        If the cell is not wide enough to be divided at all.
    """
    widths = 1 / np.linalg.norm(np.linalg.inv(cell), axis=0)
    counts = [1 if axis == thick else max(int(widths[axis] / width + 1e-9), 1) for axis in range(3)]
    if max(counts) == 1:
        raise ValueError(
            f"The cell is {' x '.join(f'{w:.1f}' for w in np.delete(widths, thick))} Å wide along the interface, and a "
            f"cut-out has to be {width:g} Å; a cell this small can be followed by the hybrid dynamics itself."
        )
    return counts[0], counts[1], counts[2]


def cut_out(frame: Frames, atom: int, counts: tuple[int, int, int], reach: float) -> Cutout:
    """Cut the box around an atom out of a wide cell and make it periodic.

    Parameters
    ----------
    frame : Frames
        One frame.
    atom : int
        In the middle of the box.
    counts : tuple of int
        As `divisions` gives them.
    reach : float
        See `CutoutSettings`, Angstrom.
    """
    cell, share = frame.cells[0], 1 / np.array(counts)
    scaled = np.linalg.solve(cell.T, frame.positions[0].T).T
    away = (scaled - scaled[atom] + 0.5) % 1.0 - 0.5
    divided = share < 1
    # Both walls are one place: of what lies on it, within rounding, one side is taken.
    within = ((away >= -share / 2 - ON_THE_WALL) & (away < share / 2 - ON_THE_WALL))[:, divided].all(axis=1)
    atoms = np.flatnonzero(within)
    small = cell * share[:, None]
    positions = away[atoms] @ cell
    widths = 1 / np.linalg.norm(np.linalg.inv(cell), axis=0)
    to_wall = ((share / 2 - np.abs(away[atoms])) * widths)[:, divided].min(axis=1)
    gone = _clashing(frame.numbers[atoms], positions, small, to_wall)
    near_gone = _distances(positions, positions[gone], small) < reach
    kept = np.setdiff1d(np.arange(len(atoms)), gone)
    inner = (to_wall >= reach) & ~near_gone.any(axis=1)
    cut = Frames(frame.numbers[atoms[kept]], positions[kept][None], small[None], frame.pbc)
    return Cutout(cut, atoms[kept], inner[kept], len(gone))


def _clashing(numbers: NDArray[np.int64], positions: FloatArray, cell: FloatArray, to_wall: FloatArray) -> list[int]:
    """Return the atoms to leave out, so that none meets another across a wall: of two the one nearer to a wall."""
    neighbours = vesin.NeighborList(cutoff=_CLASH_REACH, full_list=False)
    i, j, distances, shifts = neighbours.compute(points=positions, box=cell, periodic=True, quantities="ijdS")
    limits = CLASH * (covalent_radii[numbers[i]] + covalent_radii[numbers[j]])
    across = (distances < limits) & shifts.any(axis=1)
    gone: set[int] = set()
    for k in np.argsort(distances[across], kind="stable"):
        pair = int(i[across][k]), int(j[across][k])
        if not gone & set(pair):
            gone.add(min(pair, key=lambda atom: (to_wall[atom], atom)))
    return sorted(gone)


def _distances(points: FloatArray, others: FloatArray, cell: FloatArray) -> FloatArray:
    """Return the (M, K) distances by the nearest image, for what is nearer than half the cell's width."""
    apart = np.linalg.solve(cell.T, (points[:, None] - others[None]).reshape(-1, 3).T).T
    return np.linalg.norm((apart - apart.round()) @ cell, axis=1).reshape(len(points), len(others))


def widen(frame: Frames, repeats: tuple[int, int, int]) -> Frames:
    """Repeat a frame; velocities are left out, as copies that move alike are no wide cell.

    Parameters
    ----------
    frame : Frames
        One frame.
    repeats : tuple of int
        Along each cell vector.
    """
    atoms = frame.to_ase()[0].repeat(repeats)
    return Frames(atoms.numbers, atoms.positions[None], np.asarray(atoms.cell)[None], frame.pbc)
