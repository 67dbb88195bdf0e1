"""Arrangements of dopants on a lattice: counted, enumerated up to symmetry, and drawn.

An arrangement colours the sites of a list of M: each :class:`Choice` puts one colour on a number of the sites that
are open to it, and what no choice takes keeps the colour of the host. Where the sites of two choices overlap, those
of the smaller lie inside those of the larger (a Wyckoff sublattice inside all sites of an element), so that choosing
in the order of size leaves each later choice a known number of free sites: counts are products of binomials, and
sequential draws are uniform.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import comb

import numpy as np
import spglib
from ase import Atoms
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from aiida_haml.arrays import IntArray

#: Colours of the sites of M: 1, 2, ... of the choices in their order, then that of the host.
Colours = NDArray[np.uint8]

#: Draws in a row that bring nothing new before a further distinct arrangement is given up.
MAX_REPEATS = 1000


@dataclass(frozen=True)
class Choice:
    """One colour: on ``count`` of the ``sites``, which are positions in the list of sites."""

    sites: tuple[int, ...]
    count: int


@dataclass(frozen=True, eq=False)
class Enumeration:
    """The distinct arrangements of some choices.

    Parameters
    ----------
    colours : (D, M) uint8 array
        Of each orbit the member that comes first, with the first choice on the earliest sites; orbits are sorted by
        it, so that an index depends on the lattice alone.
    degeneracies : (D,) int array
        Arrangements that each stands for; they sum to the number of all arrangements.
    """

    colours: Colours
    degeneracies: IntArray

    def __len__(self) -> int:
        return len(self.degeneracies)


# -- symmetry -----------------------------------------------------------------------------------------------


def symmetry_permutations(
    parent: Atoms, indices: IntArray, kinds: Sequence[int] | None = None, tolerance: float = 1e-3
) -> IntArray:
    """Return what the space group of ``parent`` makes of the given sites.

    The group is that of the cell as given, so a supercell adds its internal translations and loses the operations
    that do not map it onto itself.

    Parameters
    ----------
    parent : Atoms
        Periodic host; N atoms.
    indices : (M,) int array
        Atoms of one or more sublattices, each closed under the group.
    kinds : sequence of N int, optional
        What tells sites apart where the elements do not (occupancies); the elements if left out.
    tolerance : float
        Angstrom, for the search for symmetry; ten times that for the matching of images.

    Returns
    -------
    (G, M) int array
        Distinct permutations: row g moves site m of the list to site ``[g, m]`` of the list.

    Raises
    ------
    ValueError
        If there is no symmetry to be found, or an operation takes one of the sites to none of them.
    """
    scaled = parent.get_scaled_positions()
    found = spglib.get_symmetry(
        (parent.cell.array, scaled, parent.numbers if kinds is None else kinds), symprec=tolerance
    )
    if found is None:
        raise ValueError("spglib finds no symmetry in the parent; two of its atoms may overlap")
    rotations, translations = found["rotations"], found["translations"]
    # Each operation is a pure translation after the first operation with its rotation: few images are matched.
    _, firsts, members = np.unique(rotations.reshape(-1, 9), axis=0, return_index=True, return_inverse=True)
    pure = translations[(rotations == np.eye(3, dtype=int)).all(axis=(1, 2))]
    match = _ImageMatcher(parent, scaled[indices], 10 * tolerance)
    turned = [match(scaled[indices] @ rotations[g].T + translations[g]) for g in firsts]
    shifted = [match(scaled[indices] + shift) for shift in pure]
    if len(pure) * len(firsts) != len(members):
        raise ValueError("the operations that spglib finds in the parent are no group")
    return np.unique([shift[turn] for turn in turned for shift in shifted], axis=0)


class _ImageMatcher:
    """Finds which site of a list each of its images under an operation is, periodic cell."""

    def __init__(self, parent: Atoms, scaled: NDArray[np.float64], tolerance: float) -> None:
        self.tree = cKDTree(scaled % 1.0 % 1.0, boxsize=1.0)  # twice: -1e-17 % 1.0 is 1.0
        # A distance in scaled coordinates stretches by no more than the largest singular value of the cell.
        self.radius = tolerance / float(np.linalg.svd(parent.cell.array, compute_uv=False).min())

    def __call__(self, images: NDArray[np.float64]) -> IntArray:
        distances, sites = self.tree.query(images % 1.0 % 1.0)
        if (distances > self.radius).any() or len(np.unique(sites)) != len(sites):
            raise ValueError("the sites are not closed under the symmetry of the parent")
        return np.asarray(sites, dtype=np.int64)


def generators(permutations: IntArray) -> IntArray:
    """Return a few of the (G, M) elements of a group that generate all of it."""
    chosen: list[IntArray] = []
    known = np.arange(permutations.shape[1])[None]
    seen = {known.tobytes()}
    for element in permutations:
        if element.tobytes() in seen:
            continue
        chosen.append(element)
        known = _closure(known, chosen)
        seen = {row.tobytes() for row in known}
    return np.array(chosen, dtype=np.int64).reshape(len(chosen), permutations.shape[1])


def _closure(elements: IntArray, chosen: list[IntArray]) -> IntArray:
    while True:
        grown = np.unique(np.concatenate([elements, *(elements[:, g] for g in chosen)]), axis=0)
        if len(grown) == len(elements):
            return grown
        elements = grown


# -- counting and enumeration -------------------------------------------------------------------------------


def _by_size(choices: Sequence[Choice]) -> list[tuple[int, Choice]]:
    """Colour and choice, smallest set of sites first."""
    return sorted(enumerate(choices, start=1), key=lambda item: len(item[1].sites))


def count_arrangements(choices: Sequence[Choice]) -> int:
    """Return the number of arrangements, equivalent ones included."""
    total = 1
    taken: list[tuple[set[int], int]] = []
    for _, choice in _by_size(choices):
        inside = set(choice.sites)
        free = len(inside) - sum(count for sites, count in taken if sites <= inside)
        total *= comb(free, choice.count)
        taken.append((inside, choice.count))
    return total


def all_arrangements(n_sites: int, choices: Sequence[Choice]) -> Colours:
    """Return all arrangements as (T, M) colours, sorted."""
    host = len(choices) + 1
    rows = np.full((1, n_sites), host, dtype=np.uint8)
    for colour, choice in _by_size(choices):
        if choice.count == 0:
            continue
        sites = np.array(choice.sites, dtype=np.int64)
        free = sites[np.nonzero(rows[:, sites] == host)[1].reshape(len(rows), -1)]
        picks = list(combinations(range(free.shape[1]), choice.count))
        chosen = free[:, np.array(picks, dtype=np.int64)].reshape(-1, choice.count)
        rows = np.repeat(rows, len(picks), axis=0)
        np.put_along_axis(rows, chosen, np.uint8(colour), axis=1)
    return rows[np.argsort(_keys(rows), kind="stable")]


def _keys(rows: Colours) -> NDArray[np.bytes_]:
    """Rows as byte strings, which sort and compare as a whole; colours start at 1, so none ends early."""
    return np.ascontiguousarray(rows).view(f"S{rows.shape[1]}").ravel()


def distinct_arrangements(permutations: IntArray, choices: Sequence[Choice]) -> Enumeration:
    """Return the arrangements that no element of a group makes of each other, with their degeneracies.

    Parameters
    ----------
    permutations : (G, M) int array
        All elements of the group.
    choices : sequence of Choice

    Notes
    -----
    Arrangements that a generator of the group joins are the edges of a graph, the orbits its components: the work
    grows with the number of arrangements and generators, not with the order of the group.
    """
    rows = all_arrangements(permutations.shape[1], choices)
    keys = _keys(rows)
    steps = [np.searchsorted(keys, _keys(rows[:, g])) for g in generators(permutations)]
    starts = np.tile(np.arange(len(rows)), len(steps))
    ends = np.concatenate([*steps, np.empty(0, dtype=np.int64)])
    graph = coo_array((np.ones(len(ends), dtype=bool), (starts, ends)), shape=(len(rows), len(rows)))
    _, orbits = connected_components(graph, directed=False)
    _, firsts, sizes = np.unique(orbits, return_index=True, return_counts=True)
    order = np.argsort(firsts)
    return Enumeration(rows[firsts[order]], sizes[order])


# -- draws --------------------------------------------------------------------------------------------------


def draw(n_sites: int, choices: Sequence[Choice], rng: np.random.Generator) -> Colours:
    """Return one of all arrangements, each equally likely, as (M,) colours."""
    host = len(choices) + 1
    colours = np.full(n_sites, host, dtype=np.uint8)
    for colour, choice in _by_size(choices):
        sites = np.array(choice.sites, dtype=np.int64)
        free = sites[colours[sites] == host]
        colours[rng.choice(free, choice.count, replace=False)] = colour
    return colours


def canonical(colours: Colours, permutations: IntArray) -> Colours:
    """Return the first of all arrangements that a group makes of one; equal for equivalent ones."""
    rows = permutations
    for site in range(len(colours)):
        column = colours[rows[:, site]]
        rows = rows[column == column.min()]
        if len(rows) == 1:
            break
    return np.asarray(colours[rows[0]])


def distinct_draws(permutations: IntArray, choices: Sequence[Choice], seed: int) -> Iterator[Colours]:
    """Yield uniform draws, leaving out what is equivalent to an earlier one; ends where nothing new turns up.

    Each draw has a random stream of its own, so the k-th does not depend on how many are taken.
    """
    seen: set[bytes] = set()
    attempt = last = 0
    while attempt - last <= MAX_REPEATS:
        colours = draw(permutations.shape[1], choices, np.random.default_rng([seed, attempt]))
        attempt += 1
        key = canonical(colours, permutations).tobytes()
        if key not in seen:
            seen.add(key)
            last = attempt
            yield colours


def order_of_first_draws(degeneracies: IntArray, seed: int) -> IntArray:
    """Return the order in which uniform draws meet the distinct arrangements for the first time.

    An arrangement of degeneracy g waits for an exponential time of mean 1/g: the order of arrival is that of drawing
    without replacement with weights g, without drawing the common ones over and over.
    """
    arrivals = np.random.default_rng([seed, 0]).exponential(size=len(degeneracies)) / degeneracies
    return np.argsort(arrivals, kind="stable")
