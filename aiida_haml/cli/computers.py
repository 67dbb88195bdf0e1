"""The computer that a person's codes run on: this machine, one behind ssh, or one of the profile that they name."""

from __future__ import annotations

import getpass
import itertools
import re
import shlex
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aiida_haml.cli.consent import need_consent
from aiida_haml.cli.messages import Refusal, echo, visible
from aiida_haml.cli.root import profile_name

if TYPE_CHECKING:
    from aiida.orm import Computer

#: AiiDA's schedulers, without their prefix.
SCHEDULERS = ("direct", "slurm", "pbspro", "torque", "sge", "lsf")
#: Least time between two logins on another machine, s: many clusters shut out who comes more often.
_BETWEEN_LOGINS_S = 5
#: Time that a host is given to answer, s.
_PATIENCE_S = 15
#: Characters that labels of computers and hosts of ssh share; what begins with a dash would be an option of ssh.
_HOST = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")


def _wanted_computer(label: str, scheduler: str, workdir: str | None, host: str | None) -> Computer:
    """Return a computer, not stored: with neither scheduler, folder nor host that of `verdi presto`."""
    from aiida.manage.configuration import get_config
    from aiida.orm import Computer

    computer = Computer(
        label=label,
        hostname=host or "localhost",
        transport_type="core.ssh_async" if host else "core.local",
        scheduler_type=f"core.{scheduler}",
        workdir=workdir or str(Path(get_config().dirpath) / "scratch" / profile_name()),
    )
    computer.set_default_mpiprocs_per_machine(1)
    return computer


def own_computer(scheduler: str, workdir: str | None, host: str | None = None) -> Computer:
    """Return a computer that is there and is in every point what would be made, or a new one.

    Parameters
    ----------
    scheduler : str
        One of `SCHEDULERS`.
    workdir : str or None
        Where jobs run, ``{username}`` for their owner; None for a folder beside the person's AiiDA.
    host : str or None
        As `ssh` knows it; None for this machine.

    Raises
    ------
    Refusal
        If a folder cannot be one.
    """
    from aiida.common.exceptions import NotExistent
    from aiida.orm import Computer

    from aiida_haml.codes import computer_content

    if workdir is not None and not workdir.startswith("/"):
        raise Refusal(f"--workdir is '{workdir}'; give a whole path, such as /scratch/{{username}}/aiida.")
    name = host or "localhost"
    for label in names_for(name if scheduler == "direct" else f"{name}-{scheduler}"):
        wanted = _wanted_computer(label, scheduler, workdir, host)
        try:
            computer = Computer.collection.get(label=label)
        except NotExistent:
            computer = wanted.store()
        if differences := differences_of(computer_content(computer), computer_content(wanted)):
            say_left_alone(f"Computer '{label}'", differences)
            continue
        if not computer.is_configured or not _serves_codes(computer):
            _configure(computer)
        if host is None:
            computer.set_minimum_job_poll_interval(1)
        return computer
    raise AssertionError("names do not end")


def _configure(computer: Computer) -> None:
    """Say how a person reaches a computer; a login shell costs a second a command, and codes have whole paths."""
    if computer.transport_type == "core.local":
        computer.configure(safe_interval=0, use_login_shell=False)
    else:
        computer.configure(host=computer.hostname, use_login_shell=False, safe_interval=_BETWEEN_LOGINS_S)


def require_there(host: str, paths: Mapping[str, str]) -> None:
    """Refuse a host that ssh does not reach without a password, or that lacks one of the programs, by their option.

    AiiDA's own transport would ask for a running broker, which a profile that is being set up may lack.

    Raises
    ------
    Refusal
    """
    if not _HOST.fullmatch(host):
        raise Refusal(f"--host is '{visible(host)}'; give a name of your ~/.ssh/config, or of a machine.")
    looks = [f"test -x {shlex.quote(path)} || echo {shlex.quote(option)}" for option, path in paths.items()]
    command = ["ssh", "-o", "BatchMode=yes", "-o", f"ConnectTimeout={_PATIENCE_S}", host]
    try:
        done = subprocess.run([*command, "; ".join(["true", *looks])], capture_output=True, text=True, check=False)
    except OSError as error:
        raise Refusal(f"'ssh' cannot be run: {error}; install it.") from error
    if done.returncode:
        raise Refusal(
            f"'{host}' cannot be reached: {visible(done.stderr.strip())}. 'ssh {host} true' has to work without a "
            "password; keys and names stand in ~/.ssh/config, and a first login makes a host known."
        )
    if missing := [f"--{option} {paths[option]}" for option in done.stdout.split() if option in paths]:
        raise Refusal(f"Nothing that could be run is there on '{host}': {', '.join(missing)}.")


def _serves_codes(computer: Computer) -> bool:
    """Whether anybody's codes run on a computer, and may count on its login shell."""
    from aiida.orm import QueryBuilder

    from aiida_haml.codes import KINDS

    builder = QueryBuilder().append(type(computer), filters={"id": computer.pk}, tag="computer")
    return builder.append(list(KINDS), with_computer="computer").count() > 0


def chosen_computer(label: str, yes: bool) -> Computer:
    """Return a computer that a person names, once they have seen what it adds to each job."""
    from aiida.common.exceptions import NotExistent
    from aiida.orm import Computer

    from aiida_haml.codes import computer_content
    from aiida_haml.consent import ShellText

    try:
        computer = Computer.collection.get(label=label)
    except NotExistent as error:
        raise Refusal(f"There is no computer '{label}' in profile '{profile_name()}'; "
                      "'verdi computer setup' makes one.") from error  # fmt: skip
    if not computer.is_configured:
        command = f"verdi computer configure {computer.transport_type} {computer.label}"
        raise Refusal(f"Computer '{label}' is not configured for you; run '{command}'.")
    content = {**computer_content(computer), "connection": computer.get_configuration()}
    need_consent([ShellText(f"computer {label}", content)], yes)
    return computer


# -- what is not ours --------------------------------------------------------------------------------------


def names_for(name: str) -> Iterator[str]:
    """Yield a name, and the names to take where somebody else has it."""
    yield name
    mine = f"{name}-{re.sub(r'[^A-Za-z0-9_]+', '_', getpass.getuser())}"
    yield mine
    yield from (f"{mine}-{i}" for i in itertools.count(2))


def differences_of(there: Mapping[str, Any], wanted: Mapping[str, Any]) -> list[str]:
    """Say in which points what is there is not what would be made."""
    names = [name for name in sorted({*there, *wanted}) if there.get(name) != wanted.get(name)]
    return [f"{name}: {visible(repr(there.get(name)))} instead of {wanted.get(name)!r}" for name in names]


def say_left_alone(what: str, differences: list[str]) -> None:
    echo(f"{what} is there and is not what would be made here; it is left alone and not used:", err=True)
    for difference in differences:
        echo(f"    {difference}", err=True)
