"""Labels of the shared groups, and potentials: by level of theory, elements, error, person and time."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from aiida_haml.data.trust import trusted
from aiida_haml.queries.people import emails
from aiida_haml.queries.rows import rows
from aiida_haml.queries.training import engines
from aiida_haml.queries.walks import links_into
from aiida_haml.storage import read, tables

#: Entry points of the groups of `aiida_haml.groups` that are asked.
GROUPS = ("haml.labels", "haml.potentials")
FRAMES, POTENTIAL = "data.haml.frames.FramesData.", "data.haml.potential.PotentialData."


@dataclass(frozen=True)
class LevelEntry:
    """A level of theory and what the database holds at it.

    Attributes
    ----------
    key : str
    n_nodes, n_frames : int
        Nodes of labels, and labels in them.
    elements : tuple of str
        In any of them.
    n_pools, n_potentials : int
    content : mapping or None
        What the key stands for (``name``, ``engine``, ``theory``), where it is known.
    """

    key: str
    n_nodes: int
    n_frames: int
    elements: tuple[str, ...]
    n_pools: int
    n_potentials: int
    content: dict[str, Any] | None


@dataclass(frozen=True)
class LabelEntry:
    """A node of labelled frames.

    Attributes
    ----------
    pk : int
    uuid, level, kind, formula, owner : str
    elements : tuple of str
    n_frames : int
    made : datetime
    calculation : int or None
        Pk of the AIMD calculation behind it; None for labels that a person imported.
    """

    pk: int
    uuid: str
    level: str
    kind: str
    formula: str
    elements: tuple[str, ...]
    n_frames: int
    owner: str
    made: datetime
    calculation: int | None


@dataclass(frozen=True)
class PotentialEntry:
    """A committee of models.

    Attributes
    ----------
    pk : int
    uuid, level, owner : str
    elements : tuple of str
    n_members : int
    force_rmse : float or None
        On labels that were held out, eV / Angstrom; None where nothing was.
    made : datetime
    training : int or None
        Pk of the calculation that trained it; None for one that was brought in.
    is_trusted : bool
        Whether the person who asks may load it.
    """

    pk: int
    uuid: str
    level: str
    elements: tuple[str, ...]
    n_members: int
    force_rmse: float | None
    owner: str
    made: datetime
    training: int | None
    is_trusted: bool


def find_levels() -> list[LevelEntry]:
    """Return the levels of theory at which there are labels or potentials, by key."""
    groups, members = _members()
    nodes = rows(
        (pk for pk, _ in members), node_type="node_type", n_frames="attributes.n_frames", elements="attributes.elements"
    )
    found: dict[str, dict[str, list[Any]]] = {}
    for pk, group in members:
        at = found.setdefault(groups[group].label, {})
        at.setdefault(nodes[pk].node_type.split(".")[2], []).append(nodes[pk])
    content = {group.label: group.extras["level"] for group in groups.values() if "level" in group.extras}
    return [
        LevelEntry(
            key=key,
            n_nodes=len(at.get("frames", [])),
            n_frames=sum(row.n_frames or 0 for row in at.get("frames", [])),
            elements=tuple(sorted({symbol for row in at.get("frames", []) for symbol in _texts(row.elements)})),
            n_pools=len(at.get("pool", [])),
            n_potentials=len(at.get("potential", [])),
            content=content.get(key),
        )
        for key, at in sorted(found.items())
    ]


def find_labels(
    level: str | None = None,
    elements: Iterable[str] = (),
    kind: str | None = None,
    owner: str | None = None,
    since: datetime | None = None,
) -> list[LabelEntry]:
    """Return labelled frames of the shared groups, newest first.

    Parameters
    ----------
    level : str, optional
        Key of the level of theory.
    elements : iterable of str
        Frames hold all of these, and maybe others.
    kind : str, optional
        ``burst``, ``probes``, ``relaxation``, ``isolated_atom``, ``imported``.
    owner : str, optional
        E-mail address.
    since : datetime, optional
        With a time zone.
    """
    _, members = _members(level)
    found = _found(
        {pk for pk, _ in members}, owner, since, kind="attributes.kind", elements="attributes.elements",
        formula="attributes.formula", n_frames="attributes.n_frames", key="attributes.level_of_theory",
    )  # fmt: skip
    wanted = set(elements)
    found = [(row, person) for row, person in found if row.node_type == FRAMES]
    chosen = [row for row, _ in found if wanted <= set(_texts(row.elements)) and kind in (None, row.kind)]
    jobs = engines(row.id for row in chosen)
    people = {row.id: person for row, person in found}
    return [
        LabelEntry(
            pk=row.id,
            uuid=str(row.uuid),
            level=row.key or "",
            kind=row.kind or "",
            formula=row.formula or "",
            elements=tuple(_texts(row.elements)),
            n_frames=row.n_frames or 0,
            owner=people[row.id],
            made=row.made,
            calculation=jobs[row.id].id if row.id in jobs else None,
        )
        for row in chosen
    ]


def find_potentials(
    level: str | None = None,
    elements: Iterable[str] = (),
    max_force_rmse: float | None = None,
    owner: str | None = None,
    since: datetime | None = None,
) -> list[PotentialEntry]:
    """Return potentials, the smallest error first, those without one last.

    Parameters
    ----------
    level : str, optional
        Key of the level of theory.
    elements : iterable of str
        Potentials know all of these, and maybe others.
    max_force_rmse : float, optional
        Largest error on held-out labels, eV / Angstrom; leaves out those whose error is not known.
    owner : str, optional
        E-mail address.
    since : datetime, optional
        With a time zone.
    """
    node = tables().node
    listed = [row.id for row in read(sa.select(node.id).where(node.node_type == POTENTIAL))]
    found = _found(
        listed, owner, since, key="attributes.level_of_theory", elements="attributes.elements",
        n_members="attributes.n_members", sha256="attributes.sha256",
        force_rmse="attributes.errors.held_out.force_rmse",
    )  # fmt: skip
    wanted = set(elements)
    hashes = {row.id: _texts(row.sha256) for row, _ in found}
    made = {link.target: link.source for link in links_into(hashes, ["create"])}
    loadable = trusted(sha256 for named in hashes.values() for sha256 in named)
    entries = [
        PotentialEntry(
            pk=row.id,
            uuid=str(row.uuid),
            level=row.key or "",
            elements=tuple(_texts(row.elements)),
            n_members=row.n_members or 0,
            force_rmse=row.force_rmse,
            owner=person,
            made=row.made,
            training=made.get(row.id),
            is_trusted=bool(hashes[row.id]) and loadable.issuperset(hashes[row.id]),
        )
        for row, person in found
        if wanted <= set(_texts(row.elements))
        and level in (None, row.key)
        and (max_force_rmse is None or (row.force_rmse is not None and row.force_rmse <= max_force_rmse))
    ]
    return sorted(entries, key=lambda e: (e.force_rmse is None, e.force_rmse or 0.0, -e.pk))


def _texts(value: Any) -> list[str]:
    """Return a list of texts as it is, and nothing of anything else that an archive may have brought instead."""
    return value if isinstance(value, list) and all(isinstance(text, str) for text in value) else []


def _members(level: str | None = None) -> tuple[dict[int, Any], list[tuple[int, int]]]:
    """Return the groups of labels and potentials by pk, and the pairs of a node and its group."""
    group, member = tables().group, tables().member
    query = sa.select(group.id, group.label, group.extras).where(group.type_string.in_(GROUPS))
    groups = {row.id: row for row in read(query if level is None else query.where(group.label == level))}
    pairs = sa.select(member.dbnode_id, member.dbgroup_id).where(member.dbgroup_id.in_(list(groups)))
    return groups, [(row.dbnode_id, row.dbgroup_id) for row in read(pairs)]


def _found(pks: Iterable[int], owner: str | None, since: datetime | None, **fields: str) -> list[tuple[Any, str]]:
    """Return the rows of nodes with the e-mail addresses of their owners, newest first."""
    found = rows(pks, uuid="uuid", node_type="node_type", user="user_id", made="ctime", **fields)
    people = emails(row.user for row in found.values())
    return [
        (row, people[row.user])
        for row in reversed(found.values())
        if owner in (None, people[row.user]) and (since is None or row.made >= since)
    ]
