"""What a ranking tells, as JSON values: of each label, of each group, and of all of them."""

import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy import stats

from aiida_haml.analysis.kinetics.fit import Growth
from aiida_haml.analysis.kinetics.temperature import activation
from aiida_haml.analysis.quantity import json_number, over_replicates
from aiida_haml.analysis.ranking.judging import Judged
from aiida_haml.analysis.ranking.metrics import METRICS, Metric
from aiida_haml.analysis.ranking.replicates import Compared, Replicate, late_rate, time_to_layer
from aiida_haml.analysis.ranking.sensitivity import tied_groups, weight_sensitivity
from aiida_haml.analysis.ranking.verdicts import PASSIVATES, THICK_ENOUGH
from aiida_haml.analysis.settings import RankingSettings
from aiida_haml.arrays import FloatArray
from aiida_haml.structures.reservoir import LEAST_RATIO

#: Labels that a correlation with instability needs.
FEWEST_CORRELATED = 4


def told_label(
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
    """Return the row of one label: verdict, score, metrics and kinetics with their intervals."""
    found = judged.growth
    late = over_replicates([late_rate(r, compared.horizon_fs, settings) for r in judged.own], settings.confidence)
    answer: dict[str, Any] = {
        "law": found.law,
        "reason": found.reason,
        "rate": found.rate.to_dict() if found.rate is not None else None,
        "unit": found.unit,
        "parabolic_nm2_per_h": found.parabolic.to_dict() if found.parabolic is not None else None,
        "parameters": {n: json_number(v) for n, v in found.parameters.items()},
        "leads": {n: json_number(v) for n, v in found.leads.items()},
        "late_rate_A_per_ps": late.to_dict(),
        "time_to_layer_fs": None,
    }
    if judged.verdict.verdict == PASSIVATES:
        times = [time_to_layer(r, compared.horizon_fs) for r in judged.own]
        answer["time_to_layer_fs"] = over_replicates(times, settings.confidence).to_dict()
    return answer


def told_group(
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
    """Return what is said of a group as a whole: order, ties, sensitivity to the weights, and one sentence."""
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


def arrhenius(found: Mapping[str, Judged], settings: RankingSettings) -> list[dict[str, Any]]:
    """Return the activation energies of labels that were followed at several temperatures."""
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


def warnings(
    rows: Sequence[Mapping[str, Any]], replicates: Sequence[Replicate], times: Mapping[str, float],
    settings: RankingSettings,
) -> list[str]:  # fmt: skip
    """Return what a reader has to keep in mind."""
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
    thin = sorted({r.label for r in replicates if r.balance.length / len(r.balance.faces) < THICK_ENOUGH})
    if thin:
        said.append(
            f"Less than {THICK_ENOUGH:g} Å of electrolyte at a face: {', '.join(thin)}. A layer that would stop later "
            "cannot be told from one that does not stop."
        )
    hidden = sorted({r.label for r in replicates if r.balance.hides_metal})
    if hidden:
        said.append(f"By what has reacted there is metal left, but none is recognised: {', '.join(hidden)}.")
    later = sorted(
        {
            f"{r.label} ({r.ran_out_of} after {r.reacting_fs / 1000:.3g} ps)"
            for r in replicates
            if r.ran_out_of is not None and r.reacting_fs > times.get(r.group, np.inf)
        }
    )
    if later:
        said.append(f"Used up after the time that is compared, which does not count: {', '.join(later)}.")
    unsure = [row["label"] for row in rows if not row["sure"]]
    if unsure:
        said.append(f"The replicates leave doubt of the verdict on {', '.join(unsure)}.")
    return said


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if values else float("nan")
