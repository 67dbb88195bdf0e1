"""How many bytes the nodes of a part of the graph keep in the repository, and of what kind."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from aiida.manage import get_manager

from aiida_haml.queries.rows import rows


def stored_bytes(pks: Iterable[int]) -> dict[int, int]:
    """Return the size of what each node keeps in the repository, bytes.

    Equal content is kept once for all nodes that have it, so that sums over nodes are upper bounds.
    """
    objects = {pk: list(_keys(row.files or {})) for pk, row in rows(pks, files="repository_metadata").items()}
    sizes = object_sizes(key for keys in objects.values() for key in keys)
    return {pk: sum(sizes.get(key, 0) for key in keys) for pk, keys in objects.items()}


def distinct_bytes(pks: Iterable[int]) -> int:
    """Return the size of what nodes keep in the repository, equal content counted once, bytes."""
    found = rows(pks, files="repository_metadata").values()
    return sum(object_sizes(key for row in found for key in _keys(row.files or {})).values())


def object_sizes(keys: Iterable[str]) -> dict[str, int]:
    """Return the sizes of the repository's objects by key, bytes."""
    repository: Any = get_manager().get_profile_storage().get_repository()
    with repository._container as container:
        return {key: meta["size"] for key, meta in container.get_objects_meta(sorted(set(keys)), skip_if_missing=True)}


def _keys(folder: Mapping[str, Any]) -> Iterator[str]:
    """Yield the keys of the files below a folder, as AiiDA writes them into a node's row."""
    for entry in folder.get("o", {}).values():
        if "k" in entry:
            yield entry["k"]
        else:
            yield from _keys(entry)
