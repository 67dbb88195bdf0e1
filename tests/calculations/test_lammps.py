"""The stretch as a job: what it refuses, what it writes, and what a real run gives back."""

import dataclasses
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from aiida import orm
from aiida.engine import run_get_node
from aiida.plugins import CalculationFactory
from ase.build import bulk

from aiida_haml.calculations.stretch_inputs import validate_settings
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


#: Exact to the last bits, which the tests of handovers look at.
EXACT = {"precision": "float64"}

#: A LAMMPS of another make: it runs the deck, and knows neither task nor checks.
BLIND = """#!/bin/sh
mv task.json hidden.json; {launcher} "$@"; mv hidden.json task.json; rm -f results.json
"""


@pytest.fixture
def blind_code(aiida_code_installed, tmp_path):
    """`haml-lammps` disguised as a LAMMPS binary."""
    script = tmp_path / "blind-lammps"
    script.write_text(BLIND.format(launcher=Path(sys.executable).parent / "haml-lammps"))
    script.chmod(0o755)
    return aiida_code_installed(
        label="blind-lammps", default_calc_job_plugin="haml.lammps", filepath_executable=str(script)
    )


#: A job that dies in the middle of its run.
KILLED = """#!/bin/sh
{launcher} "$@" & job=$!
until [ "$(stat -c %s checks.npy 2>/dev/null || echo 0)" -gt 3000 ]; do sleep 0.1; done
kill -{signal} $job; wait $job
"""


@pytest.fixture
def killed_code(aiida_code_installed, tmp_path):
    """Return a function that makes a `haml-lammps` which is sent a signal after some checks."""

    def make(signal):
        script = tmp_path / f"{signal}-lammps"
        script.write_text(KILLED.format(launcher=Path(sys.executable).parent / "haml-lammps", signal=signal))
        script.chmod(0o755)
        return aiida_code_installed(
            label=f"{signal}-lammps", default_calc_job_plugin="haml.lammps", filepath_executable=str(script)
        )

    return make


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


@pytest.mark.parametrize("name", ["x\nshell touch PWNED", "x y", "../x", "/tmp/x", "-x", "$x", "x&", ""])
def test_a_models_file_is_one_word_of_the_deck(inputs, name):
    assert f"The setting model_file is {name!r}" in refuse({**inputs, "settings": orm.Dict({"model_file": name})})


def test_a_models_file_may_be_a_converted_one(aiida_profile):
    assert validate_settings(orm.Dict({"model_file": "member_0.model-mliap_lammps.pt"}), None) is None


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
    results, _ = run_get_node(
        CalculationFactory("haml.lammps"), **{**inputs, "initial": initial, "settings": orm.Dict(EXACT)}
    )
    frames = results["frames"].frames
    np.testing.assert_allclose(frames.positions[0], initial.frames.positions[0], atol=1e-11, rtol=0)
    calculator = MACECalculator(model_paths=[str(model_files[0])], device="cpu", default_dtype="float64")
    for i, (atoms, frame) in enumerate(zip(frames.to_ase(), frames, strict=True)):
        atoms.calc = calculator
        rounded = 1.0 if i in (0, len(frames) - 1) else 1e3  # between its ends a stretch is kept in single precision
        np.testing.assert_allclose(frame.forces[0], atoms.get_forces(), atol=1e-8 * rounded, rtol=0)
        assert frame.energies[0] == pytest.approx(atoms.get_potential_energy(), abs=1e-9 * rounded)


@pytest.mark.engine
def test_velocities_are_drawn_from_the_seed_where_there_are_none(inputs):
    bare = FramesData(dataclasses.replace(salt(), velocities=None), kind="structure").store()
    results, _ = run_get_node(CalculationFactory("haml.lammps"), **{**inputs, "initial": bare})
    assert results["frames"].frames.temperatures()[0] == pytest.approx(300.0, rel=1e-6)


@pytest.mark.engine
def test_a_breach_gives_back_a_margin_and_sets_the_tail_apart(inputs):
    md = orm.Dict({**MD, "steps": 200, "save_every": 50, "temperature_K": 3000.0, "thermostat_time_fs": 20.0})
    watch = orm.Dict({"every": 2, "max_temperature_K": 1500.0, "margin_fs": 4.0})
    results, node = run_get_node(CalculationFactory("haml.lammps"), **{**inputs, "md": md, "watch": watch})
    assert node.is_finished_ok
    parameters = results["output_parameters"].get_dict()
    assert parameters["stopped_by"] == "temperature"
    breach, onset, trusted = (parameters[name] for name in ("stopped_at_step", "onset_step", "trusted_steps"))
    assert trusted == onset - 4 < breach, "no frame is lost between two saved ones"
    assert trusted % 50
    checks = results["checks"]
    temperatures = dict(zip(checks.get_array("step"), checks.get_array("temperature"), strict=True))
    soft = 0.5 * (1500 + temperatures[0])
    assert temperatures[onset] > soft >= temperatures[onset - 2]
    assert temperatures[breach] > 1500
    assert checks.get_array("pairs").tolist() == ["Cl-Cl", "Cl-Li", "Li-Li"]
    frames, tail = results["frames"].frames, results["untrusted"].frames
    assert frames.times[-1] == pytest.approx(120.0 + trusted)
    assert frames.temperatures()[-1] < soft
    assert set(frames.times[:-1]) <= {120.0, 170.0, 220.0}, "of the earlier checks no frames are kept"
    assert results["untrusted"].kind == "untrusted"
    assert tail.times[0] == pytest.approx(120.0 + trusted + 2)
    assert tail.times[-1] == pytest.approx(120.0 + breach)


@pytest.mark.engine
@pytest.mark.parametrize("signal", ["TERM", "KILL"])
def test_a_job_that_is_killed_keeps_all_that_was_checked(inputs, killed_code, signal):
    md = orm.Dict({**MD, "steps": 1_000_000, "save_every": 1000})
    results, node = run_get_node(CalculationFactory("haml.lammps"), **{**inputs, "md": md, "code": killed_code(signal)})
    assert node.exit_status == {"TERM": 400, "KILL": 401}[signal]
    parameters = results["output_parameters"].get_dict()
    assert parameters["stopped_by"] == {"TERM": "wall_time", "KILL": "killed"}[signal]
    last = results["checks"].get_array("step")[-1]
    # The frame of a check is written at the end of its step, unless the kill came between.
    assert last - 5 <= parameters["trusted_steps"] <= last
    frames = results["frames"].frames
    assert frames.times[-1] == pytest.approx(120.0 + parameters["trusted_steps"])
    assert 100 < frames.temperatures()[-1] < 1000
    assert not node.base.caching.is_valid_cache


@pytest.mark.engine
def test_the_last_trusted_frame_carries_on_exactly(inputs):
    """Cut at a frame of a check, run on from there: the same trajectory, to the last bit of the numbers kept."""
    inputs = {
        **inputs,
        "md": orm.Dict({**MD, "save_every": 20, "thermostat_time_fs": 1e9}),
        "settings": orm.Dict(EXACT),
    }
    whole, _ = run_get_node(CalculationFactory("haml.lammps"), **inputs)
    watch = orm.Dict({"every": 5, "min_distances": {"Cl-Li": 2.0}})
    first, _ = run_get_node(
        CalculationFactory("haml.lammps"), **{**inputs, "md": orm.Dict({**inputs["md"].get_dict(), "steps": 15})}
    )
    assert first["frames"].frames.times.tolist() == [120.0, 135.0]
    rest = {**inputs["md"].get_dict(), "steps": 5}
    second, _ = run_get_node(
        CalculationFactory("haml.lammps"),
        **{**inputs, "watch": watch, "md": orm.Dict(rest), "initial": first["frames"]},
    )
    one, two = whole["frames"].frames, second["frames"].frames
    assert one.times[-1] == two.times[-1] == 140.0
    np.testing.assert_allclose(two.positions[-1], one.positions[-1], atol=1e-6, rtol=0)
    np.testing.assert_allclose(two.velocities[0], first["frames"].frames.velocities[-1], atol=1e-16, rtol=0)


@pytest.mark.engine
def test_a_lammps_that_does_not_watch_is_watched_afterwards(inputs, blind_code, engine_code):
    """The same deck run blind, then watched over its frames, gives the checks of a run that was watched."""
    md = orm.Dict({**MD, "thermostat_time_fs": 1e9})  # it acts between the two looks at a step
    inputs = {**inputs, "md": md, "settings": orm.Dict(EXACT)}
    seen, _ = run_get_node(CalculationFactory("haml.lammps"), **inputs)
    later, node = run_get_node(
        CalculationFactory("haml.lammps"), **{**inputs, "code": blind_code, "watcher": engine_code}
    )
    assert node.is_finished_ok, node.exit_message
    for name in seen["checks"].get_arraynames():
        one, two = seen["checks"].get_array(name), later["checks"].get_array(name)
        if name == "pairs":
            assert one.tolist() == two.tolist()
        else:
            np.testing.assert_allclose(two, one, rtol=1e-4, atol=1e-6, err_msg=name)
    np.testing.assert_allclose(later["frames"].frames.positions, seen["frames"].frames.positions, atol=1e-12)
    np.testing.assert_allclose(later["frames"].frames.deviations, seen["frames"].frames.deviations, rtol=1e-6)
    assert later["output_parameters"]["parity"]["force_eV_per_A"] < 1e-9


@pytest.mark.engine
def test_a_breach_is_found_afterwards_too(inputs, blind_code, engine_code):
    hot = orm.Dict({**MD, "steps": 60, "save_every": 2, "temperature_K": 3000.0, "thermostat_time_fs": 20.0})
    watch = orm.Dict({"every": 2, "max_temperature_K": 1500.0, "margin_fs": 4.0})
    results, node = run_get_node(
        CalculationFactory("haml.lammps"),
        **{**inputs, "md": hot, "watch": watch, "code": blind_code, "watcher": engine_code},
    )
    assert node.is_finished_ok, node.exit_message
    parameters = results["output_parameters"].get_dict()
    assert parameters["stopped_by"] == "temperature"
    assert parameters["trusted_steps"] == parameters["onset_step"] - 4
    assert results["frames"].frames.temperatures().max() < 1500
    assert results["untrusted"].frames.times[-1] == pytest.approx(180.0), "what LAMMPS went on to do is not trusted"


@pytest.mark.engine
def test_a_stretch_that_nothing_watched_is_an_error_and_no_cache(inputs, blind_code):
    results, node = run_get_node(CalculationFactory("haml.lammps"), **{**inputs, "code": blind_code})
    assert node.exit_status == 330
    assert "watcher" in node.exit_message
    assert not node.base.caching.is_valid_cache
    assert len(results["frames"]) == 1


def test_every_failure_is_no_cache():
    failures = [c for c in CalculationFactory("haml.lammps").spec().exit_codes.values() if 300 <= c.status < 500]
    assert len(failures) >= 7
    assert all(code.invalidates_cache for code in failures)


@pytest.mark.parametrize(
    ("options", "threads"),
    [({}, 1), ({"resources": {"num_machines": 1, "num_mpiprocs_per_machine": 1, "num_cores_per_mpiproc": 8}}, 8),
     ({"environment_variables": {"OMP_NUM_THREADS": "3"}}, 3)],
)  # fmt: skip
def test_the_job_has_as_many_threads_as_cores(inputs, tmp_path, monkeypatch, options, threads):
    folder = dry_run({**inputs, "metadata": {"options": options}}, tmp_path, monkeypatch)
    exports = [line for line in (folder / "_aiidasubmit.sh").read_text().splitlines() if "OMP_NUM_THREADS" in line]
    assert exports[-1] == f"export OMP_NUM_THREADS={threads}"


@pytest.mark.engine
def test_equal_inputs_are_served_from_the_cache(inputs):
    from aiida.manage.caching import enable_caching

    run_get_node(CalculationFactory("haml.lammps"), **inputs)
    with enable_caching():
        _, second = run_get_node(CalculationFactory("haml.lammps"), **inputs)
    assert second.base.caching.is_created_from_cache


def dry_run(inputs, tmp_path, monkeypatch) -> Path:
    """Return the folder of a job that is not run."""
    monkeypatch.chdir(tmp_path)  # a dry run writes into the current folder
    metadata = {**inputs.get("metadata", {}), "dry_run": True, "store_provenance": False}
    _, node = run_get_node(CalculationFactory("haml.lammps"), **{**inputs, "metadata": metadata})
    return Path(node.dry_run_info["folder"])


def test_the_task_names_every_member_with_its_hash(inputs, tmp_path, monkeypatch):
    folder = dry_run(inputs, tmp_path, monkeypatch)
    task = json.loads((folder / "task.json").read_text())
    assert list(task["models"].values()) == inputs["potential"].sha256
    assert task["steps"] == MD["steps"]
    assert task["precision"] == "float32"
    deck = (folder / "input.in").read_text()
    assert "pair_style mliap unified member_0.model 0" in deck
    assert "pair_coeff * * Cl Li" in deck


def test_lammps_and_its_watch_share_the_wall_time(inputs, tmp_path, monkeypatch, engine_code):
    metadata = {"options": {"max_wallclock_seconds": 1000}}
    alone = dry_run({**inputs, "metadata": metadata}, tmp_path, monkeypatch)
    assert "timer timeout 0:15:00" in (alone / "input.in").read_text()
    assert json.loads((alone / "task.json").read_text())["max_wall_time_s"] == pytest.approx(900)
    shared = dry_run({**inputs, "metadata": metadata, "watcher": engine_code}, tmp_path, monkeypatch)
    # Of its 10 minutes, one is spent before LAMMPS' own clock starts.
    assert "timer timeout 0:09:00" in (shared / "input.in").read_text()
    assert json.loads((shared / "task.json").read_text())["max_wall_time_s"] == pytest.approx(300)
    short = {"options": {"max_wallclock_seconds": 100}}
    brief = dry_run({**inputs, "metadata": short, "watcher": engine_code}, tmp_path, monkeypatch)
    assert "timer timeout 0:00:30" in (brief / "input.in").read_text()
