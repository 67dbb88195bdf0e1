"""Diffusivities of known motions, drift, rattling anions."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
from ase import Atoms
from hypothesis import given, settings
from hypothesis import strategies as st

from aiida_haml.analysis.transport import (
    anion_spacing,
    anion_windows,
    diffusivity,
    displacements,
    evenly,
    join_windows,
    lindemann,
    lithium_ions,
    lithium_positions,
    lithium_transport,
    mean_squared_displacement,
)
from aiida_haml.frames import Frames
from aiida_haml.structures import crystals
from aiida_haml.structures.interface import METAL_SITE, SolidInterface, build_interface
from tests.analysis.motion import run, vibrations, walk

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


def test_diffusivities_are_given_in_square_centimetres_per_second():
    known = 3e-4  # Angstrom^2 / fs
    answer = lithium_transport(STEP * np.arange(500), walk(500, 40, known, STEP), np.arange(40) < 20)
    value, low, high = answer["li_diffusivity_cm2_s"]
    assert low < 3e-5 < high
    assert value == pytest.approx(3e-5, rel=0.3)
    assert str(answer["li_diffusivity_reason"]) == ""
    lag = answer["li_msd_lag"]
    assert answer["li_msd"].shape == answer["electrolyte_li_msd"].shape == lag.shape
    early = lag <= 1000
    np.testing.assert_allclose(answer["li_msd"][early], 6 * known * lag[early], rtol=0.3, atol=1e-9)


@pytest.mark.parametrize("n_frames", [1, 2, 5])
def test_a_few_frames_give_no_diffusivity_and_no_error(n_frames):
    answer = lithium_transport(STEP * np.arange(n_frames), np.zeros((n_frames, 3, 3)), np.zeros(3, dtype=bool))
    assert np.isnan(answer["li_diffusivity_cm2_s"]).any()
    assert str(answer["electrolyte_li_diffusivity_reason"]) == "no such lithium"


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
    kept = lithium_positions(frames, frames, 20.0)
    windows = anion_windows(frames, frames, 500.0)
    assert sum(v.nbytes for v in kept.values()) < 1_000 * 200 * 1.05
    assert sum(v.nbytes for v in windows.values()) < 1_000 * 200 * (1 if step == 2 else 7)
    assert np.diff(kept["lithium_time"]).min() >= 20


def test_lithium_ions_are_told_from_the_metal():
    argyrodite, metal = crystals.argyrodite(), crystals.lithium() * (3, 3, 2)
    assert lithium_ions(Frames.from_ase(argyrodite)).all()
    assert not lithium_ions(Frames.from_ase(metal)).any()
    for phase in ("Li2S", "Li2O", "Li2Se", "LiCl", "LiF"):
        assert lithium_ions(Frames.from_ase(crystals.reference_phase(phase) * (2, 2, 2))).all()


@pytest.mark.parametrize("layers", [2, 4])
def test_metal_in_contact_with_the_electrolyte_stays_metal(layers):
    atoms, _ = build_interface(crystals.argyrodite(), SolidInterface(layers=layers))
    electrolyte = atoms.arrays["sites"][atoms.numbers == 3] != METAL_SITE
    assert 0 < electrolyte.sum() < len(electrolyte)
    np.testing.assert_array_equal(lithium_ions(Frames.from_ase(atoms)), electrolyte)


def test_a_cation_among_molecules_is_an_ion_before_it_is_solvated():
    metal = crystals.lithium() * (3, 3, 3)
    height = metal.cell.lengths()[2]
    z = height + np.array([1.5, 3.0, 4.5, 6.0, 7.5])
    liquid = Atoms("CCLiCC", [[2.0, 2.0, h] for h in z])
    both = metal + liquid
    both.set_cell([*metal.cell.lengths()[:2], z[-1] + 2.0])
    assert np.flatnonzero(lithium_ions(Frames.from_ase(both))).tolist() == [len(metal)]


# -- rattling anions -------------------------------------------------------------------------------------


def test_neighbouring_anions_are_as_far_apart_as_in_the_crystal():
    sulfide = crystals.reference_phase("Li2S") * (2, 2, 2)
    a = 2.477 * 4 / 3**0.5
    assert anion_spacing(Frames.from_ase(sulfide)) == pytest.approx(a / 2**0.5, abs=0.01)
    assert np.isnan(anion_spacing(Frames.from_ase(crystals.lithium() * (3, 3, 3))))


@pytest.mark.parametrize("width", [0.1, 0.25])
def test_the_ratio_is_that_of_a_planted_vibration(width):
    atoms = crystals.argyrodite() * (2, 1, 1)
    frames = run(atoms, vibrations(1000, len(atoms), width, 0.0))
    answer = lindemann(anion_windows(frames, frames, 500.0), 4.0)
    assert len(answer["lindemann"]) == 4
    np.testing.assert_allclose(answer["lindemann"], width * 3**0.5 / 4.0, rtol=0.03)
    np.testing.assert_allclose(answer["lindemann_time"], [249, 749, 1249, 1749])


def test_a_crystal_that_changes_place_between_windows_does_not_rattle():
    atoms = crystals.argyrodite()
    moved = np.zeros((500, len(atoms), 3))
    moved[250:, atoms.numbers == 16] += 0.5
    windows = anion_windows(run(atoms, moved), run(atoms, moved[:1]), 500.0)
    np.testing.assert_allclose(lindemann(windows, 4.0)["lindemann"], 0, atol=1e-5)


def test_windows_of_few_frames_say_nothing():
    atoms = crystals.argyrodite()
    frames = run(atoms, vibrations(280, len(atoms), 0.1, 0.0))
    assert np.isnan(lindemann(anion_windows(frames, frames, 500.0), 4.0)["lindemann"]).tolist() == [False, True]


def test_a_liquid_has_no_sites_to_rattle_about():
    atoms = Atoms("HFLiO", np.eye(4, 3) * 5, cell=[9, 9, 9], pbc=True)
    frames = run(atoms, np.zeros((100, 4, 3)))
    assert lindemann(anion_windows(frames, frames, 500.0), anion_spacing(frames)) == {}


@given(cuts=st.lists(st.integers(1, 599), max_size=5, unique=True))
@settings(max_examples=25, deadline=None)
def test_windows_cut_anywhere_are_joined_whole(cuts):
    atoms = crystals.reference_phase("Li2S") * (2, 1, 1)
    frames = run(atoms, vibrations(600, len(atoms), 0.2, 20.0) + walk(600, len(atoms), 1e-4, 2.0))
    edges = [0, *sorted(cuts), 600]
    parts = [anion_windows(frames[a:b], frames[0], 500.0) for a, b in itertools.pairwise(edges)]
    joined, whole = join_windows(parts), anion_windows(frames, frames[0], 500.0)
    assert joined["window_frames"].tolist() == whole["window_frames"].tolist()
    for name, values in whole.items():
        np.testing.assert_allclose(joined[name], values, atol=2e-6, err_msg=name)


def test_frames_without_times_are_refused():
    frames = replace(run(crystals.argyrodite(), np.zeros((3, 52, 3))), times=None)
    with pytest.raises(ValueError, match="times is missing"):
        lithium_positions(frames, frames, 20.0)
    with pytest.raises(ValueError, match="times is missing"):
        anion_windows(frames, frames, 500.0)
