"""Batches of a trajectory and the whole of it."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aiida_haml.analysis.balance.cell import built_cell
from aiida_haml.analysis.balance.states import anion_bonds
from aiida_haml.analysis.chemistry.batch import ATOMIC, chemistry, chemistry_names, join_chemistry
from aiida_haml.analysis.segments import choose
from aiida_haml.analysis.settings import DescriptionSettings
from aiida_haml.frames import Frames
from aiida_haml.structures import crystals
from tests.analysis.motion import run, stretched, vibrations, walk
from tests.library import reference

#: Lithium kept at each frame, so that batches cut between two strides keep the same.
SETTINGS = DescriptionSettings(transport_every_fs=4.0)
NORMAL = np.array([0.0, 0.0, 1.0])


def described(frames, previous=None, origin=None, settings_=SETTINGS):
    """Return the chemistry of a batch of a trajectory that begins as it was built."""
    start = (frames if origin is None else origin)[0]
    built = built_cell(start, anion_bonds(start, settings_.hysteresis))
    return chemistry(frames, start, previous, built, settings_)


def joined(*parts):
    """Join batches as they are stored: what says of each atom where it stands is not."""
    kept = [{name: values for name, values in part.items() if name not in ATOMIC} for part in parts]
    return join_chemistry(kept, NORMAL, 0.0)


def reacting(n_frames=400, step=4.0):
    """A crystal that melts slowly: bonds break, lithium diffuses, the whole drifts."""
    atoms = crystals.argyrodite()
    fast = np.where(atoms.numbers == 3, 1.0, 0.4)[None, :, None]
    moved = walk(n_frames, len(atoms), 4e-4, step, 1) * fast + vibrations(n_frames, len(atoms), 0.08, 5.0, 2)
    return run(atoms, moved + np.linspace(0, 3, n_frames)[:, None, None], step)


FRAMES = reacting()
WHOLE = joined(described(FRAMES))


def test_the_planted_melt_reacts():
    assert WHOLE["ps4_fraction"][0] == 1
    assert WHOLE["ps4_fraction"][-1] < 1
    assert WHOLE["broken_bonds"][-1] == np.count_nonzero(~WHOLE["events_formed"]) > 2
    assert len(WHOLE["fragments"]) > 0
    assert np.all(np.diff(WHOLE["events_time"]) >= 0)


def joined_in_batches(cuts, ahead):
    edges = [0, *sorted(cuts), 400]
    ends = itertools.pairwise(edges)
    return joined(*(described(FRAMES[a:b], FRAMES[max(0, a - ahead) : a] if a else None, FRAMES) for a, b in ends))


@given(cuts=st.lists(st.integers(1, 399), min_size=1, max_size=3, unique=True))
@settings(max_examples=10, deadline=None)
def test_batches_cut_anywhere_give_what_the_whole_gives(cuts):
    found = joined_in_batches(cuts, ahead=400)
    assert found.keys() == WHOLE.keys()
    for name, values in WHOLE.items():
        if values.dtype.kind in "US":
            assert found[name].tolist() == values.tolist(), name
        else:
            np.testing.assert_allclose(found[name], values, rtol=1e-5, atol=1e-5, err_msg=name)


def test_300_fs_ahead_are_almost_as_good_as_all_of_it():
    # In a walk without restoring force bonds linger near their cutoff as no vibration does.
    found = joined_in_batches([90, 170, 260, 330], ahead=75)
    assert abs(len(found["events_time"]) - len(WHOLE["events_time"])) <= 1
    for name in ("ps4_fraction", "li_anion_coordination", "p_bond_order_state"):
        assert np.abs(found[name] - WHOLE[name]).mean() < 0.02, name


def test_other_arrays_beside_those_of_the_chemistry_are_left_alone():
    part = described(FRAMES[:50])
    assert chemistry_names(part) == set(part) - set(ATOMIC)
    again = joined(part | {"ladder": np.zeros((50, 3))})
    assert "ladder" not in again
    assert not any(name.startswith("partial_") for name in again)


def test_parts_are_plain_arrays_that_can_be_stored(tmp_path):
    part = described(FRAMES[:50])
    for name, values in part.items():
        np.save(tmp_path / f"{name}.npy", values, allow_pickle=False)
    read = {name: np.load(tmp_path / f"{name}.npy", allow_pickle=False) for name in part}
    again, once = joined(read), joined(part)
    for name, values in once.items():
        np.testing.assert_array_equal(again[name], values, err_msg=name)


@pytest.mark.parametrize("atoms", [crystals.lithium() * (3, 3, 3), reference("LiF") * (2, 2, 2)])
def test_any_cell_can_be_described(atoms):
    frames = run(atoms, vibrations(20, len(atoms), 0.05, 5.0))
    found = joined(described(frames))
    assert np.isnan(found["ps4_fraction"]).all()
    assert found["broken_bonds"].tolist() == [0] * 20
    assert "intact_molecules" not in found
    assert str(found["li_diffusivity_plane_reason"]) != ""


def test_a_cell_without_lithium_can_be_described():
    atoms = crystals.argyrodite()
    atoms = atoms[atoms.numbers != 3]
    found = joined(described(run(atoms, np.zeros((20, len(atoms), 3)))))
    assert str(found["li_diffusivity_plane_reason"]) == "no such lithium"
    assert np.isnan(found["li_anion_coordination"]).all()


def test_frames_without_times_are_refused():
    bare: Frames = replace(FRAMES[:5], times=None)
    with pytest.raises(ValueError, match="times is missing"):
        described(bare)


@pytest.mark.parametrize(("name", "value"), [("hysteresis", 0.5), ("persist_fs", 0), ("transport_every_fs", -1.0)])
def test_settings_that_make_no_sense_are_refused(name, value):
    with pytest.raises(ValueError, match=name):
        DescriptionSettings(**{name: value})


@pytest.mark.parametrize("broken_by", [26, 27, 29, 30, 31])
def test_a_bond_that_breaks_where_two_batches_meet_is_an_event_at_the_longest_stride(broken_by):
    """Frames are described 500 fs apart and batches meet at 3 ps: a memory of a fixed time would forget the bond."""
    frames, *_ = stretched(break_at=broken_by, n_frames=61, step_fs=100.0)
    chosen = DescriptionSettings(every_fs=500.0)
    pieces = choose({"first": frames[:31], "second": frames[30:]}, {}, chosen.every_fs, chosen.memory_fs)
    found = joined(*(described(piece.frames, piece.before, frames, chosen) for piece in pieces))
    pairs = found["events_pair"][~found["events_formed"]].tolist()
    assert pairs == ["P-S"]
    assert 0 <= found["events_time"][0] - 100.0 * broken_by <= 500


def test_windows_of_the_longest_stride_hold_enough_frames_for_the_instability():
    frames = run(crystals.argyrodite(), vibrations(90, 52, 0.1, 2.0), 500.0)
    found = joined(described(frames, settings_=DescriptionSettings(every_fs=500.0)))
    assert np.isfinite(found["lindemann"]).sum() >= 4


def test_anions_of_no_unit_react_with_the_units_around_them():
    """S2- and Cl- have no bond to break: where every PS4 is broken, no anion is left to measure the host by."""
    atoms = crystals.argyrodite()
    moved = vibrations(60, len(atoms), 0.05, 5.0)
    intact = joined(described(run(atoms, moved, 20.0)))["lindemann"]
    assert np.isfinite(intact[:2]).all()
    moved[20:, atoms.numbers == 15, 2] += 5.0
    torn = joined(described(run(atoms, moved, 20.0)))["lindemann"]
    assert np.isnan(torn).all()
