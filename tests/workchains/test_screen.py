"""The whole of HAML with a teacher: one screen, looked at from every side."""

import itertools
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from aiida import orm
from aiida.engine import run_get_node
from aiida.manage.caching import enable_caching

from aiida_haml.data.frames import FramesData
from aiida_haml.queries import audit, called_descendants, training_steps
from aiida_haml.spec import parse_spec
from aiida_haml.workchains.hybrid import HybridWorkChain
from aiida_haml.workchains.screen import ScreenWorkChain

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.engine

SPEC = """
name: rehearsal
dopings: [pristine, {{dopant: O, site: 16e, fraction: 0.25}}]
interface: {{layers: 1}}
temperature_K: 300
protocol: quick
level_of_theory: teacher
codes: {{engine: {engine}, lammps: {lammps}}}
max_in_flight: 1
overrides:
  equilibration: {{relax_steps: 4, max_force: 0.05, warm_up_steps: 3, warm_up_stages: 1}}
  hybrid: {{simulated_fs: 30.0}}
  controller: {{n_burst_first: 5, min_burst: 3, n_stretch_first: 10, min_stretch: 5, max_force_error: 50.0}}
  training: {{num_channels: 4, max_epochs: 4, fine_tune_epochs: 2}}
  ranking: {{min_simulated_fs: 20.0}}
"""


@pytest.fixture(scope="module")
def builder_of(aiida_profile, tmp_path_factory):
    """Return a function that makes the same builder anew, as a second submission of the same file does."""
    workdir = tmp_path_factory.mktemp("work")
    computer = orm.Computer("screening", "localhost", "", "core.local", "core.direct", str(workdir)).store()
    computer.set_minimum_job_poll_interval(0)
    computer.configure(safe_interval=0)
    for name in ("haml-engine", "haml-lammps"):
        path = str(Path(sys.executable).parent / name)
        code = orm.InstalledCode(computer, path, label=name, prepend_text=f"export PYTHONPATH={ROOT}")
        code.store()

    def make():
        text = SPEC.format(engine="haml-engine@screening", lammps="haml-lammps@screening")
        return ScreenWorkChain.get_builder_from_spec(parse_spec(text))

    return make


@pytest.fixture(scope="module")
def screen(builder_of):
    """A finished screen of two candidates, the second of which starts from what the first one taught."""
    outputs, node = run_get_node(builder_of())
    assert node.is_finished_ok, node.exit_message
    return outputs, node


def hybrids(node):
    return [child for child in node.called if child.process_label == "HybridWorkChain"]


def test_both_candidates_are_in_the_ranking(screen):
    ranking = screen[0]["ranking"].get_dict()
    assert {row["label"] for row in ranking["candidates"]} == {"Li6PS5Cl", "Li6PS4OCl#16e-00"}
    assert ranking["teacher"] is True
    assert ranking["level_of_theory"].startswith("teacher-")
    json.dumps(ranking, allow_nan=False)


def test_the_time_line_is_continuous(screen):
    for hybrid in hybrids(screen[1]):
        segments = [hybrid.outputs.segments[name] for name in sorted(hybrid.outputs.segments)]
        assert [s.kind for s in segments[:2]] == ["burst", "stretch"]
        assert segments[-1].kind == "burst"
        for before, after in itertools.pairwise(segments):
            end, start = before.read(-1), after.read(0)
            np.testing.assert_allclose(start.positions, end.positions, atol=1e-9)
            np.testing.assert_allclose(start.velocities, end.velocities, atol=1e-9)
            assert start.times[0] == pytest.approx(end.times[0], abs=1e-9)
        history = hybrid.outputs.history.get_dict()
        assert history["simulated_fs"] == pytest.approx(30.0)
        assert len(history["cycles"]) >= 2


def test_a_candidate_starts_equilibrated_and_learns_from_the_way_there(screen):
    for hybrid in hybrids(screen[1]):
        chain = next(child for child in hybrid.called if child.process_label == "EquilibrateWorkChain")
        first = hybrid.outputs.segments[min(hybrid.outputs.segments)].read(0)
        start = chain.outputs.structure.read(-1)
        assert first.times[0] == 0
        np.testing.assert_allclose(first.positions, start.positions, atol=1e-9)
        np.testing.assert_allclose(first.velocities, start.velocities, atol=1e-9)
        learnt = {step.label_uuid for step in training_steps(hybrid.outputs.potential)}
        kinds = {node.kind for node in chain.outputs.labels.values() if node.uuid in learnt}
        assert kinds == {"relaxation", "burst"}
        stages = hybrid.outputs.equilibration["stages"]
        assert stages["relaxation"]["max_force_end"] < stages["relaxation"]["max_force_start"]


def test_every_committee_is_tested_before_it_learns(screen):
    first = hybrids(screen[1])[0]
    for cycle in first.outputs.history["cycles"][1:]:
        assert cycle["prequential"]["force_rmse"] > 0
        assert cycle["prequential"]["n_frames"] == cycle["burst_steps"] + 1


def test_the_second_candidate_learns_from_the_first(screen):
    first, second = hybrids(screen[1])
    assert second.inputs.potential.uuid == first.outputs.potential.uuid
    bursts = [s.uuid for s in first.outputs.segments.values() if s.kind == "burst"]
    assert {node.uuid for node in second.inputs.labels.values()} == set(bursts)
    # It starts with a potential, so that its very first burst is a test already.
    assert second.outputs.history["cycles"][0]["prequential"] is not None


def test_provenance_has_no_hole(screen):
    report = audit(screen[1])
    assert report.ok, report
    assert (report.n_cut, report.n_untraced) == (0, 0)
    assert report.n_data > 50


def test_every_training_frame_comes_from_a_step(screen):
    steps = training_steps(hybrids(screen[1])[1].outputs.potential)
    assert len(steps) > 10
    for step in steps:
        made = orm.load_node(step.calculation_uuid)
        frames = orm.load_node(step.label_uuid)
        assert made.process_label == "TeacherCalculation"
        assert frames.creator.uuid == made.uuid
        assert step.frame < len(frames)


def test_a_rerun_executes_nothing(screen, builder_of):
    """No uuid, time stamp or unseeded number enters a hash, so that everything is found in the cache."""
    with enable_caching(identifier="aiida.calculations:haml.*"):
        outputs, node = run_get_node(builder_of())
    assert node.is_finished_ok, node.exit_message
    jobs = [orm.load_node(pk) for pk in called_descendants(node)]
    jobs = [job for job in jobs if isinstance(job, orm.CalcJobNode)]
    assert len(jobs) > 10
    assert [job.process_label for job in jobs if not job.base.caching.is_created_from_cache] == []
    assert outputs["ranking"].get_dict() == screen[0]["ranking"].get_dict()


def test_a_failed_candidate_does_not_stop_the_rest(builder_of):
    builder = builder_of()
    candidates = {slug: node.get_dict() for slug, node in builder.candidates.items()}
    first = sorted(candidates)[0]
    broken = builder.level.get_dict()
    broken["theory"] = {"calculator": "tests.faulty:RefusesOxygen", "parameters": {}}
    builder.level = orm.Dict(broken)
    builder.share_learning = orm.Bool(False)
    outputs, node = run_get_node(builder)
    assert node.exit_status == 410, node.exit_message
    assert [row["label"] for row in outputs["ranking"]["candidates"]] == [candidates[first]["label"]]


def test_a_stretch_that_trips_at_once_is_cut_back_to_its_start(builder_of, screen):
    """No deviation is small enough: the time line goes on by bursts alone, without a gap and without the tail."""
    hybrid = hybrids(screen[1])[0]
    builder = HybridWorkChain.get_builder_from_protocol(
        structure=hybrid.inputs.structure,
        codes={name: hybrid.inputs.codes[name] for name in ("label", "engine", "lammps")},
        level=hybrid.inputs.level,
        protocol="quick",
        overrides={
            "hybrid": {"simulated_fs": 10.0},
            "controller": {
                "n_burst_first": 4,
                "min_burst": 3,
                "n_stretch_first": 10,
                "min_stretch": 5,
                "max_force_error": 1e-6,
            },
            "training": {"num_channels": 4, "max_epochs": 2, "fine_tune_epochs": 1},
        },
    )
    builder.isolated_atoms = dict(hybrid.inputs.isolated_atoms)
    outputs, node = run_get_node(builder)
    assert node.is_finished_ok, node.exit_message
    first = outputs["history"]["cycles"][0]
    assert (first["stopped_by"], first["trusted_steps"]) == ("deviation", 0)
    assert len(outputs["segments"]["segment_0001"]) == 1
    assert outputs["history"]["simulated_fs"] == pytest.approx(10.0)
    used = {n.uuid for child in node.called_descendants for n in child.inputs if isinstance(n, FramesData)}
    assert not used & {tail.uuid for tail in outputs.get("untrusted", {}).values()}
