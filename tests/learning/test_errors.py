"""Errors and deviations, against cases that can be worked out by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiida_haml.learning.errors import (
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


def test_shapes_have_to_agree():
    with pytest.raises(ValueError, match="shape"):
        force_rmse(np.zeros((2, 3)), np.zeros((3, 3)))
    with pytest.raises(ValueError, match="at least one frame"):
        force_rmse(np.empty((0, 3)), np.empty((0, 3)))


def test_no_frames_give_no_errors():
    empty = summarize(np.empty(0), np.empty(0), np.empty(0, dtype=int), np.empty((0, 3)), np.empty((0, 3)))
    assert empty["n_frames"] == 0
    assert empty["force_rmse"] is None
