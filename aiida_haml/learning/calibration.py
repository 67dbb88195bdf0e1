"""What the deviation of a committee is worth, learned from all candidates and rounds: when should a stretch stop?"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from aiida_haml.settings import Settings

#: Frames that the calibration remembers: old ones speak of a potential that is no longer there.
WINDOW = 200
#: Share of frames whose largest error the scaled deviation has to cover: at the limit a stretch is as likely wrong as
#: right. A stricter one ends stretches that truth would have accepted, each at the price of a burst, as among hundreds
#: of looks at a stretch one always seems bad; what this one lets pass is found by the labels along the stretch.
COVERAGE = 0.5
#: Error over deviation before anything is known; committees that share their labels underestimate their errors.
CAUTION = 3.0
#: Fewest frames that say anything.
MIN_FRAMES = 8
#: Deviations that were met without harm are no reason to stop, and a little more neither.
HARMLESS = 1.2


@dataclass(frozen=True)
class Calibration(Settings):
    """Largest deviation and largest true error of one atom in each labelled frame, the latest last.

    The watch compares the largest deviation of all atoms, so that is what is calibrated.

    Attributes
    ----------
    deviations, errors : tuple of float
        eV / Angstrom, one of each a frame.
    """

    deviations: tuple[float, ...] = ()
    errors: tuple[float, ...] = ()

    def extended(self, pairs: Iterable[tuple[float, float]]) -> Calibration:
        """Return the calibration with more frames, as (deviation, error); only the latest are kept."""
        known = [*zip(self.deviations, self.errors, strict=True), *pairs][-WINDOW:]
        return Calibration(tuple(d for d, _ in known), tuple(e for _, e in known))

    @property
    def ratio(self) -> float:
        """Factor by which a deviation has to be multiplied to cover the error in the share `COVERAGE` of frames.

        It is the conformal quantile of error / deviation (Angelopoulos and Bates, arXiv:2107.07511, section 2.3.2),
        and never below 1: a committee that seems too modest is given no credit for it.
        """
        deviations, errors = np.array(self.deviations), np.array(self.errors)
        told = deviations > 0
        if told.sum() < MIN_FRAMES:
            return CAUTION
        ratios = np.sort(errors[told] / deviations[told])
        rank = min(int(np.ceil((len(ratios) + 1) * COVERAGE)), len(ratios))
        return max(float(ratios[rank - 1]), 1.0)

    def threshold(self, max_force_error: float) -> float:
        """Return the deviation at which a stretch has to stop, eV / Angstrom.

        It stands for an error of `max_force_error`, but is not set below deviations that were met in frames which
        proved right: the judge sees what a watch that is too patient lets pass, and nobody sees what it ends too soon.
        """
        harmless = [d for d, e in zip(self.deviations, self.errors, strict=True) if e <= max_force_error]
        return max(max_force_error / self.ratio, HARMLESS * max(harmless, default=0.0))

    def false_alarms(self, threshold: float, max_force_error: float) -> float | None:
        """Return the share of harmless frames that a threshold would have ended; None without such a frame."""
        harmless = [d for d, e in zip(self.deviations, self.errors, strict=True) if e <= max_force_error]
        return sum(d > threshold for d in harmless) / len(harmless) if harmless else None

    def misses(self, threshold: float, max_force_error: float) -> float | None:
        """Return the share of harmful frames that a threshold would have let pass; None without such a frame."""
        harmful = [d for d, e in zip(self.deviations, self.errors, strict=True) if e > max_force_error]
        return sum(d <= threshold for d in harmful) / len(harmful) if harmful else None
