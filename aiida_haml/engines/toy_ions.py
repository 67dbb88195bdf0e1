"""ToyIons: a cheap pair potential that stands in for ab initio where a protocol is rehearsed.

It is made to have the shape of the problem and nothing else: stiff P-S and P-O bonds, softer bonds of lithium
to anions at the neighbour distances of the binary compounds, a weak metal, anions that keep apart. It is
smooth, bounded from below and deterministic. **It decides nothing about chemistry**; what is taught by it is
marked as a teacher's.
"""

from typing import Any

import numpy as np
from ase import Atoms

from aiida_haml.arrays import FloatArray, IntArray
from aiida_haml.engines.toy_potential import ToyPotential

ELEMENTS = ("Li", "P", "S", "Cl", "O", "F", "Se")

#: Energies of the free atoms, eV: round numbers without meaning, not zero, so that whoever learns has to
#: handle them.
ATOM_ENERGIES = {"Li": -2.0, "P": -5.0, "S": -4.0, "Cl": -3.0, "O": -4.5, "F": -3.5, "Se": -3.8}

#: Bonds: depth of the well after the shift at the cutoff (eV), distance (Angstrom) and exponent (1/Angstrom)
#: of a Morse potential. Steep for P, so that a fifth anion finds no place; soft and shallow for Li, so that
#: an open framework keeps its shape for a while.
BONDS: dict[tuple[str, str], tuple[float, float, float]] = {
    ("P", "S"): (2.5, 2.02, 2.4),
    ("P", "O"): (3.0, 1.54, 2.6),
    ("P", "Se"): (2.2, 2.20, 2.3),
    ("Li", "S"): (0.20, 2.477, 1.0),
    ("Li", "O"): (0.35, 2.001, 1.2),
    ("Li", "Se"): (0.18, 2.598, 1.0),
    ("Li", "Cl"): (0.18, 2.570, 1.0),
    ("Li", "F"): (0.30, 2.015, 1.2),
    ("Li", "P"): (0.10, 2.462, 1.2),
    ("Li", "Li"): (0.06, 3.040, 1.0),
}

#: Radii (Angstrom) whose sum is the distance at which two anions, or P with P or a halogen, repel with
#: ``WALL`` eV.
RADII = {"P": 1.50, "S": 1.65, "Cl": 1.67, "O": 1.26, "F": 1.19, "Se": 1.78}
WALL = 0.25
WALL_LENGTH = 0.35


def _tables() -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """Return A, a, B, b (7, 7) of V(r) = A exp(-a r) - B exp(-b r), eV and 1/Angstrom."""
    n = len(ELEMENTS)
    wall, steep, well, soft = (np.zeros((n, n)) for _ in range(4))
    for p, first in enumerate(ELEMENTS):
        for q, second in enumerate(ELEMENTS):
            bond = BONDS.get((first, second)) or BONDS.get((second, first))
            if bond is not None:
                depth, distance, exponent = bond
                wall[p, q] = depth * np.exp(2 * exponent * distance)
                well[p, q] = 2 * depth * np.exp(exponent * distance)
                steep[p, q], soft[p, q] = 2 * exponent, exponent
            else:
                wall[p, q] = WALL * np.exp((RADII[first] + RADII[second]) / WALL_LENGTH)
                steep[p, q] = 1 / WALL_LENGTH
    return wall, steep, well, soft


class ToyIons(ToyPotential):
    """Pair potential for Li, P, S, Cl, O, F and Se with energy, forces and stress in ASE's units.

    Parameters
    ----------
    cutoff : float
        Angstrom. Each pair potential is shifted in energy and force, so that both end at zero there.

    Raises
    ------
    ValueError
        On calculation, if the atoms hold another element.
    """

    def __init__(self, cutoff: float = 5.0, **kwargs: Any) -> None:
        super().__init__(cutoff, **kwargs)
        self._wall, self._steep, self._well, self._soft = _tables()
        self._set_ends()
        self._scale_wells()

    def _set_ends(self) -> None:
        """Note the bare energies and slopes at the cutoff, which the shift takes away."""
        ends = np.full_like(self._wall, self.cutoff)
        bare = self._bare(ends, self._wall, self._steep, self._well, self._soft)
        self._at_cutoff, self._slope_at_cutoff = bare

    def _scale_wells(self) -> None:
        """Give each bond the depth of the table: the shift alone would halve the soft ones."""
        r = np.linspace(1.0, self.cutoff, 4001)
        for (first, second), (depth, _, _) in BONDS.items():
            p, q = ELEMENTS.index(first), ELEMENTS.index(second)
            energy, _ = self.pair(np.full(len(r), len(ELEMENTS) * p + q), r)
            for pair in {(p, q), (q, p)}:
                self._wall[pair] *= depth / -energy.min()
                self._well[pair] *= depth / -energy.min()
        self._set_ends()

    @staticmethod
    def _bare(
        r: FloatArray, wall: FloatArray, steep: FloatArray, well: FloatArray, soft: FloatArray
    ) -> tuple[FloatArray, FloatArray]:
        """Return V(r) and dV/dr before the shift, eV and eV/Angstrom."""
        repulsion, attraction = wall * np.exp(-steep * r), well * np.exp(-soft * r)
        return repulsion - attraction, soft * attraction - steep * repulsion

    def pair(self, kind: IntArray, r: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return energies (eV) and their derivatives (eV/Angstrom) of pairs.

        Parameters
        ----------
        kind : (M,) int array
            ``7 p + q`` for the elements p and q of ``ELEMENTS``.
        r : (M,) array
            Distances below the cutoff, Angstrom.
        """
        tables = (t.ravel()[kind] for t in (self._wall, self._steep, self._well, self._soft))
        energy, slope = self._bare(r, *tables)
        end, end_slope = self._at_cutoff.ravel()[kind], self._slope_at_cutoff.ravel()[kind]
        return energy - end - (r - self.cutoff) * end_slope, slope - end_slope

    def evaluate(self, numbers: IntArray, i: IntArray, j: IntArray, r: FloatArray) -> tuple[FloatArray, FloatArray]:
        species = _species(numbers)
        energy, slope = self.pair(len(ELEMENTS) * species[i] + species[j], r)
        return _FREE_ATOMS[species] + 0.5 * np.bincount(i, weights=energy, minlength=len(species)), slope


_FREE_ATOMS = np.array([ATOM_ENERGIES[symbol] for symbol in ELEMENTS])
_NUMBERS = Atoms(ELEMENTS).numbers


def _species(numbers: IntArray) -> IntArray:
    """Return the place of each atom's element in ``ELEMENTS``."""
    matches = numbers[:, None] == _NUMBERS[None, :]
    if not matches.any(axis=1).all():
        unknown = sorted(set(Atoms(numbers[~matches.any(axis=1)]).get_chemical_symbols()))
        raise ValueError(f"elements: {unknown} have no parameters in ToyIons. Use {', '.join(ELEMENTS)} only.")
    return np.asarray(matches.argmax(axis=1))
