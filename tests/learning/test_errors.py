"""Errors, deviations and their calibration, against cases that can be worked out by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiida_haml.learning.errors import (
    calibrate,
    energy_rmse_per_atom,
    force_deviation,
    force_mae,
    force_max,
    force_rmse,
    summarize,
)


def test_energy_error_is_per_atom_and_keeps_the_offset():
    predicted, reference = np.array([10.0, 24.0]), np.array([8.0, 20.0])
    assert energy_rmse_per_atom(predicted, reference, np.array([2, 4])) == pytest.approx(1.0)


def test_force_errors_by_hand():
    reference = np.zeros((1, 2, 3))
    predicted = np.array([[[3.0, 4.0, 0.0], [0.0, 0.0, 1.0]]])
    assert force_max(predicted, reference) == pytest.approx(5.0)
    assert force_mae(predicted, reference) == pytest.approx(8 / 6)
    assert force_rmse(predicted, reference) == pytest.approx(np.sqrt(26 / 6))


def test_one_reacting_site_among_500_atoms_shows_in_the_deviation():
    forces = np.zeros((2, 1, 500, 3))
    forces[1, 0, 123] = (0.0, 6.0, 8.0)
    deviation = force_deviation(forces)
    assert deviation.shape == (1, 500)
    assert deviation.argmax() == 123
    assert deviation.max() == pytest.approx(10.0)
    assert deviation.mean() < 0.021


def test_the_deviation_is_measured_from_the_member_that_drives():
    forces = np.zeros((3, 1, 3))
    forces[0, 0] = (1.0, 0.0, 0.0)  # the driver alone is off; the others agree
    assert force_deviation(forces) == pytest.approx(1.0)
    assert force_deviation(forces[[1, 0, 2]]) == pytest.approx(np.sqrt(0.5))


@given(st.integers(0, 50), st.floats(0, 2 * np.pi))
def test_deviation_does_not_depend_on_the_axes_or_on_the_order_of_the_other_members(seed, angle):
    forces = np.random.default_rng(seed).normal(size=(3, 2, 5, 3))
    c, s = np.cos(angle), np.sin(angle)
    turned = forces @ np.array([[c, -s, 0], [s, c, 0], [0, 0, 1.0]])
    np.testing.assert_allclose(force_deviation(turned), force_deviation(forces), rtol=1e-9)
    np.testing.assert_allclose(force_deviation(forces[[0, 2, 1]]), force_deviation(forces), rtol=1e-9)


def test_a_calibrated_deviation_covers_new_errors():
    rng = np.random.default_rng(1)

    def sample(n):
        deviations = rng.uniform(0.05, 0.5, size=n)
        return deviations, 3.0 * deviations * np.abs(rng.normal(size=n))

    calibration = calibrate(*sample(2000))
    assert calibration.alpha == pytest.approx(3.0 * 1.96, rel=0.1)  # the normal law's 95 %
    deviations, errors = sample(20000)
    assert np.mean(errors <= calibration.alpha * deviations) == pytest.approx(0.95, abs=0.015)
    assert 0.3 < calibration.correlation < 0.9
    assert calibration.n_atoms == 2000


@given(st.floats(0.1, 10), st.integers(2, 50))
def test_calibration_of_proportional_errors_is_exact(factor, n):
    deviations = np.linspace(0.1, 1.0, n)
    calibration = calibrate(deviations, factor * deviations)
    assert calibration.alpha == pytest.approx(factor)
    assert calibration.correlation == pytest.approx(1.0)


def test_a_committee_of_one_cannot_be_calibrated():
    calibration = calibrate(force_deviation(np.ones((1, 4, 3))), np.ones(4))
    assert calibration.alpha is None
    assert calibration.correlation is None
    assert calibrate(np.empty(0), np.empty(0)).n_atoms == 0


def test_nan_is_refused():
    with pytest.raises(ValueError, match="NaN"):
        calibrate(np.array([0.1, np.nan]), np.array([0.1, 0.2]))


def test_shapes_have_to_agree():
    with pytest.raises(ValueError, match="shape"):
        force_rmse(np.zeros((2, 3)), np.zeros((3, 3)))
    with pytest.raises(ValueError, match="at least one frame"):
        force_rmse(np.empty((0, 3)), np.empty((0, 3)))


def test_no_frames_give_no_errors():
    empty = summarize(np.empty(0), np.empty(0), np.empty(0, dtype=int), np.empty((0, 3)), np.empty((0, 3)))
    assert empty["n_frames"] == 0
    assert empty["force_rmse"] is None


def test_an_offset_keeps_accidental_agreement_from_deciding():
    rng = np.random.default_rng(4)
    errors = np.abs(rng.normal(0.0, 0.3, 4000))
    two_members = np.abs(rng.normal(0.0, 0.1, 4000))  # independent of the error, often nearly zero
    plain, offset = calibrate(two_members, errors), calibrate(two_members, errors, offset=0.08)
    assert offset.alpha < 0.5 * plain.alpha
    assert np.mean(errors <= offset.alpha * (two_members + 0.08)) == pytest.approx(0.95, abs=0.01)
