"""Lattice constants that the database holds already."""

from __future__ import annotations

from typing import Any, cast

from aiida import orm

from aiida_haml.queries.origin import is_foreign


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
    query = orm.QueryBuilder()
    query.append(orm.CalcFunctionNode, filters={"attributes.process_label": "lattice_constant"}, tag="made")
    made_at = {"attributes.level_of_theory": level_key}
    query.append(orm.Dict, with_incoming="made", filters=made_at, project="*", tag="constant")
    query.order_by({"constant": {"id": "asc"}})
    for node in cast(list[orm.Dict], query.all(flat=True)):
        if node["component"] != component or abs(node["pressure_GPa"]) > max_pressure_GPa:
            continue
        if not is_foreign([cast(int, node.pk)]):
            return node
    return None
