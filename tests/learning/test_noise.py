"""Forces of a level of theory that do not add up to nothing."""

import dataclasses

import numpy as np
import pytest

from aiida_haml.learning.noise import force_noise, noise_complaint
from tests.labels import emt_frames


@pytest.mark.parametrize("planted", [0.02, 0.3])
def test_the_error_of_forces_is_read_from_their_sum(planted):
    run = emt_frames(40)
    noise = planted * np.random.default_rng(3).normal(size=run.forces.shape)
    assert force_noise(run) == pytest.approx(0, abs=1e-10)
    assert force_noise(dataclasses.replace(run, forces=run.forces + noise)) == pytest.approx(planted, rel=0.2)


def test_one_exploded_frame_does_not_speak_for_all():
    run = emt_frames(5)
    forces = run.forces.copy()
    forces[2] += 50.0
    assert force_noise(dataclasses.replace(run, forces=forces)) == pytest.approx(0, abs=1e-10)


def test_a_single_atom_and_frames_without_forces_say_nothing():
    run = emt_frames(2)
    alone = dataclasses.replace(
        run[:1],
        numbers=run.numbers[:1],
        positions=run.positions[:1, :1],
        forces=run.forces[:1, :1] + 1,
        velocities=None,
    )
    assert force_noise(alone) is None
    assert force_noise(dataclasses.replace(run, forces=None)) is None


def test_what_a_grid_of_250_ry_leaves_is_refused_and_of_400_ry_is_not():
    """Real CP2K, PBE, 68 atoms of Li | Li6PS5Cl: net forces of 0.5 to 3 eV/Å, and of 0.03 to 0.04."""
    assert "Raise the cutoff" in noise_complaint(1.9 / np.sqrt(3 * 68))
    assert noise_complaint(0.038 / np.sqrt(3 * 68)) is None
    assert noise_complaint(None) is None
