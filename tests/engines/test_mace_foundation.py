"""A model of many elements, taught at another level, becomes one of ours: what it knew stays, the rest is learned."""

import hashlib
from dataclasses import replace

import numpy as np
import pytest
import torch

from aiida_haml.engines.mace_batches import predict
from aiida_haml.engines.mace_foundation import cut_out
from aiida_haml.engines.outcome import TaskError
from tests.engines.test_mace_learning import ISOLATED, learn, prepare
from tests.labels import emt_frames, isolated_atom
from tests.models import tiny_model

pytestmark = pytest.mark.engine


def foundation(heads=("default",), degree=1, repels=False):
    """Return a model of five elements with random weights, in the format of the published ones."""
    elements = ["H", "Li", "Cu", "Ag", "Au"]
    return tiny_model(elements, seed=3, scale=0.8, cutoff=4.5, degree=degree, heads=heads, repels=repels)


@pytest.mark.parametrize(
    ("heads", "degree", "repels"),
    [(("default",), 0, True), (("default",), 1, False), (("pt_head", "default"), 1, True)],
)
def test_forces_are_the_foundations(heads, degree, repels):
    """But for the repulsion of close pairs, where it had none: these frames hold no close pair."""
    frames = emt_frames(3, amplitude=0.05)
    source = foundation(heads, degree, repels)
    model = cut_out(source, ISOLATED, [frames], "float64")
    assert sorted(model.atomic_numbers.tolist()) == [29, 79]
    ours = predict([model], frames)
    from mace.calculators import MACECalculator

    atoms = frames.to_ase()[-1]
    atoms.calc = MACECalculator(models=[source], device="cpu", default_dtype="float64", head="default")
    assert ours.forces[0, -1] == pytest.approx(atoms.get_forces(), abs=1e-9 if repels else 1e-5)
    assert np.abs(ours.forces).max() > 0.005


def test_energies_are_ours():
    frames = emt_frames(5)
    found = predict([cut_out(foundation(), ISOLATED, [frames], "float64")], frames).energies[0]
    assert np.median(frames.energies - found) == pytest.approx(0, abs=1e-9)


def test_close_atoms_repel_each_other_although_the_foundation_had_never_met_them():
    frames = emt_frames(1)
    close = replace(frames, positions=frames.positions.copy())
    away = close.positions[0, 0] - close.positions[0, 1]
    close.positions[0, 1] = close.positions[0, 0] - 0.6 * away / np.linalg.norm(away)
    forces = predict([cut_out(foundation(), ISOLATED, [frames], "float64")], close).forces[0, 0]
    assert forces[0] @ away / np.linalg.norm(away) > 100


def test_what_is_no_such_model_is_refused():
    with pytest.raises(TaskError, match="ScaleShiftMACE"):
        cut_out(torch.nn.Linear(1, 1), ISOLATED, [emt_frames(1)], "float64")


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory):
    """A committee that knows a third element and was taught another truth: forces too soft, energies far off."""
    frames = emt_frames(40, seed=1)
    soft = replace(frames, energies=0.8 * frames.energies - 100.0, forces=0.8 * frames.forces)
    atoms = ISOLATED | {"Ag": float(isolated_atom("Ag").energies[0])}
    settings = {"n_committee": 1, "steps_first": 400, "gate_steps": 0}
    folder = prepare(tmp_path_factory.mktemp("elsewhere"), settings, {"a__one": soft}, isolated_atoms=atoms)
    learn(folder)
    return folder / "member_0.model"


def test_few_labels_are_enough_for_one_that_has_seen_the_chemistry(elsewhere, tmp_path):
    """Ten labels and sixty steps, from random weights and from the foundation; scored on frames that none has seen."""
    content = elsewhere.read_bytes()
    labels, unseen = {"a__few": emt_frames(10, seed=21)}, emt_frames(10, seed=22)
    errors = {}
    for name, more in (("cold", {}), ("warm", {"foundation_sha256": [hashlib.sha256(content).hexdigest()]})):
        folder = prepare(tmp_path / name, {"steps_first": 60, "gate_steps": 0}, labels, **more)
        (folder / "foundation").mkdir()
        (folder / "foundation/member_0.model").write_bytes(content)
        results = learn(folder)
        assert results["elements"] == ["Au", "Cu"]
        module = torch.load(folder / "member_0.model", weights_only=False)
        errors[name] = float(np.sqrt(np.mean((predict([module], unseen).forces[0] - unseen.forces) ** 2)))
    assert errors["warm"] < 0.5 * errors["cold"]


def test_a_damaged_foundation_is_refused_and_not_loaded(elsewhere, tmp_path):
    folder = prepare(tmp_path / "job", {}, {"a__one": emt_frames(4)}, foundation_sha256=["0" * 64])
    (folder / "foundation").mkdir()
    (folder / "foundation/member_0.model").write_bytes(elsewhere.read_bytes())
    results = learn(folder)
    assert results["error"]["kind"] == "model_refused"
    assert "sha256" in results["error"]["message"]
