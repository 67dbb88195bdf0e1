"""Batches of a trajectory and the whole of it."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aiida_haml.analysis.chemistry import ChemistrySettings, chemistry, chemistry_names, join_chemistry
from aiida_haml.frames import Frames
from aiida_haml.structures import crystals
from tests.analysis.motion import run, vibrations, walk

#: Lithium kept at each frame, so that batches cut between two strides keep the same.
SETTINGS = ChemistrySettings(transport_every_fs=4.0)


def reacting(n_frames=400, step=4.0):
    """A crystal that melts slowly: bonds break, lithium diffuses, the whole drifts."""
    atoms = crystals.argyrodite()
    fast = np.where(atoms.numbers == 3, 1.0, 0.4)[None, :, None]
    moved = walk(n_frames, len(atoms), 4e-4, step, 1) * fast + vibrations(n_frames, len(atoms), 0.08, 5.0, 2)
    return run(atoms, moved + np.linspace(0, 3, n_frames)[:, None, None], step)


FRAMES = reacting()
WHOLE = join_chemistry([chemistry(FRAMES, FRAMES[0], None, SETTINGS)])


def test_the_planted_melt_reacts():
    assert WHOLE["ps4_fraction"][0] == 1
    assert WHOLE["ps4_fraction"][-1] < 1
    assert WHOLE["broken_bonds"][-1] == np.count_nonzero(~WHOLE["events_formed"]) > 2
    assert WHOLE["broken_atom_fraction"][-1] > WHOLE["broken_atom_fraction"][0] == 0
    assert len(WHOLE["fragments"]) > 0
    assert np.all(np.diff(WHOLE["events_time"]) >= 0)


def joined_in_batches(cuts, ahead):
    edges = [0, *sorted(cuts), 400]
    return join_chemistry([
        chemistry(FRAMES[a:b], FRAMES[0], FRAMES[max(0, a - ahead) : a] if a else None, SETTINGS)
        for a, b in itertools.pairwise(edges)
    ])  # fmt: skip


@given(cuts=st.lists(st.integers(1, 399), min_size=1, max_size=3, unique=True))
@settings(max_examples=10, deadline=None)
def test_batches_cut_anywhere_give_what_the_whole_gives(cuts):
    joined = joined_in_batches(cuts, ahead=400)
    assert joined.keys() == WHOLE.keys()
    for name, values in WHOLE.items():
        if values.dtype.kind in "US":
            assert joined[name].tolist() == values.tolist(), name
        else:
            np.testing.assert_allclose(joined[name], values, rtol=1e-5, atol=1e-5, err_msg=name)


def test_300_fs_ahead_are_almost_as_good_as_all_of_it():
    # In a walk without restoring force bonds linger near their cutoff as no vibration does.
    joined = joined_in_batches([90, 170, 260, 330], ahead=75)
    assert abs(len(joined["events_time"]) - len(WHOLE["events_time"])) <= 1
    for name in ("ps4_fraction", "li_anion_coordination", "free_chalcogen_fraction", "p_oxidation_state"):
        assert np.abs(joined[name] - WHOLE[name]).mean() < 0.02, name


def test_other_arrays_beside_those_of_the_chemistry_are_left_alone():
    part = chemistry(FRAMES[:50], FRAMES[0], None, SETTINGS)
    assert chemistry_names(part) == set(part)
    mixed = part | {"phase_fractions": np.zeros((50, 3))}
    assert chemistry_names(mixed) == set(part)
    assert "phase_fractions" not in join_chemistry([mixed])
    assert not any(name.startswith("partial_") for name in join_chemistry([mixed]))


def test_parts_are_plain_arrays_that_can_be_stored(tmp_path):
    part = chemistry(FRAMES[:50], FRAMES[0], None, SETTINGS)
    for name, values in part.items():
        np.save(tmp_path / f"{name}.npy", values, allow_pickle=False)
    read = {name: np.load(tmp_path / f"{name}.npy", allow_pickle=False) for name in part}
    again, once = join_chemistry([read]), join_chemistry([part])
    for name, values in once.items():
        np.testing.assert_array_equal(again[name], values, err_msg=name)


@pytest.mark.parametrize("atoms", [crystals.lithium() * (3, 3, 3), crystals.reference_phase("LiF") * (2, 2, 2)])
def test_any_cell_can_be_described(atoms):
    frames = run(atoms, vibrations(20, len(atoms), 0.05, 5.0))
    found = join_chemistry([chemistry(frames, frames[0])])
    assert np.isnan(found["ps4_fraction"]).all()
    assert found["broken_bonds"].tolist() == [0] * 20
    assert "intact_molecules" not in found
    assert str(found["li_diffusivity_reason"]) != ""


def test_a_cell_without_lithium_can_be_described():
    atoms = crystals.argyrodite()
    atoms = atoms[atoms.numbers != 3]
    found = join_chemistry([chemistry(frames := run(atoms, np.zeros((20, len(atoms), 3))), frames[0])])
    assert str(found["li_diffusivity_reason"]) == "no such lithium"
    assert np.isnan(found["li_anion_coordination"]).all()


def test_frames_without_times_are_refused():
    bare: Frames = replace(FRAMES[:5], times=None)
    with pytest.raises(ValueError, match="times is missing"):
        chemistry(bare, bare)


@pytest.mark.parametrize(("name", "value"), [("hysteresis", 0.5), ("persist_fs", 0), ("transport_every_fs", -1.0)])
def test_settings_that_make_no_sense_are_refused(name, value):
    with pytest.raises(ValueError, match=name):
        ChemistrySettings(**{name: value})
