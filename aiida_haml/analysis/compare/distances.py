"""Distances between interphases by their distributions over clusters: in time, in kind, and between candidates.

All are Jensen-Shannon distances (base 2, from 0 to 1): a metric, finite where one side lacks a cluster, and in no
need of a distance between clusters of different elements. Two samples of one distribution are not at distance 0, and
the further apart the fewer atoms there are: what is to be expected of that is taken off.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from scipy.spatial.distance import jensenshannon

from aiida_haml.analysis.quantity import json_number
from aiida_haml.arrays import FloatArray

#: Rounds of expectation and maximisation that a mixture of phases is fitted in.
ROUNDS = 200
#: Part of each phase's distribution that is spread over all clusters, so that no cluster is impossible.
SPREAD = 1e-3
#: Clusters named for each pair of candidates.
NAMED = 5


def distance(first: FloatArray, second: FloatArray) -> float:
    """Return the Jensen-Shannon distance of two interphases, less what chance makes of it.

    Parameters
    ----------
    first, second : (K,) arrays
        Atoms in each cluster.

    Returns
    -------
    float
        NaN where either holds less than one atom.

    Notes
    -----
    The divergence of two samples of n and m atoms of one distribution over k clusters is (k - 1) (1/n + 1/m) / (8 ln 2)
    bits to first order, where n = m (I. Grosse et al., Phys. Rev. E 65, 041905 (2002)).
    """
    n, m = float(first.sum()), float(second.sum())
    if not (n >= 1 and m >= 1):
        return float("nan")
    squared = float(jensenshannon(first / n, second / m, base=2)) ** 2
    filled = int(((first > 0) | (second > 0)).sum())
    chance = (filled - 1) * (1 / n + 1 / m) / (8 * np.log(2))
    return float(np.sqrt(max(squared - chance, 0.0)))


def distance_matrix(layers: Sequence[FloatArray]) -> FloatArray:
    """Return (N, N) distances between (K,) interphases; NaN where one of them is empty."""
    n = len(layers)
    distances = np.zeros((n, n))
    for i in range(n):
        for j in range(i):
            distances[i, j] = distances[j, i] = distance(layers[i], layers[j])
    return distances


def similarity_in_kind(layer: FloatArray, phases: FloatArray) -> float:
    """Return how near an interphase is to the nearest mixture of some phases: one less the distance.

    Parameters
    ----------
    layer : (K,) array
        Atoms in each cluster.
    phases : (P, K) array
        Distributions of the phases.

    Notes
    -----
    The mixture is the likeliest: its shares are found by expectation and maximisation (A. P. Dempster, N. M. Laird,
    D. B. Rubin, J. R. Stat. Soc. B 39, 1 (1977)).
    """
    phases = phases[phases.sum(axis=1) > 0]
    if not len(phases) or layer.sum() < 1:
        return float("nan")
    phases = (1 - SPREAD) * phases + SPREAD / phases.shape[1]
    p = layer / layer.sum()
    shares = np.full(len(phases), 1 / len(phases))
    for _ in range(ROUNDS):
        mixture = shares @ phases
        shares = shares * (phases @ (p / mixture))
    squared = float(jensenshannon(p, shares @ phases, base=2)) ** 2
    chance = (int((layer > 0).sum()) - 1) / (8 * np.log(2) * layer.sum())
    return 1 - float(np.sqrt(max(squared - chance, 0.0)))


def stillness(layers: FloatArray, late: slice) -> float:
    """Return how still an interphase stays: one less the mean distance between its successive late windows.

    Parameters
    ----------
    layers : (B, K) array
        Atoms in each cluster in each window of time.
    late : slice
        The windows that count as late.
    """
    own = layers[late]
    steps = [distance(a, b) for a, b in pairwise(own)]
    known = [s for s in steps if np.isfinite(s)]
    return 1 - float(np.mean(known)) if known else float("nan")


def arrival(layers: FloatArray, late: slice, near: float) -> float:
    """Return when an interphase has become what it is late: the share of the time before it stays near to that.

    The moment lies between the middles of two windows, where a line between their distances crosses the limit; at the
    start, before there was an interphase, the distance is one.

    Parameters
    ----------
    layers : (B, K) array
        Atoms in each cluster in each window of time.
    late : slice
        The windows that count as late.
    near : float
        Distance that counts as near; candidates of one kind differ by the floor between their seeds.
    """
    final = np.nanmean(layers[late], axis=0) if np.isfinite(layers[late]).any() else np.zeros(layers.shape[1])
    if final.sum() < 1:
        return float("nan")
    away = np.array([distance(window, final) for window in layers])
    far = np.flatnonzero(~(away <= near))
    if not len(far):
        return float(0.5 * (1 - near) / (1 - away[0]) / len(layers))
    k = int(far[-1])
    if k == len(layers) - 1:
        return 1.0
    step = away[k] - away[k + 1]
    between = (away[k] - near) / step if np.isfinite(step) else 0.5
    return float((k + 0.5 + between) / len(layers))


def floor(distances: FloatArray, labels: Sequence[str]) -> float:
    """Return the mean distance between replicates of one label; NaN where no label has two."""
    names = np.array(labels)
    same = np.triu(names[:, None] == names[None, :], k=1)
    known = distances[same & np.isfinite(distances)]
    return float(known.mean()) if len(known) else float("nan")


def differences(
    labels: Sequence[str], layers: Sequence[FloatArray], distances: FloatArray, clusters: list[dict[str, Any]],
    cut: float,
) -> list[dict[str, Any]]:  # fmt: skip
    """Return, for each pair of labels farther apart than the floor, the clusters that set them apart.

    Parameters
    ----------
    labels : sequence of str
    layers : sequence of (K,) arrays
    distances : (L, L) array
    clusters : list of dict
        What is known of each cluster: ``id``, ``central``, ``nearest_phase``.
    cut : float
        The floor.

    Returns
    -------
    list of dict
        JSON values: ``labels`` (two), ``distance`` and ``clusters``, the largest contribution first: ``id``,
        ``central``, ``nearest_phase``, ``contribution`` (share of the divergence) and ``shares`` (of each interphase).
    """
    rows = []
    for i in range(len(labels)):
        for j in range(i + 1, len(labels)):
            if not distances[i, j] > (cut if np.isfinite(cut) else 0.0):
                continue
            p, q = (layers[k] / layers[k].sum() for k in (i, j))
            parts = np.clip((_plogp(p) + _plogp(q)) / 2 - _plogp((p + q) / 2), 0, None)
            top = [int(k) for k in np.argsort(-parts, kind="stable")[:NAMED] if parts[k] > 0]
            named = [{n: clusters[k][n] for n in ("id", "central", "nearest_phase")} for k in top]
            for row, k in zip(named, top, strict=True):
                row["contribution"] = json_number(float(parts[k] / parts.sum()))
                row["shares"] = [json_number(float(p[k])), json_number(float(q[k]))]
            pair = [labels[i], labels[j]]
            rows.append({"labels": pair, "distance": json_number(float(distances[i, j])), "clusters": named})
    return rows


def _plogp(p: FloatArray) -> FloatArray:
    return np.asarray(p * np.log2(p, out=np.zeros_like(p), where=p > 0))
