"""The state of every atom: metal or ion, electrolyte or one of the rungs that lead down from it.

The ladder is declared, and rests on bonds:

host
    in a unit (PS4, a molecule) whose bonds are those of the cell as built, in surroundings that are not those of
    another thiophosphate; or, for an atom without covalent bonds as built (S2-, Cl-), next to units of which most are
    host.
thiophosphate
    reacted, and bound to another element: PS3, P2S6, PS4 of Li3PS4, the pieces of a molecule.
intermediate
    reacted, and bound to its own element alone: the chains and cages of LiP and Li3P7.
product
    reacted, and bound to no atom but lithium: P of Li3P, S of Li2S, Cl of LiCl, in whatever phase they lie.

Every atom that is not lithium is on one rung in every frame, so that sums over the ladder do not change.
"""

import numpy as np
from ase.data import atomic_numbers
from numpy.typing import NDArray

from aiida_haml.analysis.balance.cell import metallic
from aiida_haml.analysis.chemistry.bonds import ANIONS, LITHIUM, BondBlock, BondTracker
from aiida_haml.analysis.chemistry.units import Units
from aiida_haml.arrays import BoolArray, IntArray
from aiida_haml.frames import Frames

STATES = ("metal", "ion", "host", "thiophosphate", "intermediate", "product")
METAL, ION, HOST, THIOPHOSPHATE, INTERMEDIATE, PRODUCT = range(6)
#: States of atoms that are not lithium, from the electrolyte down.
LADDER = (HOST, THIOPHOSPHATE, INTERMEDIATE, PRODUCT)
OXYGEN = 8
#: Probability from which intact units count as another thiophosphate's.
SURE = 0.9

StateArray = NDArray[np.int8]


class BondStates:
    """Says in which state each atom's bonds are, whatever its unit: what the blocks of a `BondTracker` tell.

    Parameters
    ----------
    numbers : (N,) int array
    """

    def __init__(self, numbers: IntArray) -> None:
        self._numbers = numbers
        self._is_anion = np.isin(numbers, [atomic_numbers[s] for s in ANIONS])
        self._rows: list[StateArray] = []

    def add(self, block: BondBlock, frames: Frames) -> None:
        """Take in the next block of the frames that the tracker follows."""
        first, second = block.pairs.first, block.pairs.second
        lithium = (self._numbers[first] == LITHIUM) | (self._numbers[second] == LITHIUM)
        same = self._numbers[first] == self._numbers[second]
        to_others = _degrees(block, ~lithium & ~same, len(self._numbers))
        to_own = _degrees(block, ~lithium & same, len(self._numbers))
        states = np.full(to_others.shape, PRODUCT, dtype=np.int8)
        states[to_own > 0] = INTERMEDIATE
        states[to_others > 0] = THIOPHOSPHATE
        chosen = lithium & (self._is_anion[first] | self._is_anion[second])
        anions = _degrees(block, chosen, len(self._numbers))
        states[:, self._numbers == LITHIUM] = ION
        states[metallic(frames[block.start : block.start + len(block)], anions)] = METAL
        self._rows.append(states)

    def states(self) -> StateArray:
        """Return the (F, N) states of all blocks taken in."""
        return np.concatenate(self._rows)


def _degrees(block: BondBlock, chosen: BoolArray, n_atoms: int) -> IntArray:
    """Return (B, N) how many of the chosen pairs each atom is bonded in."""
    frame, pair = np.nonzero(block.bonded[:, chosen])
    count = np.zeros(len(block) * n_atoms, dtype=np.int64)
    for ends in (block.pairs.first[chosen], block.pairs.second[chosen]):
        count += np.bincount(frame * n_atoms + ends[pair], minlength=len(count))
    return count.reshape(len(block), n_atoms)


def anion_bonds(frame: Frames, hysteresis: float) -> IntArray:
    """Return (N,) to how many anions each lithium atom of the first frame is bonded."""
    block = next(BondTracker(frame.numbers, hysteresis).follow(frame[0]))
    is_anion = np.isin(frame.numbers, [atomic_numbers[s] for s in ANIONS])
    first, second = block.pairs.first, block.pairs.second
    lithium = (frame.numbers[first] == LITHIUM) | (frame.numbers[second] == LITHIUM)
    return _degrees(block, lithium & (is_anion[first] | is_anion[second]), frame.n_atoms)[0]


class Ladder:
    """Puts atoms on the ladder by what their bonds say and by what has become of their units.

    Parameters
    ----------
    built : Frames
        Its first frame is the cell as built.
    units : Units
        Of that cell.

    Attributes
    ----------
    counted : (N,) bool array
        The atoms by which the electrolyte is counted: those of units, or all but lithium if there is no unit. What an
        atom without bonds belongs to is a matter of convention, which no amount should hang on.
    reducible : (N,) bool array
        Those of them whose units lithium takes apart: a unit of oxygen alone, as PO4, lasts, and is no electrolyte
        where all others are gone. All, in an electrolyte that has nothing but such units, and in a liquid, whose
        nitrate and carbonates do not last.
    centre : (N,) int array
        The central atom of each atom's unit; itself, if it is of none.
    """

    def __init__(self, built: Frames, units: Units) -> None:
        self._units = units
        self._framework = built.numbers != LITHIUM
        self.centre = units.centre[units.unit]
        self.counted = self._framework & (units.several[units.unit] if units.has_units else True)
        heart = np.arange(len(built.numbers)) == self.centre
        lasting = ~units.has_other(heart | (built.numbers == OXYGEN))[units.unit] & units.several[units.unit]
        apart = self.counted & ~lasting
        self.reducible = self.counted if units.has_molecules or not apart.any() else apart

    def states(self, bonds: StateArray, broken: BoolArray, thiophosphate: NDArray[np.floating]) -> StateArray:
        """Return the (F, N) states.

        Parameters
        ----------
        bonds : (F, N) array
            Of `BondStates`.
        broken : (F, U) bool array
            Of `Units.broken`.
        thiophosphate : (F, N) array
            Probability that an atom's surroundings are a thiophosphate's that is not the electrolyte; P counts.
        """
        reacted = broken | (thiophosphate[:, self._units.centre] > SURE) & self._units.several
        states = bonds.copy()
        states[self._framework & ~self._units.fate(reacted)] = HOST
        return states
