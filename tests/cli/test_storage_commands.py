"""What screens keep on disk is told by kind, and what is taken away leaves every answer as it was."""

import os
import pwd

import pytest
from aiida import orm

from aiida_haml.queries.kept import folders, kept
from tests.cli.running import run
from tests.graphs import Builder, frames, lay_screen

ME = pwd.getpwuid(os.geteuid()).pw_name


@pytest.fixture
def graph(aiida_profile_clean, aiida_localhost, tmp_path):
    """A screen, one of whose jobs left an untrusted end and a work folder."""
    builder = Builder(aiida_localhost, tmp_path)
    made = lay_screen(builder, ended=False).made
    aiida_localhost.set_workdir(str(tmp_path / "run" / "{username}"))
    aiida_localhost.configure()
    folder = tmp_path / "run" / ME / "ab" / "cd"
    folder.mkdir(parents=True)
    (folder / "RESTART.wfn").write_text("large")
    job = made["stretch"].creator
    made["untrusted"] = builder.create(job, untrusted=frames("untrusted", 6.0))
    made["folder"] = builder.create(job, remote_folder=orm.RemoteData(str(folder), computer=aiida_localhost))
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
    assert "1 work folders of its jobs are left" in said
    assert f"<{graph['screen'].pk}>" in run("storage", "show")


def test_folders_are_emptied_and_every_answer_stays(graph):
    pk = graph["screen"].pk
    audited, traced, count = run("audit", pk), run("trace", pk), orm.QueryBuilder().append(orm.Node).count()
    assert folders([pk]) == (graph["folder"].pk,)
    assert "Nothing was taken away" in run("storage", "prune", pk, answer="n\n", code=1)
    assert (graph["path"] / "RESTART.wfn").exists()
    assert "1 of 1 work folders are empty" in run("storage", "prune", pk, answer="y\n")
    assert not (graph["path"] / "RESTART.wfn").exists()
    assert (run("audit", pk), run("trace", pk), orm.QueryBuilder().append(orm.Node).count()) == (audited, traced, count)
    assert "have left nothing" in run("storage", "prune", pk)


def test_a_folder_that_cannot_be_reached_is_told_of_and_does_not_keep_the_others(graph, aiida_localhost):
    authinfo = aiida_localhost.get_authinfo(orm.User.collection.get_default())
    orm.AuthInfo.collection.delete(authinfo.pk)
    said = run("storage", "prune", graph["screen"].pk, "--yes")
    assert "0 of 1 work folders are empty" in said
    assert f"folder <{graph['folder'].pk}> on {aiida_localhost.label} is left" in said


@pytest.mark.parametrize("path", ["home", "run", "run/USER", "run/somebody", "run/USER/../../home", "run/USERS/x"])
def test_what_does_not_lie_where_jobs_run_is_left(aiida_profile_clean, aiida_localhost, tmp_path, path):
    builder = Builder(aiida_localhost, tmp_path)
    aiida_localhost.set_workdir(str(tmp_path / "run" / "{username}"))
    aiida_localhost.configure()
    precious = tmp_path / path.replace("USER", ME)
    precious.mkdir(parents=True)
    (precious / "thesis.tex").write_text("years")
    screen = builder.process(orm.WorkChainNode, "haml.screen", {})
    job = builder.process(orm.CalcJobNode, "haml.lammps", {}, screen)
    folder = builder.create(job, remote_folder=orm.RemoteData(str(precious), computer=aiida_localhost))
    builder.end()
    said = run("storage", "prune", screen.pk, "--yes")
    assert "0 of 1 work folders are empty" in said
    assert f"folder <{folder.pk}> on {aiida_localhost.label} is left" in said
    assert f"does not lie below {tmp_path}/run/{ME}" in said
    assert (precious / "thesis.tex").exists()


def test_a_folder_that_came_with_an_archive_is_left(graph):
    """As an import leaves it: without the hash that this database gives to what it makes."""
    graph["folder"].base.extras.delete("_aiida_hash")
    assert folders([graph["screen"].pk]) == ()
    assert "have left nothing" in run("storage", "prune", graph["screen"].pk, "--yes")
    assert (graph["path"] / "RESTART.wfn").exists()


def test_the_folders_of_a_screen_that_runs_are_left(graph):
    builder = Builder(graph["folder"].computer, graph["path"])
    running = builder.process(orm.WorkChainNode, "haml.screen", {}, state="running")
    assert "still runs" in run("storage", "prune", running.pk, "--yes", code=1)
