"""Candidates of all screens, and those that are like one of them."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from aiida_haml.queries.anatomy import CANDIDATES, SCREEN
from aiida_haml.queries.people import emails
from aiida_haml.queries.rows import rows
from aiida_haml.queries.walks import links_into, links_out_of
from aiida_haml.storage import among, read, tables

#: What a candidate is made of, apart from how and how often it is tried.
_MATERIAL = ("host", "liquid", "doping", "compensation")


@dataclass(frozen=True)
class CandidateEntry:
    """A candidate of a screen, and what became of it.

    Attributes
    ----------
    screen : int
        Pk.
    screen_name, owner, slug, label : str
    content : mapping
        As specified: ``structure``, ``temperature_K``, ``seed``.
    level : str or None
        Level of theory of the ranking; None before there is one, as what follows.
    status : str or None
        In the ranking.
    rank : int or None
    score, simulated_fs : float or None
    """

    screen: int
    screen_name: str
    owner: str
    slug: str
    label: str
    content: Mapping[str, Any]
    level: str | None
    status: str | None
    rank: int | None
    score: float | None
    simulated_fs: float | None

    @property
    def material(self) -> dict[str, Any]:
        """What it is made of: host or liquid, and doping."""
        structure = self.content.get("structure") or {}
        return {name: structure.get(name) for name in _MATERIAL if structure.get(name)}

    @property
    def dopants(self) -> set[str]:
        """Elements that it is doped with."""
        return {doping.get("dopant", "") for doping in self.material.get("doping") or []}


@dataclass(frozen=True)
class Kin:
    """A candidate that is like another one.

    Attributes
    ----------
    candidate : CandidateEntry
    differs : tuple of str
        In what: ``temperature_K``, ``seed``, ``level``, or a part of the structure such as ``structure.interface``.
    """

    candidate: CandidateEntry
    differs: tuple[str, ...]


def find_candidates(
    dopant: str | None = None, owner: str | None = None, screens: Iterable[int] | None = None
) -> list[CandidateEntry]:
    """Return the candidates of all screens, those of the newest first.

    Parameters
    ----------
    dopant : str, optional
        Only those that hold this element as a dopant.
    owner : str, optional
        Only those of screens of this e-mail address.
    screens : iterable of int, optional
        Only those of these screens.
    """
    node = tables().node
    query = sa.select(node.id, node.label, node.user_id).where(node.process_type == SCREEN)
    asked = {row.id: row for row in read(query if screens is None else query.where(among(node.id, screens)))}
    people = emails(row.user_id for row in asked.values())
    links = links_into(asked, ["input_work"], prefix=CANDIDATES)
    contents = {row.id: row for row in rows((link.source for link in links), content="attributes").values()}
    rankings = _rankings(asked)
    entries = [
        _entry(asked[link.target], people, link.label.removeprefix(CANDIDATES), contents[link.source].content, rankings)
        for link in links
    ]
    chosen = [e for e in entries if owner in (None, e.owner) and (dopant is None or dopant in e.dopants)]
    return sorted(chosen, key=lambda entry: (-entry.screen, entry.slug))


def candidates_like(candidate: CandidateEntry) -> list[Kin]:
    """Return the candidates of the same material, those that differ in least first, and say in what they differ.

    The material is host (or liquid) and doping; temperature, seed, interface, configuration and level of theory may
    be others.
    """
    kin = [
        Kin(other, tuple(_differences(candidate, other)))
        for other in find_candidates()
        if other.material == candidate.material and (other.screen, other.slug) != (candidate.screen, candidate.slug)
    ]
    return sorted(kin, key=lambda k: (len(k.differs), -k.candidate.screen, k.candidate.slug))


def _rankings(screens: Mapping[int, Any]) -> dict[int, Any]:
    links = links_out_of(screens, ["return"], ["ranking"])
    found = rows(
        (link.target for link in links), candidates="attributes.candidates", level="attributes.level_of_theory"
    )
    return {link.source: found[link.target] for link in links}


def _entry(
    screen: Any, people: Mapping[int, str], slug: str, content: Mapping[str, Any], rankings: Mapping[int, Any]
) -> CandidateEntry:
    ranking = rankings.get(screen.id)
    label = str(content.get("label") or slug)
    ranked = _ranked(ranking.candidates if ranking is not None else None, label)
    return CandidateEntry(
        screen=screen.id,
        screen_name=screen.label,
        owner=people[screen.user_id],
        slug=slug,
        label=label,
        content={name: value for name, value in content.items() if name != "label"},
        level=ranking.level if ranking is not None else None,
        **{name: ranked.get(name) for name in ("status", "rank", "score", "simulated_fs")},
    )


def _ranked(candidates: list[dict[str, Any]] | None, label: str) -> dict[str, Any]:
    """Return a candidate's line of a ranking, which is that of all its seeds."""
    return next((line for line in candidates or [] if line.get("label") == label), {})


def _differences(one: CandidateEntry, other: CandidateEntry) -> Iterator[str]:
    for name in ("temperature_K", "seed"):
        if one.content.get(name) != other.content.get(name):
            yield name
    here, there = ({**(entry.content.get("structure") or {})} for entry in (one, other))
    yield from (f"structure.{name}" for name in sorted({*here, *there}) if here.get(name) != there.get(name))
    if one.level != other.level:
        yield "level"
