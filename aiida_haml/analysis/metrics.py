"""The metrics of the ranking: what they are, where good lies and what they count.

Why these weights
    A good interface turns quickly into a layer of known products, which then stays as it is: formation, product
    similarity and low late drift, in that order. Moderate instability of the framework is what lets the layer
    form at all (Y. Lai et al., npj Comput. Mater. (2025), 10.1038/s41524-025-01747-7), but it is a cause and not
    the aim, so it counts least. Bonds of P say much the same as formation and are shown without being counted.
Why the rate constant does not count by itself
    `formation` needs no growth law, so that a label whose law is undetermined can be compared with one whose law
    is known. Who gives `rate_constant`, `time_to_layer` or `layer_thickness` a weight asks for more: a label
    without it is then undetermined, and says so.
"""

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
    "rate_constant": Metric(
        "log10(1/ps)", "high", 0.0, 0.3,
        "Decimal logarithm of the rate constant of first-order or Avrami growth; a third is a factor of two. "
        "Parabolic growth has another unit and none here.",
    ),
    "time_to_layer": Metric(
        "log10(fs)", "low", 0.0, 0.3, "Decimal logarithm of the time at which nine tenths of the layer have formed.",
    ),
    "layer_thickness": Metric(
        "Å", "low", 0.0, 5.0, "Late thickness of what is neither electrolyte nor lithium metal.",
    ),
}  # fmt: skip

#: Metrics made of block averages over the compared time; the rest comes from the kinetics.
SERIES_METRICS = tuple(METRICS)[:6]


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
