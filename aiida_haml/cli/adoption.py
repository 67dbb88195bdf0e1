"""The command that takes what came with an archive for one's own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from aiida_haml.cli.messages import Refusal, confirm, echo, visible
from aiida_haml.cli.root import find_node_or_group, with_profile

if TYPE_CHECKING:
    from aiida_haml.queries.origin import Foreign


@click.command()
@click.argument("roots", metavar="[NODE|GROUP]...", nargs=-1)
@click.option(
    "--code",
    "pairs",
    metavar="THEIRS=MINE",
    multiple=True,
    help="A code of the archive, and your own one that gives the same results: pks or labels; may be repeated.",
)
@click.option("--yes", is_flag=True, help="Do not ask.")
@with_profile
def adopt(roots: tuple[str, ...], pairs: tuple[str, ...], yes: bool) -> None:
    """Take nodes that came with an archive for your own, so that finished work in them is not paid for again.

    Adopted are the nodes named, with all that they were made from and all that they started; everything that came with
    an archive where none is named. Jobs of the codes on the left of --code are found when you submit with the codes on
    the right. Potentials are not trusted by this: 'aiida-haml potential trust' does that.
    """
    from aiida_haml.adoption import adopt as give_hashes
    from aiida_haml.groups import collect, merge_imported
    from aiida_haml.queries.origin import foreign

    came = foreign(_whole(roots) if roots else None)
    if not came.jobs and not came.others:
        echo("nothing here came with an archive, or all of it was adopted before")
        return
    codes = dict(_pair(pair, came) for pair in pairs)
    _announce(came, codes)
    if not yes and not confirm("Is what they say of these jobs as good to you as if you had run them?"):
        raise Refusal("Nothing was adopted.")
    count = give_hashes((*came.jobs, *came.others), codes)
    merge_imported()
    collect(came.others)
    echo(f"{count} nodes are yours from now on")


def _whole(roots: tuple[str, ...]) -> set[int]:
    """Return the pks of nodes and groups with what they were made from and what they started."""
    from aiida.orm import Group

    from aiida_haml.queries.walks import INPUTS, OUTPUTS, ancestors, called_descendants, links_into, links_out_of

    found: set[int] = set()
    for root in roots:
        here = find_node_or_group(root)
        nodes: Any = here.nodes if isinstance(here, Group) else [here]
        found |= {int(node.pk) for node in nodes}
    found |= called_descendants(found)
    found |= {link.source for link in links_into(found, INPUTS)} | {
        link.target for link in links_out_of(found, OUTPUTS)
    }
    return found | ancestors(found)


def _pair(text: str, came: Foreign) -> tuple[int, Any]:
    """Return the pk of a code of the archive and the own code that stands for it."""
    from aiida.common.exceptions import MultipleObjectsError, NotExistent
    from aiida.orm import load_code

    theirs, is_pair, mine = text.partition("=")
    if not is_pair:
        raise Refusal(f"--code {text} has to be THEIRS=MINE: a code of the archive, and one of yours.")
    found = []
    for name in (theirs, mine):
        try:
            found.append(load_code(int(name) if name.isdigit() else name))
        except (NotExistent, MultipleObjectsError) as error:
            raise Refusal(f"--code {text}: {name} names no single code; 'verdi code list -A -a' shows them.") from error
    their_code, my_code = found
    if their_code.pk not in came.codes:
        known = ", ".join(f"<{pk}>" for pk in came.codes) or "none"
        raise Refusal(f"--code {text}: {theirs} ran none of the jobs that came with the archive; these did: {known}.")
    return int(their_code.pk), my_code


def _announce(came: Foreign, codes: dict[int, Any]) -> None:
    from aiida.orm import load_code

    echo(f"{len(came.jobs)} jobs and {len(came.others)} other nodes came with an archive")
    echo(f"the jobs stand under {', '.join(map(visible, came.people)) or 'nobody'}")
    for pk, count in came.codes.items():
        stands = (
            f"taken for your {codes[pk].full_label} <{codes[pk].pk}>" if pk in codes else "found with this code only"
        )
        echo(f"{visible(load_code(pk).full_label)} <{pk}> ran {count} of them: {stands}")
