"""Checks of what a stretch is given, made before its job starts."""

import re
from typing import Any

import numpy as np
from aiida import orm

from aiida_haml.calculations.molecular_dynamics import MD_SETTINGS, validate_md
from aiida_haml.engines.stretch import PRECISIONS
from aiida_haml.engines.watch import Thresholds
from aiida_haml.frames import Frames
from aiida_haml.settings import require_integer

#: Names of a model's file, which is a word of LAMMPS' deck: more than one word, or a line break, would be commands.
_MODEL_FILE = re.compile(r"[A-Za-z0-9_][\w.-]*", re.ASCII)
#: What `settings` may hold, and of which type.
SETTINGS = {"cmdline": list, "additional_retrieve_list": list, "model_file": str, "precision": str}


def validate_stretch_md(node: orm.Dict | None, ctx: Any) -> str | None:
    """Refuse settings of the dynamics that are missing, unknown or make no sense."""
    if node is None or (fault := validate_md(node, ctx)) is not None:
        return None if node is None else fault
    md = node.get_dict()
    known = {*MD_SETTINGS, "save_every"}
    if unknown := sorted(set(md) - known):
        return f"The MD settings {', '.join(unknown)} are unknown; they can be {', '.join(sorted(known))}."
    try:
        for name in ("steps", "seed", "save_every"):
            require_integer(name, md.get(name), 1)
    except ValueError as error:
        return f"The MD setting {error}"
    return None


def validate_watch(node: orm.Dict | None, _: Any) -> str | None:
    """Refuse thresholds that are unknown or make no sense."""
    try:
        Thresholds.from_dict({} if node is None else node.get_dict())
    except ValueError as error:
        return f"The watch is refused: {error}"
    return None


def validate_settings(node: orm.Dict | None, _: Any) -> str | None:
    """Refuse settings that nothing reads."""
    for name, value in ({} if node is None else node.get_dict()).items():
        if name not in SETTINGS:
            return f"The setting {name} is unknown; it can be {', '.join(sorted(SETTINGS))}."
        if not isinstance(value, SETTINGS[name]):
            return f"The setting {name} is {value!r}; it has to be a {SETTINGS[name].__name__}."
        if name == "precision" and value not in PRECISIONS:
            return f"The setting precision is {value!r}; it has to be one of {', '.join(PRECISIONS)}."
        if name == "model_file" and not _MODEL_FILE.fullmatch(value):
            return f"The setting model_file is {value!r}; it has to be the bare name of a file: letters, digits, . _ -"
    return None


def fault_of_frame(frame: Frames) -> str | None:
    """Return why LAMMPS cannot start from a frame, or None."""
    if not frame.pbc.all():
        return (
            f"The frame's pbc is {frame.pbc.tolist()}, but LAMMPS moves periodic cells here; put the vacuum "
            "into the cell and make all directions periodic."
        )
    if abs(np.linalg.det(frame.cells[0])) < 1e-6:
        return f"The frame's cell {frame.cells[0].tolist()} has no volume; give three independent vectors."
    return None
