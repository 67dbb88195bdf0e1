"""Which growth law replicates follow, with what rate; or that none fits, or that nothing can be said.

Each replicate is averaged over blocks and fitted by itself, so that replicates may differ in their rates; the law is
that of all of them together, by Bayes' information criterion. The best law of a set may still be wrong: it is given
up where what it leaves over is not noise, which shows in runs of one sign (A. Wald, J. Wolfowitz, Ann. Math. Stat.
11, 147 (1940)), and is large beside what has been consumed. Intervals are Student's over replicates: what repeats of
a simulation differ by is the error, and a single one has none.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from scipy import stats
from scipy.optimize import least_squares

from aiida_haml.analysis.kinetics.laws import LAWS, bounds, starts
from aiida_haml.analysis.quantity import Quantity, over_replicates
from aiida_haml.arrays import FloatArray

#: Blocks that a series is averaged into, and the fewest frames in each.
BLOCKS, FEWEST_FRAMES = 24, 2
#: Moments of a block that a law is averaged over.
MOMENTS = 8
#: Blocks that a law is looked for in, at least.
FEWEST_BLOCKS = 10
#: Lead in the criterion that a law with more parameters needs over one with fewer.
LEAD = 6.0
#: A law is given up where runs of one sign are less likely than this and what it leaves over is more than this share of
#: what was consumed.
UNLIKELY, MATERIAL = 0.01, 0.03
#: A rise from the first quarter to the last of less than this many times the noise is nothing to fit.
SIGNAL = 4.0

NONE_FITS, UNDETERMINED = "none fits", "undetermined"
#: Angstrom^2 / ps in nm^2 / h, in which the growth of interphases is measured by XPS and impedance.
NM2_PER_H = 0.01 * 3.6e15


@dataclass(frozen=True)
class Growth:
    """What is known of the growth of a candidate's layer.

    Attributes
    ----------
    law : str
        A key of `LAWS`, `NONE_FITS` or `UNDETERMINED`.
    rate : Quantity, optional
        Its rate constant, the geometric mean of the replicates.
    unit : str
        Of the rate constant.
    parameters : dict
        Mean of each parameter over the replicates.
    reason : str
        Why there is no law.
    log_rates : tuple of float
        Natural logarithms of the rate constants of the replicates.
    leads : dict
        Law -> how much worse its criterion is than that of the best.
    """

    law: str
    rate: Quantity | None = None
    unit: str = ""
    parameters: dict[str, float] = field(default_factory=dict)
    reason: str = ""
    log_rates: tuple[float, ...] = ()
    leads: dict[str, float] = field(default_factory=dict)

    @property
    def parabolic(self) -> Quantity | None:
        """The parabolic constant of what diffusion limits, nm^2 / h; none where growth is of another kind."""
        if self.rate is None or self.unit != LAWS["parabolic"].unit:
            return None
        return Quantity(*(NM2_PER_H * value for value in (self.rate.value, self.rate.low, self.rate.high)))


def blocked(time_fs: FloatArray, values: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return moments (ps since the start) of at most `BLOCKS` blocks of a series, and the mean value of each.

    Returns
    -------
    times : (B, `MOMENTS`) array
        A law is averaged over them as the series is: at the mean time of the first block a parabola is higher than its
        mean there.
    means : (B,) array
    """
    n = min(BLOCKS, len(time_fs) // FEWEST_FRAMES)
    if n < 1:
        return np.empty((0, MOMENTS)), np.empty(0)
    parts = np.array_split(np.arange(len(time_fs)), n)
    times = (time_fs - time_fs[0]) / 1000
    middle = (np.arange(MOMENTS) + 0.5) / MOMENTS
    return np.array([np.quantile(times[p], middle) for p in parts]), np.array([values[p].mean() for p in parts])


def growth(series: Sequence[tuple[FloatArray, FloatArray]], available: float, confidence: float = 0.95) -> Growth:
    """Return the growth law of replicates.

    Parameters
    ----------
    series : sequence of (time, consumed)
        Of each replicate, (T,) fs and (T,) Angstrom at one face, up to where metal and electrolyte last.
    available : float
        Electrolyte at one face, Angstrom.
    confidence : float
        Of the interval of the rate.
    """
    blocks = [blocked(np.asarray(t, dtype=float), np.asarray(c, dtype=float)) for t, c in series]
    if not blocks or min(len(t) for t, _ in blocks) < FEWEST_BLOCKS:
        return Growth(UNDETERMINED, reason=f"fewer than {FEWEST_BLOCKS * FEWEST_FRAMES} described frames")
    noise = [_noise(c) for _, c in blocks]
    rises = [c[-len(c) // 4 :].mean() - c[: len(c) // 4].mean() for _, c in blocks]
    if not any(rise > max(SIGNAL * s, 1e-6) for rise, s in zip(rises, noise, strict=True)):
        return Growth(UNDETERMINED, reason="no more is consumed than the noise")
    fits = {law: [_fit(law, t, c, available) for t, c in blocks] for law in LAWS}
    sizes = [len(t) for t, _ in blocks]
    criterion = {
        law: sum(
            n * np.log(max(float((r**2).mean()), (0.05 * s) ** 2, 1e-12)) + len(LAWS[law].parameters) * np.log(n)
            for (_, r), n, s in zip(found, sizes, noise, strict=True)
        )
        for law, found in fits.items()
    }
    best = _chosen(criterion)
    leads = {law: float(value - min(criterion.values())) for law, value in criterion.items()}
    residuals = [r for _, r in fits[best]]
    if _not_noise(residuals, [c for _, c in blocks]):
        reason = f"what the best law ({best}) leaves over is not noise"
        return Growth(NONE_FITS, reason=reason, leads=leads)
    parameters = np.array([p for p, _ in fits[best]])
    logs = np.log(np.maximum(parameters[:, 1], 1e-300))
    mean = over_replicates(logs, confidence)
    return Growth(
        best,
        Quantity(*(float(np.exp(v)) for v in (mean.value, mean.low, mean.high))),
        LAWS[best].unit,
        dict(zip(LAWS[best].parameters, parameters.mean(axis=0).tolist(), strict=True)),
        log_rates=tuple(logs.tolist()),
        leads=leads,
    )


def _noise(values: FloatArray) -> float:
    """Return the standard deviation of white noise on a smooth curve, from second differences."""
    return float(np.std(np.diff(values, 2)) / np.sqrt(6)) if len(values) > 4 else 0.0


def _fit(law: str, times: FloatArray, values: FloatArray, available: float) -> tuple[FloatArray, FloatArray]:
    """Return the parameters of a law and what it leaves over."""
    length = float(times[-1, -1])
    low, high = (np.array(b) for b in bounds(law, length, available))
    best = None
    for start in starts(law, length, float(values[-3:].mean())):
        inside = np.clip(start, low + 1e-12 * (1 + np.abs(low)), high - 1e-12 * (1 + np.abs(high)))
        found = least_squares(
            lambda p: LAWS[law].curve(times, *p).mean(axis=1) - values, inside, bounds=(low, high),
            x_scale=np.maximum(np.abs(inside), 1e-6), max_nfev=50, ftol=1e-6, xtol=1e-6, gtol=1e-6,
        )  # fmt: skip
        if best is None or found.cost < best.cost:
            best = found
    assert best is not None
    return best.x, best.fun


def _chosen(criterion: dict[str, float]) -> str:
    """Return the law with the least criterion, or a simpler one that is not clearly worse."""
    least = min(criterion.values())
    near = [law for law, value in criterion.items() if value < least + LEAD]
    return min(near, key=lambda law: (len(LAWS[law].parameters), criterion[law]))


def _not_noise(residuals: Sequence[FloatArray], values: Sequence[FloatArray]) -> bool:
    """Return whether residuals of the replicates together have too few runs of one sign, and are large."""
    size = np.sqrt(np.mean([(r**2).mean() for r in residuals])) / max(np.mean([np.ptp(c) for c in values]), 1e-12)
    runs = expected = variance = 0.0
    for r in residuals:
        above = r > 0
        up, down = float(above.sum()), float((~above).sum())
        n = up + down
        runs += 1 + float((above[1:] != above[:-1]).sum())
        expected += 1 + 2 * up * down / n
        variance += 2 * up * down * (2 * up * down - n) / (n**2 * (n - 1))
    likely = stats.norm.cdf((runs - expected) / np.sqrt(max(variance, 1e-12)))
    return bool(likely < UNLIKELY and size > MATERIAL)
