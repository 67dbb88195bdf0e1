"""Pairs of elements, and how close their atoms come."""

import itertools

import numpy as np
from ase.data import atomic_numbers, chemical_symbols, covalent_radii
from numpy.typing import NDArray

from aiida_haml.arrays import FloatArray
from aiida_haml.frames import Frames


class ElementPairs:
    """The P pairs of elements of a system, an element with itself included.

    Parameters
    ----------
    numbers : (N,) int array
        Atomic numbers.
    """

    def __init__(self, numbers: NDArray[np.int64]) -> None:
        elements = sorted(chemical_symbols[z] for z in set(numbers.tolist()))
        pairs = list(itertools.combinations_with_replacement(range(len(elements)), 2))
        #: ``Li-S``, symbols in alphabetical order.
        self.names = [f"{elements[a]}-{elements[b]}" for a, b in pairs]
        radii = np.array([covalent_radii[atomic_numbers[symbol]] for symbol in elements])
        #: (P,) sum of the covalent radii (ASE's table), Angstrom.
        self.covalent = np.array([radii[a] + radii[b] for a, b in pairs])
        self._kinds = np.array([elements.index(chemical_symbols[z]) for z in numbers])
        self._index = np.zeros((len(elements), len(elements)), dtype=np.int64)
        for p, (a, b) in enumerate(pairs):
            self._index[a, b] = self._index[b, a] = p

    def shortest(self, distances: FloatArray, senders: NDArray[np.int64], receivers: NDArray[np.int64]) -> FloatArray:
        """Return the (P,) shortest of some distances for each pair of elements, Angstrom; infinite without one.

        Parameters
        ----------
        distances, senders, receivers : (E,) arrays
            Edges of a neighbour list; one direction of each is enough.
        """
        shortest = np.full(len(self.names), np.inf)
        np.minimum.at(shortest, self._index[self._kinds[senders], self._kinds[receivers]], distances)
        return shortest


def shortest_distances(frames: Frames, cutoff: float) -> dict[str, float]:
    """Return the shortest distance of each pair of elements over all frames, Angstrom.

    Parameters
    ----------
    frames : Frames
    cutoff : float
        Pairs of elements that come no closer than this, Angstrom, are left out.
    """
    from vesin import NeighborList  # brings torch where that is installed

    pairs = ElementPairs(frames.numbers)
    neighbours = NeighborList(cutoff=cutoff, full_list=False)
    shortest = np.full(len(pairs.names), np.inf)
    for positions, cell in zip(frames.positions, frames.cells, strict=True):
        i, j, distances = neighbours.compute(
            points=positions, box=cell, periodic=frames.pbc if frames.pbc.any() else False, quantities="ijd"
        )
        shortest = np.minimum(shortest, pairs.shortest(distances, i.astype(np.int64), j.astype(np.int64)))
    return {name: float(d) for name, d in zip(pairs.names, shortest, strict=True) if np.isfinite(d)}
