"""Numbers with their intervals, as they go into a ranking."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from aiida_haml.frames import FloatArray


def json_number(value: float) -> float | None:
    """Return a JSON number of ten significant digits, or None for what is not finite."""
    return float(f"{value:.10g}") if math.isfinite(value) else None


@dataclass(frozen=True)
class Quantity:
    """A value with the bounds of its interval."""

    value: float
    low: float
    high: float

    @classmethod
    def of(cls, draws: FloatArray, confidence: float) -> Quantity:
        """Return the median of draws (S,) and the interval that holds a share of them."""
        tail = (1 - confidence) / 2
        low, value, high = np.quantile(draws, [tail, 0.5, 1 - tail])
        return cls(float(value), float(low), float(high))

    def to_dict(self) -> dict[str, Any]:
        """Return ``{"value", "interval"}`` of JSON values."""
        return {"value": json_number(self.value), "interval": [json_number(self.low), json_number(self.high)]}
