"""The command that makes a profile ready: computer, codes, options of the daemon."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from aiida_haml.cli.root import profile_name, with_profile

#: What every profile that runs our jobs needs; AiiDA's defaults fail on a busy machine, or are slow.
OPTIONS: Mapping[str, Any] = {"daemon.timeout": 30, "broker.task_timeout": 30, "runner.poll.interval": 1}
CACHED = "aiida.calculations:haml.*"


@dataclass(frozen=True)
class CodeChoice:
    """A code to register: label, entry point, names of its executable, and what to do without it."""

    label: str
    plugin: str
    names: tuple[str, ...]
    missing: str


CODES = {
    "cp2k": CodeChoice(
        "cp2k",
        "haml.cp2k",
        ("cp2k.psmp", "cp2k.popt", "cp2k.ssmp", "cp2k"),
        "Install it (Debian: apt-get install cp2k) or name it with --cp2k PATH; teachers run without it.",
    ),
    "engine": CodeChoice(
        "haml-engine",
        "haml.train",
        ("haml-engine",),
        "Install aiida-haml there, or name it with --engine PATH.",
    ),
    "lammps": CodeChoice(
        "haml-lammps",
        "haml.lammps",
        ("haml-lammps",),
        "Install aiida-haml there, or name it with --lammps PATH.",
    ),
}

_PATH = click.Path(path_type=Path, exists=True, dir_okay=False)


@click.command()
@click.option("--cp2k", type=_PATH, help="CP2K's executable; searched on the PATH otherwise.")
@click.option("--engine", type=_PATH, help="haml-engine; taken from this Python environment otherwise.")
@click.option("--lammps", type=_PATH, help="haml-lammps, or an lmp with ML-IAP; from this Python otherwise.")
@with_profile
def setup(**given: Path | None) -> None:
    """Register this machine and its codes, and set the daemon's options. May be run again at any time."""
    _set_options()
    computer = _localhost()
    missing = 0
    for key, choice in CODES.items():
        path = given[key] or _find(choice.names)
        if path is None:
            missing += 1
            click.echo(f"{choice.label}@localhost: not found. {choice.missing}", err=True)
        else:
            click.echo(f"{choice.label}@localhost: {_register(choice, computer, path.absolute())} ({path})")
    click.echo(f"Profile '{profile_name()}' is ready." if not missing else f"{missing} of {len(CODES)} codes missing.")


def _set_options() -> None:
    from aiida.manage.configuration import get_config

    config, scope = get_config(), profile_name()
    for name, value in OPTIONS.items():
        config.set_option(name, value, scope=scope)
    enabled = list(config.get_option("caching.enabled_for", scope=scope) or [])
    if CACHED not in enabled:
        config.set_option("caching.enabled_for", [*enabled, CACHED], scope=scope)
    config.store()


def _localhost() -> Any:
    """Return the computer `localhost`, made and configured if need be."""
    from aiida.common.exceptions import NotExistent
    from aiida.manage.configuration import get_config
    from aiida.orm import Computer

    try:
        computer = Computer.collection.get(label="localhost")
    except NotExistent:
        computer = Computer(
            label="localhost",
            hostname="localhost",
            transport_type="core.local",
            scheduler_type="core.direct",
            workdir=str(Path(get_config().dirpath) / "scratch" / profile_name()),
        ).store()
        computer.set_default_mpiprocs_per_machine(1)
    if not computer.is_configured:
        computer.configure(safe_interval=0)
    computer.set_minimum_job_poll_interval(1)
    return computer


def _find(names: tuple[str, ...]) -> Path | None:
    """Look beside this Python first, without resolving its links: a virtual environment lives by them."""
    beside = str(Path(sys.executable).parent)
    for name in names:
        for path in (beside, None):
            if found := shutil.which(name, path=path):
                return Path(found)
    return None


def _prepend_text() -> str:
    """Return the shell lines before a job: one thread, as two jobs a machine beat two threads a job."""
    lines = ["export OMP_NUM_THREADS=1"]
    if hasattr(os, "geteuid") and os.geteuid() == 0:  # Open MPI refuses to run as root, even serially
        lines += ["export OMPI_ALLOW_RUN_AS_ROOT=1", "export OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1"]
    return "\n".join(lines)


def _register(choice: CodeChoice, computer: Any, path: Path) -> str:
    """Store the code unless it is there already; a changed one makes room, as codes cannot be edited."""
    from aiida.common.exceptions import NotExistent
    from aiida.orm import InstalledCode, load_code

    prepend = _prepend_text()
    done = "registered"
    try:
        old = load_code(f"{choice.label}@{computer.label}")
    except NotExistent:
        pass
    else:
        if str(old.filepath_executable) == str(path) and old.prepend_text == prepend:
            return f"unchanged <{old.pk}>"
        old.label, old.is_hidden = f"{choice.label}-{old.pk}", True
        done = f"replaced <{old.pk}>, now {old.label}"
    code = InstalledCode(
        label=choice.label,
        computer=computer,
        filepath_executable=str(path),
        default_calc_job_plugin=choice.plugin,
        prepend_text=prepend,
        with_mpi=False,
    ).store()
    return f"{done} <{code.pk}>"
