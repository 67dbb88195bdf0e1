"""The start potential that comes with the package: what is read of it is what was packed, and it knows its solids."""

from itertools import combinations_with_replacement
from pathlib import Path

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.data import atomic_numbers, covalent_radii
from ase.io import read

from aiida_haml.engines.mace_batches import predict
from aiida_haml.engines.mace_hot_runs import hot_run
from aiida_haml.engines.mace_network import network
from aiida_haml.engines.mace_start import pack, write_models
from aiida_haml.engines.start_numbers import FILE, facts
from aiida_haml.frames import Frames
from aiida_haml.learning.learner import LearnerSettings
from aiida_haml.structures import candidates

PHASES = Path(candidates.__file__).parent / "data/references"


def load(paths):
    return [torch.load(path, weights_only=False) for path in paths]


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    return load(write_models(tmp_path_factory.mktemp("start")))


def test_models_are_read_as_they_were_packed(tmp_path):
    settings = LearnerSettings(num_channels=4, max_ell=1, num_radial_basis=5, r_max=4.2)
    made = [network(settings, {"Li": -1.0, "S": -4.0 - i}, shift=-0.3, neighbours=17.5 + i) for i in (0, 1)]
    pack(made, settings, "a level", tmp_path / "start.npz")
    assert facts(tmp_path / "start.npz") == {
        "elements": ["Li", "S"], "cutoff": 4.2, "precision": "float32", "n_members": 2, "level_of_theory": "a level",
    }  # fmt: skip
    cell = Frames.from_ase([Atoms("Li2S", positions=np.eye(3) * 2, cell=[5.0] * 3, pbc=True)])
    before, after = (predict(these, cell) for these in (made, load(write_models(tmp_path, tmp_path / "start.npz"))))
    assert np.array_equal(before.forces, after.forces)
    assert np.array_equal(before.energies, after.energies)


def test_it_is_small_and_holds_numbers_only():
    assert FILE.stat().st_size < 1_000_000
    with np.load(FILE, allow_pickle=False) as stored:
        assert all(np.isfinite(stored[name]).all() for name in stored.files if name != "facts")


@pytest.mark.parametrize("phase", ["Li2S", "Li2Se", "LiCl", "LiF", "Li3PS4"])
def test_crystals_are_about_as_large_as_measured(models, phase):
    crystal = read(PHASES / f"{phase}.cif")
    scales = np.linspace(0.94, 1.06, 25)
    cells = []
    for scale in scales:
        cells.append(crystal.copy())
        cells[-1].set_cell(crystal.cell * scale, scale_atoms=True)
    energies = predict(models, Frames.from_ase(cells)).energies.mean(axis=0)
    assert scales[np.argmin(energies)] == pytest.approx(1.0, abs=0.03)


PAIRS = [pair for pair in combinations_with_replacement(facts()["elements"], 2) if "F" not in pair]


@pytest.mark.parametrize("pair", PAIRS, ids="-".join)
def test_no_two_atoms_fall_into_each_other(models, pair):
    """Alone in space, where nothing was labelled. F falls into F, O and P in one of the models: the docs say so."""
    covalent = sum(covalent_radii[atomic_numbers[symbol]] for symbol in pair)
    # Closer ones never come: the watch ends a stretch before.
    close = [Atoms(pair, positions=[[0, 0, 0], [ratio * covalent, 0, 0]]) for ratio in (0.65, 0.7, 0.75)]
    forces = predict(models, Frames.from_ase(close)).forces
    assert (forces[:, :, 1, 0] > 0).all()


@pytest.mark.parametrize("dopant", [None, "O", "Se"])
def test_an_interface_survives_a_hot_run(models, dopant):
    doping = {} if dopant is None else {"doping": {"dopant": dopant, "site": "16e", "fraction": 0.25}}
    cell, _ = candidates.build({"host": "Li6PS5Cl", "interface": {"facet": "100", "layers": 4}, "seed": 5} | doping)
    run = hot_run(models[0], Frames.from_ase([cell]), steps=150, temperature=450.0, timestep=1.0, seed=1)
    assert run.passed, run.reason
