"""Lattice constants that the database holds already."""

from typing import Any, cast

import sqlalchemy as sa
from aiida import orm

from aiida_haml.calculations.lattices import lattice_constant
from aiida_haml.queries.origin import HASH
from aiida_haml.queries.rows import rows
from aiida_haml.queries.walks import links_out_of
from aiida_haml.storage import read, tables


def known_constant(level_key: str, component: dict[str, Any], max_pressure_GPa: float) -> orm.Dict | None:  # noqa: N803 - the unit is its name
    """Return the first lattice constant of a component that was relaxed at a level of theory, or None.

    The first one made, so that the same node answers ever after and caching holds. One that came with an archive does
    not count before its screen is adopted.

    Parameters
    ----------
    level_key : str
        As `aiida_haml.calculations.levels.level_key` gives it.
    component : dict
        See `aiida_haml.structures.lattices.components`.
    max_pressure_GPa : float
        Largest pressure that may be left in its cell.
    """
    node = tables().node
    made_by = sa.select(node.id).where(node.process_type == lattice_constant.process_class.build_process_type())
    made = [link.target for link in links_out_of((row.id for row in read(made_by)), ["create"])]
    fields = ("component", "level_of_theory", "pressure_GPa")
    found = rows(made, hash=HASH, **{name: f"attributes.{name}" for name in fields})
    for pk, row in found.items():
        fits = (row.level_of_theory, row.component) == (level_key, component)
        if row.hash and fits and abs(row.pressure_GPa) <= max_pressure_GPa:
            return cast(orm.Dict, orm.load_node(pk))
    return None
