"""What is said of a candidate in words, ahead of any number."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from aiida_haml.analysis.balance.areal import ELECTROLYTE_GONE, METAL_GONE
from aiida_haml.analysis.quantity import over_replicates
from aiida_haml.analysis.ranking.replicates import Replicate
from aiida_haml.analysis.settings import RankingSettings
from aiida_haml.frames import FloatArray

PASSIVATES = "passivates"
DOES_NOT_REACT = "does not react"
DOES_NOT_STOP = "does not stop"
OUT_OF_LITHIUM = "ran out of lithium"
UNDETERMINED = "undetermined"
#: Those that have a place in an order: how good a layer is can only be said where there is one, and metal to test it.
ORDERED = (PASSIVATES, DOES_NOT_STOP)

#: Units of the electrolyte at a face that have to react for a reaction: fewer may be the cut's own defects.
LEAST_UNITS = 0.5
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
        return Verdict(DOES_NOT_STOP, gone[ELECTROLYTE_GONE] == 1, "it went on until the electrolyte was used up")
    if gone[METAL_GONE] > MOST:
        end = np.mean([r.reacting_fs for r in own]) / 1000
        return Verdict(OUT_OF_LITHIUM, gone[METAL_GONE] == 1, f"the metal was used up after {end:.3g} ps; build more")
    least = LEAST_UNITS * max(r.balance.resolution for r in own)
    least = max(least, 3 * max(r.balance.noise for r in own))
    consumed = over_replicates([m["consumed"] for m in metrics], settings.confidence)
    if consumed.value < least:
        sure = bool(consumed.high < least)
        return Verdict(DOES_NOT_REACT, sure, f"{max(consumed.value, 0):.2g} Å consumed at a face, {least:.2g} Å needed")
    return _slowing_down(np.array([m["late_over_early"] for m in metrics]), settings)


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
