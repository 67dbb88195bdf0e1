"""A wide cell under a potential, looked into by truth through cut-outs: what stays, what ends it, and who made what."""

import itertools

import numpy as np
import pytest
from aiida import orm
from aiida.engine import run_get_node
from aiida.manage.caching import enable_caching
from ase.build import bulk

from aiida_haml.data.frames import FramesData
from aiida_haml.data.potential import PotentialData
from aiida_haml.queries import audit, called_descendants
from aiida_haml.workchains.production import ProductionWorkChain
from tests.models import tiny_mace

pytestmark = pytest.mark.engine
#: What a potential of random weights never exceeds.
ANYTHING = {"force_rmse_tolerance": 1e3, "max_force_error": 1e3}


@pytest.fixture
def wide():
    """Two boxes by two of stirred rock salt, which the teacher holds together."""
    atoms = bulk("LiCl", "rocksalt", a=5.13, cubic=True).repeat((4, 4, 1))
    atoms.positions += np.random.default_rng(0).normal(scale=0.05, size=atoms.positions.shape)
    return FramesData.from_ase(atoms)


@pytest.fixture
def builder_of(aiida_profile_clean, engine_code, lammps_code, wide, tmp_path):
    """Return a function that makes a builder with two members of random weights."""
    models = [tiny_mace(tmp_path / f"{i}.model", ["Cl", "Li"], seed=i, scale=0.01) for i in range(2)]
    potential = PotentialData.from_files(models, ["Cl", "Li"], 4.0, "float64", level_of_theory=None).store()
    potential.trust()

    def make(rounds, structure=wide):
        codes = {"label": engine_code, "engine": engine_code, "lammps": lammps_code}
        overrides = {
            "rounds": rounds,
            "cutouts": {"n_stretch": 10, "n_moments": 2},
            "watch": {"max_drift": 10.0, "heating": 10.0, "max_pressure_GPa": 1e3},
        }
        return ProductionWorkChain.get_builder_from_protocol(
            structure, potential, codes, 20.0, "teacher", "quick", overrides
        )

    return make


def test_what_truth_finds_right_stays_and_a_second_run_costs_nothing(builder_of):
    outputs, node = run_get_node(builder_of(ANYTHING))
    assert node.is_finished_ok, node.exit_message
    line = [segment for _, segment in sorted(outputs["trajectories"]["production"]["segments"].items())]
    assert [segment.kind for segment in line] == ["stretch"] * 2
    assert line[-1].read(-1).times[0] == pytest.approx(20.0)
    for before, after in itertools.pairwise(line):
        np.testing.assert_allclose(after.read(0).positions, before.read(-1).positions, atol=1e-9)
        np.testing.assert_allclose(after.read(0).velocities, before.read(-1).velocities, atol=1e-9)
    history = outputs["trajectories"]["production"]["history"]
    assert history["ended_because"] == "The wanted simulated time is reached."
    assert history["n_labels"] == outputs["pool"].n_labels == 8  # two at each of two moments, twice
    assert {entry.candidate for entry in outputs["pool"].entries()} == {"production"}
    assert all(
        frames.n_atoms < line[0].n_atoms for frames in outputs["pool"].frames(outputs["pool"].entries()).values()
    )
    report = audit(node)
    assert (report.n_cut, report.n_untraced) == (0, 0)
    with enable_caching(identifier="aiida.calculations:haml.*"):
        _, again = run_get_node(builder_of(ANYTHING))
    jobs = [node for node in map(orm.load_node, called_descendants(again)) if isinstance(node, orm.CalcJobNode)]
    assert again.is_finished_ok
    assert jobs
    assert all(job.base.caching.is_created_from_cache for job in jobs)


def test_a_potential_that_is_wrong_in_a_cut_out_ends_the_run_and_its_labels_are_there_to_learn_from(builder_of):
    outputs, node = run_get_node(builder_of({}))
    assert node.exit_status == 410
    assert "the potential is wrong here" in node.exit_message
    assert "segments" not in outputs["trajectories"]["production"]
    untrusted = outputs["trajectories"]["production"]["untrusted"]
    assert {segment.kind for segment in untrusted.values()} == {"untrusted"}
    assert outputs["pool"].n_labels == 4
    verdict = outputs["trajectories"]["production"]["history"]["rounds"][0]
    assert verdict["action"] == "revoke"
    assert verdict["force_rmse"] > 0.15


def test_a_cell_that_needs_no_cut_outs_is_refused_before_anything_runs(builder_of):
    small = FramesData.from_ase(bulk("LiCl", "rocksalt", a=5.13, cubic=True).repeat((2, 2, 1)))
    with pytest.raises(ValueError, match="followed by the hybrid dynamics itself"):
        run_get_node(builder_of(ANYTHING, small))
