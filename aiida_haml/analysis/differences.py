"""Which environments set two candidates apart."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from aiida_haml.analysis.quantity import json_number
from aiida_haml.frames import FloatArray

#: Most labels of which all pairs are listed; of more, each with its nearest ones.
ALL_PAIRS = 12
NEAREST = 3
#: Clusters named for each pair.
NAMED = 5


def divergence_by_cluster(first: FloatArray, second: FloatArray) -> FloatArray:
    """Return what each cluster adds to the Jensen-Shannon divergence (base 2) of two candidates.

    Parameters
    ----------
    first, second : (B, K) array
        Distributions over time bins and clusters; bins in which either has no frame are left out.

    Returns
    -------
    (K,) array
        None is negative, and their sum is the square of `aiida_haml.analysis.clusters.jensen_shannon`. NaN if no
        bin is left.
    """
    both = (first.sum(axis=1) > 0) & (second.sum(axis=1) > 0)
    if not both.any():
        return np.full(first.shape[1], np.nan)
    p, q = first[both], second[both]
    parts = (_plogp(p) + _plogp(q)) / 2 - _plogp((p + q) / 2)
    return np.asarray(parts.mean(axis=0).clip(0))


def _plogp(p: FloatArray) -> FloatArray:
    return np.asarray(p * np.log2(p, out=np.zeros_like(p), where=p > 0))


def chosen_pairs(distances: FloatArray) -> list[tuple[int, int]]:
    """Return the pairs of labels to look at: all of a few, of many each with its nearest ones.

    Parameters
    ----------
    distances : (L, L) array
        NaN where unknown.
    """
    n = len(distances)
    if n <= ALL_PAIRS:
        return [(i, j) for i in range(n) for j in range(i + 1, n)]
    away = np.where(np.eye(n, dtype=bool) | np.isnan(distances), np.inf, distances)
    nearest = np.argsort(away, axis=1, kind="stable")[:, :NEAREST]
    return sorted({(min(i, int(j)), max(i, int(j))) for i in range(n) for j in nearest[i] if np.isfinite(away[i, j])})


def differences(
    labels: Sequence[str], distributions: Sequence[FloatArray], distances: FloatArray, clusters: list[dict[str, Any]]
) -> list[dict[str, Any]]:
    """Return, for each chosen pair of labels, the clusters that set them apart.

    Parameters
    ----------
    labels : sequence of str
    distributions : sequence of (B, K) arrays
    distances : (L, L) array
    clusters : list of dict
        What is known of each cluster: ``id``, ``central``, ``nearest_phase``.

    Returns
    -------
    list of dict
        JSON values: ``labels`` (two), ``distance`` and ``clusters``, the largest contribution first: ``id``,
        ``central``, ``nearest_phase``, ``contribution`` (share of the divergence) and ``shares`` (how much of each
        candidate the cluster holds, over all time bins).
    """
    rows = []
    for i, j in chosen_pairs(distances):
        parts = divergence_by_cluster(distributions[i], distributions[j])
        total = parts.sum()
        top = [int(k) for k in np.argsort(-parts, kind="stable")[:NAMED] if total > 0 and parts[k] > 0]
        rows.append({
            "labels": [labels[i], labels[j]],
            "distance": json_number(float(distances[i, j])),
            "clusters": [
                {
                    **{name: clusters[k][name] for name in ("id", "central", "nearest_phase")},
                    "contribution": json_number(float(parts[k] / total)),
                    "shares": [json_number(_share(distributions[m], k)) for m in (i, j)],
                }
                for k in top
            ],
        })  # fmt: skip
    return rows


def _share(distribution: FloatArray, cluster: int) -> float:
    filled = distribution.sum(axis=1) > 0
    return float(distribution[filled, cluster].mean()) if filled.any() else float("nan")
