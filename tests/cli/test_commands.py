"""The command line, on a graph laid by hand and on specifications that cannot run."""

import csv
import io
import json

import pytest
from aiida import orm

from aiida_haml.cli.messages import Refusal
from aiida_haml.cli.results import _refuse_earlier
from aiida_haml.data.frames import FramesData
from aiida_haml.report.collect import collect
from tests.cli.running import run
from tests.graphs import N_STEPS, Builder, frames, lay_screen

SPEC = "name: tried\ndopings: [pristine, {dopant: O, site: 16e, fraction: 0.25}]\n"


@pytest.fixture
def builder(aiida_localhost, tmp_path):
    return Builder(aiida_localhost, tmp_path)


@pytest.fixture
def graph(builder):
    return lay_screen(builder).made


@pytest.fixture
def ready(aiida_profile_clean, tmp_path):
    """A profile after `setup`, on a machine with or without CP2K."""
    program = tmp_path / "cp2k.psmp"
    program.write_text("#!/bin/sh\n")
    run("setup", "--cp2k", program)


def count_nodes():
    return orm.QueryBuilder().append(orm.Node).count()


# -- setup and submit ----------------------------------------------------------------------------------------


def test_setup_registers_codes_once(aiida_profile_clean, tmp_path):
    program = tmp_path / "cp2k.psmp"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    assert "registered" in run("setup", "--cp2k", program)
    before = count_nodes()
    again = run("setup", "--cp2k", program)
    assert again.count("unchanged") == 3
    assert count_nodes() == before
    assert orm.load_code("cp2k@localhost").with_mpi is False
    assert "OMP_NUM_THREADS=1" in orm.load_code("haml-engine@localhost").prepend_text


def test_setup_replaces_a_code_that_moved(aiida_profile_clean, tmp_path):
    paths = []
    for name in ("old", "new"):
        paths.append(tmp_path / name)
        paths[-1].write_text("#!/bin/sh\n")
    run("setup", "--cp2k", paths[0])
    assert "replaced" in run("setup", "--cp2k", paths[1])
    assert str(orm.load_code("cp2k@localhost").filepath_executable) == str(paths[1])


def test_setup_enables_caching_and_patience(aiida_profile_clean):
    from aiida.manage.configuration import get_config

    run("setup")
    scope = aiida_profile_clean.name
    assert "aiida.calculations:haml.*" in get_config().get_option("caching.enabled_for", scope=scope)
    assert get_config().get_option("daemon.timeout", scope=scope) == 30


def test_dry_run_prints_candidates_and_stores_nothing(ready, tmp_path):
    path = tmp_path / "spec.yaml"
    path.write_text(SPEC)
    before = count_nodes()
    output = run("screen", "submit", path, "--dry-run")
    assert "Li6PS5Cl_300K_s1" in output
    assert "2 candidates at gfn1-xtb" in output
    assert "no screen at this level of theory has run in this database" in output
    assert count_nodes() == before


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        (
            SPEC + "codes: {engine: nowhere@localhost}\n",
            ["codes.engine", "'nowhere@localhost'", "aiida-haml setup"],
        ),
        (SPEC + "protocol: quik\n", ["protocol", "Did you mean 'quick'?"]),
        (SPEC + "overrides: {dynamics: {timestep: 1}}\n", ["dynamics.timestep", "timestep_fs"]),
        ("name: [\n", ["not valid YAML"]),
    ],
)
def test_a_bad_specification_is_refused_before_anything_is_stored(ready, tmp_path, text, wanted):
    path = tmp_path / "spec.yaml"
    path.write_text(text)
    before = count_nodes()
    output = run("screen", "submit", path, code=1)
    for part in wanted:
        assert part in output
    assert count_nodes() == before


# -- following and reading -----------------------------------------------------------------------------------


def test_status_and_watch_show_each_candidate(graph):
    for command in ("status", "watch"):
        output = run("screen", command, graph["screen"].pk)
        assert "c000" in output
        assert "12.0" in output
    assert "labels" in output, "watch tells of each job"


def test_rank_as_table_json_and_csv(graph):
    pk = graph["screen"].pk
    table = run("screen", "rank", pk)
    assert "TEACHER" in table
    assert "pristine" in table
    assert "Li6PS5Cl | Li(100), 20 Å: pristine: passivates." in table
    assert "consumed: 3.12 Å (low is better, weight 0.35)  adds 0.5" in table
    assert json.loads(run("screen", "rank", pk, "--format", "json")) == graph["ranking"].get_dict()
    (row,) = csv.DictReader(io.StringIO(run("screen", "rank", pk, "--format", "csv")))
    assert (row["rank"], row["label"], row["verdict"], row["consumed [Å]"]) == ("1", "pristine", "passivates", "3.125")


def test_tables_are_written_with_the_ranking(graph, tmp_path):
    assert "wrote 1 files" in run("screen", "tables", graph["screen"].pk, "-o", tmp_path / "new")
    (row,) = csv.DictReader(io.StringIO((tmp_path / "new" / "ranking.csv").read_text(encoding="utf-8")))
    assert (row["label"], row["verdict"]) == ("pristine", "passivates")


def test_a_ranking_by_another_score_is_not_shown_as_one_of_this_version():
    earlier = {"candidates": [], "groups": [["a", "b"]], "metrics": {}}
    for ranking in (earlier, {"candidates": []}):
        with pytest.raises(Refusal, match="made by an earlier version"):
            _refuse_earlier(ranking)


def test_rank_of_an_unfinished_screen_says_where_to_look(builder):
    screen = builder.process(orm.WorkChainNode, "haml.screen", {"candidates__a": orm.Dict({})}, state="running")
    assert "has no ranking; it is running" in run("screen", "rank", screen.pk, code=1)


def test_the_newest_screen_is_meant_where_none_is_named(builder):
    lay_screen(builder)
    newest = lay_screen(builder).made["screen"]
    assert run("screen", "pk").strip() == str(newest.pk)


def test_report_holds_what_the_graph_holds(graph, tmp_path):
    data = collect(graph["screen"])
    (candidate,) = data.candidates
    assert (candidate.key, candidate.label, candidate.simulated_fs) == ("c000", "pristine", 12.0)
    assert (candidate.segments[0].kind, candidate.segments[0].time_end) == ("burst", 2.0)
    assert data.audit.n_cut == data.audit.n_untraced == 0
    assert data.cost.seconds_per_step == 2.0
    run("screen", "report", graph["screen"].pk, "-o", tmp_path / "report.html")
    text = (tmp_path / "report.html").read_text()
    assert "pristine" in text
    assert "TEACHER" in text


# -- provenance ----------------------------------------------------------------------------------------------


def test_audit_exits_with_zero_or_one(builder):
    good = lay_screen(builder).made["screen"]
    bad = lay_screen(builder, structure_made_in_step=True).made
    assert "without a creator: 0" in run("audit", good.pk)
    output = run("audit", bad["screen"].pk, code=1)
    assert f"FramesData<{bad['structure'].pk}>" in output
    assert "without a creator: 1" in output


def test_trace_names_the_step_behind_a_frame(graph):
    output = run("trace", graph["first"].pk, "--frame", 2)
    assert "step 2 of CP2K calculation" in output
    assert f"frames 0 to {N_STEPS}" in run("trace", graph["first"].pk, "--frame", 99, code=1)


def test_cost_in_words_and_as_json(graph):
    assert "speed-up over AIMD alone: 48 s" in run("cost", graph["screen"].pk)
    assert json.loads(run("cost", graph["screen"].pk, "--json"))["aimd_alone_s"] == pytest.approx(48.0)


def test_unknown_nodes_are_named_in_a_sentence(aiida_profile_clean):
    assert "There is no node '999999'" in run("cost", 999999, code=1)
    assert "neither a node nor a group 'nothing'" in run("audit", "nothing", code=1)
    assert "not a process" in run("cost", orm.Int(1).store().pk, code=1)


# -- frames and potentials -----------------------------------------------------------------------------------


def test_frames_go_out_and_come_back(aiida_profile, tmp_path):
    node = frames("burst").store()
    path = tmp_path / "frames.xyz"
    run("frames", "export", node.pk, path)
    output = run("frames", "import", path, "--level-of-theory", "key")
    assert "found energies (energy), forces (forces), times (time), cell; no stresses, velocities" in output
    again = orm.load_node(int(output.split("node ")[1].split(":")[0]))
    assert again.kind == "imported"
    assert again.frames.forces == pytest.approx(node.frames.forces, abs=1e-7)
    assert again.frames.times == pytest.approx(node.frames.times)


def test_a_level_of_theory_vouches_for_labels_that_are_there_only(aiida_profile_clean, tmp_path):
    path = tmp_path / "frames.xyz"
    path.write_text('1\nLattice="9 0 0 0 9 0 0 0 9" Properties=species:S:1:pos:R:3 dft_e=-1.0\nLi 0 0 0\n')
    output = run("frames", "import", path, "--level-of-theory", "key", code=1)
    assert "frames 1 lack energies and forces; they hold dft_e" in output
    assert "no labels yet" in run("labels", "list")
    assert "no energies, forces" in run("frames", "import", path, "--dry-run")
    assert count_nodes() == 0
    frames("burst").store()
    assert "1 nodes of labels" in run("labels", "collect")
    assert "key  5 labels in 1 nodes, Li" in run("labels", "list")


def test_labels_under_other_names_are_read_by_the_names_that_are_given(aiida_profile_clean, tmp_path):
    path = tmp_path / "frames.xyz"
    path.write_text(
        '1\nProperties=species:S:1:pos:R:3:dft_f:R:3 dft_e=-1.5 dft_s="0.1 0 0 0 0.2 0 0 0 0.3"\nLi 0 0 0 0.5 0 0\n'
    )
    names = ("--energy-key", "dft_e", "--forces-key", "dft_f", "--stress-key", "dft_s", "--cell", "9 9 9")
    told = run("frames", "import", path, "--level-of-theory", "key", *names)
    for found in ("energies (dft_e)", "forces (dft_f)", "stresses (dft_s)"):
        assert found in told
    (node,) = orm.QueryBuilder().append(FramesData).all(flat=True)
    frames = node.frames
    assert node.has_labels
    assert (frames.energies[0], frames.forces[0, 0, 0], frames.cells[0, 2, 2]) == (-1.5, 0.5, 9.0)
    assert frames.stresses[0].tolist() == [0.1, 0.2, 0.3, 0, 0, 0]
    assert "the names there are dft_e, dft_f, dft_s" in run("frames", "import", path, "--energy-key", "dft_x", code=1)


def test_text_that_is_no_xyz_is_refused(aiida_profile, tmp_path):
    path = tmp_path / "frames.xyz"
    path.write_text("nothing of the kind\n")
    assert "frame 1 is no extended XYZ" in run("frames", "import", path, code=1)


def test_trust_is_given_to_files_by_their_hash(builder):
    potential = builder.potential().store()
    assert not potential.is_trusted
    assert potential.sha256[0] in run("potential", "trust", potential.pk, "--yes")
    assert potential.is_trusted
    assert "trusted already" in run("potential", "trust", potential.pk)
    assert "not a potential" in run("potential", "trust", orm.Int(1).store().pk, code=1)
    assert "not trusted" in run("potential", "distrust", potential.pk)
    assert not potential.is_trusted


def test_potentials_are_listed_shown_and_travel_without_trust(aiida_profile_clean, aiida_localhost, tmp_path):
    assert "no potentials yet" in run("potential", "list")
    potential = Builder(aiida_localhost, tmp_path).potential().store()
    potential.trust()
    assert f"<{potential.pk}>" in run("potential", "list")
    shown = run("potential", "show", potential.pk)
    assert f"member_0.model: sha256 {potential.sha256[0]}" in shown
    assert "trusted: yes" in shown
    run("potential", "export", potential.pk, tmp_path / "out")
    potential.base.extras.set("gone", True)
    run("potential", "distrust", potential.pk)
    output = run("potential", "import", tmp_path / "out")
    again = orm.load_node(int(output.split("<")[1].split(">")[0]))
    assert again.sha256 == potential.sha256
    assert (again.elements, again.cutoff, again.precision) == (
        potential.elements,
        potential.cutoff,
        potential.precision,
    )
    assert not again.is_trusted
    (tmp_path / "out" / "member_0.model").write_bytes(b"another")
    assert "names other files than lie there" in run("potential", "import", tmp_path / "out", code=1)
    (tmp_path / "out" / "potential.json").write_text('{"elements": "Li", "cutoff": 5}')
    assert "has to name elements" in run("potential", "import", tmp_path / "out", code=1)
    (tmp_path / "out" / "potential.json").unlink()
    assert "cannot be read" in run("potential", "import", tmp_path / "out", code=1)


def test_labels_are_counted_by_level_and_come_out_whole(aiida_profile_clean, tmp_path):
    from aiida_haml.groups import add_labels

    node = frames("burst").store()
    frames("stretch").store()
    add_labels([node], {"name": "pbe", "engine": "cp2k", "theory": {"DFT": {}}, "solver": []})
    shown = run("labels", "show", "key")
    assert "name: pbe" in shown
    assert "burst: 5 labels" in shown
    assert "stretch" not in shown
    assert "wrote 5 labels" in run("labels", "export", "key", tmp_path / "labels.extxyz")
    output = run("frames", "import", tmp_path / "labels.extxyz", "--dry-run")
    assert "1-5: 5 frames of Li2 would be a node: found energies (energy), forces (forces)" in output
    for command in (("show", "nothing"), ("export", "nothing", tmp_path / "x")):
        assert "no labels at 'nothing'" in run("labels", *command, code=1)
