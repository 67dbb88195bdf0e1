"""Diffusivities of known motions, drift, rattling anions."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
from ase import Atoms
from hypothesis import given, settings
from hypothesis import strategies as st

from aiida_haml.analysis.chemistry.lithium import (
    diffusivity,
    evenly,
    lithium_positions,
    lithium_transport,
    mean_squared_displacement,
)
from aiida_haml.analysis.chemistry.rattling import anion_spacing, anion_windows, displacements, join_windows, lindemann
from aiida_haml.frames import Frames
from aiida_haml.structures import crystals
from tests.analysis.motion import run, vibrations, walk
from tests.library import reference

STEP = 20.0


# -- the mean squared displacement -----------------------------------------------------------------------


def test_the_mean_squared_displacement_is_that_over_all_origins_and_atoms():
    moved = walk(40, 70, 1e-3, STEP) + 100.0
    expected = [((moved[lag:] - moved[: 40 - lag]) ** 2).sum(axis=2).mean() for lag in range(40)]
    np.testing.assert_allclose(mean_squared_displacement(moved), expected, atol=1e-9)


def test_uneven_times_are_brought_to_equal_steps():
    times = np.array([0.0, 20, 40, 100, 120, 140, 200])
    step, even = evenly(times, np.multiply.outer(times, np.ones((2, 3))))
    assert step == 60
    np.testing.assert_allclose(even[:, 0, 0], [0, 60, 120, 180])


# -- diffusivity -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("known", "n_atoms"), [(3e-4, 24), (2e-3, 10)])
def test_the_interval_holds_the_diffusivity_of_a_random_walk(known, n_atoms):
    found = [diffusivity(STEP, walk(400, n_atoms, known, STEP, seed)) for seed in range(60)]
    assert sum(d.reason != "" for d in found) <= 2
    determined = [d for d in found if not d.reason]
    assert np.mean([d.low <= known <= d.high for d in determined]) >= 0.9
    values = np.array([d.value for d in determined])
    assert abs(values.mean() - known) < 4 * values.std() / np.sqrt(len(values))  # not biased
    assert np.mean([d.high - d.low for d in determined]) < known  # and it says something


def test_vibrations_do_not_bias_the_diffusivity():
    runs = [walk(1000, 20, 2e-4, STEP, seed) + vibrations(1000, 20, 0.2, 2.0, 100 + seed) for seed in range(10)]
    found = [diffusivity(STEP, moved) for moved in runs]
    assert np.mean([d.value for d in found]) == pytest.approx(2e-4, rel=0.05)
    assert sum(d.low < 2e-4 < d.high for d in found) >= 8


def test_a_harmonic_crystal_does_not_diffuse():
    found = diffusivity(STEP, vibrations(1000, 40, 0.25, 2.0))
    assert np.isnan(found.value)
    assert "at least 1 needed" in found.reason
    assert found.low == 0
    assert found.high < 2e-4


def test_hot_caged_atoms_do_not_diffuse_however_far_they_swing():
    found = diffusivity(STEP, vibrations(1000, 40, 1.0, 2.0))
    assert np.isnan(found.value)
    assert "to the power" in found.reason


def test_ballistic_motion_is_refused():
    velocities = np.random.default_rng(0).standard_normal((40, 3)) * 1e-3
    found = diffusivity(STEP, np.multiply.outer(STEP * np.arange(500), velocities))
    assert np.isnan(found.value)
    assert "to the power 2.00" in found.reason


def test_a_short_run_and_missing_lithium_are_refused_with_the_reason():
    assert "a fit needs" in diffusivity(STEP, walk(30, 40, 1e-2, STEP)).reason
    assert diffusivity(STEP, np.zeros((500, 0, 3))).reason == "no such lithium"


def test_plane_and_normal_are_told_apart_and_given_in_square_centimetres_per_second():
    """Lithium that moves in the plane alone has no diffusivity along the normal, whichever way that points."""
    known = 3e-4  # Angstrom^2 / fs
    normal = np.array([0.6, 0.0, 0.8])
    moved = walk(500, 40, known, STEP)
    moved -= np.multiply.outer(moved @ normal, normal)
    answer = lithium_transport(STEP * np.arange(500), moved, normal, consumed=0.0)
    value, low, high = answer["li_diffusivity_plane_cm2_s"]
    assert low < 3e-5 < high
    assert value == pytest.approx(3e-5, rel=0.3)
    assert np.isnan(answer["li_diffusivity_normal_cm2_s"][0])
    assert "at least 1 needed" in str(answer["li_diffusivity_normal_reason"])
    lag = answer["li_msd_lag"]
    early = lag <= 1000
    np.testing.assert_allclose(answer["li_msd_plane"][early], 4 * known * lag[early], rtol=0.3, atol=1e-9)


def test_a_drift_of_all_lithium_is_no_diffusion():
    drift = np.multiply.outer(np.arange(500), [0.0, 0.0, 0.05])[:, None] + np.zeros((500, 40, 3))
    answer = lithium_transport(STEP * np.arange(500), drift, np.array([0.0, 0.0, 1.0]), consumed=0.0)
    assert np.isnan(answer["li_diffusivity_normal_cm2_s"][0])


def test_nothing_is_said_of_diffusion_while_the_electrolyte_is_consumed():
    answer = lithium_transport(
        STEP * np.arange(500), walk(500, 40, 3e-4, STEP), np.array([0.0, 0.0, 1.0]), consumed=0.3
    )
    assert np.isnan(answer["li_diffusivity_plane_cm2_s"]).all()
    assert "30% of the electrolyte is consumed" in str(answer["li_diffusivity_plane_reason"])


@pytest.mark.parametrize("n_frames", [1, 2, 5])
def test_a_few_frames_give_no_diffusivity_and_no_error(n_frames):
    times, normal = STEP * np.arange(n_frames), np.array([0.0, 0.0, 1.0])
    assert np.isnan(lithium_transport(times, np.zeros((n_frames, 3, 3)), normal, 0.0)["li_diffusivity_plane_cm2_s"][0])
    none = lithium_transport(times, np.zeros((n_frames, 0, 3)), normal, 0.0)
    assert str(none["li_diffusivity_normal_reason"]) == "no such lithium"


# -- what a batch keeps ----------------------------------------------------------------------------------


def test_the_drift_of_the_framework_is_no_motion_of_lithium():
    atoms = crystals.argyrodite()
    moved = np.zeros((50, len(atoms), 3)) + np.multiply.outer(np.arange(50), [0.1, -0.2, 0.05])[:, None]
    frames = run(atoms, moved)
    lithium = np.flatnonzero(frames.numbers == 3)
    np.testing.assert_allclose(displacements(frames, frames, lithium), 0, atol=1e-9)
    moved[:, lithium, 0] += 1.0 * (np.arange(50) > 0)[:, None]
    np.testing.assert_allclose(
        displacements(run(atoms, moved), frames, lithium)[-1], [[1, 0, 0]] * len(lithium), atol=1e-9
    )


@pytest.mark.parametrize(("step", "repeat"), [(2.0, (1, 1, 1)), (50.0, (1, 1, 1)), (50.0, (2, 2, 2))])
def test_what_is_kept_stays_below_a_megabyte_for_a_thousand_frames(step, repeat):
    atoms = crystals.argyrodite() * repeat
    frames = run(atoms, np.zeros((200, len(atoms), 3)), step)
    kept = lithium_positions(frames, frames, np.flatnonzero(frames.numbers == 3), 20.0)
    windows = windows_of(frames)
    assert sum(v.nbytes for v in kept.values()) < 1_000 * 200 * 1.05
    assert sum(v.nbytes for v in windows.values()) < 1_000 * 200 * (1 if step == 2 else 7)
    assert np.diff(kept["lithium_time"]).min() >= 20


# -- rattling anions -------------------------------------------------------------------------------------


def windows_of(frames, origin=None):
    whole = np.ones((len(frames), frames.n_atoms), dtype=bool)
    return anion_windows(frames, frames if origin is None else origin, whole, 500.0)


def test_neighbouring_anions_are_as_far_apart_as_in_the_crystal():
    sulfide = reference("Li2S") * (2, 2, 2)
    a = 2.477 * 4 / 3**0.5
    assert anion_spacing(Frames.from_ase(sulfide)) == pytest.approx(a / 2**0.5, abs=0.01)
    assert np.isnan(anion_spacing(Frames.from_ase(crystals.lithium() * (3, 3, 3))))


@pytest.mark.parametrize("width", [0.1, 0.25])
def test_the_ratio_is_that_of_a_planted_vibration(width):
    atoms = crystals.argyrodite() * (2, 1, 1)
    frames = run(atoms, vibrations(1000, len(atoms), width, 0.0))
    answer = lindemann(windows_of(frames), 4.0)
    assert len(answer["lindemann"]) == 4
    np.testing.assert_allclose(answer["lindemann"], width * 3**0.5 / 4.0, rtol=0.03)
    np.testing.assert_allclose(answer["lindemann_time"], [249, 749, 1249, 1749])


def test_a_crystal_that_changes_place_between_windows_does_not_rattle():
    atoms = crystals.argyrodite()
    moved = np.zeros((500, len(atoms), 3))
    moved[250:, atoms.numbers == 16] += 0.5
    windows = windows_of(run(atoms, moved), run(atoms, moved[:1]))
    np.testing.assert_allclose(lindemann(windows, 4.0)["lindemann"], 0, atol=1e-5)


def test_anions_whose_unit_is_broken_do_not_count():
    """Half of the crystal has reacted, and what it turned into shakes three times as much."""
    atoms = crystals.argyrodite()
    reacted = atoms.positions[:, 2] > atoms.cell[2, 2] / 2
    moved = vibrations(250, len(atoms), 0.1, 0.0) * np.where(reacted, 3, 1)[None, :, None]
    frames = run(atoms, moved - moved[:1])
    whole = np.broadcast_to(~reacted, (250, len(atoms)))
    (ratio,) = lindemann(anion_windows(frames, frames, whole, 500.0), 4.0)["lindemann"]
    assert ratio == pytest.approx(0.1 * 3**0.5 / 4, rel=0.12)  # the drift that is taken off is that of all atoms
    (all_of_it,) = lindemann(windows_of(frames), 4.0)["lindemann"]
    assert all_of_it > 1.8 * ratio


def test_windows_of_few_frames_say_nothing():
    atoms = crystals.argyrodite()
    frames = run(atoms, vibrations(280, len(atoms), 0.1, 0.0))
    assert np.isnan(lindemann(windows_of(frames), 4.0)["lindemann"]).tolist() == [False, True]


def test_a_liquid_has_no_sites_to_rattle_about():
    atoms = Atoms("HFLiO", np.eye(4, 3) * 5, cell=[9, 9, 9], pbc=True)
    frames = run(atoms, np.zeros((100, 4, 3)))
    assert lindemann(windows_of(frames), anion_spacing(frames)) == {}


@given(cuts=st.lists(st.integers(1, 599), max_size=5, unique=True))
@settings(max_examples=25, deadline=None)
def test_windows_cut_anywhere_are_joined_whole(cuts):
    atoms = reference("Li2S") * (2, 1, 1)
    frames = run(atoms, vibrations(600, len(atoms), 0.2, 20.0) + walk(600, len(atoms), 1e-4, 2.0))
    edges = [0, *sorted(cuts), 600]
    parts = [windows_of(frames[a:b], frames[0]) for a, b in itertools.pairwise(edges)]
    joined, whole = join_windows(parts), windows_of(frames, frames[0])
    assert joined["window_frames"].tolist() == whole["window_frames"].tolist()
    for name, values in whole.items():
        np.testing.assert_allclose(joined[name], values, atol=2e-6, err_msg=name)


def test_frames_without_times_are_refused():
    frames = replace(run(crystals.argyrodite(), np.zeros((3, 52, 3))), times=None)
    with pytest.raises(ValueError, match="times is missing"):
        lithium_positions(frames, frames, np.arange(3), 20.0)
    with pytest.raises(ValueError, match="times is missing"):
        windows_of(frames)
