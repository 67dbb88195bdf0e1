"""Ordering: which of the partially occupied sites are taken.

What does not move is quenched: anions that have changed places, cations that share a sublattice, sit at random, as they
do in a material that was cooled faster than they could order. Lithium moves, and takes sites by the Ewald energy of the
formal charges (pymatgen), drawn at a temperature. Seeds draw both.
"""

from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from ase import Atoms

from aiida_haml.arrays import FloatArray, IntArray
from aiida_haml.structures.charges import MOBILE, charges_of, require_charges
from aiida_haml.structures.errors import StructureError
from aiida_haml.structures.geometry import pairs_within
from aiida_haml.structures.host.annealing import Walk, anneal, random_pick
from aiida_haml.structures.host.problem import Problem, pose

#: Temperature at which lithium is drawn, as an energy kT in eV. Formal charges in a vacuum exaggerate what a crystal
#: screens, about tenfold: this is 300 K then. Our choice.
SAMPLING_EV = 0.25

#: More sites than this need too much memory for their matrix.
MAX_SITES = 5_000

#: Random picks of lithium's sites, of which the best is where the walk starts and what it is compared with.
RANDOM_PICKS = 20
#: Tries for each site that is not decided, and at most.
SWEEPS, MAX_TRIES = 300, 300_000
#: The walk begins at this temperature, eV, and falls geometrically to that of the draw.
START_EV = 1.0
#: Share of the tries that a draw spends at its temperature.
HELD = 0.5
#: Draws of what is quenched, before it is given up that lithium finds room beside it.
QUENCHES = 8


@dataclass(frozen=True)
class OrderingReport:
    """What the ordering found.

    Attributes
    ----------
    energy_eV : float or None
        Ewald energy of the formal charges in the cell; None where nothing was to be decided.
    random_energy_eV : float or None
        Of the best of twenty random picks of lithium's sites that keep to the same counts and exclusions.
    temperature_eV : float
        At which lithium was drawn; 0 where nothing was to be decided.
    closest_lithium_A : float or None
        Shortest Li-Li distance; None where nothing was to be decided, or without two Li.
    steps : int
        Exchanges that were tried.
    seed : int
    """

    energy_eV: float | None
    random_energy_eV: float | None
    temperature_eV: float
    closest_lithium_A: float | None
    steps: int
    seed: int

    def to_dict(self) -> dict[str, Any]:
        """Return the report as a plain dictionary."""
        return asdict(self)


def order(
    parent: Atoms,
    counts: Mapping[str, Mapping[str, int]],
    fixed: Collection[int] = (),
    seed: int = 0,
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
    symbols = parent.get_chemical_symbols()
    decided = {int(i): symbols[i] for i in sorted(fixed)}
    free = _free_sites(parent, counts, decided)
    _require_neutral(parent, counts, decided)
    ions = {label: {MOBILE: wanted.get(MOBILE, 0)} for label, wanted in counts.items()}
    quenched = {label: {e: n for e, n in wanted.items() if e != MOBILE} for label, wanted in counts.items()}
    frozen = pose(parent, quenched, decided, free)
    for attempt in range(QUENCHES):
        placed = _quench(frozen, len(parent), np.random.default_rng([seed, 0, attempt]))
        taken = decided | {i: frozen.elements[state] for i, state in enumerate(placed) if state < len(frozen.elements)}
        left = {label: np.array([i for i in sites if i not in taken], dtype=np.int64) for label, sites in free.items()}
        problem = pose(parent, ions, taken, left)
        if not problem.groups:
            return _ordered(parent, problem, problem.start.tolist()), OrderingReport(None, None, 0.0, None, 0, seed)
        states, report = _place_lithium(parent, problem, seed)
        clashes = problem.all_clashes(states)
        if not clashes:
            return _ordered(parent, problem, states), report
        if not frozen.groups:
            break
    raise StructureError(
        "host",
        clashes,
        "pairs of atoms stay too close to each other in the best arrangement found",
        "Place fewer atoms on sites that exclude each other.",
    )


# -- what is to be decided ----------------------------------------------------------------------------------


def _free_sites(
    parent: Atoms, counts: Mapping[str, Mapping[str, int]], decided: Mapping[int, str]
) -> dict[str, IntArray]:
    """Return the sites to be decided by label, or refuse what cannot be placed on them."""
    labels = parent.arrays["sites"].tolist()
    known = sorted(set(labels))
    if unknown := sorted(set(counts) - set(known)):
        raise StructureError("counts", unknown[0], "is not a site of the host", f"Its sites are {', '.join(known)}.")
    free = {
        label: np.array([i for i, site in enumerate(labels) if site == label and i not in decided], dtype=np.int64)
        for label in known
    }
    for label, sites in free.items():
        if len(sites) and label not in counts:
            raise StructureError(
                "counts", label, f"has {len(sites)} sites that are neither counted nor fixed", "Give its elements."
            )
        wanted = sum(counts.get(label, {}).values())
        if wanted > len(sites):
            raise StructureError(
                f"counts.{label}", wanted, f"atoms are more than the {len(sites)} sites left", "Give fewer."
            )
    return free


def _require_neutral(parent: Atoms, counts: Mapping[str, Mapping[str, int]], decided: Mapping[int, str]) -> None:
    charges = charges_of(parent)
    require_charges({*decided.values(), *(element for wanted in counts.values() for element in wanted)}, charges)
    charge = sum(charges[element] for element in decided.values())
    charge += sum(charges[element] * n for wanted in counts.values() for element, n in wanted.items())
    if charge != 0:
        raise StructureError(
            "host",
            f"{charge:+d} e",
            "is left in the cell, by oxidation states",
            "Compensate it with vacancies or interstitials, or correct the occupancies.",
        )


# -- deciding it --------------------------------------------------------------------------------------------


def _quench(problem: Problem, n_sites: int, rng: np.random.Generator) -> list[int]:
    """Put what does not move on its sites at random, no two atoms too close where that can be helped."""
    states = random_pick(problem, rng)
    if not problem.all_clashes(states):
        return states
    walk = Walk(problem, np.zeros((n_sites, n_sites)), states)
    anneal(walk, rng, np.full(_tries(problem), START_EV))
    return walk.states


def _place_lithium(parent: Atoms, problem: Problem, seed: int) -> tuple[list[int], OrderingReport]:
    if len(parent) > MAX_SITES:
        raise StructureError(
            "host.supercell", len(parent), f"sites are more than the {MAX_SITES} that can be ordered", "Ask for fewer."
        )
    matrix = _exact(ewald_matrix(parent))
    picks = (random_pick(problem, np.random.default_rng([seed, 1, k])) for k in range(RANDOM_PICKS))
    walk = min((Walk(problem, matrix, pick) for pick in picks), key=Walk.cost)
    random_energy = walk.energy
    tries = _tries(problem)
    falling = np.geomspace(START_EV, SAMPLING_EV, round(tries * (1 - HELD)))
    schedule = np.concatenate([falling, np.full(tries - len(falling), SAMPLING_EV)])
    anneal(walk, np.random.default_rng([seed, 2]), schedule)
    report = OrderingReport(
        round(walk.energy, 6),
        round(random_energy, 6),
        SAMPLING_EV,
        _closest_lithium(_ordered(parent, problem, walk.states)),
        tries,
        seed,
    )
    return walk.states, report


def _tries(problem: Problem) -> int:
    return min(SWEEPS * sum(len(sites) for sites, _ in problem.groups), MAX_TRIES)


def ewald_matrix(atoms: Atoms) -> FloatArray:
    """Return M such that q^T M q is the electrostatic energy per cell of point charges q that sum to nothing, eV.

    Parameters
    ----------
    atoms : Atoms
        Periodic in all directions; N sites. Elements do not matter.

    Returns
    -------
    (N, N) array
        eV / e^2, symmetric.
    """
    from pymatgen.analysis.ewald import EwaldSummation  # heavy
    from pymatgen.core import Species, Structure

    unit = [Species("Li", 1)] * len(atoms)
    matrix = EwaldSummation(Structure(atoms.cell.array, unit, atoms.get_scaled_positions())).total_energy_matrix
    return np.asarray((matrix + matrix.T) / 2)


def _exact(matrix: FloatArray) -> FloatArray:
    """Round to multiples of 2^-32 eV.

    Sums of such numbers and whole charges are exact in double precision: the walk then depends neither on the order of
    sums nor on the machine, and arrangements that symmetry makes equal are equal.
    """
    return np.round(matrix * 2.0**32) / 2.0**32


def _ordered(parent: Atoms, problem: Problem, states: list[int]) -> Atoms:
    """Return the atoms of an arrangement."""
    kept = [site for site, state in enumerate(states) if state < len(problem.elements)]
    labels = parent.arrays["sites"][kept]
    atoms = Atoms([problem.elements[states[site]] for site in kept], parent.positions[kept], cell=parent.cell, pbc=True)
    atoms.set_array("sites", labels, dtype=labels.dtype)
    return atoms


def _closest_lithium(atoms: Atoms) -> float | None:
    lithium = atoms[atoms.symbols == MOBILE]
    distances = pairs_within(lithium, 6.0).distances if len(lithium) else np.zeros(0)
    return round(float(distances.min()), 6) if len(distances) else None
