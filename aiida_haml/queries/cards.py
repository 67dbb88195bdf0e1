"""What stands on the card of a screen: what was asked for, of what it is made, and what became of it."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from aiida_haml.calculations.levels import theory_key
from aiida_haml.queries.candidates import CandidateEntry, find_candidates
from aiida_haml.queries.rows import rows
from aiida_haml.queries.walks import links_into, links_out_of
from aiida_haml.storage import among, read, tables

_SPECIFICATION, _LEVEL = "specification", "label__job__level"


@dataclass(frozen=True)
class ScreenCard:
    """What a screen was asked to do, and its candidates.

    Attributes
    ----------
    pk : int
    specification : mapping or None
        As the person wrote it, with the defaults; None for a screen that was not submitted from one.
    theory : str or None
        Key of the level of theory, without the version of the code.
    elements : frozenset of str
        Of the cells as built; empty before there is one.
    candidates : tuple of CandidateEntry
    groups : tuple of str
        That the screen is in, as ``TYPE LABEL``.
    """

    pk: int
    specification: Mapping[str, Any] | None
    theory: str | None
    elements: frozenset[str]
    candidates: tuple[CandidateEntry, ...]
    groups: tuple[str, ...]

    def holds(self, dopants: Iterable[str] = (), elements: Iterable[str] = (), level: str | None = None) -> bool:
        """Whether the screen has all of these dopants and elements, and this level of theory.

        Parameters
        ----------
        dopants : iterable of str
            Each in one candidate at least.
        elements : iterable of str
            Each in one cell at least.
        level : str, optional
            Key of the level of theory; the version of the code, behind an ``@``, does not count.
        """
        doped = {symbol for candidate in self.candidates for symbol in candidate.dopants}
        is_at_level = level is None or level.partition("@")[0] == self.theory
        return is_at_level and doped.issuperset(dopants) and self.elements.issuperset(elements)


def screen_cards(screens: Iterable[int]) -> dict[int, ScreenCard]:
    """Return the cards of screens, by pk."""
    pks = sorted(set(screens))
    asked = _asked(pks)
    candidates: dict[int, list[CandidateEntry]] = defaultdict(list)
    for candidate in find_candidates(screens=pks):
        candidates[candidate.screen].append(candidate)
    elements, groups = _elements(pks), _groups(pks)
    return {
        pk: ScreenCard(
            pk=pk,
            specification=asked.get((pk, _SPECIFICATION)),
            theory=_theory(asked.get((pk, _LEVEL))),
            elements=frozenset(elements[pk]),
            candidates=tuple(candidates[pk]),
            groups=tuple(groups[pk]),
        )
        for pk in pks
    }


def _asked(screens: Iterable[int]) -> dict[tuple[int, str], Mapping[str, Any]]:
    links = links_into(screens, ["input_work"], [_SPECIFICATION, _LEVEL])
    contents = rows((link.source for link in links), content="attributes")
    return {(link.target, link.label): contents[link.source].content for link in links}


def _theory(level: Mapping[str, Any] | None) -> str | None:
    """Return the key of a level; None where it is none, as an archive may bring it."""
    return theory_key(level) if level is not None and {"name", "engine", "theory"} <= set(level) else None


def _elements(screens: Iterable[int]) -> dict[int, set[str]]:
    """Return the elements of the cells that each screen has built; the calculations that it calls itself build them."""
    builds = {link.target: link.source for link in links_out_of(screens, ["call_calc"])}
    built = links_out_of(builds, ["create"], ["structure"])
    known = rows((link.target for link in built), elements="attributes.elements")
    found: dict[int, set[str]] = defaultdict(set)
    for link in built:
        found[builds[link.source]].update(known[link.target].elements or ())
    return found


def _groups(screens: Iterable[int]) -> dict[int, list[str]]:
    group, member = tables().group, tables().member
    query = sa.select(member.dbnode_id, group.type_string, group.label).join(group, group.id == member.dbgroup_id)
    found: dict[int, list[str]] = defaultdict(list)
    for row in read(query.where(among(member.dbnode_id, screens)).order_by(group.id)):
        found[row.dbnode_id].append(f"{row.type_string} {row.label}")
    return found
