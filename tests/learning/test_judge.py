"""The judge: truth decides, from the first label that contradicts the potential on."""

import numpy as np
import pytest

from aiida_haml.learning.judge import Point, judge
from aiida_haml.learning.rounds import RoundSettings

SETTINGS = RoundSettings(force_rmse_tolerance=0.15, max_force_error=1.0, max_energy_error=0.05)
GOOD, OFF = 0.08, 0.30


def judged(end, probes, burst, n_atoms=68):
    return judge(SETTINGS, end, probes, burst, n_atoms)


def points(*errors, start=10.0, step=10.0, force_max=0.3, energy=0.0):
    return [Point(start + i * step, error, force_max, energy) for i, error in enumerate(errors)]


def at(time, error=GOOD, force_max=0.3, energy=0.0):
    return Point(time, error, force_max, energy)


@pytest.mark.parametrize(
    ("errors", "end", "action", "kept"),
    [
        ((GOOD, GOOD, GOOD), GOOD, "accept", 40.0),
        ((GOOD, OFF, GOOD), GOOD, "cut", 10.0),  # one label in the middle refutes all that came after it
        ((GOOD, GOOD, OFF), GOOD, "cut", 20.0),
        ((GOOD, GOOD, GOOD), OFF, "cut", 30.0),  # the burst refutes what the probes let pass
        ((OFF, GOOD, GOOD), GOOD, "revoke", None),
        ((), GOOD, "accept", 40.0),
        ((), OFF, "revoke", None),
    ],
)
def test_a_stretch_stays_up_to_its_last_supported_moment(errors, end, action, kept):
    verdict = judged(40.0, points(*errors), [at(40.0, end), at(41.0)])
    assert (verdict.action, verdict.end_fs) == (action, kept)
    assert verdict.burst_stays == (action == "accept")


def test_a_committee_that_is_wrongly_unanimous_is_overruled():
    """The stretch ran through without a breach: nothing but truth can tell that 10 ps are wrong."""
    verdict = judged(10_000.0, points(0.8, 0.8, step=4000), [at(10_000.0, 0.8)])
    assert verdict.action == "revoke"
    assert "0.800 eV/Å" in verdict.reason


def test_one_reacting_site_counts():
    """In a large cell one wrong atom hardly moves the root mean square."""
    verdict = judged(30.0, [at(10.0), at(20.0, error=0.06, force_max=1.8)], [at(30.0)])
    assert (verdict.action, verdict.end_fs) == ("cut", 10.0)
    assert "one atom" in verdict.reason


def test_energies_count_too():
    """Forces of a wrong surface can look right: the energy then drifts away."""
    drifting = [at(10.0, energy=0.01), at(20.0, energy=0.03), at(30.0, energy=0.09)]
    verdict = judged(40.0, drifting, [at(40.0, energy=0.12)])
    assert (verdict.action, verdict.end_fs) == ("cut", 20.0)


def test_what_lies_behind_the_trusted_end_decides_nothing():
    """The frame that breached is labelled to learn from it; the stretch before it is judged by its own labels."""
    verdict = judged(20.0, [at(10.0), at(20.0), at(35.0, 2.5, 9.0)], [at(20.0)])
    assert (verdict.action, verdict.end_fs) == ("accept", 20.0)
    assert verdict.force_max == 9.0


def test_a_stretch_without_a_label_does_not_stay():
    assert judged(50.0, [], []).action == "revoke"


def test_a_false_scf_state_of_the_burst_is_no_argument_against_the_stretch():
    """A burst 7 eV lower from its first step (68 atoms) is another electronic state, not another potential."""
    beside = [at(10.0, energy=0.002), at(20.0, energy=-0.004), at(30.0, energy=0.001)]
    false = [at(30.0, error=0.9, force_max=5.0, energy=0.31), at(31.0, error=0.9, energy=0.31)]
    verdict = judged(30.0, beside, false)
    assert verdict.false_state
    assert verdict.action == "accept"
    assert not verdict.burst_stays
    assert "SCF" in verdict.reason


def scattered(seed, n, error, n_atoms):
    """Probes of a potential whose total energies scatter, eV."""
    errors = np.random.default_rng(seed).normal(scale=error, size=n) / n_atoms
    return [at(10.0 * (i + 1), energy=energy) for i, energy in enumerate(errors)]


@pytest.mark.parametrize(("n_atoms", "scatter", "jump"), [(68, 0.5, 7.0), (500, 0.05, 1.0), (500, 2.0, 75.0)])
@pytest.mark.parametrize("sign", [-1, 1])
def test_a_false_state_does_not_hide_in_a_large_cell(n_atoms, scatter, jump, sign):
    """Shared among all atoms, some eV are within what is tolerated of each; the probes tell that they are not usual."""
    probes = scattered(1, 8, scatter, n_atoms)
    verdict = judged(90.0, probes, [at(90.0, energy=sign * jump / n_atoms)], n_atoms)
    assert verdict.false_state
    assert not verdict.burst_stays
    assert (verdict.action, verdict.end_fs) == ("cut", 80.0), "behind the last probe no label supports the stretch"


@pytest.mark.parametrize("n", [2, 3, 8])
@pytest.mark.parametrize("scatter", [0.05, 0.7, 2.0])
def test_ordinary_scatter_is_no_false_state(n, scatter):
    """The burst's first frame is one more of the same errors; with two probes that agree by chance too."""
    rounds = [scattered(seed, n + 1, scatter, 68) for seed in range(1000)]
    alarms = sum(judged(500.0, probes[:-1], probes[-1:]).false_state for probes in rounds)
    assert alarms <= 4


def test_a_bad_potential_is_not_taken_for_a_false_state():
    off = [at(10.0, error=0.4, energy=0.30), at(20.0, error=0.4, energy=0.31)]
    verdict = judged(20.0, off, [at(20.0, error=0.4, energy=0.31)])
    assert not verdict.false_state
    assert verdict.action == "revoke"


def test_without_a_stretch_the_burst_goes_on_the_time_line():
    verdict = judged(None, [], [])
    assert (verdict.action, verdict.burst_stays, verdict.n_points) == ("absent", True, 0)


def test_the_order_of_the_labels_does_not_matter():
    labels = points(GOOD, GOOD, OFF, GOOD)
    forwards, backwards = (judged(50.0, some, [at(50.0)]) for some in (labels, labels[::-1]))
    assert forwards.end_fs == backwards.end_fs == 20.0
