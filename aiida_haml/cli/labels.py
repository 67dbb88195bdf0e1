"""Commands on labels: what there is at each level of theory, why, and labels out."""

from collections import Counter
from datetime import datetime
from pathlib import Path
from typing import Any

import click

from aiida_haml.cli.files import writing
from aiida_haml.cli.messages import Refusal, echo, visible
from aiida_haml.cli.root import find_node, with_profile


@click.group()
def labels() -> None:
    """Look at labels by their level of theory, and bring them out; 'aiida-haml frames import' brings them in."""


@labels.command("list")
@with_profile
def list_() -> None:
    """List the levels of theory that labels were made at, and how many there are."""
    from aiida_haml.queries import find_levels

    levels = find_levels()
    for level in levels:
        there = f"{level.n_frames} labels in {level.n_nodes} nodes, {visible('-'.join(level.elements))}"
        echo(f"{visible(level.key)}  {there}; {level.n_pools} pools, {level.n_potentials} potentials")
    if not levels:
        echo("no labels yet")


@labels.command()
@click.argument("key")
@with_profile
def show(key: str) -> None:
    """Show what KEY, a level of theory, stands for, and its labels by their kind."""
    from aiida_haml.queries import find_labels, find_levels

    level = next((level for level in find_levels() if level.key == key), None)
    if level is None:
        raise Refusal(f"There are no labels at '{key}'; 'aiida-haml labels list' shows the levels.")
    for name, value in (level.content or {}).items():
        echo(f"{visible(name)}: {visible(value)}")
    counts = Counter[str]()
    for entry in find_labels(key):
        counts[entry.kind] += entry.n_frames
    for kind, count in sorted(counts.items()):
        echo(f"{visible(kind)}: {count} labels")
    echo(f"potentials: {level.n_potentials}; 'aiida-haml potential list --level-of-theory {visible(key)}' shows them")


@labels.command()
@click.option("--level-of-theory", metavar="KEY", help="At this level.")
@click.option("--element", "elements", multiple=True, metavar="SYMBOL", help="That hold this element; may be repeated.")
@click.option("--kind", help="burst, probes, relaxation, isolated_atom or imported.")
@click.option("--user", metavar="EMAIL", help="Made by this person.")
@click.option("--since", type=click.DateTime(), help="Made since then, in this machine's time.")
@with_profile
def find(
    level_of_theory: str | None, elements: tuple[str, ...], kind: str | None, user: str | None, since: datetime | None
) -> None:
    """Find nodes of labels, the newest first."""
    from aiida_haml.queries import find_labels

    found = find_labels(level_of_theory, elements, kind, user, None if since is None else since.astimezone())
    for entry in found:
        source = f"calculation <{entry.calculation}>" if entry.calculation is not None else "no calculation of AIMD"
        what = f"{entry.kind} of {entry.n_frames} frames, {entry.formula}, {entry.level}"
        echo(f"<{entry.pk}>  {entry.made:%Y-%m-%d %H:%M}  {visible(what)}  {source}, {visible(entry.owner)}")
    if not found:
        echo("no such labels")


@labels.command()
@click.argument("pk")
@with_profile
def explain(pk: str) -> None:
    """Tell why the frames of node PK were labelled, what the potential of the day got wrong, and what they taught."""
    from aiida_haml.data.frames import FramesData
    from aiida_haml.queries import label_story

    node = find_node(pk)
    if not isinstance(node, FramesData):
        raise Refusal(f"Node {pk} is {type(node).__name__}, not frames.")
    try:
        story = label_story(node)
    except ValueError as error:
        raise Refusal(str(error)) from error
    made = f"made by <{story.calculation}>" if story.calculation is not None else "given by a person"
    echo(f"<{story.pk}> {story.name or node.kind}, {made}")
    for purpose in story.purposes:
        echo(f"frame {purpose.frame}: {visible(purpose.reason)}; {', '.join(purpose.parts) or 'joined no pool as new'}")
    for score in story.scores:
        worst, outcome = max(score.force_rmse, default=0.0), visible(score.outcome)
        echo(f"before training <{score.training}>: force error up to {1000 * worst:.0f} meV/A; {outcome}")
    echo(f"in sight of potentials: {', '.join(f'<{potential}>' for potential in story.potentials) or 'none'}")
    for pupil in story.pupils:
        name = visible(pupil.screen_label) or "run"
        echo(f"drove {pupil.candidate} of {name} <{pupil.screen}> in {pupil.n_stretches} stretches")


@labels.command()
@click.argument("result")
@with_profile
def behind(result: str) -> None:
    """List the labels that the potentials behind RESULT (a ranking, a stretch, a potential) had in sight."""
    from aiida_haml.queries import labels_behind

    found = labels_behind(find_node(result))
    for teacher in found:
        source = f"calculation <{teacher.calculation}>" if teacher.calculation is not None else "NOT TRACED"
        echo(f"<{teacher.pk}>  {visible(teacher.name)}  {teacher.n_frames} frames of a {teacher.kind}, {source}")
    echo(f"{sum(teacher.n_frames for teacher in found)} frames in {len(found)} nodes")


@labels.command()
@click.argument("key")
@click.argument("path", type=click.Path(path_type=Path, dir_okay=False))
@with_profile
def export(key: str, path: Path) -> None:
    """Write all labels at KEY, a level of theory, to PATH as extended XYZ; each frame names its node and step."""
    from aiida.orm import load_node
    from ase.io import write

    from aiida_haml.queries import find_labels

    images = []
    for entry in reversed(find_labels(key)):
        for i, atoms in enumerate(load_node(entry.pk).to_ase()):
            atoms.info.update(node=entry.uuid, frame=i, kind=entry.kind)
            images.append(atoms)
    if not images:
        raise Refusal(f"There are no labels at '{key}'; 'aiida-haml labels list' shows the levels.")
    with writing(path):
        write(path, images, format="extxyz")
    echo(f"wrote {len(images)} labels to {path}")


@labels.command()
@click.argument("key")
@with_profile
def gather(key: str) -> None:
    """Make one pool of the imported labels at KEY, a level of theory, for a screen to start from: `labels: PK`.

    The pool is made by a calculation of its own, so that whoever trained on it can be walked back to the files' nodes;
    an audit counts their frames as untraced, as no AIMD stands behind them.
    """
    from aiida.orm import load_node

    from aiida_haml.calculations.pool import gather as gather_labels
    from aiida_haml.groups import add_labels
    from aiida_haml.queries import find_labels

    imported: list[Any] = [load_node(entry.pk) for entry in find_labels(key, kind="imported")]
    if not imported:
        raise Refusal(
            f"There are no imported labels at '{key}'; 'aiida-haml frames import --level-of-theory KEY' brings them, "
            "and 'aiida-haml labels list' shows the levels."
        )
    pool = gather_labels(**{f"imported_{node.content_key[:12]}__labels": node for node in imported})
    add_labels([pool])
    echo(f"pool <{pool.pk}> of {pool.n_labels} labels in {len(imported)} nodes at {visible(key)}")


@labels.command()
@with_profile
def collect() -> None:
    """Put all labels and potentials of the database into the groups of their levels, which the other commands read.

    Needed once, where labels were made before there were groups, or came with an archive without them.
    """
    from aiida_haml.groups import collect as fill

    n_labels, n_potentials = fill()
    echo(f"{n_labels} nodes of labels and {n_potentials} potentials are in their groups")
