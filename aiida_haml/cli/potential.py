"""Commands on potentials."""

from __future__ import annotations

import click

from aiida_haml.cli.messages import Refusal, confirm, echo
from aiida_haml.cli.root import find_node, with_profile


@click.group()
def potential() -> None:
    """Look at potentials and trust them."""


@potential.command()
@click.argument("pk")
@click.option("--yes", is_flag=True, help="Do not ask.")
@with_profile
def trust(pk: str, yes: bool) -> None:
    """Allow the model files of potential PK to be loaded.

    A MACE model file is code: loading it runs what it holds. Potentials that this database trained are
    trusted already; trust another one only if you know who made it.
    """
    from aiida_haml.data.potential import PotentialData

    node = find_node(pk)
    if not isinstance(node, PotentialData):
        raise Refusal(f"Node {pk} is {type(node).__name__}, not a potential.")
    if node.is_trusted:
        echo(f"Potential {node.pk} is trusted already.")
        return
    for i, digest in enumerate(node.sha256):
        echo(f"member_{i}.model  sha256 {digest}")
    if not yes and not confirm("A model file runs code when it is loaded. Do you trust these files?"):
        raise Refusal("Nothing was trusted.")
    node.trust()
    echo(f"Potential {node.pk} is trusted from now on.")
