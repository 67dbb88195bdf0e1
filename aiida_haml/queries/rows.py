"""Columns of many nodes in one statement, without making objects of them."""

from collections.abc import Iterable
from functools import reduce
from typing import Any

import sqlalchemy as sa

from aiida_haml.storage import among, read, tables


def rows(pks: Iterable[int], **fields: str) -> dict[int, Any]:
    """Return some columns of nodes, by pk, in the order of their making.

    Parameters
    ----------
    pks : iterable of int
    **fields
        What a row calls a column, and the column: ``node_type``, ``label``, ``ctime``, ... or, as QueryBuilder writes
        it, an entry of the attributes or extras: ``kind="attributes.kind"``. What is not there is None.

    Returns
    -------
    dict
        Each row has the pk as ``id`` and the fields by their names.
    """
    node = tables().node
    columns = [column(path).label(name) for name, path in fields.items()]
    query = sa.select(node.id, *columns).where(among(node.id, pks)).order_by(node.id)
    return {row.id: row for row in read(query)}


def column(path: str) -> Any:
    """Return the column of the table of nodes, or the entry of one of JSON, that a path names."""
    name, *keys = path.split(".")
    return reduce(lambda found, key: found[key], keys, getattr(tables().node, name))
