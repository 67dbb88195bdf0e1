"""Real, tiny trainings by the engine: they learn, remember, restart, stop in time, and leave nobody behind."""

import hashlib
import json
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from ase.calculators.emt import EMT
from mace.calculators import MACECalculator

from aiida_haml.engines import mace_committee as committee
from aiida_haml.engines.mace_learning import run
from aiida_haml.frames import Frames
from aiida_haml.learning.pool import Labels, enter
from aiida_haml.learning.runs import load_runs, save_runs
from tests.labels import LEARN, emt_frames, isolated_atom
from tests.models import tiny_mace
from tests.orphans import left_behind

pytestmark = pytest.mark.engine

ENGINE = Path(sys.executable).parent / "haml-engine"
ISOLATED = {symbol: float(isolated_atom(symbol).energies[0]) for symbol in ("Cu", "Au")}


def entries(runs: dict[str, Frames], new: tuple[str, ...] = ()) -> list[dict]:
    """Return what the calculation says of labels; all but those named are known to the champion."""
    found = enter({name: Labels(run, "probes", name) for name, run in runs.items()})
    return [
        {"key": e.key, "source": e.source, "row": e.frame, "part": e.part, "candidate": e.candidate,
         "new": not new or e.name in new}
        for e in found
    ]  # fmt: skip


def prepare(folder: Path, settings: dict, runs: dict[str, Frames], new=(), models=(), tests=None, starts=None, **task):
    """Lay out a job's folder as the calculation does."""
    folder.mkdir(exist_ok=True)
    save_runs(folder / "labels.npz", runs)
    save_runs(folder / "tests.npz", tests or {})
    save_runs(folder / "starts.npz", starts or {})
    hashes = []
    for i, model in enumerate(models):
        (folder / "champion").mkdir(exist_ok=True)
        (folder / f"champion/member_{i}.model").write_bytes(model.read_bytes())
        hashes.append(hashlib.sha256(model.read_bytes()).hexdigest())
    content = {
        "settings": LEARN | settings,
        "entries": entries(runs, new),
        "isolated_atoms": ISOLATED,
        "champion_sha256": hashes or None,
    }
    (folder / "task.json").write_text(json.dumps(content | task))
    return folder


def learn(folder: Path) -> dict:
    """Run the task in this process and return its results."""
    run(folder, json.loads((folder / "task.json").read_text()))
    return json.loads((folder / "results.json").read_text())


def start_job(folder: Path) -> subprocess.Popen:
    """Start the task as a job does, in a process of its own."""
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.Popen([ENGINE, "learn"], cwd=folder, env=environment, stdout=subprocess.DEVNULL)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A committee of two, trained from scratch by the command that a job starts."""
    runs = {"a__one": emt_frames(14, seed=1), "a__two": emt_frames(8, seed=2)}
    folder = prepare(tmp_path_factory.mktemp("cold"), {"seed": 5}, runs, starts={"a": emt_frames(1, amplitude=0.02)})
    assert start_job(folder).wait() == 0
    return folder, runs, json.loads((folder / "results.json").read_text())


def spread(frames: Frames) -> float:
    """Return the force error of whoever says nothing."""
    return float(np.sqrt(np.mean(frames.forces**2)))


def test_it_learns(trained):
    _, runs, results = trained
    assert results["verdict"]["winner"] == "challenger"
    assert results["valid"]["force_rmse"] < 0.5 * spread(runs["a__one"])
    assert results["valid"]["energy_rmse_per_atom"] < 0.05
    assert results["gate"]["a"]["passed"]
    assert set(results["challenger"]["a"]["elements"]) == {"Au", "Cu"}
    losses = [point["loss"] for point in results["members"][0]["validations"]]
    assert min(losses) < 0.1 * losses[0]


def test_the_driver_is_examined_and_the_others_tell_its_uncertainty(trained):
    folder, runs, _ = trained
    tests = {"a__unseen": emt_frames(5, seed=7)}
    models = [folder / f"member_{i}.model" for i in range(2)]
    job = prepare(folder / "test", {"train": "never"}, runs, models=models, tests=tests)
    again = learn(job)
    assert again["trained"] is False
    assert "verdict" not in again
    loaded = {what: np.load(job / f"tests/a__unseen__{what}.npy") for what in ("errors", "deviations", "force_rmse")}
    calculators = [MACECalculator(model_paths=str(model), device="cpu") for model in models]
    for f, atoms in enumerate(tests["a__unseen"].to_ase()):
        forces = [calculator.get_forces(atoms) for calculator in calculators]
        error = np.linalg.norm(forces[0] - tests["a__unseen"].forces[f], axis=1)
        assert loaded["errors"][f] == pytest.approx(error, abs=1e-4)
        assert loaded["deviations"][f] == pytest.approx(np.linalg.norm(forces[1] - forces[0], axis=1), abs=1e-4)


def test_an_energy_that_is_off_is_a_reason_to_train_where_the_forces_are_none(trained, tmp_path):
    folder, runs, _ = trained
    shifted = emt_frames(5, seed=7)
    shifted = replace(shifted, energies=shifted.energies + 0.05 * shifted.n_atoms)
    models = [folder / f"member_{i}.model" for i in range(2)]
    settings = {"force_rmse_tolerance": 10.0, "steps_per_round": 2, "energy_tolerance": 0.03, "gate_steps": 0}
    job = prepare(tmp_path / "shifted", settings, runs, models=models, tests={"a__unseen": shifted})
    assert "energy error on a__unseen" in learn(job)["reason"]
    job = prepare(
        tmp_path / "right", settings | {"energy_tolerance": 1.0}, runs, models=models, tests={"a__unseen": shifted}
    )
    assert learn(job)["trained"] is False


def test_what_the_trainer_says_the_md_engine_says(trained):
    parity = trained[2]["parity"]
    assert parity["force_md"] < 1e-4
    assert parity["force_float64"] < 1e-3
    assert parity["energy_md_per_atom"] < 1e-4


def test_a_round_learns_what_is_new_and_keeps_what_it_knew(trained, tmp_path):
    """Compressed crystals, which the champion has never met, beside a replay of what it has."""
    folder, runs, _ = trained
    squeezed = emt_frames(14, seed=11)
    images = squeezed.to_ase()
    for atoms in images:
        atoms.set_cell(atoms.cell * 0.95, scale_atoms=True)
        atoms.calc = EMT()
        atoms.get_forces()
    both = runs | {"a__new": Frames.from_ase(images)}
    models = [folder / f"member_{i}.model" for i in range(2)]
    job = prepare(
        tmp_path / "warm", {"seed": 5, "steps_per_round": 80}, both, ("a__new",), models, {"a__new": both["a__new"]}
    )
    results = learn(job)
    assert "a__new" in results["reason"]
    assert results["verdict"]["winner"] == "challenger"
    assert results["challenger"]["a"]["force_rmse"] < 0.8 * results["champion"]["a"]["force_rmse"]
    assert len(results["trained_on"]) > 20


def test_an_element_that_no_label_held_is_learned_as_long_as_from_scratch(tmp_path):
    """The champion has an isolated atom of gold, and has seen copper alone."""
    alloy, copper = emt_frames(5), emt_frames(5, seed=3).to_ase()
    for atoms in copper:
        atoms.symbols[:] = "Cu"
        atoms.calc = EMT()
        atoms.get_forces()
    runs = {"a__copper": Frames.from_ase(copper)}
    settings = {"train": "always", "steps_first": 9, "steps_per_round": 4, "n_committee": 1, "gate_steps": 0}
    learn(prepare(tmp_path / "first", settings, runs))
    champion = [tmp_path / "first/member_0.model"]
    steps = {}
    for name, more in (("copper", {"a__new": Frames.from_ase(copper)}), ("gold", {"b__new": alloy})):
        more = {key: replace(frames, positions=frames.positions + 0.01) for key, frames in more.items()}  # anew
        job = prepare(tmp_path / name, settings, runs | more, tuple(more), champion)
        steps[name] = learn(job)["members"][0]["steps"]
    assert steps == {"copper": 4, "gold": 9}


def test_the_same_inputs_give_the_same_model_files(tmp_path):
    runs, settings = {"a__one": emt_frames(5)}, {"steps_first": 6}
    hashes = []
    for name in ("one", "two"):
        folder = prepare(tmp_path / name, settings, runs)
        assert start_job(folder).wait() == 0
        hashes.append(json.loads((folder / "results.json").read_text())["sha256"])
    assert hashes[0] == hashes[1]
    assert hashes[0][0] != hashes[0][1]


def test_members_that_start_afresh_are_the_same(tmp_path, monkeypatch):
    """On a machine with a GPU members on its CPUs may not be forked."""
    runs, settings = {"a__one": emt_frames(5)}, {"steps_first": 6, "n_parallel": 2}
    learn(prepare(tmp_path / "forked", settings, runs))
    monkeypatch.setattr(committee, "_start_method", lambda: "spawn")
    learn(prepare(tmp_path / "afresh", settings, runs))
    one, other = (
        torch.load(tmp_path / name / "member_1.model", weights_only=False).state_dict() for name in ("forked", "afresh")
    )
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_wall_time_keeps_what_is_trained_so_far(tmp_path):
    """A million steps take hours; what comes after the wall time is the writing of models, on a machine with a load."""
    begun = time.perf_counter()
    results = learn(prepare(tmp_path, {"steps_first": 10**6}, {"a__one": emt_frames(10)}, max_wall_time_s=25.0))
    assert time.perf_counter() - begun < 120.0
    assert results["stopped_by"] == "wall_time"
    assert results["verdict"]["winner"] == "challenger"
    assert all(0 < member["steps"] < 10**6 for member in results["members"])


def test_a_wall_time_too_short_says_so(tmp_path):
    results = learn(prepare(tmp_path, {"n_committee": 1}, {"a__one": emt_frames(6)}, max_wall_time_s=0.01))
    assert results["error"]["kind"] == "no_checkpoint"
    assert "allow more time" in results["error"]["message"]


def test_a_training_that_diverges_begins_again_more_calmly(tmp_path):
    """At a learning rate of 1 the first attempts end in nonsense."""
    settings = {"n_committee": 1, "lr": 1.0, "steps_first": 40}
    results = learn(prepare(tmp_path, settings, {"a__one": emt_frames(8)}))
    member = results["members"][0]
    losses = [point["loss"] for point in member["validations"]]
    assert min(losses) < losses[0]
    assert (member["restarts"] > 0) == (member["lr"] < 1.0)


def test_labels_of_which_nothing_can_be_learned_are_named(tmp_path):
    frames = emt_frames(8)
    broken = replace(frames, energies=frames.energies * 1e160)
    results = learn(prepare(tmp_path, {"n_committee": 1, "force_cap": 1e300}, {"a__one": broken}))
    assert results["error"]["kind"] == "diverged"
    assert "broken labels" in results["error"]["message"]


def test_a_damaged_champion_is_refused_and_not_loaded(tmp_path):
    model = tiny_mace(tmp_path / "good.model", ["Cu", "Au"])
    folder = prepare(tmp_path / "job", {"n_committee": 1}, {"a__one": emt_frames(6)}, models=[model])
    copy = folder / "champion/member_0.model"
    copy.write_bytes(copy.read_bytes()[:-100] + b"x" * 100)
    results = learn(folder)
    assert results["error"]["kind"] == "model_refused"
    assert "sha256" in results["error"]["message"]


def test_a_champion_of_other_elements_is_refused(tmp_path):
    model = tiny_mace(tmp_path / "other.model", ["Cu", "Au", "Ag"])
    results = learn(prepare(tmp_path / "job", {}, {"a__one": emt_frames(6)}, models=[model]))
    assert results["error"]["kind"] == "model_refused"
    assert "Ag" in results["error"]["message"]


def test_a_hot_run_that_nobody_survives_leaves_what_led_there(trained, tmp_path):
    """Without a champion there is no potential; a champion that lasts no longer does not stay for that."""
    folder, runs, _ = trained
    hot = {"gate_temperature_K": 2e5, "gate_steps": 40, "steps_first": 30, "steps_per_round": 60}
    starts = {"a": emt_frames(1, amplitude=0.02)}
    first = prepare(tmp_path / "first", hot, runs, starts=starts)
    results = learn(first)
    assert results["verdict"]["winner"] == "none"
    assert "did not survive" in results["verdict"]["reason"]
    way = load_runs(first / "hot.npz")
    assert set(way) == {"a"}
    assert np.array_equal(way["a"].numbers, starts["a"].numbers)
    assert way["a"].energies is None
    more = runs | {"a__new": emt_frames(14, seed=11, amplitude=0.25)}
    models = [folder / f"member_{i}.model" for i in range(2)]
    job = prepare(tmp_path / "next", hot, more, ("a__new",), models, {"a__new": more["a__new"]}, starts)
    verdict = learn(job)["verdict"]
    assert verdict["winner"] == "challenger", verdict
    assert "Nor did the champion" in verdict["reason"]


def test_a_potential_explores_where_that_is_wanted(trained, tmp_path):
    """It has seen little more than its start, and does not drive before labels of its exploration are learned."""
    folder, runs, _ = trained
    warm = {"gate_temperature_K": 450.0, "gate_steps": 10, "steps_first": 120, "steps_per_round": 60}
    warm |= {"n_explored": 5, "explore_steps": 40, "explore_temperature_K": 600.0}
    starts = {"a": emt_frames(1, amplitude=0.02)}
    first = prepare(tmp_path / "first", warm, runs, starts=starts)
    results = learn(first)
    assert results["verdict"]["winner"] == "challenger"
    assert results["explored"] == {"a": 5}
    way = load_runs(first / "hot.npz")["a"]
    moved = np.linalg.norm(way.positions - starts["a"].positions, axis=2).max(axis=1)
    assert len(way) == 5
    assert moved.min() > 0.01
    assert way.energies is None
    more = runs | {"a__new": emt_frames(14, seed=11, amplitude=0.25)}
    models = [folder / f"member_{i}.model" for i in range(2)]
    later = prepare(
        tmp_path / "later", warm | {"n_explored": 0}, more, ("a__new",), models, {"a__new": more["a__new"]}, starts
    )
    assert learn(later)["gate"]["a"]["passed"]
    assert not (later / "hot.npz").exists()


def test_members_end_with_the_job_that_started_them(tmp_path):
    """Killed from outside, so that nothing of the job can clean up."""
    runs = {"a__one": emt_frames(8)}
    job = start_job(prepare(tmp_path, {"steps_first": 10**6, "n_parallel": 2}, runs))
    assert not left_behind(job, 2)
