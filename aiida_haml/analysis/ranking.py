"""The ranking: named metrics, declared weights, intervals, ties, kinetics and refusals.

What is compared
    All candidates over the same simulated time, that of the shortest one ranked. Its last part
    (`RankingSettings.late_fraction`) counts as late. The kinetics alone take each candidate over its whole time.
Score
    Sum over the metrics of weight * value / scale, positive where high is good and negative where low is
    good; weights are divided by their sum. The scale of a metric is the difference that counts as its full
    weight. It is declared, not taken from the candidates, so that a score stays the same when others join the
    screen.
Interval
    The compared time is cut into blocks, a trend is fitted (a cubic over the early part, a line over the late
    part), and the means are redrawn with noise as wide and of as long a memory as the blocks about the trend
    leave open (`aiida_haml.analysis.noise`). Candidates that differ only in seed are pooled under their label as
    random effects. On first-order autoregressive noise the 95 % intervals covered 94-100 % of planted means where
    the correlation time was up to 8 % of the compared time, and 90-92 % at 15 %; with half to four fifths of the
    variance white on top, 93-100 % up to 5 % and 86-92 % at 8 %. Beyond, they are too narrow: no method can know
    from a trajectory what it was too short to show.
Ties
    Two candidates are tied unless one scores above the other in at least `confidence` of the samples. Ties are
    gathered into groups (`aiida_haml.analysis.sensitivity.tied_groups`).
Refusal
    A label is 'undetermined' when it was simulated too briefly, described too rarely, lacks a weighted metric, or
    was followed with a potential much worse than the others' (`RankingSettings.max_error_ratio`): its order would
    be that of the errors.
"""

from __future__ import annotations

import statistics
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from aiida_haml.analysis.blocks import MIN_BLOCKS, Blocks, Member, make_blocks, sampled_metrics
from aiida_haml.analysis.kinetics import Kinetics, activation, kinetics, pooled
from aiida_haml.analysis.metrics import METRICS, SERIES_METRICS, Metric, declared_metrics
from aiida_haml.analysis.quantity import json_number
from aiida_haml.analysis.sensitivity import tied_groups, weight_sensitivity
from aiida_haml.analysis.settings import RankingSettings
from aiida_haml.frames import FloatArray

#: Streams of random numbers, so that one does not shift another.
SAMPLES, GROWTH_LAW, TEMPERATURES, WEIGHTS = range(4)


@dataclass(frozen=True, eq=False)
class Pooled:
    """All seeds of one label.

    Attributes
    ----------
    point : (M,) array
        Metrics.
    series_samples : (K, S, N) array
        Samples of the N metrics of the series, of each of K seeds.
    kinetic_samples : (S, M - N) array
        Samples of the metrics of the kinetics, of the label; NaN where undetermined.
    seed : int
        Of the samples' pooling.
    """

    point: FloatArray
    series_samples: FloatArray
    kinetic_samples: FloatArray
    seed: tuple[int, ...]

    def metric_samples(self) -> FloatArray:
        """Return (S, M) samples of the metrics."""
        rng = np.random.default_rng(self.seed)
        columns = [pooled(list(self.series_samples[:, :, n]), rng) for n in range(self.series_samples.shape[2])]
        return np.column_stack([*columns, self.kinetic_samples])

    def score_samples(self, factors: FloatArray) -> FloatArray:
        """Return (S,) samples of the score; seeds are pooled by their scores, which keep what metrics share."""
        n = self.series_samples.shape[2]
        scores = pooled([_scores(s, factors[:n]) for s in self.series_samples], np.random.default_rng(self.seed))
        return scores + _scores(self.kinetic_samples, factors[n:])


def rank(members: Sequence[Member], settings: RankingSettings) -> dict[str, Any]:
    """Rank candidates.

    Parameters
    ----------
    members : sequence of Member
    settings : RankingSettings

    Returns
    -------
    dict
        JSON values: ``candidates`` (best first, undetermined ones last), ``metrics``, ``order_probability``
        (row above column, in the order of ``candidates``; null where undetermined), ``groups`` (of labels that
        cannot be told apart), ``sensitivity`` (to the weights), ``arrhenius``, ``compared_fs``, ``warnings``,
        ``normalisation``, ``settings``.

    Raises
    ------
    ValueError
        If no member is given, a weight is wrong or a series is not in time order.
    """
    if not members:
        raise ValueError("No candidates to rank: give the description of at least one.")
    metrics = declared_metrics(settings.weights)
    labels = _by_label(members)
    usable = {label: [m for m in own if _long_enough(m, settings)] for label, own in labels.items()}
    horizon = min((m.simulated_fs for own in usable.values() for m in own), default=0.0)
    growth = {label: _kinetics(label, own, settings) for label, own in labels.items()}
    bad_potentials, warnings = _error_refusals(labels, settings)
    rows: list[dict[str, Any]] = []
    ranked: dict[str, Pooled] = {}
    for label, own in labels.items():
        blocks = [b for m in usable[label] if (b := make_blocks(m, horizon, settings)) is not None]
        reason = _too_short(own, usable[label], blocks, settings)
        found = pool(blocks, growth[label], label, settings) if reason is None else None
        reason = reason or bad_potentials.get(label)
        if found is not None and reason is None:
            reason = _undefined(found, growth[label], metrics)
        rows.append(_empty_row(label, own, reason) | {"kinetics": growth[label].to_dict()})
        if found is not None:
            rows[-1]["metrics"] = _named(found.point)
        if found is not None and reason is None:
            ranked[label] = found
            warnings += _pool_warnings(label, own, blocks)
    factors = _factors(metrics)
    samples = {label: found.score_samples(factors) for label, found in ranked.items()}
    _fill_scores(rows, ranked, samples, metrics, settings)
    rows.sort(key=lambda r: (r["rank"] is None, r["rank"], r["label"]))
    order = [row["label"] for row in rows if row["rank"] is not None]
    return {
        "candidates": rows,
        "metrics": {name: asdict(metric) for name, metric in metrics.items()},
        "order_probability": _order_table(rows, samples),
        "groups": tied_groups(order, {row["label"]: row["tied_with"] for row in rows}),
        "sensitivity": _sensitivity(order, ranked, metrics, settings),
        "arrhenius": _arrhenius(labels, growth, settings),
        "compared_fs": json_number(horizon),
        "normalisation": "score = sum of weight * value / scale, negative where low is better",
        "warnings": warnings,
        "settings": settings.to_dict(),
    }


def _by_label(members: Sequence[Member]) -> dict[str, list[Member]]:
    labels: dict[str, list[Member]] = {}
    for member in sorted(members, key=lambda m: (m.label, m.key)):
        labels.setdefault(member.label, []).append(member)
    return labels


def _stream(settings: RankingSettings, label: str, stream: int) -> tuple[int, ...]:
    """Return the seed of a label's random numbers, which does not depend on other labels."""
    return (settings.seed, zlib.crc32(label.encode()), stream)


def _long_enough(member: Member, settings: RankingSettings) -> bool:
    return member.simulated_fs > 0 and member.simulated_fs + 1e-6 >= settings.min_simulated_fs


# -- labels ----------------------------------------------------------------------------------------------


def _kinetics(label: str, own: Sequence[Member], settings: RankingSettings) -> Kinetics:
    rng = np.random.default_rng(_stream(settings, label, GROWTH_LAW))
    return kinetics([m.series for m in own], rng, settings.late_fraction, settings.confidence, settings.n_draws)


def pool(members: Sequence[Blocks], growth: Kinetics, label: str, settings: RankingSettings) -> Pooled:
    """Pool the seeds of a label; the samples depend on the label and the settings, not on other candidates."""
    seed = _stream(settings, label, SAMPLES)
    rng = np.random.default_rng(seed)
    points, samples = zip(*(sampled_metrics(b, settings, rng) for b in members), strict=True)
    derived = _kinetic_samples(growth, settings.n_draws)
    return Pooled(np.append(np.mean(points, axis=0), np.median(derived, axis=0)), np.stack(samples), derived, seed)


def _kinetic_samples(growth: Kinetics, count: int) -> FloatArray:
    """Return (S, 3) samples of ``rate_constant``, ``time_to_layer`` and ``layer_thickness``."""
    nothing = np.full(count, np.nan)
    saturates = growth.log_rate is not None and growth.model != "parabolic"
    rate = growth.log_rate / np.log(10) if saturates and growth.log_rate is not None else nothing
    layer = growth.log_time_to_layer / np.log(10) if growth.log_time_to_layer is not None else nothing
    thickness = growth.thickness if growth.thickness is not None else nothing
    return np.column_stack([rate, layer, thickness])


def _too_short(own: list[Member], usable: list[Member], blocks: list[Blocks], settings: RankingSettings) -> str | None:
    if not usable:
        longest = max(m.simulated_fs for m in own)
        return f"simulated {longest:g} fs, needs at least {settings.min_simulated_fs:g} fs"
    if not blocks:
        return (
            f"fewer than {2 * MIN_BLOCKS} described frames in the compared time; simulate longer, or "
            "describe more often (every_fs)"
        )
    return None


def _undefined(found: Pooled, growth: Kinetics, metrics: Mapping[str, Metric]) -> str | None:
    named = _named(found.point)
    undefined = [n for n, m in metrics.items() if m.weight > 0 and named[n] is None]
    if not undefined:
        return None
    why = f" (kinetics: {growth.reason or growth.model})" if set(undefined) - set(SERIES_METRICS) else ""
    return f"{' and '.join(undefined)} not defined for these atoms{why}"


def _error_refusals(labels: Mapping[str, list[Member]], settings: RankingSettings) -> tuple[dict[str, str], list[str]]:
    """Return the labels whose potential was much worse than the others', with the reason, and warnings."""
    errors: dict[str, float] = {}
    for label, own in labels.items():
        known = [m.force_rmse for m in own if m.force_rmse is not None and np.isfinite(m.force_rmse)]
        if known:
            errors[label] = float(np.mean(known))
    if not errors:
        return {}, []
    median = statistics.median_low(errors.values())  # of two labels, the better one
    warnings = [
        f"{label}: the error of its potential is not known, so it may be less certain than its interval says."
        for label in labels
        if label not in errors
    ]
    refused = {}
    for label, error in errors.items():
        ratio = error / median if median > 0 else 1.0
        what = f"force error of its potential {error:.3g} eV/Å is {ratio:.1f} times the median of all labels"
        if ratio > settings.max_error_ratio:
            refused[label] = f"{what} (limit {settings.max_error_ratio:g}); train it further before it is ranked"
        elif ratio > np.sqrt(settings.max_error_ratio):
            warnings.append(f"{label}: {what}; part of its place may be due to it.")
    return refused, warnings


def _pool_warnings(label: str, own: list[Member], blocks: list[Blocks]) -> list[str]:
    found = []
    if len(own) == 1:
        found.append(f"{label}: one seed only, so its interval does not hold the spread between seeds.")
    if len(blocks) < len(own):
        found.append(f"{label}: {len(own) - len(blocks)} of {len(own)} seeds are too short and were left out.")
    return found


def _empty_row(label: str, own: list[Member], reason: str | None) -> dict[str, Any]:
    return {
        "label": label,
        "rank": None,
        "score": None,
        "interval": [None, None],
        "metrics": dict.fromkeys(METRICS),
        "metric_intervals": {name: [None, None] for name in METRICS},
        "parts": dict.fromkeys(METRICS),
        "simulated_fs": json_number(min(m.simulated_fs for m in own)),
        "tied_with": [],
        "status": "ranked" if reason is None else f"undetermined: {reason}",
        "members": [m.key for m in own],
    }


# -- scores ------------------------------------------------------------------------------------------------


def _factors(metrics: Mapping[str, Metric]) -> FloatArray:
    return np.array([(1 if m.direction == "high" else -1) * m.weight / m.scale for m in metrics.values()])


def _scores(values: FloatArray, factors: FloatArray) -> FloatArray:
    """Metrics without weight may be undefined (NaN) and do not count."""
    return np.asarray(np.where(factors != 0, values, 0.0) @ factors)


def _fill_scores(
    rows: list[dict[str, Any]], ranked: Mapping[str, Pooled], samples: Mapping[str, FloatArray],
    metrics: Mapping[str, Metric], settings: RankingSettings,
) -> None:  # fmt: skip
    tail = (1 - settings.confidence) / 2
    factors = _factors(metrics)
    points = {label: float(_scores(found.point, factors)) for label, found in ranked.items()}
    order = sorted(points, key=lambda label: (-points[label], label))
    for row in rows:
        label = row["label"]
        if label not in ranked:
            continue
        row["rank"] = order.index(label) + 1
        row["score"] = json_number(points[label])
        row["interval"] = [json_number(q) for q in np.quantile(samples[label], [tail, 1 - tail])]
        parts = ranked[label].point * factors
        row["parts"] = {
            n: 0.0 if metrics[n].weight == 0 else json_number(p) for n, p in zip(metrics, parts, strict=True)
        }
        bounds = np.quantile(ranked[label].metric_samples(), [tail, 1 - tail], axis=0).T
        row["metric_intervals"] = {n: [json_number(v) for v in b] for n, b in zip(metrics, bounds, strict=True)}
        for other in order:
            above = _probability(samples[label], samples[other])
            if other != label and max(above, 1 - above) < settings.confidence:
                row["tied_with"].append(other)


def _probability(first: FloatArray, second: FloatArray) -> float:
    return float((first > second).mean() + 0.5 * (first == second).mean())


def _order_table(rows: list[dict[str, Any]], samples: Mapping[str, FloatArray]) -> list[list[float | None]]:
    found = [samples.get(row["label"]) for row in rows]
    return [
        [None if a is None or b is None else 0.5 if a is b else json_number(_probability(a, b)) for b in found]
        for a in found
    ]


def _sensitivity(
    order: list[str], ranked: Mapping[str, Pooled], metrics: Mapping[str, Metric], settings: RankingSettings
) -> dict[str, Any] | None:
    if not order:
        return None
    signs = np.array([(1 if m.direction == "high" else -1) / m.scale for m in metrics.values()])
    return weight_sensitivity(
        order, np.stack([ranked[label].point for label in order]), signs,
        {name: m.weight for name, m in metrics.items()}, settings.n_weight_draws, settings.confidence,
        np.random.default_rng([settings.seed, WEIGHTS]),
    )  # fmt: skip


# -- temperatures ------------------------------------------------------------------------------------------


def without_temperature(label: str, kelvin: float) -> str:
    """Return a label without the temperature that ends it where a screen has several."""
    return label.removesuffix(f" {kelvin:g} K")


def _arrhenius(
    labels: Mapping[str, list[Member]], growth: Mapping[str, Kinetics], settings: RankingSettings
) -> list[dict[str, Any]]:
    groups: dict[str, dict[float, Kinetics]] = {}
    for label, own in labels.items():
        temperature = own[0].temperature_K
        if temperature is not None:
            groups.setdefault(without_temperature(label, temperature), {})[temperature] = growth[label]
    rows = []
    for name, found in sorted(groups.items()):
        rng = np.random.default_rng(_stream(settings, name, TEMPERATURES))
        answer = activation(found, rng, settings.confidence)
        energy = None if answer.energy is None else answer.energy.to_dict()
        rows.append({
            "label": name,
            "activation_energy_eV": energy and energy["value"],
            "interval": energy and energy["interval"],
            "status": answer.status,
        })  # fmt: skip
    return rows


def _named(values: FloatArray) -> dict[str, float | None]:
    return {name: json_number(v) for name, v in zip(METRICS, values, strict=True)}
