"""The plan: grows where truth agrees, gives way where it does not, and comes to an end."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiida_haml.learning.calibration import CAUTION, Calibration
from aiida_haml.learning.judge import Verdict
from aiida_haml.learning.plan import (
    Plan,
    Progress,
    WatchSettings,
    burst_steps,
    deviation_limit,
    first_plan,
    next_plan,
    thresholds,
)
from aiida_haml.learning.rounds import RoundSettings

SETTINGS = RoundSettings(
    n_burst_first=10, min_burst=3, max_burst=40, n_stretch_first=50, min_stretch=10, max_stretch=1000
)


def verdict(action):
    return Verdict(action, None, action in ("accept", "absent"), False, 0.1, 0.3, 9, "")


def after(action, held, previous=None, remaining=5000, labels=12, settings=SETTINGS):
    previous = previous or Plan(100, 8, 50, 0)
    told = verdict(action)
    return next_plan(settings, previous, told, Progress(held, 8 if told.burst_stays else 0, remaining, labels))


@pytest.mark.parametrize(
    ("action", "held", "stretch", "burst"),
    [
        ("accept", 100, 200, 4),  # it held: on to longer ones
        ("accept", 40, 100, 4),  # the watch ended it, and truth finds nothing wrong: a false alarm shortens nothing
        ("cut", 30, 60, 4),  # what went wrong is labelled along the stretch
        ("cut", 3, 10, 4),
        ("revoke", 0, 50, 16),  # more truth beside a shorter stretch
        ("absent", 0, 100, 4),  # the watch ended it at once, and truth finds nothing wrong: a false alarm
    ],
)
def test_lengths_follow_the_verdict(action, held, stretch, burst):
    plan = after(action, held)
    assert (plan.n_stretch, plan.n_burst) == (stretch, burst)
    assert plan.n_labels == 62


def test_a_watch_that_was_right_keeps_the_burst():
    wrong = Verdict("absent", None, True, False, 0.3, 2.0, 9, "")
    plan = next_plan(SETTINGS, Plan(100, 8, 50, 0), wrong, Progress(0, 8, 5000, 12))
    assert (plan.n_stretch, plan.n_burst) == (100, 8)


def test_after_a_round_in_which_nothing_was_to_drive_the_first_stretch_is_as_long_as_ever():
    untested = Verdict("absent", None, True, False, 0.05, 0.3, 9, "")
    plan = next_plan(SETTINGS, Plan(0, 8, 50, 0), untested, Progress(0, 8, 5000, 12))
    assert (plan.n_stretch, plan.n_unmoved, plan.n_fruitless) == (50, 0, 0)


def test_the_first_burst_is_the_longest_one_unless_a_stretch_is_revoked():
    untested = Verdict("absent", None, True, False, None, None, 0, "")
    plan = next_plan(SETTINGS, first_plan(SETTINGS, 5000), untested, Progress(0, 10, 4990, 30))
    assert (plan.n_stretch, plan.n_burst) == (50, 5)


def test_fruitless_rounds_are_bounded_and_say_so():
    plan, rounds = Plan(100, 8), 0
    while not plan.ends:
        plan, rounds = after("revoke", 0, plan), rounds + 1
    assert rounds == SETTINGS.max_fruitless
    assert "5 rounds in a row brought no stretch" in plan.reason
    assert after("accept", 5, Plan(10, 8, 0, SETTINGS.max_fruitless - 1)).n_fruitless == 0


def test_bursts_of_a_single_frame_are_fruitless_as_well():
    """An SCF that no recipe brings past the first frame: the burst stays, and leads nowhere."""
    plan, rounds = Plan(100, 8), 0
    while not plan.ends:
        plan, rounds = next_plan(SETTINGS, plan, verdict("absent"), Progress(0, 0, 5000, 1)), rounds + 1
    assert rounds == SETTINGS.max_fruitless


@pytest.mark.parametrize("steps", [0, -2])
def test_a_time_line_that_is_long_enough_already_ends_at_once(steps):
    plan = first_plan(SETTINGS, steps)
    assert plan.ends
    assert "time is reached" in plan.reason


def test_rounds_whose_stretch_brought_nothing_are_counted_whatever_became_of_the_burst():
    plan, counted = first_plan(SETTINGS, 5000), []
    untested = Verdict("absent", None, True, False, None, None, 0, "")
    story = [
        (untested, 0),
        (verdict("absent"), 0),
        (verdict("absent"), 0),
        (verdict("accept"), 7),
        (verdict("revoke"), 0),
    ]
    for told, held in story:
        plan = next_plan(SETTINGS, plan, told, Progress(held, 8 if told.burst_stays else 0, 4000, 5))
        counted.append(plan.n_unmoved)
    assert counted == [0, 1, 2, 0, 1]
    assert plan.n_fruitless == 1


def test_the_end_of_the_simulated_time_and_of_a_budget_are_different_ends():
    assert after("accept", 100, remaining=0).reason == "The wanted simulated time is reached."
    spent = after("accept", 100, settings=RoundSettings(max_labels=60))
    assert spent.ends
    assert spent.reason.startswith("Ended before its time: the budget of 60 labels")
    late = next_plan(
        RoundSettings(max_wall_time_s=10.0), Plan(100, 8), verdict("accept"), Progress(100, 8, 5000, 5, 11.0)
    )
    assert late.ends


def test_the_last_frames_are_a_burst():
    plan = after("accept", 100, remaining=30)
    assert plan.n_burst >= 3
    assert plan.n_stretch + plan.n_burst == 30
    assert first_plan(SETTINGS, 12) == Plan(2, 10, reason="First round: nothing measured yet.")


@given(
    st.sampled_from(["accept", "cut", "revoke", "absent"]),
    st.integers(0, 1000),
    st.integers(10, 1000),
    st.integers(3, 40),
    st.integers(1, 100_000),
)
def test_plans_stay_within_their_bounds(action, held, stretch, burst, remaining):
    plan = after(action, min(held, stretch), Plan(stretch, burst), remaining)
    if plan.ends:
        return
    assert 1 <= plan.n_burst <= 40
    assert plan.n_stretch <= 1000
    assert plan.n_stretch + plan.n_burst <= max(remaining, plan.n_burst)


def test_a_burst_passes_the_spot_that_ended_the_stretch():
    assert burst_steps(SETTINGS, Plan(100, 5), None, 5000) == 5
    assert burst_steps(SETTINGS, Plan(100, 5), 14, 5000) == 17
    assert burst_steps(SETTINGS, Plan(100, 5), 400, 5000) == 40  # at most what a burst may be
    assert burst_steps(SETTINGS, Plan(100, 5), 14, 9) == 9


def test_thresholds_are_relative_to_what_is_normal():
    calm = thresholds(WatchSettings(), 300.0, 68, 0.4, {"Li-S": 2.2})
    assert calm["max_temperature_K"] == pytest.approx(300 * (1 + 6 * math.sqrt(2 / 201)))
    assert calm["max_temperature_K"] < 500  # the 1200 K of a runaway are far away
    large = thresholds(WatchSettings(), 300.0, 20_000, 0.4, {})
    assert large["max_temperature_K"] == pytest.approx(450.0)  # its fluctuations are small; a reaction may heat it
    assert calm["min_distances"] == {"Li-S": pytest.approx(0.75 * 2.2)}
    assert calm["max_kinetic_energy_eV"] == pytest.approx(40 * 300 * 8.617333e-5, rel=1e-4)


def test_a_committee_of_one_has_no_deviation_to_watch():
    assert deviation_limit(SETTINGS, Calibration(), 1) is None
    assert deviation_limit(SETTINGS, Calibration(), 2) == pytest.approx(SETTINGS.max_force_error / CAUTION)
