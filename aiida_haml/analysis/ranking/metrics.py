"""The metrics of the ranking: what they are, where good lies, what they count, and why.

What is good
    An interface that reacts early into known products that conduct ions alone, and then stops: doping gives "a more
    stable interface protective layer faster" (Y. Lai et al., npj Comput. Mater. (2025), 10.1038/s41524-025-01747-7).
    So a high early rate, and a late rate that is low beside it; the thinner the electrolyte that this has cost, the
    better. A layer through which electrons pass grows on whatever its rate was in a short simulation (the
    mixed-conducting interphases of S. Wenzel et al., Solid State Ionics 278, 98 (2015), 10.1016/j.ssi.2015.06.001),
    so its kind counts: it is compared with the products that conduct ions alone, Li2S, LiCl, Li2O, LiF and their
    solid solutions.
Similarity
    Three of the metrics come from one alphabet, the clusters of environments of all candidates and reference phases, in
    which the balance of each interphase is written: similarity in time (how early the interphase becomes what it is
    late, and how still it then stays) and in kind (to protective products). The third similarity, between candidates,
    says who is alike and nothing of better or worse. Where the electrolyte was used up the interphase is still for
    want of anything to react with, and counts as never having arrived.
What does not count
    Moderate structural instability of the host is what lets a layer form, says the paper; it is a cause and not the
    aim. It is shown, and correlated with the score over the candidates.
Bounded
    Each metric is taken to a number from 0 (bad) to 1 (good) by a declared curve that flattens, so that no metric
    outweighs the others by its size, and a score stays the same when other candidates join. Weights and curves are
    our choice.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from aiida_haml.arrays import FloatArray


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
    half : float
        Value that counts one half, in `unit`; infinite for metrics that are shares already and count as they are.
    description : str
    """

    unit: str
    direction: str
    weight: float
    half: float
    description: str

    def good(self, values: FloatArray) -> FloatArray:
        """Return numbers from 0 (bad) to 1 (good): v / (v + half), or the share itself; one less that if low is
        good."""
        positive = np.maximum(values, 0)
        # Written so that an infinite value counts 1.
        share = np.clip(values, 0, 1) if math.isinf(self.half) else 1 - self.half / (positive + self.half)
        return np.asarray(share if self.direction == "high" else 1 - share)


METRICS: dict[str, Metric] = {
    "early_consumed": Metric(
        "Å", "high", 0.15, 2.0,
        "How fast the layer forms: electrolyte consumed at a face by the end of the early time.",
    ),
    "late_over_early": Metric(
        "1", "low", 0.25, 0.2,
        "Whether it stops: rate of consumption over the late time, beside the rate over the early time.",
    ),
    "consumed": Metric(
        "Å", "low", 0.15, 10.0, "What it cost: electrolyte consumed at a face by the end of the compared time.",
    ),
    "kind": Metric(
        "1", "high", 0.20, math.inf,
        "Similarity in kind: how near the late interphase is to a mixture of products that conduct ions alone, over "
        "the clusters of environments.",
    ),
    "stillness": Metric(
        "1", "high", 0.15, math.inf,
        "Similarity in time: how alike the interphase is from one late window to the next, over the clusters.",
    ),
    "arrival": Metric(
        "1", "low", 0.10, math.inf,
        "Similarity in time: share of the compared time after which the interphase stays what it is late.",
    ),
    "phosphide_connected": Metric(
        "1", "low", 0.0, math.inf,
        "Whether electrons pass: share of the P without S whose Li-P network leads from the metal to the electrolyte.",
    ),
    "unknown_share": Metric(
        "1", "low", 0.0, math.inf, "Share of the late interphase that resembles no reference phase.",
    ),
    "thickness": Metric("Å", "low", 0.0, 10.0, "Late thickness of the layer at a face."),
    "lithium": Metric("nmol/cm²", "low", 0.0, 10.0, "Metal consumed at a face by the end of the compared time."),
    "instability": Metric(
        "1", "high", 0.0, 0.1,
        "Lindemann ratio of the anions of the unreacted electrolyte in windows of time: an explanation, not a vote.",
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
