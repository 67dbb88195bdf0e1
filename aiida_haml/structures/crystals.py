"""Cubic crystals that cells are built from: the argyrodite host and lithium metal.

Lattice constants are experimental, near room temperature; each :class:`Phase` names its source. Interfaces at
a DFT level of theory want that level's own constant: every builder takes ``a``.
"""

from dataclasses import dataclass

import numpy as np
from ase import Atoms
from ase.spacegroup import crystal

from aiida_haml.structures.errors import StructureError

Triple = tuple[float, float, float]


@dataclass(frozen=True)
class Phase:
    """A cubic crystal by its space group, its occupied positions and its lattice constant.

    Parameters
    ----------
    name : str
    spacegroup : int
        Number in the International Tables.
    sites : tuple of (symbol, Wyckoff label, fractional coordinates)
    a : float
        Angstrom.
    source : str
        Where the constant comes from.
    """

    name: str
    spacegroup: int
    sites: tuple[tuple[str, str, Triple], ...]
    a: float
    source: str

    def build(self, a: float | None = None) -> Atoms:
        """Return the conventional cell with the Wyckoff label of each atom in ``arrays['sites']``.

        Parameters
        ----------
        a : float, optional
            Lattice constant in Angstrom instead of the phase's own.

        Raises
        ------
        StructureError
            If ``a`` is not a positive number.
        """
        length = self.a if a is None else a
        if not np.isfinite(length) or length <= 0:
            raise StructureError(
                "a", a, "is not a lattice constant", "Give a positive length in Angstrom, or leave it out."
            )
        built = crystal(
            [symbol for symbol, _, _ in self.sites],
            [xyz for _, _, xyz in self.sites],
            spacegroup=self.spacegroup,
            cellpar=[length, length, length, 90, 90, 90],
        )
        labels = np.array([label for _, label, _ in self.sites])[built.arrays["spacegroup_kinds"]]
        atoms = Atoms(built.numbers, scaled_positions=_tidy(built.get_scaled_positions()), cell=built.cell, pbc=True)
        atoms.set_array("sites", labels, dtype=labels.dtype)
        return atoms


def _tidy(scaled: np.ndarray) -> np.ndarray:
    """Wrap into [0, 1) without the last digits' noise, on which sorting and hashes would hang."""
    rounded = np.round(scaled, 10) % 1.0
    return np.where(np.isclose(rounded, 1.0, atol=1e-9, rtol=0), 0.0, rounded)


#: Li6PS5Cl with Li on 24g, which makes the cell whole without partial occupancies: Li24P4S20Cl4. P on 4b, Cl
#: on 4a, free S on 4d, sulfur of PS4 on 16e. The free coordinate of 16e gives the P-S bond of 2.02 Angstrom
#: that refinements of the argyrodites find; that of 24g lies where its Li sees three S in a plane at
#: 2.27-2.29 Angstrom.
ARGYRODITE = Phase(
    "Li6PS5Cl",
    216,
    (
        ("Li", "24g", (0.9817, 0.25, 0.25)),
        ("P", "4b", (0.5, 0.5, 0.5)),
        ("S", "16e", (0.3817, 0.3817, 0.3817)),
        ("S", "4d", (0.75, 0.75, 0.75)),
        ("Cl", "4a", (0.0, 0.0, 0.0)),
    ),
    9.859,
    "M. A. Kraft et al., J. Am. Chem. Soc. 139, 10909 (2017), to three decimals; ordered, Li on 24g alone",
)

LITHIUM = Phase(
    "Li",
    229,
    (("Li", "2a", (0.0, 0.0, 0.0)),),
    3.510,
    "M. R. Nadler and C. P. Kempter, Anal. Chem. 31, 2109 (1959): 3.5100 Angstrom at 25 C",
)

#: Hosts that can be doped and put against a metal, by name.
HOSTS = {ARGYRODITE.name: ARGYRODITE}


def argyrodite(a: float = ARGYRODITE.a) -> Atoms:
    """Return the cubic Li6PS5Cl cell, Li24P4S20Cl4, labels in ``arrays['sites']``; ``a`` in Angstrom."""
    return ARGYRODITE.build(a)


def lithium(a: float = LITHIUM.a) -> Atoms:
    """Return the cubic cell of bcc lithium, two atoms; ``a`` in Angstrom."""
    return LITHIUM.build(a)
