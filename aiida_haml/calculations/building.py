"""Calcfunctions that build the cells from which everything starts."""

from typing import Any

import numpy as np
from aiida import orm
from aiida.engine import calcfunction
from ase.data import atomic_numbers

from aiida_haml.calculations.base import refused
from aiida_haml.data.frames import FramesData
from aiida_haml.frames import Frames
from aiida_haml.structures.candidates import build
from aiida_haml.structures.errors import StructureError

#: Edge of the box of an isolated atom, Angstrom: twice the reach of any potential trained here.
ATOM_BOX = 12.0


@calcfunction
def build_candidate(specification: orm.Dict) -> Any:
    """Build the cell of a candidate: ``structure`` (one frame) and ``report`` (the choices made).

    A cell that cannot be built ends with exit code 400 and says why: one candidate less, not a screen less. That is
    so whatever went wrong, in the packages that this stands on too: a screen has other candidates, and jobs behind it.
    """
    try:
        atoms, report = build(specification.get_dict())
    except StructureError as error:
        return refused(400, f"The cell cannot be built: {error}")
    except Exception as error:
        return refused(400, f"The cell cannot be built: {type(error).__name__}: {error}")
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
