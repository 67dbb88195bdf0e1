"""The ranking: verdicts, scores, intervals, ties and refusals, within groups of like candidates.

Score
    Sum over the metrics of weight times how good each is, from 0 to 1 (`aiida_haml.analysis.ranking.metrics`); one
    for each replicate. A label's is their mean.
Replicates
    Candidates that differ in their seed alone, and so in velocities and in what is drawn in their structure.
    Intervals are Student's over them. Fewer than `RankingSettings.fewest_replicates` tell nobody apart.
Model
    The error of the potential enters absolutely: above a limit there is no rank, below it a score may be off in
    proportion to the prequential force error, or to the committee's spread if that is larger.
Ties
    Two labels are tied unless Welch's test tells their scores apart, with the false discoveries among all pairs of a
    group bounded (Y. Benjamini, Y. Hochberg, J. R. Stat. Soc. B 57, 289 (1995)).
Refusal
    Only labels that form a layer with metal left to test it are ordered ('passivates', 'does not stop'). The others
    have their verdict, and no place.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from scipy import stats

from aiida_haml.analysis.kinetics.fit import Growth, growth
from aiida_haml.analysis.kinetics.temperature import activation
from aiida_haml.analysis.quantity import json_number, over_replicates
from aiida_haml.analysis.ranking.metrics import METRICS, Metric, declared_metrics
from aiida_haml.analysis.ranking.replicates import Compared, Replicate, by_label, late_rate, measured, time_to_layer
from aiida_haml.analysis.ranking.sensitivity import tied_groups, weight_sensitivity
from aiida_haml.analysis.ranking.verdicts import ORDERED, PASSIVATES, UNDETERMINED, Verdict, verdict
from aiida_haml.analysis.settings import RankingSettings
from aiida_haml.frames import FloatArray
from aiida_haml.structures.reservoir import LEAST_RATIO

#: Labels that a correlation with instability needs.
FEWEST_CORRELATED = 4


@dataclass(frozen=True, eq=False)
class Judged:
    """All that is known of one label in its group.

    Attributes
    ----------
    label : str
    own : list of Replicate
        Those that were simulated long enough.
    metrics : list of dict
        Of each of them.
    verdict : Verdict
    growth : Growth
    scores : (R,) array
        NaN where a weighted metric is not defined.
    model : float
        Standard deviation that the potential's error may bring.
    """

    label: str
    own: list[Replicate]
    metrics: list[dict[str, float]]
    verdict: Verdict
    growth: Growth
    scores: FloatArray
    model: float

    @property
    def is_ordered(self) -> bool:
        """Whether it has a place in the order."""
        return self.verdict.verdict in ORDERED and len(self.scores) > 0 and bool(np.isfinite(self.scores).all())

    @property
    def score(self) -> float:
        """Mean over the replicates."""
        return float(self.scores.mean())

    def variance(self) -> tuple[float, float]:
        """Return the variance of the score over replicates, and its degrees of freedom."""
        n = len(self.scores)
        return (float(self.scores.var(ddof=1)) / n, n - 1.0) if n > 1 else (float("nan"), 0.0)


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
        judged = [_judged(label, own, compared, metrics, settings) for label, own in members.items()]
        found |= {j.label: j for j in judged}
        order = sorted((j for j in judged if j.is_ordered), key=lambda j: (-j.score, j.label))
        apart, probability = _told_apart(order, settings)
        own = [_row(j, group, members[j.label], compared, metrics, settings) for j in judged]
        _place(own, order, apart)
        rows += sorted(own, key=lambda r: (r["rank"] is None, r["rank"], r["label"]))
        groups.append(_group(group, compared, judged, order, own, probability, metrics, settings))
    return {
        "candidates": rows,
        "groups": groups,
        "metrics": {n: asdict(m) | {"half": json_number(m.half)} for n, m in metrics.items()},
        "arrhenius": _arrhenius(found, settings),
        "warnings": list(_warnings(rows, replicates, settings)),
        "settings": settings.to_dict(),
    }


def _judged(
    label: str, own: list[Replicate], compared: Compared, metrics: Mapping[str, Metric], settings: RankingSettings
) -> Judged:
    usable = [r for r in own if r.simulated_fs + 1e-6 >= settings.min_simulated_fs and r.simulated_fs > 0]
    errors = [max(r.force_rmse or 0.0, r.deviation or 0.0) for r in own]
    model = settings.model_score * max(errors) / settings.max_force_error
    if not usable:
        longest = max(r.simulated_fs for r in own)
        reason = f"simulated {longest:g} fs, needs at least {settings.min_simulated_fs:g} fs"
        return Judged(label, [], [], Verdict(UNDETERMINED, True, reason), Growth(UNDETERMINED), np.empty(0), model)
    values = [measured(r, compared, settings) for r in usable]
    said = verdict(usable, values, settings)
    bad = [r.force_rmse for r in usable if r.force_rmse is not None and r.force_rmse > settings.max_force_error]
    if bad:
        reason = (
            f"its potential was off by {max(bad):.2g} eV/Å, and more than {settings.max_force_error:g} eV/Å are not "
            f"trusted; without that it would read '{said.verdict}'"
        )
        said = Verdict(UNDETERMINED, True, reason)
    scores = np.array([_score(v, metrics) for v in values])
    if said.verdict in ORDERED and not np.isfinite(scores).all():
        lacking = [n for n, m in metrics.items() if m.weight > 0 and any(np.isnan(v[n]) for v in values)]
        said = Verdict(UNDETERMINED, True, f"{' and '.join(lacking)} not defined ({said.verdict}: {said.reason})")
    return Judged(label, usable, values, said, _growth(usable, settings), scores, model)


def _score(values: Mapping[str, float], metrics: Mapping[str, Metric]) -> float:
    return float(sum(m.weight * float(m.good(np.array(values[n]))) for n, m in metrics.items() if m.weight > 0))


def _growth(own: Sequence[Replicate], settings: RankingSettings) -> Growth:
    series = []
    for replicate in own:
        time = replicate.balance.time
        kept = time <= time[0] + replicate.reacting_fs + 1e-6
        series.append((time[kept], replicate.consumed[kept]))
    available = max(r.balance.resolution * r.balance.units / len(r.balance.faces) for r in own)
    return growth(series, available, settings.confidence)


# -- pairs -----------------------------------------------------------------------------------------------


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


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if values else float("nan")


# -- what is said ----------------------------------------------------------------------------------------


def _row(
    judged: Judged, group: str, everyone: Sequence[Replicate], compared: Compared, metrics: Mapping[str, Metric],
    settings: RankingSettings,
) -> dict[str, Any]:  # fmt: skip
    values = {n: over_replicates([m[n] for m in judged.metrics], settings.confidence) for n in METRICS}
    known = judged.verdict
    scores = over_replicates(judged.scores, settings.confidence)
    ordered = judged.is_ordered
    return {
        "label": judged.label,
        "group": group,
        "rank": None,
        "score": json_number(scores.value) if ordered else None,
        "interval": [json_number(scores.low), json_number(scores.high)] if ordered else [None, None],
        "verdict": known.verdict,
        "sure": known.sure,
        "reason": known.reason,
        "status": f"{known.verdict}: {known.reason}",
        "tied_with": [],
        "replicates": len(judged.own),
        "seeds": len(everyone),
        "members": [r.key for r in everyone],
        "simulated_fs": json_number(min(r.simulated_fs for r in everyone)),
        "reservoir": json_number(min(r.balance.reservoir for r in everyone)),
        "metrics": {n: json_number(q.value) for n, q in values.items()},
        "metric_intervals": {n: [json_number(q.low), json_number(q.high)] for n, q in values.items()},
        "parts": {
            n: json_number(m.weight * _mean([float(m.good(np.array(v[n]))) for v in judged.metrics]))
            for n, m in metrics.items()
            if m.weight > 0
        },
        "replicate_scores": [json_number(s) for s in judged.scores],
        "force_error": json_number(max((r.force_rmse for r in everyone if r.force_rmse is not None), default=np.nan)),
        "kinetics": _kinetics(judged, compared, settings),
    }


def _kinetics(judged: Judged, compared: Compared, settings: RankingSettings) -> dict[str, Any]:
    found = judged.growth
    late = over_replicates([late_rate(r, compared.horizon_fs, settings) for r in judged.own], settings.confidence)
    answer: dict[str, Any] = {
        "law": found.law,
        "reason": found.reason,
        "rate": found.rate.to_dict() if found.rate is not None else None,
        "unit": found.unit,
        "parameters": {n: json_number(v) for n, v in found.parameters.items()},
        "leads": {n: json_number(v) for n, v in found.leads.items()},
        "late_rate_A_per_ps": late.to_dict(),
        "time_to_layer_fs": None,
    }
    if judged.verdict.verdict == PASSIVATES:
        times = [time_to_layer(r, compared.horizon_fs) for r in judged.own]
        answer["time_to_layer_fs"] = over_replicates(times, settings.confidence).to_dict()
    return answer


def _place(rows: Sequence[dict[str, Any]], order: Sequence[Judged], apart: FloatArray) -> None:
    place = {j.label: k for k, j in enumerate(order)}
    for row in rows:
        if row["label"] in place:
            k = place[row["label"]]
            row["rank"] = k + 1
            row["tied_with"] = [order[m].label for m in range(len(order)) if m != k and not apart[k, m]]


def _group(
    name: str, compared: Compared, judged: Sequence[Judged], order: Sequence[Judged], rows: Sequence[dict[str, Any]],
    probability: FloatArray, metrics: Mapping[str, Metric], settings: RankingSettings,
) -> dict[str, Any]:  # fmt: skip
    labels = [j.label for j in order]
    tied = {row["label"]: row["tied_with"] for row in rows}
    return {
        "name": name,
        "compared_fs": json_number(compared.horizon_fs),
        "order": labels,
        "tied": tied_groups(labels, tied),
        "order_probability": [[json_number(float(p)) for p in row] for row in probability],
        "sensitivity": _sensitivity(name, order, metrics, settings),
        "instability": _instability(order),
        "sentence": _sentence(name, judged, order, tied),
    }


def _sensitivity(
    name: str, order: Sequence[Judged], metrics: Mapping[str, Metric], settings: RankingSettings
) -> dict[str, Any] | None:
    if len(order) < 2:
        return None
    good = np.array([
        [float(np.mean([m.good(np.array(v[n])) for v in j.metrics])) for n, m in metrics.items()] for j in order
    ])  # fmt: skip
    rng = np.random.default_rng((settings.seed, zlib.crc32(name.encode())))
    weights = {n: m.weight for n, m in metrics.items()}
    return weight_sensitivity(
        [j.label for j in order], good, weights, settings.n_weight_draws, settings.confidence, rng
    )


def _instability(order: Sequence[Judged]) -> dict[str, Any] | None:
    """Return the rank correlation of the host's instability with the score, over the ordered labels."""
    pairs = np.array([[np.mean([r.instability for r in j.own]), j.score] for j in order]).reshape(-1, 2)
    known = pairs[np.isfinite(pairs).all(axis=1)]
    if len(known) < FEWEST_CORRELATED or np.ptp(known[:, 0]) == 0:
        return None
    found = stats.spearmanr(known[:, 0], known[:, 1])
    return {"correlation": json_number(found.statistic), "p": json_number(found.pvalue), "labels": len(known)}


def _sentence(name: str, judged: Sequence[Judged], order: Sequence[Judged], tied: Mapping[str, Sequence[str]]) -> str:
    """Say in one sentence what the group shows."""
    said: dict[str, list[str]] = {}
    for j in judged:
        said.setdefault(j.verdict.verdict, []).append(j.label)
    parts = [f"{', '.join(labels)}: {what}" for what, labels in sorted(said.items())]
    if len(order) < 2:
        return f"{name}: {'; '.join(parts)}."
    best = order[0].label
    alone = f"{best} is best" if not tied[best] else f"{best} is first, tied with {', '.join(tied[best])}"
    return f"{name}: {alone}. {'; '.join(parts)}."


def _arrhenius(found: Mapping[str, Judged], settings: RankingSettings) -> list[dict[str, Any]]:
    groups: dict[str, dict[float, Growth]] = {}
    for label, judged in found.items():
        temperature = judged.own[0].temperature_K if judged.own else None
        if temperature is not None:
            groups.setdefault(without_temperature(label, temperature), {})[temperature] = judged.growth
    rows = []
    for name, known in sorted(groups.items()):
        answer = activation(known, settings.confidence)
        energy = None if answer.energy is None else answer.energy.to_dict()
        rows.append({
            "label": name,
            "activation_energy_eV": energy and energy["value"],
            "interval": energy and energy["interval"],
            "status": answer.status,
        })  # fmt: skip
    return rows


def without_temperature(label: str, temperature: float) -> str:
    """Return a label without the temperature that it ends with, if it does."""
    return label.removesuffix(f" {temperature:g} K")


def _warnings(
    rows: Sequence[Mapping[str, Any]], replicates: Sequence[Replicate], settings: RankingSettings
) -> list[str]:
    said = []
    few = [row["label"] for row in rows if row["replicates"] < settings.fewest_replicates]
    if few:
        said.append(
            f"Fewer than {settings.fewest_replicates} replicates, so tied with all others whatever the scores: "
            f"{', '.join(few)}. Give more seeds."
        )
    short = sorted({r.label for r in replicates if r.balance.reservoir < LEAST_RATIO})
    if short:
        said.append(
            f"Less than {LEAST_RATIO:g} times the lithium that the electrolyte needs: {', '.join(short)}. A layer that "
            "stops there may only have used up the metal."
        )
    unsure = [row["label"] for row in rows if not row["sure"]]
    if unsure:
        said.append(f"The replicates leave doubt of the verdict on {', '.join(unsure)}.")
    return said
