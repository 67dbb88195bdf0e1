"""The commands that ask across screens and people, on graphs laid by hand."""

import pytest
from aiida import orm
from aiida.common.links import LinkType
from aiida.tools.archive import create_archive, import_archive

from aiida_haml.calculations.levels import theory_key
from aiida_haml.cli import follow
from aiida_haml.cli.screen import NO_DAEMON, _unfinished
from aiida_haml.groups import LabelGroup, add_labels, add_screen
from aiida_haml.queries.progress import progress
from aiida_haml.spec import load_spec
from tests.cli.running import run
from tests.graphs import Builder, frames, lay_screen

OTHER = "somebody@else"


@pytest.fixture
def builder(aiida_profile_clean, aiida_localhost, tmp_path):
    return Builder(aiida_localhost, tmp_path)


def screen_of(email, name, state="finished"):
    """A screen of a person, in the state that AiiDA would give it."""
    _, user = orm.User.collection.get_or_create(email)
    node = orm.WorkChainNode(user=user.store() if not user.is_stored else user)
    node.process_type, node.label = "aiida.workflows:haml.screen", name
    node.set_process_state(state)
    node.store()
    add_screen(node, name, {"name": name})
    return node


# -- screens -------------------------------------------------------------------------------------------------


def test_screens_are_listed_with_whose_they_are(builder):
    own = lay_screen(builder).made["screen"]
    own.label = "dopings"
    theirs = screen_of(OTHER, "dopings")
    lines = run("screen", "list").splitlines()
    assert lines[0].startswith(f"<{own.pk}>")
    assert lines[0].endswith("dopings  1 candidate, finished, ranked")
    assert lines[1].endswith(f"of {OTHER}")
    assert run("screen", "list", "--user", OTHER).startswith(f"<{theirs.pk}>")
    assert run("screen", "list", "--unfinished").strip() == "no screens"


def test_screens_are_listed_by_what_they_are_made_of(builder):
    """One screen is built at a level of theory, another one of an oxygen doping waits to be built."""
    level = {"name": "mine", "engine": "cp2k", "theory": {"DFT": {}}}
    built = lay_screen(builder, label__job__level=orm.Dict(level)).made["screen"]
    doping = {"dopant": "O", "site": "16e", "fraction": 0.25}
    content = {"label": "O", "structure": {"doping": [doping]}, "temperature_K": 300.0, "seed": 1}
    doped = builder.process(orm.WorkChainNode, "haml.screen", {"candidates__o": orm.Dict(content)}, state="running")

    def listed(*options):
        return [line.partition("  ")[0] for line in run("screen", "list", *options).splitlines()]

    newest_first = [f"<{doped.pk}>", f"<{built.pk}>"]
    assert listed("--element", "Li") == [f"<{built.pk}>"]
    assert listed("--element", "Li", "--element", "S") == ["no screens"]
    assert listed("--dopant", "O") == [f"<{doped.pk}>"]
    assert listed("--dopant", "O", "--dopant", "Se") == ["no screens"]
    assert listed("--level-of-theory", theory_key(level)) == [f"<{built.pk}>"]
    assert listed("--level-of-theory", f"{theory_key(level)}@cp2k-2025.1") == [f"<{built.pk}>"]
    assert listed("--level-of-theory", "other") == ["no screens"]
    assert listed("--since", "2999-01-01") == ["no screens"]
    assert listed("--since", "2001-01-01") == newest_first


def test_a_screen_is_shown_with_what_was_asked_for_and_what_became_of_it(builder):
    level = {"name": "mine", "engine": "cp2k", "theory": {"DFT": {}}}
    specification = {"name": "dopings", "protocol": "precise", "dopings": ["pristine"], "cells": [], "labels": None}
    given = {"specification": orm.Dict(specification), "label__job__level": orm.Dict(level)}
    screen = lay_screen(builder, **given).made["screen"]
    screen.label = "dopings"
    add_screen(screen, "dopings", specification)
    told = run("screen", "show", "dopings").splitlines()
    assert told == run("screen", "show", screen.pk).splitlines()
    assert told[0] == f"screen <{screen.pk}> 'dopings' of {screen.user.email}: finished"
    assert "protocol: precise" in told
    assert f"level of theory: {theory_key(level)}" in told
    assert "elements: Li" in told
    assert f"in group: haml.screen {screen.user.email}/dopings" in told
    (candidate,) = [line for line in told if line.startswith("  c000")]
    assert candidate == "  c000  pristine: rank 1, score 0.5, passivates: the late rate is 0.1 of the early one"
    assert told[told.index("specification:") + 1 :] == [
        '  name: "dopings"', '  protocol: "precise"', '  dopings: ["pristine"]'
    ]  # fmt: skip


def test_a_screen_without_a_specification_or_a_cell_is_shown(builder):
    made = builder.process(orm.WorkChainNode, "haml.screen", {"candidates__a": orm.Dict({})}, state="running")
    told = run("screen", "show", made.pk)
    assert "specification: none" in told
    assert "no cell is built yet" in told
    assert "  a  a: no rank" in told


def test_of_two_screens_of_one_name_ones_own_is_meant(builder):
    own, theirs = lay_screen(builder).made["screen"], screen_of(OTHER, "dopings")
    own.label = "dopings"
    assert run("screen", "pk", "dopings").strip() == str(own.pk)
    assert run("screen", "pk", f"{OTHER}/dopings").strip() == str(theirs.pk)
    assert "There is no node 'nothing'" in run("screen", "pk", "nothing", code=1)


@pytest.mark.parametrize("command", ["cost", "trace", "audit", "failures"])
def test_the_screen_is_meant_where_its_dynamics_are_called_the_same(builder, command):
    graph = lay_screen(builder).made
    for name in ("screen", "hybrid"):
        graph[name].label = "both"
    assert run(command, "both") == run(command, graph["screen"].pk)


@pytest.mark.parametrize("command", ["cost", "trace", "audit"])
def test_a_label_of_several_nodes_and_no_screen_is_told_of(builder, command):
    graph = lay_screen(builder).made
    for name in ("first", "second"):
        graph[name].label = "both"
    assert "names no single node" in run(command, "both", code=1)


def test_a_running_screen_does_not_hide_the_ranking_of_a_finished_one(builder):
    ranked = lay_screen(builder).made["screen"]
    ranked.label = "dopings"
    running = builder.process(orm.WorkChainNode, "haml.screen", {"candidates__a": orm.Dict({})}, state="running")
    running.label = "dopings"
    assert run("screen", "pk", "dopings").strip() == str(running.pk)
    assert "pristine" in run("screen", "rank", "dopings")


def test_kin_of_a_candidate_are_listed(builder):
    one, other = (lay_screen(builder).made["screen"] for _ in range(2))
    assert f"<{other.pk}>" in run("screen", "like", one.pk, "c000")
    assert "the same: rank 1, score 0.5" in run("screen", "like", one.pk, "c000")
    assert "has no candidate 'c001'; it has c000" in run("screen", "like", one.pk, "c001", code=1)


# -- labels and potentials -----------------------------------------------------------------------------------


def test_labels_are_found_explained_and_followed(builder):
    graph = lay_screen(builder).made
    add_labels([graph["first"], graph["second"]])
    assert f"<{graph['first'].pk}>" in run("labels", "find", "--kind", "burst", "--element", "Li")
    assert run("labels", "find", "--element", "S").strip() == "no such labels"
    assert run("labels", "find", "--since", "2999-01-01").strip() == "no such labels"
    told = run("labels", "explain", graph["first"].pk)
    assert f"c000__burst_0000, made by <{graph['first'].creator.pk}>" in told
    assert "frame 4: the time line; valid" in told
    assert f"<{graph['potential'].pk}>, <{graph['refined'].pk}>" in told
    assert "drove c000 of" in told
    assert "holds no labels" in run("labels", "explain", graph["stretch"].pk, code=1)
    assert "10 frames in 2 nodes" in run("labels", "behind", graph["ranking"].pk)


def test_potentials_are_filtered(builder):
    potential = builder.potential().store()
    assert f"<{potential.pk}>" in run("potential", "list", "--element", "Li")
    assert run("potential", "list", "--max-error", "0.1").strip() == "no such potentials"
    assert "brought in, NOT TRUSTED" in run("potential", "list")
    assert f"<{potential.pk}>" in run("potential", "list", "--since", "2001-01-01")
    assert run("potential", "list", "--since", "2999-01-01").strip() == "no such potentials"


def test_only_ones_own_unfinished_screen_of_the_same_content_is_taken_up_again(builder, tmp_path):
    """Three screens of one name run: another person's, an older one of one's own, and the one that is meant."""
    path = tmp_path / "spec.yaml"
    path.write_text("name: dopings\ndopings: [pristine]\nlevel_of_theory: teacher\n")
    spec = load_spec(path)
    same = orm.Dict(spec.model_dump(mode="json")).store()
    older = orm.Dict({**same.get_dict(), "seeds": [7]}).store()
    assert _unfinished(spec) is None

    def unfinished(content, email=None):
        _, user = orm.User.collection.get_or_create(email or orm.User.collection.get_default().email)
        node = orm.WorkChainNode(user=user.store() if not user.is_stored else user)
        node.process_type, node.label = "aiida.workflows:haml.screen", "dopings"
        node.base.links.add_incoming(content, LinkType.INPUT_WORK, "specification")
        node.set_process_state("running")
        return node.store()

    meant = unfinished(same)
    unfinished(older)
    unfinished(same, OTHER)
    assert _unfinished(spec).pk == meant.pk
    meant.set_process_state("finished")
    assert _unfinished(spec) is None


# -- accounts ------------------------------------------------------------------------------------------------


def test_cost_by_candidate_and_person(builder):
    graph = lay_screen(builder).made
    table = run("cost", graph["screen"].pk, "--by", "candidate")
    assert {line.split()[0] for line in table.splitlines()[1:3]} == {"all", "c000"}
    assert graph["screen"].user.email in run("cost", graph["screen"].pk, "--by", "person")


def test_a_training_is_no_pause(builder, monkeypatch):
    graph = lay_screen(builder, ended=False).made
    job = builder.process(orm.CalcJobNode, "haml.learn", {}, graph["hybrid"], "learn_0003", state="running")
    builder.end()
    assert "for all: training" in run("screen", "status", graph["screen"].pk)
    assert follow._running(progress(graph["screen"])) == "for all training"
    job.set_process_state("finished")
    job.seal()
    assert "for all" not in run("screen", "status", graph["screen"].pk)
    for runs, told in ((True, "preparing the next step"), (False, NO_DAEMON)):
        monkeypatch.setattr(follow, "daemon_runs", lambda runs=runs: runs)
        assert follow._running(progress(graph["screen"])) == told


def test_failures_and_doubts_are_told(builder):
    graph = lay_screen(builder, ended=False).made
    assert run("failures", graph["screen"].pk).strip() == "nothing failed"
    builder.process(orm.CalcJobNode, "haml.cp2k", {}, graph["hybrid"], "c000__probes_0001", exit_status=305)
    assert "c000__probes_0001: haml.cp2k" in run("failures", graph["screen"].pk)
    told = run("audit", graph["screen"].pk, code=1)
    assert "of themselves: 1" in told
    assert "the frames that it started from are not in this database" in told


# -- archives ------------------------------------------------------------------------------------------------


def test_what_came_with_an_archive_is_adopted_after_a_question(builder, aiida_config, aiida_profile_factory, tmp_path):
    graph = lay_screen(builder).made
    (group,) = add_labels([graph["first"], graph["second"], graph["grown"]])
    create_archive([graph["screen"], group], filename=tmp_path / "screen.aiida")
    uuid, email = graph["screen"].uuid, graph["screen"].user.email
    with aiida_profile_factory(aiida_config):
        assert "nothing here came with an archive" in run("adopt")
        import_archive(tmp_path / "screen.aiida")
        add_labels([frames("burst", seed=8).store()])
        screen = orm.load_node(uuid)
        assert "of themselves: 0" in run("audit", screen.pk)
        assert "Nothing was adopted" in run("adopt", screen.pk, answer="n\n", code=1)
        assert screen.base.caching.get_hash() is None
        told = run("adopt", screen.pk, answer="y\n")
        assert f"the jobs stand under {email}" in told
        assert "are yours from now on" in told
        assert orm.load_node(uuid).base.caching.get_hash() is not None
        assert "nothing here came with an archive" in run("adopt")
        assert LabelGroup.collection.count() == 1, "the groups of the archive are merged with one's own"
        assert LabelGroup.collection.get(label="key").count() == 1 + 3 + 1, "with the pools of both rounds"


def test_codes_that_an_archive_did_not_bring_are_refused(builder, aiida_code_installed):
    code = aiida_code_installed(label="own", filepath_executable="/bin/true", default_calc_job_plugin="haml.teacher")
    node = builder.label(frames("structure", n=1).store())
    node.creator.base.extras.delete("_aiida_hash")
    for pair, told in (
        ("own", "has to be THEIRS=MINE"),
        (f"nothing={code.pk}", "names no single code"),
        (f"{code.pk}={code.pk}", "ran none of the jobs"),
    ):
        assert told in run("adopt", "--code", pair, "--yes", code=1)


# -- processes -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("verb", "reached"),
    [("pause", {"screen", "hybrid", "job"}), ("play", {"screen", "hybrid", "job"}), ("kill", {"screen"})],
)
def test_what_has_not_ended_of_a_screen_is_reached_and_nothing_else(builder, monkeypatch, verb, reached):
    """To kill a screen is to kill its children; of those that are paused, each has to be told."""
    made = {"screen": builder.process(orm.WorkChainNode, "haml.screen", {}, state="running")}
    made["hybrid"] = builder.process(orm.WorkChainNode, "haml.hybrid", {}, made["screen"], "dynamics", "waiting")
    made["job"] = builder.process(orm.CalcJobNode, "haml.cp2k", {}, made["hybrid"], "waits", "waiting")
    builder.process(orm.CalcJobNode, "haml.cp2k", {}, made["hybrid"], "ended")
    builder.process(orm.WorkChainNode, "haml.screen", {}, state="running")
    asked = []
    monkeypatch.setattr(f"aiida.engine.processes.control.{verb}_processes", lambda given, **_: asked.extend(given))
    run("screen", verb, made["screen"].pk, answer="y\n")
    assert sorted(node.pk for node in asked) == sorted(made[name].pk for name in reached)


def test_a_screen_is_ended_only_if_one_means_it(builder, monkeypatch):
    screen = builder.process(orm.WorkChainNode, "haml.screen", {}, state="running")
    asked = []
    monkeypatch.setattr("aiida.engine.processes.control.kill_processes", lambda given, **_: asked.extend(given))
    run("screen", "kill", screen.pk, code=1, answer="n\n")
    assert asked == []
