"""The pool's node: an index that grows by what is new, found again through the graph."""

import json
from dataclasses import replace

import pytest
import sqlalchemy as sa
from aiida import orm
from aiida.common.exceptions import NotExistent
from aiida.manage import get_manager
from aiida.manage.caching import enable_caching

from aiida_haml.calculations.pool import gather
from aiida_haml.data.frames import FramesData
from aiida_haml.data.pool import LabelPoolData
from tests.labels import emt_frames

LEVEL = "teacher-emt"


def label(n_frames: int = 3, seed: int = 0, kind: str = "burst", level: str = LEVEL) -> FramesData:
    return FramesData(emt_frames(n_frames, seed=seed), kind=kind, level_of_theory=level).store()


def rounds(n: int, n_frames: int = 3) -> list[LabelPoolData]:
    """Pools of some rounds, each with a burst and probes of one candidate."""
    pools: list[LabelPoolData] = []
    for i in range(n):
        labels = {
            f"a__burst_{i:04d}": label(n_frames, 2 * i),
            f"a__probes_{i:04d}": label(n_frames, 2 * i + 1, "probes"),
        }
        pools.append(gather(**labels, **({"previous": pools[-1]} if pools else {})))
    return pools


def statements(function):
    """Return what a function returns and how many statements it sent to the database."""
    engine = get_manager().get_profile_storage().get_session().get_bind()
    sent = []

    def listener(*args):
        sent.append(args[2])

    sa.event.listen(engine, "before_cursor_execute", listener)
    try:
        return function(), len(sent)
    finally:
        sa.event.remove(engine, "before_cursor_execute", listener)


def test_a_pool_knows_the_labels_of_all_rounds_and_where_they_are(aiida_profile_clean):
    first, second, third = rounds(3)
    assert [pool.round for pool in (first, second, third)] == [0, 1, 2]
    assert [pool.n_labels for pool in (first, second, third)] == [6, 12, 18]
    entries = third.entries()
    assert entries[:12] == second.entries()
    assert entries[12:] == third.new
    assert {(e.candidate, e.kind) for e in entries} == {("a", "burst"), ("a", "probes")}
    nodes = third.frames(entries)
    for entry in entries:
        node = nodes[entry.source]
        assert node.content_key == entry.source
        assert node.kind == entry.kind
        assert entry.frame < len(node)
    assert third.frames(second.new).keys() == {e.source for e in second.new}
    assert third.elements == ["Au", "Cu"]


def test_links_and_bytes_grow_linearly_and_statements_not_at_all(aiida_profile_clean):
    pools = rounds(30, n_frames=2)
    links, sizes = [], []
    for pool in pools:
        links.append(len(pool.creator.base.links.get_incoming().all()))
        sizes.append(len(json.dumps(pool.base.attributes.all)))
        assert pool.base.repository.list_object_names() == []
    assert links == [2] + 29 * [3]
    assert max(sizes[1:]) - min(sizes[1:]) < 50
    short, n_short = statements(pools[1].entries)
    whole, n_long = statements(pools[-1].entries)
    assert (len(short), len(whole)) == (8, 120)
    assert max(n_long, n_short) <= 3
    assert max(statements(pool.sources)[1] for pool in pools[1::14]) <= 4


def test_the_same_labels_give_the_same_pool_and_caching_hits(aiida_profile_clean):
    first, second = rounds(2)
    again = LabelPoolData.of({"a__burst_0000": label(3, 0), "a__probes_0000": label(3, 1, "probes")}).store()
    assert again.content_key == first.content_key
    assert again.base.caching.get_hash() == first.base.caching.get_hash()
    with enable_caching():
        repeated, node = gather.run_get_node(
            previous=first, a__burst_0001=label(3, 2), a__probes_0001=label(3, 3, "probes")
        )
    assert node.base.caching.is_created_from_cache
    assert repeated.content_key == second.content_key
    assert repeated.entries() == second.entries()


def test_what_the_pool_holds_does_not_join_twice(aiida_profile_clean):
    (first,) = rounds(1)
    second = gather(previous=first, b__burst_0000=label(3, 0), b__probes_0001=label(2, 7, "probes"))
    assert second.n_labels == 8
    assert {e.candidate for e in second.new} == {"b"}
    assert second.base.attributes.get("labels")["b__burst_0000"]["n_dropped"] == 3


def test_a_burst_in_a_false_state_teaches_nothing_once_that_is_known(aiida_profile_clean):
    """The judge sees it when its labels have joined; true labels of the same frames may take their place."""
    first, second = rounds(2)
    wrong, frames = label(3, 2), emt_frames(3, seed=2)
    frames = replace(frames, energies=frames.energies - 5.0)
    true = FramesData(frames, kind="burst", level_of_theory=LEVEL).store()
    told = orm.Dict({"a": {"false_state": True}, "b": {"false_state": False}}).store()
    third = gather(previous=second, verdicts=told, a__burst_0002=true, a__probes_0002=label(2, 9, "probes"))
    last = gather(previous=third, a__burst_0003=label(2, 11))
    for pool in (third, last):
        false = [entry for entry in pool.entries() if entry.part == "false"]
        assert {(entry.name, entry.source) for entry in false} == {("a__burst_0001", wrong.content_key)}
        assert len(false) == 3
    assert [entry.name for entry in third.new if entry.name.startswith("a__burst")] == 3 * ["a__burst_0002"]
    assert {source.name for source in last.sources()} >= {"a__burst_0001", "a__burst_0003"}
    assert "verdicts" not in {source.name for source in last.sources()}
    assert first.content_key == rounds(1)[0].content_key


def test_levels_of_theory_are_never_mixed(aiida_profile_clean):
    with pytest.raises(ValueError, match=r"never mixed; there is teacher-emt \(a\), pbe \(b\)"):
        gather(a=label(), b=label(level="pbe"))
    (first,) = rounds(1)
    with pytest.raises(ValueError, match=r"teacher-emt \(previous\), pbe \(b\)"):
        gather(previous=first, b=label(level="pbe"))
    with pytest.raises(ValueError, match="a has no energies and forces of a known level"):
        gather(a=FramesData(emt_frames(3)))


def test_a_chain_with_a_hole_is_not_taken_for_the_whole(aiida_profile_clean):
    second = rounds(2)[-1]
    lost = LabelPoolData.of({"a__burst_0009": label(3, 20)}, second).store()  # by no calcfunction: no way back
    with pytest.raises(NotExistent, match="before round 2"):
        lost.entries()


def test_content_keys_are_of_the_arrays_alone(aiida_profile_clean):
    one, two = label(3, 0), label(3, 0, kind="probes", level="pbe")
    assert one.content_key == two.content_key == FramesData(emt_frames(3)).content_key
    assert one.content_key != label(3, 1).content_key


def test_a_pool_can_be_queried_by_what_it_is(aiida_profile_clean):
    rounds(2)
    query = orm.QueryBuilder().append(LabelPoolData, filters={"attributes.round": 1}, project="attributes.n_labels")
    assert query.all(flat=True) == [12]
