"""Commands that bring frames in and out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from aiida_haml.cli.files import writing
from aiida_haml.cli.messages import Refusal, echo
from aiida_haml.cli.root import find_node, with_profile

if TYPE_CHECKING:
    from aiida_haml.reading import Run


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
@click.option(
    "--level-of-theory",
    metavar="KEY",
    help="Key of the level of theory; 'aiida-haml labels list' lists them.",
)
@click.option("--energy-key", metavar="NAME", help="Name of the energies, eV, if it is not a usual one.")
@click.option("--forces-key", metavar="NAME", help="Name of the forces, eV/A, if it is not a usual one.")
@click.option("--stress-key", metavar="NAME", help="Name of the stresses, eV/A^3 (of virials, eV, if it says so).")
@click.option(
    "--cell", metavar="NUMBERS", help="Cell, A, of frames without one: 3 lengths, or 3 angles too, or 9 numbers."
)
@click.option("--dry-run", is_flag=True, help="Say what is found, store nothing.")
@with_profile
def import_(
    path: Path,
    level_of_theory: str | None,
    energy_key: str | None,
    forces_key: str | None,
    stress_key: str | None,
    cell: str | None,
    dry_run: bool,
) -> None:
    """Read PATH and store one node for each run of frames of the same atoms that hold the same quantities.

    Says of each node what was found under which names, and what was not read. Known are energy, forces, stress, virial,
    velocities and times under their usual names (REF_energy, force, free_energy, velo, ...), and CP2K's own XYZ.

    No AIMD calculation is behind imported frames: an audit counts them if a potential learns from them.
    """
    from aiida_haml.data.frames import FramesData
    from aiida_haml.groups import add_labels
    from aiida_haml.reading import Choice, read_cell, read_extxyz

    keys = {"energies": energy_key, "forces": forces_key, "stresses": stress_key}
    names = {quantity: name for quantity, name in keys.items() if name is not None}
    try:
        runs = read_extxyz(path, Choice(names, None if cell is None else read_cell(cell)))
    except ValueError as error:
        raise Refusal(f"{path} cannot be read: {error}") from error
    if level_of_theory is not None:
        _require_labels(runs, level_of_theory)
    for run in runs:
        node = FramesData(run.frames, kind="imported", level_of_theory=level_of_theory)
        node.label = path.name
        where = "would be a node" if dry_run else f"are node {node.store().pk}"
        if level_of_theory is not None and not dry_run:
            add_labels([node])
        formula = node.base.attributes.get("formula")
        echo(f"{_numbers(run)} {len(run.frames)} frames of {formula} {where}: {run.account()}")
    if dry_run:
        echo("nothing was stored")


def _numbers(run: Run) -> str:
    last = run.first + len(run.frames) - 1
    return f"{run.first}-{last}:" if last > run.first else f"{run.first}:"


def _require_labels(runs: list[Run], level: str) -> None:
    """Refuse a level of theory that would vouch for labels that are not there.

    Raises
    ------
    Refusal
    """
    for run in runs:
        lacking = [quantity for quantity in ("energies", "forces") if quantity not in run.found]
        if lacking:
            there = ", ".join((*run.found.values(), *run.left)) or "positions only"
            raise Refusal(
                f"--level-of-theory {level}: frames {_numbers(run).rstrip(':')} lack {' and '.join(lacking)}; "
                f"they hold {there}. Name the right ones with --energy-key and --forces-key, or leave the level out."
            )
