"""Numbers with their intervals, as they go into a ranking."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

from aiida_haml.arrays import FloatArray


def json_number(value: float | None) -> float | None:
    """Return a JSON number of ten significant digits, or None for what is not finite."""
    return float(f"{value:.10g}") if value is not None and math.isfinite(value) else None


@dataclass(frozen=True)
class Quantity:
    """A value with the bounds of its interval; NaN where they are not known."""

    value: float
    low: float
    high: float

    def to_dict(self) -> dict[str, Any]:
        """Return ``{"value", "interval"}`` of JSON values."""
        return {"value": json_number(self.value), "interval": [json_number(self.low), json_number(self.high)]}


def over_replicates(values: Sequence[float] | FloatArray, confidence: float) -> Quantity:
    """Return the mean over replicates and Student's interval of it; a single one has a value and no interval.

    Replicates of which the value is not defined (NaN) are left out; one that is infinite makes the mean infinite.
    """
    known = np.asarray(values, dtype=float)
    known = known[~np.isnan(known)]
    if not len(known):
        return Quantity(math.nan, math.nan, math.nan)
    if np.isinf(known).any():
        return Quantity(math.inf, math.nan, math.nan)
    mean = float(known.mean())
    if len(known) < 2:
        return Quantity(mean, math.nan, math.nan)
    margin = float(stats.t.ppf((1 + confidence) / 2, len(known) - 1) * known.std(ddof=1) / math.sqrt(len(known)))
    return Quantity(mean, mean - margin, mean + margin)
