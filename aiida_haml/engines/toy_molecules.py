"""ToyMolecules: a cheap potential for liquids and lithium that stands in for ab initio where a protocol is rehearsed.

It knows no topology: what is near is bonded, as in a reactive simulation. Each bonding pair of elements has a Morse
well that is cut off smoothly between the bond and the next shell, where a soft wall takes over; smooth coordination
numbers beyond an atom's valence cost energy, so that molecules stay as they are; lithium has the shallow wells of
`aiida_haml.engines.toy_ions`. It is smooth, bounded from below and deterministic. **It decides nothing about
chemistry**; what is taught by it is marked as a teacher's.
"""

from typing import Any

import numpy as np
from ase import Atoms

from aiida_haml.arrays import FloatArray, IntArray
from aiida_haml.engines.toy_ions import ATOM_ENERGIES as ION_ENERGIES
from aiida_haml.engines.toy_ions import BONDS as ION_BONDS
from aiida_haml.engines.toy_ions import WALL, WALL_LENGTH
from aiida_haml.engines.toy_potential import ToyPotential

ELEMENTS = ("H", "Li", "C", "N", "O", "F", "P", "S", "Cl", "Se")

#: Energies of the free atoms, eV; see `toy_ions`.
ATOM_ENERGIES = {"H": -1.0, "C": -5.5, "N": -4.8} | ION_ENERGIES

#: Bonds within molecules: depth (eV), distance (Angstrom), exponent (1/Angstrom) of a Morse potential. Distances are
#: those of the molecules of `aiida_haml.structures.liquid`; depths and exponents are round.
COVALENT: dict[tuple[str, str], tuple[float, float, float]] = {
    ("C", "H"): (4.0, 1.09, 1.9),
    ("O", "H"): (4.5, 0.97, 2.2),
    ("N", "H"): (4.0, 1.02, 2.1),
    ("C", "C"): (4.0, 1.51, 1.9),
    ("C", "O"): (4.5, 1.31, 1.6),  # between ether (1.42) and carbonyl (1.22)
    ("C", "N"): (4.0, 1.45, 2.0),
    ("C", "F"): (5.0, 1.36, 2.0),
    ("C", "S"): (3.5, 1.83, 1.9),
    ("N", "O"): (4.5, 1.24, 2.2),
    ("N", "S"): (4.5, 1.58, 2.0),
    ("S", "O"): (5.0, 1.46, 2.0),
    ("S", "F"): (4.5, 1.59, 2.0),
    ("P", "F"): (5.0, 1.60, 2.0),
    ("P", "O"): (4.5, 1.54, 2.0),
    ("P", "S"): (3.5, 2.02, 1.9),
}

#: Where a covalent pair stops being one, in multiples of the bond's distance: whole up to the first, gone at the
#: second. Neighbours of a common atom lie beyond: C-C in five-membered rings at 1.48, others at 1.6 and more.
SWITCH = (1.22, 1.45)

#: Neighbours that an atom may have before more cost energy. FSI's nitrogen has two and nitrate's three.
VALENCES = {"H": 1.0, "C": 4.0, "N": 3.0, "O": 2.0, "F": 1.0, "P": 6.0, "S": 4.0}

#: Energy of a whole neighbour too many, eV.
OVERCOORDINATION = 6.0

#: Radii (Angstrom) whose sum is the distance at which atoms that are not bonded repel with ``WALL`` eV. Small enough
#: that neighbours of a common atom (H-H in CH2 at 1.78, O-O in SO2 at 2.45) are strained little.
RADII = {"H": 0.85, "C": 1.15, "N": 1.10, "O": 1.10, "F": 1.05, "P": 1.35, "S": 1.35, "Cl": 1.45, "Se": 1.50}

#: The same for lithium beside what it has no well with.
LITHIUM_RADIUS = 1.25


class ToyMolecules(ToyPotential):
    """Reactive potential for H, Li, C, N, O, F, P, S, Cl and Se with energy, forces and stress in ASE's units.

    Parameters
    ----------
    cutoff : float
        Angstrom. What reaches as far is shifted in energy and force, so that both end at zero there.

    Raises
    ------
    ValueError
        If the cutoff cuts through bonds; on calculation, if the atoms hold another element.
    """

    def __init__(self, cutoff: float = 5.0, **kwargs: Any) -> None:
        if not cutoff >= 4.0:
            raise ValueError(f"cutoff: {cutoff} cuts through what holds the molecules apart. Give 4 Angstrom or more.")
        super().__init__(cutoff, **kwargs)
        self._soft = _soft_tables(self.cutoff)
        self._covalent = _covalent_tables()

    def pair(self, kind: IntArray, r: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return energies (eV) and their derivatives (eV/Angstrom) of pairs, without what coordination adds.

        Parameters
        ----------
        kind : (M,) int array
            ``10 p + q`` for the elements p and q of ``ELEMENTS``.
        r : (M,) array
            Distances below the cutoff, Angstrom.
        """
        energy, slope = self._long(kind, r)
        near = np.flatnonzero(r < self._covalent["end"][kind])
        if len(near):
            chosen, x = kind[near], r[near]
            weight, change = self.bonding(chosen, x)
            morse, force = _morse(x, *(self._covalent[name][chosen] for name in ("depth", "distance", "exponent")))
            wall, rise = energy[near], slope[near]
            energy[near] = weight * morse + (1 - weight) * wall
            slope[near] = weight * force + (1 - weight) * rise + change * (morse - wall)
        return energy, slope

    def _long(self, kind: IntArray, r: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return energy and slope of walls and lithium's wells: two exponentials, shifted to end at the cutoff."""
        wall, steep, well, soft, end, end_slope = (table[kind] for table in self._soft)
        energy, slope = _exponentials(r, wall, steep, well, soft)
        return energy - end - (r - self.cutoff) * end_slope, slope - end_slope

    def bonding(self, kind: IntArray, r: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return how much of a bond pairs have, 1 to 0, and the derivative (1/Angstrom).

        A quintic step, so that forces have no kinks: 1 - x^3 (10 - 15 x + 6 x^2).
        """
        start, end = self._covalent["start"][kind], self._covalent["end"][kind]
        width = np.where(end > start, end - start, 1.0)
        x = np.clip((r - start) / width, 0.0, 1.0)
        bonded = end > 0
        value = np.where(bonded, 1 - x**3 * (10 - 15 * x + 6 * x**2), 0.0)
        return value, np.where(bonded, -30 * x**2 * (1 - x) ** 2 / width, 0.0)

    def evaluate(self, numbers: IntArray, i: IntArray, j: IntArray, r: FloatArray) -> tuple[FloatArray, FloatArray]:
        species = _species(numbers)
        n, kind = len(species), len(ELEMENTS) * species[i] + species[j]
        energy, slope = self.pair(kind, r)
        weight, change = self.bonding(kind, r)
        excess, price = _overcoordination(np.bincount(i, weights=weight, minlength=n) - _VALENCES[species])
        energies = _FREE_ATOMS[species] + 0.5 * np.bincount(i, weights=energy, minlength=n) + excess
        # Each pair stands twice in the list, once in the coordination of each of its atoms.
        return energies, slope + change * (price[i] + price[j])


def _overcoordination(excess: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return energy (eV) and derivative by the number of neighbours beyond the valence; cubic from zero."""
    beyond = np.clip(excess, 0.0, None)
    # A cube below one neighbour too many, its tangent above: a crowd costs much, not everything.
    above = np.clip(beyond - 1.0, 0.0, None)
    low = np.minimum(beyond, 1.0)
    return OVERCOORDINATION * (low**3 + 3 * above), OVERCOORDINATION * np.where(above > 0, 3.0, 3 * low**2)


def _morse(
    r: FloatArray, depth: FloatArray, distance: FloatArray, exponent: FloatArray
) -> tuple[FloatArray, FloatArray]:
    fall = np.exp(-exponent * (r - distance))
    return depth * (fall**2 - 2 * fall), 2 * depth * exponent * (fall - fall**2)


def _exponentials(
    r: FloatArray, wall: FloatArray, steep: FloatArray, well: FloatArray, soft: FloatArray
) -> tuple[FloatArray, FloatArray]:
    repulsion, attraction = wall * np.exp(-steep * r), well * np.exp(-soft * r)
    return repulsion - attraction, soft * attraction - steep * repulsion


def _covalent_tables() -> dict[str, FloatArray]:
    """Return depth, distance, exponent, start and end of the switch of each kind of pair, (100,) each."""
    n = len(ELEMENTS)
    tables = {name: np.zeros((n, n)) for name in ("depth", "distance", "exponent", "start", "end")}
    for (first, second), (depth, distance, exponent) in COVALENT.items():
        p, q = ELEMENTS.index(first), ELEMENTS.index(second)
        values = (depth, distance, exponent, SWITCH[0] * distance, SWITCH[1] * distance)
        for name, value in zip(tables, values, strict=True):
            tables[name][p, q] = tables[name][q, p] = value
    return {name: table.ravel() for name, table in tables.items()}


def _soft_tables(cutoff: float) -> list[FloatArray]:
    """Return A, a, B, b of A exp(-a r) - B exp(-b r), and its value and slope at the cutoff, (100,) each."""
    n = len(ELEMENTS)
    wall, steep, well, soft = (np.zeros((n, n)) for _ in range(4))
    wells = {pair: bond for pair, bond in ION_BONDS.items() if "Li" in pair}
    for p, first in enumerate(ELEMENTS):
        for q, second in enumerate(ELEMENTS):
            bond = wells.get((first, second)) or wells.get((second, first))
            if bond is not None:
                depth, distance, exponent = bond
                depth /= _shifted_depth(distance, exponent, cutoff)
                wall[p, q], steep[p, q] = depth * np.exp(2 * exponent * distance), 2 * exponent
                well[p, q], soft[p, q] = 2 * depth * np.exp(exponent * distance), exponent
            else:
                reach = RADII.get(first, LITHIUM_RADIUS) + RADII.get(second, LITHIUM_RADIUS)
                wall[p, q], steep[p, q] = WALL * np.exp(reach / WALL_LENGTH), 1 / WALL_LENGTH
    end, slope = _exponentials(np.full_like(wall, cutoff), wall, steep, well, soft)
    return [table.ravel() for table in (wall, steep, well, soft, end, slope)]


def _shifted_depth(distance: float, exponent: float, cutoff: float) -> float:
    """Return what the shift at the cutoff leaves of a Morse well of depth 1."""
    one = np.array(1.0), np.array(distance), np.array(exponent)
    end, slope = _morse(np.array(cutoff), *one)
    r = np.linspace(1.0, cutoff, 4001)
    return -float((_morse(r, *one)[0] - end - (r - cutoff) * slope).min())


_FREE_ATOMS = np.array([ATOM_ENERGIES[symbol] for symbol in ELEMENTS])
_VALENCES = np.array([VALENCES.get(symbol, 0.0) for symbol in ELEMENTS])
_NUMBERS = Atoms(ELEMENTS).numbers


def _species(numbers: IntArray) -> IntArray:
    """Return the place of each atom's element in ``ELEMENTS``."""
    matches = numbers[:, None] == _NUMBERS[None, :]
    if not matches.any(axis=1).all():
        unknown = sorted(set(Atoms(numbers[~matches.any(axis=1)]).get_chemical_symbols()))
        raise ValueError(f"elements: {unknown} have no parameters in ToyMolecules. Use {', '.join(ELEMENTS)} only.")
    return np.asarray(matches.argmax(axis=1))
