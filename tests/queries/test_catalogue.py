"""What the shared groups hold, by level, elements, error, person and time."""

from datetime import UTC, datetime, timedelta

import pytest
from aiida import orm

from aiida_haml.groups import add_labels, add_potentials
from aiida_haml.queries import find_labels, find_levels, find_potentials
from aiida_haml.queries.screens import find_screens
from tests.graphs import Builder, frames, lay_screen


@pytest.fixture
def builder(aiida_profile_clean, aiida_localhost, tmp_path):
    return Builder(aiida_localhost, tmp_path)


def labels_of(builder):
    burst = builder.label(frames("structure", n=1).store(), seed=1)
    atom = builder.label(frames("structure", n=1, seed=1).store(), kind="isolated_atom", n=1)
    imported = frames("burst", seed=3).store()
    add_labels([burst, atom, imported], {"name": "key", "engine": "cp2k", "theory": {"XC": "PBE"}})
    return burst, atom, imported


def potential(builder, error=None, elements=("Li",)):
    node = builder.potential()
    node.base.attributes.set("elements", list(elements))
    if error is not None:
        node.base.attributes.set("errors", {"held_out": {"force_rmse": error}})
    add_potentials([node.store()])
    return node


def test_labels_are_found_newest_first_with_what_made_them(builder):
    burst, atom, imported = labels_of(builder)
    found = find_labels("key")
    assert [entry.pk for entry in found] == [imported.pk, atom.pk, burst.pk]
    assert [entry.calculation for entry in found] == [None, atom.creator.pk, burst.creator.pk]
    assert (found[2].kind, found[2].n_frames, found[2].elements, found[2].uuid) == ("burst", 5, ("Li",), burst.uuid)
    assert [entry.pk for entry in find_labels(kind="isolated_atom")] == [atom.pk]
    assert find_labels("other") == find_labels(elements=["Li", "S"]) == []
    assert len(find_labels(elements=["Li"])) == 3


def test_labels_are_found_by_person_and_time(builder):
    burst, *_ = labels_of(builder)
    other = orm.User(email="somebody@else").store()
    theirs = frames("burst", seed=9)
    theirs.user = other
    add_labels([theirs.store()])
    assert [entry.pk for entry in find_labels(owner="somebody@else")] == [theirs.pk]
    assert burst.pk not in {entry.pk for entry in find_labels(since=theirs.ctime)}
    assert find_labels(since=datetime.now(UTC) + timedelta(hours=1)) == []


def test_levels_say_what_they_stand_for_and_how_much_there_is(builder):
    burst, *_ = labels_of(builder)
    pool = builder.gather({"a__burst_0000": burst})
    add_labels([pool])
    potential(builder)
    (level,) = find_levels()
    assert (level.key, level.n_nodes, level.n_frames, level.n_pools, level.n_potentials) == ("key", 3, 11, 1, 1)
    assert level.elements == ("Li",)
    assert level.content["theory"] == {"XC": "PBE"}


def test_potentials_are_found_by_error_and_elements(builder):
    worse, unknown, better = potential(builder, 0.2), potential(builder), potential(builder, 0.1, ("Li", "S"))
    assert [entry.pk for entry in find_potentials("key")] == [better.pk, worse.pk, unknown.pk]
    assert [entry.pk for entry in find_potentials(max_force_rmse=0.15)] == [better.pk]
    assert [entry.pk for entry in find_potentials(elements=["S"])] == [better.pk]
    assert [entry.is_trusted for entry in find_potentials()] == [False] * 3
    worse.trust()
    assert [entry.is_trusted for entry in find_potentials()] == [False, True, False]


@pytest.mark.parametrize("hashes", [None, [], "text", 7, [["a"]], {}])
def test_a_node_with_hostile_attributes_spoils_no_list(builder, hashes):
    good, hostile = potential(builder, 0.1), potential(builder, 0.2)
    good.trust()
    # As an archive brings it: no validation stands in its way.
    from aiida.manage import get_manager
    from aiida.orm.entities import EntityTypes

    attributes = {**hostile.base.attributes.all, "sha256": hashes, "elements": None}
    get_manager().get_profile_storage().bulk_update(EntityTypes.NODE, [{"id": hostile.pk, "attributes": attributes}])
    assert [(entry.pk, entry.is_trusted) for entry in find_potentials()] == [(good.pk, True), (hostile.pk, False)]


def test_the_number_of_statements_for_screens_does_not_grow(builder, count_statements):
    counts = []
    for number in range(3):
        lay_screen(builder).made["screen"].label = f"screen {number}"
        counts.append((count_statements(find_screens), count_statements(find_screens, "screen 0")))
    assert len(set(counts)) == 1, counts
    assert len(find_screens()) >= 3
    assert max(counts[0]) <= 4


def test_the_number_of_statements_does_not_grow(builder, count_statements):
    counts = []
    for number in range(3):
        add_labels([builder.label(frames("structure", n=1).store(), seed=number)])
        potential(builder, 0.1 * number)
        counts.append((count_statements(find_labels), count_statements(find_potentials), count_statements(find_levels)))
    assert len(set(counts)) == 1, counts
