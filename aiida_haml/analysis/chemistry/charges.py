"""Formal charges of atoms, counted from their bonds.

Of a bond between two elements the more electronegative atom takes both electrons (L. Pauling, The Nature of the
Chemical Bond (1960)), of one within an element each takes one, and each atom completes its octet: P is +5 in PS4, +4 in
P2S6, -1 in the chains of LiP and -3 in Li3P, S is -2 but in S-S. Nothing of it is computed from electrons.
"""

import numpy as np
from ase.data import atomic_numbers

from aiida_haml.analysis.chemistry.bonds import LITHIUM, BondBlock
from aiida_haml.arrays import FloatArray, IntArray

#: Electrons that an atom lacks of its octet; elements from the most to the least electronegative.
LACKING = {"F": 1, "O": 2, "Cl": 1, "Br": 1, "I": 1, "S": 2, "Se": 2, "P": 3}
#: Electrons of an octet: more than its own an atom cannot give.
OCTET = 8


class FormalCharges:
    """Counts the charges of one system's atoms along the blocks of a `BondTracker`; lithium's is +1, metal or not.

    Parameters
    ----------
    numbers : (N,) int array
        Where one is of an element that is not in `LACKING`, as C, whose bonds may be multiple, nothing is known.
    """

    def __init__(self, numbers: IntArray) -> None:
        self._numbers = np.asarray(numbers)
        rank, lacking = np.full(self._numbers.max() + 1, -1), np.full(self._numbers.max() + 1, np.nan)
        lacking[LITHIUM] = -1
        for place, (symbol, electrons) in enumerate(LACKING.items()):
            if atomic_numbers[symbol] < len(rank):
                rank[atomic_numbers[symbol]], lacking[atomic_numbers[symbol]] = place, electrons
        self._rank, self._lacking = rank[self._numbers], lacking[self._numbers]
        self._known = bool(np.isfinite(self._lacking).all())
        self._rows: list[FloatArray] = []

    def add(self, block: BondBlock) -> None:
        """Take in the next block."""
        shape = (len(block), len(self._numbers))
        if not self._known:
            self._rows.append(np.full(shape, np.nan))
            return
        first, second = block.pairs.first, block.pairs.second
        chosen = (self._rank[first] >= 0) & (self._rank[second] >= 0)
        frame, pair = np.nonzero(block.bonded[:, chosen])
        ends = first[chosen][pair], second[chosen][pair]
        given = np.zeros(shape)
        for own, other in (ends, ends[::-1]):
            # Two electrons of a bond go to the one whose place is nearer to the front, one each within an element.
            lost = 1 + np.sign(self._rank[own] - self._rank[other])
            given += np.bincount(np.ravel_multi_index((frame, own), shape), lost, given.size).reshape(shape)
        self._rows.append(np.minimum(given - self._lacking, OCTET - np.abs(self._lacking)))

    def charges(self) -> FloatArray:
        """Return the (F, N) charges of all blocks taken in, e; NaN where they are not known."""
        return np.concatenate(self._rows)
