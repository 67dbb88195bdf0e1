"""The level of theory: everything that decides a label's value, hashed into one key."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from aiida import orm
from aiida.plugins import DataFactory

#: Engines that make labels, by the name in a level of theory, and their CalcJobs.
LABEL_ENGINES = {"cp2k": "haml.cp2k", "teacher": "haml.teacher"}


def level_key(level: Mapping[str, Any], gaussian_data: Mapping[str, orm.Data] | None = None) -> str:
    """Hash a level of theory into the key that every label carries.

    Only what decides the value of a label counts: the engine and its ``theory``. The level's name, its
    description and the recipes that lead to a converged SCF do not. Basis sets and pseudopotentials count
    by their content.

    Parameters
    ----------
    level : mapping
        With ``engine``, ``name`` and ``theory``.
    gaussian_data : mapping, optional
        Basis sets and pseudopotentials by ``basissets.ELEMENT`` and ``pseudos.ELEMENT``.

    Returns
    -------
    str
        ``NAME-`` and twelve hexadecimal digits: legible, and unique by its second half.
    """
    content = {
        "engine": level["engine"],
        "theory": level["theory"],
        "files": {label: cp2k_text(node) for label, node in sorted((gaussian_data or {}).items())},
    }
    digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
    return f"{level['name']}-{digest[:12]}"


def cp2k_text(node: orm.Data) -> str:
    """Return a basis set or pseudopotential as CP2K reads it, without comments."""
    buffer = io.StringIO()
    node.to_cp2k(buffer)
    return "\n".join(line for line in buffer.getvalue().splitlines() if not line.startswith("#"))


def gaussian_nodes(level: Mapping[str, Any], elements: Iterable[str], data_folder: Path) -> dict[str, dict[str, orm.Data]]:
    """Return the basis sets and pseudopotentials of a level as nodes, stored once per content.

    Parameters
    ----------
    level : mapping
        ``kinds`` names the basis set and pseudopotential of each element, ``basis_file`` and ``pseudo_file``
        the files of CP2K's data folder that hold them. A level without ``kinds`` needs none.
    elements : iterable of str
    data_folder : Path
        CP2K's data folder.

    Returns
    -------
    dict
        ``basissets`` and ``pseudos``, each by element; empty for a level without them.

    Raises
    ------
    ValueError
        If the level does not cover an element, or a file lacks an entry.
    """
    kinds = level.get("kinds")
    if not kinds:
        return {}
    missing = sorted(set(elements) - set(kinds))
    if missing:
        raise ValueError(
            f"The level of theory {level['name']!r} has no basis set for {', '.join(missing)}; "
            f"add them under its `kinds`, or take another level."
        )
    chosen: dict[str, dict[str, orm.Data]] = {"basissets": {}, "pseudos": {}}
    for element in sorted(set(elements)):
        for port, entry_point, file in (
            ("basissets", "gaussian.basisset", level["basis_file"]),
            ("pseudos", "gaussian.pseudo", level["pseudo_file"]),
        ):
            name = kinds[element]["basis" if port == "basissets" else "pseudo"]
            chosen[port][element] = _gaussian_node(entry_point, element, name, data_folder / file)
    return chosen


def _gaussian_node(entry_point: str, element: str, name: str, path: Path) -> orm.Data:
    cls = DataFactory(entry_point)
    if not path.is_file():
        raise ValueError(f"CP2K's data file {path} does not exist; say where CP2K keeps its data (`cp2k_data`).")
    with path.open() as handle:
        found = [
            node
            for node in cls.from_cp2k(handle, filters={"element": lambda e: e == element}, duplicate_handling="new")
            if name in node.aliases
        ]
    if not found:
        raise ValueError(f"{path} has no entry {name!r} for {element}.")
    node = found[0]
    query = orm.QueryBuilder().append(cls, filters={"attributes.element": element, "attributes.name": node.name})
    for stored in query.all(flat=True):
        if cp2k_text(stored) == cp2k_text(node):
            return stored
    return node.store()
