"""What screens keep on disk is told by kind, and what is taken away leaves every answer as it was."""

import pytest
from aiida import orm
from click.testing import CliRunner

from aiida_haml.cli import haml
from aiida_haml.queries.spare import kept, spare
from tests.graphs import Builder, frames, lay_screen


def run(*arguments, code=0, answer=None):
    result = CliRunner().invoke(haml, [str(a) for a in arguments], input=answer)
    assert result.exit_code == code, result.output + repr(result.exception)
    return result.output


@pytest.fixture
def graph(aiida_profile_clean, aiida_localhost, tmp_path):
    """A screen whose two stretches left untrusted ends, of which a probe was taken from one, and a work folder."""
    builder = Builder(aiida_localhost, tmp_path)
    made = lay_screen(builder, ended=False).made
    aiida_localhost.configure()
    folder = tmp_path / "work"
    folder.mkdir()
    (folder / "RESTART.wfn").write_text("large")
    job = made["stretch"].creator
    made["looked_at"] = builder.create(job, untrusted=frames("untrusted", 6.0))
    made["unused"] = builder.create(made["last"].creator, untrusted=frames("untrusted", 12.0))
    made["folder"] = builder.create(job, remote_folder=orm.RemoteData(str(folder), computer=aiida_localhost))
    select = builder.process(
        orm.CalcFunctionNode, "haml.select_probes", {"untrusted": made["looked_at"]}, made["hybrid"]
    )
    builder.create(select, result=frames("selection", n=1))
    builder.end()
    made["path"] = folder
    return made


def test_kinds_are_counted_with_their_frames(graph):
    found = kept([graph["screen"].pk])
    assert (found["burst"].n_nodes, found["burst"].n_frames) == (2, 10)
    assert (found["stretch"].n_nodes, found["stretch"].n_frames) == (2, 18)
    assert found["potential"].n_nodes == 2
    assert all(part.n_bytes > 0 for name, part in found.items() if name != "other")
    said = run("storage", "show", graph["screen"].pk)
    assert "can be spared: 1 untrusted ends" in said
    assert f"<{graph['screen'].pk}>" in run("storage", "show")


def test_only_what_nothing_was_made_from_is_taken_away(graph):
    pk = graph["screen"].pk
    audited, traced = run("audit", pk), run("trace", pk)
    assert spare([pk]).tails == (graph["unused"].pk,)
    assert "Nothing was taken away" in run("storage", "prune", pk, answer="n\n", code=1)
    assert (graph["path"] / "RESTART.wfn").exists()
    assert "1 untrusted ends and 1 of 1 work folders are gone" in run("storage", "prune", pk, answer="y\n")
    assert orm.QueryBuilder().append(orm.Node, filters={"id": graph["unused"].pk}).count() == 0
    assert orm.load_node(graph["looked_at"].pk).is_stored
    assert orm.load_node(graph["last"].pk).creator.is_finished_ok, "the job stays, with its other results"
    assert not (graph["path"] / "RESTART.wfn").exists()
    assert (run("audit", pk), run("trace", pk)) == (audited, traced)
    assert "nothing that it could do without" in run("storage", "prune", pk)


def test_the_folders_of_a_screen_that_runs_are_left(graph):
    builder = Builder(graph["folder"].computer, graph["path"])
    running = builder.process(orm.WorkChainNode, "haml.screen", {}, state="running")
    assert "still runs" in run("storage", "prune", running.pk, "--yes", code=1)
