"""The ranking: verdicts, scores, intervals, ties and refusals, within groups of like candidates.

Score
    Sum over the metrics of weight times how good each is, from 0 to 1 (`aiida_haml.analysis.ranking.metrics`); one
    for each replicate. A label's is their mean.
Replicates
    Candidates that differ in their seed alone, and so in velocities and in what is drawn in their structure.
    Intervals are Student's over them. Fewer than `RankingSettings.fewest_replicates` tell nobody apart.
Model
    The error of the potential enters absolutely: above `RankingSettings.max_force_error` there is no rank, below it a
    score may be off by a standard deviation of `RankingSettings.model_score` in proportion, beside the scatter of
    seeds. It is the prequential force error: what labels say. The committee's spread ends stretches and chooses what is
    labelled, where it is calibrated against the same errors; it has no say of its own here. How far an error of forces
    carries into an amount is not known for these systems; both numbers are our choice.
Ties
    Two labels are tied unless Welch's test tells their scores apart, with the false discoveries among all pairs of a
    group bounded (Y. Benjamini, Y. Hochberg, J. R. Stat. Soc. B 57, 289 (1995)).
Refusal
    Only labels that form a layer with metal left to test it are ordered ('passivates', 'does not stop'). The others
    have their verdict, and no place.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np
from scipy import stats

from aiida_haml.analysis.quantity import json_number
from aiida_haml.analysis.ranking.judging import Judged, judge
from aiida_haml.analysis.ranking.metrics import declared_metrics
from aiida_haml.analysis.ranking.replicates import Compared, Replicate, by_label
from aiida_haml.analysis.ranking.telling import arrhenius, told_group, told_label, warnings
from aiida_haml.analysis.settings import RankingSettings
from aiida_haml.arrays import FloatArray


def horizons(replicates: Sequence[Replicate], settings: RankingSettings) -> dict[str, float]:
    """Return the time over which each group is compared, fs: that of the shortest trajectory that is ranked.

    What ran out of metal or electrolyte shortens it for nobody else.
    """
    found: dict[str, float] = {}
    for replicate in replicates:
        if replicate.simulated_fs + 1e-6 >= settings.min_simulated_fs:
            known = found.get(replicate.group, np.inf)
            found[replicate.group] = min(known, replicate.simulated_fs)
    return {group: float(time) for group, time in found.items()}


def rank(
    replicates: Sequence[Replicate], settings: RankingSettings, protective: FloatArray | None = None,
    floors: Mapping[str, float] | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Rank candidates.

    Parameters
    ----------
    replicates : sequence of Replicate
    settings : RankingSettings
    protective : (P, K) array, optional
        Distributions of the protective phases over the clusters.
    floors : mapping, optional
        Group -> distance between the interphases of replicates of one label.

    Returns
    -------
    dict
        JSON values: ``candidates`` (by group, best first, those without a place last), ``groups`` (what is said of each
        as a whole), ``metrics``, ``arrhenius``, ``warnings``, ``settings``.

    Raises
    ------
    ValueError
        If no candidate is given, a weight is wrong, or a label is in two groups.
    """
    if not replicates:
        raise ValueError("No candidates to rank: give the description of at least one.")
    metrics = declared_metrics(settings.weights)
    times = horizons(replicates, settings)
    rows: list[dict[str, Any]] = []
    groups: list[dict[str, Any]] = []
    found: dict[str, Judged] = {}
    for group in sorted({r.group for r in replicates}):
        compared = Compared(
            times.get(group, 0.0),
            np.zeros((0, 1)) if protective is None else protective,
            (floors or {}).get(group, float("nan")),
        )
        members = by_label([r for r in replicates if r.group == group])
        judged = [
            judge(label, [_until(r, compared.horizon_fs) for r in own], compared, metrics, settings)
            for label, own in members.items()
        ]
        found |= {j.label: j for j in judged}
        order = sorted((j for j in judged if j.is_ordered), key=lambda j: (-j.score, j.label))
        apart, probability = _told_apart(order, settings)
        own = [told_label(j, group, members[j.label], compared, metrics, settings) for j in judged]
        _place(own, order, apart)
        rows += sorted(own, key=lambda r: (r["rank"] is None, r["rank"], r["label"]))
        groups.append(told_group(group, compared, judged, order, own, probability, metrics, settings))
    return {
        "candidates": rows,
        "groups": groups,
        "metrics": {n: asdict(m) | {"half": json_number(m.half)} for n, m in metrics.items()},
        "arrhenius": arrhenius(found, settings),
        "warnings": list(warnings(rows, replicates, times, settings)),
        "settings": settings.to_dict(),
    }


def _until(replicate: Replicate, horizon_fs: float) -> Replicate:
    """Return a replicate as far as it is compared: what comes later tells nothing of it that is known of the others."""
    return replace(replicate, balance=replicate.balance.until(horizon_fs)) if horizon_fs > 0 else replicate


def _place(rows: Sequence[dict[str, Any]], order: Sequence[Judged], apart: FloatArray) -> None:
    place = {j.label: k for k, j in enumerate(order)}
    for row in rows:
        if row["label"] in place:
            k = place[row["label"]]
            row["rank"] = k + 1
            row["tied_with"] = [order[m].label for m in range(len(order)) if m != k and not apart[k, m]]


def _told_apart(order: Sequence[Judged], settings: RankingSettings) -> tuple[FloatArray, FloatArray]:
    """Return (L, L) which labels are told apart, and the probability that the row is better than the column."""
    n = len(order)
    better, doubt = np.full((n, n), 0.5), np.ones((n, n))
    for i in range(n):
        for j in range(i + 1, n):
            better[i, j] = _probability(order[i], order[j])
            better[j, i] = 1 - better[i, j]
            few = min(len(order[k].scores) for k in (i, j)) < settings.fewest_replicates
            doubt[i, j] = doubt[j, i] = 1.0 if few else 2 * min(better[i, j], better[j, i])
    pairs = np.triu_indices(n, k=1)
    apart = np.zeros((n, n), dtype=bool)
    if len(pairs[0]):
        found = stats.false_discovery_control(doubt[pairs]) < 1 - settings.confidence
        apart[pairs] = found
        apart |= apart.T
    return apart, better


def _probability(one: Judged, other: Judged) -> float:
    """Return the probability that one score is higher than another: Welch's t, with what the models may bring added."""
    (a, dof_a), (b, dof_b) = one.variance(), other.variance()
    if not (dof_a and dof_b):
        return 0.5
    model = one.model**2 + other.model**2
    total = a + b + model
    if total <= 0:
        return 0.5 if one.score == other.score else float(one.score > other.score)
    parts = a**2 / dof_a + b**2 / dof_b
    dof = (a + b) ** 2 / parts if parts > 0 else dof_a + dof_b
    return float(stats.t.cdf((one.score - other.score) / np.sqrt(total), dof))
