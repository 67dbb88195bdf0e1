"""How fast the electrolyte's lithium diffuses, in the plane of the faces and across them.

Of a reacting interface no single number says this: lithium that the reaction carries from the metal into the layer
moves without diffusing. So only lithium that was the electrolyte's as built counts, what all of it moves together is
taken off, plane and normal are apart, and where the electrolyte has been consumed there is no answer.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from aiida_haml.analysis.chemistry.rattling import displacements
from aiida_haml.arrays import FloatArray, IntArray
from aiida_haml.frames import Frames

#: Bytes of lithium positions kept for each described frame, on average.
BYTES_PER_FRAME = 1000
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
#: Share of the electrolyte as built that may be consumed by the end of the time of a diffusivity: lithium of what
#: reacted before its first frame is the layer's too.
MOST_CONSUMED = 0.1

#: Angstrom^2 / fs in cm^2 / s.
CM2_PER_S = 0.1

#: Lags that the mean squared displacement is given at.
MSD_POINTS = 200


def lithium_positions(frames: Frames, origin: Frames, atoms: IntArray, every_fs: float) -> dict[str, np.ndarray]:
    """Return displacements of lithium since the start at a stride.

    Parameters
    ----------
    frames : Frames
        With times.
    origin : Frames
        Its first frame is the start.
    atoms : (M,) int array
        Those that are followed.
    every_fs : float
        At most one frame in each interval of this length; fewer where there is much lithium, so that no more
        than `BYTES_PER_FRAME` are kept for each frame.

    Returns
    -------
    dict
        ``lithium_time`` (K,) fs; ``lithium_moved`` (K, M, 3) float32, Angstrom.
    """
    if frames.times is None:
        raise ValueError("times is missing; give each frame its time in fs, else nothing can be said of diffusion.")
    kept = np.unique(np.floor(frames.times / every_fs + 1e-9), return_index=True)[1]
    most = max(1, BYTES_PER_FRAME * len(frames) // max(12 * len(atoms), 1))
    kept = kept[:: -(-len(kept) // most)]
    moved = displacements(frames[kept], origin, atoms)
    return {"lithium_time": frames.times[kept], "lithium_moved": moved.astype(np.float32)}


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
    moved : (K, M, D) array
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
    """Return the diffusivity, the slope of the mean squared displacement over twice the dimensions, or why there is
    none.

    Parameters
    ----------
    step_fs : float
        Time between displacements.
    moved : (K, M, D) array
        Displacements at equal steps along D axes, Angstrom.

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
        simulated, needed = (len(moved) - 1) * step_fs, 2 * BLOCKS * (SHORTEST_LAG_FS + FEWEST_LAGS * step_fs)
        return _because(undetermined, f"simulated {simulated:.0f} fs; a fit needs some {needed:.0f} fs at this step")
    blocks = [mean_squared_displacement(moved[k * length : (k + 1) * length])[used] for k in range(BLOCKS)]
    mean = np.mean(blocks, axis=0)
    if mean[-1] < LEAST_MSD_A2:
        bound = Diffusivity(np.nan, 0.0, mean[-1] / (2 * moved.shape[2] * used[-1] * step_fs), "")
        return _because(
            bound,
            f"lithium moved by {mean[-1]:.2f} A^2 in {used[-1] * step_fs:.0f} fs; at least {LEAST_MSD_A2:g} needed",
        )
    exponent = np.polyfit(np.log(used), np.log(mean), 1)[0]
    if not EXPONENTS[0] <= exponent <= EXPONENTS[1]:
        return _because(
            undetermined, f"the displacement grows with time to the power {exponent:.2f}, not in proportion to it"
        )
    slopes = np.array([np.polyfit(used * step_fs, block, 1)[0] for block in blocks]) / (2 * moved.shape[2])
    margin = stats.t.ppf((1 + CONFIDENCE) / 2, BLOCKS - 1) * slopes.std(ddof=1) / np.sqrt(BLOCKS)
    return Diffusivity(float(slopes.mean()), float(max(slopes.mean() - margin, 0)), float(slopes.mean() + margin), "")


def _because(answer: Diffusivity, reason: str) -> Diffusivity:
    return replace(answer, reason=reason)


def lithium_transport(
    times: FloatArray, moved: NDArray[np.floating], normal: FloatArray, consumed: float
) -> dict[str, np.ndarray]:
    """Return mean squared displacements and diffusivities of the electrolyte's lithium.

    Parameters
    ----------
    times : (K,) array
        fs.
    moved : (K, M, 3) array
        Displacements since the start, Angstrom.
    normal : (3,) array
        Unit vector across the faces.
    consumed : float
        Share of the electrolyte as built that is consumed at the last of these times.

    Returns
    -------
    dict
        ``li_msd_lag`` (L,) fs; for ``plane`` and ``normal``: ``li_msd_plane`` (L,) Angstrom^2, of lags up to half of
        the time; ``li_diffusivity_plane_cm2_s`` (3,): value, low, high; ``li_diffusivity_plane_reason``: why the
        value is NaN.
    """
    moved = moved - moved.mean(axis=1, keepdims=True) if moved.shape[1] else moved
    step, even = (1.0, moved) if len(times) < 3 else evenly(times, moved)
    lags = np.unique(np.linspace(0, len(even) // 2, MSD_POINTS).astype(int))
    across = even @ normal
    basis = np.linalg.svd(normal[None])[2][1:]
    answer: dict[str, np.ndarray] = {"li_msd_lag": lags * step}
    for name, part in (("plane", even @ basis.T), ("normal", across[..., None])):
        found = diffusivity(step, part)
        if consumed > MOST_CONSUMED:
            found = Diffusivity(np.nan, np.nan, np.nan, f"{consumed:.0%} of the electrolyte is consumed by the end")
        msd = mean_squared_displacement(part) if part.shape[1] else np.full(len(even), np.nan)
        answer[f"li_msd_{name}"] = msd[lags]
        answer[f"li_diffusivity_{name}_cm2_s"] = found.cm2_per_s()
        answer[f"li_diffusivity_{name}_reason"] = np.array(found.reason)
    return answer
