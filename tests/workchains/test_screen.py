"""The whole of HAML with a teacher: one screen in rounds, looked at from every side."""

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
from aiida_haml.data.potential import PotentialData
from aiida_haml.queries import audit, called_descendants, training_steps
from aiida_haml.queries.timelines import time_lines
from aiida_haml.spec import parse_spec
from aiida_haml.workchains.screen import ScreenWorkChain
from tests import rehearsal
from tests.models import tiny_mace

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.engine

SPEC = rehearsal.SPEC.format(name="rehearsal", dopings=", ".join(rehearsal.DOPINGS))
CODES = "codes: {engine: haml-engine@screening, lammps: haml-lammps@screening}\n"


@pytest.fixture(scope="module", autouse=True)
def work_is_done_once():
    """As `setup` has it: screens that begin alike share their beginning, which the first of them computes."""
    with enable_caching(identifier="aiida.calculations:haml.*"):
        yield


@pytest.fixture(scope="module")
def builder_of(aiida_profile, tmp_path_factory):
    """Return a function that makes the same builder anew, as a second submission of the same file does."""
    workdir = tmp_path_factory.mktemp("work")
    computer = orm.Computer("screening", "localhost", "", "core.local", "core.direct", str(workdir)).store()
    computer.set_minimum_job_poll_interval(1.0)
    computer.configure(use_login_shell=False, safe_interval=0)
    for name in ("haml-engine", "haml-lammps"):
        path = str(Path(sys.executable).parent / name)
        code = orm.InstalledCode(computer, path, label=name, prepend_text=f"export PYTHONPATH={ROOT}")
        code.store()

    def make(text=SPEC):
        return ScreenWorkChain.get_builder_from_spec(parse_spec(text + CODES))

    return make


@pytest.fixture(scope="module")
def screen(builder_of):
    """A finished screen of two candidates that share one learner."""
    outputs, node = run_get_node(builder_of())
    assert node.is_finished_ok, node.exit_message
    return outputs, node


def dynamics(node):
    return next(child for child in node.called if child.process_label == "HybridWorkChain")


def trajectories(node):
    return dict(dynamics(node).outputs.trajectories)


def segments(outputs):
    return [outputs["segments"][name] for name in sorted(outputs["segments"])]


def test_both_candidates_are_in_the_ranking(screen):
    ranking = screen[0]["ranking"].get_dict()
    assert {row["label"] for row in ranking["candidates"]} == {"Li6PS5Cl", "Li6PS4OCl#16e-00"}
    assert ranking["teacher"] is True
    assert ranking["level_of_theory"].startswith("teacher-")
    json.dumps(ranking, allow_nan=False)


def test_the_time_lines_are_continuous(screen):
    for outputs in trajectories(screen[1]).values():
        line = segments(outputs)
        assert line[0].kind == line[-1].kind == "burst"
        assert "stretch" in {segment.kind for segment in line}
        for before, after in itertools.pairwise(line):
            end, start = before.read(-1), after.read(0)
            np.testing.assert_allclose(start.positions, end.positions, atol=1e-9)
            np.testing.assert_allclose(start.velocities, end.velocities, atol=1e-9)
            assert start.times[0] == pytest.approx(end.times[0], abs=1e-9)
        history = outputs["history"].get_dict()
        assert history["simulated_fs"] == pytest.approx(40.0)
        assert history["ended_because"] == "The wanted simulated time is reached."
        assert sum(entry["advanced_fs"] for entry in history["rounds"]) == pytest.approx(40.0)


def test_nothing_that_was_not_accepted_is_on_a_time_line(screen):
    for outputs in trajectories(screen[1]).values():
        for entry in outputs["history"]["rounds"]:
            assert (entry["stretch_fs"] > 0) == (entry["action"] in ("accept", "cut"))
        assert {segment.kind for segment in segments(outputs)} <= {"burst", "stretch"}


def test_cells_start_equilibrated_and_the_way_there_teaches(screen):
    pool = dynamics(screen[1]).outputs.pool
    kinds = {entry.kind for entry in pool.entries()}
    assert kinds == {"relaxation", "burst", "probes"}
    for slug, outputs in trajectories(screen[1]).items():
        stages = outputs["equilibration"]["stages"]
        assert stages["relaxation"]["max_force_end"] < stages["relaxation"]["max_force_start"]
        assert segments(outputs)[0].read(0).times[0] == 0
        assert {entry.candidate for entry in pool.entries()} >= {slug}


def test_one_potential_learns_from_both_candidates(screen):
    learned = [child for child in dynamics(screen[1]).called if child.process_label == "LearnWorkChain"]
    slugs = set(trajectories(screen[1]))
    for chain in learned[1:]:
        tested = {name.partition("__")[0] for name in chain.inputs.job.tests}
        assert tested == slugs
    assert len(learned) == len(next(iter(trajectories(screen[1]).values()))["history"]["rounds"])


def test_a_training_reads_no_more_nodes_in_the_last_round_than_in_the_second(screen):
    """The pool stands for all labels, and what is tested is of this round: no input grows with the rounds.

    In the last round a burst may be all that is left, so that there are no probes.
    """
    jobs = [orm.load_node(pk) for pk in called_descendants(screen[1])]
    trainings = [job for job in jobs if job.process_label == "LearnCalculation"]
    trainings = sorted((job for job in trainings if "champion" in job.inputs), key=lambda job: job.pk)
    assert len(trainings) > 1
    second, last = (_kinds_of_inputs(job) for job in (trainings[0], trainings[-1]))
    assert len(last) <= len(second)
    assert set(last) <= set(second)


def _kinds_of_inputs(job):
    """Names of links but for the number of the round."""
    return [link.link_label.rpartition("_")[0] or link.link_label for link in job.base.links.get_incoming().all()]


def test_every_potential_that_drove_is_tested_before_it_learns(screen):
    for outputs in trajectories(screen[1]).values():
        for entry in outputs["history"]["rounds"][1:]:
            assert entry["force_rmse"] > 0
            assert entry["n_points"] >= 3


def test_noise_is_new_in_every_segment(screen):
    jobs = [orm.load_node(pk) for pk in called_descendants(screen[1])]
    seeds = [job.inputs.md["seed"] for job in jobs if isinstance(job, orm.CalcJobNode) and "md" in job.inputs]
    assert len(seeds) > 6
    assert len(set(seeds)) == len(seeds)


def test_provenance_has_no_hole(screen):
    report = audit(screen[1])
    assert report.ok, report
    assert (report.n_cut, report.n_untraced) == (0, 0)
    assert report.n_data > 50


def test_every_training_frame_comes_from_a_step(screen):
    steps = training_steps(dynamics(screen[1]).outputs.potential)
    assert len(steps) > 10
    for step in steps:
        made = orm.load_node(step.calculation_uuid)
        assert made.process_label == "TeacherCalculation"
        assert step.frame < len(orm.load_node(step.label_uuid))


def test_time_lines_can_be_read_from_what_the_judge_said(screen):
    """A running screen has no outputs yet: what it has brought so far is found all the same."""
    lines = time_lines(screen[1])
    for slug, outputs in trajectories(screen[1]).items():
        told = [lines.segments[name].uuid for name in sorted(lines.segments) if name.startswith(f"{slug}__")]
        assert told == [segment.uuid for segment in segments(outputs)]
    assert lines.pool.uuid == dynamics(screen[1]).outputs.pool.uuid
    assert lines.potential.uuid == dynamics(screen[1]).outputs.potential.uuid


def test_restarts_of_all_jobs_are_the_specifications(builder_of):

    def with_restarts(said):
        return builder_of(SPEC.replace("overrides:\n", f"overrides:\n  restarts: {{{said}}}\n"))

    builder = with_restarts("max_iterations: 2, clean_workdir: true")
    for kind in ("label", "md", "learn", "analysis"):
        assert (builder[kind].max_iterations, builder[kind].clean_workdir) == (2, True)
    for key, wrong in (("max_iterations", 0), ("clean_workdir", 1)):
        with pytest.raises(ValueError, match=f"restarts.{key}"):
            with_restarts(f"{key}: {wrong}")


def test_a_rerun_executes_nothing(screen, builder_of):
    """No uuid, time stamp or unseeded number enters a hash, so that everything is found in the cache."""
    outputs, node = run_get_node(builder_of())
    assert node.is_finished_ok, node.exit_message
    jobs = [orm.load_node(pk) for pk in called_descendants(node)]
    jobs = [job for job in jobs if isinstance(job, orm.CalcJobNode)]
    assert len(jobs) > 10
    assert [job.process_label for job in jobs if not job.base.caching.is_created_from_cache] == []
    assert outputs["ranking"].get_dict() == screen[0]["ranking"].get_dict()


def test_a_later_screen_starts_from_what_this_database_learned(screen, builder_of):
    builder = builder_of(SPEC + "potential: own\n")
    assert builder.potential.sha256 == dynamics(screen[1]).outputs.potential.sha256  # maybe the copy of a cached job
    assert builder.pool.content_key == builder.potential.pool


def test_a_first_committee_is_taught_on_a_foundation(builder_of, tmp_path):
    """A model of other elements as well and of another size: cut down, taught, and its unknown teachers doubted."""
    elements = ["Cl", "F", "Li", "O", "P", "S"]
    model = tiny_mace(tmp_path / "mp.model", elements, dtype="float32", channels=6, cutoff=4.5)
    foundation = PotentialData.from_files([model], elements, 4.5, "float32")
    foundation.trust()
    foundation.store()
    one = rehearsal.SPEC.format(name="one", dopings="pristine").replace("40.0", "14.0")
    _, node = run_get_node(builder_of(one + f"foundation: {foundation.pk}\n"))
    assert node.is_finished_ok, node.exit_message
    potential = dynamics(node).outputs.potential
    assert (potential.elements, potential.cutoff) == (["Cl", "Li", "P", "S"], 4.5)
    assert foundation.uuid in {triple.node.uuid for triple in potential.creator.base.links.get_incoming().all()}
    found = audit(node)
    assert (found.n_cut, found.n_untraced) == (0, 0)
    assert any(str(foundation.pk) in str(doubt) for doubt in found.doubts), found.doubts


def test_a_screen_is_gone_on_with(screen, builder_of):
    """Longer: the old segments stay the beginning of the time lines, and no label is made twice."""
    lines = time_lines(screen[1])
    builder = builder_of(SPEC.replace("simulated_fs: 40.0", "simulated_fs: 60.0"))
    builder.segments, builder.pool, builder.potential = lines.segments, lines.pool, lines.potential
    builder.calibration = lines.calibration
    _, node = run_get_node(builder)
    assert node.is_finished_ok, node.exit_message
    for slug, outputs in trajectories(node).items():
        before = [segment.uuid for segment in segments(trajectories(screen[1])[slug])]
        assert [segment.uuid for segment in segments(outputs)][: len(before)] == before
        assert segments(outputs)[-1].base.attributes.get("time_end") == pytest.approx(60.0)
    assert dynamics(node).outputs.pool.n_labels > lines.pool.n_labels
    assert audit(node).ok


def test_candidates_that_fail_do_not_stop_the_rest(builder_of):
    """The labels of one fail, and the cell of another cannot be built."""
    builder = builder_of()
    candidates = {slug: node.get_dict() for slug, node in builder.candidates.items()}
    good, refused = sorted(candidates, key=lambda slug: candidates[slug]["label"] != "Li6PS5Cl")
    unknown = candidates[refused]["structure"] | {"configuration": 10**6}
    unbuilt = orm.Dict(candidates[refused] | {"structure": unknown})
    builder.candidates = {**builder.candidates, "unbuilt": unbuilt}
    broken = builder.label.job.level.get_dict()
    broken["theory"] = {"calculator": "tests.faulty:RefusesOxygen", "parameters": {}}
    builder.label.job.level = orm.Dict(broken)
    outputs, node = run_get_node(builder)
    assert node.exit_status == 410, node.exit_message
    assert "unbuilt" in node.exit_message
    assert refused in node.exit_message
    assert [row["label"] for row in outputs["ranking"]["candidates"]] == [candidates[good]["label"]]


def test_what_no_label_supports_does_not_stay(builder_of):
    """No error is small enough: every stretch is revoked, the time line is bursts alone, and it is said why."""
    text = rehearsal.SPEC.format(name="one", dopings="pristine").replace(
        "force_rmse_tolerance: 1.0", "force_rmse_tolerance: 1.0e-6\n    max_fruitless: 2"
    )
    _, node = run_get_node(builder_of(text))
    assert node.is_finished, node.exit_message
    for line in trajectories(node).values():
        assert {segment.kind for segment in segments(line)} == {"burst"}
        assert "2 rounds in a row" in line["history"]["ended_because"]
        assert {tail.kind for tail in line["untrusted"].values()} == {"untrusted"}
    used = {n.uuid for child in node.called_descendants for n in child.inputs if isinstance(n, FramesData)}
    revoked = {tail.uuid for line in trajectories(node).values() for tail in line["untrusted"].values()}
    assert not used & revoked
