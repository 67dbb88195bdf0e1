"""What is said of a candidate in words, ahead of any number."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.stats import binom

from aiida_haml.analysis.balance.areal import ELECTROLYTE_GONE, METAL_GONE
from aiida_haml.analysis.quantity import over_replicates
from aiida_haml.analysis.ranking.replicates import Replicate
from aiida_haml.analysis.settings import RankingSettings
from aiida_haml.arrays import FloatArray

PASSIVATES = "passivates"
DOES_NOT_REACT = "does not react"
DOES_NOT_STOP = "does not stop"
OUT_OF_LITHIUM = "ran out of lithium"
UNDETERMINED = "undetermined"
#: Those that have a place in an order: how good a layer is can only be said where there is one, and metal to test it.
ORDERED = (PASSIVATES, DOES_NOT_STOP)

#: Units of the electrolyte at a face that have to react for a reaction: fewer may be the cut's own defects.
LEAST_UNITS = 0.5
#: Electrolyte at a face, Angstrom, that has to be used up before it is sure that the layer does not stop. Our choice.
THICK_ENOUGH = 10.0
#: Share of the replicates that have run out of something before the candidate counts as having.
MOST = 0.5


@dataclass(frozen=True)
class Verdict:
    """A verdict, whether the replicates leave no doubt of it, and why."""

    verdict: str
    sure: bool
    reason: str


def verdict(own: Sequence[Replicate], metrics: Sequence[dict[str, float]], settings: RankingSettings) -> Verdict:
    """Return the verdict on a candidate.

    Parameters
    ----------
    own : sequence of Replicate
        Of one label.
    metrics : sequence of dict
        Of each replicate, see `aiida_haml.analysis.ranking.replicates.measured`.
    settings : RankingSettings
    """
    gone = {what: float(np.mean([r.ran_out_of == what for r in own])) for what in (METAL_GONE, ELECTROLYTE_GONE)}
    if gone[ELECTROLYTE_GONE] > MOST:
        thickness = min(r.balance.length / len(r.balance.faces) for r in own)
        sure = gone[ELECTROLYTE_GONE] == 1 and thickness >= THICK_ENOUGH
        return Verdict(DOES_NOT_STOP, sure, f"it used up the electrolyte, {thickness:.2g} Å at a face")
    if gone[METAL_GONE] > MOST:
        end = np.mean([r.reacting_fs for r in own]) / 1000
        return Verdict(OUT_OF_LITHIUM, gone[METAL_GONE] == 1, f"the metal was used up after {end:.3g} ps; build more")
    least = LEAST_UNITS * max(r.balance.resolution for r in own)
    least = max(least, 3 * max(r.balance.noise for r in own))
    consumed = over_replicates([m["consumed"] for m in metrics], settings.confidence)
    if consumed.value < least:
        sure = bool(consumed.high < least)
        return Verdict(DOES_NOT_REACT, sure, f"{max(consumed.value, 0):.2g} Å consumed at a face, {least:.2g} Å needed")
    said = _slowing_down(np.array([m["late_over_early"] for m in metrics]), settings)
    few = _few_events(own, metrics, settings)
    return replace(said, sure=False, reason=f"{said.reason}; {few}") if said.verdict == PASSIVATES and few else said


def _few_events(own: Sequence[Replicate], metrics: Sequence[dict[str, float]], settings: RankingSettings) -> str | None:
    """Say that endless growth by diffusion might show as few late reactions by chance; None where that is unlikely.

    Of so many units in all, as many or fewer react late: a binomial probability (what comes late is a share of the two
    that a square root of time fixes), summed over the replicates, which are independent.
    """
    share = settings.late_fraction
    late_over_early = (1 - (1 - share) ** 0.5) / share**0.5
    units = [len(r.balance.faces) / r.balance.resolution for r in own]
    finite = [m["late_over_early"] if np.isfinite(m["late_over_early"]) else 1.0 for m in metrics]
    early = sum(max(m["early_consumed"], 0.0) * n for m, n in zip(metrics, units, strict=True))
    late = sum(max(m["early_consumed"] * ratio, 0.0) * n for m, ratio, n in zip(metrics, finite, units, strict=True))
    n_early, n_late = round(early), round(late)
    chance = float(binom.cdf(n_late, n_early + n_late, late_over_early / (1 + late_over_early)))
    if chance < 1 - settings.confidence:
        return None
    return f"{n_early + n_late} units that reacted early or late are too few to rule out endless growth"


def _slowing_down(ratios: FloatArray, settings: RankingSettings) -> Verdict:
    """Return the verdict on a candidate that reacts and has metal left, of its replicates' late over early rates."""
    endless = np.isinf(ratios)
    if endless.mean() > MOST or not np.isfinite(ratios).any():
        return Verdict(DOES_NOT_STOP, False, "it began to react only after the early time, or did so to its end")
    ratio = over_replicates(ratios[~endless], 2 * settings.confidence - 1)
    limit = settings.passivated_ratio
    said = f"the late rate is {max(ratio.value, 0):.2g} of the early one"
    if endless.any():
        said += f", but {endless.sum()} of {len(ratios)} replicates began only later, or used up the electrolyte"
    if ratio.value <= limit:
        return Verdict(PASSIVATES, bool(ratio.high <= limit) and not endless.any(), said)
    return Verdict(DOES_NOT_STOP, bool(ratio.low > limit), said)
