"""Walks over the provenance graph in time linear in the nodes found.

``QueryBuilder``'s ``with_ancestors`` and ``with_descendants`` enumerate paths, of which a chain label ->
potential -> label has exponentially many. A recursive query with ``UNION`` visits each node once, and is the
same on SQLite and PostgreSQL.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from aiida import orm
from aiida.manage import get_manager

#: Links along which data come to be.
DATA = ("create", "input_calc")
#: Links from a process to the processes that it started.
CALLS = ("call_calc", "call_work")
#: Values in one statement; SQLite's limit was 999 for long.
_CHUNK = 500

_UP = """
WITH RECURSIVE reach(id) AS (
    SELECT id FROM db_dbnode WHERE id IN :starts
    UNION
    SELECT l.input_id FROM db_dblink l JOIN reach r ON l.output_id = r.id WHERE l.type IN :types
) SELECT id FROM reach"""
_DOWN = """
WITH RECURSIVE reach(id) AS (
    SELECT id FROM db_dbnode WHERE id IN :starts
    UNION
    SELECT l.output_id FROM db_dblink l JOIN reach r ON l.input_id = r.id WHERE l.type IN :types
) SELECT id FROM reach"""


@dataclass(frozen=True)
class Link:
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
    """Return the pks of all nodes that a node was made from (data and calculations), itself excluded.

    Parameters
    ----------
    pk : int or iterable of int
        One node, or several whose ancestors are joined.
    """
    return _beyond(_UP, pk, DATA)


def descendants(pk: int | Iterable[int]) -> set[int]:
    """Return the pks of all nodes (data and calculations) that were made from a node, itself excluded."""
    return _beyond(_DOWN, pk, DATA)


def called_descendants(process: orm.ProcessNode | int | Iterable[int]) -> set[int]:
    """Return the pks of all processes that a process started, directly or not, itself excluded."""
    return _beyond(_DOWN, pk_of(process) if isinstance(process, orm.ProcessNode) else process, CALLS)


def callers(pk: int | Iterable[int]) -> set[int]:
    """Return the pks of the processes above a process, up to the one that a person started."""
    return _beyond(_UP, pk, CALLS)


def links_into(pks: Iterable[int]) -> Iterator[Link]:
    """Yield every link that ends at one of the nodes."""
    return _links("output_id", pks)


def links_out_of(pks: Iterable[int]) -> Iterator[Link]:
    """Yield every link that starts at one of the nodes."""
    return _links("input_id", pks)


def _session() -> Any:
    storage: Any = get_manager().get_profile_storage()
    return storage.get_session()


def _beyond(statement: str, pk: int | Iterable[int], types: tuple[str, ...]) -> set[int]:
    starts = {pk} if isinstance(pk, int) else set(pk)
    query = sa.text(statement).bindparams(sa.bindparam("starts", expanding=True), sa.bindparam("types", expanding=True))
    found: set[int] = set()
    for chunk in _chunks(starts):
        rows = _session().execute(query, {"starts": chunk, "types": list(types)})
        found.update(int(row[0]) for row in rows)
    return found - starts if len(starts) == 1 else found - _unreached(starts, found, statement, types)


def _unreached(starts: set[int], found: set[int], statement: str, types: tuple[str, ...]) -> set[int]:
    """Return the starts that no other start leads to; several starts may lie on one another's way."""
    near, far = ("input_id", "output_id") if statement is _DOWN else ("output_id", "input_id")
    links = _links(near, found)
    reached = {link.target if far == "output_id" else link.source for link in links if link.type in types}
    return starts - reached


def _links(column: str, pks: Iterable[int]) -> Iterator[Link]:
    query = sa.text(
        f"SELECT input_id, output_id, type, label FROM db_dblink WHERE {column} IN :pks ORDER BY id"
    ).bindparams(sa.bindparam("pks", expanding=True))
    for chunk in _chunks(pks):
        for row in _session().execute(query, {"pks": chunk}):
            yield Link(*row)


def _chunks(pks: Iterable[int]) -> Iterator[list[int]]:
    ordered = sorted(set(pks))
    return (ordered[i : i + _CHUNK] for i in range(0, len(ordered), _CHUNK))
