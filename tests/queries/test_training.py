"""From a potential to the AIMD steps that taught it, through the pool."""

from aiida import orm

from aiida_haml.queries import training_steps
from aiida_haml.queries.training import Teaching, trainings
from tests.graphs import N_STEPS, frames


def test_training_steps_lead_to_the_step_of_an_aimd_calculation(graph):
    steps = training_steps(graph["refined"])
    assert {s.label_uuid for s in steps} == {graph["first"].uuid, graph["second"].uuid}
    for step in steps:
        label = orm.load_node(step.label_uuid)
        assert step.calculation_uuid == label.creator.uuid
        assert step.step == step.frame <= N_STEPS
    assert {s.use for s in steps} == {"train", "valid"}
    assert len(steps) == len(set(steps))


def test_what_is_held_out_taught_nothing(graph):
    entries = {(e.source, e.frame): e.part for e in graph["grown"].entries()}
    keys = {graph[name].uuid: graph[name].content_key for name in ("first", "second")}
    taught = {(keys[s.label_uuid], s.frame): s.use for s in training_steps(graph["refined"])}
    assert taught == {at: part for at, part in entries.items() if part in ("train", "valid")}


def test_training_steps_reach_back_through_the_champions(builder):
    """Also where a champion comes from another screen, and its pool is no part of this one's."""
    labels = [builder.label(frames("structure", n=1, seed=i).store(), seed=10 + i) for i in range(2)]
    champion = builder.train(builder.gather({"a__burst_0000": labels[0]}))
    refined = builder.train(builder.gather({"b__burst_0000": labels[1]}), champion=champion)
    assert {s.label_uuid for s in training_steps(refined)} == {label.uuid for label in labels}
    assert {s.label_uuid for s in training_steps(champion)} == {labels[0].uuid}
    assert trainings([refined.pk]) == [refined.creator.pk, champion.creator.pk]


def test_labels_that_no_training_drew_taught_nothing(builder):
    """Above the cap of forces, or never replayed: in sight, and not learned from."""
    label = builder.label(frames("structure", n=1).store(), seed=15)
    pool = builder.gather({"a__burst_0000": label})
    keys = [entry.key for entry in pool.entries() if entry.part == "train"]
    first = builder.train(pool, trained_on=keys[:1])
    drawn = {
        s.frame for s in training_steps(builder.train(pool, champion=first, trained_on=keys[1:2])) if s.use == "train"
    }
    assert drawn == {e.frame for e in pool.entries() if e.key in keys[:2]}
    assert {s.frame for s in training_steps(first) if s.use == "valid"} == {4}
    # A champion that does not say what it drew may have drawn everything.
    silent = builder.train(pool)
    after = training_steps(builder.train(pool, champion=silent, trained_on=keys[1:2]))
    assert sum(s.use == "train" for s in after) == len(keys)


def test_isolated_atoms_and_imported_frames_are_listed_as_what_they_are(builder):
    atom = builder.label(frames("structure", n=1).store(), kind="isolated_atom", n=1, seed=20)
    imported = frames("burst", seed=21).store()
    steps = training_steps(builder.train(builder.gather({"a__burst_0000": imported}), Li=atom))
    assert [(s.frame, s.step, s.calculation_uuid) for s in steps if s.label_uuid == atom.uuid] == [
        (0, 0, atom.creator.uuid)
    ]
    assert {(s.step, s.calculation_uuid) for s in steps if s.label_uuid == imported.uuid} == {(None, None)}


def test_a_potential_from_elsewhere_has_no_steps(builder):
    assert training_steps(builder.potential().store()) == []


def test_the_number_of_statements_does_not_grow_with_the_rounds(builder, count_statements):
    pool = potential = None
    counts = []
    for number in range(6):
        label = builder.label(frames("structure", n=1, seed=number).store(), seed=30 + number)
        pool = builder.gather({f"a__burst_{number:04d}": label}, previous=pool)
        potential = builder.train(pool, champion=potential)
        counts.append(count_statements(training_steps, potential))
    # The first call also reads the pk of the potential.
    assert len(set(counts)) == 1, counts
    teaching = Teaching([potential.creator.pk])
    assert len(list(teaching.lessons(potential.creator.pk))) == 6
    assert len(list(teaching.pools(potential.creator.pk))) == 6
