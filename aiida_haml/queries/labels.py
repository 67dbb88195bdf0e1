"""Labels that the database holds already."""

from __future__ import annotations

from typing import cast

import sqlalchemy as sa
from aiida import orm

from aiida_haml.data.frames import FramesData, atom_label
from aiida_haml.queries.origin import HASH
from aiida_haml.queries.rows import rows
from aiida_haml.queries.training import LABEL_ENGINES
from aiida_haml.queries.walks import links_into
from aiida_haml.storage import read, tables


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
    made = [pk for pk in own if pk in creators and engines[creators[pk]].process_type in LABEL_ENGINES]
    return cast(FramesData, orm.load_node(made[0])) if made else None
