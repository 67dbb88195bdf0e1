"""Walks over the provenance graph, each a single statement, in time linear in the nodes found.

``QueryBuilder``'s ``with_ancestors`` and ``with_descendants`` enumerate paths, of which a chain label ->
potential -> label has exponentially many. A recursive query with ``UNION`` visits each node once, and is the
same on SQLite and PostgreSQL.
"""

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
#: The end of a link that one comes from, and the other one.
_UP, _DOWN = ("output_id", "input_id"), ("input_id", "output_id")


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
    return _beyond(pk, _UP, _of_types(DATA))


def called_descendants(process: orm.ProcessNode | int | Iterable[int]) -> set[int]:
    """Return the pks of all processes that a process started, directly or not."""
    return _beyond(pk_of(process) if isinstance(process, orm.ProcessNode) else process, _DOWN, _of_types(CALLS))


def callers(pk: int | Iterable[int]) -> set[int]:
    """Return the pks of the processes above a process, up to the one that a person started."""
    return _beyond(pk, _UP, _of_types(CALLS))


def chain(pk: int | Iterable[int], port: str) -> set[int]:
    """Return the pks of the calculations and data that lead to a node through one input, again and again.

    Parameters
    ----------
    pk : int or iterable of int
        Data.
    port : str
        From the data to the calculation that made it, to its input of this name, to the calculation that made that.
    """
    return _beyond(pk, _UP, _through(port))


def feeds(pk: int | Iterable[int], port: str) -> set[int]:
    """Return the pks of the calculations and data that follow from a node through one input, again and again."""
    return _beyond(pk, _DOWN, _through(port))


def links_into(
    pks: Iterable[int], types: Sequence[str] = (), labels: Sequence[str] = (), prefix: str = ""
) -> list[Link]:
    """Return the links that end at one of the nodes, in the order of their making.

    Parameters
    ----------
    pks : iterable of int
    types, labels : sequence of str
        Only links of these types, of these labels; all where nothing is named.
    prefix : str
        Only links whose labels begin with it.
    """
    return _links(tables().link.output_id, pks, types, labels, prefix)


def links_out_of(pks: Iterable[int], types: Sequence[str] = (), labels: Sequence[str] = ()) -> list[Link]:
    """Return the links that start at one of the nodes, in the order of their making."""
    return _links(tables().link.input_id, pks, types, labels)


def _of_types(types: Sequence[str]) -> Any:
    return unindexed(tables().link.type).in_(types)


def _through(port: str) -> Any:
    link = tables().link
    is_port = sa.and_(unindexed(link.type) == "input_calc", unindexed(link.label) == port)
    return sa.or_(unindexed(link.type) == "create", is_port)


def _beyond(pk: int | Iterable[int], way: tuple[str, str], wanted: Any) -> set[int]:
    """Return what is reached from one end of the wanted links to the other, each node once."""
    starts = [pk] if isinstance(pk, int) else pk
    link = tables().link
    near, far = (getattr(link, end) for end in way)
    reach = sa.select(far.label("id")).where(among(near, starts), wanted).cte("reach", recursive=True)
    further = sa.select(far).select_from(reach).join(link, near == reach.c.id).where(wanted)
    return {row.id for row in read(sa.select(reach.union(further).c.id))}


def _links(end: Any, pks: Iterable[int], types: Sequence[str], labels: Sequence[str], prefix: str = "") -> list[Link]:
    link = tables().link
    query = sa.select(link.input_id, link.output_id, link.type, link.label).where(among(end, pks)).order_by(link.id)
    if types:
        query = query.where(_of_types(types))
    if labels:
        query = query.where(unindexed(link.label).in_(labels))
    if prefix:
        query = query.where(link.label.startswith(prefix, autoescape=True))
    # SQLite takes small and capital letters for the same.
    return [link for link in (Link(*row) for row in read(query)) if link.label.startswith(prefix)]
