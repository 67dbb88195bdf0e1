"""The command that makes a profile ready: computer, codes, options of the daemon."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from aiida_haml.cli.computers import (
    SCHEDULERS,
    chosen_computer,
    differences_of,
    names_for,
    own_computer,
    require_there,
    say_left_alone,
)
from aiida_haml.cli.messages import Refusal, echo
from aiida_haml.cli.root import profile_name, with_profile

if TYPE_CHECKING:
    from aiida.orm import Computer, InstalledCode

#: What every profile that runs our jobs needs; AiiDA's defaults fail on a busy machine, or are slow.
OPTIONS: Mapping[str, Any] = {"daemon.timeout": 30, "broker.task_timeout": 30, "runner.poll.interval": 1}
CACHED = "aiida.calculations:haml.*"


@dataclass(frozen=True)
class CodeChoice:
    """A code to register: entry point, names of its executable, and what to do without it."""

    plugin: str
    names: tuple[str, ...]
    missing: str


CODES = {
    "cp2k": CodeChoice(
        "haml.cp2k",
        ("cp2k.psmp", "cp2k.popt", "cp2k.ssmp", "cp2k"),
        "Install it (Debian: apt-get install cp2k) or name it with --cp2k PATH; teachers run without it.",
    ),
    "engine": CodeChoice(
        "haml.learn", ("haml-engine",), "Install aiida-haml there, or name it with --engine PATH."
    ),
    "lammps": CodeChoice(
        "haml.lammps", ("haml-lammps",), "Install aiida-haml there, or name it with --lammps PATH."
    ),
}  # fmt: skip

_PATH = click.Path(path_type=Path)


@click.command()
@click.option("--cp2k", type=_PATH, help="CP2K's executable; searched on the PATH otherwise.")
@click.option("--engine", type=_PATH, help="haml-engine; taken from this Python environment otherwise.")
@click.option("--lammps", type=_PATH, help="haml-lammps, or an lmp with ML-IAP; from this Python otherwise.")
@click.option(
    "--computer", metavar="LABEL", help="A computer of the profile that is configured for you, for these codes."
)
@click.option("--host", metavar="HOST", help="Another machine, as ssh knows it without a password; wants --workdir.")
@click.option("--scheduler", type=click.Choice(SCHEDULERS), help="What queues jobs there; none otherwise.")
@click.option(
    "--workdir",
    metavar="FOLDER",
    help="Where jobs run; with {username} in it, several people can share the computer.",
)
@click.option(
    "--prepend", metavar="LINE", multiple=True, help="Shell line before each job, such as 'module load cp2k'."
)
@click.option("--yes", is_flag=True, help="Agree to what the computer of --computer runs, without being asked.")
@with_profile
def setup(
    computer: str | None,
    host: str | None,
    scheduler: str | None,
    workdir: str | None,
    prepend: tuple[str, ...],
    yes: bool,
    **given: Path | None,
) -> None:
    """Register a machine and its codes for you, and set the daemon's options. May be run again at any time.

    The machine is this one, another one behind ssh (--host), or a computer of the profile (--computer).

    Computers and codes that came with an archive, or belong to somebody else, are left alone: what is not in every
    point what would be made here is not used, and yours get another name.
    """
    from aiida_haml.codes import ROLES

    for path in given.values() if computer is None and host is None else ():
        if path is not None and not path.is_file():
            raise Refusal(f"{path} is no file; name the executable.")
    if computer is not None and (scheduler or workdir or host):
        raise Refusal(f"Computer '{computer}' has its scheduler, folder and host; leave --scheduler, --workdir and "
                      "--host out.")  # fmt: skip
    if host is not None:
        if workdir is None:
            raise Refusal("--host wants --workdir, where jobs run there, such as /scratch/{username}/aiida.")
        require_there(host, {role: str(path) for role, path in given.items() if path is not None})
    _set_options()
    place = own_computer(scheduler or "direct", workdir, host) if computer is None else chosen_computer(computer, yes)
    missing = 0
    for role, choice in CODES.items():
        path = _executable(given[role], choice, place)
        if path is None:
            missing += 1
            echo(f"{ROLES[role]}@{place.label}: not found. {choice.missing}", err=True)
        else:
            code, done = _own_code(role, _wanted_code(role, place, path, prepend))
            echo(f"{code.full_label}: {done} <{code.pk}> ({path})")
    echo(f"Profile '{profile_name()}' is ready." if not missing else f"{missing} of {len(CODES)} codes missing.")


def _set_options() -> None:
    from aiida.manage.configuration import get_config

    config, scope = get_config(), profile_name()
    for name, value in OPTIONS.items():
        config.set_option(name, value, scope=scope)
    enabled = list(config.get_option("caching.enabled_for", scope=scope) or [])
    if CACHED not in enabled:
        config.set_option("caching.enabled_for", [*enabled, CACHED], scope=scope)
    config.store()


# -- codes -------------------------------------------------------------------------------------------------


def _executable(given: Path | None, choice: CodeChoice, computer: Computer) -> Path | None:
    """Return the path of a code; on another machine only a person knows it."""
    if computer.transport_type != "core.local":
        return given
    found = given or _find(choice.names)
    return None if found is None else found.absolute()


def _find(names: tuple[str, ...]) -> Path | None:
    """Look beside this Python first, without resolving its links: a virtual environment lives by them."""
    beside = str(Path(sys.executable).parent)
    for name in names:
        for path in (beside, None):
            if found := shutil.which(name, path=path):
                return Path(found)
    return None


def _wanted_code(role: str, computer: Computer, path: Path, prepend: tuple[str, ...] = ()) -> InstalledCode:
    """Return the code of a role as it would be registered, not stored."""
    from aiida.orm import InstalledCode

    from aiida_haml.codes import ROLES

    return InstalledCode(
        label=ROLES[role],
        computer=computer,
        filepath_executable=str(path),
        default_calc_job_plugin=CODES[role].plugin,
        prepend_text="\n".join([_prepend_text(computer), *prepend]),
        with_mpi=False,
    )


def _prepend_text(computer: Computer) -> str:
    """Return the shell lines before a job: one thread, as two jobs a machine beat two threads a job."""
    lines = ["export OMP_NUM_THREADS=1"]
    if _may_be_root(computer):  # Open MPI refuses to run as root, even serially; to anybody else these say nothing
        lines += ["export OMPI_ALLOW_RUN_AS_ROOT=1", "export OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1"]
    return "\n".join(lines)


def _may_be_root(computer: Computer) -> bool:
    """Whether jobs may run as root: who one is here says nothing of who one is on another machine."""
    return computer.transport_type != "core.local" or (hasattr(os, "geteuid") and os.geteuid() == 0)


def _own_code(role: str, wanted: InstalledCode) -> tuple[InstalledCode, str]:
    """Return this person's code of a role, as wanted, and what was done to have it.

    One that is there and is in every point the same serves. This person's own, if it has changed, makes room, as codes
    cannot be edited; anybody else's keeps its name, and the new one gets another.
    """
    from aiida.orm import Computer, InstalledCode, QueryBuilder

    from aiida_haml.codes import profile_uuid
    from aiida_haml.consent import own_codes

    mine = own_codes(profile_uuid()).get(role)
    done = "registered"
    for label in names_for(wanted.label):
        builder = QueryBuilder().append(Computer, filters={"id": wanted.computer.pk}, tag="computer")
        builder.append(InstalledCode, with_computer="computer", filters={"label": label})
        others = []
        for code in builder.all(flat=True):
            if not (differences := differences_of(code.base.attributes.all, wanted.base.attributes.all)):
                return _kept(role, code), "unchanged"
            if code.uuid == mine:
                code.label, code.is_hidden = f"{label}-{code.pk}", True
                done = f"replaced <{code.pk}>, now {code.label},"
            else:
                others.append((code, differences))
        for code, differences in others:
            say_left_alone(f"Code '{code.full_label}' <{code.pk}>", differences)
        if not others:
            wanted.label = label
            return _kept(role, wanted.store()), done
    raise AssertionError("names do not end")


def _kept(role: str, code: InstalledCode) -> InstalledCode:
    """Remember a code as this person's, made here or the same in every point."""
    from aiida_haml.codes import profile_uuid, what_runs
    from aiida_haml.consent import agree, keep_code

    keep_code(profile_uuid(), role, code.uuid)
    agree(what_runs(code))
    return code
