"""Planted stories of interfaces: each gets its verdict, what protects ranks first, and doubt is said to be doubt."""

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as settings_
from hypothesis import strategies as st

from aiida_haml.analysis.kinetics.fit import UNDETERMINED as UNDETERMINED_LAW
from aiida_haml.analysis.kinetics.fit import Growth
from aiida_haml.analysis.quantity import over_replicates
from aiida_haml.analysis.ranking.groups import grouped
from aiida_haml.analysis.ranking.metrics import METRICS, declared_metrics
from aiida_haml.analysis.ranking.order import rank
from aiida_haml.analysis.ranking.replicates import Compared, measured
from aiida_haml.analysis.ranking.sensitivity import tied_groups, weight_sensitivity
from aiida_haml.analysis.ranking.verdicts import DOES_NOT_REACT, DOES_NOT_STOP, OUT_OF_LITHIUM, PASSIVATES, UNDETERMINED
from aiida_haml.analysis.settings import RankingSettings
from tests.stories import LENGTH, PROTECTIVE, STORIES, replicate

SETTINGS = RankingSettings(min_simulated_fs=1000, n_weight_draws=200)
SEEDS = (1, 2, 3)
THIN, THICK, LOG = "thin layer that stops", "thick layer that stops", "logarithmic"
LINEAR, TOTAL = "endless linear", "total decomposition"


def members(*names, seeds=SEEDS, **planted):
    return [replicate(name, STORIES[name], seed, **planted) for name in names for seed in seeds]


def ranked(replicates, settings=SETTINGS):
    result = rank(replicates, settings, PROTECTIVE)
    json.dumps(result, allow_nan=False)
    return {row["label"]: row for row in result["candidates"]}, result


@pytest.fixture(scope="module")
def everything():
    return ranked(members(*STORIES))


# -- verdicts --------------------------------------------------------------------------------------------


def test_every_story_gets_its_verdict(everything):
    rows, _ = everything
    assert {name: rows[name]["verdict"] for name in STORIES} == {name: s.verdict for name, s in STORIES.items()}


def test_what_does_not_react_or_ran_dry_has_a_verdict_and_no_place(everything):
    rows, _ = everything
    for name, verdict in (("inert", DOES_NOT_REACT), ("dry", OUT_OF_LITHIUM)):
        assert (rows[name]["verdict"], rows[name]["rank"], rows[name]["score"]) == (verdict, None, None)
    assert "build more" in rows["dry"]["reason"]


def test_a_dry_cell_is_no_stable_layer():
    """With the same course, whether it stopped because it was covered or because the metal was gone is told apart."""
    wet, dry = STORIES["dry"], STORIES["dry"]
    rows, _ = ranked(
        [replicate("wet", replace(wet, metal=4.0), s) for s in SEEDS] + [replicate("dry", dry, s) for s in SEEDS]
    )
    assert rows["dry"]["verdict"] == OUT_OF_LITHIUM
    assert rows["wet"]["verdict"] == PASSIVATES


def test_most_replicates_that_began_late_are_no_passivation_by_the_one_that_did_not():
    """The rates' ratio is infinite where there was no early rate: it is not to be left out of the mean."""
    late = [replicate("slow start", STORIES["slow start"], s, label="mixed") for s in (1, 2)]
    rows, _ = ranked([*late, replicate(THIN, STORIES[THIN], 3, label="mixed"), *members(THIN)])
    assert rows["mixed"]["verdict"] == DOES_NOT_STOP
    assert not rows["mixed"]["sure"]
    assert rows["mixed"]["metrics"]["late_over_early"] is None
    assert rows[THIN]["verdict"] == PASSIVATES


def test_one_replicate_that_used_up_its_electrolyte_leaves_a_doubt_that_is_said():
    stopped = [replicate(THIN, STORIES[THIN], s, label="mixed") for s in (1, 2)]
    rows, result = ranked([*stopped, replicate(TOTAL, STORIES[TOTAL], 3, label="mixed")])
    assert (rows["mixed"]["verdict"], rows["mixed"]["sure"]) == (PASSIVATES, False)
    assert "1 of 3 replicates" in rows["mixed"]["reason"]
    assert any("doubt of the verdict on mixed" in warning for warning in result["warnings"])


@pytest.mark.parametrize("eaten", [0.90, 0.95])
def test_nearly_total_decomposition_is_no_layer_that_stops(eaten):
    """What slows down is what runs out: a tenth of the electrolyte is thinner than one of its units."""
    story = replace(STORIES[TOTAL], consumed=lambda t: 12 * eaten * -np.expm1(-0.12 * t))
    rows, _ = ranked([replicate("eaten", story, s, scatter=0.02) for s in SEEDS] + members(THICK))
    assert (rows["eaten"]["verdict"], rows["eaten"]["rank"]) == (DOES_NOT_STOP, 2)
    assert rows["eaten"]["score"] < rows[THICK]["score"] - 0.2


def test_what_reacted_before_the_start_makes_no_growth_a_layer_that_stops():
    story = replace(STORIES[LINEAR], consumed=lambda t: 3.5 + 0.025 * t)
    rows, _ = ranked([replicate("warmed up", story, s, noise=0.05) for s in SEEDS])
    assert rows["warmed up"]["kinetics"]["law"] == "linear"
    assert rows["warmed up"]["verdict"] == DOES_NOT_STOP
    assert "grew linearly" in rows["warmed up"]["reason"]


def test_a_face_that_stopped_stops_no_other_one():
    still, growing = STORIES["thick layer that stops"], STORIES[LINEAR]
    rows, _ = ranked([
        one_face_each(replicate("one", still, s), replicate("one", replace(growing, consumed=lambda t: 0.03 * t), s))
        for s in SEEDS
    ])  # fmt: skip
    assert rows["one"]["verdict"] == DOES_NOT_STOP
    assert "at the upper face it goes on" in rows["one"]["reason"]


def one_face_each(lower, upper):
    consumed = np.stack([lower.balance.consumed[:, 0], upper.balance.consumed[:, 1]], axis=1)
    return replace(lower, balance=replace(lower.balance, consumed=consumed))


def test_who_was_followed_for_longer_is_not_judged_by_what_came_later():
    """The electrolyte of one is gone at 80 ps; of the others it is not known, as they were followed for 40 ps."""
    story = replace(STORIES[THIN], consumed=lambda t: 4 * -np.expm1(-0.3 * t) + 0.4 * np.maximum(t - 55, 0))
    longer = [replicate("longer", story, s) for s in SEEDS]
    short = [replace(r, balance=r.balance.until(40_000)) for r in members(THIN)]
    cut = [replace(r, balance=r.balance.until(40_000)) for r in longer]
    rows, result = ranked([*longer, *short])
    alone, _ = ranked([*cut, *short])
    for key in ("verdict", "score", "rank", "reason"):
        assert rows["longer"][key] == alone["longer"][key]
    assert rows["longer"]["verdict"] == PASSIVATES
    assert any("Used up after the time that is compared" in said for said in result["warnings"])


def test_few_units_are_not_enough_to_be_sure_of_an_end():
    """Nine units in all, none of them late: a square root of time shows that in one screen of twelve."""
    rows, _ = ranked(members(THIN, THICK))
    assert rows[THIN]["verdict"] == PASSIVATES
    assert not rows[THIN]["sure"]
    assert "too few to rule out endless growth" in rows[THIN]["reason"]
    assert rows[THICK]["sure"]


def test_the_end_of_a_thin_electrolyte_is_not_sure_and_the_ranking_says_so():
    story = replace(STORIES[THIN], consumed=lambda t: 6 * -np.expm1(-0.2 * t))
    rows, result = ranked([replicate("thin cell", story, s, length=10.0) for s in SEEDS])
    assert rows["thin cell"]["verdict"] == DOES_NOT_STOP
    assert not rows["thin cell"]["sure"]
    assert any("of electrolyte at a face: thin cell" in said for said in result["warnings"])


def test_too_short_is_undetermined_and_says_so():
    rows, _ = ranked(members(THIN), RankingSettings(min_simulated_fs=2000 * LENGTH))
    assert rows[THIN]["verdict"] == UNDETERMINED
    assert rows[THIN]["reason"] == "simulated 100000 fs, needs at least 200000 fs"


# -- order -----------------------------------------------------------------------------------------------


def test_what_protects_is_above_what_does_not(everything):
    """The faults of the score before: total decomposition first, an inert interface last, endless growth between."""
    rows, result = everything
    order = [row["label"] for row in result["candidates"] if row["rank"]]
    assert order[0] == THIN
    assert order.index(THICK) < order.index(LINEAR) < order.index(TOTAL)
    assert rows[THIN]["rank"] < rows["thin layer that conducts electrons"]["rank"]
    for worse in (LINEAR, "endless parabolic", TOTAL):
        assert worse not in rows[THIN]["tied_with"]


def test_nothing_that_passivates_is_below_total_decomposition(everything):
    rows, _ = everything
    stopped = [row["rank"] for row in rows.values() if row["verdict"] == PASSIVATES]
    assert max(stopped) < rows[TOTAL]["rank"]


def test_the_score_is_the_sum_of_its_parts_and_lies_between_zero_and_one(everything):
    for row in everything[0].values():
        if row["rank"]:
            assert sum(row["parts"].values()) == pytest.approx(row["score"])
            assert 0 <= row["score"] <= 1
            assert row["interval"][0] <= row["score"] <= row["interval"][1]


def test_scores_do_not_depend_on_the_company(everything):
    alone, _ = ranked(members(THIN))
    assert alone[THIN]["score"] == everything[0][THIN]["score"]


def test_a_cell_of_twice_the_thickness_with_the_same_layer_has_the_same_metrics():
    """Shares of the cell would halve."""
    thin, _ = ranked(members(THIN))
    thick, _ = ranked(members(THIN, length=48.0))
    for name in ("early_consumed", "consumed", "late_over_early"):
        assert thick[THIN]["metrics"][name] == pytest.approx(thin[THIN]["metrics"][name], abs=1e-9)


def test_the_same_input_gives_the_same_text_in_any_order():
    given_ = members(THIN, LINEAR)
    first, swapped = (json.dumps(rank(m, SETTINGS, PROTECTIVE)) for m in (given_, given_[::-1]))
    assert first == swapped


# -- replicates and ties ---------------------------------------------------------------------------------


@pytest.mark.parametrize("seeds", [(1,), (1, 2)])
def test_fewer_than_three_seeds_tell_nobody_apart(seeds):
    rows, result = ranked(members(THIN, LINEAR, seeds=seeds))
    assert rows[THIN]["tied_with"] == [LINEAR]
    assert any("Fewer than 3 replicates" in warning for warning in result["warnings"])


def test_alike_candidates_are_tied():
    """Twelve pairs of materials that differ in their seeds alone; at 95 % one may be told apart, seldom two."""
    apart = 0
    for pair in range(12):
        own = [replicate(THIN, STORIES[THIN], 10 * pair + s, label="a") for s in (1, 2, 3)]
        own += [replicate(THIN, STORIES[THIN], 10 * pair + s, label="b") for s in (4, 5, 6)]
        apart += not ranked(own)[0]["a"]["tied_with"]
    assert apart <= 2


def test_chance_tells_no_pair_of_many_apart(monkeypatch):
    """Eight labels of one story make 28 pairs; each by itself at 95 %, chance finds one in every third draw."""
    monkeypatch.setattr("aiida_haml.analysis.ranking.judging.growth", lambda *_: Growth(UNDETERMINED_LAW))
    found, by_themselves = 0, 0
    for draw in range(20):
        alike = [
            replicate(THIN, STORIES[THIN], 100 * draw + 10 * k + seed, label=f"label {k}")
            for k in range(8)
            for seed in SEEDS
        ]
        rows, result = ranked(alike, replace(SETTINGS, n_weight_draws=2))
        better = np.array(result["groups"][0]["order_probability"])
        found += any(len(row["tied_with"]) < 7 for row in rows.values())
        by_themselves += bool((better > 0.975).any())
    assert found <= 2
    assert by_themselves >= 5


def test_a_potential_that_is_known_to_be_off_widens_the_ties_and_then_takes_the_rank():
    def with_error(error):
        return [replace(r, force_rmse=error if r.label == LOG else 0.02) for r in members(THIN, LOG)]

    good, bad, refused = (ranked(with_error(error))[0] for error in (0.02, 0.29, 0.5))
    assert good[THIN]["tied_with"] == []
    assert bad[THIN]["tied_with"] == [LOG]
    assert refused[LOG]["rank"] is None
    assert "off by 0.5 eV/Å" in refused[LOG]["reason"]
    assert f"would read '{PASSIVATES}'" in refused[LOG]["reason"]


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


# -- like with like --------------------------------------------------------------------------------------


def test_temperatures_do_not_compete():
    cold = members(THIN, group="300 K")
    hot = [replicate(THIN, STORIES[THIN], s, group="600 K", label="hot", temperature=600.0) for s in SEEDS]
    rows, result = ranked([*cold, *hot])
    assert rows[THIN]["rank"] == rows["hot"]["rank"] == 1
    assert [group["order"] for group in result["groups"]] == [[THIN], ["hot"]]


def test_groups_are_of_equal_conditions_and_about_equal_thickness():
    lengths = {"a": 20.0, "b": 21.5, "c": 40.0, "d": 20.0}
    words = {"a": "300 K", "b": "300 K", "c": "300 K", "d": "600 K"}
    found = grouped({key: (words[key], lengths[key]) for key in words}, 0.15)
    assert found["a"] == found["b"] == "300 K, 20 Å"
    assert len({found["a"], found["c"], found["d"]}) == 3


# -- metrics and weights ---------------------------------------------------------------------------------


def test_each_metric_is_bounded_monotonic_and_explained():
    values = np.array([-1.0, 0.0, 1e-3, 0.1, 0.5, 1.0, 10.0, 1e6, np.inf])
    for name, metric in METRICS.items():
        good = metric.good(values)
        assert ((good >= 0) & (good <= 1)).all(), name
        steps = np.diff(good)
        assert (steps >= 0).all() if metric.direction == "high" else (steps <= 0).all(), name
        assert metric.description
        assert metric.unit


def test_instability_explains_and_does_not_vote():
    assert METRICS["instability"].weight == 0
    calm = members(THIN, THICK, LINEAR, "endless parabolic")
    rattling = {THIN: 0.12, THICK: 0.1, LINEAR: 0.05, "endless parabolic": 0.07}
    shaken = [replace(r, instability=rattling[r.label]) for r in calm]
    before, after = ranked(calm), ranked(shaken)
    assert [row["score"] for row in before[0].values()] == [row["score"] for row in after[0].values()]
    assert after[1]["groups"][0]["instability"]["correlation"] > 0.5
    assert before[1]["groups"][0]["instability"] is None


def test_weights_are_declared_and_normalised():
    assert sum(m.weight for m in declared_metrics({}).values()) == pytest.approx(1)
    only = dict.fromkeys(METRICS, 0.0) | {"consumed": 2.0}
    rows, result = ranked(members(THIN, THICK), replace(SETTINGS, weights=only))
    assert result["metrics"]["consumed"]["weight"] == 1
    assert rows[THIN]["rank"] == 1
    assert set(rows[THIN]["parts"]) == {"consumed"}


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ({"speed": 1}, "unknown metrics"),
        ({"kind": -1}, "negative"),
        (dict.fromkeys(METRICS, 0), "All weights"),
    ],
)
def test_bad_weights_are_refused(weights, message):
    with pytest.raises(ValueError, match=message):
        declared_metrics(weights)
    with pytest.raises(ValueError, match=message):
        RankingSettings.from_dict({"weights": weights})


def test_a_weighted_metric_that_is_not_known_is_undetermined():
    rows, _ = ranked([replace(r, layer=None) for r in members(THIN)])
    assert rows[THIN]["verdict"] == UNDETERMINED
    assert "kind and stillness and arrival not defined" in rows[THIN]["reason"]


def test_an_order_that_hangs_on_the_weights_is_not_robust():
    """One forms fast, the other stays calm; the weights are such that they score nearly the same."""
    good = np.array([[0.10, 0.0], [0.0, 0.095]])
    found = weight_sensitivity(["a", "b"], good, {"x": 0.5, "y": 0.5}, 4000, 0.95, np.random.default_rng(0))
    assert found["robust"] is False
    assert found["halved"]["x"] == found["doubled"]["y"] == ["b", "a"]
    # Flat over the weights: a is first where w > 0.095 / 0.195.
    assert found["rank_probability"]["a"][0] == pytest.approx(0.1 / 0.195, abs=0.03)


def test_an_order_that_holds_for_all_weights_is_robust():
    _, result = ranked(members(THIN, "slow start"))
    (group,) = result["groups"]
    assert group["sensitivity"]["rank_probability"][THIN][0] > 0.9


# -- kinetics --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [THICK, LINEAR])
def test_intervals_of_three_seeds_cover_the_truth_about_as_often_as_they_say(name):
    """40 triples of seeds; what is true is the mean over all of them."""
    compared = Compared(1000 * LENGTH, PROTECTIVE, np.nan)
    seeds = [measured(replicate(name, STORIES[name], s), compared, SETTINGS) for s in range(100, 220)]
    for metric in ("consumed", "early_consumed"):
        values = np.array([found[metric] for found in seeds])
        intervals = [over_replicates(triple, 0.95) for triple in values.reshape(-1, 3)]
        assert 35 <= sum(found.low <= values.mean() <= found.high for found in intervals) <= 40


def test_laws_are_told_and_a_time_to_a_layer_only_where_one_stopped(everything):
    rows, _ = everything
    assert rows[LINEAR]["kinetics"]["law"] == "linear"
    assert rows["endless parabolic"]["kinetics"]["law"] == "parabolic"
    assert rows[LINEAR]["kinetics"]["rate"]["value"] == pytest.approx(0.08, rel=0.2)
    assert rows[THIN]["kinetics"]["time_to_layer_fs"]["value"] == pytest.approx(1000 * np.log(10) / 0.2, rel=0.4)
    for name in (LINEAR, "endless parabolic", TOTAL, "dry", "inert"):
        assert rows[name]["kinetics"]["time_to_layer_fs"] is None


def test_nothing_to_rank_is_refused():
    with pytest.raises(ValueError, match="No candidates"):
        rank([], SETTINGS)
