"""Failures at their roots, why they failed, and what became of them."""

import io

import pytest
from aiida import orm

from aiida_haml.queries import failures
from aiida_haml.queries.failures import Outcome, cause


def leave(builder, job, error_stream):
    """Let a job have written to its error stream."""
    folder = orm.FolderData()
    folder.base.repository.put_object_from_filelike(io.BytesIO(error_stream.encode()), "_scheduler-stderr.txt")
    builder.create(job, retrieved=folder)


def test_a_screen_that_went_well_has_none(graph):
    assert failures(graph["screen"]) == []
    assert cause(graph["screen"]) is None


def test_each_kind_of_outcome_is_told(builder):
    """A job run again, a candidate left out, and one training that took everything along."""
    given = {f"candidates__{slug}": orm.Dict({}) for slug in "abc"}
    screen = builder.process(orm.WorkChainNode, "haml.screen", given, exit_status=401)
    hybrid = builder.process(orm.WorkChainNode, "haml.hybrid", {}, screen, "dynamics", exit_status=412)

    def label(slug, *statuses, exit_status=0):
        chain = builder.process(
            orm.WorkChainNode, "haml.label", {}, hybrid, f"{slug}__burst_0003", exit_status=exit_status
        )
        return [
            builder.process(orm.CalcJobNode, "haml.cp2k", {}, chain, f"iteration_{i + 1:02d}", exit_status=status)
            for i, status in enumerate(statuses)
        ]

    again, good = label("a", 305, 0)
    (kept,) = label("b", 400)
    first, second = label("c", 305, 305, exit_status=410)
    learn = builder.process(orm.WorkChainNode, "haml.learn", {}, hybrid, "learn_0003", exit_status=402)
    training = builder.process(orm.CalcJobNode, "haml.learn", {}, learn, "iteration_01", state="excepted")
    training.set_exception("Traceback:\nMemoryError: none left")

    found = {failure.pk: failure for failure in failures(screen)}
    assert set(found) == {again.pk, kept.pk, first.pk, second.pk, training.pk}
    assert (found[again.pk].outcome, found[again.pk].led_to) == (Outcome.RUN_AGAIN, good.pk)
    assert (found[kept.pk].outcome, found[kept.pk].led_to) == (Outcome.BORNE, None)
    assert (found[first.pk].outcome, found[first.pk].led_to) == (Outcome.RUN_AGAIN, second.pk)
    assert found[second.pk].outcome is Outcome.PASSED_ON
    assert (found[training.pk].outcome, found[training.pk].led_to) == (Outcome.PASSED_ON, screen.pk)
    assert found[training.pk].reason == "broke off: MemoryError: none left"
    assert (found[again.pk].candidate, found[again.pk].role) == ("a", "a__burst_0003")
    assert (found[training.pk].candidate, found[training.pk].role) == ("", "iteration_01")
    assert str(found[again.pk]) == (
        f"a__burst_0003: haml.cp2k<{again.pk}> failed [305]: no message; run again as <{good.pk}>"
    )
    assert cause(screen) == found[training.pk], "the last one of those that took it along"
    assert found[training.pk].what == f"haml.learn<{training.pk}> broke off: MemoryError: none left"
    # Asked of a part, what lies above is not looked at.
    (alone,) = failures(learn)
    assert (alone.pk, alone.led_to) == (training.pk, learn.pk)


def test_another_round_is_no_second_try(builder):
    hybrid = builder.process(orm.WorkChainNode, "haml.hybrid", {"candidates__a": orm.Dict({})})
    failed = builder.process(orm.CalcJobNode, "haml.cp2k", {}, hybrid, "a__burst_0003", exit_status=300)
    builder.process(orm.CalcJobNode, "haml.cp2k", {}, hybrid, "a__burst_0004")
    (failure,) = failures(hybrid)
    assert (failure.pk, failure.outcome) == (failed.pk, Outcome.BORNE)


def test_what_fails_after_a_second_try_went_well_fails_by_itself(builder):
    chain = builder.process(orm.WorkChainNode, "haml.label", {}, exit_status=410)
    chain.set_exit_message("Its frames cannot be joined.")
    first = builder.process(orm.CalcJobNode, "haml.cp2k", {}, chain, "iteration_01", exit_status=305)
    builder.process(orm.CalcJobNode, "haml.cp2k", {}, chain, "iteration_02")
    assert [(failure.pk, failure.outcome) for failure in failures(chain)] == [
        (chain.pk, Outcome.PASSED_ON),
        (first.pk, Outcome.RUN_AGAIN),
    ]
    assert cause(chain).what == f"haml.label<{chain.pk}> failed [410]: Its frames cannot be joined."


def test_what_a_try_took_along_was_run_again_with_it(builder):
    top = builder.process(orm.WorkChainNode, "haml.screen", {}, exit_status=401)
    first = builder.process(orm.WorkChainNode, "haml.label", {}, top, "iteration_01", exit_status=410)
    job = builder.process(orm.CalcJobNode, "haml.cp2k", {}, first, "job", exit_status=305)
    second = builder.process(orm.WorkChainNode, "haml.label", {}, top, "iteration_02", exit_status=411)
    assert [(failure.pk, failure.outcome, failure.led_to) for failure in failures(top)] == [
        (job.pk, Outcome.RUN_AGAIN, second.pk),
        (second.pk, Outcome.PASSED_ON, top.pk),
    ]


def test_a_process_that_failed_by_itself_is_its_own_failure(builder):
    alone = builder.process(orm.CalcJobNode, "haml.cp2k", {}, exit_status=300)
    (failure,) = failures(alone)
    assert (failure.pk, failure.outcome, failure.led_to) == (alone.pk, Outcome.PASSED_ON, alone.pk)
    assert cause(alone) == failure


def test_a_job_has_last_words(builder):
    job = builder.process(orm.CalcJobNode, "haml.learn", {}, exit_status=300)
    job.set_exit_message("The job left no result.")
    leave(builder, job, "warning\nslurmstepd: error: Detected 1 oom_kill event\n\n")
    assert cause(job).reason == (
        "failed [300]: The job left no result. (last words: slurmstepd: error: Detected 1 oom_kill event)"
    )


@pytest.mark.parametrize(
    ("state", "told"),
    [("running", None), ("waiting", None), ("created", None), ("killed", "was killed"), ("excepted", "without a word")],
)
def test_other_ends(builder, state, told):
    found = cause(builder.process(orm.WorkChainNode, "haml.hybrid", {}, state=state))
    assert found is None if told is None else told in found.reason


def test_the_number_of_statements_does_not_grow(builder, count_statements):
    hybrid = builder.process(orm.WorkChainNode, "haml.hybrid", {"candidates__a": orm.Dict({})})
    counts = []
    for number in range(4):
        job = builder.process(orm.CalcJobNode, "haml.cp2k", {}, hybrid, f"a__burst_{number:04d}", exit_status=300)
        leave(builder, job, f"error {number}")
        counts.append(count_statements(failures, hybrid))
    assert len(set(counts)) == 1, counts
