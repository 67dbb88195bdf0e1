"""Folders of ``.npy`` files turned into array nodes."""

import io
from typing import Any

import numpy as np
from aiida import orm


def read_arrays(retrieved: orm.FolderData, folder: str) -> orm.ArrayData:
    """Return an unstored array node with one array for each ``.npy`` file of a retrieved folder.

    Raises
    ------
    ValueError
        If the folder is not there, empty, or holds a file that is no array.
    """
    repository = retrieved.base.repository
    if folder not in repository.list_object_names():
        raise ValueError(f"the engine wrote no folder {folder}")
    arrays: dict[str, Any] = {}
    for name in sorted(repository.list_object_names(folder)):
        content = repository.get_object_content(f"{folder}/{name}", mode="rb")
        arrays[name.removesuffix(".npy")] = np.load(io.BytesIO(content), allow_pickle=False)
    if not arrays:
        raise ValueError(f"the engine left the folder {folder} empty")
    return orm.ArrayData(arrays)
