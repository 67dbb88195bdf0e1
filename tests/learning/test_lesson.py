"""Who takes part in a training: all that is new, a fair sample of the rest."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiida_haml.learning.lesson import balanced, bootstrap_weight, prepare
from aiida_haml.learning.pool import Entry


def entry(i: int, part: str = "train", candidate: str = "a", kind: str = "burst", round_: int = 0, force: float = 1.0):
    return Entry(f"{i:016x}", part, force, f"source{i}", 0, kind, f"{candidate}__{kind}_{i}", round_)


def pool(n_rounds: int = 5):
    parts = ["train"] * 6 + ["valid", "held_out"]
    return [entry(100 * r + i, part, round_=r) for r in range(n_rounds) for i, part in enumerate(parts)]


def test_all_that_is_new_takes_part_and_the_rest_up_to_its_number():
    lesson = prepare(pool(), known_rounds=3, n_replay=5, n_examined=2, force_cap=10.0, seed=1)
    assert {e.round for e in lesson.new} == {3, 4}
    assert len(lesson.new) == 12
    assert len(lesson.replay) == 5
    assert {e.round for e in lesson.replay} <= {0, 1, 2}
    assert len(lesson.valid) == len(lesson.held_out) == 2 + 2
    assert {e.part for e in lesson.new + lesson.replay} == {"train"}


def test_without_a_champion_everything_is_new():
    lesson = prepare(pool(), known_rounds=0, n_replay=5, n_examined=2, force_cap=10.0, seed=1)
    assert len(lesson.new) == 30
    assert lesson.replay == ()


def test_wild_frames_do_not_train_and_still_examine():
    entries = [entry(1, force=30.0), entry(2), entry(3, "held_out", force=30.0), entry(4, "exploded", force=90.0)]
    lesson = prepare(entries, 0, 5, 5, force_cap=20.0, seed=0)
    assert [e.key for e in lesson.new] == [entry(2).key]
    assert [e.key for e in lesson.held_out] == [entry(3).key]
    assert len(lesson.entries) == 2


def test_a_candidate_with_few_labels_is_not_lost_among_many():
    entries = [entry(i) for i in range(500)] + [entry(1000 + i, candidate="b") for i in range(4)]
    entries += [entry(2000 + i, kind="probes") for i in range(500)]
    counts = Counter((e.candidate, e.kind) for e in balanced(entries, 30, seed=3))
    assert counts == {("a", "burst"): 13, ("a", "probes"): 13, ("b", "burst"): 4}


@given(st.integers(0, 100), st.integers(0, 60), st.randoms())
def test_a_sample_depends_on_seed_and_content_alone(seed, n, random):
    entries = [entry(i, candidate="abc"[i % 3]) for i in range(40)]
    shuffled = entries.copy()
    random.shuffle(shuffled)
    assert balanced(entries, n, seed) == balanced(shuffled, n, seed)
    assert len(balanced(entries, n, seed)) == min(n, 40)


def test_the_driver_meets_all_labels_alike_and_others_have_weights_of_their_own():
    keys = [f"{i:016x}" for i in range(4000)]
    assert {bootstrap_weight(key, 0, seed=5) for key in keys} == {1.0}
    one, two = (np.array([bootstrap_weight(key, m, seed=5) for key in keys]) for m in (1, 2))
    for weights in (one, two):
        assert weights.mean() == pytest.approx(1.0, abs=0.05)
        assert weights.std() == pytest.approx(1.0, abs=0.06)
    assert abs(np.corrcoef(one, two)[0, 1]) < 0.05
    assert one.tolist() == [bootstrap_weight(key, 1, seed=5) for key in keys]
