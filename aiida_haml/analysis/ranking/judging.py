"""One label judged: its replicates measured, their verdict, their growth and their scores."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from aiida_haml.analysis.kinetics.fit import Growth, growth
from aiida_haml.analysis.quantity import over_replicates
from aiida_haml.analysis.ranking.metrics import Metric
from aiida_haml.analysis.ranking.replicates import Compared, Replicate, late_rate, measured, rates
from aiida_haml.analysis.ranking.verdicts import DOES_NOT_STOP, ORDERED, PASSIVATES, UNDETERMINED, Verdict, verdict
from aiida_haml.analysis.settings import RankingSettings
from aiida_haml.arrays import FloatArray

#: Laws of growth without an end, and without a sign of one.
ENDLESS = {"linear": "linearly"}


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


def judge(
    label: str, own: list[Replicate], compared: Compared, metrics: Mapping[str, Metric], settings: RankingSettings
) -> Judged:
    """Return what is known of one label in its group."""
    usable = [r for r in own if r.simulated_fs + 1e-6 >= settings.min_simulated_fs and r.simulated_fs > 0]
    model = settings.model_score * max(r.force_rmse or 0.0 for r in own) / settings.max_force_error
    if not usable:
        longest = max(r.simulated_fs for r in own)
        reason = f"simulated {longest:g} fs, needs at least {settings.min_simulated_fs:g} fs"
        return Judged(label, [], [], Verdict(UNDETERMINED, True, reason), Growth(UNDETERMINED), np.empty(0), model)
    values = [measured(r, compared, settings) for r in usable]
    grown = _growth(usable, settings)
    said = _agreeing(verdict(usable, values, settings), usable, grown, compared, settings)
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
    return Judged(label, usable, values, said, grown, scores, model)


def _agreeing(
    said: Verdict, own: Sequence[Replicate], grown: Growth, compared: Compared, settings: RankingSettings
) -> Verdict:
    """Take a verdict back that the kinetics speak against.

    What had reacted before the start slows nothing down, and a face that stopped stops no other one.
    """
    if said.verdict != PASSIVATES:
        return said
    late = over_replicates([late_rate(r, compared.horizon_fs, settings) for r in own], settings.confidence)
    if grown.law in ENDLESS and late.low > 0:
        reason = f"in the run it grew {ENDLESS[grown.law]}, at {late.value:.2g} Å/ps to its end"
        return Verdict(DOES_NOT_STOP, False, f"{said.reason}, but {reason}")
    for k, face in enumerate(own[0].balance.faces):
        known = [rates(r, r.balance.consumed[:, k], compared.horizon_fs, settings) for r in own]
        early, late = (over_replicates([rate[i] for rate in known], settings.confidence) for i in range(2))
        if late.low > 0 and late.value > settings.passivated_ratio * early.value:
            reason = f"at the {face} face it goes on at {late.value:.2g} Å/ps"
            return Verdict(DOES_NOT_STOP, False, f"{said.reason}, but {reason}")
    return said


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
