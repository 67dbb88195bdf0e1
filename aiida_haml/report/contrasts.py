"""Which environments set two candidates apart, from how much each cluster adds to their distance."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from ase.data import chemical_symbols

from aiida_haml.report.data import ReportData

#: Candidates that the best one is compared with, and clusters told of each pair.
MAX_OTHERS = 5
MAX_TOLD = 4
#: Share of the distance below which a cluster says nothing.
LEAST_PART = 0.03


@dataclass(frozen=True)
class Contrast:
    """One cluster of environments that is more frequent in one candidate than in the other.

    Attributes
    ----------
    first, second : str
        Labels.
    cluster : int
    central : str
        Chemical symbol of the central atom.
    phase : str
        Phase that most of the cluster's environments resemble, or 'new'.
    first_share, second_share : float
        Share of all environments of each candidate, averaged over the time bins that both have.
    part : float
        Share of the squared Jensen-Shannon distance that the cluster adds.
    """

    first: str
    second: str
    cluster: int
    central: str
    phase: str
    first_share: float
    second_share: float
    part: float


def contrasts(data: ReportData) -> list[Contrast]:
    """Return what sets the best candidate apart from the next ones, the largest parts first."""
    names = ("labels", "label_distribution", "central", "nearest_phase")
    if any(name not in data.clusters for name in names):
        return []
    place = {str(label): i for i, label in enumerate(data.clusters["labels"])}
    order = [str(row["label"]) for row in data.ranking.get("candidates", []) if str(row["label"]) in place]
    return [found for other in order[1 : 1 + MAX_OTHERS] for found in _pair(data, order[0], other, place)]


def _pair(data: ReportData, first: str, second: str, place: dict[str, int]) -> Iterator[Contrast]:
    distribution = np.asarray(data.clusters["label_distribution"], dtype=float)
    p, q = distribution[place[first]], distribution[place[second]]
    both = (p.sum(axis=1) > 0) & (q.sum(axis=1) > 0)
    if not both.any():
        return
    p, q = p[both], q[both]
    middle = (p + q) / 2
    parts = ((_pointwise(p, middle) + _pointwise(q, middle)) / 2).sum(axis=0)
    parts = parts / max(parts.sum(), 1e-300)
    for k in np.argsort(-parts, kind="stable")[:MAX_TOLD]:
        if parts[k] > LEAST_PART:
            yield Contrast(
                first, second, int(k), chemical_symbols[int(data.clusters["central"][k])],
                str(data.clusters["nearest_phase"][k]), float(p[:, k].mean()), float(q[:, k].mean()), float(parts[k]),
            )  # fmt: skip


def _pointwise(p: np.ndarray, middle: np.ndarray) -> np.ndarray:
    """Return p log(p / middle), 0 where p is 0: the terms of a Kullback-Leibler divergence."""
    ratio = np.divide(p, middle, out=np.ones_like(p), where=p > 0)
    return np.asarray(p * np.log2(ratio))
