"""The level of theory: everything that decides a label's value, hashed into one key."""

import copy
import hashlib
import io
import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from aiida import orm
from aiida.plugins import DataFactory

#: Port of a CP2K job -> name in a level's `kinds`, entry point of the node, key of the data file in the level.
GAUSSIAN_PORTS = {
    "basissets": ("basis", "gaussian.basisset", "basis_file"),
    "pseudos": ("pseudo", "gaussian.pseudo", "pseudo_file"),
}


#: CP2K's data folder: where its own variable points, or where Debian puts it.
CP2K_DATA = Path(os.environ.get("CP2K_DATA_DIR", "/usr/share/cp2k"))


def theory_key(level: Mapping[str, Any]) -> str:
    """Hash a level of theory, but for the version of its code.

    Only what decides the value of a label counts: the engine and its ``theory``, in which basis sets and
    pseudopotentials stand by the hash of their content (see `pin`). The level's description and the recipes that
    lead to a converged SCF do not count.

    Returns
    -------
    str
        ``NAME-`` and twelve hexadecimal digits: legible, and unique by its second half.
    """
    content = json.dumps({"engine": level["engine"], "theory": level["theory"]}, sort_keys=True)
    return f"{level['name']}-{hashlib.sha256(content.encode()).hexdigest()[:12]}"


def level_key(level: Mapping[str, Any], code_version: str) -> str:
    """Return the key that a label carries: all that decides its value, the code's version included.

    Labels of different keys are never learned from together, and an isolated atom belongs to labels of its own key.
    The version is read from each label's own output. A new version of a code is therefore set up as a new code:
    under the old one, labels of both versions would come from one cache.

    Parameters
    ----------
    level : mapping
        ``engine``, ``name`` and ``theory``.
    code_version : str
        As the code itself says it, such as ``CP2K version 2025.1``.

    Returns
    -------
    str
        Such as ``gfn1-xtb-0123456789ab@cp2k-2025.1``: what `theory_key` gives, and the version.
    """
    version = re.sub(r"[^a-z0-9.+]+", "-", code_version.lower().replace(" version ", " ")).strip("-")
    return f"{theory_key(level)}@{version}"


def label_kind(inputs: Any) -> str:
    """Return what the frames of a label engine's job are, from its inputs."""
    if inputs.initial.kind == "isolated_atom":
        return "isolated_atom"
    if "relax" in inputs:
        return "relaxation"
    return "burst" if "md" in inputs else "probes"


def content_hash(node: orm.Data) -> str:
    """Return the sha256 of a basis set or pseudopotential as CP2K reads it, comments left out."""
    buffer = io.StringIO()
    node.to_cp2k(buffer)
    text = "\n".join(line for line in buffer.getvalue().splitlines() if not line.startswith("#"))
    return hashlib.sha256(text.encode()).hexdigest()


def pin(
    level: Mapping[str, Any], data_folder: Path = CP2K_DATA
) -> tuple[dict[str, Any], dict[str, dict[str, orm.Data]]]:
    """Turn the names of basis sets and pseudopotentials into nodes, and their content into part of the level.

    Parameters
    ----------
    level : mapping
        ``kinds`` names ``basis`` and ``pseudo`` of each element, ``basis_file`` and ``pseudo_file`` the files of
        CP2K's data folder that hold them, or ``basis_group`` and ``pseudo_group`` groups of the database, of which
        those are taken that are there. A level without ``kinds`` needs none.
    data_folder : Path

    Returns
    -------
    level : dict
        With the hashes of the contents in ``theory.kinds``.
    nodes : dict
        ``basissets`` and ``pseudos``, each by element; stored once per content. Empty for a level without ``kinds``.

    Raises
    ------
    ValueError
        If a file is missing or lacks an entry, or a group holds nothing.
    """
    read = _read_gaussians(level, data_folder)
    nodes = {port: {element: _once(node) for element, node in by.items()} for port, by in read.items()}
    return _pinned(level, read), nodes


def theory_of(level: Mapping[str, Any], data_folder: Path = CP2K_DATA) -> str:
    """Return the `theory_key` that a level will have when `pin` has pinned it; nothing is stored."""
    return theory_key(_pinned(level, _read_gaussians(level, data_folder)))


def _pinned(level: Mapping[str, Any], gaussians: Mapping[str, Mapping[str, orm.Data]]) -> dict[str, Any]:
    pinned = copy.deepcopy(dict(level))
    for port, nodes in gaussians.items():
        for element, node in nodes.items():
            hashes = pinned["theory"].setdefault("kinds", {}).setdefault(element, {})
            hashes[GAUSSIAN_PORTS[port][0]] = content_hash(node)
    return pinned


def _read_gaussians(level: Mapping[str, Any], data_folder: Path) -> dict[str, dict[str, orm.Data]]:
    """Return the basis sets and pseudopotentials of a level by port and element, read anew and not stored."""
    if "kinds" not in level:
        return {}
    read: dict[str, dict[str, orm.Data]] = {}
    for port, (kind, entry_point, file) in GAUSSIAN_PORTS.items():
        names = {element: of[kind] for element, of in sorted(level["kinds"].items()) if of.get(kind)}
        if (group := level.get(f"{kind}_group")) is not None:
            read[port] = _read_group(entry_point, names, group)
        else:
            path = data_folder / level[file]
            read[port] = {element: _read_gaussian(entry_point, element, name, path) for element, name in names.items()}
    return read


def elements_of_level(level: Mapping[str, Any], data_folder: Path = CP2K_DATA) -> tuple[str, ...] | None:
    """Return the elements that have a basis set and a pseudopotential at a level; None for one that needs none.

    Raises
    ------
    ValueError
        As of `pin`.
    """
    read = _read_gaussians(level, data_folder)
    return tuple(sorted(set.intersection(*map(set, read.values())))) if read else None


def _read_group(entry_point: str, names: Mapping[str, str], label: str) -> dict[str, orm.Data]:
    """Return what a group of the database holds of the wanted names, by element; the last version of each."""
    cls: Any = DataFactory(entry_point)
    query = orm.QueryBuilder().append(orm.Group, filters={"label": label}, tag="group").append(cls, with_group="group")
    nodes = sorted(query.all(flat=True), key=lambda node: int(node.version))
    if not nodes:
        raise ValueError(
            f"No group {label!r} holds any; fill one by 'verdi data {entry_point} import FILE -G {label}'."
        )
    return {node.element: node for node in nodes if names.get(node.element) in node.aliases}


def _read_gaussian(entry_point: str, element: str, name: str, path: Path) -> orm.Data:
    cls: Any = DataFactory(entry_point)
    if not path.is_file():
        raise ValueError(f"CP2K's data file {path} does not exist; set CP2K_DATA_DIR to the folder of CP2K's data.")
    with path.open() as handle:
        entries = cls.from_cp2k(handle, filters={"element": lambda e: e == element}, duplicate_handling="new")
    found = [node for node in entries if name in node.aliases]
    if not found:
        raise ValueError(f"{path} has no entry {name!r} for {element}.")
    return found[0]


def _once(node: Any) -> orm.Data:
    """Return the first node of the same content that is stored; store this one if there is none."""
    cls, wanted = type(node), content_hash(node)
    query = orm.QueryBuilder().append(cls, filters={"attributes.element": node.element, "attributes.name": node.name})
    for stored in query.order_by({cls: {"id": "asc"}}).all(flat=True):
        if content_hash(stored) == wanted:
            return stored
    return node.store()


def check_pinned(
    level: Mapping[str, Any], nodes: Mapping[str, Mapping[str, orm.Data]], elements: list[str]
) -> str | None:
    """Return why the given nodes are not the basis sets and pseudopotentials of the level, or None.

    Parameters
    ----------
    level : mapping
        As `pin` returned it.
    nodes : mapping
        ``basissets`` and ``pseudos``, each by element.
    elements : list of str
        Elements of the cell.
    """
    hashes = level["theory"].get("kinds")
    if hashes is None:
        return None
    for element in elements:
        for port, (kind, _, _) in GAUSSIAN_PORTS.items():
            if element not in hashes or element not in nodes.get(port, {}):
                return f"The level of theory {level['name']!r} has no entry in `{port}` for {element}; add one."
            if content_hash(nodes[port][element]) != hashes[element][kind]:
                return f"The node in `{port}` for {element} is not the one that {level['name']!r} was pinned to."
    return None
