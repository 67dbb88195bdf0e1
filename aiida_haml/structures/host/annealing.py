"""Which sites are taken: a random walk of exchanges between the sites of each sublattice.

The energy is q^T M q, with M the pairwise electrostatic matrix of all sites; the potential M q is kept, so that a try
costs a few numbers and an accepted exchange two rows of M. Where two partially occupied sublattices exclude each other,
an atom of each moves at once. Sites too close to be taken together cost more than any exchange can gain.
"""

import numpy as np

from aiida_haml.arrays import FloatArray
from aiida_haml.structures.host.problem import Problem

#: eV for each pair that is too close: more than any exchange can gain.
CLASH = 1000.0


def random_pick(problem: Problem, rng: np.random.Generator) -> list[int]:
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


class Walk:
    """States of all sites, their potential and their energy, kept up to date from exchange to exchange."""

    def __init__(self, problem: Problem, matrix: FloatArray, states: list[int]) -> None:
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

    def __init__(self, problem: Problem) -> None:
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


def anneal(walk: Walk, rng: np.random.Generator, temperatures: FloatArray) -> None:
    """Try one exchange at each temperature (eV); where sublattices exclude each other, two pairs of sites at once."""
    states, sublattices = walk.states, _Sublattices(walk.problem)
    tries = len(temperatures)
    firsts, seconds = rng.random(tries).tolist(), rng.random(tries).tolist()
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
