"""One simulated candidate, and its metrics over the compared time."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from aiida_haml.analysis.balance.areal import ELECTROLYTE_GONE, Balance
from aiida_haml.analysis.compare.distances import arrival, similarity_in_kind, stillness
from aiida_haml.analysis.ranking.metrics import METRICS
from aiida_haml.analysis.settings import RankingSettings
from aiida_haml.arrays import FloatArray

#: Share of the compared time over which what is consumed by a moment is averaged.
MOMENT = 0.1
#: Distance at which an interphase counts as what it will be, where replicates give no floor.
NEAR = 0.3


@dataclass(frozen=True, eq=False)
class Replicate:
    """One simulated candidate.

    Attributes
    ----------
    key : str
        Unique.
    label : str
        Replicates share it: candidates that differ in their seed alone.
    group : str
        What must be alike for candidates to be compared.
    balance : Balance
    layer : (B, F, K) array, optional
        See `aiida_haml.analysis.compare.clusters.Clusters`; without it the metrics of similarity are unknown.
    instability : float
        Mean Lindemann ratio of the unreacted electrolyte.
    temperature_K : float, optional
    force_rmse : float, optional
        Prequential error of its potential, eV / Angstrom.
    """

    key: str
    label: str
    group: str
    balance: Balance
    layer: FloatArray | None = None
    instability: float = float("nan")
    temperature_K: float | None = None
    force_rmse: float | None = None

    @property
    def simulated_fs(self) -> float:
        """Length of the trajectory, fs."""
        return float(np.ptp(self.balance.time)) if len(self.balance.time) else 0.0

    @property
    def consumed(self) -> FloatArray:
        """(T,) electrolyte consumed at a face, the mean of its faces, Angstrom."""
        return np.asarray(self.balance.consumed.mean(axis=1))

    @property
    def reacting_fs(self) -> float:
        """Time until metal or electrolyte run out, or the length of the trajectory, fs."""
        return self.balance.end[0] - float(self.balance.time[0])

    @property
    def ran_out_of(self) -> str | None:
        """'lithium' or 'electrolyte' if it ran out in the trajectory."""
        return self.balance.end[1]


@dataclass(frozen=True)
class Compared:
    """What candidates are compared by, besides the settings.

    Attributes
    ----------
    horizon_fs : float
        Time over which all of a group are compared.
    protective : (P, K) array
        Distributions of the protective phases over the clusters.
    near : float
        Distance between interphases that counts as none: the floor between replicates.
    """

    horizon_fs: float
    protective: FloatArray
    near: float


def measured(replicate: Replicate, compared: Compared, settings: RankingSettings) -> dict[str, float]:
    """Return the metrics of one replicate over the compared time; NaN where one is not defined.

    Parameters
    ----------
    replicate : Replicate
        With frames up to the horizon.
    compared : Compared
    settings : RankingSettings
    """
    balance, consumed = replicate.balance, replicate.consumed
    time, early, late, horizon = _times(replicate, compared.horizon_fs, settings)
    by_early = _around(time, consumed, early, horizon)
    # What begins to react only later has no early rate to compare with; what only the end of the electrolyte stops has
    # not stopped.
    stoppable = by_early > max(2 * balance.noise, 0.25 * balance.resolution)
    stoppable &= replicate.ran_out_of != ELECTROLYTE_GONE
    last = (time >= late - 1e-6) & (time <= horizon + 1e-6)
    found = dict.fromkeys(METRICS, float("nan")) | {
        "early_consumed": by_early,
        "late_over_early": _slope(time, consumed, late, horizon) / (by_early / early) if stoppable else float("inf"),
        "consumed": _around(time, consumed, horizon, horizon),
        "thickness": _mean(balance.thickness[last]),
        "lithium": _around(time, balance.lithium, horizon, horizon),
        "phosphide_connected": _mean(balance.connected[last]),
        "unknown_share": _share(balance.phases[last]),
        "instability": replicate.instability,
    }
    found |= _similarities(replicate.layer, compared, settings)
    if replicate.ran_out_of == ELECTROLYTE_GONE and np.isfinite(found["stillness"]):
        # With nothing left to react, that nothing changes is no sign of a layer.
        found |= {"stillness": 0.0, "arrival": 1.0}
    return found


def late_rate(replicate: Replicate, horizon_fs: float, settings: RankingSettings) -> float:
    """Return the rate of consumption at a face over the late time, Angstrom / ps."""
    return rates(replicate, replicate.consumed, horizon_fs, settings)[1]


def rates(
    replicate: Replicate, consumed: FloatArray, horizon_fs: float, settings: RankingSettings
) -> tuple[float, float]:
    """Return the rates of (T,) what is consumed, over the early and the late time, Angstrom / ps.

    What had reacted before the start counts as consumed in the early time.
    """
    time, early, late, horizon = _times(replicate, horizon_fs, settings)
    return 1000 * _around(time, consumed, early, horizon) / early, 1000 * _slope(time, consumed, late, horizon)


def _times(
    replicate: Replicate, horizon_fs: float, settings: RankingSettings
) -> tuple[FloatArray, float, float, float]:
    """Return the times of the frames, where the early time ends, where the late one begins and ends; from 0 on, fs."""
    horizon = min(horizon_fs, replicate.reacting_fs)
    share = settings.late_fraction
    return replicate.balance.time - replicate.balance.time[0], horizon * share, horizon * (1 - share), horizon


def time_to_layer(replicate: Replicate, horizon_fs: float, share: float = 0.9) -> float:
    """Return when a share of what is consumed by the end had been consumed, fs; meaningful of a layer that stopped."""
    time = replicate.balance.time - replicate.balance.time[0]
    final = _around(time, replicate.consumed, horizon_fs, horizon_fs)
    width = max(1, len(time) // 40)
    padded = np.pad(replicate.consumed, (width // 2, width - 1 - width // 2), "edge")
    smooth = np.convolve(padded, np.ones(width) / width, "valid")
    below = np.flatnonzero((smooth < share * final) & (time <= horizon_fs))
    return float(time[min(below[-1] + 1, len(time) - 1)]) if len(below) else 0.0


def _similarities(layer: FloatArray | None, compared: Compared, settings: RankingSettings) -> dict[str, float]:
    if layer is None:
        return {}
    windows = np.asarray(layer.sum(axis=1))
    late = slice(round(len(windows) * (1 - settings.late_fraction)), None)
    final = np.nan_to_num(windows[late]).mean(axis=0)
    near = compared.near if np.isfinite(compared.near) else NEAR
    return {
        "kind": similarity_in_kind(final, compared.protective),
        "stillness": stillness(windows, late),
        "arrival": arrival(windows, late, max(near, 0.5 * NEAR)),
    }


def _around(time: FloatArray, values: FloatArray, moment: float, horizon: float) -> float:
    """Return a value at a moment: the mean over the time just before it, taken on to it by the slope there."""
    start = moment - MOMENT * horizon
    own = (time >= start - 1e-6) & (time <= moment + 1e-6)
    if not own.any():
        return float(np.interp(moment, time, values))
    slope = _slope(time, values, start - MOMENT * horizon, moment)
    return float(values[own].mean() + slope * (moment - time[own].mean()))


def _slope(time: FloatArray, values: FloatArray, start: float, end: float) -> float:
    """Return the slope of a line through part of a series, per fs."""
    own = (time >= start - 1e-6) & (time <= end + 1e-6)
    if own.sum() < 2:
        return 0.0
    t = time[own] - time[own].mean()
    return float((t @ values[own]) / (t @ t))


def _mean(values: FloatArray) -> float:
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else float("nan")


def _share(phases: FloatArray) -> float:
    """Return the share of the last column."""
    total = phases.sum()
    return float(phases[..., -1].sum() / total) if total > 0 else float("nan")


def by_label(replicates: Sequence[Replicate]) -> dict[str, list[Replicate]]:
    """Return the replicates of each label, in the order of labels and keys."""
    labels: dict[str, list[Replicate]] = {}
    for replicate in sorted(replicates, key=lambda r: (r.label, r.key)):
        labels.setdefault(replicate.label, []).append(replicate)
    return labels
