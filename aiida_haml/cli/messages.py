"""What a person is told. Every text passes here, as labels and messages come from other people's files.

A terminal obeys what it is sent: a label can move the cursor, rename the window or answer for the person. Control
codes and characters that reorder or hide text are therefore written out (``\\x1b``), never sent.
"""

import unicodedata

import click

#: Categories of Unicode: control codes, invisible formatting (directions, joiners), separators, halves of pairs.
_HIDDEN = ("Cc", "Cf", "Zl", "Zp", "Cs")


def visible(text: object) -> str:
    """Return text as one line that can only be read: what a terminal would obey is written out."""
    return _escaped(str(text), kept="")


def echo(text: object = "", *, err: bool = False, nl: bool = True) -> None:
    """Print text; line breaks and tabs stay, all else that a terminal would obey is written out."""
    click.echo(_escaped(str(text), kept="\n\t"), err=err, nl=nl)


def confirm(question: str) -> bool:
    """Ask a person; no answer, as in a script, is a no."""
    try:
        return click.confirm(_escaped(question, kept="\n"), err=True)
    except click.Abort:
        click.echo(err=True)
        return False


class Refusal(click.ClickException):
    """A command that cannot be done, and what to do instead; exit code 1."""

    def format_message(self) -> str:
        return _escaped(self.message, kept="\n\t")


def _escaped(text: str, kept: str) -> str:
    if text.isascii() and text.isprintable():
        return text
    return "".join(c if c in kept or unicodedata.category(c) not in _HIDDEN else _written_out(c) for c in text)


def _written_out(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")
