"""The group of all commands, the profile that they work in, and how they find nodes."""

from __future__ import annotations

import errno
import functools
import logging
import os
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import click

import aiida_haml
from aiida_haml.cli.messages import Refusal

if TYPE_CHECKING:
    from aiida.orm import Group, Node

P = ParamSpec("P")
R = TypeVar("R")

#: The variable of the environment that shows the traceback of what no command foresaw.
TRACEBACK = "AIIDA_HAML_TRACEBACK"


class CalmGroup(click.Group):
    """Commands that end in one line and exit code 1, whatever went wrong inside."""

    def invoke(self, context: click.Context) -> Any:
        try:
            return super().invoke(context)
        except (click.exceptions.Exit, click.ClickException, click.Abort):
            raise
        except Exception as error:
            if (
                os.environ.get(TRACEBACK) or getattr(error, "errno", None) == errno.EPIPE
            ):  # click ends quietly for | head
                raise
            raise Refusal(_in_one_line(error)) from error


def _in_one_line(error: Exception) -> str:
    """Say what went wrong where no command foresaw it."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename or 'the system'}: {error.strerror}."
    if isinstance(error, RecursionError):
        return "What was given is nested too deeply."
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text or 'no reason given'} ({TRACEBACK}=1 shows where.)"


@click.group("haml", cls=CalmGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("-p", "--profile", default=None, help="AiiDA profile to work in; the default profile otherwise.")
@click.version_option(aiida_haml.__version__, package_name="aiida-haml")
@click.pass_context
def haml(context: click.Context, profile: str | None) -> None:
    """Rank dopings of a solid electrolyte by the stability of their interface with lithium metal."""
    context.meta["aiida_haml.profile"] = profile


def with_profile(command: Callable[P, R]) -> Callable[P, R]:
    """Load the profile before a command runs: the one of ``-p``, of verdi, or the default."""

    @functools.wraps(command)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
        from aiida.common.exceptions import AiidaException
        from aiida.manage import get_manager

        manager = get_manager()
        name = click.get_current_context().meta.get("aiida_haml.profile")
        try:
            if name or manager.get_profile() is None:
                manager.load_profile(name)
            manager.get_profile_storage()
        except AiidaException as error:
            raise Refusal(f"{error} Create one with 'verdi presto --use-zeromq', or name it with -p.") from error
        _quieten()
        return command(*args, **kwargs)

    return wrapped


def _quieten() -> None:
    """Keep reports off the terminal, but not out of the database, and deprecations among the dependencies to them."""
    from aiida.common.warnings import AiidaDeprecationWarning

    for handler in logging.getLogger("aiida").handlers:
        if type(handler).__name__ != "DBLogHandler":
            handler.setLevel(max(handler.level, logging.WARNING))
    warnings.simplefilter("ignore", AiidaDeprecationWarning)


def profile_name() -> str:
    """Return the name of the profile that is loaded."""
    from aiida.manage import get_manager

    profile = get_manager().get_profile()
    return profile.name if profile is not None else "none"


def find_node(identifier: str) -> Node:
    """Return the node with a pk, UUID (or its beginning) or label.

    Raises
    ------
    Refusal
        If there is none, or several.
    """
    from aiida.common.exceptions import MultipleObjectsError, NotExistent

    try:
        return _load_node(identifier)
    except NotExistent as error:
        where = f"There is no node '{identifier}' in profile '{profile_name()}'"
        raise Refusal(f"{where}; 'verdi process list -a' shows the processes.") from error
    except (MultipleObjectsError, ValueError) as error:
        raise Refusal(f"'{identifier}' names no single node: {error} Give its pk.") from error


def _load_node(identifier: str) -> Node:
    """Load a node; where a label names several, the screen is meant, one's own and the newest first."""
    from aiida.common.exceptions import MultipleObjectsError
    from aiida.orm import load_node

    from aiida_haml.queries.screens import find_screens

    try:
        return load_node(identifier)
    except MultipleObjectsError:
        screens = find_screens(identifier)
        if not screens:
            raise
        return load_node(screens[0].pk)


def find_process(identifier: str) -> Any:
    """Return the process node with a pk, UUID or label."""
    from aiida.orm import ProcessNode

    node = find_node(identifier)
    if not isinstance(node, ProcessNode):
        raise Refusal(f"Node {identifier} is {type(node).__name__}, not a process; give a process's pk.")
    return node


def find_node_or_group(identifier: str) -> Node | Group:
    """Return a node by its pk or UUID, else the group with that label."""
    from aiida.common.exceptions import MultipleObjectsError, NotExistent
    from aiida.orm import load_group

    for load in (_load_node, load_group):
        try:
            return load(identifier)
        except (NotExistent, ValueError):
            continue
        except MultipleObjectsError as error:
            raise Refusal(f"'{identifier}' names no single node: {error} Give its pk.") from error
    raise Refusal(
        f"There is neither a node nor a group '{identifier}' in profile '{profile_name()}'; "
        "'verdi group list' shows the groups."
    )
