"""Accounts of time: what the engines say, who used it, and what was gained."""

import json
import time
from datetime import UTC, datetime, timedelta

import pytest
from aiida import orm

from aiida_haml.queries import cost
from tests.graphs import N_STEPS, TIMESTEP, frames, lay_screen


@pytest.fixture
def screen(builder):
    return lay_screen(builder).made


def test_what_the_engines_say_adds_up(graph):
    report = cost(graph["screen"])
    assert {name: work.seconds for name, work in report.kinds.items() if name != "analysis"} == {
        "labels": 16.0,
        "training": 60.0,
        "MLP-MD": 4.0,
    }
    assert report.aimd_steps == 2 * N_STEPS
    assert report.seconds_per_step == 2.0
    assert (report.simulated_fs, report.simulated_steps) == (12.0, 12.0 / TIMESTEP)
    assert report.aimd_alone_s == pytest.approx(48.0)
    assert report.spent_s == pytest.approx(report.engine_s + report.overhead_s)
    assert report.speed_up == pytest.approx(48.0 / report.spent_s)
    assert cost(graph["hybrid"]).aimd_alone_s == pytest.approx(48.0)


def test_time_is_told_by_candidate_and_by_person(graph):
    """Labels and dynamics belong to the candidate; what the learner did serves all."""
    report = cost(graph["screen"])
    # To what was planted comes what laying the nodes took, which a busy machine stretches.
    assert report.candidates["c000"].seconds == pytest.approx(20.0, abs=15.0)
    assert report.candidates["all"].seconds == pytest.approx(60.0, abs=15.0)
    (person,) = report.people
    assert person == graph["screen"].user.email
    assert report.people[person].n_jobs == report.n_jobs
    assert json.loads(json.dumps(report.as_dict()))["candidates"]["c000"]["n_jobs"] == 5


def test_a_running_process_counts_up_to_now(builder):
    running = builder.process(orm.WorkChainNode, "haml.screen", {"candidates__a": orm.Dict({})}, state="running")
    before = cost(running).wall_s
    time.sleep(0.05)
    assert cost(running).wall_s > before + 0.04


def test_a_cached_job_counts_at_the_price_it_once_had(screen):
    before = cost(screen["screen"])
    screen["first"].creator.base.extras.set("_aiida_cached_from", "some-uuid")
    report = cost(screen["screen"])
    assert (report.n_cached, report.n_jobs) == (1, before.n_jobs - 1)
    assert report.kinds["labels"].seconds == before.kinds["labels"].seconds
    # What its node lasted, instead of its engine, is time in which no engine ran.
    assert before.spent_s <= report.spent_s <= before.spent_s + before.wall_s


def test_a_cached_job_is_known_after_an_import_has_taken_the_note_off(builder):
    """A copy holds the attributes of what ran: its scheduler was asked before the copy was made."""
    hybrid = builder.process(orm.WorkChainNode, "haml.hybrid", {})
    now = datetime.now(UTC)
    for number, checked in enumerate((now - timedelta(days=1), now + timedelta(days=1), None)):
        job = builder.process(orm.CalcJobNode, "haml.cp2k", {}, hybrid, call=f"c000__burst_{number:04d}")
        if checked is not None:
            job.base.attributes.set("scheduler_lastchecktime", checked.isoformat())
    builder.end()
    report = cost(hybrid)
    assert (report.n_cached, report.n_jobs) == (1, 2)


def test_a_run_that_goes_on_counts_what_it_added(builder):
    earlier = {f"segments__c000__segment_{n:04d}": frames("burst", start=2.0 * n, seed=n).store() for n in range(5)}
    hybrid = builder.process(orm.WorkChainNode, "haml.hybrid", earlier)
    builder.label(earlier["segments__c000__segment_0004"], hybrid, start=10.0, seed=9, call="c000__burst_0000")
    told = builder.process(orm.CalcFunctionNode, "haml.history", {}, hybrid)
    builder.give_back(hybrid, trajectories__c000__history=builder.create(told, c000=orm.Dict({"simulated_fs": 12.0})))
    assert cost(hybrid).simulated_fs == pytest.approx(2.0)


def test_single_points_and_relaxations_are_no_steps_of_aimd(builder):
    hybrid = builder.process(orm.WorkChainNode, "haml.hybrid", {})
    start = frames("structure", n=1).store()
    builder.label(start, hybrid, kind="probes", call="c000__probes_0000")
    report = cost(hybrid)
    assert (report.aimd_steps, report.seconds_per_step, report.speed_up) == (0, None, None)
    assert report.kinds["labels"].seconds == 8.0


def test_a_job_without_output_parameters_is_read_from_its_results(builder):
    job = builder.process(orm.CalcJobNode, "haml.rank", {})
    retrieved = orm.FolderData()
    retrieved.base.repository.put_object_from_bytes(b'{"wall_time_s": 7.5}', "results.json")
    builder.create(job, retrieved=retrieved)
    torn = builder.process(orm.CalcJobNode, "haml.describe", {})
    half = orm.FolderData()
    half.base.repository.put_object_from_bytes(b'{"wall_time', "results.json")
    builder.create(torn, retrieved=half)
    assert cost(job).kinds["analysis"].seconds == 7.5
    assert cost(torn).kinds["analysis"].seconds < 7.5


def test_the_number_of_statements_does_not_grow(builder, count_statements):
    counts = []
    hybrid = builder.process(orm.WorkChainNode, "haml.hybrid", {})
    last = frames("structure", n=1).store()
    for number in range(4):
        last = builder.label(last, hybrid, start=2.0 * number, seed=number, call=f"c000__burst_{number:04d}")
        counts.append(count_statements(cost, hybrid))
    assert len(set(counts)) == 1, counts
