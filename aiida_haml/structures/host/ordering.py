"""Ordering: which of the partially occupied sites are taken, by the Ewald energy of the formal charges.

The energy is q^T M q, with M the pairwise Ewald matrix of all sites, made once. Simulated annealing exchanges two
sites of one sublattice (two elements, or an element and a vacancy); the potential M q is kept, so that a try costs a
few numbers and an accepted exchange two rows of M. Where two partially occupied sublattices exclude each other, an atom
of each moves at once. What the annealing finds is then exchanged downhill until no single
exchange lowers the energy. Sites too close to be taken together are excluded by a rule of distances.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from ase import Atoms
from ase.data import atomic_numbers, covalent_radii
from numpy.typing import NDArray
from scipy.special import erfc

from aiida_haml.structures.crystals import FORMAL_CHARGES
from aiida_haml.structures.errors import StructureError
from aiida_haml.structures.geometry import pairs_within

FloatArray = NDArray[np.float64]

#: e^2 / (4 pi epsilon_0), eV Angstrom (CODATA 2018).
COULOMB = 14.399645478

#: Two ions exclude each other where they are closer than this share of the sum of their covalent radii: 2.05 Angstrom
#: for Li-Li, which lies between the 1.6-2.0 of the pairs of which structure refinements occupy one and the 2.2 and
#: more of lithium ions that are neighbours.
EXCLUSION_LIKE = 0.80
#: The same for ions of opposite charge, whose bonds are shorter (W-O 1.75, 0.79 of the sum).
EXCLUSION_OPPOSITE = 0.70

#: eV for each pair that is too close: more than any exchange can gain.
CLASH = 1000.0

#: More sites than this need too much memory for their matrix (0.8 GB at this number).
MAX_SITES = 10_000

#: Random picks, of which the best is where the annealing starts and what it is compared with.
RANDOM_PICKS = 20
#: Independent runs; the lowest energy counts.
RUNS = 4
#: Tries for each site that is not decided, in each run.
SWEEPS = 300
#: Tries of a run, at most.
MAX_TRIES = 300_000
#: The temperature falls geometrically from this energy to a thousandth of it, eV.
START_TEMPERATURE = 1.0


@dataclass(frozen=True)
class OrderingReport:
    """What the ordering found.

    Attributes
    ----------
    energy_eV : float or None
        Ewald energy of the formal charges in the cell; None where nothing was to be decided.
    random_energy_eV : float or None
        Of the best of twenty random picks that keep to the same counts and exclusions.
    closest_lithium_A : float or None
        Shortest Li-Li distance; None where nothing was to be decided, or without two Li.
    steps : int
        Exchanges that were tried.
    seed : int
    """

    energy_eV: float | None
    random_energy_eV: float | None
    closest_lithium_A: float | None
    steps: int
    seed: int

    def to_dict(self) -> dict[str, Any]:
        """Return the report as a plain dictionary."""
        return asdict(self)


# -- the matrix ---------------------------------------------------------------------------------------------


def ewald_matrix(atoms: Atoms, accuracy: float = 1e-11) -> FloatArray:
    """Return M such that q^T M q is the electrostatic energy per cell of point charges q, eV.

    The Ewald sum with a neutralising background, as in D. Frenkel and B. Smit, Understanding Molecular Simulation,
    2nd ed., Academic Press (2002), section 12.1, with the sums over pairs taken apart.

    Parameters
    ----------
    atoms : Atoms
        Periodic in all directions; N sites. Elements do not matter.
    accuracy : float
        Of the factors exp(-x^2) at which both sums are cut.

    Returns
    -------
    (N, N) array
        eV / e^2, symmetric.
    """
    volume, n = atoms.get_volume(), len(atoms)
    reach = np.sqrt(-np.log(accuracy))
    # Both sums cost about as much as each other where the width follows this power of the density of pairs.
    alpha = np.sqrt(np.pi) * (20.0 * n / volume**2) ** (1 / 6) / (1 + n / 4000)
    matrix = _reciprocal_sum(atoms, alpha, 2 * alpha * reach)
    pairs = pairs_within(atoms, reach / alpha)
    matrix += np.bincount(
        pairs.i * n + pairs.j, erfc(alpha * pairs.distances) / pairs.distances, minlength=n * n
    ).reshape(n, n)
    matrix -= np.pi / (alpha**2 * volume)
    matrix[np.diag_indices(n)] -= 2 * alpha / np.sqrt(np.pi)
    return 0.25 * COULOMB * (matrix + matrix.T)


def _reciprocal_sum(atoms: Atoms, alpha: float, cutoff: float) -> FloatArray:
    """Return (N, N) sums over reciprocal vectors (1 / Angstrom)."""
    reciprocal = 2 * np.pi * np.asarray(atoms.cell.reciprocal())
    limits = np.floor(cutoff * atoms.cell.lengths() / (2 * np.pi)).astype(int)
    grid = np.stack(np.meshgrid(*(np.arange(-m, m + 1) for m in limits), indexing="ij"), axis=-1).reshape(-1, 3)
    grid = grid[len(grid) // 2 + 1 :]  # one of each pair of opposite vectors, without zero
    squares = ((grid @ reciprocal) ** 2).sum(axis=1)
    inside = squares < cutoff**2
    weights = 8 * np.pi / atoms.get_volume() * np.exp(-squares[inside] / (4 * alpha**2)) / squares[inside]
    matrix = np.zeros((len(atoms), len(atoms)))
    scaled = atoms.get_scaled_positions()
    for part in np.array_split(np.arange(inside.sum()), max(1, inside.sum() // 500)):
        phases = 2 * np.pi * scaled @ grid[inside][part].T
        for waves in (np.cos(phases), np.sin(phases)):
            waves *= np.sqrt(weights[part])
            matrix += waves @ waves.T
    return matrix


def _exact(matrix: FloatArray) -> FloatArray:
    """Round to multiples of 2^-32 eV.

    Sums of such numbers and whole charges are exact in double precision: the annealing then depends neither on the
    order of sums nor on the machine, and arrangements that symmetry makes equal are equal.
    """
    return np.round(matrix * 2.0**32) / 2.0**32


# -- what is to be decided ----------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Problem:
    """Sites and what may sit on them.

    ``elements`` are the names of the states 0, 1, ...; the last state is the vacancy. ``charges`` (S,) holds their
    charges, ``start`` (N,) the state of each site, -1 where it is to be decided. ``groups`` are the sites of each
    sublattice to be decided and the states to be put there. ``near`` lists for each site its close sites with their
    distances, ``limits`` (S, S) the distance below which two states exclude each other.
    """

    elements: tuple[str, ...]
    charges: NDArray[np.int64]
    start: NDArray[np.int64]
    groups: tuple[tuple[NDArray[np.int64], NDArray[np.int64]], ...]
    near: list[list[tuple[int, float]]]
    limits: list[list[float]]

    def clashes(self, states: list[int], site: int) -> int:
        """Return how many neighbours of a site its element excludes."""
        limits = self.limits[states[site]]
        return sum(distance < limits[states[other]] for other, distance in self.near[site])

    def all_clashes(self, states: list[int]) -> int:
        return sum(self.clashes(states, site) for site in range(len(states))) // 2


def _check_counts(
    parent: Atoms, counts: Mapping[str, Mapping[str, int]], fixed: NDArray[np.int64]
) -> dict[str, NDArray[np.int64]]:
    """Return the sites to be decided by label, or refuse what cannot be placed on them."""
    labels = parent.arrays["sites"]
    decided = np.zeros(len(parent), dtype=bool)
    decided[fixed] = True
    known = sorted(set(labels.tolist()))
    for label in counts:
        if label not in known:
            raise StructureError("counts", label, "is not a site of the host", f"Its sites are {', '.join(known)}.")
    free = {label: np.flatnonzero((labels == label) & ~decided) for label in known}
    for label, sites in free.items():
        if len(sites) and label not in counts:
            raise StructureError(
                "counts", label, f"has {len(sites)} sites that are neither counted nor fixed", "Give its elements."
            )
        wanted = counts.get(label, {})
        for element, n in wanted.items():
            if element not in FORMAL_CHARGES:
                raise StructureError("counts", element, "has no formal charge here", f"Known: {list(FORMAL_CHARGES)}.")
            if isinstance(n, bool) or not isinstance(n, (int, np.integer)) or n < 0:
                raise StructureError(f"counts.{label}.{element}", n, "is not a number of atoms", "Give 0 or more.")
        if sum(wanted.values()) > len(sites):
            raise StructureError(
                f"counts.{label}", dict(wanted), f"are more atoms than the {len(sites)} sites left", "Give fewer."
            )
    return free


def _check_charge(parent: Atoms, counts: Mapping[str, Mapping[str, int]], fixed: NDArray[np.int64]) -> None:
    symbols = parent.get_chemical_symbols()
    unknown = sorted({symbols[i] for i in fixed} - set(FORMAL_CHARGES))
    if unknown:
        raise StructureError("elements", unknown, "have no formal charge here", f"Known: {list(FORMAL_CHARGES)}.")
    charge = sum(FORMAL_CHARGES[symbols[i]] for i in fixed)
    charge += sum(FORMAL_CHARGES[element] * n for wanted in counts.values() for element, n in wanted.items())
    if charge != 0:
        raise StructureError(
            "counts",
            {label: dict(wanted) for label, wanted in counts.items()},
            f"leave a charge of {charge:+d} e in the cell, by formal charges",
            "Compensate it with vacancies or interstitials, or correct the occupancies.",
        )


def _pose(
    parent: Atoms, counts: Mapping[str, Mapping[str, int]], fixed: NDArray[np.int64], free: Mapping[str, NDArray]
) -> _Problem:
    symbols = parent.get_chemical_symbols()
    elements = tuple(sorted({symbols[i] for i in fixed} | {e for wanted in counts.values() for e in wanted}))
    vacancy = len(elements)
    start = np.full(len(parent), -1, dtype=np.int64)
    start[fixed] = [elements.index(symbols[i]) for i in fixed]
    groups = []
    for label in sorted(free):
        wanted = counts.get(label, {})
        states = [elements.index(e) for e in sorted(wanted) for _ in range(wanted[e])]
        states += [vacancy] * (len(free[label]) - len(states))
        if len(set(states)) == 1:
            start[free[label]] = states[0]
        elif states:
            groups.append((free[label], np.array(states, dtype=np.int64)))
    charges = np.array([FORMAL_CHARGES[e] for e in elements] + [0], dtype=np.int64)
    limits = exclusion_distances(elements)
    return _Problem(elements, charges, start, tuple(groups), _near(parent, groups, limits.max()), limits.tolist())


def exclusion_distances(elements: tuple[str, ...]) -> FloatArray:
    """Return the (S + 1, S + 1) distances in Angstrom below which two ions exclude each other.

    The last row and column are the vacancy's, which excludes nothing.
    """
    radii = np.array([covalent_radii[atomic_numbers[e]] for e in elements])
    charges = np.array([FORMAL_CHARGES[e] for e in elements])
    like = np.multiply.outer(charges, charges) > 0
    limits = np.zeros((len(elements) + 1, len(elements) + 1))
    limits[:-1, :-1] = np.where(like, EXCLUSION_LIKE, EXCLUSION_OPPOSITE) * np.add.outer(radii, radii)
    return limits


def _near(parent: Atoms, groups: list[tuple[NDArray, NDArray]], cutoff: float) -> list[list[tuple[int, float]]]:
    """List the close neighbours of each site, where one of the two is to be decided."""
    free = np.zeros(len(parent), dtype=bool)
    for sites, _ in groups:
        free[sites] = True
    near: list[list[tuple[int, float]]] = [[] for _ in range(len(parent))]
    pairs = pairs_within(parent, cutoff)
    wanted = (free[pairs.i] | free[pairs.j]) & (pairs.i != pairs.j)
    for i, j, distance in zip(pairs.i[wanted], pairs.j[wanted], pairs.distances[wanted], strict=True):
        near[int(i)].append((int(j), float(distance)))
    return near


# -- the search ---------------------------------------------------------------------------------------------


def _random_pick(problem: _Problem, rng: np.random.Generator) -> list[int]:
    """Return states of all sites: each atom on a random site of its sublattice that no earlier atom excludes.

    Where every site left is excluded, on one that the fewest exclude.
    """
    vacancy = len(problem.elements)
    states = np.where(problem.start < 0, vacancy, problem.start).tolist()
    for sites, wanted in problem.groups:
        left = rng.permutation(sites).tolist()
        for state in wanted[wanted != vacancy].tolist():
            best, fewest = 0, len(states)
            for k, site in enumerate(left):
                states[site] = state
                clashes = problem.clashes(states, site)
                states[site] = vacancy
                if clashes < fewest:
                    best, fewest = k, clashes
                if clashes == 0:
                    break
            states[left.pop(best)] = state
    return states


class _Walk:
    """States of all sites, their potential and their energy, kept up to date from exchange to exchange."""

    def __init__(self, problem: _Problem, matrix: FloatArray, states: list[int]) -> None:
        self.problem, self.matrix, self.states = problem, matrix, list(states)
        self.self_energies = matrix.diagonal().tolist()
        self.charges = problem.charges.tolist()
        charges = problem.charges[states].astype(float)
        self.potential = matrix @ charges
        self.energy = float(charges @ self.potential)

    def change(self, a: int, b: int) -> float:
        """Return what exchanging two sites adds to the energy, eV, with the price of clashes."""
        states, problem = self.states, self.problem
        step = self.charges[states[b]] - self.charges[states[a]]
        coulomb = 0.0
        if step:
            own = self.self_energies[a] + self.self_energies[b] - 2 * self.matrix.item(a, b)
            coulomb = 2 * step * (self.potential.item(a) - self.potential.item(b)) + step * step * own
        if not problem.near[a] and not problem.near[b]:
            return coulomb
        before = problem.clashes(states, a) + problem.clashes(states, b)
        states[a], states[b] = states[b], states[a]
        after = problem.clashes(states, a) + problem.clashes(states, b)
        states[a], states[b] = states[b], states[a]
        return coulomb + CLASH * (after - before)

    def exchange(self, a: int, b: int) -> None:
        """Exchange two sites."""
        step = self.charges[self.states[b]] - self.charges[self.states[a]]
        if step:
            own = self.self_energies[a] + self.self_energies[b] - 2 * self.matrix.item(a, b)
            self.energy += 2 * step * (self.potential.item(a) - self.potential.item(b)) + step * step * own
            self.potential += step * (self.matrix[a] - self.matrix[b])
        self.states[a], self.states[b] = self.states[b], self.states[a]

    def cost(self) -> float:
        """Return the energy with the price of clashes, eV."""
        return self.energy + CLASH * self.problem.all_clashes(self.states)


class _Sublattices:
    """The sublattices to be decided: what can be exchanged with what."""

    def __init__(self, problem: _Problem) -> None:
        self.problem = problem
        self.members = [sites.tolist() for sites, _ in problem.groups]
        self.of = {site: k for k, sites in enumerate(self.members) for site in sites}
        self.free = [site for sites in self.members for site in sites]
        self.vacancy = len(problem.elements)

    def blocking(self, states: list[int], site: int, state: int) -> list[int]:
        """Return the atoms that could move and do not suffer ``state`` on a site."""
        limits = self.problem.limits[state]
        near = self.problem.near[site]
        return [other for other, d in near if d < limits[states[other]] and other in self.of]

    def pair(self, states: list[int], first: float, second: float) -> tuple[int, int]:
        """Return two sites of a sublattice for two random numbers below 1; a vacancy comes first.

        Where the atom at the second would clash at the first with one of its own sublattice alone, that one takes its
        part: it is what can move there.
        """
        a = self.free[int(first * len(self.free))]
        members = self.members[self.of[a]]
        b = members[int(second * len(members))]
        if states[b] == self.vacancy:
            a, b = b, a
        if states[a] == self.vacancy and self.problem.near[a]:
            blocking = self.blocking(states, a, states[b])
            if len(blocking) == 1 and self.of[blocking[0]] == self.of[a]:
                b = blocking[0]
        return a, b

    def relay(self, states: list[int], a: int, b: int, choice: float) -> tuple[int, int] | None:
        """Return the exchange that makes room at ``a`` by moving its neighbour of another sublattice next to ``b``."""
        if states[a] != self.vacancy:
            return None
        blocking = [other for other in self.blocking(states, a, states[b]) if other != b]
        if len(blocking) != 1 or self.of[blocking[0]] == self.of[a]:
            return None
        group = self.of[blocking[0]]
        places = [d for d, _ in self.problem.near[b] if states[d] == self.vacancy and self.of.get(d) == group]
        return (blocking[0], places[int(choice * len(places))]) if places else None


def _anneal(walk: _Walk, rng: np.random.Generator, tries: int) -> None:
    """Exchange sites at a falling temperature; where sublattices exclude each other, two pairs of sites at once."""
    states, sublattices = walk.states, _Sublattices(walk.problem)
    firsts, seconds = rng.random(tries).tolist(), rng.random(tries).tolist()
    temperatures = START_TEMPERATURE * 1e-3 ** (np.arange(tries) / tries)
    # An exchange is accepted where it costs less than this, which is the rule of Metropolis et al. (1953).
    allowed = (-temperatures * np.log(np.maximum(rng.random(tries), 1e-300))).tolist()
    for first, second, limit in zip(firsts, seconds, allowed, strict=True):
        a, b = sublattices.pair(states, first, second)
        if states[a] == states[b]:
            continue
        cost = walk.change(a, b)
        if cost <= limit:
            walk.exchange(a, b)
        elif cost > CLASH / 2:
            relay = sublattices.relay(states, a, b, second)
            if relay is not None:
                walk.exchange(a, b)
                if cost + walk.change(*relay) <= limit:
                    walk.exchange(*relay)
                else:
                    walk.exchange(a, b)


def _descend(walk: _Walk) -> int:
    """Take the exchange that gains most until none gains; return how many were weighed."""
    steps = 0
    while True:
        best, pair = -1e-6, None
        for sites, _ in walk.problem.groups:
            gains, first, second = _coulomb_changes(walk, sites)
            steps += len(gains)
            # Clashes only add to the cost of an arrangement without any: the first in this order that keeps free of
            # them is the best.
            for k in np.argsort(gains, kind="stable"):
                if gains[k] >= best:
                    break
                a, b = int(first[k]), int(second[k])
                change = walk.change(a, b)
                if change < best:
                    best, pair = change, (a, b)
                    break
        if pair is None:
            return steps
        walk.exchange(*pair)


def _coulomb_changes(walk: _Walk, sites: NDArray[np.int64]) -> tuple[FloatArray, NDArray[np.int64], NDArray[np.int64]]:
    """Return what each exchange of two unequal charges on a sublattice adds to the Coulomb energy, and its sites."""
    charges = walk.problem.charges[np.array(walk.states)[sites]]
    a, b = np.nonzero(charges[:, None] < charges[None, :])
    step = (charges[b] - charges[a]).astype(float)
    first, second = sites[a], sites[b]
    diagonal = walk.matrix.diagonal()
    own = diagonal[first] + diagonal[second] - 2 * walk.matrix[first, second]
    return 2 * step * (walk.potential[first] - walk.potential[second]) + step**2 * own, first, second


def order(
    parent: Atoms, counts: Mapping[str, Mapping[str, int]], fixed: Collection[int] = (), seed: int = 0
) -> tuple[Atoms, OrderingReport]:
    """Decide which sites of a parent are taken by what.

    Parameters
    ----------
    parent : Atoms
        All sites, with their labels in ``arrays["sites"]``, as :func:`aiida_haml.structures.host.parent` makes it.
    counts : mapping
        ``{label: {element: n}}`` for the sites of each label that are not in ``fixed``; the rest of them stay vacant.
    fixed : collection of int
        Sites that are decided: they keep the element that the parent has there.
    seed : int

    Returns
    -------
    Atoms
        The taken sites in the order of the parent, with ``arrays["sites"]`` and no other arrays than positions and
        numbers. The same inputs give the same atoms.
    OrderingReport

    Raises
    ------
    StructureError
        If counts and sites do not fit, the cell bears a net charge or is too large, or atoms cannot be kept apart.
    """
    if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)) or seed < 0:
        raise StructureError("seed", seed, "is not a seed", "Give a whole number from 0 on.")
    decided = np.array(sorted({int(i) for i in fixed}), dtype=np.int64)
    if len(decided) and (decided[0] < 0 or decided[-1] >= len(parent)):
        raise StructureError("fixed", [int(decided[0]), int(decided[-1])], "are not all sites", "Give indices.")
    free = _check_counts(parent, counts, decided)
    _check_charge(parent, counts, decided)
    problem = _pose(parent, counts, decided, free)
    if not problem.groups:
        return _taken(parent, problem, problem.start.tolist()), OrderingReport(None, None, None, 0, int(seed))
    if len(parent) > MAX_SITES:
        raise StructureError(
            "host.supercell", len(parent), f"sites are more than the {MAX_SITES} that can be ordered", "Ask for fewer."
        )
    best, report = _search(parent, problem, int(seed))
    return _taken(parent, problem, best), report


def _search(parent: Atoms, problem: _Problem, seed: int) -> tuple[list[int], OrderingReport]:
    matrix = _exact(ewald_matrix(parent))
    picks = (_random_pick(problem, np.random.default_rng([seed, k])) for k in range(RANDOM_PICKS))
    best = min((_Walk(problem, matrix, pick) for pick in picks), key=_Walk.cost)
    random_energy, start = best.energy, list(best.states)
    tries = min(SWEEPS * sum(len(sites) for sites, _ in problem.groups), MAX_TRIES)
    steps = 0
    for k in range(RUNS):
        walk = _Walk(problem, matrix, start)
        _anneal(walk, np.random.default_rng([seed, RANDOM_PICKS + k]), tries)
        steps += tries + _descend(walk)
        if walk.cost() < best.cost():
            best = walk
    clashes = problem.all_clashes(best.states)
    if clashes:
        raise StructureError(
            "counts",
            clashes,
            "pairs of atoms stay too close to each other in the best arrangement found",
            "Place fewer atoms on sites that exclude each other.",
        )
    taken = _taken(parent, problem, best.states)
    return best.states, OrderingReport(
        round(best.energy, 6), round(random_energy, 6), _closest_lithium(taken), steps, seed
    )


def _taken(parent: Atoms, problem: _Problem, states: list[int]) -> Atoms:
    """Return the atoms of an arrangement."""
    vacancy = len(problem.elements)
    kept = [site for site, state in enumerate(states) if state != vacancy]
    labels = parent.arrays["sites"][kept]
    atoms = Atoms([problem.elements[states[site]] for site in kept], parent.positions[kept], cell=parent.cell, pbc=True)
    atoms.set_array("sites", labels, dtype=labels.dtype)
    return atoms


def _closest_lithium(atoms: Atoms) -> float | None:
    lithium = atoms[atoms.numbers == 3]
    distances = pairs_within(lithium, 6.0).distances if len(lithium) else np.zeros(0)
    return round(float(distances.min()), 6) if len(distances) else None
