"""How far a screen is: by the judge's word, as it runs, and at the price of what has changed."""

from aiida import orm

from aiida_haml.queries import cost
from aiida_haml.queries.progress import progress
from tests.graphs import lay_screen


def test_segments_and_rounds_of_each_candidate_are_counted(graph):
    now = progress(graph["screen"])
    (candidate,) = now.candidates
    assert (candidate.slug, candidate.verdict) == ("c000", "done")
    assert (candidate.n_bursts, candidate.n_stretches, candidate.round) == (2, 2, 2)
    assert now.screen.ok
    assert {s.candidate for s in now.processes} == {"", "c000"}


def test_time_counts_that_the_judge_let_stand(builder):
    """A revoked stretch ran for its time, and is not on the time line."""
    graph = lay_screen(builder, ended=False).made
    assert progress(graph["screen"]).candidates[0].simulated_fs == 12.0
    builder.judge(graph["hybrid"], 3, c000=18.0, other=3.0)
    builder.judge(graph["hybrid"], 4, c000=6.0)
    reached = {c.slug: c.simulated_fs for c in progress(graph["screen"]).candidates}
    assert reached == {"c000": 6.0}
    assert progress(graph["screen"]).reached == {"c000": 6.0, "other": 3.0}


def test_what_runs_is_shown(builder):
    graph = lay_screen(builder, ended=False).made
    builder.stretch(graph["last"], graph["refined"], graph["hybrid"], call="c000__stretch_0003")
    job = builder.process(
        orm.CalcJobNode, "haml.cp2k", {"initial": graph["last"]}, graph["hybrid"], "c000__burst_0003", state="running"
    )
    (candidate,) = progress(graph["screen"]).candidates
    assert "labels" in candidate.running
    assert progress(graph["screen"]).processes[-1].pk == job.pk


def test_what_serves_all_candidates_is_seen_while_it_runs(builder):
    """Hours of a training, of the ranking or of isolated atoms are nobody's own, and no pause either."""
    graph = lay_screen(builder, ended=False).made
    builder.process(orm.CalcJobNode, "haml.learn", {}, graph["hybrid"], "learn_0003", state="running")
    atoms = builder.process(orm.WorkChainNode, "haml.atoms", {}, graph["hybrid"], "atoms", state="running")
    builder.process(orm.CalcJobNode, "haml.cp2k", {}, atoms, "atom_Li", state="running")
    builder.process(orm.CalcJobNode, "haml.cp2k", {}, graph["hybrid"], "c000__burst_0003", state="running")
    builder.end()
    now = progress(graph["screen"])
    assert now.shared == ["training", "labels"]
    assert [c.running for c in now.candidates] == [["labels"]]


def test_a_component_whose_lattice_is_relaxed_is_no_candidate(builder):
    """It has a name of its own and jobs of its own, as a candidate has."""
    graph = lay_screen(builder, ended=False).made
    lattices = builder.process(orm.WorkChainNode, "haml.lattices", {}, graph["screen"], "lattices", state="running")
    label = builder.process(
        orm.WorkChainNode, "haml.label", {}, lattices, "electrolyte_000__relaxation", state="running"
    )
    builder.process(orm.CalcJobNode, "haml.cp2k", {}, label, "iteration_01", state="running")
    now = progress(graph["screen"])
    assert [c.slug for c in now.candidates] == ["c000"]
    assert now.processes[-1].candidate == ""
    assert set(cost(graph["screen"]).candidates) == {"c000", "all"}


def test_why_a_trajectory_ended_is_told(builder):
    graph = lay_screen(builder).made
    graph["hybrid"].base.extras.set("haml_failures", {"c000": "its burst gave no labels."})
    assert progress(graph["screen"]).candidates[0].verdict == "FAILED: its burst gave no labels."


def test_a_job_from_the_cache_is_not_done_before_it_is(builder):
    """Such a job is stored with the state of its source, goes through its own life, and is sealed at the end."""
    graph = lay_screen(builder, ended=False).made
    job = builder.process(orm.CalcJobNode, "haml.learn", {"pool": graph["pool"]}, graph["hybrid"])
    state = progress(graph["screen"]).processes[-1]
    assert (state.pk, state.ended) == (job.pk, False)
    job.base.extras.set("_aiida_cached_from", "some-uuid")
    builder.end()
    state = progress(graph["screen"]).processes[-1]
    assert (state.ended, state.verdict) == (True, "from cache")


def test_a_second_look_reads_what_has_changed(builder, count_statements):
    graph = lay_screen(builder, ended=False).made
    first = progress(graph["screen"])
    builder.judge(graph["hybrid"], 3, c000=14.0)
    again = progress(graph["screen"], first)
    assert again == progress(graph["screen"])
    builder.end()
    ended = progress(graph["screen"], again)
    assert ended == progress(graph["screen"])
    assert ended.screen.ended
    assert count_statements(progress, graph["screen"], ended) <= 7
