"""The controller: monotone, bounded, deterministic, and thrifty with labels."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiida_haml.learning.controller import ControllerSettings, Observation, Plan, first_plan, next_plan

SETTINGS = ControllerSettings(n_burst_first=10, min_burst=3, max_burst=40, n_stretch_first=50, max_stretch=1000)
plans = st.builds(
    Plan,
    n_burst=st.integers(3, 40),
    n_stretch=st.integers(10, 1000),
    max_deviation=st.just(0.2),
    reason=st.just(""),
)
observations = st.builds(
    Observation,
    force_rmse=st.none() | st.floats(0, 2),
    alpha=st.none() | st.floats(0, 50),
    force_max=st.none() | st.floats(0, 5),
    deviation_max=st.none() | st.floats(0, 5),
    stopped_by=st.sampled_from([None, "deviation", "temperature"]),
    n_labels=st.integers(0, 100),
    remaining_steps=st.none() | st.integers(0, 500),
)


@given(plans, observations)
def test_plans_stay_within_their_bounds(previous, observed):
    plan = next_plan(SETTINGS, previous, observed)
    assert plan == next_plan(SETTINGS, previous, observed)
    assert 0 < plan.max_deviation <= SETTINGS.max_force_error
    assert plan.n_burst <= 40
    assert plan.n_stretch <= 1000
    if observed.remaining_steps is not None:
        assert plan.n_burst + plan.n_stretch <= observed.remaining_steps
    assert plan.ends == (observed.remaining_steps == 0)


@given(plans, st.floats(0, 1), st.floats(0, 1))
def test_a_larger_error_never_buys_a_longer_stretch(previous, one, other):
    low, high = sorted((one, other))
    good, bad = (next_plan(SETTINGS, previous, Observation(force_rmse=error)) for error in (low, high))
    assert good.n_stretch >= bad.n_stretch
    assert good.n_burst <= bad.n_burst


@given(plans, st.floats(0, 0.15))
def test_a_stopped_stretch_shrinks_the_next_one_however_good_the_error(previous, error):
    plan = next_plan(SETTINGS, previous, Observation(force_rmse=error, stopped_by="deviation"))
    assert plan.n_stretch <= previous.n_stretch
    assert plan.n_burst >= previous.n_burst


@given(st.floats(1, 50), st.floats(1, 50))
def test_a_less_believable_deviation_stops_earlier(one, other):
    low, high = sorted((one, other))
    plan = first_plan(SETTINGS)
    strict = next_plan(SETTINGS, plan, Observation(force_rmse=0.1, alpha=high))
    loose = next_plan(SETTINGS, plan, Observation(force_rmse=0.1, alpha=low))
    assert strict.max_deviation <= loose.max_deviation


def test_a_good_potential_ends_in_audits_and_long_stretches():
    plan = first_plan(SETTINGS)
    lengths = [(plan.n_burst, plan.n_stretch)]
    for _ in range(8):
        plan = next_plan(SETTINGS, plan, Observation(force_rmse=0.05))
        lengths.append((plan.n_burst, plan.n_stretch))
    assert lengths[:3] == [(10, 50), (5, 100), (3, 200)]
    assert lengths[-1] == (3, 1000)


def test_a_bad_potential_goes_back_to_ab_initio():
    plan = first_plan(SETTINGS)
    for _ in range(8):
        plan = next_plan(SETTINGS, plan, Observation(force_rmse=0.9))
    assert (plan.n_burst, plan.n_stretch) == (40, 10)


def test_without_a_test_nothing_changes():
    plan = next_plan(SETTINGS, first_plan(SETTINGS), Observation())
    assert (plan.n_burst, plan.n_stretch) == (10, 50)


def test_the_threshold_comes_from_the_calibration():
    plan = first_plan(SETTINGS)
    assert plan.max_deviation == pytest.approx(1.0 / 5.0)
    assert next_plan(SETTINGS, plan, Observation(alpha=2.5)).max_deviation == pytest.approx(0.4)
    assert next_plan(SETTINGS, plan, Observation(alpha=2.5, offset=0.1)).max_deviation == pytest.approx(0.3)
    # Where members that agree may be off by more than is allowed, no deviation is small enough.
    assert next_plan(SETTINGS, plan, Observation(alpha=2.5, offset=0.6)).max_deviation < 1e-3
    # An alpha below 1 earns no credit.
    assert next_plan(SETTINGS, plan, Observation(alpha=0.2)).max_deviation == pytest.approx(1.0)


def test_deviations_that_came_with_small_errors_do_not_stop_a_stretch():
    plan = first_plan(SETTINGS)
    harmless = Observation(alpha=10.0, force_max=0.8, deviation_max=0.3)
    assert next_plan(SETTINGS, plan, harmless).max_deviation == pytest.approx(0.3)
    harmful = Observation(alpha=10.0, force_max=1.2, deviation_max=0.3)
    assert next_plan(SETTINGS, plan, harmful).max_deviation == pytest.approx(0.1)


def test_budgets_end_the_run():
    settings = ControllerSettings(max_labels=30, max_wall_time_s=100.0)
    plan = first_plan(settings)
    assert next_plan(settings, plan, Observation(force_rmse=0.9, n_labels=25)).n_burst == 5
    assert next_plan(settings, plan, Observation(n_labels=30)).ends
    over = next_plan(settings, plan, Observation(wall_time_s=100.0))
    assert over.ends
    assert "time budget" in over.reason


def test_an_observation_is_read_from_the_errors_of_an_evaluation():
    errors = {
        "force_rmse": 0.1,
        "force_max": 0.5,
        "deviation_max": 0.2,
        "calibration": {"alpha": 3.0},
        "n_frames": 4,
    }
    observed = Observation.from_errors(errors, n_labels=7)
    assert observed == Observation(force_rmse=0.1, alpha=3.0, force_max=0.5, deviation_max=0.2, n_labels=7)
    assert Observation.from_errors(None).force_rmse is None


@given(plans)
def test_plans_and_settings_survive_a_dictionary(plan):
    assert Plan.from_dict(plan.to_dict()) == plan
    assert ControllerSettings.from_dict(SETTINGS.to_dict()) == SETTINGS


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"growth": 1.0}, "growth is 1.0; give a number above 1"),
        ({"min_burst": 0}, "min_burst is 0; give an integer of 1 or more"),
        ({"n_burst_first": 100}, "n_burst_first is 100; give an integer from 3 to 50"),
        ({"max_stretch": 5}, "max_stretch is 5"),
        ({"force_rmse_tolerance": float("nan")}, "force_rmse_tolerance is nan"),
        ({"max_labels": 3}, "max_labels is 3"),
        ({"grwth": 2.0}, "grwth is not a setting of ControllerSettings; did you mean growth"),
        ({"uncalibrated_alpha": 0.5}, "uncalibrated_alpha is 0.5"),
    ],
)
def test_broken_settings_are_refused(values, message):
    with pytest.raises(ValueError, match=message):
        ControllerSettings.from_dict(values)
