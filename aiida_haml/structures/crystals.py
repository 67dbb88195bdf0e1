"""Crystals: the argyrodite host, lithium metal, and products of their reaction.

Lattice constants are experimental, near room temperature; each :class:`Phase` names its source. Interfaces at
a DFT level of theory want that level's own constant: every builder takes ``a``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from ase import Atoms
from ase.spacegroup import crystal

from aiida_haml.structures.errors import StructureError

#: Numbers of the space groups with hexagonal axes.
HEXAGONAL_AXES = range(143, 195)

Triple = tuple[float, float, float]


@dataclass(frozen=True)
class Phase:
    """A crystal by its space group, its occupied positions and its lattice constants.

    Parameters
    ----------
    name : str
    spacegroup : int
        Number in the International Tables.
    sites : tuple of (symbol, Wyckoff label, fractional coordinates)
        Where two orbits have the same Wyckoff label, they are told apart as 2a_a, 2a_b.
    a : float
        Angstrom.
    source : str
        Where the constants come from.
    b, c : float, optional
        Angstrom; as long as a where left out.
    beta : float
        Degrees; 90 but for monoclinic phases.
    """

    name: str
    spacegroup: int
    sites: tuple[tuple[str, str, Triple], ...]
    a: float
    source: str
    b: float | None = None
    c: float | None = None
    beta: float = 90.0

    def build(self, a: float | None = None) -> Atoms:
        """Return the conventional cell with the Wyckoff label of each atom in ``arrays['sites']``.

        Parameters
        ----------
        a : float, optional
            Lattice constant in Angstrom instead of the phase's own; b and c follow in proportion.

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
        b, c = (length * (other or self.a) / self.a for other in (self.b, self.c))
        gamma = 120 if self.spacegroup in HEXAGONAL_AXES else 90
        built = crystal(
            [symbol for symbol, _, _ in self.sites],
            [xyz for _, _, xyz in self.sites],
            spacegroup=self.spacegroup,
            cellpar=[length, b, c, 90, self.beta, gamma],
        )
        labels = np.array([label for _, label, _ in self.sites])[built.arrays["spacegroup_kinds"]]
        atoms = Atoms(built.numbers, scaled_positions=_tidy(built.get_scaled_positions()), cell=built.cell, pbc=True)
        atoms.set_array("sites", labels, dtype=labels.dtype)
        return atoms


def _tidy(scaled: np.ndarray) -> np.ndarray:
    """Wrap into [0, 1) without the last digits' noise, on which sorting and hashes would hang."""
    rounded = np.round(scaled, 10) % 1.0
    return np.where(np.isclose(rounded, 1.0, atol=1e-9, rtol=0), 0.0, rounded)


_WYCKOFF = "R. W. G. Wyckoff, Crystal Structures, vol. 1, 2nd ed., Interscience, New York (1963)"


def _antifluorite(anion: str, a: float) -> Phase:
    sites = ((anion, "4a", (0.0, 0.0, 0.0)), ("Li", "8c", (0.25, 0.25, 0.25)))
    return Phase(f"Li2{anion}", 225, sites, a, _WYCKOFF)


def _rocksalt(anion: str, a: float) -> Phase:
    sites = (("Li", "4a", (0.0, 0.0, 0.0)), (anion, "4b", (0.5, 0.5, 0.5)))
    return Phase(f"Li{anion}", 225, sites, a, _WYCKOFF)


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

LITHIUM_PHOSPHIDE = Phase(
    "Li3P",
    194,
    (
        ("P", "2c", (1 / 3, 2 / 3, 0.25)),
        ("Li", "2b", (0.0, 0.0, 0.25)),
        ("Li", "4f", (1 / 3, 2 / 3, 0.583)),
    ),
    4.264,
    "G. Brauer and E. Zintl, Z. Phys. Chem. B 37, 323 (1937)",
    c=7.579,
)

#: The low-temperature form. Its tetrahedra share corners alone.
LITHIUM_PHOSPHATE = Phase(
    "Li3PO4",
    31,
    (
        ("Li", "4b_a", (0.248, 0.328, 0.986)),
        ("Li", "2a_a", (0.0, 0.157, 0.489)),
        ("P", "2a_b", (0.0, 0.824, 0.0)),
        ("O", "4b_b", (0.208, 0.686, 0.896)),
        ("O", "2a_c", (0.0, 0.105, 0.900)),
        ("O", "2a_d", (0.0, 0.816, 0.317)),
    ),
    6.1150,
    "C. Keffer et al., Inorg. Chem. 6, 119 (1967): beta-Li3PO4",
    b=5.2394,
    c=4.8554,
)

#: What comes before Li3P on the way from P to Li. Its P form helices along b; no published coordinates are used but
#: those of the isotypic LiAs, of which P was moved by 0.1 Angstrom so that P-P is the single bond of 2.22 Angstrom
#: that polyphosphides have, while Li keeps its six P at 2.58-2.75 Angstrom.
LITHIUM_MONOPHOSPHIDE = Phase(
    "LiP",
    14,
    (
        ("P", "4e_a", (0.312, 0.903, 0.290)),
        ("P", "4e_b", (0.302, 0.170, 0.113)),
        ("Li", "4e_c", (0.234, 0.402, 0.336)),
        ("Li", "4e_d", (0.227, 0.672, 0.028)),
    ),
    5.582,
    "cell: W. Hoenle et al., Z. Kristallogr. 162, 104 (1983); LiAs type: D. T. Cromer, Acta Cryst. 12, 36 (1959)",
    b=4.940,
    c=10.255,
    beta=118.15,
)

#: Hosts that can be doped and put against a metal, by name.
HOSTS = {ARGYRODITE.name: ARGYRODITE}

#: Crystals whose bonds and layers interfaces are built with, by name; the library that environments are compared with
#: is `aiida_haml.analysis.references.phases`.
REFERENCE_PHASES = {
    phase.name: phase
    for phase in (
        _antifluorite("S", 5.708),
        LITHIUM_PHOSPHIDE,
        _rocksalt("Cl", 5.12954),
        _antifluorite("O", 4.619),
        _rocksalt("F", 4.0173),
        _antifluorite("Se", 6.005),
        LITHIUM,
        ARGYRODITE,
        LITHIUM_PHOSPHATE,
        LITHIUM_MONOPHOSPHIDE,
    )
}


def argyrodite(a: float = ARGYRODITE.a) -> Atoms:
    """Return the cubic Li6PS5Cl cell, Li24P4S20Cl4, labels in ``arrays['sites']``; ``a`` in Angstrom."""
    return ARGYRODITE.build(a)


def lithium(a: float = LITHIUM.a) -> Atoms:
    """Return the cubic cell of bcc lithium, two atoms; ``a`` in Angstrom."""
    return LITHIUM.build(a)
