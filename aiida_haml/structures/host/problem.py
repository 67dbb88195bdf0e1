"""What an ordering has to decide: which sites are free, what is to be put on them, and what excludes what."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from ase import Atoms
from ase.data import atomic_numbers, covalent_radii

from aiida_haml.arrays import FloatArray, IntArray
from aiida_haml.structures.charges import charges_of
from aiida_haml.structures.geometry import pairs_within

#: Two ions exclude each other where they are closer than this share of the sum of their covalent radii: 2.05 Angstrom
#: for Li-Li, which lies between the 1.6-2.0 of the pairs of which structure refinements occupy one and the 2.2 and
#: more of lithium ions that are neighbours.
EXCLUSION_LIKE = 0.80
#: The same for ions of opposite charge, whose bonds are shorter (W-O 1.75, 0.79 of the sum).
EXCLUSION_OPPOSITE = 0.70


@dataclass(frozen=True, eq=False)
class Problem:
    """Sites and what may sit on them.

    ``elements`` are the names of the states 0, 1, ...; the last state is the vacancy. ``charges`` (S,) holds their
    charges, ``start`` (N,) the state of each site, -1 where it is to be decided. ``groups`` are the sites of each
    sublattice to be decided and the states to be put there. ``near`` lists for each site its close sites with their
    distances, ``limits`` (S, S) the distance below which two states exclude each other.
    """

    elements: tuple[str, ...]
    charges: IntArray
    start: IntArray
    groups: tuple[tuple[IntArray, IntArray], ...]
    near: list[list[tuple[int, float]]]
    limits: list[list[float]]

    def clashes(self, states: list[int], site: int) -> int:
        """Return how many neighbours of a site its element excludes."""
        limits = self.limits[states[site]]
        return sum(distance < limits[states[other]] for other, distance in self.near[site])

    def all_clashes(self, states: list[int]) -> int:
        """Return how many pairs of atoms exclude each other."""
        return sum(self.clashes(states, site) for site in range(len(states))) // 2


def pose(
    parent: Atoms, counts: Mapping[str, Mapping[str, int]], taken: Mapping[int, str], free: Mapping[str, IntArray]
) -> Problem:
    """Make a problem of the sites that are free and what is to be put on them; the rest of them stay vacant."""
    elements = tuple(sorted({*taken.values(), *(e for wanted in counts.values() for e in wanted)}))
    vacancy = len(elements)
    start = np.full(len(parent), vacancy, dtype=np.int64)
    for i, element in taken.items():
        start[i] = elements.index(element)
    groups = []
    for label in sorted(free):
        wanted = counts.get(label, {})
        states = [elements.index(e) for e in sorted(wanted) for _ in range(wanted[e])]
        states += [vacancy] * (len(free[label]) - len(states))
        if len(set(states)) == 1:
            start[free[label]] = states[0]
        elif states:
            start[free[label]] = -1
            groups.append((free[label], np.array(states, dtype=np.int64)))
    charges = charges_of(parent)
    values = np.array([*(charges[e] for e in elements), 0], dtype=np.int64)
    limits = exclusion_distances(elements, charges)
    near = _near(parent, [sites for sites, _ in groups], float(limits.max()))
    return Problem(elements, values, start, tuple(groups), near, limits.tolist())


def exclusion_distances(elements: tuple[str, ...], charges: Mapping[str, int]) -> FloatArray:
    """Return the (S + 1, S + 1) distances in Angstrom below which two ions exclude each other.

    The last row and column are the vacancy's, which excludes nothing.
    """
    radii = np.array([covalent_radii[atomic_numbers[e]] for e in elements])
    signs = np.sign([charges[e] for e in elements])
    like = np.multiply.outer(signs, signs) > 0
    limits = np.zeros((len(elements) + 1, len(elements) + 1))
    limits[:-1, :-1] = np.where(like, EXCLUSION_LIKE, EXCLUSION_OPPOSITE) * np.add.outer(radii, radii)
    return limits


def _near(parent: Atoms, groups: list[IntArray], cutoff: float) -> list[list[tuple[int, float]]]:
    """List the close neighbours of each site, where one of the two is to be decided."""
    near: list[list[tuple[int, float]]] = [[] for _ in range(len(parent))]
    free = np.zeros(len(parent), dtype=bool)
    for sites in groups:
        free[sites] = True
    if not free.any():
        return near
    pairs = pairs_within(parent, cutoff)
    wanted = (free[pairs.i] | free[pairs.j]) & (pairs.i != pairs.j)
    for i, j, distance in zip(pairs.i[wanted], pairs.j[wanted], pairs.distances[wanted], strict=True):
        near[int(i)].append((int(j), float(distance)))
    return near
