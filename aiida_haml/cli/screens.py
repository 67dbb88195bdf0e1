"""Commands that find screens and tell what they are: list, show, like."""

from __future__ import annotations

import json
from datetime import datetime
from typing import TYPE_CHECKING

import click

from aiida_haml.cli.messages import Refusal, echo, visible
from aiida_haml.cli.root import with_profile
from aiida_haml.cli.screen import find_screen, screen, screens_called

if TYPE_CHECKING:
    from aiida_haml.queries import CandidateEntry, ScreenEntry


@screen.command("list")
@click.option("--user", metavar="EMAIL", default=None, help="Only the screens of this person.")
@click.option("--name", default=None, help="Only screens of this name.")
@click.option("--unfinished", is_flag=True, help="Only screens that have not ended.")
@click.option("--since", type=click.DateTime(), help="Submitted since then, in this machine's time.")
@click.option(
    "--dopant",
    "dopants",
    multiple=True,
    metavar="SYMBOL",
    help="With a candidate that is doped with it; may be repeated.",
)
@click.option(
    "--element", "elements", multiple=True, metavar="SYMBOL", help="With a cell that holds it; may be repeated."
)
@click.option("--level-of-theory", metavar="KEY", help="At this level, whatever the version of the code.")
@with_profile
def list_(
    user: str | None,
    name: str | None,
    unfinished: bool,
    since: datetime | None,
    dopants: tuple[str, ...],
    elements: tuple[str, ...],
    level_of_theory: str | None,
) -> None:
    """List screens, your own first and the newest first."""
    from aiida_haml.queries import find_screens, screen_cards

    found = find_screens(name, user, unfinished or None)
    if since is not None:
        found = [entry for entry in found if entry.made >= since.astimezone()]
    if dopants or elements or level_of_theory:
        cards = screen_cards(entry.pk for entry in found)
        found = [entry for entry in found if cards[entry.pk].holds(dopants, elements, level_of_theory)]
    for entry in found:
        ranked = ", ranked" if entry.has_ranking else ""
        whose = "" if entry.is_own else f"  of {visible(entry.owner)}"
        counted = f"{entry.n_candidates} candidate{'' if entry.n_candidates == 1 else 's'}"
        what = f"{visible(entry.name)}  {counted}, {_state(entry)}{ranked}"
        echo(f"<{entry.pk}>  {entry.made:%Y-%m-%d %H:%M}  {what}{whose}")
    if not found:
        echo("no screens")


def _state(entry: ScreenEntry) -> str:
    return f"{entry.state} [{entry.exit_status}]" if entry.exit_status else entry.state


@screen.command()
@click.argument("screen", required=False)
@with_profile
def show(screen: str | None) -> None:
    """Show what SCREEN was asked for, by whom and at what level of theory, and its candidates with rank and verdict."""
    from aiida_haml.queries import screen_cards

    entry = screens_called(screen)[0]
    card = screen_cards([entry.pk])[entry.pk]
    echo(f"screen <{entry.pk}> '{visible(entry.name)}' of {visible(entry.owner)}: {_state(entry)}")
    echo(f"submitted: {entry.made:%Y-%m-%d %H:%M}, {entry.uuid}")
    echo(f"protocol: {visible((card.specification or {}).get('protocol', 'not known'))}")
    echo(f"level of theory: {visible(card.theory or 'not known')}")
    echo(f"elements: {visible('-'.join(sorted(card.elements))) or 'no cell is built yet'}")
    for group in card.groups:
        echo(f"in group: {visible(group)}")
    echo("candidates:")
    for candidate in card.candidates:
        echo(f"  {visible(candidate.slug)}  {visible(candidate.label)}: {visible(_became(candidate))}")
    if card.specification is None:
        echo("specification: none; it was not submitted from one")
        return
    echo("specification:")
    for name, value in card.specification.items():
        if value not in (None, [], {}):
            echo(f"  {visible(name)}: {visible(json.dumps(value, ensure_ascii=False))}")


def _became(candidate: CandidateEntry) -> str:
    """Return the rank of a candidate and its verdict, or why there is none."""
    if candidate.rank is None:
        return candidate.status or "no rank"
    return f"rank {candidate.rank}, score {candidate.score:.3g}, {candidate.status}"


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
        differs = f"differs in {', '.join(other.differs)}" if other.differs else "the same"
        where = f"<{entry.screen}> {visible(entry.screen_name)}  {visible(entry.slug)}"
        echo(f"{where}  {differs}: {visible(_became(entry))}")
    if not kin:
        echo("no other candidate of this material")
