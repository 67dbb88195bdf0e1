"""Growth laws of the reaction: rate constant, time to a layer, activation energy; or why there is none.

Laws, for the reacted fraction x at time t since the start (ps), with x0 its value at the start:

first_order
    ``x = x0 + A (1 - exp(-k t))``, A = (1 - x0) X with X the share that can react; k in 1/ps.
avrami
    ``x = x0 + A (1 - exp(-(k t)^n))``; M. Avrami, J. Chem. Phys. 7, 1103 (1939).
parabolic
    ``x = x0 + sqrt(k t)``, growth limited by diffusion through the layer; k in 1/ps. C. Wagner, Z. Phys. Chem. B 21,
    25 (1933).
constant, linear
    ``x = x0`` and ``x = x0 + a t``: nothing has reacted, and the reaction has only begun. Neither has a rate
    constant; where they do, the answer is 'undetermined'.

Choice of law
    Bayes' information criterion ``-2 ln L + p ln N``: L the largest likelihood of the law and correlated noise
    (`aiida_haml.analysis.noise`) together, p the law's parameters, N the number of *independent* samples, summed
    over seeds. A law needs a lead (`STRONG`) over what it has to be told apart from; R. E. Kass and A. E.
    Raftery, J. Am. Stat. Assoc. 90, 773 (1995). One that contains the other needs less (`POSITIVE`), as it
    already pays for its parameters.
Interval
    Parameters are drawn together with the memory and the width of the noise from their distribution given the
    series, on a grid. The prior is flat in x0, in the amplitude and along the family of curves, counted by how
    far the curves lie apart (so that a rate which makes no difference to the curve gets no weight). Seeds are
    pooled as random effects: `random_effects`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aiida_haml.analysis.noise import NoiseGrid, fit_linear, noise_grid, normalised
from aiida_haml.analysis.quantity import Quantity, json_number
from aiida_haml.frames import FloatArray

#: Boltzmann's constant, eV/K (CODATA 2018).
BOLTZMANN = 8.617333262e-5

#: Parameters of the trend of each law.
LAWS = {"constant": 1, "linear": 2, "parabolic": 2, "first_order": 3, "avrami": 4}
GROWTH = ("parabolic", "first_order", "avrami")
UNDETERMINED = "undetermined"

#: Leads in the criterion.
STRONG, POSITIVE = 6.0, 3.0
#: Fewest samples, and fewest independent ones, that a law is looked for in.
MIN_SAMPLES = 24
MIN_INDEPENDENT = 6.0
#: Largest ratio of the bounds of a rate that is still called determined.
WIDEST_RATE = 10.0
#: Share of the plateau at which the layer counts as formed.
LAYER_SHARE = 0.9
#: Exponents of Avrami's law that are looked at.
EXPONENTS = (0.35, 4.0)
#: Blocks that a series is averaged into, and how many times longer the last one is than the first.
MAX_BLOCKS = 120
CURVE_POINTS = 60
#: Share of the variance below which what a law leaves over is arithmetic, not noise.
EXACT = 1e-6


# -- the series, in blocks ---------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Blocked:
    """A series averaged over blocks, short ones at the start where a reaction is fast.

    Attributes
    ----------
    times : (T,) array
        Of the samples, ps since the start.
    starts : (n,) int array
        First sample of each block.
    values : (n,) array
    grid : NoiseGrid
    """

    times: FloatArray
    starts: NDArray[np.int64]
    values: FloatArray
    grid: NoiseGrid

    @property
    def length(self) -> float:
        """Length of the series, ps."""
        return float(self.times[-1])

    def average(self, samples: FloatArray) -> FloatArray:
        """Return (n, ...) block averages of (T, ...) samples."""
        counts = np.diff(np.append(self.starts, len(self.times)))
        sums = np.add.reduceat(samples, self.starts, axis=0)
        return np.asarray(sums / counts.reshape(-1, *[1] * (samples.ndim - 1)))


def blocked(time_fs: FloatArray, values: FloatArray) -> Blocked:
    """Average a series over at most `MAX_BLOCKS` blocks.

    Parameters
    ----------
    time_fs, values : (T,) array
        T > 2.
    """
    times = (time_fs - time_fs[0]) / 1000
    n = len(times)
    places = np.linspace(0, 1, min(MAX_BLOCKS, n) + 1)
    # Blocks grow along the series, the last to ten times the first, but none is shorter than a sample.
    growth = min(3.0, np.sqrt(6 * max(n / MAX_BLOCKS - 1, 0))) + 1e-6
    starts = np.unique(np.rint(n * np.sinh(growth * places) / np.sinh(growth)).astype(np.int64))[:-1]
    middles = (times[starts[1:]] + times[starts[1:] - 1]) / 2
    margins = (times[1] - times[0]) / 2, (times[-1] - times[-2]) / 2
    edges = np.concatenate([[times[0] - margins[0]], middles, [times[-1] + margins[1]]])
    return Blocked(times, starts, np.add.reduceat(values, starts) / np.diff(np.append(starts, n)), noise_grid(edges))


# -- one law, one series -----------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Fit:
    """A law fitted to one series, over the noise grid (M) and C members of its family of curves.

    Attributes
    ----------
    law : str
    cells : (C, 2) array
        Logarithms of k (1/ps) and n; for laws without them one row of zeros.
    spacing : (2,) array
        Between neighbouring cells.
    weights : (M, C) array
        Sum to one; zero where the fraction would fall.
    squares, amplitude, spread : (M, C) arrays
        Sum of squared residuals, amplitude, and its standard deviation in units of the noise's width.
    offset, offset_spread, slope : arrays
        x0 = offset - slope * amplitude, with the spread of the offset; (M,), (M,), (M, C).
    deviance, flat_deviance : float
        Minus twice the logarithm of the largest likelihood, of the law and of a constant.
    unexplained : float
        Share of the variance that the likeliest curve leaves over.
    freedom : int
    """

    law: str
    cells: FloatArray
    spacing: FloatArray
    weights: FloatArray
    squares: FloatArray
    amplitude: FloatArray
    spread: FloatArray
    offset: FloatArray
    offset_spread: FloatArray
    slope: FloatArray
    deviance: float
    flat_deviance: float
    unexplained: float
    freedom: int


def shape(law: str, times: FloatArray, cells: FloatArray) -> FloatArray:
    """Return (T, C) curves of a law that start at 0, for an amplitude of 1."""
    if law == "linear":
        return np.asarray(times[:, None] * np.ones(len(cells)))
    if law == "parabolic":
        return np.sqrt(times)[:, None] * np.ones(len(cells))
    rate, exponent = np.exp(cells[:, 0]), np.exp(cells[:, 1])
    return np.asarray(-np.expm1(-((times[:, None] * rate) ** exponent)))


def _fit(series: Blocked, law: str, axes: tuple[FloatArray, FloatArray]) -> Fit:
    """Fit a law on the product of two axes of cells, of ln k and of ln n."""
    cells = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 2)
    curves = series.average(shape(law, series.times, cells))
    one, y, u = (series.grid.whitening @ a for a in (np.ones((len(curves), 1)), series.values[:, None], curves))
    mean = np.linalg.norm(one, axis=1)  # (M, 1)
    one = one / mean[:, None]
    offset, slope = (np.swapaxes(one, 1, 2) @ y)[:, 0], (np.swapaxes(one, 1, 2) @ u)[:, 0]
    y, u = y - one * offset[:, None], u - one * slope[:, None]
    uu, uy, yy = (u**2).sum(axis=1), (u * y).sum(axis=1), (y**2).sum(axis=1)
    uu = np.maximum(uu, 1e-300)
    floor = 1e-20 * np.maximum(float((series.values**2).sum()), 1e-12)
    squares = np.maximum(yy - uy**2 / uu, floor)
    amplitude = uy / uu
    size = np.sqrt(np.maximum(((curves - curves.mean(axis=0)) ** 2).sum(axis=0), 1e-300))
    freedom = len(curves) - 2
    log_weights = (
        -series.grid.log_prior[:, None]
        - np.log(mean)
        - np.log(uu) / 2
        + np.log(size)
        - freedom / 2 * np.log(squares)
        + _log_prior(curves, size, [len(a) for a in axes])
    )
    growing = amplitude > 0
    volume, count = 2 * series.grid.log_volume[:, None], len(curves)
    deviance = volume + count * np.log(np.where(growing, squares, np.maximum(yy, floor)))
    flat = volume + count * np.log(np.maximum(yy, floor))
    weights = normalised(np.where(growing, log_weights, -np.inf)) if growing.any() else np.zeros_like(log_weights)
    unexplained = (squares / np.maximum(yy, floor)).ravel()[weights.argmax()]
    spacing = np.array([a[1] - a[0] if len(a) > 1 else 0.0 for a in axes])
    return Fit(
        law=law, cells=cells, spacing=spacing, weights=weights, squares=squares, amplitude=amplitude,
        spread=1 / np.sqrt(uu), offset=(offset / mean)[:, 0], offset_spread=(1 / mean)[:, 0], slope=slope / mean,
        deviance=float(deviance.min()), flat_deviance=float(flat.min()), unexplained=float(unexplained),
        freedom=freedom,
    )  # fmt: skip


def _log_prior(curves: FloatArray, size: FloatArray, shape_: list[int]) -> FloatArray:
    """Return the logarithm of how much of the family of curves a cell stands for: its length or area.

    Curves count by their form alone: centred and of unit length.
    """
    form = ((curves - curves.mean(axis=0)) / size).reshape(len(curves), *shape_)
    steps = [np.gradient(form, axis=1 + i) for i, count in enumerate(shape_) if count > 1]
    if not steps:
        return np.zeros(1)
    squares = (steps[0] ** 2).sum(axis=0)
    if len(steps) > 1:
        squares = squares * (steps[1] ** 2).sum(axis=0) - ((steps[0] * steps[1]).sum(axis=0)) ** 2
    return np.log(np.maximum(squares, 1e-300)).ravel() / 2


def _axes(law: str, series: Blocked) -> tuple[FloatArray, FloatArray]:
    """Return the cells of the first look: rates from a tenth of the inverse length to that of one sample."""
    if law not in ("first_order", "avrami"):
        return np.zeros(1), np.zeros(1)
    low, high = np.log(0.1 / series.length), np.log(3 / float(np.diff(series.times).min()))
    rates = np.linspace(low, high, 48)
    if law == "first_order":
        return rates, np.zeros(1)
    return rates, np.linspace(np.log(EXPONENTS[0]), np.log(EXPONENTS[1]), 10)


def fit_law(series: Blocked, law: str) -> Fit:
    """Fit a law, first on all of its family, then ever closer where its weight lies."""
    axes = _axes(law, series)
    fit = _fit(series, law, axes)
    counts = (40, 1) if law == "first_order" else (24, 14)
    for _ in range(5 if len(axes[0]) > 1 and fit.weights.any() else 0):
        marginal = fit.weights.sum(axis=0).reshape([len(a) for a in axes])
        closer = tuple(
            _closer(axis, marginal.sum(axis=1 - i), count)
            for i, (axis, count) in enumerate(zip(axes, counts, strict=True))
        )
        if all(c[-1] - c[0] > 0.7 * (a[-1] - a[0]) for c, a in zip(closer, axes, strict=True) if len(a) > 1):
            break
        axes = (closer[0], closer[1])
        fit = _fit(series, law, axes)
    return fit


def _closer(axis: FloatArray, weight: FloatArray, count: int) -> FloatArray:
    if len(axis) == 1:
        return axis
    inside = np.flatnonzero(weight > 1e-5 * weight.max())
    low, high = max(inside[0] - 1, 0), min(inside[-1] + 1, len(axis) - 1)
    return np.linspace(axis[low], axis[high], count)


@dataclass(frozen=True, eq=False)
class Draws:
    """Parameters drawn from a fit, (S,) each: ln k, ln n, amplitude and x0."""

    log_rate: FloatArray
    log_exponent: FloatArray
    amplitude: FloatArray
    start: FloatArray


def draw(fit: Fit, count: int, rng: np.random.Generator) -> Draws:
    """Draw parameters with the noise's memory and width, as the series leaves them open."""
    flat = rng.choice(fit.weights.size, count, p=fit.weights.ravel())
    noise, cell = np.unravel_index(flat, fit.weights.shape)
    width = np.sqrt(fit.squares[noise, cell] / rng.chisquare(fit.freedom, count))
    amplitude = fit.amplitude[noise, cell] + width * fit.spread[noise, cell] * rng.standard_normal(count)
    amplitude = np.where(amplitude > 0, amplitude, fit.amplitude[noise, cell])
    start = fit.offset[noise] - fit.slope[noise, cell] * amplitude
    start = start + width * fit.offset_spread[noise] * rng.standard_normal(count)
    places = fit.cells[cell] + fit.spacing * (rng.random((count, 2)) - 0.5)
    log_rate = 2 * np.log(amplitude) if fit.law == "parabolic" else places[:, 0]
    return Draws(log_rate, places[:, 1], amplitude, start)


# -- several seeds, several temperatures -------------------------------------------------------------------


def random_effects(
    values: FloatArray, errors: FloatArray, design: FloatArray, count: int, rng: np.random.Generator
) -> FloatArray:
    """Draw the parameters of a line through values that scatter by more than their own errors.

    Parameters
    ----------
    values, errors : (K,) array
        Of seeds or temperatures, with their standard errors.
    design : (K, p) array
    count : int
    rng : numpy.random.Generator

    Returns
    -------
    (S, p) array

    Notes
    -----
    The scatter beyond the errors is not known: it runs over a grid under a half-Cauchy prior (A. Gelman, Bayesian
    Anal. 1, 515 (2006)), whose scale is that of the errors and twice the scatter seen. So wide a prior is what
    two or three seeds need: 95 % intervals held the mean in 91-95 % of cases where seeds scattered by far more
    than their errors, and in more where they did not.
    """
    errors = np.maximum(errors, 1e-9 * max(1.0, float(np.abs(values).max())))
    seen = values - design @ np.linalg.lstsq(design, values, rcond=None)[0]
    beyond = np.sqrt((seen**2).sum() / max(len(values) - design.shape[1], 1))
    scale = float(np.hypot(np.median(errors), 2 * beyond))
    scatter = np.geomspace(0.03 * float(errors.min()), 30 * scale, 80)
    variance = errors**2 + scatter[:, None] ** 2  # (G, K)
    covariance = np.linalg.inv(np.einsum("ki,gk,kj->gij", design, 1 / variance, design))
    mean = np.einsum("gij,kj,gk->gi", covariance, design, values / variance)
    squares = ((values - mean @ design.T) ** 2 / variance).sum(axis=1)
    log_weights = (
        np.log(scatter / (1 + (scatter / scale) ** 2))
        - np.log(variance).sum(axis=1) / 2
        + np.linalg.slogdet(covariance)[1] / 2
        - squares / 2
    )
    chosen = rng.choice(len(scatter), count, p=normalised(log_weights))
    factors = np.linalg.cholesky(covariance)[chosen]
    return np.asarray(mean[chosen] + np.einsum("sij,sj->si", factors, rng.standard_normal((count, design.shape[1]))))


def pooled(draws: Sequence[FloatArray], rng: np.random.Generator) -> FloatArray:
    """Return draws (S,) of the mean over seeds from the draws (S,) of each."""
    if len(draws) == 1:
        return draws[0]
    means, errors = np.array([d.mean() for d in draws]), np.array([d.std() for d in draws])
    return random_effects(means, errors, np.ones((len(draws), 1)), len(draws[0]), rng)[:, 0]


# -- the answer --------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Kinetics:
    """What is known of a label's kinetics.

    Attributes
    ----------
    model : str
        A law of `GROWTH`, or 'undetermined' for `reason`.
    rate : Quantity, optional
        1/ps.
    log_rate : (S,) array, optional
        Draws of the logarithm of the rate.
    parameters : dict
        ``start``, ``amplitude`` and, of Avrami's law, ``exponent``.
    criterion : dict
        Law -> Bayes' information criterion; the least is best.
    time_to_layer_fs : Quantity, optional
        When the fitted fraction reaches `LAYER_SHARE` of its plateau. None under parabolic growth, which has no
        plateau, and where the simulation ends before.
    log_time_to_layer : (S,) array, optional
        Draws of the logarithm of that time.
    thickness_A : Quantity, optional
        Late mean of the layer's thickness.
    thickness : (S,) array, optional
        Draws of it.
    late_drift_per_ps : Quantity, optional
        Slope of the reacted fraction over the late part.
    curve : tuple of (P,) arrays
        Time (fs) and fitted fraction, the mean over seeds; empty if undetermined.
    """

    model: str
    reason: str | None
    criterion: dict[str, float]
    rate: Quantity | None = None
    log_rate: FloatArray | None = None
    parameters: dict[str, Quantity] = field(default_factory=dict)
    time_to_layer_fs: Quantity | None = None
    log_time_to_layer: FloatArray | None = None
    thickness_A: Quantity | None = None
    thickness: FloatArray | None = None
    late_drift_per_ps: Quantity | None = None
    curve: tuple[FloatArray, FloatArray] = (np.empty(0), np.empty(0))

    def to_dict(self) -> dict[str, Any]:
        """Return JSON values."""

        def plain(quantity: Quantity | None) -> dict[str, Any] | None:
            return None if quantity is None else quantity.to_dict()

        return {
            "model": self.model,
            "reason": self.reason,
            "rate_per_ps": plain(self.rate),
            "parameters": {name: value.to_dict() for name, value in self.parameters.items()},
            "criterion": {law: json_number(value) for law, value in self.criterion.items()},
            "time_to_layer_fs": plain(self.time_to_layer_fs),
            "thickness_A": plain(self.thickness_A),
            "late_drift_per_ps": plain(self.late_drift_per_ps),
            "curve": dict(zip(("time_fs", "fitted"), ([json_number(v) for v in c] for c in self.curve), strict=True)),
        }


def kinetics(
    members: Sequence[Mapping[str, FloatArray]], rng: np.random.Generator, late_fraction: float = 1 / 3,
    confidence: float = 0.95, count: int = 1000,
) -> Kinetics:  # fmt: skip
    """Find the growth law of candidates that differ in seed only, and what follows from it.

    Parameters
    ----------
    members : sequence of dict
        Series of each seed: ``time`` (T,) in fs and ``reacted_fraction`` (T,); ``layer_thickness`` (T,) in
        Angstrom is optional. Samples that are NaN are left out. Each is used over its whole length.
    rng : numpy.random.Generator
    late_fraction : float
        Share of the time, at its end, that counts as late.
    confidence : float
        Of the intervals.
    count : int
        Draws, S.

    Returns
    -------
    Kinetics
        Too short, too noisy or ambiguous a series gives 'undetermined' with the reason, and no rate.

    Raises
    ------
    ValueError
        If no member is given, or its times do not increase.
    """
    if not members:
        raise ValueError("No series to find a growth law in: give that of at least one seed.")
    series = [clean(m["time"], m["reacted_fraction"]) for m in members]
    thickness, _ = _late(members, "layer_thickness", late_fraction, count, rng)
    _, drift = _late(members, "reacted_fraction", late_fraction, count, rng)
    late: dict[str, Any] = {
        "thickness_A": None if thickness is None else Quantity.of(thickness, confidence),
        "thickness": thickness,
        "late_drift_per_ps": None if drift is None else Quantity.of(drift, confidence),
    }
    if (reason := _too_short(series)) is not None:
        return Kinetics(UNDETERMINED, reason, {}, **late)
    blocks = [blocked(*s) for s in series if len(s[0]) >= MIN_SAMPLES]
    fits = [{law: fit_law(b, law) for law in LAWS if law != "constant"} for b in blocks]
    independent = [
        _independent(b, min(f.values(), key=lambda x: x.deviance)) for b, f in zip(blocks, fits, strict=True)
    ]
    criterion = _criterion(fits, independent)
    law, reason = _choose(criterion)
    if np.mean(independent) < MIN_INDEPENDENT:
        reason = (
            f"the noise leaves {np.mean(independent):.1f} independent samples of the reacted fraction, "
            f"{MIN_INDEPENDENT:g} are needed; simulate longer"
        )
    if reason is not None:
        return Kinetics(UNDETERMINED, reason, criterion, **late)
    draws = [draw(f[law], count, rng) for f in fits]
    log_rate = pooled([d.log_rate for d in draws], rng)
    if (reason := _too_vague(law, blocks, Quantity.of(np.exp(log_rate), confidence))) is not None:
        return Kinetics(UNDETERMINED, reason, criterion, **late)
    return _determined(law, blocks, draws, log_rate, criterion, late, rng, confidence)


def clean(time_fs: FloatArray, values: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return the samples that are numbers.

    Raises
    ------
    ValueError
        If times and values differ in number, or times do not increase.
    """
    time_fs, values = np.asarray(time_fs, dtype=float), np.asarray(values, dtype=float)
    if time_fs.shape != values.shape or time_fs.ndim != 1:
        raise ValueError(f"time has shape {time_fs.shape}, its series {values.shape}; give one value for each time.")
    if not (np.isfinite(time_fs).all() and (np.diff(time_fs) > 0).all()):
        raise ValueError("time does not increase from sample to sample; join the parts of the series in time order.")
    good = np.isfinite(values)
    return time_fs[good], values[good]


def _too_short(series: Sequence[tuple[FloatArray, FloatArray]]) -> str | None:
    longest = max(len(times) for times, _ in series)
    if longest == 0:
        return "the reacted fraction is not defined for these atoms"
    if longest < MIN_SAMPLES:
        return (
            f"{longest} described frames, {MIN_SAMPLES} are needed; simulate longer, or describe more often (every_fs)"
        )
    if all(np.ptp(values) == 0 for _, values in series):
        return "the reacted fraction never changes"
    return None


def _independent(series: Blocked, fit: Fit) -> float:
    """Return the independent samples in a series, given its noise about the law that comes closest."""
    if fit.unexplained < EXACT or not fit.weights.any():
        return float(len(series.values))  # there is no noise to speak of, or nothing but noise
    return float(1 / (fit.weights.sum(axis=1) @ (1 / series.grid.independent)))


def _criterion(fits: Sequence[Mapping[str, Fit]], independent: Sequence[float]) -> dict[str, float]:
    def total(law: str) -> float:
        deviance = [f["linear"].flat_deviance if law == "constant" else f[law].deviance for f in fits]
        return float(sum(d + LAWS[law] * np.log(n) for d, n in zip(deviance, independent, strict=True)))

    return {law: total(law) for law in LAWS}


def _choose(criterion: Mapping[str, float]) -> tuple[str, str | None]:
    """Return the best law of growth, and the reason why it does not lead by enough, if so."""
    simple = min(("parabolic", "first_order"), key=lambda law: criterion[law])
    law = "avrami" if criterion["avrami"] < criterion[simple] - POSITIVE else simple
    best = criterion[law]
    if criterion["constant"] - best < STRONG:
        return law, "no growth of the reacted fraction stands out of the noise"
    if criterion["linear"] - best < STRONG:
        return law, "the reaction has only begun: its growth cannot be told from a straight line"
    if law != "avrami" and abs(criterion["parabolic"] - criterion["first_order"]) < STRONG:
        return law, "first_order and parabolic growth cannot be told apart; simulate longer, or more seeds"
    return law, None


def _too_vague(law: str, blocks: Sequence[Blocked], rate: Quantity) -> str | None:
    fastest = min(1 / float(np.diff(b.times).min()) for b in blocks)
    if law != "parabolic" and rate.high > fastest:
        return "the reaction is over within a few described frames; describe more often (every_fs)"
    if rate.high > WIDEST_RATE * rate.low:
        factor = rate.high / rate.low
        return f"the rate is known only within a factor of {factor:.0f}; simulate longer, or more seeds"
    return None


def _determined(
    law: str, blocks: Sequence[Blocked], draws: Sequence[Draws], log_rate: FloatArray, criterion: dict[str, float],
    late: dict[str, Any], rng: np.random.Generator, confidence: float,
) -> Kinetics:  # fmt: skip
    parameters = {
        "start": Quantity.of(pooled([d.start for d in draws], rng), confidence),
        "amplitude": Quantity.of(pooled([d.amplitude for d in draws], rng), confidence),
    }
    if law == "avrami":
        parameters["exponent"] = Quantity.of(np.exp(pooled([d.log_exponent for d in draws], rng)), confidence)
    layer = _log_time_to_layer(law, blocks, draws, rng)
    return Kinetics(
        law, None, criterion, Quantity.of(np.exp(log_rate), confidence), log_rate, parameters,
        None if layer is None else Quantity.of(np.exp(layer), confidence), layer,
        curve=_curve(law, blocks, draws), **late,
    )  # fmt: skip


def _log_time_to_layer(
    law: str, blocks: Sequence[Blocked], draws: Sequence[Draws], rng: np.random.Generator
) -> FloatArray | None:
    """Return draws (S,) of the logarithm of the time (fs), or None where it was not reached."""
    if law == "parabolic":
        return None
    reached = np.log(-np.log(1 - LAYER_SHARE))
    times = np.log(1000) + pooled([reached * np.exp(-d.log_exponent) - d.log_rate for d in draws], rng)
    simulated = 1000 * max(b.length for b in blocks)
    return times if np.exp(np.median(times)) <= simulated else None


def _curve(law: str, blocks: Sequence[Blocked], draws: Sequence[Draws]) -> tuple[FloatArray, FloatArray]:
    times = np.linspace(0, max(b.length for b in blocks), CURVE_POINTS)
    fitted = np.zeros(CURVE_POINTS)
    for d in draws:
        cells = np.column_stack([d.log_rate, d.log_exponent])
        fitted += (d.start + d.amplitude * shape(law, times, cells)).mean(axis=1) / len(draws)
    return 1000 * times, fitted


def _late(
    members: Sequence[Mapping[str, FloatArray]], name: str, late_fraction: float, count: int, rng: np.random.Generator
) -> tuple[FloatArray | None, FloatArray | None]:
    """Return draws (S,) of the late mean of a series and of its late slope (1/ps), or None where too few samples."""
    means, slopes = [], []
    for member in members:
        if name not in member:
            continue
        times, values = clean(member["time"], member[name])
        late = times >= times[-1] - late_fraction * (times[-1] - times[0]) if len(times) else np.zeros(0, dtype=bool)
        if late.sum() < MIN_SAMPLES // 2:
            continue
        series = blocked(times[late], values[late])
        middle = series.average(series.times) - series.length / 2
        fit = fit_linear(series.grid, np.column_stack([np.ones_like(middle), middle]), series.values[:, None])
        noise, width = fit.draw(count, 0, rng)
        factors = np.linalg.cholesky(fit.covariance)[noise]
        drawn = fit.parameters[noise, :, 0] + width[:, None] * np.einsum(
            "sij,sj->si", factors, rng.standard_normal((count, 2))
        )
        means.append(drawn[:, 0])
        slopes.append(drawn[:, 1])
    if not means:
        return None, None
    return pooled(means, rng), pooled(slopes, rng)


# -- temperatures ------------------------------------------------------------------------------------------

#: Fewest temperatures that an activation energy is taken from.
MIN_TEMPERATURES = 3


@dataclass(frozen=True)
class Activation:
    """Activation energy, eV, or why it is undetermined."""

    energy: Quantity | None
    status: str


def activation(found: Mapping[float, Kinetics], rng: np.random.Generator, confidence: float = 0.95) -> Activation:
    """Return the activation energy of ``k = k0 exp(-E / (kB T))`` from rates at several temperatures.

    Parameters
    ----------
    found : mapping
        Temperature (K) -> what is known there.
    rng : numpy.random.Generator
    confidence : float
    """
    rates = {t: k.log_rate for t, k in sorted(found.items()) if k.log_rate is not None}
    if len(rates) < MIN_TEMPERATURES:
        return Activation(
            None, f"undetermined: {len(rates)} temperatures with a rate constant, {MIN_TEMPERATURES} are needed"
        )
    laws = sorted({found[t].model for t in rates})
    if len(laws) > 1:
        return Activation(None, f"undetermined: the growth law differs between temperatures ({', '.join(laws)})")
    means, errors = (np.array([getattr(d, what)() for d in rates.values()]) for what in ("mean", "std"))
    design = np.column_stack([np.ones(len(rates)), -1 / (BOLTZMANN * np.array(list(rates)))])
    centre = design[:, 1].mean()  # a design with nearly parallel columns cannot be inverted
    count = len(next(iter(rates.values())))
    drawn = random_effects(means, errors, design - [0, centre], count, rng)
    return Activation(Quantity.of(drawn[:, 1], confidence), "determined")
