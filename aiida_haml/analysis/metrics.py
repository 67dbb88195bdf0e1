"""The metrics of the ranking: what they are, where good lies and what they count."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Metric:
    """What a metric is, where good lies, and what it counts.

    Attributes
    ----------
    unit : str
    direction : str
        'high' or 'low': which is better.
    weight : float
        Share of the score, before division by the sum of weights.
    scale : float
        Difference that counts as the full weight, in `unit`.
    description : str
    """

    unit: str
    direction: str
    weight: float
    scale: float
    description: str


METRICS: dict[str, Metric] = {
    "formation": Metric(
        "1", "high", 0.35, 0.1,
        "How fast the interphase forms: share of atoms other than Li that no longer resemble the "
        "electrolyte, above its share at the start, averaged over the compared time.",
    ),
    "product_similarity": Metric(
        "1", "high", 0.30, 0.1,
        "How much the late interface resembles a known product (Li2S, Li3P, LiCl, Li2O, LiF, Li2Se): mean "
        "place of atoms other than Li between the electrolyte (0) and the nearest product (1).",
    ),
    "late_drift": Metric(
        "1", "low", 0.20, 0.05,
        "Whether the layer has become stable: total change of the phase fractions of atoms other than Li "
        "from the first to the second half of the late time.",
    ),
    "instability_offset": Metric(
        "Å", "low", 0.15, 0.1,
        "Moderate structural instability helps: distance of the late root mean square displacement of atoms "
        "other than Li from the declared target.",
    ),
    "ps4_loss": Metric(
        "1", "low", 0.0, 0.1, "Late share of P atoms that are not bonded to exactly four of S, O, Se.",
    ),
    "p_chalcogen_bonds": Metric(
        "1", "high", 0.0, 1.0, "Late mean number of bonds from P to S, O and Se.",
    ),
}  # fmt: skip


def declared_metrics(weights: Mapping[str, float]) -> dict[str, Metric]:
    """Return the metrics with the user's weights, divided by their sum.

    Raises
    ------
    ValueError
        If a metric is unknown, a weight negative or none positive.
    """
    unknown = sorted(set(weights) - set(METRICS))
    if unknown:
        raise ValueError(f"weights names the unknown metrics {unknown}; choose from {sorted(METRICS)}.")
    negative = sorted(name for name, w in weights.items() if not math.isfinite(w) or w < 0)
    if negative:
        raise ValueError(f"The weights of {negative} are negative or not finite; give numbers from 0 up.")
    merged = {name: float(weights.get(name, metric.weight)) for name, metric in METRICS.items()}
    total = sum(merged.values())
    if total <= 0:
        raise ValueError("All weights are zero; give at least one metric a positive weight.")
    return {name: replace(metric, weight=merged[name] / total) for name, metric in METRICS.items()}
