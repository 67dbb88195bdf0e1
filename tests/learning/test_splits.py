"""Splits: reproducible, by blocks, and stable when labels are added."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiida_haml.learning.splits import PARTS, split_segments

lengths = st.dictionaries(st.text("abc_01", min_size=1, max_size=6), st.integers(1, 40), min_size=1, max_size=6).filter(
    lambda d: sum(d.values()) >= 2
)
fractions = st.floats(0.0, 0.45)


@given(lengths, fractions, fractions, st.integers(0, 1000))
def test_every_frame_is_in_exactly_one_part(lengths, valid, held_out, seed):
    splits = split_segments(lengths, valid, held_out, seed)
    assert list(splits) == sorted(lengths)
    for label, split in splits.items():
        assert sorted(split.train + split.valid + split.held_out) == list(range(lengths[label]))
    assert any(s.train for s in splits.values())
    assert any(s.valid for s in splits.values())


@given(lengths, fractions, fractions, st.integers(0, 1000))
def test_the_order_of_the_labels_does_not_matter(lengths, valid, held_out, seed):
    turned = dict(reversed(lengths.items()))
    assert split_segments(lengths, valid, held_out, seed) == split_segments(turned, valid, held_out, seed)


@given(lengths, fractions, st.integers(0, 1000))
def test_held_out_frames_stay_held_out_when_segments_join(lengths, held_out, seed):
    before = split_segments(lengths, 0.2, held_out, seed)
    after = split_segments({**lengths, "later": 17}, 0.2, held_out, seed)
    assert all(after[label].held_out == before[label].held_out for label in lengths)


@given(st.integers(2, 200), fractions, fractions, st.integers(0, 1000))
def test_validation_and_held_out_frames_are_blocks_in_time(length, valid, held_out, seed):
    split = split_segments({"burst_000": length}, valid, held_out, seed)["burst_000"]
    for part in (split.valid, split.held_out):
        assert list(part) == list(range(part[0], part[-1] + 1)) if part else True


def test_fractions_hold_on_average_over_short_segments():
    splits = split_segments({f"burst_{i:03d}": 5 for i in range(400)}, 0.15, 0.1, seed=3)
    shares = {part: sum(len(getattr(s, part)) for s in splits.values()) / 2000 for part in PARTS}
    assert shares["valid"] == pytest.approx(0.15, abs=0.02)
    assert shares["held_out"] == pytest.approx(0.1, abs=0.02)


def test_the_seed_changes_the_split():
    assert len({str(split_segments({"burst_000": 50}, seed=seed)) for seed in range(10)}) > 5


@pytest.mark.parametrize(
    ("lengths", "valid", "held_out", "message"),
    [
        ({"a": 1}, 0.1, 0.1, "at least 2"),
        ({"a": 10}, 0.6, 0.5, "leave nothing to train"),
        ({"a": 10}, -0.1, 0.1, "valid_fraction is -0.1"),
        ({"a": 0, "b": 5}, 0.1, 0.1, "frames of a is 0"),
    ],
)
def test_what_cannot_be_split_is_refused(lengths, valid, held_out, message):
    with pytest.raises(ValueError, match=message):
        split_segments(lengths, valid, held_out)
