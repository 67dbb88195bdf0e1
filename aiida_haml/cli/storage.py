"""What screens keep on disk, and taking away what nobody needs: storage show, storage prune."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from aiida_haml.cli.messages import Refusal, confirm, echo, visible
from aiida_haml.cli.root import with_profile
from aiida_haml.cli.screen import find_screen

if TYPE_CHECKING:
    from aiida_haml.queries.spare import Spare


@click.group()
def storage() -> None:
    """See what screens keep on disk, and take away what nobody needs."""


@storage.command()
@click.argument("screen", required=False)
@with_profile
def show(screen: str | None) -> None:
    """Show what SCREEN keeps, by kind; without a name, the sum of each screen."""
    from aiida_haml.queries.screens import find_screens
    from aiida_haml.queries.spare import kept
    from aiida_haml.queries.walks import pk_of

    if screen is None:
        for entry in find_screens():
            total = sum(part.n_bytes for part in kept([entry.pk]).values())
            echo(f"<{entry.pk}>  {visible(entry.name)} of {visible(entry.owner)}: {total / 1e6:.1f} MB")
        return
    node = find_screen(screen)
    echo(f"{'kind':<16}{'nodes':>8}{'frames':>10}{'MB':>10}{'B a frame':>12}")
    for name, part in sorted(kept([pk_of(node)]).items(), key=lambda item: -item[1].n_bytes):
        each = f"{part.n_bytes / part.n_frames:.0f}" if part.n_frames else ""
        echo(f"{name:<16}{part.n_nodes:>8}{part.n_frames or '':>10}{part.n_bytes / 1e6:>10.2f}{each:>12}")
    _tell(_spare_of(node))


@storage.command()
@click.argument("screen")
@click.option("--yes", is_flag=True, help="Do not ask.")
@with_profile
def prune(screen: str, yes: bool) -> None:
    """Take away what SCREEN, which has ended, can do without.

    These are the ends of stretches that were not trusted and that nothing was made from, and the work folders of its
    jobs. Whatever a ranking, a potential or a label was made from stays, and with it every answer of audit and trace.
    """
    node = find_screen(screen)
    if not node.is_terminated:
        raise Refusal(f"Screen <{node.pk}> still runs; its folders hold what the next steps start from.")
    found = _spare_of(node)
    if not found.tails and not found.folders:
        echo(f"screen <{node.pk}> keeps nothing that it could do without")
        return
    _tell(found)
    if not yes and not confirm("Take them away?"):
        raise Refusal("Nothing was taken away.")
    cleaned = sum(_clean(pk) for pk in found.folders)
    _delete(found.tails)
    echo(f"{len(found.tails)} untrusted ends and {cleaned} of {len(found.folders)} work folders are gone")
    echo("'verdi storage maintain' gives the disk back what the database has freed")


def _spare_of(node: Any) -> Spare:
    from aiida_haml.queries.spare import spare

    return spare([node.pk])


def _tell(found: Spare) -> None:
    megabytes = f"{found.tails_bytes / 1e6:.1f} MB"
    echo(f"can be spared: {len(found.tails)} untrusted ends ({megabytes}), {len(found.folders)} work folders")


def _delete(pks: tuple[int, ...]) -> None:
    """Delete data that nothing was made from; the job that made them stays, with its other results."""
    from aiida.tools import delete_nodes

    delete_nodes(pks, dry_run=False, create_backward=False)


def _clean(pk: int) -> bool:
    """Empty a work folder; one whose computer is not yours, or not there, is told of and left."""
    from aiida.orm import load_node

    folder: Any = load_node(pk)
    try:
        if not folder.is_empty:
            folder._clean()
    except Exception as error:  # whatever a transport may say: the next folder lies elsewhere
        echo(f"! folder <{pk}> on {visible(folder.computer.label)} is left: {visible(error)}", err=True)
        return False
    return True
