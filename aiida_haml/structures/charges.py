"""Oxidation states: those assumed for an element, those that a host brings, and sums over cells.

A host may bring states of its own (from its file, or from the specification): they travel in ``info["charges"]`` of
its cells and come before the assumed ones.
"""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from ase import Atoms

from aiida_haml.arrays import FloatArray
from aiida_haml.structures.errors import StructureError

#: Atoms of each element on a site, which may be filled in part or by several.
Content = Mapping[str, float]

#: Formal charges, e: the oxidation states that the elements have in lithium electrolytes. Lithium counts as Li+; what
#: is neutral in the metal, and phosphides, are not counted by formal charge.
FORMAL_CHARGES = {
    "Li": 1, "P": 5, "S": -2, "O": -2, "Se": -2, "Te": -2, "F": -1, "Cl": -1, "Br": -1, "I": -1, "N": -3, "H": 1,
    "Na": 1, "K": 1, "Rb": 1, "Cs": 1, "Ag": 1, "Cu": 1, "Mg": 2, "Ca": 2, "Sr": 2, "Ba": 2, "Zn": 2, "Cd": 2,
    "B": 3, "C": 4, "Al": 3, "Ga": 3, "In": 3, "Sc": 3, "Y": 3, "La": 3, "Bi": 3, "Er": 3, "Yb": 3, "Gd": 3,
    "Si": 4, "Ge": 4, "Sn": 4, "Ti": 4, "Zr": 4, "Hf": 4, "As": 5, "Sb": 5, "V": 5, "Nb": 5, "Ta": 5,
    "Mo": 6, "W": 6,
}  # fmt: skip

#: The ion that moves: it is ordered last, and its charge makes the others' up where its sites are only partly filled.
MOBILE = "Li"


def charges_of(atoms: Atoms) -> dict[str, int]:
    """Return the oxidation states that hold in a cell, e."""
    return {**FORMAL_CHARGES, **atoms.info.get("charges", {})}


def require_charges(elements: Iterable[str], charges: Mapping[str, int]) -> None:
    """Refuse elements without an oxidation state.

    Raises
    ------
    StructureError
    """
    unknown = sorted(set(elements) - set(charges))
    if unknown:
        raise StructureError(
            "host.charges",
            ", ".join(unknown),
            f"ha{'s' if len(unknown) == 1 else 've'} no oxidation state here, and the file gives none",
            f"Give it in the specification, as host: {{charges: {{{unknown[0]}: N}}}} with its charge for N.",
        )


def formal_charges(atoms: Atoms) -> FloatArray:
    """Return the (N,) formal charges, e.

    Raises
    ------
    StructureError
        If an element has none here.
    """
    charges = charges_of(atoms)
    symbols = atoms.get_chemical_symbols()
    require_charges(symbols, charges)
    return np.array([charges[symbol] for symbol in symbols], dtype=float)


def formal_charge(atoms: Atoms) -> int:
    """Return the sum of the formal charges, e.

    Raises
    ------
    StructureError
        If an element has none here.
    """
    return round(float(formal_charges(atoms).sum()))


def mean_charges(contents: Sequence[Content], charges: Mapping[str, int]) -> FloatArray:
    """Return the (N,) mean charges of N sites, e, made neutral by the mobile ions.

    Parameters
    ----------
    contents : sequence of mapping
        Atoms of each element on each site: ``{"Li": 0.5}``.
    charges : mapping
        Oxidation states, e.

    Raises
    ------
    StructureError
        If an element has none.
    """
    require_charges({symbol for content in contents for symbol in content}, charges)
    fixed = np.array([sum(charges[s] * n for s, n in c.items() if s != MOBILE) for c in contents], dtype=float)
    mobile = np.array([charges[MOBILE] * c.get(MOBILE, 0.0) for c in contents], dtype=float)
    if mobile.sum() > 0:
        mobile *= -fixed.sum() / mobile.sum()
    return fixed + mobile


def in_words(charge: int) -> str:
    """Return an oxidation state as people write it: 5+, 2-."""
    return f"{abs(charge)}{'+' if charge > 0 else '-'}"
