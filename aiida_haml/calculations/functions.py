"""Calcfunctions: the small steps that make nodes outside of jobs."""

from __future__ import annotations

from typing import Any

import numpy as np
from aiida import orm
from aiida.engine import calcfunction
from ase.data import atomic_numbers

from aiida_haml.data.frames import FramesData
from aiida_haml.frames import Frames
from aiida_haml.learning.controller import ControllerSettings, Plan, next_plan
from aiida_haml.structures.candidates import build

#: Edge of the box of an isolated atom, Angstrom: twice the reach of any potential trained here.
ATOM_BOX = 12.0


@calcfunction
def build_candidate(specification: orm.Dict) -> dict[str, Any]:
    """Build the cell of a candidate: ``structure`` (one frame) and ``report`` (the choices made)."""
    atoms, report = build(specification.get_dict())
    return {"structure": FramesData.from_ase(atoms, kind="structure"), "report": orm.Dict(report)}


@calcfunction
def build_isolated_atom(element: orm.Str) -> FramesData:
    """Put one atom into the middle of a periodic box."""
    frames = Frames(
        numbers=np.array([atomic_numbers[element.value]]),
        positions=np.full((1, 1, 3), ATOM_BOX / 2),
        cells=ATOM_BOX * np.eye(3)[None],
        pbc=np.ones(3, dtype=bool),
    )
    return FramesData(frames, kind="isolated_atom")
