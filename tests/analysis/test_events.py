"""Planted reactions are found once, at their time and place; vibrations are not reactions."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import molecule
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from aiida_haml.analysis.chemistry.bonds import BondTracker
from aiida_haml.analysis.chemistry.events import EventLog, broken_until, pair_name
from aiida_haml.frames import Frames
from aiida_haml.structures import crystals
from tests.analysis.motion import pair, run, stretched, vibrations


def events_of(frames, persist=100.0, previous=None):
    tracker, log = BondTracker(frames.numbers), EventLog(frames.numbers, persist)
    if previous is not None:
        for block in tracker.follow(previous):
            log.add(block, previous)
        log.clear()
    for block in tracker.follow(frames):
        log.add(block, frames)
    return log.arrays()


def test_a_bond_stretched_away_is_found_once_at_its_time():
    frames, phosphorus, sulfur = stretched()
    found = events_of(frames)
    broken = [k for k, name in enumerate(found["events_pair"]) if name == "P-S" and not found["events_formed"][k]]
    assert len(broken) == 1
    assert found["events_time"][broken[0]] == frames.times[60]
    assert sorted(found["events_atoms"][broken[0]]) == sorted([phosphorus, sulfur])
    assert broken_until(found, frames.times).tolist() == [0.0] * 60 + [1.0] * 140


def test_a_vibrating_crystal_has_no_events():
    atoms = crystals.argyrodite()
    found = events_of(run(atoms, vibrations(300, len(atoms), 0.12, 10.0)))
    assert len(found["events_time"]) == 0
    assert found["events_atoms"].shape == (0, 2)


def test_a_bond_that_opens_for_less_than_the_stated_time_is_no_event():
    opened = np.full(200, 2.05)
    opened[50:90] = 3.2  # 80 fs
    assert len(events_of(pair("PS", opened))["events_time"]) == 0
    both = events_of(pair("PS", opened), persist=40.0)
    assert both["events_time"].tolist() == [100.0, 180.0]
    assert both["events_formed"].tolist() == [False, True]


def test_a_flickering_bond_is_no_event_until_it_stays_broken():
    distances = np.full(400, 2.05)
    for k in range(20):
        distances[10 * k + 5 : 10 * k + 10] = 3.2
    distances[300:] = 3.2
    found = events_of(pair("PS", distances))
    assert found["events_time"].tolist() == [600.0]


def test_what_the_end_leaves_undecided_is_no_event():
    distances = np.full(100, 2.05)
    distances[60:] = 3.2  # 78 fs
    assert len(events_of(pair("PS", distances))["events_time"]) == 0


def test_a_single_frame_never_lasts():
    distances = np.full(10, 2.05)
    distances[5] = 3.2
    frames = pair("PS", distances)
    sparse = Frames(frames.numbers, frames.positions, frames.cells, frames.pbc, times=np.arange(10) * 500.0)
    assert len(events_of(sparse)["events_time"]) == 0


@given(cut=st.integers(1, 398), persist=st.sampled_from([20.0, 60.0, 100.0]))
@settings(max_examples=25, deadline=None)
def test_batches_find_what_the_whole_finds_and_nothing_twice(cut, persist):
    rng = np.random.default_rng(5)
    lengths = rng.geometric(1 / 25, 60)  # frames that the bond stays short, long or between
    frames = pair("PS", np.repeat(rng.choice([2.05, 2.6, 3.2], 60), lengths)[:400])
    whole = events_of(frames, persist)
    ahead = frames[max(0, cut - 150) : cut]  # 300 fs
    first, second = events_of(frames[:cut], persist), events_of(frames[cut:], persist, previous=ahead)
    assert len(whole["events_time"]) > (0 if persist > 60 else 2)
    for name, values in whole.items():
        assert np.concatenate([first[name], second[name]]).tolist() == values.tolist(), name


@given(seed=st.integers(0, 10**6))
@settings(max_examples=10, deadline=None)
def test_events_do_not_depend_on_how_the_cell_is_held(seed):
    frames, _, _ = stretched(n_frames=120)
    turn = Rotation.random(random_state=seed).as_matrix()
    held = Frames(frames.numbers, frames.positions @ turn, frames.cells @ turn, frames.pbc, times=frames.times)
    expected, found = events_of(frames), events_of(held)
    assert len(expected["events_time"]) > 0
    np.testing.assert_allclose(found["events_z"], expected["events_z"], atol=1e-9)
    np.testing.assert_array_equal(found["events_atoms"], expected["events_atoms"])


@pytest.mark.parametrize(("height", "share"), [(5.0, 0.25), (19.9, 0.995), (20.0 * 3 + 5.0, 0.25)])
def test_the_place_of_an_event_is_a_share_of_the_cell(height, share):
    distances = np.full(200, 2.05)
    distances[50:] = 3.2
    assert events_of(pair("PS", distances, height))["events_z"] == pytest.approx(share)


def test_a_bond_across_the_wall_has_its_middle_there():
    atoms = Atoms("PS", [[5, 5, 19.5], [5, 5, 0.5]], cell=[20, 20, 20], pbc=True)
    moved = np.zeros((200, 2, 3))
    moved[50:, 0, 2], moved[50:, 1, 2] = -2.0, 2.0
    z = events_of(run(atoms, moved))["events_z"]
    assert min(z[0], 1 - z[0]) == pytest.approx(0, abs=1e-9)


def test_lithium_makes_no_events_and_a_hydrogen_moves_with_two():
    ether = molecule("CH3OCH3")
    hydrogen = int(np.flatnonzero(ether.symbols == "H")[0])
    atoms = ether + Atoms("OLi", [[6.0, 0, 0], [7.5, 0, 0]])
    atoms.set_cell([20, 20, 20])
    atoms.pbc = True
    moved = np.zeros((200, len(atoms), 3))
    moved[80:, hydrogen] = atoms.positions[len(ether)] + [0, 0.97, 0] - atoms.positions[hydrogen]
    moved[80:, -1] = [5.0, 0, 0]
    found = events_of(run(atoms, moved))
    assert sorted(zip(found["events_pair"].tolist(), found["events_formed"].tolist(), strict=True)) == [
        ("C-H", False),
        ("H-O", True),
    ]


def test_pairs_are_named_as_chemists_do():
    assert [pair_name(*p) for p in ["SP", "OC", "FS", "OH", "PP", ("Cl", "P")]] == [
        "P-S", "C-O", "S-F", "H-O", "P-P", "P-Cl",
    ]  # fmt: skip


def test_frames_without_times_are_refused():
    frames = pair("PS", np.full(5, 2.05))
    bare = Frames(frames.numbers, frames.positions, frames.cells, frames.pbc)
    with pytest.raises(ValueError, match="times is missing"):
        events_of(bare)
