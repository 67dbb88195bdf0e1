"""Walks over the provenance graph, each a single statement, in time linear in the nodes found.

``QueryBuilder``'s ``with_ancestors`` and ``with_descendants`` enumerate paths, of which a chain label ->
potential -> label has exponentially many. A recursive query with ``UNION`` visits each node once, and is the
same on SQLite and PostgreSQL.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import sqlalchemy as sa
from aiida import orm

from aiida_haml.storage import among, read, tables, unindexed

#: Links along which data come to be.
DATA = ("create", "input_calc")
#: Links from a process to the processes that it started.
CALLS = ("call_calc", "call_work")
INPUTS = ("input_calc", "input_work")
OUTPUTS = ("create", "return")


class Link(NamedTuple):
    """A link of the graph, by the pks of its ends."""

    source: int
    target: int
    type: str
    label: str


def pk_of(node: orm.Node) -> int:
    """Return the pk of a stored node.

    Raises
    ------
    ValueError
        If the node is not stored: nothing leads to it.
    """
    if node.pk is None:
        raise ValueError(
            f"{type(node).__name__} {node.uuid} is not stored; store it before asking where it comes from."
        )
    return node.pk


def ancestors(pk: int | Iterable[int]) -> set[int]:
    """Return the pks of all nodes that a node was made from (data and calculations).

    Parameters
    ----------
    pk : int or iterable of int
        One node, or several whose ancestors are joined. A node is itself among them only if it is an ancestor of
        another one.
    """
    return _beyond(pk, DATA, up=True)


def descendants(pk: int | Iterable[int]) -> set[int]:
    """Return the pks of all nodes (data and calculations) that were made from a node, or from one of several."""
    return _beyond(pk, DATA, up=False)


def called_descendants(process: orm.ProcessNode | int | Iterable[int]) -> set[int]:
    """Return the pks of all processes that a process started, directly or not."""
    return _beyond(pk_of(process) if isinstance(process, orm.ProcessNode) else process, CALLS, up=False)


def callers(pk: int | Iterable[int]) -> set[int]:
    """Return the pks of the processes above a process, up to the one that a person started."""
    return _beyond(pk, CALLS, up=True)


def links_into(pks: Iterable[int], types: Sequence[str] = (), labels: Sequence[str] = ()) -> list[Link]:
    """Return the links that end at one of the nodes, in the order of their making.

    Parameters
    ----------
    pks : iterable of int
    types, labels : sequence of str
        Only links of these types, of these labels; all where nothing is named.
    """
    return _links(tables().link.output_id, pks, types, labels)


def links_out_of(pks: Iterable[int], types: Sequence[str] = (), labels: Sequence[str] = ()) -> list[Link]:
    """Return the links that start at one of the nodes, in the order of their making."""
    return _links(tables().link.input_id, pks, types, labels)


def _beyond(pk: int | Iterable[int], types: Sequence[str], up: bool) -> set[int]:
    starts = [pk] if isinstance(pk, int) else pk
    link = tables().link
    near, far = (link.output_id, link.input_id) if up else (link.input_id, link.output_id)
    wanted = unindexed(link.type).in_(types)
    reach = sa.select(far.label("id")).where(among(near, starts), wanted).cte("reach", recursive=True)
    further = sa.select(far).select_from(reach).join(link, near == reach.c.id).where(wanted)
    return {row.id for row in read(sa.select(reach.union(further).c.id))}


def _links(end: Any, pks: Iterable[int], types: Sequence[str], labels: Sequence[str]) -> list[Link]:
    link = tables().link
    query = sa.select(link.input_id, link.output_id, link.type, link.label).where(among(end, pks)).order_by(link.id)
    if types:
        query = query.where(unindexed(link.type).in_(types))
    if labels:
        query = query.where(unindexed(link.label).in_(labels))
    return [Link(*row) for row in read(query)]
