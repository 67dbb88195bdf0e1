"""Parts of the pool: by content alone, blocks of a time line together, nothing counted twice."""

from collections import Counter
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aiida_haml.frames import Frames
from aiida_haml.learning.pool import BLOCK, PARTS, Labels, configuration_keys, enter


def dynamics(n_frames: int, seed: int = 0, n_atoms: int = 4, force: float = 1.0) -> Frames:
    """Frames of atoms that drift apart, 0.02 Å a frame, with forces of one length."""
    rng = np.random.default_rng(seed)
    walk = rng.uniform(0, 9, (1, n_atoms, 3)) + np.cumsum(rng.normal(0, 0.02, (n_frames, n_atoms, 3)), axis=0)
    return Frames(
        numbers=np.full(n_atoms, 3),
        positions=walk,
        cells=np.repeat(10.0 * np.eye(3)[None], n_frames, axis=0),
        pbc=np.ones(3, dtype=bool),
        energies=np.arange(n_frames, dtype=float),
        forces=np.full((n_frames, n_atoms, 3), force / np.sqrt(3)),
    )


def burst(n_frames: int, seed: int = 0) -> Labels:
    return Labels(dynamics(n_frames, seed), "burst", f"burst{seed}")


def probes(n_frames: int, seed: int = 100, force: float = 1.0) -> Labels:
    return Labels(dynamics(n_frames, seed, force=force), "probes", f"probes{seed}")


def parts(entries):
    return {entry.key: entry.part for entry in entries}


def test_a_part_follows_from_content_alone():
    """Not from the name, the round, or what else is there: two screens that meet a frame agree on it."""
    one = enter({"A__burst_0001": burst(90)}, round_=1)
    two = enter({"shared_0007": burst(90), "B__burst_0001": burst(25, 1)}, round_=9)
    assert parts(one).items() <= parts(two).items()


def test_a_burst_that_was_cut_short_keeps_its_parts():
    whole, cut = burst(90), burst(90)
    cut = replace(cut, frames=cut.frames[:63])
    assert parts(enter({"a": cut}, round_=1)).items() <= parts(enter({"a": whole}, round_=1)).items()


def test_consecutive_frames_stay_together_and_probes_do_not():
    entries = enter({"a__burst": burst(200), "a__probes": probes(200)}, round_=1)
    blocks = [{e.part for e in entries[i : i + BLOCK]} for i in range(0, 200, BLOCK)]
    assert all(len(block) == 1 for block in blocks)
    assert any(a.part != b.part for a, b in pairwise(entries[200:]))


def test_shares_hold_on_average():
    counted = Counter(entry.part for entry in enter({"probes": probes(3000)}, round_=1))
    assert counted["held_out"] / 3000 == pytest.approx(0.1, abs=0.02)
    assert counted["valid"] / 3000 == pytest.approx(0.1, abs=0.02)


def test_the_frame_that_a_burst_repeats_is_dropped_although_its_labels_differ_by_noise():
    first = burst(10)
    start = first.frames[-1]
    again = replace(
        start, energies=start.energies + 1e-4, forces=start.forces * 1.001, positions=start.positions + 3e-9
    )
    known = {e.key for e in enter({"a__burst_0000": first})}
    assert enter({"a__burst_0001": Labels(again, "burst", "x")}, known, 1) == []


def test_neighbouring_steps_of_dynamics_are_not_the_same():
    """Lithium at 300 K and 1 fs a step moves 6 mÅ; the slowest sampled here 2 mÅ."""
    frames = dynamics(2)
    small = replace(frames, positions=frames.positions[0] + np.array([0.0, 0.002])[:, None, None])
    assert len(set(configuration_keys(small))) == 2


def test_what_differs_in_atoms_cell_or_boundaries_differs():
    frames = dynamics(1)
    others = [
        replace(frames, numbers=frames.numbers + 8),
        replace(frames, cells=frames.cells * 1.001),
        replace(frames, pbc=np.array([True, True, False])),
    ]
    assert len({configuration_keys(f)[0] for f in [frames, *others]}) == 4


def test_frames_met_twice_in_one_round_count_once():
    entries = enter({"a__burst": burst(20), "b__burst": burst(20)}, round_=1)
    assert len(entries) == 20
    assert {entry.candidate for entry in entries} == {"a"}


def test_exploded_frames_serve_for_nothing():
    entries = enter({"a__burst": burst(10), "a__probes": probes(30, force=80.0)})
    assert {e.part for e in entries if e.kind == "probes"} == {"exploded"}


@settings(deadline=None)
@given(st.integers(0, 2**20), st.integers(2, 12), st.booleans(), st.integers(0, 3), st.integers(0, 1))
def test_each_candidate_trains_and_validates_on_what_it_brings(seed, length, single, n_probes, round_):
    labels = {"a__burst": burst(length, seed)} if single else {"a__probes": probes(length, seed)}
    if n_probes:
        labels["b__probes"] = probes(n_probes, seed + 1)
    entries = enter(labels, round_=round_)
    assert len(entries) == length + n_probes
    assert {entry.part for entry in entries} <= set(PARTS)
    for candidate in "ab":
        own = Counter(e.part for e in entries if e.candidate == candidate)
        if sum(own.values()) > 1:
            assert own["train"] > 0
            assert own["valid"] > 0


def test_what_is_held_out_stays_so_wherever_else_there_is_something_to_move():
    for seed in range(60):
        given = {"a__burst": burst(35, seed), "a__probes": probes(6, seed + 1000)}
        chance = [int(k, 16) / 16**16 for k in configuration_keys(given["a__probes"].frames)]
        entries = [e for e in enter(given) if e.kind == "probes"]
        assert all(e.part == "held_out" for e, c in zip(entries, chance, strict=True) if c < 0.1)


def test_a_pool_cannot_begin_with_less_than_two_frames():
    with pytest.raises(ValueError, match="There are 1 labels, fewer than 2"):
        enter({"a__burst": burst(1)})
    with pytest.raises(ValueError, match="There are 5 labels, fewer than 2"):
        enter({"a__probes": probes(5, force=60.0)})
    assert [e.part for e in enter({"a__probes": probes(1)}, round_=1)] != []


def test_frames_without_labels_are_refused_by_name():
    bare = replace(dynamics(3), energies=None, forces=None)
    with pytest.raises(ValueError, match="a__burst holds no energies"):
        enter({"a__burst": Labels(bare, "burst", "x")}, round_=1)
