"""Which atoms lie how far from which, apart for the electrolyte, what it reacts to, and the metal.

Bonds have cutoffs; distances have none, and are what diffraction and other simulations are compared by.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from vesin import NeighborList

from aiida_haml.analysis.balance.states import HOST, INTERMEDIATE, METAL, PRODUCT, THIOPHOSPHATE, StateArray
from aiida_haml.arrays import FloatArray
from aiida_haml.frames import Frames

#: By the state of the atom that is looked from. Ions of lithium belong to none: they are all atoms' neighbours.
ELECTROLYTE, INTERPHASE, METALLIC = REGIONS = ("electrolyte", "interphase", "metal")
_REGION = {HOST: 0, THIOPHOSPHATE: 1, INTERMEDIATE: 1, PRODUCT: 1, METAL: 2}
#: Widest distance and width of the bins, Angstrom.
REACH, BIN = 5.0, 0.1
#: Distances are taken once in each interval of this length, fs: they change no faster.
EVERY_FS = 100.0


def surroundings(
    frames: Frames, states: StateArray, before_fs: float, elements: Sequence[str]
) -> dict[str, np.ndarray]:
    """Count pairs by region, elements and distance.

    Parameters
    ----------
    frames : Frames
        T frames with times.
    states : (T, N) array
        See `aiida_haml.analysis.balance.states`.
    before_fs : float
        Time of the frame ahead of them, or minus infinity. The first frame of each interval of `EVERY_FS` counts,
        however a trajectory is cut.
    elements : sequence of str
        E elements that may be there, in alphabetical order.

    Returns
    -------
    dict
        For K of the frames, R `REGIONS` and B bins of `BIN`: ``pairs`` (K, R, E, E, B), by the element looked from and
        that of the neighbour; ``pairs_centres`` (K, R, E), how many atoms are looked from; ``pairs_density`` (K, E),
        atoms of each element in the cell, 1 / Angstrom^3; ``pairs_time`` (K,), fs.
    """
    assert frames.times is not None  # segments without times form no trajectory
    interval = np.floor(np.append(before_fs, frames.times) / EVERY_FS + 1e-9)
    kept = np.flatnonzero(interval[1:] > interval[:-1])
    region = np.array([_REGION.get(state, -1) for state in range(max(_REGION) + 1)])[states[kept]]
    kind = np.searchsorted(np.array(elements), frames.symbols)
    found = [_counted(frames[int(k)], own, kind, len(elements)) for k, own in zip(kept, region, strict=True)]
    number = np.bincount(kind, minlength=len(elements))
    volume = np.abs(np.linalg.det(frames.cells[kept]))
    return {
        "pairs": np.array([pairs for pairs, _ in found], np.int32).reshape(-1, *_shape(len(elements))),
        "pairs_centres": np.array([centres for _, centres in found], np.int32).reshape(-1, *_shape(len(elements))[:2]),
        "pairs_density": number / np.maximum(volume, 1e-9)[:, None],
        "pairs_time": frames.times[kept],
    }


def _shape(n: int) -> tuple[int, int, int, int]:
    return len(REGIONS), n, n, round(REACH / BIN)


def _counted(
    frame: Frames, region: NDArray[np.int64], kind: NDArray[np.int64], n: int
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    neighbours = NeighborList(cutoff=REACH, full_list=True)
    i, j, d = neighbours.compute(frame.positions[0], frame.cells[0], frame.pbc, "ijd")
    i, j = i.astype(np.int64), j.astype(np.int64)
    inside = (region[i] >= 0) & (d < REACH)
    i, j, d = i[inside], j[inside], d[inside]
    shape = _shape(n)
    flat = np.ravel_multi_index((region[i], kind[i], kind[j], (d / BIN).astype(np.int64)), shape, mode="clip")
    known = region >= 0
    centre = np.ravel_multi_index((region[known], kind[known]), shape[:2])
    return (
        np.bincount(flat, minlength=int(np.prod(shape))).reshape(shape).astype(np.int32),
        np.bincount(centre, minlength=shape[0] * n).reshape(shape[:2]).astype(np.int32),
    )


def distribution(series: Mapping[str, np.ndarray], chosen: slice = slice(None)) -> tuple[FloatArray, FloatArray]:
    """Return how many neighbours an atom has within a distance, and how dense they lie there.

    Parameters
    ----------
    series : mapping
        With the arrays of `surroundings`.
    chosen : slice
        Of its K frames.

    Returns
    -------
    within : (R, E, E, B) array
        Neighbours nearer than the upper edge of each bin, mean over the atoms looked from; NaN where there are none.
    g : (R, E, E, B) array
        Density over that of the neighbour in the whole cell. In a cell of layers it does not go to 1.
    """
    centres = np.asarray(series["pairs_centres"])[chosen].sum(axis=0).astype(float)
    counts = np.asarray(series["pairs"])[chosen].sum(axis=0)
    density = np.asarray(series["pairs_density"])[chosen].mean(axis=0)
    edges = BIN * np.arange(counts.shape[-1] + 1)
    shells = 4 / 3 * np.pi * np.diff(edges**3)
    with np.errstate(invalid="ignore", divide="ignore"):
        each = counts / np.where(centres > 0, centres, np.nan)[:, :, None, None]
        g = each / (shells * density[None, None, :, None])
    return np.cumsum(each, axis=-1), g
