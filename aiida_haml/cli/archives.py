"""Commands that carry screens between databases: export, import."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import click

from aiida_haml.cli.files import writing
from aiida_haml.cli.messages import Refusal, echo, visible
from aiida_haml.cli.root import with_profile
from aiida_haml.cli.screen import find_screen, screen

if TYPE_CHECKING:
    from aiida_haml.archives import Arrival

_PATH = click.Path(path_type=Path)


@screen.command("export")
@click.argument("screen")
@click.argument("file", metavar="FILE", type=_PATH)
@click.option("--force", is_flag=True, help="Replace FILE if it is there.")
@with_profile
def export(screen: str, file: Path, force: bool) -> None:
    """Write SCREEN, with all that it was made from and all that it made, into the archive FILE.

    Whoever imports it sees the same ranking, report, audit and trace, and can extend it.
    """
    from aiida_haml.archives import pack

    node = find_screen(screen)
    if not node.is_terminated:
        raise Refusal(f"Screen <{node.pk}> still runs; wait for its end, or end it with 'aiida-haml screen kill'.")
    if file.exists() and not force:
        raise Refusal(f"{file} is there; add --force to replace it, or give another name.")
    try:
        with writing(file):
            pack([node], file, overwrite=force)
    except ValueError as error:
        raise Refusal(f"Screen <{node.pk}> cannot be exported: {error}") from error
    echo(f"screen <{node.pk}> '{visible(node.label)}' is in {file}, {file.stat().st_size / 1e6:.1f} MB")


@screen.command("import")
@click.argument("file", metavar="FILE", type=_PATH)
@with_profile
def import_(file: Path) -> None:
    """Store the screens of the archive FILE; what is here already is not stored twice.

    Nothing of it runs: its codes are not yours, its potentials are not loaded, and its work is not taken for your own
    before you say so with 'aiida-haml adopt'.
    """
    from aiida_haml.archives import unpack

    if not file.is_file():
        raise Refusal(f"{file} is no file; name an archive, as 'aiida-haml screen export' writes it.")
    try:
        came = unpack(file)
    except ValueError as error:
        raise Refusal(f"{file} is no archive that can be read: {error}") from error
    echo(f"{len(came.new)} nodes are new, {came.n_known} were here")
    for line in _arrived(came):
        echo(line)


def _arrived(came: Arrival) -> Iterator[str]:
    """Say which screens came, and how their work is taken for one's own."""
    from aiida.orm import load_node

    from aiida_haml.codes import ROLES, find_code
    from aiida_haml.queries.origin import foreign

    for pk in came.screens:
        node = load_node(pk)
        yield f"screen <{pk}> '{visible(node.label)}' of {visible(node.user.email)}"
    codes = foreign(came.new).codes
    mine = {}
    for role, label in ROLES.items():
        with suppress(LookupError):  # a person need not have codes yet, or may have deleted them
            mine[label] = find_code(role, None)
    theirs = {pk: load_node(pk).label for pk in codes}
    pairs = [
        f"--code {pk}={mine[label].pk}" for pk, label in theirs.items() if label in mine and mine[label].pk not in codes
    ]
    if codes and came.screens:
        yield "to take its work for your own: " + " ".join(["aiida-haml adopt", *map(str, came.screens), *pairs])
