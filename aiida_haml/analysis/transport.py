"""How far lithium moves, how fast it diffuses, and how much the anions rattle.

What needs the whole trajectory is computed when its batches are joined, from small arrays that each batch
keeps: lithium's positions at a stride, and the mean and spread of each anion's position in windows of time.
All displacements are counted from the start of the trajectory and without the drift of the framework (the mean
displacement of all atoms but lithium; of all atoms where there are no others).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from ase.data import atomic_numbers
from numpy.typing import NDArray
from scipy import stats
from vesin import NeighborList

from aiida_haml.analysis.bonds import ANIONS, LITHIUM, BoolArray, IntArray
from aiida_haml.analysis.molecules import MOLECULAR
from aiida_haml.frames import FloatArray, Frames

#: Bond valence parameters of lithium, Angstrom: N. E. Brese, M. O'Keeffe, Acta Cryst. B47, 192 (1991).
BOND_VALENCE = {"O": 1.466, "S": 1.94, "Se": 2.09, "F": 1.36, "Cl": 1.91, "Br": 2.02, "I": 2.22, "N": 1.61}
BOND_VALENCE_WIDTH = 0.37
BOND_VALENCE_REACH = 4.5

#: Lithium with a greater sum of bond valences is an ion of the electrolyte: ions have about 1, metal in contact
#: with the electrolyte up to 0.4.
ION_VALENCE = 0.6
#: An ion at the surface of a solid, or in a liquid that has not relaxed, may have less: what is not this far
#: into the gap that the metal fills between the other elements is an ion too, Angstrom.
SURFACE_DEPTH = 0.8

#: Bytes of lithium positions kept for each described frame, on average.
BYTES_PER_FRAME = 1000

#: Anion neighbours are sought this far, Angstrom.
ANION_REACH = 6.0

#: Frames that a window needs for its anions to have a mean place.
FEWEST_FRAMES = 10

#: Time blocks of the error of a diffusivity.
BLOCKS = 5
#: Lags of the fit, as shares of a block, and the shortest: lithium's vibrations have died out by then, fs.
FIT_LAGS = (0.1, 0.5)
SHORTEST_LAG_FS = 200.0
#: Lags that a fit needs.
FEWEST_LAGS = 4
#: Mean squared displacement that the fit has to reach, Angstrom^2: above thermal vibrations (0.1-0.5), and
#: about a sixth of the square of a hop between neighbouring sites.
LEAST_MSD_A2 = 1.0
#: Diffusion has d log MSD / d log t = 1; caged atoms have 0, ballistic ones 2.
EXPONENTS = (0.7, 1.3)
CONFIDENCE = 0.95

#: Angstrom^2 / fs in cm^2 / s.
CM2_PER_S = 0.1

#: Lags that the mean squared displacement is given at.
MSD_POINTS = 200


# -- what a batch keeps ----------------------------------------------------------------------------------


def lithium_ions(origin: Frames) -> BoolArray:
    """Return (n_Li,) whether each lithium atom of the first frame is an ion of the electrolyte, not metal."""
    valence = np.zeros(origin.n_atoms)
    sizes = np.full(120, -np.inf)
    for symbol, size in BOND_VALENCE.items():
        sizes[atomic_numbers[symbol]] = size
    neighbours = NeighborList(cutoff=BOND_VALENCE_REACH, full_list=True)
    i, j, d = neighbours.compute(origin.positions[0], origin.cells[0], origin.pbc, "ijd")
    i, j = i.astype(np.int64), j.astype(np.int64)
    np.add.at(valence, i, np.exp((sizes[origin.numbers[j]] - d) / BOND_VALENCE_WIDTH))
    ions = (valence > ION_VALENCE) | (_outside(origin) < SURFACE_DEPTH)
    return np.asarray(ions[origin.numbers == LITHIUM])


def _outside(frame: Frames) -> FloatArray:
    """Return (N,) how far each atom is inside the widest gap between other elements than lithium, Angstrom.

    Along the normal of the first two cell vectors; 0 for atoms in no gap, infinite without other elements.
    """
    cell, framework = frame.cells[0], frame.numbers != LITHIUM
    if not framework.any():
        return np.full(frame.n_atoms, np.inf)
    if not frame.pbc[2] or abs(np.linalg.det(cell)) < 1e-9:
        z = frame.positions[0, :, 2]
        return np.maximum(np.maximum(z[framework].min() - z, z - z[framework].max()), 0)
    thickness = abs(np.linalg.det(cell)) / np.linalg.norm(np.cross(cell[0], cell[1]))
    z = np.linalg.solve(cell.T, frame.positions[0].T)[2] % 1.0
    layers = np.sort(z[framework])
    gaps = np.diff(np.append(layers, layers[0] + 1))
    widest = int(gaps.argmax())
    depth = (z - layers[widest]) % 1.0
    return np.clip(np.minimum(depth, gaps[widest] - depth), 0, None) * thickness


def lithium_positions(frames: Frames, origin: Frames, every_fs: float) -> dict[str, np.ndarray]:
    """Return lithium's displacements since the start at a stride.

    Parameters
    ----------
    frames : Frames
        With times.
    origin : Frames
        Its first frame is the start.
    every_fs : float
        At most one frame in each interval of this length; fewer where there is much lithium, so that no more
        than `BYTES_PER_FRAME` are kept for each frame.

    Returns
    -------
    dict
        ``lithium_time`` (K,) fs; ``lithium_moved`` (K, n_Li, 3) float32, Angstrom.
    """
    lithium = np.flatnonzero(frames.numbers == LITHIUM)
    times = _times(frames)
    kept = np.unique(np.floor(times / every_fs + 1e-9), return_index=True)[1]
    most = max(1, BYTES_PER_FRAME * len(frames) // max(12 * len(lithium), 1))
    kept = kept[:: -(-len(kept) // most)]
    moved = displacements(frames[kept], origin, lithium)
    return {"lithium_time": times[kept], "lithium_moved": moved.astype(np.float32)}


def anion_windows(frames: Frames, origin: Frames, window_fs: float) -> dict[str, np.ndarray]:
    """Return the mean and spread of each anion's position in windows of time.

    Parameters
    ----------
    frames : Frames
        With times.
    origin : Frames
    window_fs : float
        The windows are [k, k + 1) * window_fs.

    Returns
    -------
    dict
        ``window`` (W,) int, k; ``window_frames`` (W,) int; ``window_time`` (W,) mean time of the frames, fs;
        ``window_mean`` (W, A, 3) float32 mean displacement, Angstrom; ``window_spread`` (W, A) float32 mean
        squared distance from it, Angstrom^2. Empty in cells with H, C or N: a liquid's anions have no sites.
    """
    times = _times(frames)
    index = np.floor(times / window_fs + 1e-9).astype(np.int64)
    starts = np.unique(index, return_index=True)[1]
    counts = np.diff(np.append(starts, len(times)))
    chosen = anions(frames.numbers)
    mean, spread = [], []
    for start, count in zip(starts, counts, strict=True):
        moved = displacements(frames[start : start + count], origin, chosen)
        mean.append(moved.mean(axis=0))
        spread.append(((moved - mean[-1]) ** 2).sum(axis=2).mean(axis=0))
    return {
        "window": index[starts],
        "window_frames": counts.astype(np.int64),
        "window_time": np.add.reduceat(times, starts) / counts,
        "window_mean": np.array(mean, dtype=np.float32).reshape(len(starts), len(chosen), 3),
        "window_spread": np.array(spread, dtype=np.float32).reshape(len(starts), len(chosen)),
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


def _times(frames: Frames) -> FloatArray:
    if frames.times is None:
        raise ValueError("times is missing; give each frame its time in fs, else nothing can be said of transport.")
    return frames.times


# -- what the whole trajectory says ----------------------------------------------------------------------


@dataclass(frozen=True)
class Diffusivity:
    """A diffusivity by the Einstein relation.

    Attributes
    ----------
    value : float
        Angstrom^2 / fs; NaN if undetermined.
    low, high : float
        Interval of 95 % confidence; if only too little motion keeps it undetermined, 0 and what that motion allows.
    reason : str
        Why it is undetermined, empty if it is not.
    """

    value: float
    low: float
    high: float
    reason: str

    def cm2_per_s(self) -> FloatArray:
        """Return value, low and high in cm^2 / s."""
        return np.array([self.value, self.low, self.high]) * CM2_PER_S


def mean_squared_displacement(moved: NDArray[np.floating]) -> FloatArray:
    """Return the (K,) mean squared displacement over atoms and time origins at lags of 0 to K - 1 steps.

    Parameters
    ----------
    moved : (K, M, 3) array
        Displacements at equal steps of time, Angstrom.

    Notes
    -----
    By Fourier transform, K log K instead of K^2: V. Calandrini et al., Collection SFN 12, 201 (2011).
    """
    n = len(moved)
    total = np.zeros(n)
    for part in np.array_split(moved, max(1, moved.shape[1] // 64), axis=1):
        x = part.reshape(n, -1).astype(np.float64)
        x = x - x.mean(axis=0)  # small numbers keep the difference below exact
        power = np.abs(np.fft.rfft(x, 2 * n, axis=0)) ** 2
        products = np.fft.irfft(power, 2 * n, axis=0)[:n].sum(axis=1)
        squares = (x**2).sum(axis=1)
        sums = 2 * squares.sum() - np.cumsum(np.append(0, squares[:-1] + squares[:0:-1]))
        total += sums - 2 * products
    return np.asarray(np.maximum(total / (np.arange(n, 0, -1) * max(moved.shape[1], 1)), 0))


def evenly(times: FloatArray, moved: NDArray[np.floating]) -> tuple[float, NDArray[np.float32]]:
    """Return a step (fs), the longest there is, and the displacements at equal steps, by linear interpolation."""
    step = float(np.diff(times).max())
    grid = times[0] + step * np.arange(int((times[-1] - times[0]) / step + 1e-9) + 1)
    right = np.clip(np.searchsorted(times, grid), 1, len(times) - 1)
    weight = ((grid - times[right - 1]) / (times[right] - times[right - 1]))[:, None, None]
    return step, ((1 - weight) * moved[right - 1] + weight * moved[right]).astype(np.float32)


def diffusivity(step_fs: float, moved: NDArray[np.floating]) -> Diffusivity:
    """Return the diffusivity, the slope of the mean squared displacement over six, or why there is none.

    Parameters
    ----------
    step_fs : float
        Time between displacements.
    moved : (K, M, 3) array
        Displacements at equal steps, Angstrom.

    Notes
    -----
    The time is cut into `BLOCKS` blocks, each with its own mean squared displacement over atoms and time
    origins and its own line through it at lags of 10 to 50 % of a block (but of no less than
    `SHORTEST_LAG_FS`). The value is the mean of the slopes; its interval, Student's, comes from their scatter.
    It is undetermined if the blocks are too short, if the displacement is below `LEAST_MSD_A2` (vibrations),
    or if it does not grow in proportion to time: its exponent outside `EXPONENTS`.
    """
    undetermined = Diffusivity(np.nan, np.nan, np.nan, "")
    length = len(moved) // BLOCKS
    lags = np.arange(length)
    used = lags[(lags * step_fs >= SHORTEST_LAG_FS) & (lags >= FIT_LAGS[0] * length) & (lags <= FIT_LAGS[1] * length)]
    if moved.shape[1] == 0:
        return _because(undetermined, "no such lithium")
    if len(used) < FEWEST_LAGS:
        needed = 2 * BLOCKS * (SHORTEST_LAG_FS + FEWEST_LAGS * step_fs)
        return _because(
            undetermined, f"simulated {len(moved) * step_fs:.0f} fs; a fit needs some {needed:.0f} fs at this step"
        )
    blocks = [mean_squared_displacement(moved[k * length : (k + 1) * length])[used] for k in range(BLOCKS)]
    mean = np.mean(blocks, axis=0)
    if mean[-1] < LEAST_MSD_A2:
        bound = Diffusivity(np.nan, 0.0, mean[-1] / (6 * used[-1] * step_fs), "")
        return _because(
            bound,
            f"lithium moved by {mean[-1]:.2f} A^2 in {used[-1] * step_fs:.0f} fs; at least {LEAST_MSD_A2:g} needed",
        )
    exponent = np.polyfit(np.log(used), np.log(mean), 1)[0]
    if not EXPONENTS[0] <= exponent <= EXPONENTS[1]:
        return _because(
            undetermined, f"the displacement grows with time to the power {exponent:.2f}, not in proportion to it"
        )
    slopes = np.array([np.polyfit(used * step_fs, block, 1)[0] for block in blocks]) / 6
    margin = stats.t.ppf((1 + CONFIDENCE) / 2, BLOCKS - 1) * slopes.std(ddof=1) / np.sqrt(BLOCKS)
    return Diffusivity(float(slopes.mean()), float(max(slopes.mean() - margin, 0)), float(slopes.mean() + margin), "")


def _because(answer: Diffusivity, reason: str) -> Diffusivity:
    return Diffusivity(answer.value, answer.low, answer.high, reason)


def lithium_transport(times: FloatArray, moved: NDArray[np.floating], ions: BoolArray) -> dict[str, np.ndarray]:
    """Return mean squared displacements and diffusivities of all lithium and of the electrolyte's.

    Parameters
    ----------
    times : (K,) array
        fs.
    moved : (K, n_Li, 3) array
        Displacements since the start, Angstrom.
    ions : (n_Li,) bool array
        Whether an atom was an ion at the start.

    Returns
    -------
    dict
        ``li_msd_lag`` (L,) fs; ``li_msd`` and ``electrolyte_li_msd`` (L,) Angstrom^2, of lags up to half of the
        time; ``li_diffusivity_cm2_s`` and ``electrolyte_li_diffusivity_cm2_s`` (3,): value, low, high; and
        ``..._reason``, a string: why the value is NaN.
    """
    groups = {"li": np.ones(moved.shape[1], dtype=bool), "electrolyte_li": ions}
    answer: dict[str, np.ndarray] = {"li_msd_lag": np.zeros(0)}
    if len(times) < 3:
        step, even = 1.0, moved
    else:
        step, even = evenly(times, moved)
    lags = np.unique(np.linspace(0, len(even) // 2, MSD_POINTS).astype(int))
    answer["li_msd_lag"] = lags * step
    for name, chosen in groups.items():
        found = diffusivity(step, even[:, chosen])
        msd = mean_squared_displacement(even[:, chosen]) if chosen.any() else np.full(len(even), np.nan)
        answer[f"{name}_msd"] = msd[lags]
        answer[f"{name}_diffusivity_cm2_s"] = found.cm2_per_s()
        answer[f"{name}_diffusivity_reason"] = np.array(found.reason)
    return answer


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
    }


def lindemann(windows: dict[str, np.ndarray], spacing: float) -> dict[str, FloatArray]:
    """Return the rattling of the anions along time.

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
        ``spacing``; crystals melt at about 0.1 (F. A. Lindemann, Phys. Z. 11, 609 (1910)). NaN in a window
        of fewer than `FEWEST_FRAMES` frames or less than half of those of the fullest. ``lindemann_time`` (W,)
        fs. Empty without anions.
    """
    if windows["window_spread"].shape[1] == 0:
        return {}
    ratio = np.sqrt(windows["window_spread"].mean(axis=1)) / spacing
    least = max(FEWEST_FRAMES, windows["window_frames"].max() / 2)
    return {
        "lindemann": np.where(windows["window_frames"] < least, np.nan, ratio),
        "lindemann_time": windows["window_time"],
    }
