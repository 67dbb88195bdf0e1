"""The stretch as a job: what it refuses, what it writes, and what a real run gives back."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from aiida import orm
from aiida.engine import run_get_node
from aiida.plugins import CalculationFactory
from ase.build import bulk

from aiida_haml.data.frames import FramesData
from aiida_haml.data.potential import PotentialData
from aiida_haml.frames import Frames, maxwell_boltzmann
from tests.models import tiny_mace

MD = {
    "steps": 20,
    "timestep_fs": 1.0,
    "temperature_K": 300.0,
    "thermostat_time_fs": 50.0,
    "seed": 3,
    "save_every": 5,
}


@pytest.fixture(scope="session")
def model_files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    return [tiny_mace(folder / f"{seed}.model", ["Li", "Cl"], seed) for seed in range(2)]


@pytest.fixture
def potential(aiida_profile, model_files):
    node = PotentialData.from_files(model_files, ["Li", "Cl"], cutoff=4.0, precision="float64").store()
    node.trust()
    return node


def salt(skewed: bool = False) -> Frames:
    """Sixteen atoms of rattled LiCl at 120 fs, some of them outside the cell."""
    atoms = bulk("LiCl", "rocksalt", a=5.13, cubic=True) * (2, 1, 1)
    if skewed:
        atoms.set_cell(atoms.cell.array + np.array([[0, 0.4, 0.2], [0.3, 0, 0.1], [0.5, -0.3, 0]]), scale_atoms=True)
        atoms.rotate(37.0, (1.0, 2.0, 0.5), rotate_cell=True)
    atoms.rattle(0.05, seed=1)
    atoms.positions[0] -= 2 * atoms.cell[0]
    atoms.positions[5] += atoms.cell[2]
    atoms.info["time"] = 120.0
    frames = Frames.from_ase(atoms)
    return dataclasses.replace(frames, velocities=maxwell_boltzmann(frames.masses, 300.0, seed=1)[None])


@pytest.fixture
def inputs(lammps_code, potential):
    return {
        "code": lammps_code,
        "initial": FramesData(salt(), kind="burst").store(),
        "potential": potential,
        "md": orm.Dict(MD),
        "watch": orm.Dict({"every": 5, "max_deviation": 50.0, "max_temperature_K": 5000.0}),
    }


def refuse(inputs) -> str:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the message is what the tests look at
        run_get_node(CalculationFactory("haml.lammps"), **inputs)
    return str(caught.value)


@pytest.mark.parametrize(
    ("name", "value", "part"),
    [
        ("steps", 0, "`steps` is 0"),
        ("timestep_fs", -1.0, "`timestep_fs` is -1.0"),
        ("save_every", 2.5, "save_every is 2.5"),
        ("save_evry", 3, "save_evry are unknown"),
        ("timestep_fs", 50.0, "above 5 fs"),
    ],
)
def test_bad_dynamics_are_refused(inputs, name, value, part):
    assert part in refuse({**inputs, "md": orm.Dict({**MD, name: value})})


@pytest.mark.parametrize(
    ("watch", "part"), [({"every": 0}, "every is 0"), ({"max_deviaton": 1.0}, "did you mean max_deviation")]
)
def test_bad_watches_are_refused(inputs, watch, part):
    assert part in refuse({**inputs, "watch": orm.Dict(watch)})


def test_elements_unknown_to_the_potential_are_refused(inputs):
    frames = salt()
    numbers = frames.numbers.copy()
    numbers[0] = 8
    other = FramesData(dataclasses.replace(frames, numbers=numbers), kind="burst").store()
    assert "hold O" in refuse({**inputs, "initial": other})


def test_an_untrusted_potential_is_refused(inputs, tmp_path):
    path = tiny_mace(tmp_path / "foreign.model", ["Li", "Cl"], seed=77)
    foreign = PotentialData.from_files([path], ["Li", "Cl"], cutoff=4.0, precision="float64").store()
    assert "is code that runs" in refuse({**inputs, "potential": foreign})


def test_a_deviation_needs_a_committee(inputs, model_files):
    single = PotentialData.from_files(model_files[:1], ["Li", "Cl"], cutoff=4.0, precision="float64").store()
    single.trust()
    assert "only one" in refuse({**inputs, "potential": single})


def test_untrusted_frames_and_open_boundaries_are_refused(inputs):
    tail = FramesData(salt(), kind="untrusted").store()
    assert "untrusted tail" in refuse({**inputs, "initial": tail})
    slab = FramesData(dataclasses.replace(salt(), pbc=np.array([True, True, False])), kind="burst").store()
    assert "make all directions periodic" in refuse({**inputs, "initial": slab})


def test_unknown_settings_are_refused(inputs):
    assert "cmdlne is unknown" in refuse({**inputs, "settings": orm.Dict({"cmdlne": []})})


@pytest.mark.engine
def test_a_stretch_carries_on_exactly_where_the_burst_ended(inputs):
    results, node = run_get_node(CalculationFactory("haml.lammps"), **inputs)
    assert node.is_finished_ok, node.exit_message
    frames, start = results["frames"].frames, salt()
    assert results["frames"].kind == "stretch"
    assert "untrusted" not in results
    np.testing.assert_allclose(frames.times, 120.0 + np.arange(0, 21, 5))
    np.testing.assert_allclose(frames.positions[0], start.positions[0], atol=1e-11, rtol=0)
    np.testing.assert_allclose(frames.velocities[0], start.velocities[0], atol=1e-15, rtol=0)
    assert np.isfinite(frames.deviations).all()
    parameters = results["output_parameters"].get_dict()
    assert parameters["stopped_by"] is None
    assert parameters["steps_done"] == parameters["trusted_steps"] == 20
    assert parameters["seconds_per_step"] > 0
    assert abs(parameters["conserved_drift_eV_per_atom_per_ps"]) < 0.05


@pytest.mark.engine
def test_energies_and_forces_of_a_skewed_rotated_cell_are_those_of_ase(inputs, model_files):
    from mace.calculators import MACECalculator

    initial = FramesData(salt(skewed=True), kind="burst").store()
    results, _ = run_get_node(CalculationFactory("haml.lammps"), **{**inputs, "initial": initial})
    frames = results["frames"].frames
    np.testing.assert_allclose(frames.positions[0], initial.frames.positions[0], atol=1e-11, rtol=0)
    calculator = MACECalculator(model_paths=[str(model_files[0])], device="cpu", default_dtype="float64")
    for atoms, frame in zip(frames.to_ase(), frames, strict=True):
        atoms.calc = calculator
        np.testing.assert_allclose(frame.forces[0], atoms.get_forces(), atol=1e-8, rtol=0)
        assert frame.energies[0] == pytest.approx(atoms.get_potential_energy(), abs=1e-9)


@pytest.mark.engine
def test_velocities_are_drawn_from_the_seed_where_there_are_none(inputs):
    bare = FramesData(dataclasses.replace(salt(), velocities=None), kind="structure").store()
    results, _ = run_get_node(CalculationFactory("haml.lammps"), **{**inputs, "initial": bare})
    assert results["frames"].frames.temperatures()[0] == pytest.approx(300.0, rel=1e-6)


@pytest.mark.engine
def test_a_breach_keeps_the_trusted_frames_and_sets_the_tail_apart(inputs):
    md = orm.Dict({**MD, "steps": 200, "save_every": 2, "temperature_K": 3000.0, "thermostat_time_fs": 5.0})
    watch = orm.Dict({"every": 10, "max_temperature_K": 1000.0})
    results, node = run_get_node(CalculationFactory("haml.lammps"), **{**inputs, "md": md, "watch": watch})
    assert node.is_finished_ok
    parameters = results["output_parameters"].get_dict()
    assert parameters["stopped_by"] == "temperature"
    breach = parameters["stopped_at_step"]
    assert parameters["trusted_steps"] == breach - 10
    assert results["frames"].frames.times[-1] == pytest.approx(120.0 + breach - 10)
    tail = results["untrusted"]
    assert tail.kind == "untrusted"
    assert tail.frames.times[0] == pytest.approx(120.0 + breach - 8)
    assert tail.frames.times[-1] == pytest.approx(120.0 + breach)


@pytest.mark.engine
def test_equal_inputs_are_served_from_the_cache(inputs):
    from aiida.manage.caching import enable_caching

    run_get_node(CalculationFactory("haml.lammps"), **inputs)
    with enable_caching():
        _, second = run_get_node(CalculationFactory("haml.lammps"), **inputs)
    assert second.base.caching.is_created_from_cache


def test_the_plan_names_every_member_with_its_hash(inputs, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # a dry run writes into the current folder
    builder = CalculationFactory("haml.lammps").get_builder()
    builder.update(inputs)
    builder.metadata.dry_run = True
    builder.metadata.store_provenance = False
    _, node = run_get_node(builder)
    folder = Path(node.dry_run_info["folder"])
    plan = json.loads((folder / "watch.json").read_text())
    assert list(plan["models"].values()) == inputs["potential"].sha256
    assert plan["last_step"] == MD["steps"]
    deck = (folder / "input.in").read_text()
    assert "pair_style mliap unified member_0.model 0" in deck
    assert "pair_coeff * * Cl Li" in deck
