"""What the nodes of a part of the graph keep in the repository: how many bytes, and arrays without the ORM."""

import io
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
from aiida.manage import get_manager

from aiida_haml.queries.rows import rows


class StoredArrays:
    """Arrays of many nodes: found in one statement, and read one by one as they are asked for.

    Parameters
    ----------
    pks : iterable of int
        Nodes that hold arrays.
    """

    def __init__(self, pks: Iterable[int]) -> None:
        self._keys = {
            pk: {name.removesuffix(".npy"): key for name, key in _files(row.files or {}) if name.endswith(".npy")}
            for pk, row in rows(pks, files="repository_metadata").items()
        }

    def names(self, pk: int) -> set[str]:
        """Return what the arrays of a node are called."""
        return set(self._keys[pk])

    def read(self, pk: int, names: Iterable[str] | None = None) -> dict[str, np.ndarray]:
        """Return the arrays of a node: those of some names that it has, or all of them."""
        repository: Any = get_manager().get_profile_storage().get_repository()
        wanted = self.names(pk) if names is None else self.names(pk) & set(names)
        contents = {name: repository.get_object_content(self._keys[pk][name]) for name in sorted(wanted)}
        return {name: np.load(io.BytesIO(content), allow_pickle=False) for name, content in contents.items()}


def stored_files(pks: Iterable[int], name: str) -> dict[int, bytes]:
    """Return the content of a file of each node that has it, not within a folder; in one statement."""
    repository: Any = get_manager().get_profile_storage().get_repository()
    files = {pk: (row.files or {}).get("o", {}) for pk, row in rows(pks, files="repository_metadata").items()}
    return {pk: repository.get_object_content(own[name]["k"]) for pk, own in files.items() if "k" in own.get(name, ())}


def stored_bytes(pks: Iterable[int]) -> dict[int, int]:
    """Return the size of what each node keeps in the repository, bytes.

    Equal content is kept once for all nodes that have it, so that sums over nodes are upper bounds.
    """
    found = rows(pks, files="repository_metadata")
    objects = {pk: [key for _, key in _files(row.files or {})] for pk, row in found.items()}
    sizes = object_sizes(key for keys in objects.values() for key in keys)
    return {pk: sum(sizes.get(key, 0) for key in keys) for pk, keys in objects.items()}


def distinct_bytes(pks: Iterable[int]) -> int:
    """Return the size of what nodes keep in the repository, equal content counted once, bytes."""
    found = rows(pks, files="repository_metadata").values()
    return sum(object_sizes(key for row in found for _, key in _files(row.files or {})).values())


def object_sizes(keys: Iterable[str]) -> dict[str, int]:
    """Return the sizes of the repository's objects by key, bytes."""
    repository: Any = get_manager().get_profile_storage().get_repository()
    with repository._container as container:
        return {key: meta["size"] for key, meta in container.get_objects_meta(sorted(set(keys)), skip_if_missing=True)}


def _files(folder: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the names and keys of the files below a folder, as AiiDA writes them into a node's row."""
    for name, entry in folder.get("o", {}).items():
        if "k" in entry:
            yield name, entry["k"]
        else:
            yield from _files(entry)
