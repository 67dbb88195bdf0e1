"""Lengths of bonds that a doping changes: corners of tetrahedra, and their centres."""

from collections.abc import Mapping

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from aiida_haml.structures.geometry import PHOSPHORUS_BOND, pairs_within

#: P-X bond of a substituted tetrahedron corner, Angstrom. O, S and Se: PO4(3-), PS4(3-) and PSe4(3-) as crystals have
#: them. F: the mean of 88 PO3F(2-) in crystals, 1.578(20), M. Weil, Chemistry 3, 45 (2021). The corner is moved along
#: its bond, since O at the length of a P-S bond would start 2 eV up the wall.
CORNER_BONDS = {"O": 1.54, "S": 2.02, "Se": 2.20, "F": 1.58}

#: M-S bond of the centres that take the place of P, Angstrom: what MS4 units have in thiosilicates, -germanates,
#: -stannates, -arsenates and -antimonates, rounded. With another corner the difference to P-S is added to P-X.
CENTRE_BONDS = {"P": 2.02, "Si": 2.13, "Ge": 2.21, "Sn": 2.39, "As": 2.17, "Sb": 2.33}


def bond_length(centre: str, corner: str) -> float:
    """Return the bond from the centre of a tetrahedron to its corner, Angstrom."""
    return CORNER_BONDS[corner] + CENTRE_BONDS[centre] - CENTRE_BONDS["P"]


def tetrahedron_bonds(atoms: Atoms) -> NDArray[np.int64]:
    """Return the (B, 2) bonds from a centre to its corners, by the lengths of the bonds of a sulfide."""
    symbols = np.array(atoms.get_chemical_symbols())
    pairs = pairs_within(atoms, PHOSPHORUS_BOND)
    bonded = np.isin(symbols[pairs.i], list(CENTRE_BONDS)) & np.isin(symbols[pairs.j], list(CORNER_BONDS))
    return np.stack([pairs.i[bonded], pairs.j[bonded]], axis=1)


def set_bond_lengths(atoms: Atoms, dopants: Mapping[int, str], bonds: NDArray[np.int64]) -> None:
    """Move each corner whose bond a doping has changed along that bond, to its new length.

    Parameters
    ----------
    atoms : Atoms
        Doped; changed in place.
    dopants : mapping
        Which atoms are dopants.
    bonds : (B, 2) array
        Centre and corner of each bond of the host.
    """
    for centre, corner in bonds.tolist():
        if centre in dopants or corner in dopants:
            bond = atoms.get_distance(centre, corner, mic=True, vector=True)
            length = bond_length(atoms.symbols[centre], atoms.symbols[corner])
            atoms.positions[corner] += bond * (length / np.linalg.norm(bond) - 1)
