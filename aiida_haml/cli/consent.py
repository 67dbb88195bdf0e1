"""Asking a person before something runs that they did not make."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiida_haml.cli.messages import Refusal, confirm, echo

if TYPE_CHECKING:
    from aiida.orm import WorkChainNode

    from aiida_haml.consent import ShellText


def need_consent(texts: list[ShellText], yes: bool) -> None:
    """Show what would run in a shell and has not been agreed to yet, and ask.

    Parameters
    ----------
    texts : list of ShellText
    yes : bool
        Show it and take the answer for given, in scripts.

    Raises
    ------
    Refusal
        If the person does not agree.
    """
    from aiida_haml.consent import agree, is_agreed

    new = [text for text in texts if not is_agreed(text)]
    for text in new:
        echo(f"{text.name} was not made by you with 'aiida-haml setup'. It runs, on the computing machine:", err=True)
        for line in text.lines():
            echo(f"    {line}", err=True)
    if new and not yes and not confirm("Do you know where this comes from, and agree that it runs?"):
        raise Refusal("Nothing was run. Agree at a terminal, or with --yes in a script that knows what it submits.")
    for text in new:
        agree(text)


def agree_to_go_on(process: WorkChainNode, yes: bool) -> None:
    """Check what a screen or hybrid run, perhaps another person's, hands on; show what of it runs, and ask.

    Parameters
    ----------
    process : WorkChainNode
    yes : bool
        As of `need_consent`.

    Raises
    ------
    Refusal
        If it is not to be gone on with, or the person does not agree.
    """
    from aiida_haml.handover import check_handed, handed_texts
    from aiida_haml.spec.problems import SpecError

    try:
        check_handed(process)
    except SpecError as error:
        raise Refusal(str(error)) from error
    need_consent(handed_texts(process), yes)
