"""Commands on labels: what there is at each level of theory, and labels in and out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from aiida_haml.cli.files import writing
from aiida_haml.cli.messages import Refusal, echo, visible
from aiida_haml.cli.root import with_profile

if TYPE_CHECKING:
    from aiida_haml.data.frames import FramesData


@click.group()
def labels() -> None:
    """Look at labels by their level of theory, and bring them out; 'aiida-haml frames import' brings them in."""


@labels.command("list")
@with_profile
def list_() -> None:
    """List the levels of theory that labels of the profile were made at, and how many there are."""
    nodes, frames, elements = Counter[str](), Counter[str](), dict[str, set[str]]()
    for level, n_frames, present in _rows(["level_of_theory", "n_frames", "elements"]):
        nodes[level] += 1
        frames[level] += n_frames
        elements.setdefault(level, set()).update(present)
    for level in sorted(nodes):
        present = visible("-".join(sorted(elements[level])))
        echo(f"{visible(level)}  {frames[level]} labels in {nodes[level]} nodes, {present}")
    if not nodes:
        echo("no labels yet")


@labels.command()
@click.argument("key")
@with_profile
def show(key: str) -> None:
    """Show what KEY, a level of theory, stands for, and its labels by their kind."""
    from aiida.orm import QueryBuilder

    from aiida_haml.data.potential import PotentialData
    from aiida_haml.groups import LabelGroup

    counts = Counter[str]()
    for kind, n_frames in _rows(["kind", "n_frames"], key):
        counts[kind] += n_frames
    if not counts:
        raise Refusal(f"There are no labels at '{key}'; 'aiida-haml labels list' shows the levels.")
    groups = QueryBuilder().append(LabelGroup, filters={"label": key}).all(flat=True)
    for name, value in (groups[0].base.extras.get("level", {}) if groups else {}).items():
        echo(f"{visible(name)}: {visible(value)}")
    for kind, count in sorted(counts.items()):
        echo(f"{visible(kind)}: {count} labels")
    trained = QueryBuilder().append(PotentialData, filters={"attributes.level_of_theory": key}).count()
    echo(f"potentials: {trained}; 'aiida-haml potential list --level-of-theory {visible(key)}' shows them")


@labels.command()
@click.argument("key")
@click.argument("path", type=click.Path(path_type=Path, dir_okay=False))
@with_profile
def export(key: str, path: Path) -> None:
    """Write all labels at KEY, a level of theory, to PATH as extended XYZ; each frame names its node and step."""
    from ase.io import write

    images = []
    for node in _nodes(key):
        for i, atoms in enumerate(node.to_ase()):
            atoms.info.update(node=node.uuid, frame=i, kind=node.kind)
            images.append(atoms)
    if not images:
        raise Refusal(f"There are no labels at '{key}'; 'aiida-haml labels list' shows the levels.")
    with writing(path):
        write(path, images, format="extxyz")
    echo(f"wrote {len(images)} labels to {path}")


def _rows(names: list[str], key: str | None = None) -> Iterator[list[Any]]:
    """Yield attributes of the nodes that hold labels."""
    from aiida.orm import QueryBuilder

    from aiida_haml.data.frames import FramesData

    level = {"of_type": "string"} if key is None else key
    builder = QueryBuilder().append(FramesData, filters={"attributes.level_of_theory": level},
                                    project=[f"attributes.{name}" for name in names])  # fmt: skip
    yield from builder.iterall()


def _nodes(key: str) -> Iterator[FramesData]:
    from aiida.orm import QueryBuilder

    from aiida_haml.data.frames import FramesData

    builder = QueryBuilder().append(FramesData, filters={"attributes.level_of_theory": key})
    builder.order_by({FramesData: "id"})
    yield from (node for (node,) in builder.iterall() if node.has_labels)
