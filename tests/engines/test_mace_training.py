"""Real, tiny trainings: they learn, they remember, and they refuse what is broken."""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from aiida_haml.engines.mace_training import run
from tests.labels import QUICK, emt_frames, isolated_atom
from tests.models import tiny_mace

pytestmark = pytest.mark.engine

ENGINE = Path(sys.executable).parent / "haml-engine"


def prepare(folder: Path, settings: dict, labels: dict, **task) -> Path:
    """Lay out a job's folder as the CalcJob does."""
    for key, frames in labels.items():
        frames.save(folder / "inputs/labels" / key)
    for symbol in ("Cu", "Au"):
        isolated_atom(symbol).save(folder / "inputs/isolated_atoms" / symbol)
    (folder / "task.json").write_text(json.dumps({"settings": QUICK | settings} | task))
    return folder


def start_from(folder: Path, models: list[Path]) -> dict:
    """Copy the initial models in and return what the task says of them."""
    (folder / "inputs/initial").mkdir(parents=True)
    for i, path in enumerate(models):
        (folder / f"inputs/initial/member_{i}.model").write_bytes(path.read_bytes())
    return {"initial_sha256": [hashlib.sha256(path.read_bytes()).hexdigest() for path in models]}


def train(folder: Path) -> dict:
    """Run the task in this process and return its results."""
    run(folder, json.loads((folder / "task.json").read_text()))
    return json.loads((folder / "results.json").read_text())


def start_job(folder: Path) -> tuple[dict, str]:
    """Run the task as a job does, in a process of its own, and return its results and its log."""
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run([ENGINE, "train"], cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads((folder / "results.json").read_text()), done.stdout


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A committee of two, trained from scratch by the command that a job starts."""
    labels = {"burst_000": emt_frames(9, seed=1), "burst_001": emt_frames(5, seed=2)}
    folder = prepare(tmp_path_factory.mktemp("cold"), {"seed": 5}, labels)
    return folder, labels, *start_job(folder)


def test_it_learns(trained):
    folder, labels, results, _ = trained
    forces = np.concatenate([f.forces.reshape(-1, 3) for f in labels.values()])
    spread = np.sqrt(np.mean((forces - forces.mean(axis=0)) ** 2))
    assert results["errors"]["valid"]["force_rmse"] < 0.5 * spread  # the predictor of the mean force
    assert results["errors"]["train"]["energy_rmse_per_atom"] < 0.05
    assert results["elements"] == ["Au", "Cu"]
    assert results["stopped_by"] is None
    for i, sha256 in enumerate(results["sha256"]):
        assert hashlib.sha256((folder / f"member_{i}.model").read_bytes()).hexdigest() == sha256


def test_members_differ_and_their_mean_is_scored(trained):
    _, _, results, _ = trained
    assert len(set(results["sha256"])) == 2
    assert [member["seed"] for member in results["members"]] == [5, 6]
    own = [member["errors"]["train"]["force_rmse"] for member in results["members"]]
    assert results["errors"]["train"]["force_rmse"] < max(own)
    calibration = results["calibration"]
    n_unseen = sum(len(s["valid"]) + len(s["held_out"]) for s in results["split"].values())
    assert calibration["n_atoms"] == 16 * n_unseen
    assert calibration["alpha"] > 0
    assert sum(results["errors"][part]["n_frames"] for part in ("train", "valid", "held_out")) == 14


def test_progress_is_in_the_log(trained):
    *_, log = trained
    assert "member 0: epoch 16 of 16" in log
    assert "member 1: epoch 1 of 16" in log


def test_a_warm_start_knows_what_was_learned(trained, tmp_path):
    folder, labels, results, _ = trained
    models = [folder / "member_0.model"]
    cold = train(prepare(tmp_path / "cold", {"n_committee": 1, "max_epochs": 3, "seed": 5}, labels))
    warm_folder = tmp_path / "warm"
    warm = train(
        prepare(
            warm_folder,
            {"n_committee": 1, "fine_tune_epochs": 3, "fine_tune_lr": 0.005, "seed": 5},
            labels,
            **start_from(warm_folder, models),
        )
    )
    before = results["members"][0]["errors"]["valid"]["force_rmse"]
    after = warm["errors"]["valid"]["force_rmse"]
    assert after < 0.7 * cold["errors"]["valid"]["force_rmse"]
    assert after < 1.2 * before


def test_the_same_inputs_give_the_same_model_files(tmp_path):
    labels, settings = {"burst_000": emt_frames(4)}, {"n_committee": 1, "max_epochs": 1}
    first, second = (start_job(prepare(tmp_path / name, settings, labels))[0] for name in ("one", "two"))
    assert first["sha256"] == second["sha256"]
    assert first["errors"] == second["errors"]


def test_wall_time_leaves_the_best_checkpoint(tmp_path):
    labels = {"burst_000": emt_frames(10)}
    results = train(prepare(tmp_path, {"max_epochs": 2000, "n_committee": 1}, labels, max_wall_time_s=15.0))
    assert results["stopped_by"] == "wall_time"
    assert results["training_time_s"] < 30.0
    assert np.isfinite(results["errors"]["valid"]["force_rmse"])


def test_a_wall_time_too_short_says_so(tmp_path):
    results = train(prepare(tmp_path, {"n_committee": 1}, {"burst_000": emt_frames(6)}, max_wall_time_s=0.1))
    assert results["error"]["kind"] == "no_checkpoint"
    assert "allow more time" in results["error"]["message"]


def test_a_damaged_model_is_refused_and_not_loaded(tmp_path):
    model = tiny_mace(tmp_path / "good.model", ["Cu", "Au"])
    folder = tmp_path / "job"
    task = start_from(folder, [model])
    copy = folder / "inputs/initial/member_0.model"
    copy.write_bytes(copy.read_bytes()[:-100] + b"x" * 100)
    settings = {"n_committee": 1, "r_max": 4.0}
    results = train(prepare(folder, settings, {"burst_000": emt_frames(6)}, **task))
    assert results["error"]["kind"] == "model_refused"
    assert "sha256" in results["error"]["message"]


def test_an_initial_potential_of_other_elements_is_refused(tmp_path):
    folder = tmp_path / "job"
    task = start_from(folder, [tiny_mace(tmp_path / "other.model", ["Cu", "Au", "Ag"])])
    results = train(prepare(folder, {"n_committee": 1}, {"burst_000": emt_frames(6)}, **task))
    assert results["error"]["kind"] == "refused"
    assert "Ag" in results["error"]["message"]


def test_nan_in_a_label_is_refused(tmp_path):
    folder = prepare(tmp_path, {}, {"burst_000": emt_frames(6)})
    path = folder / "inputs/labels/burst_000/forces.npy"
    forces = np.load(path)
    forces[2, 3, 1] = np.nan
    np.save(path, forces)
    results = train(folder)
    assert results["error"]["kind"] == "refused"
    assert "burst_000" in results["error"]["message"]
    assert "NaN" in results["error"]["message"]


def test_a_training_that_diverges_is_named(tmp_path):
    frames = emt_frames(8)
    broken = type(frames)(**(frames.arrays() | {"energies": frames.energies * 1e160, "forces": frames.forces * 1e160}))
    results = train(prepare(tmp_path, {"n_committee": 1}, {"burst_000": broken}))
    assert results["error"]["kind"] == "diverged"
    assert "lr" in results["error"]["message"]
