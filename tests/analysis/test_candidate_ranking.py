"""Ranks planted in synthetic series come back, with honest intervals, ties and refusals."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as settings_
from hypothesis import strategies as st

from aiida_haml.analysis.blocks import Member, block_means, make_blocks, sampled_metrics
from aiida_haml.analysis.metrics import METRICS, declared_metrics
from aiida_haml.analysis.ranking import rank
from aiida_haml.analysis.sensitivity import tied_groups, weight_sensitivity
from aiida_haml.analysis.settings import RankingSettings
from tests.analysis.series import coloured as slow

SETTINGS = RankingSettings(min_simulated_fs=1000, n_draws=500)


def coloured(rng, n, width, memory):
    """Return noise of the given width whose neighbours are correlated."""
    noise = np.empty(n)
    noise[0] = rng.standard_normal()
    for i in range(1, n):
        noise[i] = memory * noise[i - 1] + np.sqrt(1 - memory**2) * rng.standard_normal()
    return width * noise


def planted(key, label=None, *, level=0.5, rate=2e-3, noise=0.02, memory=0.5, seed=0, n=400, length=4000.0, **series):
    """Return a member whose electrolyte reacts by first order towards a level."""
    rng = np.random.default_rng(seed)
    time = np.linspace(0, length, n)
    reacted = level * (1 - np.exp(-rate * time)) + coloured(rng, n, noise, memory)
    reacted[0] = 0
    values = {
        "time": time,
        "reacted_fraction": reacted,
        "product_score": 0.1 + reacted + coloured(rng, n, noise, memory),
        "framework_displacement": 0.4 + coloured(rng, n, noise, memory),
        "ps4_fraction": np.ones(n),
        "p_chalcogen_bonds": np.full(n, 4.0),
        "framework_fractions": np.column_stack([reacted, 1 - reacted]),
    }
    return Member(key, label or key, values | series)


def ranked(members, settings=SETTINGS):
    result = rank(members, settings)
    json.dumps(result, allow_nan=False)
    return {row["label"]: row for row in result["candidates"]}, result


def test_planted_order_is_recovered():
    members = [planted(f"c{i}", level=level, seed=i) for i, level in enumerate((0.3, 0.6, 0.1, 0.45))]
    rows, result = ranked(members)
    assert [row["label"] for row in result["candidates"]] == ["c1", "c3", "c0", "c2"]
    assert [row["rank"] for row in result["candidates"]] == [1, 2, 3, 4]
    assert all(row["tied_with"] == [] for row in rows.values())
    for row in rows.values():
        assert row["interval"][0] < row["score"] < row["interval"][1]
        assert sum(row["parts"].values()) == pytest.approx(row["score"])


def test_faster_formation_ranks_higher_at_the_same_final_level():
    rows, _ = ranked([planted("slow", rate=1e-3, level=0.4, seed=1), planted("fast", rate=1e-2, level=0.4, seed=2)])
    assert rows["fast"]["metrics"]["formation"] > rows["slow"]["metrics"]["formation"]
    assert rows["fast"]["rank"] == 1


def test_alike_candidates_are_tied():
    rows, result = ranked([planted("a", seed=1), planted("b", seed=2), planted("c", level=0.1, seed=3)])
    assert rows["a"]["tied_with"] == ["b"]
    assert rows["b"]["tied_with"] == ["a"]
    assert rows["c"]["tied_with"] == []
    table = np.array(result["order_probability"])
    assert np.allclose(table + table.T, 1)


def test_false_orders_are_as_rare_as_the_confidence_says():
    """Candidates that differ in their noise alone: at 95 % one pair in ten may be called ordered."""
    settings = RankingSettings(min_simulated_fs=0, n_draws=300)
    pairs = [
        [planted(f"a{i}", seed=2 * i, memory=0.7), planted(f"b{i}", seed=2 * i + 1, memory=0.7)] for i in range(40)
    ]
    ordered = sum(not rank(pair, settings)["candidates"][0]["tied_with"] for pair in pairs)
    assert ordered <= 9


def test_intervals_cover_the_planted_value():
    settings = RankingSettings(min_simulated_fs=0, n_draws=300)
    late = slice(-133, None)
    truth = (0.1 + 0.5 * (1 - np.exp(-2e-3 * np.linspace(0, 4000, 400))))[late].mean()
    inside = 0
    for seed in range(80):
        blocks = make_blocks(planted("x", seed=seed, memory=0.6), 4000.0, settings)
        _, samples = sampled_metrics(blocks, settings, np.random.default_rng(seed))
        low, high = np.quantile(samples[:, list(METRICS).index("product_similarity")], [0.025, 0.975])
        inside += low <= truth <= high
    assert inside >= 70


def test_seeds_are_pooled_and_widen_the_interval():
    alike = [planted("a1", "a", seed=1), planted("a2", "a", seed=2)]
    apart = [planted("b1", "b", seed=1, level=0.2), planted("b2", "b", seed=2, level=0.8)]
    rows, result = ranked([*alike, *apart])
    assert set(rows) == {"a", "b"}
    assert rows["b"]["members"] == ["b1", "b2"]
    assert np.diff(rows["b"]["interval"]) > 3 * np.diff(rows["a"]["interval"])
    assert rows["a"]["tied_with"] == ["b"]
    assert not any("one seed only" in w for w in result["warnings"])


def test_one_seed_is_warned_of():
    _, result = ranked([planted("a")])
    assert any("a: one seed only" in w for w in result["warnings"])


def test_too_short_is_undetermined_and_says_so():
    rows, result = ranked([planted("long"), planted("short", length=600)])
    assert rows["short"]["status"] == "undetermined: simulated 600 fs, needs at least 1000 fs"
    assert rows["short"]["rank"] is rows["short"]["score"] is None
    assert rows["long"]["rank"] == 1
    assert result["candidates"][-1]["label"] == "short"


def test_a_short_seed_is_left_out_of_its_label():
    rows, result = ranked([planted("a1", "a"), planted("a2", "a", length=500)])
    assert rows["a"]["status"] == "ranked"
    assert any("1 of 2 seeds" in w for w in result["warnings"])


def test_all_are_compared_over_the_shortest_time():
    """A candidate that was simulated for longer gains nothing by it."""
    rows, result = ranked([planted("a", rate=2e-4), planted("b", rate=2e-4, length=16000, n=1600, noise=0.02)])
    assert result["compared_fs"] == 4000
    assert rows["b"]["metrics"]["formation"] == pytest.approx(rows["a"]["metrics"]["formation"], abs=0.02)


def test_one_frame_and_few_frames_are_undetermined():
    settings = RankingSettings(min_simulated_fs=0, n_draws=100)
    rows, _ = ranked([planted("one", n=1), planted("few", n=10)], settings)
    assert rows["one"]["status"].startswith("undetermined: simulated 0 fs")
    assert "described frames" in rows["few"]["status"]


def test_a_weighted_metric_that_does_not_exist_is_undetermined():
    nothing = np.full(400, np.nan)
    member = planted("metal", reacted_fraction=nothing, product_score=nothing)
    rows, _ = ranked([member, planted("a")])
    assert rows["metal"]["status"] == ("undetermined: formation and product_similarity not defined for these atoms")
    assert rows["a"]["rank"] == 1


def test_a_missing_metric_without_weight_does_no_harm():
    rows, _ = ranked([planted("a", ps4_fraction=np.full(400, np.nan))])
    assert rows["a"]["metrics"]["ps4_loss"] is None
    assert rows["a"]["parts"]["ps4_loss"] == 0
    assert rows["a"]["rank"] == 1


def test_scores_do_not_depend_on_the_company():
    alone, _ = ranked([planted("a", seed=1)])
    among, _ = ranked([planted("a", seed=1), planted("b", seed=2, level=0.9), planted("c", seed=3)])
    assert alone["a"]["score"] == among["a"]["score"]
    assert alone["a"]["interval"] == among["a"]["interval"]


def test_the_same_input_gives_the_same_text_in_any_order():
    members = [planted("a", seed=1), planted("b", seed=2, level=0.3)]
    first, second, swapped = (json.dumps(rank(m, SETTINGS)) for m in (members, members, members[::-1]))
    assert first == second == swapped


def test_stride_of_the_frames_leaves_the_metrics():
    member = planted("a", n=2000, memory=0.99)
    coarse = Member("b", "b", {k: v[::4] for k, v in member.series.items()})
    rows, _ = ranked([member, coarse])
    assert rows["a"]["metrics"]["formation"] == pytest.approx(rows["b"]["metrics"]["formation"], abs=5e-3)
    assert rows["a"]["tied_with"] == ["b"]


def test_uneven_sampling_is_weighted_by_time():
    time = np.array([0.0, 1, 2, 3, 10])
    assert block_means(time, time[:, None], np.array([0.0, 10])) == pytest.approx(5)
    assert np.isnan(block_means(time, np.full((5, 1), np.nan), np.array([0.0, 10]))).all()


def test_weights_are_declared_normalised_and_can_turn_the_order():
    members = [planted("quick", level=0.6, rate=4e-4, seed=1), planted("calm", level=0.1, seed=2)]
    _, result = ranked(members)
    assert sum(m["weight"] for m in result["metrics"].values()) == pytest.approx(1)
    assert all(m["description"] and m["unit"] and m["direction"] in ("high", "low") for m in result["metrics"].values())
    only = dict.fromkeys(METRICS, 0.0) | {"late_drift": 2.0}
    rows, result = ranked(members, RankingSettings(weights=only, min_simulated_fs=0))
    assert result["metrics"]["late_drift"]["weight"] == 1
    assert rows["calm"]["metrics"]["late_drift"] < rows["quick"]["metrics"]["late_drift"]
    assert rows["calm"]["rank"] == 1


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ({"speed": 1}, "unknown metrics"),
        ({"formation": -1}, "negative"),
        (dict.fromkeys(METRICS, 0), "All weights"),
    ],
)
def test_bad_weights_are_refused(weights, message):
    with pytest.raises(ValueError, match=message):
        declared_metrics(weights)
    with pytest.raises(ValueError, match=message):
        RankingSettings.from_dict({"weights": weights})


def test_nothing_to_rank_is_refused():
    with pytest.raises(ValueError, match="No candidates"):
        rank([], SETTINGS)


# -- kinetics and temperatures -----------------------------------------------------------------------------


def test_every_label_has_its_kinetics():
    rows, _ = ranked([planted("a", noise=0.01, memory=0.3), planted("short", length=600)])
    assert rows["a"]["kinetics"]["model"] == "first_order"
    low, high = rows["a"]["kinetics"]["rate_per_ps"]["interval"]
    assert low < 2 < high  # planted: 2e-3 / fs
    assert rows["a"]["metrics"]["rate_constant"] == pytest.approx(np.log10(2), abs=0.1)
    assert rows["short"]["kinetics"]["model"] in ("first_order", "undetermined")
    assert {"reason", "parameters", "criterion", "time_to_layer_fs", "curve"} <= set(rows["short"]["kinetics"])


def test_kinetics_can_be_given_a_weight_and_are_then_needed():
    settings = RankingSettings(weights={"rate_constant": 1.0}, min_simulated_fs=0, n_draws=200)
    members = [planted("slow", rate=2e-3, noise=0.01, seed=1), planted("fast", rate=8e-3, noise=0.01, seed=2)]
    rows, _ = ranked([*members, planted("still", level=0.0, seed=3)], settings)
    assert rows["fast"]["parts"]["rate_constant"] > rows["slow"]["parts"]["rate_constant"]
    assert rows["fast"]["rank"] == 1
    assert rows["still"]["status"].startswith(
        "undetermined: rate_constant not defined for these atoms (kinetics: no gr"
    )


def test_activation_energy_over_the_temperatures_of_one_candidate():
    members = []
    for temperature in (400.0, 500.0, 600.0, 700.0):
        rate = 2e-3 * np.exp(-0.1 / 8.617333e-5 * (1 / temperature - 1 / 500))
        made = planted("x", rate=rate, noise=0.01, seed=int(temperature), n=800)
        members.append(Member(f"x{temperature:g}", f"x {temperature:g} K", made.series, temperature))
    _, result = ranked([*members, Member("y", "y", planted("y").series, 300.0)])
    x, y = result["arrhenius"]
    assert (x["label"], x["status"]) == ("x", "determined")
    assert x["interval"][0] < 0.1 < x["interval"][1]
    assert x["activation_energy_eV"] == pytest.approx(0.1, abs=0.02)
    assert (y["label"], y["activation_energy_eV"]) == ("y", None)
    assert "3 are needed" in y["status"]


# -- potentials of unequal quality -------------------------------------------------------------------------


def with_errors(*errors):
    return [
        Member(f"c{i}", f"c{i}", planted(f"c{i}", level=0.2 + 0.2 * i, seed=i).series, None, e)
        for i, e in enumerate(errors)
    ]


def test_a_label_with_a_much_worse_potential_is_not_ranked():
    rows, _ = ranked(with_errors(0.05, 0.06, 0.5))
    assert rows["c2"]["rank"] is None
    assert "8.3 times the median" in rows["c2"]["status"]
    assert rows["c2"]["metrics"]["formation"] is not None  # shown, not ranked
    assert {rows["c0"]["rank"], rows["c1"]["rank"]} == {1, 2}


def test_of_two_labels_the_worse_one_is_refused():
    rows, _ = ranked(with_errors(0.05, 0.5))
    assert (rows["c0"]["rank"], rows["c1"]["rank"]) == (1, None)


def test_somewhat_unequal_and_unknown_errors_are_warned_of():
    rows, result = ranked(with_errors(0.05, 0.1, None, 0.05))
    assert all(row["rank"] for row in rows.values())
    assert any(w.startswith("c1: force error") for w in result["warnings"])
    assert any(w.startswith("c2: the error of its potential is not known") for w in result["warnings"])
    assert not any("c0" in w and "error" in w for w in result["warnings"])


def test_without_any_error_nothing_is_said_of_errors():
    _, result = ranked(with_errors(None, None))
    assert not any("error" in w for w in result["warnings"])


def test_errors_do_not_change_scores():
    known, _ = ranked(with_errors(0.05, 0.05))
    unknown, _ = ranked(with_errors(None, None))
    assert [known[k]["score"] for k in known] == [unknown[k]["score"] for k in known]


# -- groups and weights ------------------------------------------------------------------------------------


def test_ties_that_chain_do_not_make_one_group():
    tied = {"a": ["b"], "b": ["a", "c"], "c": ["b"], "d": []}
    assert tied_groups("abcd", tied) == [["a", "b"], ["b", "c"], ["d"]]
    assert tied_groups([], {}) == []


@settings_(max_examples=40, deadline=None)
@given(st.integers(1, 7), st.integers(0, 10**6))
def test_labels_share_a_group_exactly_if_they_are_tied(n, seed):
    rng = np.random.default_rng(seed)
    labels = [f"c{i}" for i in range(n)]
    table = np.triu(rng.random((n, n)) < 0.5, 1)
    tied = {a: [b for j, b in enumerate(labels) if table[i, j] or table[j, i]] for i, a in enumerate(labels)}
    groups = tied_groups(labels, tied)
    for i, a in enumerate(labels):
        for b in labels[i + 1 :]:
            assert any({a, b} <= set(g) for g in groups) == (b in tied[a])
    assert set().union(*groups) == set(labels)
    assert not any(set(g) < set(h) for g in groups for h in groups)


def test_groups_of_the_ranking():
    _, result = ranked([planted("a", seed=1), planted("b", seed=2), planted("c", level=0.1, seed=3)])
    assert [sorted(g) for g in result["groups"]] == [["a", "b"], ["c"]]


def test_an_order_that_holds_for_all_weights_is_robust():
    good = planted("good", level=0.7, seed=1)
    bad = planted("bad", level=0.1, seed=2, framework_displacement=np.full(400, 2.0))
    _, result = ranked([good, bad])
    sensitivity = result["sensitivity"]
    assert sensitivity["robust"] is True
    assert sensitivity["rank_probability"]["good"][0] > 0.95
    assert all(order == ["good", "bad"] for order in sensitivity["halved"].values())


def test_an_order_that_hangs_on_the_weights_is_not_robust():
    """One forms fast, the other stays calm; the weights are such that they score nearly the same."""
    values = np.array([[0.10, 0.0], [0.0, 0.095]])
    found = weight_sensitivity(
        ["a", "b"], values, np.ones(2), {"x": 0.5, "y": 0.5}, 4000, 0.95, np.random.default_rng(0)
    )
    assert found["robust"] is False
    assert found["halved"]["x"] == found["doubled"]["y"] == ["b", "a"]
    # Flat over the weights: a is first where w > 0.095 / 0.195.
    assert found["rank_probability"]["a"][0] == pytest.approx(0.1 / 0.195, abs=0.03)
    table = np.array(list(found["rank_probability"].values()))
    assert table.sum(axis=0) == pytest.approx(1)
    assert table.sum(axis=1) == pytest.approx(1)


def test_slow_noise_does_not_escape_the_interval():
    """Noise that remembers 6 % of the run, where 24 blocks with a fixed widening covered 85-90 %."""
    config = RankingSettings(min_simulated_fs=0, n_draws=300)
    time = np.linspace(0, 1, 400)
    inside = 0
    for seed in range(80):
        rng = np.random.default_rng([9, seed])
        made = planted("x", seed=seed, product_score=0.3 + 0.05 * slow(rng, time, 0.06))
        blocks = make_blocks(made, 4000.0, config)
        _, samples = sampled_metrics(blocks, config, rng)
        low, high = np.quantile(samples[:, 1], [0.025, 0.975])
        inside += low <= 0.3 <= high
    assert inside >= 70
