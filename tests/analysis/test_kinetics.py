"""Planted growth laws come back with honest intervals; what cannot be known is called undetermined."""

import numpy as np
import pytest
from ase.units import kB

from aiida_haml.analysis.kinetics.fit import NONE_FITS, UNDETERMINED, growth
from aiida_haml.analysis.kinetics.laws import LAWS
from aiida_haml.analysis.kinetics.temperature import activation
from tests.stories import remembered

#: Electrolyte at a face, Angstrom; length, ps; frames.
AVAILABLE, LENGTH, FRAMES = 20.0, 100.0, 400
PLANTED = {
    "linear": (0.0, 0.06),
    "parabolic": (0.0, 0.6),
    "logarithmic": (0.0, 0.5, 1.6),
    "first_order": (0.0, 0.08, 6.0),
    "deal_grove": (0.0, 0.8, 4.0),
}


def replicates(curve, count=3, noise=0.08, scatter=0.05, seed=0, length=LENGTH):
    """Return (time, consumed) of replicates that differ in pace, with noise that has a memory."""
    made = []
    for k in range(count):
        rng = np.random.default_rng([seed, k])
        t = np.linspace(0, length, FRAMES)
        pace = np.exp(scatter * rng.standard_normal())
        made.append((1000 * t, curve(pace * t) + noise * remembered(rng, FRAMES, 0.01)))
    return made


def law(name):
    return lambda t: LAWS[name].curve(t, *PLANTED[name])


@pytest.mark.parametrize("name", list(PLANTED))
def test_a_planted_law_is_found_in_most_of_the_draws(name):
    found = [growth(replicates(law(name), seed=seed), AVAILABLE) for seed in range(6)]
    assert sum(g.law == name for g in found) >= 5, [g.law for g in found]


@pytest.mark.parametrize("name", ["linear", "parabolic", "first_order"])
def test_the_interval_of_the_rate_holds_the_planted_one(name):
    """Student's interval over three seeds is wide, and has to be: at 95 % one in twenty may miss."""
    found = [growth(replicates(law(name), seed=seed), AVAILABLE) for seed in range(10)]
    rates = [g.rate for g in found if g.law == name]
    assert len(rates) >= 7
    inside = sum(r.low <= PLANTED[name][1] <= r.high for r in rates)
    assert inside >= len(rates) - 2
    assert np.mean([r.value for r in rates]) == pytest.approx(PLANTED[name][1], rel=0.2)


def test_one_replicate_has_a_rate_and_no_interval():
    found = growth(replicates(law("linear"), count=1), AVAILABLE)
    assert found.law == "linear"
    assert found.rate.value == pytest.approx(0.06, rel=0.2)
    assert np.isnan(found.rate.low)


def test_nothing_that_happens_has_no_law():
    for seed in range(5):
        found = growth(replicates(lambda t: 0 * t, seed=seed), AVAILABLE)
        assert found.law == UNDETERMINED
        assert "noise" in found.reason
    assert "described frames" in growth([(np.arange(5.0), np.arange(5.0))], AVAILABLE).reason


def test_a_course_that_no_law_has_is_given_up():
    """It waits, reacts at once, waits and reacts again."""
    steps = growth(replicates(lambda t: 4.0 * (t > 35) + 4.0 * (t > 80), scatter=0, noise=0.05), AVAILABLE)
    assert steps.law == NONE_FITS
    assert steps.rate is None
    assert "not noise" in steps.reason


def test_no_more_is_consumed_than_there_is():
    """A third has reacted when the series begins, and the rest is on its way: noise sees an end beyond it."""
    for seed in range(4):
        found = growth(replicates(lambda t: 20 - 13 * np.exp(-0.02 * t), seed=seed, noise=0.2), AVAILABLE)
        assert found.law == "first_order"
        assert found.parameters["c0"] == pytest.approx(7, abs=0.5)
        assert 19 < found.parameters["e"] <= AVAILABLE


def rated(temperature, energy, seed):
    rate = 0.06 * np.exp(-energy / kB * (1 / temperature - 1 / 600))
    return growth(replicates(lambda t: rate * t, seed=seed, noise=0.05), AVAILABLE)


def test_an_activation_energy_comes_back_from_three_temperatures():
    found = activation({t: rated(t, 0.15, seed) for seed, t in enumerate((500.0, 600.0, 700.0))})
    assert found.status == "determined"
    assert found.energy.low < 0.15 < found.energy.high
    assert found.energy.value == pytest.approx(0.15, abs=0.05)


def test_too_few_temperatures_or_different_laws_give_no_energy():
    linear, parabolic = rated(500.0, 0.1, 1), growth(replicates(law("parabolic")), AVAILABLE)
    assert "3 are needed" in activation({500.0: linear, 600.0: linear}).status
    assert "law differs" in activation({500.0: linear, 600.0: linear, 700.0: parabolic}).status


def test_a_parabolic_constant_is_told_in_the_unit_of_experiment():
    """1 nm of a layer in an hour is 1 nm^2/h: 1e-2 nm^2 in an Angstrom^2, 3.6e15 ps in an hour."""
    found = growth(replicates(law("parabolic")), AVAILABLE)
    assert found.parabolic.value == pytest.approx(found.rate.value * 3.6e13)
    assert found.parabolic.low < found.parabolic.value < found.parabolic.high
    assert growth(replicates(law("linear")), AVAILABLE).parabolic is None
