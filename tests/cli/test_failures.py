"""Failures that one can see: exit codes, the deepest reason in one line, and nothing that hides it."""

import os
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import pytest
from aiida import orm

from aiida_haml.cli.messages import Refusal
from aiida_haml.cli.screen import _require_daemon
from tests.cli.running import run

SPEC = """
name: broken
dopings: [pristine]
protocol: quick
level_of_theory: teacher
codes: {engine: haml-engine@localhost, lammps: haml-lammps@localhost}
"""


@pytest.fixture
def broken(aiida_profile_clean, aiida_localhost, tmp_path):
    """A specification whose engine says something and ends."""
    engine = tmp_path / "engine"
    engine.write_text("#!/bin/sh\necho 'libmpi.so.12: cannot open shared object file' >&2\nexit 1\n")
    engine.chmod(0o755)
    for label, plugin in (("haml-engine", "haml.train"), ("haml-lammps", "haml.lammps")):
        orm.InstalledCode(
            label=label, computer=aiida_localhost, filepath_executable=str(engine), default_calc_job_plugin=plugin,
            with_mpi=False,
        ).store()  # fmt: skip
    path = tmp_path / "spec.yaml"
    path.write_text(SPEC)
    return path


def test_a_screen_that_fails_here_and_now_says_why(broken):
    output = run("screen", "submit", "--run", "--yes", broken, code=1)
    (line,) = [line for line in output.splitlines() if line.startswith("Error: ")]
    assert line.startswith("Error: screen <")
    assert "failed [4" in line
    assert "TeacherCalculation<" in line
    assert "libmpi.so.12: cannot open shared object file" in line
    assert "Deprecation" not in output
    assert "Traceback" not in output
    assert len(output.splitlines()) < 30, output
    assert line.removeprefix("Error: ") in run("screen", "status", "broken", code=1)
    assert "libmpi.so.12" in run("screen", "rank", "broken", code=1)
    assert "libmpi.so.12" in run("screen", "watch", "broken", code=1)
    logs = orm.QueryBuilder().append(orm.Log, filters={"levelname": "REPORT"}).count()
    assert logs > 0, "what 'verdi process report' shows"


def test_without_a_daemon_nothing_is_stored(broken):
    before = orm.QueryBuilder().append(orm.Node).count()
    output = run("screen", "submit", "--yes", broken, code=1)
    assert "has no broker" in output
    assert "--run" in output
    assert orm.QueryBuilder().append(orm.Node).count() == before


@pytest.mark.parametrize(("broker", "refused"), [("core.zeromq", True), ("core.rabbitmq", False)])
def test_where_the_daemon_is_off_only_a_broker_that_keeps_messages_takes_a_screen(
    aiida_profile_clean, monkeypatch, capsys, broker, refused
):
    """A ZeroMQ broker is its daemon's own; RabbitMQ hands the screen to the daemon of another machine, or of later."""
    monkeypatch.setattr(type(aiida_profile_clean), "process_control_backend", broker)
    daemon = SimpleNamespace(is_daemon_running=False)
    monkeypatch.setattr("aiida.engine.daemon.client.get_daemon_client", lambda: daemon)
    with pytest.raises(Refusal, match="does not run; start it with 'verdi -p") if refused else nullcontext():
        _require_daemon()
    assert ("! no daemon of profile" in capsys.readouterr().err) is not refused
    daemon.is_daemon_running = True
    _require_daemon()
    assert capsys.readouterr().err == ""


def test_an_empty_name_is_no_screen(aiida_profile_clean):
    """``screen rank "$PK"`` in a script where PK is not set."""
    for command in ("status", "rank", "pk", "report"):
        assert "name is empty" in run("screen", command, "", code=1)


def test_what_nobody_foresaw_is_one_line_and_a_traceback_on_demand(tmp_path):
    environment = {**os.environ, "AIIDA_PATH": str(tmp_path), "PYTHONWARNINGS": "ignore"}
    program = "from aiida_haml.cli import haml\n@haml.command()\ndef boom(): raise KeyError('planted')\nhaml(['boom'])"
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (1, "Error: KeyError: 'planted' (AIIDA_HAML_TRACEBACK=1 shows where.)\n")
    shown = subprocess.run(
        [sys.executable, "-c", program], env=environment | {"AIIDA_HAML_TRACEBACK": "1"}, capture_output=True, text=True
    )
    assert "Traceback" in shown.stderr


def test_a_pipe_that_closes_is_no_failure(tmp_path):
    """``aiida-haml ... | head -1`` ends quietly."""
    program = Path(sys.executable).parent / "aiida-haml"
    done = subprocess.run(f"{program} structure references | head -1", shell=True, capture_output=True, text=True)
    assert done.returncode == 0
    assert "Traceback" not in done.stderr
    assert "Error" not in done.stderr


def test_a_repository_that_may_only_be_read_is_named_with_the_reason(aiida_profile_clean, monkeypatch, tmp_path):
    from aiida.repository.backend.disk_object_store import DiskObjectStoreRepositoryBackend

    def refuse(*_):
        raise PermissionError(13, "Permission denied", "container/packs.idx")

    monkeypatch.setattr(DiskObjectStoreRepositoryBackend, "_put_object_from_filelike", refuse)
    cell = tmp_path / "cell.xyz"
    cell.write_text('1\nLattice="9 0 0 0 9 0 0 0 9" Properties=species:S:1:pos:R:3 pbc="T T T"\nLi 0 0 0\n')
    output = run("frames", "import", cell, code=1)
    assert output.splitlines()[-1] == "Error: container/packs.idx: Permission denied."
    assert "Traceback" not in output
