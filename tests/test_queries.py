"""The questions one asks of the graph, on graphs laid by hand."""

import time

import pytest
from aiida import orm
from aiida.common.links import LinkType
from aiida.tools.graph.graph_traversers import traverse_graph

from aiida_haml.queries import (
    ancestors,
    audit,
    called_descendants,
    cost,
    descendants,
    trace,
    training_steps,
)
from aiida_haml.queries.progress import progress
from tests.graphs import N_STEPS, Builder, frames, lay_screen


@pytest.fixture
def builder(aiida_localhost, tmp_path):
    return Builder(aiida_localhost, tmp_path)


@pytest.fixture
def graph(builder):
    return lay_screen(builder).made


# -- walks ---------------------------------------------------------------------------------------------------


def test_ancestors_are_those_of_the_slow_traversal(graph):
    for node in graph.values():
        links = (LinkType.CREATE, LinkType.INPUT_CALC)
        slow = traverse_graph([node.pk], links_backward=links)["nodes"] - {node.pk}
        assert ancestors(node.pk) == slow


def test_descendants_are_those_of_the_slow_traversal(graph):
    links = (LinkType.CREATE, LinkType.INPUT_CALC)
    slow = traverse_graph([graph["first"].pk], links_forward=links)["nodes"] - {graph["first"].pk}
    assert descendants(graph["first"].pk) == slow
    assert {graph["refined"].pk, graph["ranking"].pk} <= slow


def test_ancestors_of_several_nodes_are_the_union(graph):
    first, last = graph["first"].pk, graph["last"].pk
    assert first in ancestors([first, last])  # one of them made the other
    assert last not in ancestors([first, last])
    assert ancestors([first, last]) == ancestors(first) | ancestors(last)


def test_called_descendants_are_all_processes_below(graph):
    assert called_descendants(graph["screen"]) == {n.pk for n in graph["screen"].called_descendants}
    assert called_descendants(graph["screen"].pk) == called_descendants(graph["screen"])


def test_walks_stay_linear_where_paths_are_exponential(builder):
    """Ten generations, each of six nodes made from all six before: 6^10 paths over some seventy nodes."""
    layer = {f"in_{i}": orm.Int(i).store() for i in range(6)}
    for _ in range(10):
        calculation = builder.process(orm.CalcFunctionNode, "haml.mix", layer)
        layer = {f"in_{i}": orm.Int(i) for i in range(6)}
        builder.create(calculation, **layer)
    assert len(ancestors(layer["in_0"].pk)) == 6 + 9 * 7 + 1


# -- training ------------------------------------------------------------------------------------------------


def test_training_steps_lead_to_the_step_of_an_aimd_calculation(graph):
    steps = training_steps(graph["refined"])
    assert {s.label_uuid for s in steps} == {graph["first"].uuid, graph["second"].uuid}
    assert len(steps) == 2 * 4, "held-out frames teach nothing, and the older potential repeats frames"
    for step in steps:
        label = orm.load_node(step.label_uuid)
        assert step.calculation_uuid == label.creator.uuid
        assert step.step == step.frame <= N_STEPS
    assert {s.use for s in steps} == {"train", "valid"}


def test_training_steps_reach_back_through_the_potentials_started_from(builder):
    old = builder.burst(frames("structure", n=1).store(), None, 0.0, 1)
    new = builder.burst(frames("structure", n=1, seed=1).store(), None, 0.0, 2)
    refined = builder.train({"new": new}, None, initial=builder.train({"old": old}, None))
    assert {s.label_uuid for s in training_steps(refined)} == {old.uuid, new.uuid}


# -- audit ---------------------------------------------------------------------------------------------------


def test_audit_of_a_whole_graph_finds_nothing(graph):
    report = audit(graph["screen"])
    assert (report.n_cut, report.n_untraced, report.ok) == (0, 0, True), [*map(str, report.cut)]
    assert report.n_training_frames == 2 * (N_STEPS + 1)
    assert report.n_processes == 1 + len(graph["screen"].called_descendants)


def test_audit_names_a_node_made_in_a_step(builder):
    graph = lay_screen(builder, structure_made_in_step=True).made
    report = audit(graph["screen"])
    assert (report.n_cut, report.n_untraced, report.ok) == (1, 0, False)
    assert report.cut[0].pk == graph["structure"].pk
    assert "was made in a step" in str(report.cut[0])


def test_audit_names_a_result_returned_without_a_creator(builder, graph):
    report = audit(graph["screen"])
    assert report.ok
    screen = builder.process(orm.WorkChainNode, "haml.screen", {"candidates__a": orm.Dict({})})
    builder.give_back(screen, ranking=orm.Dict({"candidates": []}))
    report = audit(screen)
    assert [c.link for c in report.cut] == ["ranking"]
    assert "was returned" in report.cut[0].reason


def test_audit_lets_pass_what_a_person_gave_even_if_it_is_returned(builder):
    given = frames("structure", n=1).store()
    screen = builder.process(orm.WorkChainNode, "haml.screen", {"structure": given})
    child = builder.process(orm.WorkChainNode, "haml.hybrid", {"structure": given}, screen)
    builder.give_back(child, segments__segment_000=given)
    builder.give_back(screen, result=given)
    assert audit(screen).ok


def test_audit_follows_a_potential_into_the_screen_that_made_it(builder):
    """A cut in another screen is a cut in everything that learned from it."""
    old = lay_screen(builder, structure_made_in_step=True).made
    screen = builder.process(orm.WorkChainNode, "haml.screen", {"potential": old["refined"]})
    assert [c.pk for c in audit(screen).cut] == [old["structure"].pk]
    assert [c.pk for c in audit(old["ranking"]).cut] == [old["structure"].pk]


def test_audit_counts_training_frames_that_a_person_imported(builder):
    imported = frames("imported").store()
    measured = builder.burst(frames("structure", n=1).store(), None, 0.0)
    screen = builder.process(orm.WorkChainNode, "haml.screen", {"labels__a": imported, "labels__b": measured})
    builder.train({"a": imported, "b": measured}, screen)
    report = audit(screen)
    assert (report.n_cut, report.n_untraced) == (0, len(imported))
    assert report.untraced[0].pk == imported.pk


def test_audit_of_a_group_joins_its_nodes(builder):
    graph = lay_screen(builder, structure_made_in_step=True).made
    good = lay_screen(builder).made
    group = orm.Group(label="audited").store()
    group.add_nodes([good["screen"], graph["screen"]])
    assert audit(group).n_cut == 1


# -- cost ----------------------------------------------------------------------------------------------------


def test_cost_adds_up_what_the_engines_say(graph):
    report = cost(graph["screen"])
    assert {name: kind.seconds for name, kind in report.kinds.items() if name != "analysis"} == {
        "labels": 16.0,
        "training": 60.0,
        "MLP-MD": 4.0,
    }
    assert report.aimd_steps == 2 * N_STEPS
    assert report.seconds_per_step == 2.0
    assert (report.simulated_fs, report.simulated_steps) == (12.0, 24.0)
    assert report.aimd_alone_s == pytest.approx(48.0)
    assert report.speed_up == pytest.approx(48.0 / report.spent_s)


def test_cost_of_a_running_process_counts_up_to_now(builder):
    screen = builder.process(orm.WorkChainNode, "haml.screen", {"candidates__a": orm.Dict({})}, state="running")
    before = cost(screen).wall_s
    time.sleep(0.05)
    assert cost(screen).wall_s > before + 0.04


def test_cost_counts_a_cached_job_at_the_price_it_once_had(graph):
    before = cost(graph["screen"])
    graph["first"].creator.base.extras.set("_aiida_cached_from", "some-uuid")
    report = cost(graph["screen"])
    assert (report.n_cached, report.n_jobs) == (1, before.n_jobs - 1)
    assert report.kinds["labels"].seconds == before.kinds["labels"].seconds
    assert report.spent_s == pytest.approx(before.spent_s + 8.0, abs=1.0)


# -- trace and progress --------------------------------------------------------------------------------------


def test_trace_of_the_ranking_ends_at_aimd_steps(graph):
    text = trace(graph["ranking"])
    for label in ("first", "second"):
        job = graph[label].creator
        assert f"steps 0 to {N_STEPS} of CP2K calculation <{job.pk}> {job.uuid}" in text
    assert "train 0-2; valid 3; held_out 4" in text
    assert trace(graph["screen"]) == text


def test_trace_of_a_frame_names_its_step(graph):
    text = trace(graph["second"], frame=-1)
    assert f"step {N_STEPS} of CP2K calculation <{graph['second'].creator.pk}>" in text
    assert text.startswith(f"frame {N_STEPS} at 8 fs")
    with pytest.raises(ValueError, match="frames 0 to 4"):
        trace(graph["second"], frame=5)
    with pytest.raises(ValueError, match="holds no frames"):
        trace(graph["ranking"], frame=0)


def test_trace_expands_each_calculation_once(graph):
    text = trace(graph["ranking"])
    assert text.count("made by haml.train") == 2


def test_progress_counts_segments_of_each_candidate(graph):
    now = progress(graph["screen"])
    (candidate,) = now.candidates
    assert candidate.slug == "c000"
    assert (candidate.n_bursts, candidate.n_stretches, candidate.cycle) == (2, 2, 1)
    assert candidate.simulated_fs == 12.0
    assert now.screen.ok


def test_progress_shows_what_runs(builder):
    graph = lay_screen(builder, ended=False).made
    builder.train({"a": graph["first"]}, graph["hybrid"], state="running")
    (candidate,) = progress(graph["screen"]).candidates
    assert "training" in candidate.running


def test_progress_does_not_take_a_job_from_the_cache_for_done_before_it_is(builder):
    """Such a job is stored with the state of its source, goes through its own life, and is sealed at the end."""
    graph = lay_screen(builder, ended=False).made
    job = builder.process(orm.CalcJobNode, "haml.train", {"labels__a": graph["first"]}, graph["hybrid"])
    state = progress(graph["screen"]).processes[-1]
    assert (state.pk, state.ended) == (job.pk, False)
    job.base.extras.set("_aiida_cached_from", "some-uuid")
    builder.end()
    state = progress(graph["screen"]).processes[-1]
    assert (state.ended, state.verdict) == (True, "from cache")
