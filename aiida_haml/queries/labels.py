"""Labels that the database holds already."""

from __future__ import annotations

from typing import cast

import sqlalchemy as sa
from aiida import orm

from aiida_haml.calculations.label_engines import engine_of, label_process_types
from aiida_haml.data.frames import FramesData, atom_label
from aiida_haml.queries.origin import HASH
from aiida_haml.queries.rows import rows
from aiida_haml.queries.walks import links_into
from aiida_haml.storage import read, tables


def level_of_code(code: orm.AbstractCode, theory: str) -> str | None:
    """Return the key of the newest labels that a code made at a level of theory, or None if it made none.

    Parameters
    ----------
    code : AbstractCode
    theory : str
        As `aiida_haml.calculations.levels.theory_key` gives it; what the code's version adds is found here.
    """
    query = orm.QueryBuilder().append(orm.AbstractCode, filters={"id": code.pk}, tag="code")
    types = {"process_type": {"in": label_process_types()}}
    query.append(orm.CalcJobNode, with_incoming="code", filters=types, tag="job")
    query.append(
        FramesData,
        with_incoming="job",
        filters={"attributes.level_of_theory": {"like": f"{theory}@%"}},
        project="attributes.level_of_theory",
        tag="frames",
    )
    return query.order_by({"frames": {"id": "desc"}}).first(flat=True)


def isolated_atom(level_key: str, element: str) -> FramesData | None:
    """Return the first labelled isolated atom of an element at a level of theory, or None.

    The first one made, so that the same node answers ever after and caching holds. An atom that came with an archive
    does not count before its screen is adopted: it shifts the energy of every label, and no later check would tell.
    """
    node = tables().node
    named = {row.id for row in read(sa.select(node.id).where(node.label == atom_label(element, level_key)))}
    found = rows(
        named, kind="attributes.kind", level="attributes.level_of_theory", elements="attributes.elements", hash=HASH
    )
    wanted = ("isolated_atom", level_key, [element])
    own = [pk for pk, row in found.items() if row.hash and (row.kind, row.level, row.elements) == wanted]
    creators = {link.target: link.source for link in links_into(own, ["create"])}
    engines = rows(creators.values(), process_type="process_type")
    made = [pk for pk in own if pk in creators and engine_of(engines[creators[pk]].process_type)]
    return cast(FramesData, orm.load_node(made[0])) if made else None
