"""How much the anions rattle about their places while nothing has happened to them.

Moderate instability of the host is what lets a protective layer form, says the paper that this package follows; this is
its measure: Lindemann's ratio in windows of time, of anions whose unit is whole all through the window. Products, and
what has moved away since the start, do not enter.
"""

from collections.abc import Sequence

import numpy as np
from ase.data import atomic_numbers
from vesin import NeighborList

from aiida_haml.analysis.chemistry.bonds import ANIONS, LITHIUM
from aiida_haml.analysis.chemistry.units import MOLECULAR
from aiida_haml.arrays import BoolArray, FloatArray, IntArray
from aiida_haml.frames import Frames

#: Anion neighbours are sought this far, Angstrom.
ANION_REACH = 6.0
#: Frames that a window needs for its anions to have a mean place.
FEWEST_FRAMES = 10


def anion_windows(frames: Frames, origin: Frames, whole: BoolArray, window_fs: float) -> dict[str, np.ndarray]:
    """Return the mean and spread of each anion's position in windows of time.

    Parameters
    ----------
    frames : Frames
        With times.
    origin : Frames
    whole : (F, N) bool array
        Whether the unit of each atom is what it was built as.
    window_fs : float
        The windows are [k, k + 1) * window_fs.

    Returns
    -------
    dict
        ``window`` (W,) int, k; ``window_frames`` (W,) int; ``window_time`` (W,) mean time of the frames, fs;
        ``window_mean`` (W, A, 3) float32 mean displacement, Angstrom; ``window_spread`` (W, A) float32 mean
        squared distance from it, Angstrom^2; ``window_whole`` (W, A) share of the frames in which the anion's unit
        is whole. Empty in cells with H, C or N: a liquid's anions have no sites.
    """
    if frames.times is None:
        raise ValueError("times is missing; give each frame its time in fs, else nothing can be said of motion.")
    times = frames.times
    index = np.floor(times / window_fs + 1e-9).astype(np.int64)
    starts = np.unique(index, return_index=True)[1]
    counts = np.diff(np.append(starts, len(times)))
    chosen = anions(frames.numbers)
    mean, spread, intact = [], [], []
    for start, count in zip(starts, counts, strict=True):
        moved = displacements(frames[start : start + count], origin, chosen)
        mean.append(moved.mean(axis=0))
        spread.append(((moved - mean[-1]) ** 2).sum(axis=2).mean(axis=0))
        intact.append(whole[start : start + count, chosen].mean(axis=0))
    return {
        "window": index[starts],
        "window_frames": counts.astype(np.int64),
        "window_time": np.add.reduceat(times, starts) / counts,
        "window_mean": np.array(mean, dtype=np.float32).reshape(len(starts), len(chosen), 3),
        "window_spread": np.array(spread, dtype=np.float32).reshape(len(starts), len(chosen)),
        "window_whole": np.array(intact, dtype=np.float32).reshape(len(starts), len(chosen)),
    }


def anions(numbers: IntArray) -> IntArray:
    """Return the indices of the anions of a solid, P not among them; none in a cell with H, C or N."""
    if np.isin(numbers, MOLECULAR).any():
        return np.zeros(0, dtype=np.int64)
    return np.flatnonzero(np.isin(numbers, [atomic_numbers[s] for s in ANIONS if s != "P"]))


def anion_spacing(origin: Frames) -> float:
    """Return the mean distance from an anion to the nearest other one in the first frame, Angstrom."""
    chosen = anions(origin.numbers)
    if len(chosen) == 0:
        return float("nan")
    neighbours = NeighborList(cutoff=ANION_REACH, full_list=True)
    i, d = neighbours.compute(origin.positions[0][chosen], origin.cells[0], origin.pbc, "id")
    nearest = np.full(len(chosen), np.inf)
    np.minimum.at(nearest, i.astype(np.int64), d)
    near = nearest[np.isfinite(nearest)]
    return float(near.mean()) if len(near) else float("nan")


def displacements(frames: Frames, origin: Frames, atoms: IntArray) -> FloatArray:
    """Return (F, M, 3) displacements of some atoms since the start, without the framework's drift, Angstrom."""
    framework = np.flatnonzero(frames.numbers != LITHIUM)
    if len(framework) == 0:
        framework = np.arange(frames.n_atoms)
    start = origin.positions[0]
    drift = frames.positions[:, framework].mean(axis=1) - start[framework].mean(axis=0)
    return np.asarray(frames.positions[:, atoms] - start[atoms] - drift[:, None])


def join_windows(parts: Sequence[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Join the windows of consecutive batches; a window that two of them share becomes one."""
    joined = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    index, starts = np.unique(joined["window"], return_index=True)
    count = joined["window_frames"].astype(float)
    total = np.add.reduceat(count, starts)

    def averaged(values: np.ndarray) -> np.ndarray:
        weight = count.reshape(-1, *[1] * (values.ndim - 1))
        return np.add.reduceat(values * weight, starts) / total.reshape(-1, *[1] * (values.ndim - 1))

    mean = averaged(joined["window_mean"].astype(float))
    member = np.searchsorted(index, joined["window"])
    between = ((joined["window_mean"] - mean[member]) ** 2).sum(axis=2)
    return {
        "window": index,
        "window_frames": total.astype(np.int64),
        "window_time": averaged(joined["window_time"]),
        "window_mean": mean,
        "window_spread": averaged(joined["window_spread"].astype(float) + between),
        "window_whole": averaged(joined["window_whole"].astype(float)),
    }


def lindemann(windows: dict[str, np.ndarray], spacing: float) -> dict[str, FloatArray]:
    """Return the rattling of the unreacted anions along time.

    Parameters
    ----------
    windows : dict
        Of `anion_windows` or `join_windows`.
    spacing : float
        Distance between neighbouring anions, Angstrom.

    Returns
    -------
    dict
        ``lindemann`` (W,): root mean square distance of the anions from their mean places in a window, over
        ``spacing``, of anions whose unit is whole all through it; crystals melt at about 0.1 (F. A. Lindemann, Phys. Z.
        11, 609 (1910)). NaN in a window without such anions, of fewer than `FEWEST_FRAMES` frames, or of less than half
        of those of the fullest. ``lindemann_time`` (W,) fs. Empty without anions.
    """
    if windows["window_spread"].shape[1] == 0:
        return {}
    whole = windows["window_whole"] > 1 - 1e-6
    total = np.where(whole, windows["window_spread"], 0).sum(axis=1)
    count = whole.sum(axis=1)
    ratio = np.sqrt(np.divide(total, count, out=np.full(len(total), np.nan), where=count > 0)) / spacing
    least = max(FEWEST_FRAMES, windows["window_frames"].max() / 2)
    return {
        "lindemann": np.where(windows["window_frames"] < least, np.nan, ratio),
        "lindemann_time": windows["window_time"],
    }
