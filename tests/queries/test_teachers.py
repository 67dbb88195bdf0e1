"""Which labels taught what, and what a label was made for."""

import numpy as np
import pytest
from aiida import orm

from aiida_haml.queries import candidates_taught_by, label_story, labels_behind
from aiida_haml.queries.teachers import potentials_taught_by, trainings_with
from tests.graphs import frames


def test_behind_a_rank_stand_the_labels_of_all_generations(graph):
    behind = labels_behind(graph["ranking"])
    assert [(t.pk, t.name, t.candidate) for t in behind] == [
        (graph["first"].pk, "c000__burst_0000", "c000"),
        (graph["second"].pk, "c000__burst_0001", "c000"),
    ]
    assert [t.calculation for t in behind] == [graph["first"].creator.pk, graph["second"].creator.pk]
    assert [t.pk for t in labels_behind(graph["stretch"])] == [graph["first"].pk]
    assert labels_behind(graph["first"]) == []


def test_a_label_teaches_onward_through_pools_and_champions(graph):
    first, second = graph["first"].pk, graph["second"].pk
    assert potentials_taught_by([first]) == [graph["potential"].pk, graph["refined"].pk]
    assert potentials_taught_by([second]) == [graph["refined"].pk]
    (pupil,) = candidates_taught_by([first])
    assert (pupil.screen, pupil.candidate, pupil.n_stretches) == (graph["screen"].pk, "c000", 2)
    (pupil,) = candidates_taught_by([second])
    assert pupil.n_stretches == 1


def test_a_label_teaches_the_candidates_of_other_screens_that_share_the_pool(builder):
    label = builder.label(frames("structure", n=1).store(), seed=80)
    pool = builder.gather({"a__burst_0000": label})
    given = {f"candidates__{slug}": orm.Dict({}).store() for slug in ("b", "c")}
    screens = [builder.process(orm.WorkChainNode, "haml.screen", given) for _ in range(2)]
    for number, screen in enumerate(screens):
        screen.label = f"screen {number}"
        own = builder.label(frames("structure", n=1).store(), seed=81 + number)
        learned = builder.train(builder.gather({"b__burst_0000": own}, screen, pool), screen)
        for slug in ("b", "c"):
            start = frames("structure", n=1, seed=number).store()
            builder.stretch(start, learned, screen, call=f"{slug}__stretch_0001")
    pupils = candidates_taught_by([label.pk])
    assert [(p.screen, p.screen_label, p.candidate) for p in pupils] == [
        (screen.pk, screen.label, slug) for screen in screens for slug in ("b", "c")
    ]


def test_an_isolated_atom_teaches_the_trainings_that_were_given_it(builder):
    atom = builder.label(frames("structure", n=1).store(), kind="isolated_atom", n=1, seed=84)
    pool = builder.gather({"a__burst_0000": builder.label(frames("structure", n=1).store(), seed=85)})
    potential = builder.train(pool, Li=atom)
    assert trainings_with([atom.pk]) == [potential.creator.pk]
    assert {t.kind for t in labels_behind(potential)} == {"isolated_atom", "burst"}
    assert label_story(atom).purposes[0].reason == "the isolated atom"


def test_a_probe_tells_why_it_was_labelled_and_what_it_changed(builder):
    """Three frames were chosen; the SCF of the second one did not converge."""
    stretch = frames("stretch", n=9).store()
    select = builder.process(orm.CalcFunctionNode, "haml.select_probes", {"frames": stretch})
    reasons = [{"reason": f"reason {number}", "kind": "far"} for number in range(3)]
    builder.create(select, selection=frames("selection", n=3), why=orm.Dict({"frames": reasons}))
    screen = builder.process(orm.WorkChainNode, "haml.screen", {})
    inputs = {"initial": select.outputs.selection}
    job = builder.process(orm.CalcJobNode, "haml.cp2k", inputs, screen, "c000__probes_0003")
    probes = builder.create(job, frames=frames("probes", n=2, seed=86), output_parameters=orm.Dict({"kept": [0, 2]}))
    pool = builder.gather({"c000__probes_0003": probes}, screen)
    inputs = {"pool": pool, "tests__c000__probes_0003": probes}
    learn = builder.process(orm.CalcJobNode, "haml.learn", inputs, screen)
    tests = orm.ArrayData()
    tests.set_array("c000__probes_0003__force_rmse", np.array([0.5, 0.25]))
    told = orm.Dict({"reason": "the challenger is better"})
    builder.create(learn, potential=builder.potential(), tests=tests, errors=told)

    story = label_story(probes)
    assert (story.name, story.calculation) == ("c000__probes_0003", job.pk)
    assert [p.reason for p in story.purposes] == ["reason 0", "reason 2"]
    parts = {(e.source, e.frame): e.part for e in pool.entries()}
    assert [p.parts for p in story.purposes] == [(parts[probes.content_key, i],) for i in range(2)]
    (score,) = story.scores
    assert (score.training, score.force_rmse, score.outcome) == (learn.pk, (0.5, 0.25), "the challenger is better")
    assert story.potentials == (learn.outputs.potential.pk,)


def test_frames_of_a_burst_and_of_a_person_say_so(graph, builder):
    story = label_story(graph["second"])
    assert {p.reason for p in story.purposes} == {"the time line"}
    assert story.name == "c000__burst_0001"
    assert {p.reason for p in label_story(frames("burst", seed=87).store()).purposes} == {"given by a person"}
    with pytest.raises(ValueError, match="holds no labels"):
        label_story(graph["stretch"])


def test_the_number_of_statements_does_not_grow(builder, count_statements):
    pool = potential = None
    counts = []
    screen = builder.process(orm.WorkChainNode, "haml.screen", {})
    first = builder.label(frames("structure", n=1).store(), screen, seed=88)
    for number in range(4):
        label = first if number == 0 else builder.label(frames("structure", n=1).store(), screen, seed=88 + number)
        pool = builder.gather({f"a__burst_{number:04d}": label}, screen, pool)
        potential = builder.train(pool, screen, champion=potential)
        last = builder.stretch(label, potential, screen, call=f"a__stretch_{number:04d}")
        counts.append((count_statements(labels_behind, last), count_statements(candidates_taught_by, [first.pk])))
    assert len(set(counts)) == 1, counts
