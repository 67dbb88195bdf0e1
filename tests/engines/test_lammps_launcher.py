"""LAMMPS with MACE through the launcher, against ASE and against physics."""

import dataclasses
import hashlib
import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms, units
from ase.build import bulk

from aiida_haml.engines import lammps_dump, lammps_files, stretch
from aiida_haml.engines.lammps_files import Dynamics
from aiida_haml.engines.outcome import seconds_so_far
from aiida_haml.engines.records import read_records
from aiida_haml.engines.stretch import StretchTask
from aiida_haml.engines.watch import Thresholds
from aiida_haml.frames import Frames, maxwell_boltzmann
from tests.models import tiny_mace

pytestmark = pytest.mark.engine

NVE = "fix thermostat all temp/csvr"


@pytest.fixture(scope="session")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("committee")
    return [tiny_mace(folder / f"member_{seed}.model", ["Cl", "Li"], seed) for seed in range(3)]


def salt(repeat=(2, 1, 1), temperature=300.0) -> Frames:
    atoms = bulk("LiCl", "rocksalt", a=5.13, cubic=True) * repeat
    atoms.rattle(0.05, seed=1)
    frames = Frames.from_ase(atoms)
    velocities = maxwell_boltzmann(frames.masses, temperature, seed=1)
    return dataclasses.replace(frames, velocities=velocities[None])


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture
def launch(tmp_path, monkeypatch, models):
    """Return a function that runs a deck in this process and gives back its results."""
    from mace.tools.torch_tools import default_dtype

    from aiida_haml.engines import lammps_launcher

    monkeypatch.chdir(tmp_path)

    def start(frames, dynamics, thresholds=None, replace=(), members=None, precision="float64"):
        members = models if members is None else members
        for path in members:
            Path(path.name).write_bytes(path.read_bytes())
        Path(lammps_files.STRUCTURE).write_text(lammps_files.data_file(frames))
        hashes = {path.name: sha256(path) for path in members}
        watch = thresholds or Thresholds(every=1000)
        task = StretchTask(
            hashes,
            frames.elements,
            frames.n_atoms,
            dynamics.steps,
            dynamics.timestep_fs,
            watch,
            precision,
            dynamics.max_wall_time_s,
        )
        task.write(Path(stretch.TASK))
        deck = lammps_files.deck(frames.elements, members[0].name, dynamics)
        for old, new in replace:
            assert old in deck
            deck = deck.replace(old, new)
        Path("input.in").write_text(deck)
        return lammps_launcher.run(Path("input.in"), ["-log", lammps_files.LOG, "-screen", "none"])

    # MACE under ASE is exact to 1e-8 only if its constants are of the model's precision.
    with default_dtype("float64"):
        yield start


def dynamics(**changes) -> Dynamics:
    settings = {"steps": 20, "timestep_fs": 1.0, "temperature_K": 300.0, "thermostat_time_fs": 50.0}
    saved = {"save_every": 10, "restart_every": 5, "n_restarts": 4}
    return Dynamics(**{**settings, "seed": 1, **saved, **changes})


def thermo():
    return {k: np.array(v) for k, v in lammps_files.read_log(Path(lammps_files.LOG).read_text()).thermo.items()}


def dumped(n_atoms):
    return list(lammps_dump.read_dump(Path(lammps_dump.TRAJECTORY), n_atoms))


def checks():
    return read_records(Path(stretch.CHECKS))


def checks_so_far() -> int:
    """How many checks a running stretch has written; none while their file has no header yet."""
    path = Path(stretch.CHECKS)
    return len(checks()) if path.is_file() and path.stat().st_size > 0 else 0


def ase_results(frames: Frames, dump, model):
    from mace.calculators import MACECalculator

    _, rotation = lammps_files.lower_triangular(frames.cells[0])
    atoms = Atoms(frames.numbers, dump.positions @ rotation.T, cell=frames.cells[0], pbc=True)
    atoms.calc = MACECalculator(model_paths=[str(model)], device="cpu", default_dtype="float64")
    return atoms


@pytest.mark.parametrize("skew", [0.0, 0.6])
def test_forces_energy_and_pressure_are_those_of_ase(launch, models, skew):
    frames = salt()
    cell = frames.cells.copy()
    cell[0, 1, 0] += skew
    frames = dataclasses.replace(frames, cells=cell)
    launch(frames, dynamics())
    columns = thermo()
    for k, dump in enumerate(dumped(frames.n_atoms)):
        atoms = ase_results(frames, dump, models[0])
        np.testing.assert_allclose(dump.cell, lammps_files.lower_triangular(frames.cells[0])[0], atol=1e-12)
        np.testing.assert_allclose(dump.forces, atoms.get_forces(), atol=1e-11, rtol=0)
        assert columns["PotEng"][k] == pytest.approx(atoms.get_potential_energy(), abs=1e-9)
        stress = atoms.get_stress(voigt=False)
        # LAMMPS adds the ideal-gas part, N_f kB T / 3V, with its own degrees of freedom.
        volume, freedom = atoms.get_volume(), 3 * len(atoms) - 3
        kinetic = freedom * units.kB * columns["Temp"][k] / (3 * volume)
        pressure = (kinetic - np.trace(stress) / 3) / units.bar
        assert columns["Press"][k] == pytest.approx(pressure, rel=1e-5)


def test_a_float32_model_runs_in_float32(launch, tmp_path):
    single = tiny_mace(tmp_path / "single.model", ["Cl", "Li"], 0, dtype="float32")
    frames = salt()
    launch(frames, dynamics(), members=[single])
    atoms = ase_results(frames, dumped(frames.n_atoms)[-1], single)  # ASE takes it to float64
    error = np.abs(dumped(frames.n_atoms)[-1].forces - atoms.get_forces()).max()
    assert 0 < error < 1e-4


def test_energy_is_conserved_without_a_thermostat(launch):
    frames = salt(temperature=600.0)
    launch(frames, dynamics(steps=200, timestep_fs=0.5), replace=[(NVE, "# "), (" f_thermostat", "")])
    columns = thermo()
    total = columns["PotEng"] + columns["KinEng"]
    assert np.ptp(total) / frames.n_atoms < 1e-4
    assert np.ptp(columns["PotEng"]) > 100 * np.ptp(total)


def test_the_thermostat_reaches_its_temperature_and_keeps_its_constant(launch):
    frames = salt(temperature=50.0)
    launch(frames, dynamics(steps=600, temperature_K=400.0, thermostat_time_fs=10.0, save_every=5))
    columns = thermo()
    conserved = columns["PotEng"] + columns["KinEng"] + columns["f_thermostat"]
    assert np.ptp(conserved) / frames.n_atoms < 1e-3
    # Canonical spread: T sqrt(2 / N_f), 45 degrees of freedom; neighbouring frames are correlated.
    mean = columns["Temp"][40:].mean()
    assert mean == pytest.approx(400.0, abs=5 * 400 * np.sqrt(2 / 45) / np.sqrt(20))
    assert 0.4 < columns["Temp"][40:].std() / (400 * np.sqrt(2 / 45)) < 2.0


def test_the_centre_of_mass_stays_where_it_is(launch):
    frames = salt()
    launch(frames, dynamics(steps=150))
    velocities = dumped(frames.n_atoms)[-1].velocities
    assert np.abs(frames.masses @ velocities).max() / frames.masses.sum() < 1e-8


def test_the_deviation_is_that_of_the_members_forces_from_the_drivers(launch, models):
    frames = salt()
    launch(frames, dynamics(), Thresholds(every=5, max_deviation=1e3))
    found = {int(check["step"]): check for check in checks()}
    assert list(found) == [0, 5, 10, 15, 20]
    dump = dumped(frames.n_atoms)[1]
    forces = np.array([ase_results(frames, dump, model).get_forces() for model in models])
    per_atom = np.sqrt(((forces[1:] - forces[0]) ** 2).sum(axis=2).mean(axis=0))
    assert found[10]["deviation"] == pytest.approx(per_atom.max(), rel=1e-9)
    assert found[10]["deviating"] == per_atom.argmax()
    assert found[10]["energy"] == pytest.approx(thermo()["PotEng"][1], abs=1e-9)


def test_a_check_measures_what_lammps_itself_tells_of_the_step(launch):
    frames = salt(temperature=600.0)
    launch(frames, dynamics(thermostat_time_fs=1e9), Thresholds(every=5))  # so weak that it leaves velocities alone
    columns = thermo()
    for k, dump in enumerate(dumped(frames.n_atoms)):
        (check,) = checks()[checks()["step"] == dump.step]
        kinetic = 0.5 * frames.masses * ((dump.velocities / units.fs) ** 2).sum(axis=1)
        assert check["temperature"] == pytest.approx(columns["Temp"][k], rel=1e-4)
        assert check["kinetic_energy"] == pytest.approx(kinetic.max(), rel=1e-4)
        assert check["hottest"] == kinetic.argmax()
        assert check["pressure"] == pytest.approx(columns["Press"][k] * units.bar / units.GPa, rel=1e-4)
        atoms = Atoms(frames.numbers, dump.positions, cell=frames.cells[0], pbc=True)
        distances = atoms.get_all_distances(mic=True)
        lithium = atoms.numbers == 3
        expected = [distances[np.ix_(a, b)] for a, b in ((~lithium, ~lithium), (lithium, ~lithium), (lithium, lithium))]
        np.testing.assert_allclose(
            check["distance"], [d[d > 0].min() for d in expected], rtol=1e-9
        )  # Cl-Cl, Cl-Li, Li-Li


def test_the_conserved_energy_counts_what_the_thermostat_takes(launch):
    frames = salt(temperature=50.0)
    launch(frames, dynamics(steps=100, temperature_K=600.0, thermostat_time_fs=5.0), Thresholds(every=1))
    columns, n_atoms = thermo(), frames.n_atoms
    total = columns["PotEng"] + columns["KinEng"]
    conserved = total + columns["f_thermostat"]
    drift = {int(check["step"]): check["drift"] for check in checks()}
    for step, value in zip(columns["Step"], conserved, strict=True):
        assert drift[int(step)] == pytest.approx((value - conserved[0]) / n_atoms, abs=1e-7)
    assert np.ptp(total) / n_atoms > 100 * max(map(abs, drift.values()))


def test_the_first_frame_is_compared_with_maces_own_calculator(launch):
    exact = launch(salt(), dynamics(steps=1))["parity"]
    single = launch(salt(), dynamics(steps=1), precision="float32")["parity"]
    assert exact["force_eV_per_A"] < 1e-10
    assert exact["energy_eV_per_atom"] < 1e-10
    assert 1e-10 < single["force_eV_per_A"] < 1e-4
    assert single["energy_eV_per_atom"] < 1e-5


def test_an_engine_that_computes_other_forces_is_refused(launch, monkeypatch):
    from aiida_haml.engines.mace_forces import MaceModel

    evaluate = MaceModel.evaluate

    def scaled(self, graph):
        found = evaluate(self, graph)
        return dataclasses.replace(found, forces=1.5 * found.forces)

    monkeypatch.setattr(MaceModel, "evaluate", scaled)
    results = launch(salt(), dynamics())
    assert results["stopped_by"] == "model_refused"
    assert results["steps_done"] == 0


def test_frames_of_the_latest_checks_stay_to_be_cut_back_to(launch):
    frames = salt()
    launch(frames, dynamics(steps=18, save_every=100, restart_every=5, n_restarts=2), Thresholds(every=5))
    run = lammps_dump.read_run(Path.cwd(), frames.n_atoms)
    assert [frame.step for frame in run] == [0, 10, 15, 18]
    assert [int(check["step"]) for check in checks()] == [0, 5, 10, 15, 18]
    np.testing.assert_allclose(run[0].positions, frames.positions[0], atol=1e-14)


def test_a_breach_ends_the_run_after_its_step(launch):
    frames = salt()
    results = launch(frames, dynamics(steps=40, save_every=1), Thresholds(every=5, max_deviation=1e-6))
    assert results["stopped_by"] == "deviation"
    assert results["stopped_at_step"] == 0
    results = launch(frames, dynamics(steps=40, save_every=1), Thresholds(every=5, max_temperature_K=200.0))
    assert results["stopped_by"] == "temperature"
    assert "the temperature is" in results["reason"]


@pytest.mark.parametrize(
    ("limit", "value", "kind"),
    [
        ("max_kinetic_energy_eV", 0.01, "kinetic_energy"),
        ("max_drift_eV_per_atom", 1e-9, "drift"),
        ("max_pressure_GPa", 1e-3, "pressure"),
        ("min_distances", {"Cl-Li": 3.0}, "distance"),
        ("min_distance_ratio", 1.5, "distance"),
    ],
)
def test_each_limit_ends_the_run_by_its_name(launch, limit, value, kind):
    results = launch(salt(), dynamics(), Thresholds(every=1000, **{limit: value}))
    assert results["stopped_by"] == kind
    assert results["stopped_at_step"] < 20
    assert "limit" in results["reason"]


def test_close_atoms_are_seen_between_two_checks(launch):
    frames = salt()
    velocities = frames.velocities.copy()
    velocities[0, 0, 0] = 0.3  # one atom shot at its neighbour: 0.3 A a step
    frames = dataclasses.replace(frames, velocities=velocities)
    results = launch(frames, dynamics(save_every=1), Thresholds(every=1000, min_distance_ratio=0.7))
    assert results["stopped_by"] == "distance"
    assert 0 < results["stopped_at_step"] < 10
    assert len(dumped(frames.n_atoms)) == results["stopped_at_step"] + 1


def test_decks_see_the_deviation_and_lammps_can_halt_on_it(launch):
    halt = "variable spread equal f_haml[1]\nfix halt all halt 1 v_spread > 1e-9 error soft message yes\nrun "
    results = launch(salt(), dynamics(), Thresholds(every=5), replace=[("run ", halt)])
    assert results["steps_done"] < 20
    assert results["stopped_by"] == "wall_time"  # the launcher sees a run that ended early


def test_loops_and_labels_below_the_pair_style_are_lammps_own(launch):
    loop = "variable turn loop 2\nlabel again\nrun 5\nnext turn\njump SELF again\nrun "
    results = launch(salt(), dynamics(), replace=[("run ", loop)])
    assert results["steps_done"] == 30


def test_a_changed_model_is_not_opened(launch, models):
    bad = Path("bad.model")
    bad.write_bytes(models[0].read_bytes())
    results = launch(salt(), dynamics(), members=[bad])
    assert results["stopped_by"] is None
    Path("bad.model").write_bytes(b"changed" + models[0].read_bytes())
    from aiida_haml.engines import lammps_launcher

    results = lammps_launcher.run(Path("input.in"), ["-log", "none", "-screen", "none"])
    assert results["stopped_by"] == "model_refused"
    assert "sha256" in results["reason"]


def test_forces_that_are_not_finite_end_the_run(launch, models, tmp_path):
    import torch

    module = torch.load(models[0], weights_only=False)
    with torch.no_grad():
        module.scale_shift.scale.fill_(float("nan"))
    torch.save(module, tmp_path / "broken.model")
    results = launch(salt(), dynamics(), members=[tmp_path / "broken.model"])
    assert results["stopped_by"] == "not_finite"
    assert results["steps_done"] == 0


def test_lost_atoms_end_the_run_with_what_was_finished(launch):
    frames = salt()
    velocities = frames.velocities.copy()
    velocities[0, 0, 0] = -0.5
    frames = dataclasses.replace(frames, velocities=velocities, positions=frames.positions + 0.3)
    results = launch(frames, dynamics(steps=200, save_every=1), replace=[("boundary p p p", "boundary f f f")])
    assert results["stopped_by"] == "lost_atoms"
    assert len(dumped(frames.n_atoms)) >= 1


def test_a_faulty_deck_is_lammps_error(launch):
    results = launch(salt(), dynamics(), replace=[("fix integrator all nve", "fix integrator all nvx")])
    assert results["stopped_by"] == "lammps_error"
    assert "nvx" in results["reason"]


def test_the_wall_time_ends_the_run_with_files_complete(launch):
    frames = salt()
    results = launch(frames, dynamics(steps=100000, max_wall_time_s=seconds_so_far() + 2.0))
    assert results["stopped_by"] == "wall_time"
    assert 0 < results["steps_done"] < 100000
    log = lammps_files.read_log(Path(lammps_files.LOG).read_text())
    assert log.seconds_per_step > 0
    assert dumped(frames.n_atoms)[-1].step == results["steps_done"] // 10 * 10
    assert lammps_dump.read_run(Path.cwd(), frames.n_atoms)[-1].step == results["steps_done"]


def test_the_time_before_the_first_step_counts(launch):
    results = launch(salt(), dynamics(steps=100000, max_wall_time_s=seconds_so_far() - 1.0))
    assert results["stopped_by"] == "wall_time"
    assert results["steps_done"] == 0


@pytest.mark.parametrize("name", ["SIGTERM", "SIGKILL"])
def test_a_signal_leaves_frames_and_checks_up_to_its_moment(launch, name):
    frames = salt()
    launch(frames, dynamics(steps=1, save_every=7), Thresholds(every=5))
    task = StretchTask.from_dict(json.loads(Path(stretch.TASK).read_text()))
    dataclasses.replace(task, steps=1_000_000).write(Path(stretch.TASK))
    Path("input.in").write_text(Path("input.in").read_text().replace("run 1\n", "run 1000000\n"))
    for path in Path.cwd().glob("*.bin"):
        path.unlink()
    Path(stretch.CHECKS).unlink()
    program = [str(Path(sys.executable).parent / "haml-lammps"), "-in", "input.in", "-log", lammps_files.LOG]
    job = subprocess.Popen(program, stdout=subprocess.DEVNULL)
    while checks_so_far() <= 20:
        assert job.poll() is None
        time.sleep(0.05)
    job.send_signal(getattr(signal, name))
    job.wait(timeout=60)
    last = int(checks()["step"][-1])
    steps = [frame.step for frame in lammps_dump.read_run(Path.cwd(), frames.n_atoms)]
    assert set(range(0, last, 7)) <= set(steps)
    # The frame of a check is written at the end of its step, unless the kill came between.
    assert {last, last - 5} & set(steps)
    if name == "SIGTERM":
        assert json.loads(Path(stretch.RESULTS).read_text())["stopped_by"] == "wall_time"


def test_the_program_says_why_it_stopped_and_exits_accordingly(launch, tmp_path):
    launch(salt(), dynamics(), Thresholds(max_deviation=1e-6))
    program = str(Path(sys.executable).parent / "haml-lammps")
    breached = subprocess.run([program, "-in", "input.in"], capture_output=True, text=True, check=False)
    assert breached.returncode == 0
    assert "deviate by" in breached.stdout
    (tmp_path / "member_1.model").unlink()
    refused = subprocess.run([program, "-in", "input.in"], capture_output=True, text=True, check=False)
    assert refused.returncode == 1
    assert "member_1.model is missing" in refused.stdout
    assert json.loads(Path(stretch.RESULTS).read_text())["stopped_by"] == "model_refused"


def test_an_atom_alone_has_its_own_energy_and_no_force(models):
    from aiida_haml.engines.mace_forces import Graph, MaceModel

    graph = Graph.within(4.0, np.zeros((1, 3)), 20 * np.eye(3), np.ones(3, dtype=bool))
    evaluation = MaceModel.load(models[0], ["Li"]).evaluate(graph)
    assert np.isfinite(evaluation.energy)
    assert not evaluation.forces.any()
    assert not evaluation.virial.any()
