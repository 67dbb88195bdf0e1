"""The gate lets a sound potential pass and stops one with a hole, a wrong slope or a fever."""

import numpy as np
import pytest
import torch
from ase.data import covalent_radii

from aiida_haml.engines.mace_hot_runs import explore, hot_run
from aiida_haml.frames import Frames
from tests.labels import emt_frames
from tests.models import tiny_mace

pytestmark = pytest.mark.engine

RUN = {"steps": 60, "temperature": 300.0, "timestep": 2.0, "seed": 1}


@pytest.fixture(scope="module")
def module(tmp_path_factory):
    """Atoms of random weights, which repel each other when close and hardly feel each other else."""
    path = tiny_mace(tmp_path_factory.mktemp("model") / "m.model", ["Cu", "Au"], scale=0.02)
    return torch.load(path, weights_only=False)


class Altered(torch.nn.Module):
    """A model whose forces are not, or not only, the slope of its energy."""

    def __init__(self, module, alter):
        super().__init__()
        self.module, self.alter = module, alter
        self.atomic_numbers, self.r_max = module.atomic_numbers, module.r_max
        self.atomic_energies_fn = module.atomic_energies_fn

    def forward(self, inputs, **options):
        output = self.module(inputs, **options)
        return output | {"forces": self.alter(inputs, output["forces"])}


def start() -> Frames:
    return emt_frames(1, amplitude=0.02)


def test_a_sound_potential_passes_and_conserves_energy(module):
    run = hot_run(module, start(), **RUN)
    assert run.passed, run.reason
    assert run.steps == 60
    assert run.drift_eV_per_atom < 1e-3
    assert run.way == ()
    assert run.max_temperature_K == pytest.approx(300.0, rel=0.5)


def test_velocities_of_the_start_are_scaled_to_the_temperature(module):
    frames = start()
    cold = np.random.default_rng(0).normal(0, 1e-3, frames.positions.shape)
    moving = Frames(frames.numbers, frames.positions, frames.cells, frames.pbc, velocities=cold)
    run = hot_run(module, moving, **RUN | {"steps": 0})
    assert run.max_temperature_K == pytest.approx(300.0)


def test_forces_that_are_no_slope_are_found_by_the_conserved_energy(module):
    def push(inputs, forces):
        return forces + 0.3 * torch.tensor([1.0, 0.0, 0.0], dtype=forces.dtype)

    run = hot_run(Altered(module, push), start(), **RUN)
    assert not run.passed
    assert "conserved energy" in run.reason or "temperature" in run.reason


def test_a_hole_at_short_distance_is_found(module):
    def attract(inputs, forces):
        """Pull every pair together, the more the closer it is."""
        i = inputs["edge_index"][0]
        vectors = inputs["shifts"]
        pull = 20 * vectors / vectors.norm(dim=1, keepdim=True) ** 3
        return torch.zeros_like(forces).index_add(0, i, pull)

    run = hot_run(Altered(module, attract), start(), **RUN)
    assert not run.passed
    assert run.steps < 60
    # What led there is kept, to be labelled: frames on the way, not atoms on top of each other.
    assert 1 <= len(run.way) <= 3
    radius = covalent_radii[29]
    for positions in run.way:
        frames = start()
        atoms = Frames(frames.numbers, positions[None], frames.cells, frames.pbc).to_ase()[0]
        distances = atoms.get_all_distances(mic=True)[np.triu_indices(len(atoms), 1)]
        assert 0.38 < distances.min() / (2 * radius) < 1.1


def test_nan_is_found(module):
    run = hot_run(Altered(module, lambda inputs, forces: forces * float("nan")), start(), **RUN)
    assert not run.passed
    assert np.isfinite([run.max_temperature_K, run.min_ratio, run.drift_eV_per_atom]).all()


def test_a_run_cut_short_by_the_time_has_passed_so_far(module):
    run = hot_run(module, start(), **RUN, deadline=0.0)
    assert run.passed
    assert run.steps == 0


def test_an_exploration_goes_as_far_as_it_is_hot_and_each_frame_is_elsewhere(module):
    cold = start()
    found = {hot: explore(module, cold, 6, 60, hot, 2.0, 1) for hot in (30.0, 300.0)}
    gone = {hot: [np.linalg.norm(one - cold.positions[0], axis=1).mean() for one in way] for hot, way in found.items()}
    assert len(gone[300.0]) == 6
    assert np.diff(gone[300.0]).min() > 0
    np.testing.assert_allclose(np.array(gone[300.0]) / gone[30.0], np.sqrt(10), rtol=0.2)
    np.testing.assert_array_equal(found[300.0], explore(module, cold, 6, 60, 300.0, 2.0, 1))


def test_an_exploration_ends_where_atoms_fall_into_each_other(module):
    drawn = Altered(
        module, lambda inputs, forces: forces - 30.0 * (inputs["positions"] - inputs["positions"].mean(dim=0))
    )
    found = explore(drawn, start(), 20, 400, 600.0, 2.0, 1)
    assert len(found) < 20
