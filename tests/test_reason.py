"""The deepest reason of a failure, in one line, from graphs laid by hand."""

import io

import pytest
from aiida import orm
from aiida.common.links import LinkType

from aiida_haml.queries.reason import deepest_reason


@pytest.fixture
def call(aiida_localhost):
    """A function that lays a process, called by another."""

    def lay(kind, caller=None, label="", state="finished", exit_status=0, message=None, exception=None):
        node = kind(computer=aiida_localhost) if kind is orm.CalcJobNode else kind()
        if caller is not None:
            work = isinstance(node, orm.WorkflowNode)
            node.base.links.add_incoming(caller, LinkType.CALL_WORK if work else LinkType.CALL_CALC, f"c{id(node)}")
        node.set_process_label(label)
        node.set_process_state(state)
        if state == "finished":
            node.set_exit_status(exit_status)
            node.set_exit_message(message)
        if exception:
            node.set_exception(exception)
        return node.store()

    return lay


def test_an_exception_two_levels_down_is_found(call):
    """The screen said that its atoms failed; the reason was an option that a job does not have."""
    screen = call(
        orm.WorkChainNode, None, "ScreenWorkChain", exit_status=400, message="The atoms could not be labelled."
    )
    atoms = call(orm.WorkChainNode, screen, "AtomsWorkChain", exit_status=410, message="A label failed.")
    call(orm.WorkChainNode, atoms, "LabelWorkChain")
    label = call(
        orm.WorkChainNode, atoms, "LabelWorkChain", "excepted",
        exception="Traceback (most recent call last):\n  ...\nValueError: Unexpected ports {'queue': 'gpu'}\n",
    )  # fmt: skip
    assert str(deepest_reason(screen)) == (
        f"LabelWorkChain<{label.pk}> broke off: ValueError: Unexpected ports {{'queue': 'gpu'}}"
    )


def test_the_last_failure_counts_and_borne_ones_do_not(call):
    chain = call(orm.WorkChainNode, None, "TrainWorkChain", exit_status=402, message="No potential.")
    call(orm.CalcJobNode, chain, "TrainCalculation", exit_status=300, message="Nothing was left.")
    second = call(orm.CalcJobNode, chain, "TrainCalculation", exit_status=400, message="The wall time was over.")
    call(orm.CalcJobNode, chain, "EvaluateCalculation")
    reason = deepest_reason(chain)
    assert (reason.pk, reason.text) == (second.pk, "failed [400]: The wall time was over.")
    recovered = call(orm.WorkChainNode, None, "TrainWorkChain")
    call(orm.CalcJobNode, recovered, "TrainCalculation", exit_status=300, message="Nothing was left.")
    assert deepest_reason(recovered) is None


def test_a_job_has_last_words(call):
    job = call(orm.CalcJobNode, None, "TrainCalculation", exit_status=300, message="The job left no result.")
    retrieved = orm.FolderData()
    text = "warning\nslurmstepd: error: Detected 1 oom_kill event\n\n"
    retrieved.base.repository.put_object_from_filelike(io.BytesIO(text.encode()), "_scheduler-stderr.txt")
    retrieved.base.links.add_incoming(job, LinkType.CREATE, "retrieved")
    retrieved.store()
    assert deepest_reason(job).text == (
        "failed [300]: The job left no result. (last words: slurmstepd: error: Detected 1 oom_kill event)"
    )


@pytest.mark.parametrize(
    ("state", "told"),
    [("running", None), ("waiting", None), ("created", None), ("killed", "was killed"), ("excepted", "without a word")],
)
def test_other_ends(call, state, told):
    reason = deepest_reason(call(orm.WorkChainNode, None, "HybridWorkChain", state))
    assert reason is None if told is None else told in reason.text


def test_one_statement_a_level(call, monkeypatch):
    node = top = call(orm.WorkChainNode, None, "Top", exit_status=1, message="top")
    for depth in range(5):
        for _ in range(20):
            call(orm.WorkChainNode, node, "Fine")
        node = call(orm.WorkChainNode, node, f"Level{depth}", exit_status=1, message=f"level {depth}")
    asked = []
    iterall = orm.QueryBuilder.iterall
    monkeypatch.setattr(orm.QueryBuilder, "iterall", lambda self, *a, **k: asked.append(1) or iterall(self, *a, **k))
    assert deepest_reason(top).text == "failed [1]: level 4"
    assert len(asked) <= 8  # five levels, the top, what is below the last, and that node
