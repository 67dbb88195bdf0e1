"""Commands that bring frames in and out."""

from __future__ import annotations

from pathlib import Path

import click

from aiida_haml.cli.files import writing
from aiida_haml.cli.messages import Refusal, echo
from aiida_haml.cli.root import find_node, with_profile


@click.group()
def frames() -> None:
    """Bring frames in and out of the database as extended XYZ."""


@frames.command()
@click.argument("pk")
@click.argument("path", type=click.Path(path_type=Path, dir_okay=False))
@with_profile
def export(pk: str, path: Path) -> None:
    """Write the frames of node PK to PATH, with labels, velocities (ASE momenta) and times."""
    from aiida_haml.data.frames import FramesData

    node = find_node(pk)
    if not isinstance(node, FramesData):
        raise Refusal(f"Node {pk} is {type(node).__name__}, not frames.")
    with writing(path):
        node.to_extxyz(path)
    echo(f"wrote {len(node)} frames to {path}")


@frames.command("import")
@click.argument("path", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--level-of-theory", default=None, help="Key of the labels' level of theory, if known.")
@with_profile
def import_(path: Path, level_of_theory: str | None) -> None:
    """Read PATH and store one node for each run of frames of the same atoms.

    No AIMD calculation is behind imported frames: an audit counts them if a potential learns from them.
    """
    from aiida_haml.data.frames import FramesData

    try:
        nodes = FramesData.from_extxyz(path, level_of_theory=level_of_theory)
    except Exception as error:  # ASE's readers raise whatever the text provokes
        raise Refusal(f"{path} cannot be read as extended XYZ: {error}") from error
    for node in nodes:
        node.label = path.name
        node.store()
        echo(f"stored {len(node)} frames of {node.base.attributes.get('formula')} as node {node.pk}")
