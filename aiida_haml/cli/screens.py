"""Commands that look across screens: list, like."""

from __future__ import annotations

import click

from aiida_haml.cli.messages import Refusal, echo, visible
from aiida_haml.cli.root import with_profile
from aiida_haml.cli.screen import find_screen, screen


@screen.command("list")
@click.option("--user", metavar="EMAIL", default=None, help="Only the screens of this person.")
@click.option("--name", default=None, help="Only screens of this name.")
@click.option("--unfinished", is_flag=True, help="Only screens that have not ended.")
@with_profile
def list_(user: str | None, name: str | None, unfinished: bool) -> None:
    """List screens, your own first and the newest first."""
    from aiida_haml.queries.screens import find_screens

    found = find_screens(name, user, unfinished or None)
    for entry in found:
        ended = f"{entry.state} [{entry.exit_status}]" if entry.exit_status else entry.state
        ranked = ", ranked" if entry.has_ranking else ""
        whose = "" if entry.is_own else f"  of {visible(entry.owner)}"
        counted = f"{entry.n_candidates} candidate{'' if entry.n_candidates == 1 else 's'}"
        echo(f"<{entry.pk}>  {entry.made:%Y-%m-%d %H:%M}  {visible(entry.name)}  {counted}, {ended}{ranked}{whose}")
    if not found:
        echo("no screens")


@screen.command()
@click.argument("screen")
@click.argument("slug")
@with_profile
def like(screen: str, slug: str) -> None:
    """List the candidates of all screens that are of the same material as candidate SLUG of SCREEN.

    The material is host (or liquid) and doping; of each stands in what it differs, and what became of it.
    """
    from aiida_haml.queries import candidates_like, find_candidates

    pk = find_screen(screen).pk
    known = {entry.slug: entry for entry in find_candidates() if entry.screen == pk}
    if slug not in known:
        raise Refusal(f"Screen <{pk}> has no candidate '{slug}'; it has {', '.join(sorted(known)) or 'none'}.")
    kin = candidates_like(known[slug])
    for other in kin:
        entry = other.candidate
        became = f"rank {entry.rank}, score {entry.score:.3g}" if entry.rank is not None else entry.status or "no rank"
        differs = f"differs in {', '.join(other.differs)}" if other.differs else "the same"
        echo(f"<{entry.screen}> {visible(entry.screen_name)}  {visible(entry.slug)}  {differs}: {visible(became)}")
    if not kin:
        echo("no other candidate of this material")
