"""Planted rate laws come back with honest intervals; what cannot be known is called undetermined."""

import itertools
import json

import numpy as np
import pytest
from scipy.optimize import curve_fit

from aiida_haml.analysis.kinetics import BOLTZMANN, LAWS, Kinetics, activation, kinetics, random_effects
from aiida_haml.analysis.noise import averaged, fit_linear, noise_grid
from aiida_haml.analysis.quantity import Quantity
from tests.analysis.series import coloured, grown, trajectory


def found(*members, seed=0, **options):
    answer = kinetics(members, np.random.default_rng(seed), **options)
    json.dumps(answer.to_dict(), allow_nan=False)
    return answer


def undetermined(answer):
    assert answer.model == "undetermined"
    assert answer.rate is answer.log_rate is answer.time_to_layer_fs is None
    assert answer.to_dict()["rate_per_ps"] is None
    assert answer.to_dict()["curve"] == {"time_fs": [], "fitted": []}
    return answer.reason


# -- laws and rates ----------------------------------------------------------------------------------------


def test_first_order_agrees_with_curve_fit():
    """Under white noise, where ordinary least squares is right; the rate varies over two decades.

    One draw in a thousand has an interval half as wide again, so that what is asserted is how many draws are close.
    """

    def law(t, start, amplitude, rate):
        return start + amplitude * (1 - np.exp(-rate * t))

    rates, amplitudes, widths = [], [], []
    for i, rate in enumerate(np.geomspace(0.03, 3, 12)):
        for seed in range(2):
            series = trajectory("first_order", rate, seed=[i, seed], memory=0, noise=0.02)
            answer = found(series)
            if answer.model == "avrami":  # which fits an exponent to the noise, at times
                continue
            best, covariance = curve_fit(law, series["time"] / 1000, series["reacted_fraction"], p0=[0, 0.5, rate])
            assert answer.model == "first_order"
            _, of_amplitude, of_rate = np.sqrt(np.diag(covariance))
            rates.append(abs(answer.rate.value - best[2]) / of_rate)
            amplitudes.append(abs(answer.parameters["amplitude"].value - best[1]) / of_amplitude)
            widths.append((answer.rate.high - answer.rate.low) / (2 * 1.96 * of_rate))
    assert len(rates) >= 0.9 * 24
    for off in (rates, amplitudes):
        assert np.median(off) < 0.2
        assert np.quantile(off, 0.9) < 0.5
    assert np.median(widths) == pytest.approx(1, abs=0.15)
    assert np.quantile(widths, [0.1, 0.9]) == pytest.approx(1, abs=0.3)


@pytest.mark.parametrize("rate", [3e-5, 1e-3])
def test_parabolic_growth_agrees_with_least_squares(rate):
    series = trajectory("parabolic", rate, seed=1, memory=0, noise=0.005)
    answer = found(series)
    slope = np.polyfit(np.sqrt(series["time"] / 1000), series["reacted_fraction"], 1)[0]
    assert answer.model == "parabolic"
    assert answer.rate.value == pytest.approx(slope**2, rel=0.02)
    assert answer.rate.low < rate < answer.rate.high
    assert answer.time_to_layer_fs is None  # no plateau


@pytest.mark.parametrize("exponent", [0.5, 2.0, 3.0])
def test_avrami_exponent_comes_back(exponent):
    answer = found(trajectory("first_order", 0.05, seed=3, exponent=exponent, noise=0.01))
    assert answer.model == "avrami"
    assert answer.parameters["exponent"].low < exponent < answer.parameters["exponent"].high
    assert answer.rate.low < 0.05 < answer.rate.high


@pytest.mark.parametrize(("law", "rate"), [("first_order", 0.1), ("parabolic", 1e-3)])
def test_without_noise_the_parameters_are_exact(law, rate):
    answer = found(trajectory(law, rate, seed=0, noise=0))
    assert answer.model == law
    assert answer.rate.value == pytest.approx(rate, rel=1e-3)
    assert answer.parameters["start"].value == pytest.approx(0.05, abs=1e-3)


@pytest.mark.parametrize(("law", "rates"), [("first_order", (0.03, 0.3, 2.0)), ("parabolic", (1e-3, 1e-2))])
def test_intervals_hold_the_planted_rate(law, rates):
    """A small version of the benchmark: 95 % intervals, noise with a memory of half to two hundredths."""
    inside = total = 0
    for k, rate in enumerate(rates):
        for seed in range(18):
            memory = (0.005, 0.01, 0.02)[seed % 3]
            answer = found(trajectory(law, rate, seed=[k, seed], memory=memory, noise=0.01))
            if answer.rate is not None:
                total += 1
                inside += answer.rate.low < rate < answer.rate.high
    assert total > 0.8 * 18 * len(rates)
    assert inside >= 0.85 * total  # of 95 %, three standard deviations down


def test_uneven_sampling_leaves_the_rate():
    series = trajectory("first_order", 0.1, seed=3, n=3000)
    kept = np.sort(np.random.default_rng(0).choice(3000, 700, replace=False))
    answer = found({k: v[kept] for k, v in series.items()})
    assert answer.rate.low < 0.1 < answer.rate.high


def test_time_to_a_layer_and_the_curve():
    answer = found(trajectory("first_order", 0.1, seed=4))
    nine_tenths = 1000 * np.log(10) / 0.1
    assert answer.time_to_layer_fs.low < nine_tenths < answer.time_to_layer_fs.high
    time, fitted = answer.curve
    assert 2 < len(time) <= 60
    assert np.abs(fitted - grown("first_order", 0.1, time)).max() < 0.03


def test_a_layer_that_forms_after_the_end_has_no_time():
    answer = found(trajectory("first_order", 0.015, seed=4, noise=0.003))
    assert answer.rate is not None
    assert answer.time_to_layer_fs is None


def test_late_drift_and_thickness():
    series = trajectory("first_order", 1.0, seed=5)
    time = series["time"]
    series["layer_thickness"] = 20 + 1e-4 * time + 0.5 * coloured(np.random.default_rng(6), time, 1000)
    answer = found(series)
    assert answer.late_drift_per_ps.low < 0 < answer.late_drift_per_ps.high
    assert answer.thickness_A.low < 20 + 1e-4 * 83_333 < answer.thickness_A.high
    drifting = dict(series, reacted_fraction=series["reacted_fraction"] + 2e-6 * time)
    assert found(drifting).late_drift_per_ps.low < 2e-3 < found(drifting).late_drift_per_ps.high


# -- seeds -------------------------------------------------------------------------------------------------


def test_seeds_that_agree_narrow_the_interval_and_seeds_that_differ_widen_it():
    alike = [trajectory("first_order", 0.1, seed=s, noise=0.05) for s in range(4)]
    apart = [trajectory("first_order", r, seed=s, noise=0.05) for s, r in enumerate((0.06, 0.08, 0.12, 0.16))]
    one, four, spread = (np.log(a.rate.high / a.rate.low) for a in (found(alike[0]), found(*alike), found(*apart)))
    assert four < 0.8 * one
    assert spread > 2 * four
    assert found(*apart).rate.low < np.exp(np.mean(np.log([0.06, 0.08, 0.12, 0.16]))) < found(*apart).rate.high


def test_random_effects_cover_with_few_seeds():
    """Seeds that scatter five times more than their own errors: three of them."""
    rng = np.random.default_rng(0)
    inside = 0
    for _ in range(200):
        values = 1 + 0.5 * rng.standard_normal(3) + 0.1 * rng.standard_normal(3)
        drawn = random_effects(values, np.full(3, 0.1), np.ones((3, 1)), 800, rng)[:, 0]
        low, high = np.quantile(drawn, [0.025, 0.975])
        inside += low < 1 < high
    assert inside >= 178


def test_random_effects_without_scatter_are_the_weighted_mean():
    values, errors = np.array([1.0, 1.1, 0.9, 1.0]), np.array([0.1, 0.2, 0.2, 0.1])
    drawn = random_effects(values, errors, np.ones((4, 1)), 4000, np.random.default_rng(0))[:, 0]
    assert np.median(drawn) == pytest.approx(np.average(values, weights=errors**-2), abs=0.02)


# -- what cannot be known ----------------------------------------------------------------------------------


def test_nothing_that_reacts_has_no_rate():
    reason = undetermined(found(trajectory("constant", 0, seed=1)))
    assert reason == "no growth of the reacted fraction stands out of the noise"


def test_a_reaction_that_has_only_begun_has_no_rate():
    assert "only begun" in undetermined(found(trajectory("linear", 2e-3, seed=1)))
    assert "only begun" in undetermined(found(trajectory("first_order", 1e-3, seed=1)))


def test_laws_that_fit_alike_are_not_told_apart():
    reasons = {
        undetermined(found(trajectory("parabolic", 1e-4, seed=s, noise=0.03, memory=0.02)))
        for s in range(6)
        if found(trajectory("parabolic", 1e-4, seed=s, noise=0.03, memory=0.02)).rate is None
    }
    assert any("cannot be told" in r for r in reasons)


def test_a_reaction_within_one_frame_has_no_rate():
    series = trajectory("constant", 0, seed=1, start=0.6)
    series["reacted_fraction"][0] = 0.0
    assert found(series).rate is None


def test_a_fraction_that_falls_has_no_rate():
    series = trajectory("first_order", 0.1, seed=1)
    assert found(dict(series, reacted_fraction=1 - series["reacted_fraction"])).rate is None


def test_noise_that_remembers_the_whole_run_has_no_rate():
    answer = found(trajectory("first_order", 0.05, seed=3, noise=0.1, memory=0.5))
    assert "independent samples" in undetermined(answer)


@pytest.mark.parametrize(
    ("series", "reason"),
    [
        ({"time": np.empty(0), "reacted_fraction": np.empty(0)}, "not defined"),
        ({"time": np.zeros(1), "reacted_fraction": np.zeros(1)}, "1 described frames"),
        ({"time": np.arange(9.0), "reacted_fraction": np.arange(9.0)}, "9 described frames"),
        ({"time": np.arange(99.0), "reacted_fraction": np.full(99, np.nan)}, "not defined"),
        ({"time": np.arange(99.0), "reacted_fraction": np.full(99, 0.3)}, "never changes"),
    ],
)
def test_too_little_is_undetermined_with_its_reason(series, reason):
    assert reason in undetermined(found(series))


def test_samples_that_are_no_numbers_are_left_out():
    series = trajectory("first_order", 0.1, seed=1)
    series["reacted_fraction"][::7] = np.nan
    assert found(series).rate.low < 0.1 < found(series).rate.high


@pytest.mark.parametrize("time", [np.zeros(99), np.arange(99.0)[::-1], np.full(99, np.nan), np.arange(98.0)])
def test_times_that_do_not_increase_are_refused(time):
    with pytest.raises(ValueError, match="time"):
        found({"time": time, "reacted_fraction": np.zeros(99)})


def test_no_series_is_refused():
    with pytest.raises(ValueError, match="No series"):
        kinetics([], np.random.default_rng(0))


def test_the_same_series_gives_the_same_answer():
    series = trajectory("first_order", 0.1, seed=1)
    assert found(series).to_dict() == found(series).to_dict()


def test_each_law_has_a_criterion_and_the_chosen_one_has_the_least():
    answer = found(trajectory("parabolic", 4e-3, seed=1))
    assert set(answer.criterion) == set(LAWS)
    assert min(answer.criterion, key=answer.criterion.get) == answer.model == "parabolic"


# -- noise -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("memory", [0.003, 0.05, 0.5])
def test_covariance_of_block_averages_is_that_of_the_process(memory):
    """Against averages of the exponential correlation over fine points of uneven blocks."""
    edges = np.array([0, 0.1, 0.25, 0.6, 1.0])
    points = [np.linspace(a, b, 2001)[1:] - (b - a) / 4000 for a, b in itertools.pairwise(edges)]
    fine = [[np.exp(-np.abs(p[::4, None] - q[None, ::4]) / memory).mean() for q in points] for p in points]
    assert averaged(edges, memory) == pytest.approx(np.array(fine), rel=0.05, abs=1e-4)


@pytest.mark.parametrize("memory", [0.005, 0.05])
def test_the_memory_of_noise_is_found(memory):
    times = np.linspace(0, 1, 2001)
    noise = np.stack([coloured(np.random.default_rng(s), times, memory) for s in range(40)], axis=1)
    means = noise[:2000].reshape(100, 20, 40).mean(axis=1)
    grid = noise_grid(np.linspace(0, 1, 101))
    weights = fit_linear(grid, np.ones((100, 1)), means).weights.mean(axis=1)
    assert np.exp(weights @ np.log(grid.memory)) == pytest.approx(memory, rel=0.35)


# -- temperatures ------------------------------------------------------------------------------------------


def at(temperature, energy, rng, error=0.1, model="first_order"):
    log_rate = 20 - energy / (BOLTZMANN * temperature) + error * rng.standard_normal()
    draws = log_rate + error * rng.standard_normal(1000)
    return Kinetics(model, None, {}, Quantity.of(np.exp(draws), 0.95), draws)


def test_the_activation_energy_comes_back():
    inside = 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        answer = activation({t: at(t, 0.35, rng) for t in (300.0, 400.0, 500.0, 600.0)}, rng)
        assert answer.status == "determined"
        assert answer.energy.value == pytest.approx(0.35, abs=0.05)
        inside += answer.energy.low < 0.35 < answer.energy.high
    assert inside >= 51


def test_two_temperatures_or_two_laws_have_no_activation_energy():
    rng = np.random.default_rng(0)
    two = {t: at(t, 0.3, rng) for t in (300.0, 600.0)} | {450.0: Kinetics("undetermined", "too short", {})}
    assert activation(two, rng).energy is None
    assert activation(two, rng).status == "undetermined: 2 temperatures with a rate constant, 3 are needed"
    mixed = {t: at(t, 0.3, rng, model=m) for t, m in ((300.0, "avrami"), (400.0, "avrami"), (500.0, "parabolic"))}
    assert "differs between temperatures" in activation(mixed, rng).status
