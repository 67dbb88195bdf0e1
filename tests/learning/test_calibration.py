"""The calibration: a threshold that stands for a true error, and its price in false alarms and misses."""

import numpy as np
import pytest

from aiida_haml.learning.calibration import CAUTION, WINDOW, Calibration


def drawn(n, ratio, scatter, seed):
    """Frames whose largest error is `ratio` times the largest deviation, within a lognormal scatter."""
    rng = np.random.default_rng(seed)
    deviations = rng.lognormal(-2.0, 0.8, n)
    return Calibration().extended(zip(deviations, ratio * deviations * rng.lognormal(0, scatter, n), strict=True))


def test_nothing_known_is_answered_with_caution():
    assert Calibration().ratio == CAUTION
    assert Calibration().threshold(1.0) == pytest.approx(1.0 / CAUTION)
    assert Calibration().false_alarms(0.1, 1.0) is None


def test_the_scaled_deviation_covers_what_it_promises():
    """At the limit the next frame is as likely beyond the error that it stands for as below, over many draws."""
    covered = []
    for seed in range(60):
        known, new = drawn(100, 3.0, 0.4, seed), drawn(100, 3.0, 0.4, 1000 + seed)
        covered.append(np.mean(np.array(new.errors) <= known.ratio * np.array(new.deviations)))
    assert 0.45 < np.mean(covered) < 0.56


def test_a_committee_that_seems_too_modest_is_given_no_credit():
    assert drawn(50, 0.2, 0.1, 1).ratio == 1.0


def test_deviations_met_without_harm_are_no_alarm():
    calibration = Calibration().extended([(0.5, 0.3)] * 20)
    limit = calibration.threshold(1.0)
    assert limit > 0.5
    assert calibration.false_alarms(limit, 1.0) == 0


def test_misses_and_false_alarms_are_told():
    calibration = Calibration().extended([(0.1, 0.2), (0.3, 0.4), (0.2, 2.0), (0.9, 3.0)])
    assert calibration.misses(0.5, 1.0) == pytest.approx(0.5)
    assert calibration.false_alarms(0.2, 1.0) == pytest.approx(0.5)


def test_old_frames_are_forgotten():
    calibration = Calibration().extended([(0.1, 5.0)] * WINDOW).extended([(0.1, 0.1)] * WINDOW)
    assert len(calibration.errors) == WINDOW
    assert calibration.ratio == pytest.approx(1.0)
    assert Calibration.from_dict(calibration.to_dict()) == calibration
