"""Is a cut polar? Planes of formal charge, their dipole, and Tasker's three types.

P. W. Tasker, J. Phys. C 12, 4977 (1979): type 1, each plane is neutral; type 2, planes are charged, but the
repeat unit that the cut makes has no dipole along the normal; type 3, it has one, and a slab of such units
stays whole only by moving charge from one face to the other. Against a metal on both sides that charge comes
from the metal: the interface reacts to the cut before it reacts to the electrolyte.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from aiida_haml.structures.crystals import FORMAL_CHARGES
from aiida_haml.structures.errors import StructureError

FloatArray = NDArray[np.float64]

#: Atoms of each element on a site, which may be filled in part or by several.
Content = Mapping[str, float]

#: A repeat unit with less dipole per area than this is not polar, e / Angstrom. What is zero by symmetry
#: comes out below 1e-6; the smallest of a polar cut of the argyrodite is 0.07.
POLAR = 1e-3

#: Mobile ion: its charge makes the others' up where its sites are only partly filled.
MOBILE = "Li"


@dataclass(frozen=True)
class Plane:
    """One plane of ions: its height in Angstrom, what lies in it by element (occupancies summed), its charge in e."""

    height: float
    content: tuple[tuple[str, float], ...]
    charge: float


def formal_charges(atoms: Atoms) -> FloatArray:
    """Return the (N,) formal charges, e.

    Raises
    ------
    StructureError
        If an element has none here.
    """
    _require_known(set(atoms.get_chemical_symbols()))
    return np.array([FORMAL_CHARGES[symbol] for symbol in atoms.get_chemical_symbols()], dtype=float)


def _require_known(elements: set[str]) -> None:
    unknown = sorted(elements - set(FORMAL_CHARGES))
    if unknown:
        known = ", ".join(FORMAL_CHARGES)
        raise StructureError("elements", unknown, "have no formal charge here", f"Known are {known}.")


def average_charges(contents: Sequence[Content]) -> FloatArray:
    """Return the (N,) mean charges of N sites, e, made neutral by the mobile ions.

    Parameters
    ----------
    contents : sequence of mapping
        Atoms of each element on each site: ``{"Li": 0.5}``.

    Raises
    ------
    StructureError
        If an element has no formal charge here.
    """
    _require_known({symbol for content in contents for symbol in content})
    fixed = np.array([sum(FORMAL_CHARGES[s] * n for s, n in c.items() if s != MOBILE) for c in contents], dtype=float)
    mobile = np.array([FORMAL_CHARGES[MOBILE] * c.get(MOBILE, 0.0) for c in contents], dtype=float)
    if mobile.sum() > 0:
        mobile *= -fixed.sum() / mobile.sum()
    return fixed + mobile


def planes(contents: Sequence[Content], heights: FloatArray, charges: FloatArray, tolerance: float) -> list[Plane]:
    """Return the planes from below: atoms follow one another by less than ``tolerance`` (Angstrom) in a plane."""
    order = np.argsort(heights, kind="stable")
    breaks = np.flatnonzero(np.diff(heights[order]) > tolerance) + 1
    found = []
    for members in np.split(order, breaks):
        content: dict[str, float] = {}
        for k in members:
            for symbol, n in contents[k].items():
                content[symbol] = content.get(symbol, 0.0) + n
        found.append(
            Plane(
                round(float(heights[members].mean()), 8),
                tuple(sorted((symbol, round(n, 6)) for symbol, n in content.items())),
                round(float(charges[members].sum()), 8),
            )
        )
    return found


def tasker_type(stack: list[Plane], dipole_per_area: float) -> int:
    """Return 1, 2 or 3 of a repeat unit's planes and its dipole per area, e / Angstrom."""
    if abs(dipole_per_area) >= POLAR:
        return 3
    return 2 if any(abs(plane.charge) > 1e-6 for plane in stack) else 1
