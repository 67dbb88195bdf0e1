"""Synthetic trajectories with planted kinetics and correlated noise."""

import numpy as np


def coloured(rng, times, memory):
    """Return stationary noise of unit width and exponential correlation, exact for any spacing of the times."""
    kept = np.exp(-np.diff(times) / memory) if memory > 0 else np.zeros(len(times) - 1)
    fresh = rng.standard_normal(len(times))
    noise = np.empty(len(times))
    noise[0] = fresh[0]
    for i, share in enumerate(kept):
        noise[i + 1] = share * noise[i] + np.sqrt(1 - share**2) * fresh[i + 1]
    return noise


def grown(law, rate, time_fs, start=0.05, amplitude=0.6, exponent=1.0):
    """Return the reacted fraction of a law of `aiida_haml.analysis.kinetics`; the rate in 1/ps."""
    t = (time_fs - time_fs[0]) / 1000
    if law == "constant":
        return np.full(len(t), start)
    if law == "linear":
        return start + rate * t
    if law == "parabolic":
        return start + np.sqrt(rate * t)
    return start + amplitude * (1 - np.exp(-((rate * t) ** exponent)))


def trajectory(law, rate, *, seed, noise=0.02, memory=0.01, length=100_000.0, n=1000, **planted):
    """Return the series of one candidate; `memory` of the noise as a share of the length (fs)."""
    time = np.linspace(0, length, n)
    rng = np.random.default_rng(seed)
    return {
        "time": time,
        "reacted_fraction": grown(law, rate, time, **planted) + noise * coloured(rng, time, memory * length),
    }
