"""Lattice constants at a level of theory: what is relaxed, and how what comes back enters a candidate.

Measured constants are strained at every level of theory, and a doped host is not as large as its host: an interface
built of them carries a pressure that is not the doping's. The electrolyte's bulk, doped as the candidate's, and the
metal are therefore relaxed once each. Of a relaxed cell its volume alone is taken: the shape of a small, ordered cell
is that of its ordering. All replicates share one relaxation, that of the first seed.

::

    for name, component in components(structure).items():      # "electrolyte", "metal"
        before = build_component(component)                     # relax cell and atoms at the level of theory ...
        constants[name] = relaxed_constant(component, before, after)
    structure = with_constants(structure, constants)
"""

from collections.abc import Mapping
from copy import deepcopy
from typing import Any

import numpy as np
from ase import Atoms
from ase.build import bulk

from aiida_haml.structures.candidates import build
from aiida_haml.structures.errors import StructureError
from aiida_haml.structures.interface.stacking import METALS
from aiida_haml.structures.specification import CellCandidate, SolidCandidate, read_candidate

#: Repeats of the metal's cubic cell: a level of theory without k-points needs some 10 Angstrom.
METAL_REPEATS = 3

#: The seed whose bulk stands for all replicates.
FIRST_SEED = 1

#: Where a constant belongs in a candidate's specification.
PLACES = {"electrolyte": ("host", "a_A"), "metal": ("interface", "metal_a_A")}


def components(spec: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return what a candidate needs relaxed: ``electrolyte`` and ``metal``, but for constants that are given.

    Equal components are equal values, whichever candidate asks for them: a job on one is found in the cache by others.

    Parameters
    ----------
    spec : mapping
        A candidate, see :mod:`aiida_haml.structures.specification`.

    Raises
    ------
    StructureError
        If the specification is refused.
    """
    checked = read_candidate(spec)
    found: dict[str, dict[str, Any]] = {}
    if isinstance(checked, CellCandidate):
        return {}  # taken as it is
    if isinstance(checked, SolidCandidate) and checked.host.a_A is None:
        alone = checked.model_copy(update={"interface": None, "seed": FIRST_SEED})
        found["electrolyte"] = alone.to_dict()
    if checked.interface is not None and checked.interface.metal_a_A is None:
        found["metal"] = {"metal": checked.interface.metal}
    return found


def build_component(component: Mapping[str, Any]) -> Atoms:
    """Return the bulk cell of a component, at its measured constant."""
    if "metal" in component:
        cell = bulk(component["metal"], "bcc", a=METALS[component["metal"]], cubic=True)
        return cell.repeat(METAL_REPEATS)
    return build(component)[0]


def relaxed_constant(component: Mapping[str, Any], before: Atoms, after: Atoms) -> float:
    """Return the lattice constant that a relaxed cell has, as an isotropic change of its volume, Angstrom.

    Parameters
    ----------
    component : mapping
    before, after : Atoms
        As :func:`build_component` makes it, and relaxed.

    Raises
    ------
    StructureError
        If the relaxed cell holds other atoms.
    """
    if sorted(before.numbers) != sorted(after.numbers):
        raise StructureError(
            "lattice",
            after.get_chemical_formula(),
            f"is what was relaxed, and the component is {before.get_chemical_formula()}",
            "Give the relaxed cell of that component.",
        )
    if "metal" in component:
        measured = METALS[component["metal"]]
    else:
        measured = float(before.cell.lengths()[0]) / component["host"]["supercell"][0]
    return round(measured * float(np.cbrt(after.get_volume() / before.get_volume())), 6)


def with_constants(spec: Mapping[str, Any], constants: Mapping[str, float]) -> dict[str, Any]:
    """Return a candidate whose electrolyte and metal have these lattice constants, Angstrom.

    Raises
    ------
    StructureError
        If the candidate with them is refused.
    """
    changed = read_candidate(spec).to_dict()
    for name, constant in constants.items():
        part, key = PLACES[name]
        changed = {**changed, part: {**deepcopy(changed[part]), key: constant}}
    return read_candidate(changed).to_dict()
