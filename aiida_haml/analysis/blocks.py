"""Block averages of a candidate's series, and its metrics with samples of what their noise makes of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from aiida_haml.analysis.metrics import SERIES_METRICS
from aiida_haml.analysis.noise import fit_linear, noise_grid
from aiida_haml.analysis.settings import RankingSettings
from aiida_haml.frames import FloatArray

#: Fewest blocks that an interval is drawn from: four of them fall into the default late part.
MIN_BLOCKS = 12

#: Metrics whose samples must not fall below zero.
NON_NEGATIVE = np.array([name != "formation" for name in SERIES_METRICS])

#: Series that the metrics are made of, besides ``framework_fractions``.
SCALARS = (
    "reacted_fraction",
    "product_score",
    "framework_displacement",
    "ps4_fraction",
    "p_chalcogen_bonds",
)


@dataclass(frozen=True, eq=False)
class Member:
    """One simulated candidate.

    Attributes
    ----------
    key : str
        Unique.
    label : str
        Candidates that differ only in seed share it.
    series : dict
        As made by the description: ``time`` (T,) in fs, ``reacted_fraction``, ``product_score``,
        ``framework_displacement``, ``ps4_fraction``, ``p_chalcogen_bonds`` (T,), ``framework_fractions`` (T,
        P + 1); ``layer_thickness`` (T,) in Angstrom is optional.
    temperature_K : float, optional
    force_rmse : float, optional
        Prequential error of its potential, eV / Angstrom.
    """

    key: str
    label: str
    series: dict[str, FloatArray]
    temperature_K: float | None = None
    force_rmse: float | None = None

    @property
    def simulated_fs(self) -> float:
        times = self.series["time"]
        return float(times[-1] - times[0]) if len(times) else 0.0


def block_means(times: FloatArray, values: FloatArray, edges: FloatArray) -> FloatArray:
    """Return time averages of series between edges, exact for the straight lines between the samples.

    Parameters
    ----------
    times : (T,) array
    values : (T, K) array
        Samples that are NaN are left out; a column with fewer than two others gives NaN.
    edges : (B + 1,) array

    Returns
    -------
    (B, K) array
    """
    means = np.full((len(edges) - 1, values.shape[1]), np.nan)
    for k, column in enumerate(values.T):
        good = np.isfinite(column)
        if good.sum() < 2:
            continue
        t, y = times[good], column[good]
        grid = np.union1d(t, np.clip(edges, t[0], t[-1]))
        line = np.interp(grid, t, y)
        integral = np.concatenate([[0.0], np.cumsum(np.diff(grid) * (line[1:] + line[:-1]) / 2)])
        width = np.diff(np.clip(edges, t[0], t[-1]))
        area = np.diff(np.interp(np.clip(edges, t[0], t[-1]), grid, integral))
        outside = np.interp((edges[1:] + edges[:-1]) / 2, t, y)
        means[:, k] = np.where(width > 0, area / np.where(width > 0, width, 1), outside)
    return means


@dataclass(frozen=True, eq=False)
class Blocks:
    """Block means of one member over the compared time.

    Attributes
    ----------
    means : (B, K) array
        Columns: the scalars of `SCALARS`, then the phase fractions.
    start : (K,) array
        Values in the first frame.
    n_late : int
        Blocks at the end that count as late; even.
    """

    means: FloatArray
    start: FloatArray
    n_late: int

    def strata(self) -> list[NDArray[np.int64]]:
        """Return the blocks that are early, in the first half of the late part, and in its second half."""
        early = len(self.means) - self.n_late
        middle = early + self.n_late // 2
        return [np.arange(early), np.arange(early, middle), np.arange(middle, len(self.means))]


def make_blocks(member: Member, horizon_fs: float, settings: RankingSettings) -> Blocks | None:
    """Cut the first `horizon_fs` of a member into blocks, or return None if it was described too rarely."""
    times = member.series["time"] - member.series["time"][0]
    count = min(settings.blocks, int((times <= horizon_fs + 1e-6).sum()) // 2)
    if count < MIN_BLOCKS:
        return None
    columns = [member.series[name] for name in SCALARS]
    values = np.column_stack([*columns, member.series["framework_fractions"]])
    n_late = min(max(4, 2 * round(count * settings.late_fraction / 2)), 2 * ((count - 4) // 2))
    return Blocks(block_means(times, values, np.linspace(0, horizon_fs, count + 1)), values[0], n_late)


def _trend(blocks: Blocks) -> FloatArray:
    """Return (B, p) polynomials: a cubic over the early part, a line over the late part."""
    early = len(blocks.means) - blocks.n_late
    degree = min(3, early // 4)
    design = np.zeros((len(blocks.means), degree + 3))
    design[:early, : degree + 1] = np.polynomial.legendre.legvander(np.linspace(-1, 1, early), degree)
    design[early:, degree + 1 :] = np.polynomial.legendre.legvander(np.linspace(-1, 1, blocks.n_late), 1)
    return design


def metric_values(strata: FloatArray, sizes: FloatArray, start: FloatArray, target: float) -> FloatArray:
    """Compute the metrics from means over the three strata.

    Parameters
    ----------
    strata : (..., 3, K) array
    sizes : (3,) array
        Share of the compared time that each stratum takes.
    start : (K,) array
    target : float
        Moderate displacement of the framework, Angstrom.

    Returns
    -------
    (..., M) array
        In the order of `SERIES_METRICS`.
    """
    whole = np.einsum("...sk,s->...k", strata, sizes)
    late = strata[..., 1:, :].mean(axis=-2)
    reacted, product, displacement, ps4, bonds = range(len(SCALARS))
    change = np.abs(strata[..., 2, len(SCALARS) :] - strata[..., 1, len(SCALARS) :]).sum(axis=-1) / 2
    columns = [
        whole[..., reacted] - start[reacted],
        late[..., product],
        change,
        np.abs(late[..., displacement] - target),
        1 - late[..., ps4],
        late[..., bonds],
    ]
    return np.stack(columns, axis=-1)


def sampled_metrics(
    blocks: Blocks, settings: RankingSettings, rng: np.random.Generator
) -> tuple[FloatArray, FloatArray]:
    """Return the (M,) metrics of one member and (S, M) samples of them.

    The means over the strata are redrawn with correlated noise: as wide, and of as long a memory, as the blocks
    about their trend leave open. What series share of their noise, the samples share.
    """
    strata = blocks.strata()
    averaging = np.stack([np.isin(np.arange(len(blocks.means)), s) / len(s) for s in strata])
    means = averaging @ blocks.means
    noise = _noise_of_means(blocks, averaging, settings.n_draws, rng)
    sizes = np.array([len(s) for s in strata]) / len(blocks.means)
    target = settings.instability_target_A
    point = metric_values(means, sizes, blocks.start, target)
    samples = metric_values(means + noise, sizes, blocks.start, target)
    return point, np.where(NON_NEGATIVE, samples.clip(0), samples)


def _noise_of_means(blocks: Blocks, averaging: FloatArray, count: int, rng: np.random.Generator) -> FloatArray:
    """Draw (S, 3, K) errors of the means over the strata."""
    values = np.nan_to_num(blocks.means)
    grid = noise_grid(np.linspace(0, 1, len(values) + 1))
    fit = fit_linear(grid, _trend(blocks), values)
    factors = np.linalg.cholesky(averaging @ grid.correlation @ averaging.T)  # (M, 3, 3)
    white = rng.standard_normal((count, len(averaging), values.shape[1])) @ _shared(values, _trend(blocks))
    drawn = np.empty_like(white)
    for k in range(values.shape[1]):
        noise, width = fit.draw(count, k, rng)
        drawn[:, :, k] = width[:, None] * np.einsum("sij,sj->si", factors[noise], white[:, :, k])
    return drawn


def _shared(values: FloatArray, trend: FloatArray) -> FloatArray:
    """Return the (K, K) symmetric root of the correlation between the series' noise."""
    residuals = values - trend @ np.linalg.lstsq(trend, values, rcond=None)[0]
    size = np.sqrt((residuals**2).sum(axis=0))
    still = size <= 1e-9 * np.maximum(np.abs(values).max(axis=0), 1e-9)
    unit = np.where(still, 0, residuals / np.where(still, 1, size))
    correlation = unit.T @ unit + np.diag(still.astype(float))
    powers, vectors = np.linalg.eigh(correlation)
    return np.asarray((vectors * np.sqrt(powers.clip(0))) @ vectors.T)
