"""Correlated noise of a time series: how long it remembers, and how many independent samples that leaves.

The noise about a trend is taken as an Ornstein-Uhlenbeck process (correlation ``exp(-|t - t'| / memory)``) and
white noise, both averaged over blocks of time: atoms rattle within a few frames, and what they rattle about
wanders slowly. Neither the memory nor the share of white noise is known. Both run over a grid, each point of
which weighs as much as its restricted likelihood (H. D. Patterson and R. Thompson, Biometrika 58, 545 (1971)),
which gives back the slow noise that a fitted trend took away. What is drawn over the grid holds that the noise is
uncertain; a single estimate of it does not, and intervals made of one are too narrow where the memory is long.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solve_triangular

from aiida_haml.frames import FloatArray

#: Longest memory considered, as a share of the series: a longer one cannot be told from a trend.
LONGEST_MEMORY = 0.4
#: Ratio of neighbouring memories on the grid.
MEMORY_STEP = 1.4
#: Variance of the white noise in the shortest block, over that of the slow noise before it is averaged.
WHITE = (0.0, 0.15, 1.0)
#: Prior weight of each of these shares.
WHITE_PRIOR = (1.0, 0.25, 0.25)
#: How fast the prior weight of a memory falls with its length, as a power. With 0, a series of white noise leaves
#: room for slow noise and its intervals are too wide; with 1, a memory of a tenth of the series is missed.
MEMORY_PRIOR = 0.5


@dataclass(frozen=True, eq=False)
class NoiseGrid:
    """All noise considered for a series of n samples, M points of the grid.

    Attributes
    ----------
    memory : (M,) array
        Correlation time, as a share of the series' length.
    whitening : (M, n, n) array
        Inverse Cholesky factors of `correlation`: they turn noise into independent numbers.
    correlation : (M, n, n) array
        Covariance of the averages, in units of the noise's own variance.
    log_volume : (M,) array
        Half the logarithm of the determinant of the correlation matrix.
    independent : (M,) array
        Independent samples that the series is worth: the noise's variance over that of its mean, at most n.
    prior : (M,) array
        Weight before the series is seen.
    """

    memory: FloatArray
    whitening: FloatArray
    correlation: FloatArray
    log_volume: FloatArray
    independent: FloatArray
    prior: FloatArray

    @property
    def log_prior(self) -> FloatArray:
        """What goes off the logarithm of a likelihood for each noise, (M,): its volume and its prior."""
        return np.asarray(self.log_volume - np.log(self.prior))


def noise_grid(edges: FloatArray) -> NoiseGrid:
    """Return the noise considered for averages over n blocks between (n + 1,) increasing times, in any unit."""
    relative = np.round((edges - edges[0]) / (edges[-1] - edges[0]), 9)
    return _grid(relative.tobytes())


@lru_cache(maxsize=8)
def _grid(relative: bytes) -> NoiseGrid:
    edges = np.frombuffer(relative)
    n = len(edges) - 1
    shortest = float(np.diff(edges).min()) / 4
    count = 1 + max(1, round(np.log(LONGEST_MEMORY / shortest) / np.log(MEMORY_STEP)))
    widths = np.diff(edges)
    # Noise of a memory shorter than the blocks is white already.
    points = [
        (memory, white)
        for memory in np.geomspace(shortest, LONGEST_MEMORY, count)
        for white in (WHITE if memory > widths.max() else WHITE[:1])
    ]
    correlation = np.stack([averaged(edges, m) + w * np.diag(widths.min() / widths) for m, w in points])
    factors = np.linalg.cholesky(correlation)
    return NoiseGrid(
        memory=np.array([m for m, _ in points]),
        prior=np.array([m**-MEMORY_PRIOR * WHITE_PRIOR[WHITE.index(w)] for m, w in points]),
        whitening=np.stack([solve_triangular(f, np.eye(n), lower=True) for f in factors]),
        correlation=correlation,
        log_volume=np.log(np.diagonal(factors, axis1=1, axis2=2)).sum(axis=1),
        independent=np.minimum(n, 1 / np.einsum("i,mij,j->m", widths, correlation, widths)),
    )


def averaged(edges: FloatArray, memory: float) -> FloatArray:
    """Return the (n, n) covariance of block averages of the process, whose own variance is one.

    Parameters
    ----------
    edges : (n + 1,) array
        Of the blocks.
    memory : float
        In the unit of `edges`.
    """
    width = np.diff(edges) / memory
    loss = -np.expm1(-width) / width
    start, end = edges[:-1] / memory, edges[1:] / memory
    gap = np.maximum(np.maximum(start[:, None] - end[None], start[None] - end[:, None]), 0)
    covariance = loss[:, None] * loss[None] * np.exp(-gap)
    np.fill_diagonal(covariance, 2 * (width + np.expm1(-width)) / width**2)
    return np.asarray(covariance)


@dataclass(frozen=True, eq=False)
class LinearFit:
    """A linear trend of p parameters fitted to K series under each noise of the grid.

    Attributes
    ----------
    weights : (M, K) array
        Of the noises, for each series; they sum to one.
    squares : (M, K) array
        Weighted sum of squared residuals.
    parameters : (M, p, K) array
    covariance : (M, p, p) array
        Of the parameters, in units of the noise's variance.
    freedom : int
        n - p.
    """

    weights: FloatArray
    squares: FloatArray
    parameters: FloatArray
    covariance: FloatArray
    freedom: int

    def draw(self, count: int, column: int, rng: np.random.Generator) -> tuple[NDArray[np.int64], FloatArray]:
        """Draw noises (S,) by weight, and the noise's width (S,) for each, of one series."""
        chosen = rng.choice(len(self.weights), count, p=self.weights[:, column])
        variance = self.squares[chosen, column] / rng.chisquare(self.freedom, count)
        return chosen, np.sqrt(variance)


def fit_linear(grid: NoiseGrid, design: FloatArray, values: FloatArray) -> LinearFit:
    """Fit (n, p) trends to (n, K) series by generalised least squares under every noise of the grid.

    Notes
    -----
    The prior is flat in the parameters and in the logarithm of the noise's width.
    """
    x, y = grid.whitening @ design, grid.whitening @ values
    normal = np.swapaxes(x, 1, 2) @ x
    covariance = np.linalg.inv(normal)
    parameters = covariance @ (np.swapaxes(x, 1, 2) @ y)
    squares = ((y - x @ parameters) ** 2).sum(axis=1)
    freedom = len(design) - design.shape[1]
    # A series without any noise would have an infinite likelihood under all of them.
    squares = np.maximum(squares, 1e-24 * np.maximum((values**2).sum(axis=0), 1e-12))
    volume = grid.log_prior + np.linalg.slogdet(normal)[1] / 2
    weights = normalised(-volume[:, None] - freedom / 2 * np.log(squares), axis=0)
    return LinearFit(weights, squares, parameters, np.asarray(covariance, dtype=np.float64), freedom)


def normalised(log_weights: FloatArray, axis: int | None = None) -> FloatArray:
    """Return weights that sum to one from their logarithms."""
    weights = np.exp(log_weights - log_weights.max(axis=axis, keepdims=True))
    return np.asarray(weights / weights.sum(axis=axis, keepdims=True))
