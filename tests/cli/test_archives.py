"""A screen that travels: nothing of it is lost, nothing doubled, and what a stranger noted beside it stays behind."""

import zipfile

import pytest
from aiida import orm
from aiida.tools.archive import create_archive

from aiida_haml.archives import unpack
from aiida_haml.groups import LabelGroup, PotentialGroup, ScreenGroup, add_labels
from aiida_haml.queries.anatomy import FAILURES
from tests.cli.running import run
from tests.graphs import Builder, lay_screen


@pytest.fixture
def builder(aiida_profile_clean, aiida_localhost, tmp_path):
    return Builder(aiida_localhost, tmp_path)


@pytest.fixture
def graph(builder):
    made = lay_screen(builder).made
    made["screen"].label = "carried"
    return made


def everything():
    return orm.QueryBuilder().append(orm.Node).count()


def told(pk):
    """What a person reads of a screen, without the pks, which are each database's own."""
    said = [
        run("screen", "rank", pk, "--format", "json"),
        run("cost", pk, "--json"),
        run("audit", pk),
        run("trace", pk),
    ]
    return [text.split("'aiida-haml")[0] for text in said[:2]], [len(text.splitlines()) for text in said[2:]]


def test_all_that_one_asks_of_a_screen_is_answered_the_same_elsewhere(
    graph, aiida_config, aiida_profile_factory, tmp_path
):
    uuid, count, before = graph["screen"].uuid, everything(), told(graph["screen"].pk)
    assert "screen.aiida" in run("screen", "export", "carried", tmp_path / "screen.aiida")
    with aiida_profile_factory(aiida_config):
        assert f"{count} nodes are new, 0 were here" in run("screen", "import", tmp_path / "screen.aiida")
        screen = orm.load_node(uuid)
        assert told(screen.pk) == before
        assert "carried" in run("screen", "list")
        run("screen", "report", screen.pk, "-o", tmp_path / "report.html")
        assert [len(list(kind.collection.all())) for kind in (ScreenGroup, LabelGroup, PotentialGroup)] == [1, 1, 1]
        group = ScreenGroup.collection.all()[0]
        assert (group.count(), group.label) == (1, f"{screen.user.email}/carried")


def test_what_is_here_is_not_stored_twice(graph, aiida_config, aiida_profile_factory, tmp_path):
    """Half of it came before, as the labels of somebody else's pool."""
    count = everything()
    run("screen", "export", graph["screen"].pk, tmp_path / "screen.aiida")
    half_of_it = {"call_calc_backward": False, "call_work_backward": False}
    create_archive([graph["pool"]], filename=tmp_path / "pool.aiida", **half_of_it)
    with aiida_profile_factory(aiida_config):
        half = unpack(tmp_path / "pool.aiida")
        assert 0 < len(half.new) < count
        whole = unpack(tmp_path / "screen.aiida")
        assert (len(whole.new), whole.n_known, everything()) == (count - len(half.new), len(half.new), count)
        again = unpack(tmp_path / "screen.aiida")
        assert (again.new, again.n_known, everything()) == ((), count, count)
        assert ScreenGroup.collection.count() == LabelGroup.collection.count() == 1


def test_notes_of_strangers_are_left_behind_and_reasons_are_kept(graph, aiida_config, aiida_profile_factory, tmp_path):
    graph["hybrid"].base.extras.set_many({FAILURES: {"c000": "it broke"}, "trusted": True})
    graph["refined"].base.extras.set_many({"trusted": True, "haml|trusted": True})
    graph["first"].base.extras.set(FAILURES, {"c000": ["no", "text"]})
    uuids = {name: graph[name].uuid for name in ("hybrid", "refined", "first")}
    run("screen", "export", graph["screen"].pk, tmp_path / "screen.aiida")
    with aiida_profile_factory(aiida_config):
        run("screen", "import", tmp_path / "screen.aiida")
        extras = {name: orm.load_node(uuid).base.extras.all for name, uuid in uuids.items()}
        assert extras == {"hybrid": {FAILURES: {"c000": "it broke"}}, "refined": {}, "first": {}}
        assert not orm.load_node(uuids["refined"]).is_trusted


def test_notes_of_ones_own_stay_when_a_screen_comes_back(graph, tmp_path):
    graph["first"].base.extras.set("mine", "a note")
    run("screen", "export", graph["screen"].pk, tmp_path / "screen.aiida")
    graph["first"].base.extras.set("mine", "a better note")
    run("screen", "import", tmp_path / "screen.aiida")
    assert graph["first"].base.extras.get("mine") == "a better note"
    assert graph["first"].base.caching.get_hash() is not None


def test_a_code_of_ones_own_that_is_gone_stops_no_import(graph, tmp_path, monkeypatch):
    monkeypatch.setattr("aiida_haml.codes.own_codes", lambda _: {"engine": "00000000-0000-4000-8000-000000000000"})
    run("screen", "export", graph["screen"].pk, tmp_path / "screen.aiida")
    assert "were here" in run("screen", "import", tmp_path / "screen.aiida")


def test_a_group_that_an_archive_brings_is_merged_with_ones_own(graph, aiida_config, aiida_profile_factory, tmp_path):
    (group,) = add_labels([graph["first"]])
    create_archive([graph["screen"], group], filename=tmp_path / "screen.aiida")
    with aiida_profile_factory(aiida_config):
        unpack(tmp_path / "screen.aiida")
        unpack(tmp_path / "screen.aiida")
        assert [group.label for group in LabelGroup.collection.all()] == ["key"]


def test_its_work_is_taken_for_ones_own_by_the_command_that_is_named(
    graph, aiida_config, aiida_profile_factory, tmp_path
):
    run("screen", "export", graph["screen"].pk, tmp_path / "screen.aiida")
    with aiida_profile_factory(aiida_config):
        run("screen", "import", tmp_path / "screen.aiida")
        pk = run("screen", "pk").strip()
        run("adopt", pk, answer="y\n")
        assert "nothing here came with an archive" in run("adopt", pk)


def test_a_screen_that_runs_is_not_exported(builder, tmp_path):
    builder.process(orm.WorkChainNode, "haml.screen", {}, state="running")
    assert "still runs" in run("screen", "export", orm.QueryBuilder().append(orm.WorkChainNode).first(flat=True).pk,
                               tmp_path / "x.aiida", code=1)  # fmt: skip
    assert not (tmp_path / "x.aiida").exists()


def test_a_file_is_replaced_only_if_one_says_so(graph, tmp_path):
    path = tmp_path / "screen.aiida"
    path.write_text("mine")
    assert "--force" in run("screen", "export", graph["screen"].pk, path, code=1)
    assert path.read_text() == "mine"
    run("screen", "export", graph["screen"].pk, path, "--force")
    assert zipfile.is_zipfile(path)


@pytest.mark.parametrize("content", [b"", b"no archive", b"PK\x05\x06" + bytes(18), b"PK\x03\x04" + bytes(200)])
def test_what_is_no_archive_is_refused_in_words(aiida_profile_clean, tmp_path, content):
    path = tmp_path / "x.aiida"
    path.write_bytes(content)
    said = run("screen", "import", path, code=1)
    assert "is no archive that can be read" in said
    assert everything() == 0


def test_an_archive_that_was_cut_short_leaves_nothing_behind(graph, aiida_config, aiida_profile_factory, tmp_path):
    whole = tmp_path / "screen.aiida"
    run("screen", "export", graph["screen"].pk, whole)
    cut = tmp_path / "cut.aiida"
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    with aiida_profile_factory(aiida_config):
        assert "is no archive that can be read" in run("screen", "import", cut, code=1)
        assert everything() == 0
