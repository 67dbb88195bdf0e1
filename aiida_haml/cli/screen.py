"""Screens: submitting them, and finding them again."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from aiida_haml.cli.consent import need_consent
from aiida_haml.cli.control import play_all, unended
from aiida_haml.cli.dry_run import print_candidates
from aiida_haml.cli.messages import Refusal, echo, visible
from aiida_haml.cli.root import find_node, profile_name, with_profile
from aiida_haml.cli.submission import load_checked, refuse_starvation

if TYPE_CHECKING:
    from aiida.orm import WorkChainNode

    from aiida_haml.queries.screens import ScreenEntry
    from aiida_haml.spec import ScreenSpec

#: What a person reads who waits where nobody works.
NO_DAEMON = "nothing: no daemon runs on this machine; 'verdi daemon start' starts one, and what waited goes on"


@click.group()
def screen() -> None:
    """Submit screens, follow them, and read their ranking.

    SCREEN is a pk, a UUID, the name in the specification, or EMAIL/NAME for another person's; the newest screen where
    it is left out. Your own screens come before those of others.
    """


# -- submit ------------------------------------------------------------------------------------------------


@screen.command()
@click.argument("spec", metavar="SPEC.yaml", type=click.Path(path_type=Path))
@click.option(
    "--dry-run",
    "how",
    flag_value="dry-run",
    help="Check everything, build the cells, tell what it will take, store nothing.",
)
@click.option("--run", "how", flag_value="run", help="Run here and now, without the daemon.")
@click.option(
    "--resume",
    "how",
    flag_value="resume",
    help="Take up your unfinished screen of the same content instead of a second one.",
)
@click.option("--yes", is_flag=True, help="Agree to codes and shell lines that are new to you, without being asked.")
@with_profile
def submit(spec: Path, how: str | None, yes: bool) -> None:
    """Check SPEC.yaml and submit the screen that it describes.

    Codes that you did not set up, and lines for the shell in the specification, are shown and run only if you agree.
    """
    checked = load_checked(spec)
    loaded = checked.spec
    if how == "dry-run":
        refuse_starvation(loaded.max_in_flight, len(loaded.candidates()))
        print_candidates(checked)
        return
    need_consent(checked.shell_texts, yes)
    unfinished = _unfinished(loaded) if how == "resume" else None
    if unfinished is not None:
        _take_up(unfinished)
        echo(f"screen <{unfinished.pk}> '{loaded.name}' is unfinished and goes on")
        return
    announce(start(_builder(loaded), in_process=how == "run"), f"with {len(loaded.candidates())} candidates")


def _unfinished(spec: ScreenSpec) -> WorkChainNode | None:
    """Return one's own unfinished screen of the same content: a name alone may be another person's, or an older one."""
    from aiida.orm import load_node

    from aiida_haml.queries.screens import find_screens

    wanted = spec.model_dump(mode="json")
    for entry in find_screens(spec.name, unfinished=True):
        node: Any = load_node(entry.pk)
        if entry.is_own and "specification" in node.inputs and node.inputs.specification.get_dict() == wanted:
            return node
    return None


def _take_up(node: WorkChainNode) -> None:
    """See to it that an unfinished screen goes on: that somebody works at it, and that it is not paused.

    Raises
    ------
    Refusal
        If nobody does.
    """
    _require_daemon()
    if not any(process.paused for process in unended(node)):
        return
    if not daemon_runs():  # a pause is lifted by the worker that holds the process, and by nobody else
        remedy = f"start one with 'verdi -p {profile_name()} daemon start', and run this again."
        raise Refusal(
            f"Screen <{node.pk}> is paused, and no daemon runs on this machine that could let it go on; {remedy}"
        )
    play_all(node)


def _builder(spec: ScreenSpec) -> Any:
    from aiida_haml.workchains.screen import ScreenWorkChain

    try:
        return ScreenWorkChain.get_builder_from_spec(spec)
    except ValueError as error:
        raise Refusal(f"the specification is refused: {error}") from error


def start(builder: Any, in_process: bool) -> Any:
    """Run or submit a screen.

    Raises
    ------
    Refusal
        If there is nobody to take it, or fewer slots than it would need; nothing is stored then.
    """
    if not in_process:
        refuse_starvation(builder.max_in_flight.value, len(builder.candidates))
    return run_or_submit(builder, in_process)


def run_or_submit(builder: Any, in_process: bool) -> Any:
    """Run a process here and now, or hand it to the daemon.

    Raises
    ------
    Refusal
        If there is nobody to take it; nothing is stored then.
    """
    from aiida.engine import run_get_node
    from aiida.engine import submit as submit_

    if in_process:
        return run_get_node(builder)[1]
    _require_daemon()
    return submit_(builder)


def daemon_runs() -> bool:
    """Whether a daemon of the profile runs on this machine."""
    from aiida.engine.daemon.client import get_daemon_client

    return get_daemon_client().is_daemon_running


def _require_daemon() -> None:
    """Refuse to submit where nobody can take it up; a broker of its own host's daemon keeps no messages."""
    from aiida.manage import get_manager

    profile = get_manager().get_profile()
    broker = profile.process_control_backend if profile is not None else None
    if broker is None:
        raise Refusal(f"Profile '{profile_name()}' has no broker, and so no daemon; add --run to run here and now.")
    if not daemon_runs():
        remedy = f"start it with 'verdi -p {profile_name()} daemon start', or add --run to run here and now."
        if broker == "core.zeromq":
            raise Refusal(f"The daemon of profile '{profile_name()}' does not run; {remedy}")
        echo(f"! no daemon of profile '{profile_name()}' runs on this machine; {remedy}", err=True)


def announce(node: Any, what: str) -> None:
    """Say what was started; of what ran here and failed, say why.

    Raises
    ------
    Refusal
        If it has ended otherwise than well.
    """
    echo(f"screen <{node.pk}> '{visible(node.label)}' {what}: {node.uuid}")
    if node.is_terminated and not node.is_finished_ok:
        raise Refusal(failure(node))


def failure(node: Any, called: str = "screen") -> str:
    """Return why a process that has ended badly did so: its own words, and the deepest reason."""
    from aiida_haml.queries.failures import cause

    own = f"[{node.exit_status}] {node.exit_message}" if node.is_finished else str(node.process_state.value)
    found = cause(node)
    deeper = f": {found.what}" if found is not None and found.pk != node.pk else ""
    return f"{called} <{node.pk}> failed {own.rstrip('.')}{deeper}"


def find_screen(identifier: str | None) -> WorkChainNode:
    """Return the screen with a pk, a UUID or a name; the newest one for None, one's own before those of others."""
    return _load(screens_called(identifier)[0])


def find_ranked_screen(identifier: str | None) -> WorkChainNode:
    """Return the first of the screens that an identifier may mean which has a ranking; the first one if none has.

    A screen that runs, one's own or another person's, does not hide the finished one of the same name.
    """
    found = screens_called(identifier)
    return _load(next((entry for entry in found if entry.has_ranking), found[0]))


def screens_called(identifier: str | None) -> list[ScreenEntry]:
    """Return the screens that a pk, a UUID, a name, or OWNER/NAME may mean: one's own first, and the newest first."""
    from aiida_haml.queries.screens import find_screens

    if identifier == "":
        raise Refusal("The screen's name is empty, as of a variable that is not set; give a pk or a name.")
    owner, of, name = (identifier or "").rpartition("/")
    found = find_screens(identifier) or (find_screens(name, owner) if of else [])
    if found:
        return found
    everything = find_screens()
    if identifier is not None:
        node = find_node(identifier)
        everything = [entry for entry in everything if entry.pk == node.pk]
        if not everything:
            kind = type(node).__name__
            raise Refusal(f"'{identifier}' is {kind}, not a screen; 'aiida-haml screen list' shows the screens.")
    if not everything:
        raise Refusal(f"Profile '{profile_name()}' has no screen yet; start one with 'aiida-haml screen submit'.")
    return everything


def _load(entry: ScreenEntry) -> Any:
    from aiida.orm import load_node

    return load_node(entry.pk)
