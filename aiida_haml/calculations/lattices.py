"""Calcfunctions of lattice constants at a level of theory: from a component to its constant, and into a candidate."""

from typing import Any

import numpy as np
from aiida import orm
from aiida.engine import calcfunction

from aiida_haml.calculations.base import refused
from aiida_haml.data.frames import FramesData
from aiida_haml.structures.errors import StructureError
from aiida_haml.structures.lattices import build_component, relaxed_constant, with_constants


@calcfunction
def build_bulk(component: orm.Dict) -> Any:
    """Build the bulk cell of a component at its measured constant; exit code 400 where it cannot be built."""
    try:
        return FramesData.from_ase(build_component(component.get_dict()), kind="structure")
    except StructureError as error:
        return refused(400, f"The bulk cell cannot be built: {error}")


@calcfunction
def lattice_constant(component: orm.Dict, relaxation: FramesData, relax: orm.Dict) -> Any:
    """Read a lattice constant off a relaxation of a component's bulk cell.

    Returns
    -------
    Dict
        ``component``, ``level_of_theory``, ``constant_A``, ``measured_A``, ``frames``, ``max_force`` (eV / Angstrom),
        and the pressures ``pressure_GPa`` at the end and ``pressure_as_measured_GPa`` at the measured constant.

    A cell that is not at rest after all its steps ends with exit code 401, one of other atoms with 400.
    """
    frames = relaxation.frames
    if frames.stresses is None or frames.forces is None:
        return refused(402, "The labels of the relaxation have no stress.")
    first, last = relaxation.to_ase(0)[0], relaxation.to_ase(-1)[0]
    pressure, force = frames.pressures(), float(np.linalg.norm(frames.forces[-1], axis=1).max())
    if abs(pressure[-1]) > relax["max_pressure_GPa"]:
        message = (
            f"The cell is not at rest after {len(frames) - 1} steps: its pressure is {pressure[-1]:+.2f} GPa; raise "
            "`lattice.steps`, or give the constants with `host.a_A` and `interface.metal_a_A`."
        )
        return refused(401, message)
    try:
        constant = relaxed_constant(component.get_dict(), first, last)
        measured = relaxed_constant(component.get_dict(), first, first)
    except StructureError as error:
        return refused(400, str(error))
    return orm.Dict(
        {
            "component": component.get_dict(),
            "level_of_theory": relaxation.level_of_theory,
            "constant_A": constant,
            "measured_A": measured,
            "frames": len(frames),
            "max_force": force,
            "pressure_GPa": float(pressure[-1]),
            "pressure_as_measured_GPa": float(pressure[0]),
        }
    )


@calcfunction
def set_constants(specification: orm.Dict, **constants: orm.Dict) -> Any:
    """Return a candidate's specification with constants by component (``electrolyte``, ``metal``) filled in."""
    values = {name: node["constant_A"] for name, node in constants.items()}
    try:
        return orm.Dict(with_constants(specification.get_dict(), values))
    except StructureError as error:
        return refused(400, f"The cell cannot have these lattice constants: {error}")
