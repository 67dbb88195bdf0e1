"""Whole graphs pass; what is cut, untraced or doubtful is named, each planted alone."""

import numpy as np
import pytest
from aiida import orm

from aiida_haml.data.frames import FramesData
from aiida_haml.data.potential import PotentialData
from aiida_haml.engines.start_numbers import facts
from aiida_haml.frames import concatenate
from aiida_haml.queries import audit
from aiida_haml.queries.training import training_steps
from aiida_haml.starts import start_potential
from tests.graphs import N_STEPS, frames, lay_screen


def start(seed):
    return frames("structure", n=1, seed=seed).store()


def test_a_whole_graph_is_clean(graph):
    report = audit(graph["screen"])
    assert report.ok, [*map(str, report.problems)]
    assert (report.n_cut, report.n_untraced) == (0, 0)
    assert report.n_training_frames == 2 * (N_STEPS + 1)
    # Beside what the screen called stands nothing: its structure and all labels were made in it.
    assert report.n_processes == 1 + len(graph["screen"].called_descendants)


def test_the_audit_of_a_result_sees_what_made_it(graph):
    report = audit(graph["ranking"])
    assert report.ok
    assert report.n_training_frames == 2 * (N_STEPS + 1)


def test_a_node_made_in_a_step_is_named(builder):
    graph = lay_screen(builder, structure_made_in_step=True).made
    report = audit(graph["screen"])
    assert (report.n_cut, report.n_untraced, report.ok) == (1, 0, False)
    assert report.cut[0].pk == graph["structure"].pk
    assert "FramesData" in str(report.cut[0])
    assert "was made in a step" in str(report.cut[0])


RETURNED = {
    "ranking": lambda _: orm.Dict({"candidates": []}),
    "potential": lambda builder: builder.potential(),
    "trajectories__a__history": lambda _: orm.Dict({"rounds": []}),
    "trajectories__a__segments__segment_0000": lambda _: frames("burst"),
    "clusters": lambda _: orm.ArrayData(np.zeros(3)),
}


@pytest.mark.parametrize("port", RETURNED)
def test_a_result_returned_without_a_creator_is_named(builder, port):
    screen = builder.process(orm.WorkChainNode, "haml.screen", {"candidates__a": orm.Dict({})})
    builder.give_back(screen, **{port: RETURNED[port](builder)})
    report = audit(screen)
    assert [c.link for c in report.cut] == [port]
    assert "was returned" in report.cut[0].reason


def test_a_label_that_a_workflow_made_itself_is_named_where_it_is_used(builder):
    """Handed from one step to the next, and never returned."""
    screen = builder.process(orm.WorkChainNode, "haml.screen", {"candidates__a": orm.Dict({})})
    label = frames("burst").store()
    builder.gather({"a__burst_0000": label}, screen)
    report = audit(screen)
    assert [c.pk for c in report.cut] == [label.pk]


def test_what_a_person_gave_passes_even_if_it_is_returned(builder):
    given = start(1)
    screen = builder.process(orm.WorkChainNode, "haml.screen", {"structure": given})
    child = builder.process(orm.WorkChainNode, "haml.hybrid", {"structure": given}, screen)
    builder.give_back(child, segments__segment_000=given)
    builder.give_back(screen, result=given)
    assert audit(screen).ok
    assert audit(given).ok, "the workflows that returned it lie outside what is looked at"


def test_a_node_that_a_workflow_elsewhere_returned_from_nowhere_is_named(builder):
    """Only the node is looked at; that no person gave it stands in processes above and beside it."""
    screen = builder.process(orm.WorkChainNode, "haml.screen", {"structure": start(1)})
    child = builder.process(orm.WorkChainNode, "haml.hybrid", {}, screen)
    made = frames("stretch")
    builder.give_back(child, segments__segment_000=made)
    assert [c.pk for c in audit(made).cut] == [made.pk]


def test_a_cut_in_another_screen_is_a_cut_in_everything_that_learned_from_it(builder):
    old = lay_screen(builder, structure_made_in_step=True).made
    screen = builder.process(orm.WorkChainNode, "haml.screen", {"potential": old["refined"]})
    assert [c.pk for c in audit(screen).cut] == [old["structure"].pk]
    assert [c.pk for c in audit(old["ranking"]).cut] == [old["structure"].pk]


def test_training_frames_that_a_person_imported_are_counted(builder):
    imported = frames("burst", seed=5).store()
    measured = builder.label(start(1), seed=6)
    screen = builder.process(orm.WorkChainNode, "haml.screen", {"labels__a": imported, "labels__b": measured})
    pool = builder.gather({"a__imported": imported, "b__burst_0000": measured}, screen)
    first = builder.train(pool, screen)
    more = builder.gather({"b__burst_0001": builder.label(start(2), seed=7)}, screen, pool)
    builder.train(more, screen, champion=first)
    report = audit(screen)
    assert (report.n_cut, report.n_untraced) == (0, len(imported))
    assert (report.untraced[0].pk, report.untraced[0].training) == (imported.pk, first.creator.pk)
    assert "no process created them" in str(report.untraced[0])


def test_labels_of_a_burst_that_was_cut_short_are_traced_to_the_job_and_the_step(builder):
    structure = frames("structure", n=1)
    first = builder.label(structure, n=3)
    second = builder.label(first, start=1.0, n=4, seed=1)
    joining = builder.process(orm.CalcFunctionNode, "join_frames", {"part_000": first, "part_001": second})
    run = concatenate([first.frames, second.frames])
    joined = builder.create(joining, result=FramesData(run, kind="burst", level_of_theory=first.level_of_theory))
    potential = builder.train(builder.gather({"a__burst_0000": joined}))
    assert len(joined) == 6
    report = audit(potential)
    assert (report.n_training_frames, report.n_untraced) == (6, 0)
    told = sorted((step.frame, step.calculation_uuid, step.step) for step in training_steps(potential))
    jobs = [node.creator.uuid for node in (first, second)]
    known = [(0, jobs[0], 0), (1, jobs[0], 1), (2, jobs[0], 2), (3, jobs[1], 1), (4, jobs[1], 2), (5, jobs[1], 3)]
    assert set(told) <= set(known), "what is held out teaches nothing"
    assert {step[1] for step in told} == set(jobs)


def test_labels_that_another_process_made_up_are_counted(builder):
    mix = builder.process(orm.CalcFunctionNode, "haml.mix", {"a": orm.Int(1)})
    made_up = builder.create(mix, result=frames("burst", seed=8))
    report = audit(builder.train(builder.gather({"a__burst_0000": made_up})))
    assert report.n_untraced == len(made_up)
    assert f"made by haml.mix <{mix.pk}>" in str(report.untraced[0])


def test_the_audit_of_a_group_joins_its_nodes(builder, count_statements):
    cut = lay_screen(builder, structure_made_in_step=True).made
    good = lay_screen(builder).made
    group = orm.Group(label="audited").store()
    group.add_nodes([good["screen"], cut["screen"]])
    alone = orm.Group(label="alone").store()
    alone.add_nodes([cut["screen"]])
    assert audit(group).n_cut == 1
    assert audit(alone).n_cut == 1  # the ORM has loaded both groups by now
    assert count_statements(audit, alone) == count_statements(audit, group)


# -- doubts --------------------------------------------------------------------------------------------------


def only(report):
    assert not report.ok
    (doubt,) = report.doubts
    return doubt


def test_a_potential_whose_teachers_are_unknown_is_named(builder):
    """A person gave it, so nothing is cut; but nobody knows what it learned from."""
    potential = builder.potential().store()
    screen = builder.process(orm.WorkChainNode, "haml.screen", {"potential": potential})
    builder.train(builder.gather({"a__burst_0000": builder.label(start(1), seed=9)}), screen, champion=potential)
    doubt = only(audit(screen))
    assert doubt.pk == potential.pk
    assert "was trained elsewhere" in str(doubt)


def test_what_comes_with_the_package_is_known(builder):
    """Its numbers are those of the package, whatever a node says of itself."""
    begun = builder.process(orm.WorkChainNode, "haml.screen", {"foundation": start_potential().store()})
    assert audit(begun).ok
    pretends = builder.potential()
    pretends.base.attributes.set("level_of_theory", facts()["level_of_theory"])
    screen = builder.process(orm.WorkChainNode, "haml.screen", {"foundation": pretends.store()})
    assert "was trained elsewhere" in str(only(audit(screen)))


def test_no_model_is_read_where_the_hashes_are_known(builder, monkeypatch):
    """Of what was built here, and of what is of another level of theory; files of others under its hashes are read."""
    begun = builder.process(orm.WorkChainNode, "haml.screen", {"foundation": start_potential().store()})
    foreign = builder.process(orm.WorkChainNode, "haml.screen", {"foundation": builder.potential().store()})
    pretends = builder.potential()
    pretends.store()
    says = {"level_of_theory": facts()["level_of_theory"], "sha256": start_potential().sha256}
    pretends.base.attributes._backend_node.set_attribute_many(says)  # as an archive may bring it
    forged = builder.process(orm.WorkChainNode, "haml.screen", {"foundation": pretends})
    read, read_member = [], PotentialData.read_member
    monkeypatch.setattr(PotentialData, "read_member", lambda node, i: read.append(node.pk) or read_member(node, i))
    assert audit(begun).ok
    assert "was trained elsewhere" in str(only(audit(foreign)))
    assert read == []
    assert "was trained elsewhere" in str(only(audit(forged)))
    assert set(read) == {pretends.pk}


def test_a_potential_that_no_training_made_is_named(builder):
    made = builder.create(builder.process(orm.CalcFunctionNode, "haml.mix", {}), result=builder.potential())
    assert "is no training" in str(only(audit(made)))


def test_a_label_job_without_its_start_is_named(builder):
    """As a partial archive leaves it."""
    job = builder.process(orm.CalcJobNode, "haml.cp2k", {})
    label = builder.create(job, frames=frames("burst", seed=10))
    doubt = only(audit(builder.train(builder.gather({"a__burst_0000": label}))))
    assert doubt.pk == job.pk
    assert "that it started from" in str(doubt)


def pool_with(builder, change):
    """A pool, gathered by the graph from two labels, whose attributes say something else."""
    labels = {f"a__burst_{n:04d}": builder.label(start(n), seed=40 + n) for n in range(2)}
    gathered = builder.process(orm.CalcFunctionNode, "haml.gather", labels)
    pool = type(builder.gather(labels)).of(labels)
    attributes = pool.base.attributes.all
    change(attributes)
    pool.base.attributes.reset(attributes)
    return builder.create(gathered, result=pool)


def longer(attributes):
    attributes["labels"]["a__burst_0000"]["frame"][-1] = N_STEPS + 1


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (longer, f"lists frame {N_STEPS + 1} of a__burst_0000"),
        (lambda a: a["labels"].pop("a__burst_0001"), "gathered from the labels a__burst_0001 and does not list"),
        (lambda a: a["labels"].update(x__burst_0000={}), "lists the labels x__burst_0000, which are not in this"),
        (lambda a: a.update(previous="0" * 64), "does not fit the pool before it"),
        (lambda a: a.update(labels=None), "does not list"),
    ],
    ids=["frames-not-there", "unlisted", "gone", "no-past", "nothing"],
)
def test_a_pool_that_is_not_what_it_says_is_named(builder, change, reason):
    potential = builder.train(pool_with(builder, change))
    doubt = only(audit(potential))
    assert doubt.type == "LabelPoolData"
    assert reason in str(doubt)


def test_a_pool_without_the_job_that_gathered_it_is_named(builder):
    pool = builder.gather({"a__burst_0000": builder.label(start(1), seed=11)}).clone()
    screen = builder.process(orm.WorkChainNode, "haml.screen", {"pool": pool.store()})
    builder.train(pool, screen)
    doubt = only(audit(screen))
    assert doubt.pk == pool.pk
    assert "what was gathered in it" in str(doubt)


def test_an_isolated_atom_from_an_archive_under_an_own_training_is_named(builder):
    atom = builder.label(start(1), kind="isolated_atom", n=1, seed=12)
    potential = builder.train(builder.gather({"a__burst_0000": builder.label(start(2), seed=13)}), Li=atom)
    assert audit(potential).ok
    atom.base.extras.delete("_aiida_hash")
    doubt = only(audit(potential))
    assert doubt.pk == atom.pk
    assert "relies on its energy" in str(doubt)
    # A screen that was imported whole holds together in itself.
    potential.creator.base.extras.delete("_aiida_hash")
    assert audit(potential).ok


def test_the_number_of_statements_does_not_grow(builder, count_statements):
    counts = []
    pool = potential = None
    screen = builder.process(orm.WorkChainNode, "haml.screen", {"structure": start(1)})
    for number in range(5):
        label = builder.label(start(number), screen, seed=50 + number)
        pool = builder.gather({f"a__burst_{number:04d}": label}, screen, pool)
        potential = builder.train(pool, screen, champion=potential)
        counts.append(count_statements(audit, screen))
    assert len(set(counts[1:])) == 1, counts
