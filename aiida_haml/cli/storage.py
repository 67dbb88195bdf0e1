"""What screens keep on disk, and taking away the folders of their jobs: storage show, storage prune."""

import posixpath
from pathlib import PurePosixPath
from typing import Any

import click

from aiida_haml.cli.messages import Refusal, confirm, echo, visible
from aiida_haml.cli.root import with_profile
from aiida_haml.cli.screen import find_screen


@click.group()
def storage() -> None:
    """See what screens keep on disk, and take away the work folders of their jobs."""


@storage.command()
@click.argument("screen", required=False)
@with_profile
def show(screen: str | None) -> None:
    """Show what SCREEN keeps, by kind; without a name, the sum of each screen."""
    from aiida_haml.queries.kept import folders, kept
    from aiida_haml.queries.screens import find_screens
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
    echo(f"{len(folders([pk_of(node)]))} work folders of its jobs are left; 'storage prune' empties them")


@storage.command()
@click.argument("screen")
@click.option("--yes", is_flag=True, help="Do not ask.")
@with_profile
def prune(screen: str, yes: bool) -> None:
    """Empty the work folders that the jobs of SCREEN, which has ended, left on their computers.

    What the database holds stays, and with it every answer of audit and trace. Labels of a screen that goes on from
    this one start their SCF anew, as the wave functions are gone. Folders that came with an archive, or that do not
    lie below your own work directory, are left.
    """
    from aiida_haml.queries.kept import folders
    from aiida_haml.queries.walks import pk_of

    node = find_screen(screen)
    if not node.is_terminated:
        raise Refusal(f"Screen <{node.pk}> still runs; its folders hold what the next steps start from.")
    found = folders([pk_of(node)])
    if not found:
        echo(f"the jobs of screen <{node.pk}> have left nothing")
        return
    if not yes and not confirm(f"Empty {len(found)} work folders?"):
        raise Refusal("Nothing was taken away.")
    echo(f"{sum(map(_clean, found))} of {len(found)} work folders are empty")


def _clean(pk: int) -> bool:
    """Empty a work folder; one that is not yours to empty, or not to be reached, is told of and left."""
    from aiida.orm import load_node

    folder: Any = load_node(pk)
    try:
        with folder.get_authinfo().get_transport() as transport:
            _require_work_folder(folder, transport.whoami())
            folder._clean(transport)
    except Exception as error:  # whatever a transport may say: the next folder lies elsewhere
        echo(f"! folder <{pk}> on {visible(folder.computer.label)} is left: {visible(error)}", err=True)
        return False
    return True


def _require_work_folder(folder: Any, username: str) -> None:
    """Refuse a path where this person's jobs do not run: what a node says of itself is no reason to remove it.

    Raises
    ------
    ValueError
    """
    work = posixpath.normpath(folder.get_authinfo().get_workdir().format(username=username))
    path = posixpath.normpath(folder.get_remote_path())
    if PurePosixPath(work) not in PurePosixPath(path).parents:
        raise ValueError(f"{path} does not lie below {work}, where your jobs run; remove it by hand")
