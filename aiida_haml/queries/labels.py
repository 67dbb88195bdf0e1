"""Labels that the database holds already."""

from typing import cast

import sqlalchemy as sa
from aiida import orm

from aiida_haml.calculations.label_engines import engine_of
from aiida_haml.data.frames import FramesData, atom_label
from aiida_haml.queries.origin import HASH
from aiida_haml.queries.rows import column, rows
from aiida_haml.queries.walks import links_into
from aiida_haml.storage import read, tables, unindexed


def level_of_code(code: orm.AbstractCode, theory: str) -> str | None:
    """Return the key of the labels of a code's newest job at a level of theory, or None if there is no such job.

    Parameters
    ----------
    code : AbstractCode
    theory : str
        As `aiida_haml.calculations.levels.theory_key` gives it; what the code's version adds is found here.
    """
    found = tables()
    used, made = (sa.orm.aliased(found.link, name=name) for name in ("used", "made"))
    level = column("attributes.level_of_theory").as_string()
    query = (
        sa.select(level)
        .join_from(used, made, made.input_id == used.output_id)
        .join(found.node, found.node.id == made.output_id)
        .where(used.input_id == code.pk, unindexed(used.type) == "input_calc")
        .where(unindexed(made.type) == "create", unindexed(made.label) == "frames")
        .where(level.startswith(f"{theory}@", autoescape=True))
        # The links of a code are read from the newest one on, so that the first that fits ends it.
        .order_by(used.id.desc())
        .limit(1)
    )
    return next((row[0] for row in read(query)), None)


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
