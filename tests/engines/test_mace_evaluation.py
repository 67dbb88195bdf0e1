"""Scoring a committee on frames it has not seen."""

import hashlib
import json
from dataclasses import replace

import numpy as np
import pytest
from mace.calculators import MACECalculator

from aiida_haml.engines.mace_evaluation import run
from aiida_haml.learning.runs import save_runs
from tests.labels import emt_frames
from tests.models import tiny_mace

pytestmark = pytest.mark.engine


def prepare(folder, frames, n_members=2, elements=("Cu", "Au")):
    """Lay out a job's folder as the CalcJob does, and return the task."""
    save_runs(folder / "frames.npz", {"one": frames[:1], "rest": frames[1:]})
    potential = folder / "inputs/potential"
    potential.mkdir(parents=True)
    paths = [tiny_mace(potential / f"member_{i}.model", list(elements), seed=i) for i in range(n_members)]
    return {"sha256": [hashlib.sha256(path.read_bytes()).hexdigest() for path in paths]}


def evaluate(folder, task):
    """Run the task and return its results."""
    run(folder, task)
    return json.loads((folder / "results.json").read_text())


def test_errors_and_deviations_agree_with_maces_own_calculator(tmp_path):
    frames = emt_frames(3)
    errors = evaluate(tmp_path, prepare(tmp_path, frames))["errors"]
    models = [str(tmp_path / f"inputs/potential/member_{i}.model") for i in range(2)]
    calculator = MACECalculator(model_paths=models, device="cpu", default_dtype="float64")
    driver = MACECalculator(model_paths=models[:1], device="cpu", default_dtype="float64")
    forces, energies, spread = [], [], []
    for atoms in frames.to_ase():
        atoms.calc = calculator
        atoms.get_forces()
        first, second = calculator.results["forces_comm"]  # the first one drives, and is what is scored
        forces.append(first)
        atoms.calc = driver
        energies.append(atoms.get_potential_energy())
        spread.append(np.linalg.norm(second - first, axis=-1))
    difference = np.array(forces) - frames.forces
    assert errors["force_rmse"] == pytest.approx(np.sqrt(np.mean(difference**2)), rel=1e-9)
    assert errors["force_max"] == pytest.approx(np.linalg.norm(difference, axis=-1).max(), rel=1e-9)
    energy = (np.array(energies) - frames.energies) / 16
    assert errors["energy_rmse_per_atom"] == pytest.approx(np.sqrt(np.mean(energy**2)), rel=1e-9)
    deviations = [np.load(tmp_path / f"tests/{name}__deviations.npy") for name in ("one", "rest")]
    np.testing.assert_allclose(np.concatenate(deviations), spread, atol=1e-10)
    assert errors["n_frames"] == 3


def test_one_member_has_errors_but_no_deviation(tmp_path):
    errors = evaluate(tmp_path, prepare(tmp_path, emt_frames(2), n_members=1))["errors"]
    assert not np.load(tmp_path / "tests/rest__deviations.npy").any()
    assert errors["force_rmse"] > 0


def test_an_unknown_element_is_refused(tmp_path):
    results = evaluate(tmp_path, prepare(tmp_path, emt_frames(2), elements=("Cu",)))
    assert results["error"]["kind"] == "model_refused"
    assert "Au" in results["error"]["message"]


def test_a_file_that_is_no_model_is_refused(tmp_path):
    prepare(tmp_path, emt_frames(2), n_members=1)
    path = tmp_path / "inputs/potential/member_0.model"
    path.write_bytes(b"not a model")
    results = evaluate(tmp_path, {"sha256": [hashlib.sha256(b"not a model").hexdigest()]})
    assert results["error"]["kind"] == "model_refused"


def test_frames_without_labels_are_refused(tmp_path):
    bare = replace(emt_frames(2), forces=None)
    results = evaluate(tmp_path, prepare(tmp_path, bare))
    assert results["error"]["kind"] == "refused"
    assert "label them" in results["error"]["message"]
