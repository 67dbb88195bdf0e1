"""A machine behind ssh in one command: reached and looked at before anything is stored."""

import sys

import pytest
from aiida import orm
from click.testing import CliRunner

from aiida_haml.cli import haml
from aiida_haml.codes import find_code

PROGRAMS = ("--engine", sys.executable, "--lammps", sys.executable)
#: Runs the command where it stands, as ssh does elsewhere; what it was called with is kept.
SSH = """#!/bin/sh
echo "$@" >> {folder}/called
for last in "$@"; do :; done
exec sh -c "$last"
"""


@pytest.fixture
def ssh(aiida_profile_clean, tmp_path, monkeypatch):
    """A function that puts a program in the place of ssh."""
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")

    def put(text=SSH):
        (tmp_path / "ssh").write_text(text.format(folder=tmp_path))
        (tmp_path / "ssh").chmod(0o755)
        return tmp_path / "called"

    return put


def setup(*arguments, code=0):
    result = CliRunner().invoke(haml, ["setup", "--host", "cluster", "--workdir", "/scratch/{username}", *arguments])
    assert result.exit_code == code, result.output + repr(result.exception)
    return result.output


def test_one_command_makes_a_cluster_and_its_codes(ssh):
    called = ssh()
    output = setup("--scheduler", "slurm", "--prepend", "module load cp2k", "--cp2k", sys.executable, *PROGRAMS)
    assert "cp2k@cluster-slurm: registered" in output
    computer = orm.load_computer("cluster-slurm")
    assert (computer.hostname, computer.transport_type) == ("cluster", "core.ssh_async")
    assert (computer.scheduler_type, computer.get_workdir()) == ("core.slurm", "/scratch/{username}")
    connection = computer.get_configuration()
    assert (connection["host"], connection["use_login_shell"]) == ("cluster", False)
    assert find_code("cp2k", None).prepend_text.splitlines()[-1] == "module load cp2k"
    assert "BatchMode=yes" in called.read_text(), "nobody is there to type a password"
    assert "unchanged" in setup("--scheduler", "slurm", "--prepend", "module load cp2k", *PROGRAMS)


def test_a_program_that_is_not_there_is_told_before_anything_is_stored(ssh, tmp_path):
    ssh()
    nothing = tmp_path / "it's not" / "cp2k"
    assert f"--cp2k {nothing}" in setup("--cp2k", str(nothing), *PROGRAMS, code=1)
    assert orm.QueryBuilder().append(orm.InstalledCode).count() == 0
    assert "cluster" not in orm.QueryBuilder().append(orm.Computer, project="label").all(flat=True)


def test_a_host_that_is_not_reached_is_told_in_the_words_of_ssh(ssh):
    ssh("#!/bin/sh\necho 'Permission denied (publickey)' >&2\nexit 255\n")
    output = setup(*PROGRAMS, code=1)
    assert "Permission denied (publickey)" in output
    assert "'ssh cluster true' has to work without a password" in output
