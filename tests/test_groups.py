"""Shared groups: found by level or by owner and name, filled twice as once, in company and alone."""

import pytest
from aiida import orm
from aiida.tools.archive import create_archive, import_archive

from aiida_haml.data.pool import LabelPoolData
from aiida_haml.groups import (
    LabelGroup,
    PotentialGroup,
    ScreenGroup,
    add_labels,
    add_potentials,
    add_screen,
    collect,
    merge_imported,
)
from tests.data.test_trust import other_writer
from tests.graphs import Builder, frames

LEVEL = {"name": "key", "engine": "teacher", "theory": {"calculator": "x:Y"}, "solver": [{}], "description": "no part"}


@pytest.fixture
def builder(aiida_profile_clean, aiida_localhost, tmp_path):
    return Builder(aiida_localhost, tmp_path)


def test_labels_are_found_by_their_level_and_put_in_once(builder):
    first, second = (frames("burst", seed=seed).store() for seed in (1, 2))
    pool = LabelPoolData.of({"c000__burst_0000": first}).store()
    for _ in range(2):
        (group,) = add_labels([first, second, pool], LEVEL)
    assert LabelGroup.collection.get(label="key").pk == group.pk
    assert {node.pk for node in group.nodes} == {first.pk, second.pk, pool.pk}
    assert group.base.extras.all == {"level": {"name": "key", "engine": "teacher", "theory": LEVEL["theory"]}}


def test_copies_from_the_cache_are_left_out(builder):
    """A screen that is run again finds its labels; they are the same ones, and stand in the group once."""
    original, copy = (builder.label(frames("structure", n=1).store(), seed=1) for _ in range(2))
    copy.creator.base.extras.set("_aiida_cached_from", original.creator.uuid)
    (group,) = add_labels([original, copy])
    assert [node.pk for node in group.nodes] == [original.pk]
    assert add_labels([copy]) == []


def test_levels_are_kept_apart(builder):
    here, there = frames("burst", seed=1).store(), frames("burst", seed=2)
    there.base.attributes.set("level_of_theory", "other")
    groups = add_labels([here, there.store()])
    assert [(g.label, [n.pk for n in g.nodes]) for g in groups] == [("key", [here.pk]), ("other", [there.pk])]


def test_what_is_no_label_is_refused(builder):
    with pytest.raises(ValueError, match="belongs to no level of theory"):
        add_labels([frames("stretch").store()])
    claimed = frames("stretch")
    claimed.base.attributes.set("level_of_theory", "key")
    with pytest.raises(ValueError, match="belongs to no level of theory"):
        add_labels([claimed.store()])
    assert LabelGroup.collection.count() == 0


def test_only_what_is_new_is_put_into_its_group(builder):
    """An import of a hundred nodes does not load the hundred thousand that were here."""
    labels = [frames("burst", seed=seed).store() for seed in range(3)]
    others = [frames("stretch").store(), orm.Dict({"level_of_theory": "key"}).store()]
    pool = LabelPoolData.of({"c000__burst_0000": labels[1]}).store()
    potential = builder.potential().store()
    assert collect([labels[1].pk, pool.pk, *(node.pk for node in others)]) == (2, 0)
    assert {node.pk for node in LabelGroup.collection.get(label="key").nodes} == {labels[1].pk, pool.pk}
    assert collect([]) == (0, 0)
    assert collect() == (4, 1)
    assert [node.pk for node in PotentialGroup.collection.get(label="key").nodes] == [potential.pk]


def test_potentials_have_groups_of_their_own(builder):
    potential = builder.potential().store()
    (group,) = add_potentials([potential])
    assert isinstance(group, PotentialGroup)
    assert [node.pk for node in group.nodes] == [potential.pk]


def test_screens_of_one_name_are_told_apart_by_their_owners(builder):
    other = orm.User(email="somebody@else").store()
    own = builder.process(orm.WorkChainNode, "haml.screen", {})
    foreign = orm.WorkChainNode(user=other)
    foreign.store()
    groups = [add_screen(node, "dopings", {"name": "dopings"}) for node in (own, foreign)]
    assert [g.label for g in groups] == [f"{own.user.email}/dopings", "somebody@else/dopings"]
    assert groups[1].base.extras.get("owner") == "somebody@else"
    assert ScreenGroup.collection.count() == 2


def test_a_worker_that_loses_the_race_for_a_new_group_takes_the_one_of_the_other(builder, monkeypatch):
    """Both look, neither finds, both make: the database lets one through."""
    label = frames("burst").store()
    find, asked = LabelGroup.collection.find, []

    def find_too_early(*args, **kwargs):
        asked.append(1)
        if len(asked) == 1:
            LabelGroup(label="key").store()
            return []
        return find(*args, **kwargs)

    monkeypatch.setattr(LabelGroup.collection, "find", find_too_early)
    (group,) = add_labels([label])
    assert [node.pk for node in group.nodes] == [label.pk]
    assert len(asked) == 2


def test_groups_are_filled_while_another_process_writes(builder):
    nodes = [frames("burst", seed=seed).store() for seed in range(20)]
    with other_writer():
        for node in nodes:
            add_labels([node], LEVEL)
    assert LabelGroup.collection.get(label="key").count() == len(nodes)


def test_groups_travel_with_their_extras_and_are_merged_on_demand(
    builder, aiida_config, aiida_profile_factory, tmp_path
):
    label = frames("burst").store()
    (group,) = add_labels([label], LEVEL)
    uuid, extras = label.uuid, group.base.extras.all
    create_archive([group], filename=tmp_path / "labels.aiida")
    with aiida_profile_factory(aiida_config):
        own = frames("burst", seed=3).store()
        add_labels([own])
        for _ in range(2):
            import_archive(tmp_path / "labels.aiida")
        assert LabelGroup.collection.count() == 2
        assert (merge_imported(), merge_imported()) == (1, 0)
        (group,) = LabelGroup.collection.all()
        assert (group.label, group.base.extras.all) == ("key", extras)
        assert {node.uuid for node in group.nodes} == {own.uuid, uuid}
