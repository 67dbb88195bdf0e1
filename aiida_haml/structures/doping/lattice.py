"""Dopings: which elements on which sublattices, how much of them, in which arrangement, and how charge is balanced.

A doping is a list of substitutions, made together. Arrangements are enumerated or drawn on the parent of the host, all
its sites in their high-symmetry places, before lithium is ordered and anything is displaced, so that each comes with
the number of equivalent arrangements that it stands for. A doping that brings a charge takes Li away or adds some.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import gcd, prod
from typing import Any

import numpy as np
from ase import Atoms
from ase.geometry import get_distances
from ase.neighborlist import neighbor_list
from numpy.typing import NDArray

from aiida_haml.structures.crystals import FORMAL_CHARGES
from aiida_haml.structures.doping.arrangements import (
    Choice,
    Colours,
    Enumeration,
    count_arrangements,
    distinct_arrangements,
    distinct_draws,
    race,
    symmetry_permutations,
)
from aiida_haml.structures.doping.quasirandom import quasirandom, shells
from aiida_haml.structures.errors import StructureError
from aiida_haml.structures.geometry import PHOSPHORUS_BOND
from aiida_haml.structures.host.ordering import exclusion_distances, order
from aiida_haml.structures.host.sites import SHARE_TOLERANCE, host_settings, site_counts
from aiida_haml.structures.host.sites import parent as host_parent
from aiida_haml.structures.numbers import is_integer, is_number

#: Elements that can be put in: the anions with a formal charge.
DOPANTS = tuple(element for element, charge in FORMAL_CHARGES.items() if charge < 0)

#: P-X bond of a substituted tetrahedron corner, Angstrom. O, S and Se: PO4(3-), PS4(3-) and PSe4(3-) as crystals have
#: them. F: the mean of 88 PO3F(2-) in crystals, 1.578(20), M. Weil, Chemistry 3, 45 (2021). The corner is moved along
#: its bond, since O at the length of a P-S bond would start 2 eV up the wall.
CORNER_BONDS = {"O": 1.54, "S": 2.02, "Se": 2.20, "F": 1.58}

#: Anions in a formula, after the cations; others follow in the order of the table of formal charges.
ANION_ORDER = ("N", "S", "O", "Se", "Te", "Cl", "F", "Br", "I")

#: More arrangements than this are drawn, not enumerated.
MAX_ARRANGEMENTS = 200_000

#: Cells of the host beyond which no supercell is proposed.
MAX_CELLS = 64

#: A fraction may miss a whole number of sites by this share of them.
FRACTION_TOLERANCE = 1e-6

COMPENSATIONS = ("vacancies", "interstitials")

#: Which arrangement: its index among the distinct ones, ``{"sample": k}`` for a draw, or "sqs".
Configuration = int | Mapping[str, int] | str


# -- what was asked for -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Substitution:
    """One element on one sublattice.

    Parameters
    ----------
    dopant : str
        Symbol of an anion.
    site : str
        Label of a sublattice of the host ('16e'), or the element that is replaced ('S'), for all sublattices of it.
    fraction : float
        Of the sublattice, 0 to 1; must be a whole number of its sites.

    Raises
    ------
    StructureError
        If a value makes no sense in any host.
    """

    dopant: str
    site: str
    fraction: float

    def __post_init__(self) -> None:
        if not isinstance(self.dopant, str) or self.dopant not in DOPANTS:
            known = ", ".join(DOPANTS)
            raise StructureError("doping.dopant", self.dopant, "is not a known dopant", f"Choose one of {known}.")
        if not isinstance(self.site, str) or not self.site:
            raise StructureError(
                "doping.site", self.site, "is not a site", "Give a label of the host, such as 16e, or an element."
            )
        if not is_number(self.fraction) or not 0 <= self.fraction <= 1:
            raise StructureError(
                "doping.fraction", self.fraction, "is not a fraction of the sublattice", "Give a number from 0 to 1."
            )


def read_configuration(value: object) -> tuple[str, int]:
    """Return ('index', i), ('sample', k) or ('sqs', 0).

    Raises
    ------
    StructureError
        If it is none of them.
    """
    if value == "sqs":
        return "sqs", 0
    kind: str = "index"
    number: object = value
    if isinstance(value, Mapping) and set(value) == {"sample"}:
        kind, number = "sample", value["sample"]
    if not is_integer(number) or number < 0:
        raise StructureError(
            "configuration",
            value,
            "does not name an arrangement",
            'Give an index from 0 on, {"sample": k} with k from 0 on, or "sqs".',
        )
    return kind, int(number)


@dataclass(frozen=True)
class Part:
    """One substitution in a host: ``count`` of the atoms ``sites``, which hold ``replaced``, become ``dopant``."""

    dopant: str
    site: str
    labels: tuple[str, ...]
    replaced: str
    sites: tuple[int, ...]
    count: int

    @property
    def charge(self) -> int:
        """Formal charge that it brings, e."""
        return self.count * (FORMAL_CHARGES[self.dopant] - FORMAL_CHARGES[self.replaced])

    def __str__(self) -> str:
        step = f"{self.dopant} {FORMAL_CHARGES[self.dopant]:+d} for {self.replaced} {FORMAL_CHARGES[self.replaced]:+d}"
        return f"{step} on {self.count} of {len(self.sites)} {self.site} sites"


@dataclass(frozen=True)
class Plan:
    """A doping in a host, but for its arrangement.

    ``parts`` come in the order of a formula, whatever order they were asked for in. ``sites`` are the atoms of all
    of them. ``lithium`` is the number of Li on each label that holds some, or is to.
    """

    parts: tuple[Part, ...]
    sites: tuple[int, ...]
    lithium: dict[str, int]
    ordered: bool

    @property
    def choices(self) -> tuple[Choice, ...]:
        """The parts as choices among ``sites``."""
        place = {site: k for k, site in enumerate(self.sites)}
        return tuple(Choice(tuple(place[site] for site in part.sites), part.count) for part in self.parts)


@dataclass(frozen=True, eq=False)
class Arrangement:
    """Where the dopants are: ``dopants`` by atom of the parent.

    ``total`` counts all arrangements; ``index``, ``distinct`` and ``degeneracy`` are None where those are too many to
    be enumerated, ``mismatch`` is None but for a special quasi-random one.
    """

    dopants: dict[int, str]
    total: int
    index: int | None = None
    distinct: int | None = None
    degeneracy: int | None = None
    mismatch: float | None = None


@dataclass(frozen=True, eq=False)
class DopedCell:
    """A doped host, its sites decided.

    ``substituted`` are indices of ``atoms``; ``ordering`` is what the ordering of partially occupied sites found, or
    None where there are none.
    """

    atoms: Atoms
    label: str
    plan: Plan
    arrangement: Arrangement
    ordering: dict[str, Any] | None

    @property
    def substituted(self) -> tuple[int, ...]:
        """Indices of the dopants."""
        return substituted(self.atoms, self.plan)


def substituted(atoms: Atoms, plan: Plan) -> tuple[int, ...]:
    """Return the atoms that are a dopant on one of its sublattices, in a cell that may be repeated or cut.

    Where anions of the host have changed places, those that sit where a dopant of the same element may are among them.
    """
    wanted = {(part.dopant, label) for part in plan.parts for label in part.labels if part.count}
    found = zip(atoms.get_chemical_symbols(), atoms.arrays["sites"].tolist(), strict=True)
    return tuple(i for i, pair in enumerate(found) if pair in wanted)


# -- the host -----------------------------------------------------------------------------------------------


class Sublattices:
    """The sublattices of a host: what sits on them, and which can be doped.

    Parameters
    ----------
    parent : Atoms
        All sites, labels in ``arrays['sites']`` and, where some are occupied in part, shares in
        ``info['occupancies']``, as :func:`aiida_haml.structures.host.sites.parent` makes it.
    supercell : sequence of 3 int
        How often the parent repeats the host's own cell; only what errors propose depends on it.
    """

    def __init__(self, parent: Atoms, supercell: Sequence[int] = (1, 1, 1)) -> None:
        self.parent = parent
        self.supercell = tuple(supercell)
        labels = parent.arrays["sites"]
        self.members = {str(label): np.flatnonzero(labels == label) for label in dict.fromkeys(labels.tolist())}
        occupancies = parent.info.get("occupancies", {})
        self.shares: dict[str, dict[str, float]] = {
            label: dict(occupancies.get(label, {parent.symbols[sites[0]]: 1.0}))
            for label, sites in self.members.items()
        }

    def replaced(self, label: str) -> str | None:
        """Return the anion that a dopant on a sublattice replaces; None where it cannot be doped."""
        elements = self.shares[label]
        element = max(elements, key=lambda e: elements[e])
        full = sum(elements.values()) > 1 - SHARE_TOLERANCE
        return element if full and FORMAL_CHARGES.get(element, 0) < 0 else None

    def is_corner(self, label: str) -> bool:
        """Say whether the sites of a sublattice are bound to P."""
        phosphorus = self.parent.positions[self.parent.symbols == "P"]
        if len(phosphorus) == 0:
            return False
        site = self.parent.positions[self.members[label][:1]]
        distances = get_distances(site, phosphorus, cell=self.parent.cell, pbc=True)[1]
        return bool(distances.min() < PHOSPHORUS_BOND)

    def labels_of(self, site: str) -> tuple[str, ...]:
        """Return the sublattices that a label or an element names.

        Raises
        ------
        StructureError
            If there is none that can be doped.
        """
        if site in self.members and self.replaced(site):
            return (site,)
        found = tuple(label for label in self.members if self.replaced(label) == site)
        if found:
            return found
        can = ", ".join(f"{label} ({self.replaced(label)})" for label in self.members if self.replaced(label))
        if site in self.members:
            held = ", ".join(f"{e} {share:g}" for e, share in self.shares[site].items())
            problem = f"cannot be doped: it holds {held}, and dopants replace the anions of full sublattices"
        else:
            problem = "is not a site of the host"
        raise StructureError("doping.site", site, problem, f"Choose one of {can}, or an element among them.")

    def smallest_supercell(self, substitutions: Sequence[Substitution]) -> list[int] | None:
        """Return the repeats of the host's own cell that make all fractions and shares whole, see the function."""
        cells = prod(self.supercell)
        members = {label: len(sites) // cells for label, sites in self.members.items()}
        wanted = []
        for substitution in substitutions:
            try:
                labels = self.labels_of(substitution.site)
            except StructureError:
                continue  # its own error is raised in its own turn
            wanted.append((float(substitution.fraction), sum(members[label] for label in labels)))
        shares = [(share, members[label]) for label, shares in self.shares.items() for share in shares.values()]
        lengths = self.parent.cell.lengths() / np.array(self.supercell)
        return next(
            (
                _most_compact(n, lengths)
                for n in range(1, MAX_CELLS + 1)
                if all(_is_whole(f, n * sites) and (round(f * n * sites) or not f) for f, sites in wanted)
                and all(_is_whole(share, n * sites, SHARE_TOLERANCE) for share, sites in shares)
            ),
            None,
        )


class Lattice(Sublattices):
    """A host that is doped: its sublattices, and their symmetry, found once and asked often.

    Parameters
    ----------
    parent, supercell
        As for :class:`Sublattices`.

    Raises
    ------
    StructureError
        If a share is no whole number of sites.
    """

    def __init__(self, parent: Atoms, supercell: Sequence[int] = (1, 1, 1)) -> None:
        super().__init__(parent, supercell)
        full = {label: {parent.symbols[sites[0]]: len(sites)} for label, sites in self.members.items()}
        self.counts: dict[str, dict[str, int]] = site_counts(parent) if "occupancies" in parent.info else full
        self.units = gcd(*self.composition().values())
        self._plans: dict[Any, Plan] = {}
        self._permutations: dict[tuple[int, ...], NDArray[np.int64]] = {}
        self._enumerations: dict[Any, Enumeration] = {}
        self._draws: dict[Any, tuple[Iterator[Colours], list[Colours]]] = {}

    def composition(self) -> Counter[str]:
        """Return the atoms of the host by element, before doping."""
        total: Counter[str] = Counter()
        for elements in self.counts.values():
            total.update(elements)
        return total

    @property
    def disordered(self) -> bool:
        """Whether sites are left to be decided without any doping."""
        return any(len(c) > 1 or sum(c.values()) < len(self.members[label]) for label, c in self.counts.items())

    # -- plans ----------------------------------------------------------------------------------------------

    def plan(self, substitutions: Sequence[Substitution], compensation: str | None = None) -> Plan:
        """Return what a doping means in this host.

        Raises
        ------
        StructureError
            If the host has no such sublattice, the cell cannot realise a fraction, substitutions are in each
            other's way, or the charge is not balanced.
        """
        key = (tuple(substitutions), compensation)
        if key not in self._plans:
            self._plans[key] = self._make_plan(substitutions, compensation)
        return self._plans[key]

    def _make_plan(self, substitutions: Sequence[Substitution], compensation: str | None) -> Plan:
        parts = []
        for k, substitution in enumerate(substitutions):
            try:
                parts.append(self._part(substitution, substitutions))
            except StructureError as error:
                raise numbered(error, k, len(substitutions)) from error
        self._refuse_overlaps(parts)
        parts.sort(key=lambda part: (_formula_rank(part.dopant), part.sites[0], -len(part.sites)))
        lithium = self._lithium(parts, compensation)
        return Plan(
            parts=tuple(parts),
            sites=tuple(sorted({site for part in parts for site in part.sites})),
            lithium=lithium,
            ordered=self.disordered or compensation is not None,
        )

    def _part(self, wanted: Substitution, together: Sequence[Substitution]) -> Part:
        labels = self.labels_of(wanted.site)
        sites = tuple(sorted(int(i) for label in labels for i in self.members[label]))
        replaced = str(self.replaced(labels[0]))
        if replaced == wanted.dopant:
            raise StructureError(
                "doping.dopant", wanted.dopant, f"is what {wanted.site} holds already", "Choose another element."
            )
        count = self._count(wanted, len(sites), together)
        held = sum(self.counts[label].get(replaced, 0) for label in labels)
        if count > held:
            raise StructureError(
                "doping.fraction",
                wanted.fraction,
                f"is {count} sites of {wanted.site}, which holds {held} {replaced} beside exchanged anions",
                f"Give at most {held / len(sites):g}, or exchange fewer anions.",
            )
        if wanted.dopant not in CORNER_BONDS and any(self.is_corner(label) for label in labels):
            free = [label for label in self.members if self.replaced(label) and not self.is_corner(label)]
            raise StructureError(
                "doping.site",
                wanted.site,
                f"is a corner of PS4, and no length of a P-{wanted.dopant} bond is known here",
                f"Put {wanted.dopant} on {' or '.join(free)}, or take {', '.join(CORNER_BONDS)}."
                if free
                else f"Take one of {', '.join(CORNER_BONDS)}.",
            )
        return Part(wanted.dopant, wanted.site, labels, replaced, sites, count)

    def _count(self, wanted: Substitution, n_sites: int, together: Sequence[Substitution]) -> int:
        """Return how many sites a fraction is, or refuse it and name the supercell that makes it whole."""
        exact = wanted.fraction * n_sites
        count = round(exact)
        if _is_whole(wanted.fraction, n_sites) and (count or not wanted.fraction):
            return count
        low, high = int(np.floor(exact)), int(np.ceil(exact))
        nearest = " and ".join(f"{n / n_sites:g} ({n} site{'' if n == 1 else 's'})" for n in (low, high))
        cell = self.smallest_supercell(together)
        whole = f"The supercell {cell} makes it whole" if cell else f"No supercell of up to {MAX_CELLS} cells helps"
        raise StructureError(
            "doping.fraction",
            wanted.fraction,
            f"of {n_sites} sites is {exact:.4g}, and only whole sites can be doped",
            f"{whole}; here the nearest fractions are {nearest}.",
        )

    @staticmethod
    def _refuse_overlaps(parts: list[Part]) -> None:
        for k, part in enumerate(parts):
            for other in parts[:k]:
                if part.dopant == other.dopant and set(part.sites) & set(other.sites):
                    raise StructureError(
                        numbered_field("doping.dopant", k, len(parts)),
                        part.dopant,
                        f"is put on the same sites twice, as {other.site} and {part.site}",
                        "Give one fraction for them together.",
                    )
            inside = [other for other in parts if set(other.sites) <= set(part.sites)]
            taken = sum(other.count for other in inside)
            if taken > len(part.sites):
                last = max(parts.index(other) for other in inside)
                raise StructureError(
                    numbered_field("doping.fraction", last, len(parts)),
                    parts[last].count / len(parts[last].sites),
                    f"of {parts[last].site} makes {taken} dopants on the {len(part.sites)} {part.site} sites, with "
                    f"{', '.join(f'{p.count} {p.dopant}' for p in inside if p is not parts[last])}",
                    "Make the fractions sum to 1 at most.",
                )

    # -- charge ---------------------------------------------------------------------------------------------

    def _lithium(self, parts: list[Part], compensation: str | None) -> dict[str, int]:
        """Return the Li of each label that makes the cell neutral, as the compensation wants it."""
        lithium = {label: c["Li"] for label, c in self.counts.items() if "Li" in c}
        charge = sum(part.charge for part in parts)
        if compensation is not None and compensation not in COMPENSATIONS:
            raise StructureError(
                "compensation", compensation, "is not a way to balance charge", f"Choose {' or '.join(COMPENSATIONS)}."
            )
        if charge == 0:
            if compensation is not None:
                raise StructureError(
                    "compensation", compensation, "is not needed: the doping leaves the cell neutral", "Leave it out."
                )
            return lithium
        needed = "vacancies" if charge > 0 else "interstitials"
        brought = (
            f"{'; '.join(str(part) for part in parts if part.charge)} bring{'s' * (len(parts) == 1)} {charge:+d} e"
        )
        change = f"{abs(charge)} Li {'fewer' if charge > 0 else 'more'}"
        if compensation is None:
            raise StructureError(
                "compensation",
                None,
                f"is missing, but the doping is aliovalent: {brought} to the cell",
                f"Set compensation to {needed} ({change}){self._isovalent_hint(parts)}.",
            )
        if compensation != needed:
            raise StructureError(
                "compensation",
                compensation,
                f"would add to the charge: {brought}, which needs {needed}, not {compensation}",
                f"Set compensation to {needed} ({change}).",
            )
        return self._fewer(lithium, charge) if charge > 0 else self._more(lithium, -charge)

    def _isovalent_hint(self, parts: list[Part]) -> str:
        hints = []
        for dopant in dict.fromkeys(part.dopant for part in parts if part.charge):
            charge = FORMAL_CHARGES[dopant]
            labels = [
                label
                for label in self.members
                if (held := self.replaced(label)) and held != dopant and FORMAL_CHARGES[held] == charge
                if dopant in CORNER_BONDS or not self.is_corner(label)
            ]
            if labels:
                hints.append(f", or put {dopant} on {' or '.join(labels)}")
        return "".join(hints)

    def _fewer(self, lithium: dict[str, int], n: int) -> dict[str, int]:
        total = sum(lithium.values())
        if n >= total:
            raise StructureError(
                "compensation", "vacancies", f"would take {n} of the {total} Li of the cell", "Dope less."
            )
        taken = _shared_out(n, lithium)
        return {label: count - taken[label] for label, count in lithium.items()}

    def _more(self, lithium: dict[str, int], n: int) -> dict[str, int]:
        # Labels that hold something else beside Li keep their empty sites: a cation there is no place for Li.
        empty = {
            label: len(self.members[label]) - sum(self.counts[label].values())
            for label in lithium
            if set(self.counts[label]) == {"Li"}
        }
        held = ", ".join(f"{lithium[label]} Li on {len(self.members[label])} {label} sites" for label in lithium)
        if n > sum(empty.values()):
            raise StructureError(
                "compensation",
                "interstitials",
                f"needs {n} empty Li sites, and the host has {sum(empty.values())} ({held})",
                "Choose a host with partially occupied Li sites, or a doping that is isovalent or needs vacancies.",
            )
        most, closest = self._most_lithium(list(lithium))
        wanted = sum(lithium.values()) + n
        if wanted > most:
            raise StructureError(
                "compensation",
                "interstitials",
                f"would put {wanted} Li where {most} at most find room: {held}, of which neighbours as near as "
                f"{closest:.2f} Angstrom cannot both be taken",
                "Choose a host with more empty Li sites, or a doping that is isovalent or needs vacancies.",
            )
        added = _shared_out(n, empty)
        return {label: count + added.get(label, 0) for label, count in lithium.items()}

    def _most_lithium(self, labels: list[str]) -> tuple[int, float]:
        """Return a bound on the Li that fit on their sites, and the distance of the closest two sites.

        Of any two sites that exclude each other one stays empty, so no more fit than there are sites without the
        pairs of a matching.
        """
        sites = np.concatenate([self.members[label] for label in labels])
        i, j, distances = neighbor_list("ijd", self.parent[sites], float(exclusion_distances(("Li",))[0, 0]))
        free = np.ones(len(sites), dtype=bool)
        for k in np.argsort(distances, kind="stable"):
            if i[k] != j[k] and free[i[k]] and free[j[k]]:
                free[[i[k], j[k]]] = False
        return len(sites) - int((~free).sum()) // 2, float(distances.min(initial=np.inf))

    # -- arrangements ---------------------------------------------------------------------------------------

    def permutations(self, sites: tuple[int, ...]) -> NDArray[np.int64]:
        """Return what the symmetry of the host makes of some atoms, see `symmetry_permutations`."""
        if sites not in self._permutations:
            held = [(number, *sorted(self.shares[label].items())) for number, label in self._kinds()]
            kinds = [sorted(set(held), key=repr).index(kind) + 1 for kind in held]
            indices = np.array(sites, dtype=np.int64)
            self._permutations[sites] = symmetry_permutations(self.parent, indices, kinds)
        return self._permutations[sites]

    def _kinds(self) -> list[tuple[int, str]]:
        return list(zip(self.parent.numbers.tolist(), self.parent.arrays["sites"].tolist(), strict=True))

    def enumerate(self, plan: Plan) -> Enumeration:
        """Return the distinct arrangements of a doping.

        Raises
        ------
        StructureError
            If there are too many to be listed.
        """
        total = count_arrangements(plan.choices)
        if total > MAX_ARRANGEMENTS:
            raise StructureError(
                "configuration",
                total,
                f"arrangements of {_described(plan)} are too many; at most {MAX_ARRANGEMENTS} are enumerated",
                'Ask for {"sample": k}, k = 0, 1, ..., or for "sqs".',
            )
        key = (plan.sites, plan.choices)
        if key not in self._enumerations:
            if plan.sites:
                found = distinct_arrangements(self.permutations(plan.sites), plan.choices)
            else:
                found = Enumeration(np.empty((1, 0), dtype=np.uint8), np.ones(1, dtype=np.int64))
            self._enumerations[key] = found
        return self._enumerations[key]

    def check_configuration(self, plan: Plan, configuration: Configuration) -> None:
        """Refuse an arrangement that does not exist, without making it.

        Raises
        ------
        StructureError
            If it does not.
        """
        kind, number = read_configuration(configuration)
        if kind == "sqs" or (kind == "sample" and count_arrangements(plan.choices) > MAX_ARRANGEMENTS):
            return
        distinct = len(self.enumerate(plan))
        if number >= distinct:
            what = {"index": "an index", "sample": '{"sample": k} with k'}[kind]
            raise StructureError(
                "configuration",
                configuration,
                f"is not among the {distinct} distinct arrangements of {_described(plan)}",
                f"Give {what} from 0 to {distinct - 1}.",
            )

    def arrange(self, plan: Plan, configuration: Configuration, seed: int) -> Arrangement:
        """Return where the dopants of a doping are.

        Parameters
        ----------
        plan : Plan
        configuration : int, {"sample": k} or "sqs"
        seed : int
            Decides draws and the search for a special quasi-random arrangement.

        Raises
        ------
        StructureError
            If there is no such arrangement.
        """
        self.check_configuration(plan, configuration)
        kind, number = read_configuration(configuration)
        total = count_arrangements(plan.choices)
        if kind == "sqs" and plan.sites:
            around = shells(self.parent, np.array(plan.sites, dtype=np.int64))
            colours, objective = quasirandom(plan.choices, around, seed)
            return Arrangement(_placed(plan, colours), total, mismatch=objective)
        if total > MAX_ARRANGEMENTS:
            return Arrangement(_placed(plan, self._draw(plan, number, seed)), total)
        found = self.enumerate(plan)
        index = int(race(found.degeneracies, seed)[number]) if kind == "sample" else number
        dopants = _placed(plan, found.colours[index])
        return Arrangement(dopants, total, index, len(found), int(found.degeneracies[index]))

    def _draw(self, plan: Plan, number: int, seed: int) -> Colours:
        key = (plan.sites, plan.choices, seed)
        if key not in self._draws:
            self._draws[key] = (distinct_draws(self.permutations(plan.sites), plan.choices, seed), [])
        draws, drawn = self._draws[key]
        while len(drawn) <= number:
            colours = next(draws, None)
            if colours is None:
                raise StructureError(
                    "configuration",
                    {"sample": number},
                    f"is not reached: {len(drawn)} distinct arrangements were drawn, and then nothing new",
                    f"Give a sample from 0 to {len(drawn) - 1}.",
                )
            drawn.append(colours)
        return drawn[number]

    # -- labels ---------------------------------------------------------------------------------------------

    def formula(self, plan: Plan) -> str:
        """Return the composition for each formula unit of the host, as Li6PS4.75O0.25Cl."""
        return formula(self.doped_composition(plan), self.units)

    def doped_composition(self, plan: Plan) -> Counter[str]:
        """Return the atoms of the doped host by element."""
        counts = self.composition()
        for part in plan.parts:
            counts[part.replaced] -= part.count
            counts[part.dopant] += part.count
        counts["Li"] = sum(plan.lithium.values())
        return counts

    def label(self, plan: Plan, configuration: Configuration) -> str:
        """Return what people read: formula, sublattices and arrangement, as Li6PS4.75O0.25Cl#16e-02.

        Raises
        ------
        StructureError
            If there is no such arrangement.
        """
        self.check_configuration(plan, configuration)
        parts = [part for part in plan.parts if part.count]
        if not parts:
            return self.formula(plan)
        kind, number = read_configuration(configuration)
        arrangement = {"index": f"{number:02d}", "sample": f"s{number:02d}", "sqs": "sqs"}[kind]
        return f"{self.formula(plan)}#{self._sites_label(parts)}-{arrangement}"

    def _sites_label(self, parts: list[Part]) -> str:
        """Name the sublattices in the order of the dopants, with counts where the formula leaves them open."""
        sites = [part.site for part in parts]
        if len(set(sites)) == 1:
            return sites[0]
        dopants = [part.dopant for part in parts]
        told = len(set(dopants)) == len(dopants) and not set(dopants) & set(self.composition())
        return "+".join(part.site if told else f"{part.site}:{part.dopant}{part.count}" for part in parts)


def _shared_out(n: int, capacities: Mapping[str, int]) -> dict[str, int]:
    """Share out n in proportion to capacities, whole numbers, by the largest remainders."""
    total = sum(capacities.values())
    exact = {label: n * capacity / total for label, capacity in capacities.items()}
    shares = {label: int(np.floor(value)) for label, value in exact.items()}
    rest = sorted(exact, key=lambda label: (shares[label] - exact[label], label))
    for label in rest[: n - sum(shares.values())]:
        shares[label] += 1
    return shares


def _described(plan: Plan) -> str:
    return (
        ", ".join(f"{p.count} {p.dopant} on {len(p.sites)} {p.site} sites" for p in plan.parts) or "the pristine host"
    )


def _placed(plan: Plan, colours: Colours) -> dict[int, str]:
    host = len(plan.parts) + 1
    chosen = zip(plan.sites, colours.tolist(), strict=True)
    return {site: plan.parts[colour - 1].dopant for site, colour in chosen if colour != host}


def numbered_field(field: str, k: int, n: int) -> str:
    """Return the field of the k-th of n substitutions: doping.site, or doping[1].site where there are several."""
    return field.replace("doping.", f"doping[{k}].", 1) if n > 1 else field


def numbered(error: StructureError, k: int, n: int) -> StructureError:
    """Return a refusal that says which of n substitutions it is about."""
    return StructureError(numbered_field(error.field, k, n), error.value, error.problem, error.remedy)


# -- formulas -----------------------------------------------------------------------------------------------


def _formula_rank(element: str) -> tuple[int, int, str]:
    """Li first, then cations by charge, then anions as people write them."""
    if element == "Li":
        return 0, 0, element
    charge = FORMAL_CHARGES.get(element, 0)
    if charge >= 0:
        return 1, charge, element
    return 2, ANION_ORDER.index(element) if element in ANION_ORDER else len(ANION_ORDER), element


def formula(counts: Mapping[str, int], units: int) -> str:
    """Return a composition for each of ``units`` formula units, as Li6PS4.75O0.25Cl."""
    shares = {element: counts[element] / units for element in sorted(counts, key=_formula_rank) if counts[element]}
    return "".join(element if n == 1 else f"{element}{round(n, 4):g}" for element, n in shares.items())


# -- supercells ---------------------------------------------------------------------------------------------


def _is_whole(fraction: float, n_sites: int, tolerance: float = FRACTION_TOLERANCE) -> bool:
    return abs(fraction * n_sites - round(fraction * n_sites)) <= tolerance * n_sites


def _most_compact(n: int, lengths: NDArray[np.float64]) -> list[int]:
    """Return the repeats along the axes, n cells in all, that make the cell nearest to a cube; long along the last."""
    shapes = [[x, y, n // (x * y)] for x in range(1, n + 1) for y in range(1, n // x + 1) if n % (x * y) == 0]
    return min(shapes, key=lambda shape: (round(float(np.ptp(np.log(lengths * shape))), 6), shape))


def smallest_supercell(host: str | Mapping[str, Any], substitutions: Sequence[Substitution]) -> list[int]:
    """Return the repeats [nx, ny, nz] of a host's cell in which all fractions are whole numbers of sites.

    The fewest cells; of shapes with as many the one nearest to a cube. The supercell that the host asks for is left
    out of account.

    Raises
    ------
    StructureError
        If a host or site is unknown, or no supercell of up to 64 cells does.
    """
    lattice = Sublattices(host_parent({**host_settings(host), "supercell": [1, 1, 1]}))
    for substitution in substitutions:
        lattice.labels_of(substitution.site)
    found = lattice.smallest_supercell(substitutions)
    if found is None:
        raise StructureError(
            "doping.fraction",
            [substitution.fraction for substitution in substitutions],
            f"make no whole number of sites in any supercell of up to {MAX_CELLS} cells",
            "Round them to a ratio of small numbers.",
        )
    return found


# -- doping -------------------------------------------------------------------------------------------------


def dope(
    parent: Atoms | Lattice,
    substitutions: Sequence[Substitution],
    configuration: Configuration = 0,
    seed: int = 0,
    compensation: str | None = None,
) -> DopedCell:
    """Put dopants on sublattices of a host, and decide its partially occupied sites.

    Parameters
    ----------
    parent : Atoms or Lattice
        All sites of the host; it is not changed.
    substitutions : sequence of Substitution
        Made together; none leaves the host as it is.
    configuration : int, {"sample": k} or "sqs"
        Index among the distinct arrangements of all substitutions together; the k-th distinct draw; or the special
        quasi-random one.
    seed : int
        Of draws, of the quasi-random search and of the ordering.
    compensation : str, optional
        "vacancies" or "interstitials" of Li, where the doping brings a charge.

    Returns
    -------
    DopedCell
        Substituted corners of a PS4 unit lie at the bond length of the new element. A fraction of 0 gives the
        pristine host and its label.

    Raises
    ------
    StructureError
        As :meth:`Lattice.plan` and :meth:`Lattice.arrange`, or if the sites cannot be ordered.
    """
    lattice = parent if isinstance(parent, Lattice) else Lattice(parent)
    plan = lattice.plan(substitutions, compensation)
    arrangement = lattice.arrange(plan, configuration, seed)
    atoms = lattice.parent.copy()
    atoms.info = {}
    for site, dopant in arrangement.dopants.items():
        atoms.symbols[site] = dopant
    _set_corner_bonds(atoms, arrangement.dopants)
    ordering = None
    if plan.ordered:
        atoms, report = order(atoms, _counts_left(lattice, plan, arrangement), list(arrangement.dopants), seed)
        ordering = report.to_dict()
    return DopedCell(atoms, lattice.label(plan, configuration), plan, arrangement, ordering)


def _counts_left(lattice: Lattice, plan: Plan, arrangement: Arrangement) -> dict[str, dict[str, int]]:
    """Return the atoms on the sites of each label that hold no dopant."""
    left = {label: dict(elements) for label, elements in lattice.counts.items()}
    for label, n in plan.lithium.items():
        left[label]["Li"] = n
    labels = lattice.parent.arrays["sites"]
    for label, n in Counter(str(labels[site]) for site in arrangement.dopants).items():
        replaced = str(lattice.replaced(label))
        if n > left[label][replaced]:
            raise StructureError(
                "configuration",
                n,
                f"dopants lie on {label}, which holds {left[label][replaced]} {replaced} beside exchanged anions",
                "Choose another arrangement, or dope the sublattices one by one.",
            )
        left[label][replaced] -= n
    return left


def _set_corner_bonds(atoms: Atoms, dopants: Mapping[int, str]) -> None:
    """Move each dopant that is bound to P to the length of its bond."""
    phosphorus = np.flatnonzero(atoms.symbols == "P")
    if len(phosphorus) == 0:
        return
    for site, dopant in dopants.items():
        bonds = atoms.get_distances(site, phosphorus, mic=True, vector=True)
        lengths = np.linalg.norm(bonds, axis=1)
        nearest = int(lengths.argmin())
        if lengths[nearest] < PHOSPHORUS_BOND:
            atoms.positions[site] += bonds[nearest] * (1 - CORNER_BONDS[dopant] / lengths[nearest])
