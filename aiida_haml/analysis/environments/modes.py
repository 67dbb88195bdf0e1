"""Which phase an environment belongs to, by densities fitted to disordered snapshots of each phase.

The density of a phase is a mixture of K multivariate t distributions in the leading principal components of one central
species (one for each crystal site; several where there is no order). Densities know how wide a phase is: the narrow
one of a crystal is higher than the broad one of a melt where both reach, and falls below it outside. The heavy tails of
a t distribution (K. L. Lange, R. J. A. Little, J. M. G. Taylor, J. Am. Stat. Assoc. 84, 881 (1989)) leave room for
disorder of another kind than that of the snapshots. 'None of these' has a constant density. That constant, and one
exponent that all densities are raised to, so that probabilities are not sharper than they ought to be, are fitted by
maximum likelihood to snapshots that the densities have not seen and to cells that are no phase, each phase and 'none'
counting as much as another.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import log_softmax
from sklearn.cluster import KMeans

from aiida_haml.arrays import FloatArray

Float32Array = NDArray[np.float32]

#: Degrees of freedom of the t distributions.
TAILS = 8.0
#: Added to the variance of each mode along each component, in descriptors of unit length: keeps directions in
#: which the snapshots of a high crystal do not vary from deciding alone.
VARIANCE_FLOOR = 1e-6
#: Fewest rows that a mode is fitted to.
FEWEST_ROWS = 4
#: Densities are raised to no less.
LEAST_EXPONENT = 1e-3


@dataclass(frozen=True, eq=False)
class Modes:
    """Densities of the environments of one central species in P phases, K t distributions in all.

    Attributes
    ----------
    whitening : (C', K * C') array
        Takes the leading C' components, after `shift`, to components of unit variance for each mode.
    shift : (K * C',) array
    log_height : (K,) array
        Logarithm of the density of each mode at its centre, its weight in its phase included, up to one constant.
    phase : (K,) int array
        Index of each mode's phase; ascending.
    n_phases : int
    exponent : float
        Densities are raised to it.
    none_level : float
        Logarithm of the density of 'none of these'.
    """

    whitening: Float32Array
    shift: Float32Array
    log_height: Float32Array
    phase: NDArray[np.int64]
    n_phases: int
    exponent: float = 1.0
    none_level: float = 0.0

    def log_densities(self, projected: Float32Array) -> Float32Array:
        """Return (M, P) logarithms of the densities of the phases at (M, C) environments; -inf for absent phases."""
        found = np.full((len(projected), self.n_phases), -np.inf, dtype=np.float32)
        if not len(self.phase):
            return found
        size = len(self.whitening)
        white = projected[:, :size] @ self.whitening
        white -= self.shift
        modes = white.reshape(len(projected), len(self.phase), size)
        squared = np.einsum("mkc,mkc->mk", modes, modes)
        logs = self.log_height - 0.5 * (TAILS + size) * np.log1p(squared / TAILS)
        held, starts = np.unique(self.phase, return_index=True)  # modes lie in the order of their phases
        highest = np.maximum.reduceat(logs, starts, axis=1)
        member = np.searchsorted(held, self.phase)
        sums = np.add.reduceat(np.exp(logs - highest[:, member]), starts, axis=1)
        found[:, held] = highest + np.log(sums)
        return found

    def log_probabilities(self, projected: Float32Array) -> FloatArray:
        """Return (M, P + 1) natural logarithms of the probabilities of the phases and, last, of none."""
        return _log_probabilities(self.log_densities(projected), self.exponent, self.none_level)

    def with_phase(self, index: int, rows: NDArray[np.floating], count: int) -> Modes:
        """Return the modes with those of one phase fitted anew to (M, C') rows."""
        size = len(self.whitening)
        kept = np.flatnonzero(self.phase != index)
        columns = (kept[:, None] * size + np.arange(size)).ravel()
        own = _fit_phase(rows, count)
        if not own:
            return self
        whitening = np.concatenate([self.whitening[:, columns], *(w for w, _, _ in own)], axis=1)
        shift = np.concatenate([self.shift[columns], *(s for _, s, _ in own)])
        height = np.concatenate([self.log_height[kept], [h for _, _, h in own]]).astype(np.float32)
        phase = np.concatenate([self.phase[kept], np.full(len(own), index)])
        order = np.argsort(phase, kind="stable")
        columns = (order[:, None] * size + np.arange(size)).ravel()
        return replace(self, whitening=whitening[:, columns], shift=shift[columns], log_height=height[order],
                       phase=phase[order])  # fmt: skip

    def calibrated(self, samples: Sequence[Float32Array]) -> Modes:
        """Return the modes with exponent and level of 'none' from samples of each phase and of none, last."""
        held = np.isin(np.arange(self.n_phases), self.phase)
        usable = [*np.flatnonzero(held), self.n_phases]
        densities = [(p, self.log_densities(samples[p])) for p in usable if len(samples[p])]
        if len(densities) < 2:
            return self
        stacked = np.concatenate([d[:, held] for _, d in densities])
        weights = np.concatenate([np.full(len(d), 1 / len(d) / len(densities)) for _, d in densities])
        outside = np.concatenate([np.full(len(d), p == self.n_phases) for p, d in densities])
        own = np.concatenate([d[:, p] if p < self.n_phases else np.zeros(len(d)) for p, d in densities])
        typical = float(np.median(next(d[:, p] for p, d in densities if p < self.n_phases))) - 3 * len(self.whitening)
        exponent, none = _likeliest(stacked, own, outside, weights, typical)
        return replace(self, exponent=exponent, none_level=none)


def _likeliest(
    densities: Float32Array, own: FloatArray, outside: NDArray[np.bool_], weights: FloatArray, level: float
) -> tuple[float, float]:
    """Return the exponent and the level of 'none' of greatest likelihood.

    Parameters
    ----------
    densities : (M, P) array
        Logarithms.
    own : (M,) array
        Of them, that of the phase which a sample is of.
    outside : (M,) array
        Whether it is of none.
    weights : (M,) array
    level : float
        Where to begin.
    """
    highest = densities.max(axis=1, keepdims=True)
    below, highest = densities - highest, highest[:, 0].astype(np.float64)
    scale = max(1.0, abs(level))

    def cost(parameters: FloatArray) -> tuple[float, FloatArray]:
        """Return minus the mean logarithm of the likelihood, convex in (exponent, exponent x level), and its slopes."""
        exponent, none = parameters[0] / scale, parameters[1]
        shares = np.exp(np.float32(exponent) * below)
        total = shares.sum(axis=1)
        mean = highest + np.einsum("mp,mp->m", shares, below) / total
        whole = np.logaddexp(exponent * highest + np.log(total), none)
        share = np.exp(none - whole)
        value = weights @ (whole - np.where(outside, none, exponent * own))
        slopes = weights @ np.stack([((1 - share) * mean - own) / scale, share - outside], axis=1)
        return float(value), slopes

    bounds = [(LEAST_EXPONENT * scale, scale), (None, None)]
    found = minimize(
        cost, [0.3 * scale, 0.3 * level], jac=True, method="L-BFGS-B", bounds=bounds, options={"gtol": 1e-7}
    ).x
    return float(found[0] / scale), float(found[1] / found[0] * scale)


def _log_probabilities(densities: Float32Array, exponent: float, none_level: float) -> FloatArray:
    none = np.full((len(densities), 1), none_level, dtype=densities.dtype)
    return np.asarray(log_softmax(exponent * np.concatenate([densities, none], axis=1), axis=1))


def fit_modes(rows: Sequence[NDArray[np.floating]], counts: Sequence[int], size: int) -> Modes:
    """Return densities, not calibrated yet, from rows of each phase.

    Parameters
    ----------
    rows : sequence of (M, size) arrays
        One for each phase; empty where the phase lacks the species.
    counts : sequence of int
        Modes of each phase.
    size : int
        C'.
    """
    found = [(p, *mode) for p, (own, n) in enumerate(zip(rows, counts, strict=True)) for mode in _fit_phase(own, n)]
    return Modes(
        whitening=np.concatenate([np.empty((size, 0), np.float32), *(w for _, w, _, _ in found)], axis=1),
        shift=np.concatenate([np.empty(0, np.float32), *(s for _, _, s, _ in found)]),
        log_height=np.array([h for _, _, _, h in found], dtype=np.float32),
        phase=np.array([p for p, _, _, _ in found], dtype=np.int64),
        n_phases=len(rows),
    )


def _fit_phase(rows: NDArray[np.floating], count: int) -> list[tuple[Float32Array, Float32Array, float]]:
    """Return whitening, shift and logarithm of the height of distributions fitted to the groups of k-means.

    Covariances are drawn towards their diagonal, the more the fewer the rows.
    """
    rows = np.asarray(rows, dtype=np.float64)
    if len(rows) < FEWEST_ROWS:
        return []
    size = rows.shape[1]
    count = min(count, len(rows) // FEWEST_ROWS)
    group = KMeans(count, n_init=2, random_state=0).fit_predict(rows) if count > 1 else np.zeros(len(rows), dtype=int)
    found = []
    for k in range(count):
        own = rows[group == k]
        if len(own) < FEWEST_ROWS:
            continue
        covariance = np.cov(own.T).reshape(size, size)
        weight = min(1.0, size / len(own))
        diagonal = np.diag(np.diag(covariance))
        covariance = (1 - weight) * covariance + weight * diagonal + VARIANCE_FLOOR * np.eye(size)
        triangle = np.linalg.cholesky(covariance)
        whitening = np.linalg.inv(triangle).T
        height = np.log(len(own) / len(rows)) - np.log(np.diag(triangle)).sum()
        found.append((
            whitening.astype(np.float32), (own.mean(axis=0) @ whitening).astype(np.float32), float(height),
        ))  # fmt: skip
    return found
