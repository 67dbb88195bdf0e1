"""The frames node keeps what it was given, reads slices lazily, and hashes by content."""

from dataclasses import replace

import numpy as np
import pytest
from aiida import orm
from ase import units
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.md.velocitydistribution import MaxwellBoltzmannDistribution

from aiida_haml.data.frames import FramesData
from aiida_haml.frames import Frames, concatenate, maxwell_boltzmann
from aiida_haml.reading import read_extxyz


@pytest.fixture
def images():
    atoms = bulk("Cu", cubic=True).repeat(2)
    atoms.calc = EMT()
    rng = np.random.default_rng(1)
    frames = []
    for i in range(7):
        frame = atoms.copy()
        frame.calc = EMT()
        frame.positions += rng.normal(scale=0.05, size=frame.positions.shape)
        MaxwellBoltzmannDistribution(frame, temperature_K=300, rng=rng)
        frame.get_forces()
        frame.get_stress()
        frame.info["time"] = 2.0 * i
        frames.append(frame)
    return frames


def test_round_trip_through_ase_and_extxyz(aiida_profile, images, tmp_path):
    node = FramesData.from_ase(images, kind="burst", level_of_theory="emt").store()
    assert (len(node), node.n_atoms, node.elements, node.has_labels) == (7, 32, ["Cu"], True)
    node.to_extxyz(tmp_path / "frames.xyz")
    (again,) = read_extxyz(tmp_path / "frames.xyz")
    for name, array in node.frames.arrays().items():
        np.testing.assert_allclose(again.frames.arrays()[name], array, atol=2e-8, err_msg=name)


def test_slices_equal_the_whole(aiida_profile, images):
    node = FramesData.from_ase(images).store()
    whole = node.frames
    for index in (slice(0, 3), slice(2, 7, 2), -1, 4):
        expected = whole[index]
        for name, array in node.read(index).arrays().items():
            np.testing.assert_array_equal(array, expected.arrays()[name])
    with pytest.raises(IndexError):
        node.read(slice(9, 12))


def test_slices_of_packed_objects(aiida_profile, images):
    node = FramesData.from_ase(images).store()
    node.backend.get_repository().maintain(live=True)
    np.testing.assert_array_equal(node.read(slice(3, 5)).positions, node.frames.positions[3:5])


def test_arrays_of_equal_content_are_one_object_of_the_repository_and_both_are_read(aiida_profile, images):
    frames = replace(Frames.from_ase(images), velocities=np.zeros((7, 32, 3)), forces=np.zeros((7, 32, 3)))
    node = FramesData(frames, kind="burst").store()
    keys = {name: node.base.repository.get_object(f"{name}.npy").key for name in ("velocities", "forces")}
    assert keys["velocities"] == keys["forces"]
    read = node.read(slice(2, 5))
    assert read.forces.shape == read.velocities.shape == (3, 32, 3)
    np.testing.assert_array_equal(read.positions, frames.positions[2:5])


def test_same_content_same_hash(aiida_profile, images):
    first, second = (FramesData.from_ase(images, kind="burst", level_of_theory="a").store() for _ in range(2))
    assert first.base.caching.get_hash() == second.base.caching.get_hash()
    other = FramesData.from_ase(images, kind="burst", level_of_theory="b").store()
    assert other.base.caching.get_hash() != first.base.caching.get_hash()


def test_attributes_can_be_queried(aiida_profile, images):
    node = FramesData.from_ase(images, kind="burst", level_of_theory="queried").store()
    query = orm.QueryBuilder().append(FramesData, filters={"attributes.level_of_theory": "queried"})
    assert [n.pk for n in query.all(flat=True)] == [node.pk]


def test_unknown_kind_is_refused(aiida_profile, images):
    with pytest.raises(ValueError, match="'bursts'"):
        FramesData.from_ase(images, kind="bursts")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"positions": np.full((1, 2, 3), np.nan)}, "NaN"),
        ({"forces": np.zeros((1, 3, 3))}, "forces has shape"),
        ({"numbers": [3, 300]}, "unknown atomic numbers"),
        ({"positions": np.zeros((0, 2, 3)), "cells": np.zeros((0, 3, 3))}, "at least one frame"),
    ],
)
def test_broken_arrays_are_refused(change, message):
    arrays = {
        "numbers": [3, 3],
        "positions": np.zeros((1, 2, 3)),
        "cells": np.eye(3)[None],
        "pbc": True,
    } | change
    with pytest.raises(ValueError, match=message):
        Frames(**arrays)


def test_joining_drops_the_repeated_frame(images):
    whole = Frames.from_ase(images)
    joined = concatenate([whole[:4], whole[3:]])
    np.testing.assert_array_equal(joined.times, whole.times)
    np.testing.assert_array_equal(joined.positions, whole.positions)


def test_steps_of_a_long_trajectory_are_told_apart(images):
    """A tolerance that grows with the time would take steps of 1 fs for one another after 100 ps."""
    run = Frames.from_ase(images)
    times = 1e6 + np.arange(len(run))
    late = replace(run, times=times)
    assert concatenate([late[:4], late[4:]]).times.tolist() == times.tolist()


def test_a_relaxation_that_goes_on_keeps_its_joint_once(images):
    whole = replace(Frames.from_ase(images), times=None)
    joined = concatenate([whole[:4], whole[3:]])
    np.testing.assert_array_equal(joined.positions, whole.positions)
    moved = replace(whole[4:], positions=whole[4:].positions + 1e-5)
    assert len(concatenate([whole[:5], moved])) == len(whole) + 1, (
        "that atoms hardly move makes no frame another's copy"
    )


def test_drawn_velocities_have_the_temperature_and_no_drift():
    masses = np.array([6.94, 30.97, 32.06, 35.45] * 10)
    velocities = maxwell_boltzmann(masses, 450.0, seed=3)
    frames = Frames([3, 15, 16, 17] * 10, np.zeros((1, 40, 3)), np.eye(3)[None], True, velocities=velocities[None])
    assert np.isclose(frames.temperatures()[0], 450.0, rtol=1e-3)
    assert np.allclose((masses[:, None] * velocities).sum(axis=0), 0)
    assert np.array_equal(velocities, maxwell_boltzmann(masses, 450.0, seed=3))


def test_temperature_agrees_with_ase(images):
    frames = Frames.from_ase(images)
    expected = [2 * a.get_kinetic_energy() / ((3 * len(a) - 3) * units.kB) for a in images]
    np.testing.assert_allclose(frames.temperatures(), expected)


def test_the_pressure_of_an_ideal_gas_and_of_a_strained_crystal():
    """Without forces p V = N k T; at rest the pressure is minus the mean normal stress."""
    rng = np.random.default_rng(1)
    n, volume, temperature = 400, 20.0**3, 300.0
    velocities = maxwell_boltzmann(np.full(n, 39.948), temperature, 3)[None]
    gas = Frames(
        np.full(n, 18),
        rng.uniform(0, 20, (1, n, 3)),
        20.0 * np.eye(3)[None],
        np.ones(3, dtype=bool),
        velocities=velocities,
        energies=np.zeros(1),
        forces=np.zeros((1, n, 3)),
        stresses=np.zeros((1, 6)),
    )
    kinetic = gas.temperatures()[0] * (n - 1)
    assert gas.pressures()[0] == pytest.approx(kinetic * units.kB / volume / units.GPa, rel=1e-9)
    copper = bulk("Cu", cubic=True, a=3.5)
    copper.calc = EMT()
    copper.get_stress()
    squeezed = Frames.from_ase([copper])
    assert squeezed.pressures()[0] == pytest.approx(-copper.get_stress()[:3].mean() / units.GPa)
    assert squeezed.pressures()[0] > 1


# -- what is kept of a stretch ---------------------------------------------------------------------------------


def stretch(n=50, n_atoms=68):
    rng = np.random.default_rng(3)
    shape = (n, n_atoms, 3)
    return Frames(
        numbers=[3] * n_atoms,
        positions=rng.uniform(-30, 60, shape),  # not wrapped: some have gone far
        velocities=rng.normal(0, 0.01, shape),
        cells=np.tile(np.diag([9.9, 9.9, 40.0]), (n, 1, 1)),
        pbc=[True] * 3,
        times=1e6 + 0.5 * np.arange(n),  # a nanosecond on, where single precision would lose the step
        deviations=np.full(n, 0.1),
    )


def test_a_stretch_has_exact_ends_and_is_right_to_a_hundred_thousandth_between(aiida_profile):
    given = stretch()
    read = FramesData(given, kind="stretch").store().frames
    for name in ("positions", "velocities"):
        kept, true = getattr(read, name), getattr(given, name)
        np.testing.assert_array_equal(kept[[0, -1]], true[[0, -1]])
        np.testing.assert_allclose(kept, true, atol=1e-5, rtol=1e-6)
    np.testing.assert_array_equal(read.times, given.times)
    np.testing.assert_allclose(read.temperatures(), given.temperatures(), rtol=1e-6)


@pytest.mark.parametrize("part", [slice(None), slice(0, 7), slice(3, 20, 4), slice(40, None), slice(0, None, 49)])
def test_parts_of_a_stretch_equal_the_whole_of_it(aiida_profile, part):
    node = FramesData(stretch(), kind="stretch").store()
    np.testing.assert_array_equal(node.read(part).positions, node.frames.positions[part])
    np.testing.assert_array_equal(node.read(-1).velocities[0], node.frames.velocities[-1])


def test_a_job_reads_what_the_node_reads(aiida_profile, tmp_path):
    node = FramesData(stretch(), kind="untrusted").store()
    node.base.repository.copy_tree(tmp_path)
    for name, array in Frames.load(tmp_path).arrays().items():
        np.testing.assert_array_equal(array, node.frames.arrays()[name])


def test_a_frame_of_a_stretch_takes_less_than_three_thousand_bytes(aiida_profile):
    given, sizes = stretch(200), {}
    for kind in ("stretch", "burst"):
        node = FramesData(given, kind=kind).store()
        names = node.base.repository.list_object_names()
        sizes[kind] = sum(len(node.base.repository.get_object_content(name, "rb")) for name in names) / len(node)
    assert sizes["stretch"] < 1800 < 3000
    assert sizes["burst"] > 3300, "what is a label stays exact"
