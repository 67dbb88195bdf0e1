"""Commands on potentials."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from aiida_haml.cli.files import making, writing
from aiida_haml.cli.messages import Refusal, confirm, echo, visible
from aiida_haml.cli.root import find_node, with_profile

if TYPE_CHECKING:
    from aiida_haml.data.potential import PotentialData

#: What `export` writes beside the models, for `import`.
CARD = "potential.json"
_FIELDS = ("elements", "cutoff", "precision", "level_of_theory")


@click.group()
def potential() -> None:
    """Look at potentials, bring them in and out, and trust them."""


def _find(pk: str) -> PotentialData:
    from aiida_haml.data.potential import PotentialData

    node = find_node(pk)
    if not isinstance(node, PotentialData):
        raise Refusal(f"Node {pk} is {type(node).__name__}, not a potential.")
    return node


@potential.command("list")
@click.option("--level-of-theory", metavar="KEY", help="Only those trained on labels at this level.")
@click.option("--element", "elements", multiple=True, metavar="SYMBOL", help="That know this element; may be repeated.")
@click.option("--max-error", type=float, metavar="EV_PER_A", help="Largest force error on held-out labels, eV/A.")
@click.option("--user", metavar="EMAIL", help="Only those of this person.")
@click.option("--since", type=click.DateTime(), help="Made since then, in this machine's time.")
@with_profile
def list_(
    level_of_theory: str | None,
    elements: tuple[str, ...],
    max_error: float | None,
    user: str | None,
    since: datetime | None,
) -> None:
    """List potentials, the smallest error first."""
    from aiida_haml.queries import find_potentials

    found = find_potentials(level_of_theory, elements, max_error, user, None if since is None else since.astimezone())
    for entry in found:
        error = "error unknown" if entry.force_rmse is None else f"{1000 * entry.force_rmse:.0f} meV/A"
        made = "brought in" if entry.training is None else f"trained by <{entry.training}>"
        known = f"{entry.n_members} members, {visible('-'.join(entry.elements))}"
        level = visible(entry.level or "level of theory unknown")
        trust = "trusted" if entry.is_trusted else "NOT TRUSTED"
        echo(f"<{entry.pk}>  {level}  {error}, {known}, {made}, {trust}, {visible(entry.owner)}")
    if not found:
        is_any = not (level_of_theory or elements or max_error or user or since)
        echo("no potentials yet" if is_any else "no such potentials")


@potential.command()
@click.argument("pk")
@with_profile
def show(pk: str) -> None:
    """Show what is known of potential PK: elements, level, errors on held-out labels, hashes, trust."""
    node = _find(pk)
    for name in (*_FIELDS, "pool"):
        echo(f"{name}: {visible(_plain(node.base.attributes.get(name, None)))}")
    for i, digest in enumerate(node.sha256):
        echo(f"member_{i}.model: sha256 {visible(digest)}")
    for part, errors in (node.errors or {}).items():
        echo(f"errors, {visible(part)}: {visible(_plain(errors))}")
    echo(f"trusted: {'yes' if node.is_trusted else 'no'}")
    if node.creator is not None:
        echo(f"made by {node.creator.process_label} <{node.creator.pk}>; 'aiida-haml trace {node.pk}' tells from what")


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True)


@potential.command()
@click.argument("pk")
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@with_profile
def export(pk: str, folder: Path) -> None:
    """Write the model files of potential PK and a card of it into FOLDER, for ASE, LAMMPS or another profile."""
    node = _find(pk)
    making(folder)
    for i in range(node.n_members):
        with writing(folder / f"member_{i}.model") as path:
            path.write_bytes(node.read_member(i))
    card = {name: node.base.attributes.get(name, None) for name in (*_FIELDS, "sha256")}
    with writing(folder / CARD) as path:
        path.write_text(json.dumps(card, indent=1) + "\n", encoding="utf-8")
    echo(f"wrote {node.n_members} models and {CARD} to {folder}")


@potential.command("import")
@click.argument("folder", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--label", default="", help="Label of the node.")
@with_profile
def import_(folder: Path, label: str) -> None:
    """Store the models in FOLDER as a potential: member_0.model, member_1.model, ... and potential.json.

    The card says what the models are; `potential export` writes one: {"elements": ["Li", "S"], "cutoff": 5.0,
    "precision": "float32", "level_of_theory": null}. The files are read, not loaded: they are trusted by
    `potential trust` alone.
    """
    from aiida_haml.data.potential import PotentialData

    card = _card(folder / CARD)
    paths: list[Path] = []
    while (path := folder / f"member_{len(paths)}.model").is_file():
        paths.append(path)
    if not paths:
        raise Refusal(
            f"{folder} holds no member_0.model; name the committee's files member_0.model, member_1.model, ..."
        )
    try:
        node = PotentialData.from_files(
            paths, card["elements"], card["cutoff"], card.get("precision", ""), card.get("level_of_theory")
        )
    except (ValueError, TypeError) as error:
        raise Refusal(f"{folder / CARD}: {error}") from error
    if "sha256" in card and card["sha256"] != node.sha256:
        raise Refusal(f"{folder / CARD} names other files than lie there; compare their SHA-256 with the author's.")
    node.label = label
    node.store()
    echo(f"stored potential <{node.pk}> of {len(paths)} members; 'aiida-haml potential trust {node.pk}' allows its use")


def _card(path: Path) -> dict[str, Any]:
    """Read what an author says of models; it is text from elsewhere."""
    try:
        card = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise Refusal(
            f"{path} cannot be read ({error}); write one, see 'aiida-haml potential import --help'."
        ) from error
    elements = card.get("elements") if isinstance(card, dict) else None
    good = isinstance(elements, list) and all(isinstance(e, str) for e in elements) and elements
    if not good or not isinstance(card.get("cutoff"), int | float) or isinstance(card.get("cutoff"), bool):
        raise Refusal(f"{path} has to name elements (a list of symbols) and cutoff (A); see 'potential import --help'.")
    if not isinstance(card.get("level_of_theory"), str | None):
        raise Refusal(f"{path}: level_of_theory has to be a key, or null.")
    return card


@potential.command()
@click.argument("pk")
@click.option("--yes", is_flag=True, help="Do not ask.")
@with_profile
def trust(pk: str, yes: bool) -> None:
    """Allow the model files of potential PK to be loaded in your name.

    A MACE model file is code: loading it runs what it holds. Potentials that this database trained are
    trusted already; trust another one only if you know who made it.
    """
    node = _find(pk)
    if node.is_trusted:
        echo(f"Potential {node.pk} is trusted already.")
        return
    for i, digest in enumerate(node.sha256):
        echo(f"member_{i}.model  sha256 {digest}")
    if not yes and not confirm("A model file runs code when it is loaded. Do you trust these files?"):
        raise Refusal("Nothing was trusted.")
    node.trust()
    echo(f"Potential {node.pk} is trusted from now on.")


@potential.command()
@click.argument("pk")
@with_profile
def distrust(pk: str) -> None:
    """Forbid the model files of potential PK to be loaded in your name, also if this database trained them."""
    from aiida_haml.data.trust import distrust as distrust_file

    node = _find(pk)
    for digest in node.sha256:
        distrust_file(digest)
    echo(f"Potential {node.pk} is not trusted from now on.")
