"""Labels that the database holds already."""

from __future__ import annotations

from aiida import orm

from aiida_haml.data.frames import FramesData


def isolated_atom(level_key: str, element: str) -> FramesData | None:
    """Return the first labelled isolated atom of an element at a level of theory, or None.

    The first one made, so that the same node answers ever after and caching holds.
    """
    query = orm.QueryBuilder().append(orm.CalcJobNode, tag="job")
    query.append(
        FramesData,
        with_incoming="job",
        filters={
            "attributes.kind": "isolated_atom",
            "attributes.level_of_theory": level_key,
            "attributes.elements": [element],
        },
    )
    query.order_by({FramesData: {"id": "asc"}})
    return query.first(flat=True)
