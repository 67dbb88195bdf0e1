"""A host that is doped: what dopings mean in it, and their arrangements; found once and asked often.

Arrangements are enumerated or drawn on the parent of the host, all its sites in their high-symmetry places, before
lithium is ordered and anything is displaced, so that each comes with the number of equivalent arrangements that it
stands for.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import gcd
from typing import Any

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from aiida_haml.structures.charges import MOBILE
from aiida_haml.structures.doping.arrangements import (
    Choice,
    Colours,
    Enumeration,
    count_arrangements,
    distinct_arrangements,
    distinct_draws,
    order_of_first_draws,
    symmetry_permutations,
)
from aiida_haml.structures.doping.compensation import compensate
from aiida_haml.structures.doping.formula import formula, formula_rank, sites_label
from aiida_haml.structures.doping.parts import Part, lithium_replaced, make_parts
from aiida_haml.structures.doping.quasirandom import quasirandom, shells
from aiida_haml.structures.doping.settings import Configuration, Sample, Substitution
from aiida_haml.structures.doping.sublattices import Sublattices
from aiida_haml.structures.errors import StructureError

#: More arrangements than this are drawn, not enumerated.
MAX_ARRANGEMENTS = 200_000


@dataclass(frozen=True)
class DopingPlan:
    """What a doping means in a host, but for its arrangement.

    ``parts`` come in the order of a formula, whatever order they were asked for in. ``sites`` are the atoms of those
    that are arranged. ``lithium`` is the number of sites on each label that lithium, or a cation in its place, takes.
    ``ordered`` says whether sites are left to be decided.
    """

    parts: tuple[Part, ...]
    sites: tuple[int, ...]
    lithium: dict[str, int]
    ordered: bool

    @property
    def arranged(self) -> tuple[Part, ...]:
        """The parts whose sites are enumerated."""
        return tuple(part for part in self.parts if not part.drawn)

    @property
    def choices(self) -> tuple[Choice, ...]:
        """The arranged parts as choices among ``sites``."""
        place = {site: k for k, site in enumerate(self.sites)}
        return tuple(Choice(tuple(place[site] for site in part.sites), part.count) for part in self.arranged)

    def __str__(self) -> str:
        words = (f"{p.count} {p.dopant} on {len(p.sites)} {p.site} sites" for p in self.parts)
        return ", ".join(words) or "the pristine host"


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


class Lattice(Sublattices):
    """A host that is doped: its sublattices, and their symmetry.

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
        self.units = gcd(*self.composition().values())
        self._plans: dict[Any, DopingPlan] = {}
        self._permutations: dict[tuple[int, ...], NDArray[np.int64]] = {}
        self._enumerations: dict[Any, Enumeration] = {}
        self._draws: dict[Any, tuple[Iterator[Colours], list[Colours]]] = {}

    def plan(self, substitutions: Sequence[Substitution], compensation: str | None = None) -> DopingPlan:
        """Return what a doping means in this host.

        Raises
        ------
        StructureError
            As :func:`make_parts` and :func:`compensate`.
        """
        key = (tuple(substitutions), compensation)
        if key not in self._plans:
            parts = make_parts(self, substitutions)
            parts.sort(key=lambda part: (formula_rank(part.dopant), part.sites[0], -len(part.sites)))
            lithium = compensate(self, parts, compensation)
            sites = sorted({site for part in parts if not part.drawn for site in part.sites})
            drawn = any(part.drawn and part.count for part in parts)
            ordered = self.disordered or compensation is not None or drawn
            self._plans[key] = DopingPlan(tuple(parts), tuple(sites), lithium, ordered)
        return self._plans[key]

    # -- arrangements ---------------------------------------------------------------------------------------

    def permutations(self, sites: tuple[int, ...]) -> NDArray[np.int64]:
        """Return what the symmetry of the host makes of some atoms, see `symmetry_permutations`."""
        if sites not in self._permutations:
            labels = self.parent.arrays["sites"].tolist()
            numbers = self.parent.numbers.tolist()
            held = [(z, *sorted(self.shares[label].items())) for z, label in zip(numbers, labels, strict=True)]
            kinds = [sorted(set(held), key=repr).index(kind) + 1 for kind in held]
            self._permutations[sites] = symmetry_permutations(self.parent, np.array(sites, dtype=np.int64), kinds)
        return self._permutations[sites]

    def enumerate(self, plan: DopingPlan) -> Enumeration:
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
                f"arrangements of {plan} are too many; at most {MAX_ARRANGEMENTS} are enumerated",
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

    def check_configuration(self, plan: DopingPlan, configuration: Configuration) -> None:
        """Refuse an arrangement that does not exist, without making it.

        Raises
        ------
        StructureError
            If it does not.
        """
        drawn = isinstance(configuration, Sample)
        if configuration == "sqs" or (drawn and count_arrangements(plan.choices) > MAX_ARRANGEMENTS):
            return
        number = configuration.sample if isinstance(configuration, Sample) else configuration
        distinct = len(self.enumerate(plan))
        if int(number) >= distinct:
            raise StructureError(
                "configuration",
                {"sample": number} if drawn else number,
                f"is not among the {distinct} distinct arrangements of {plan}",
                f"Give {'{sample: k} with k' if drawn else 'an index'} from 0 to {distinct - 1}.",
            )

    def arrange(self, plan: DopingPlan, configuration: Configuration, seed: int) -> Arrangement:
        """Return where the dopants of a doping are.

        Parameters
        ----------
        plan : DopingPlan
        configuration : int, Sample or "sqs"
        seed : int
            Decides draws and the search for a special quasi-random arrangement.

        Raises
        ------
        StructureError
            If there is no such arrangement.
        """
        self.check_configuration(plan, configuration)
        total = count_arrangements(plan.choices)
        if configuration == "sqs" and plan.sites:
            around = shells(self.parent, np.array(plan.sites, dtype=np.int64))
            colours, objective = quasirandom(plan.choices, around, seed)
            return Arrangement(_placed(plan, colours), total, mismatch=objective)
        if isinstance(configuration, Sample) and total > MAX_ARRANGEMENTS:
            return Arrangement(_placed(plan, self._draw(plan, configuration.sample, seed)), total)
        found = self.enumerate(plan)
        if isinstance(configuration, Sample):
            index = int(order_of_first_draws(found.degeneracies, seed)[configuration.sample])
        else:
            index = 0 if configuration == "sqs" else int(configuration)
        dopants = _placed(plan, found.colours[index])
        return Arrangement(dopants, total, index, len(found), int(found.degeneracies[index]))

    def _draw(self, plan: DopingPlan, number: int, seed: int) -> Colours:
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

    # -- what it is called ----------------------------------------------------------------------------------

    def doped_composition(self, plan: DopingPlan) -> Counter[str]:
        """Return the atoms of the doped host by element."""
        counts = self.composition()
        for part in plan.parts:
            counts[part.replaced] -= part.count
            counts[part.dopant] += part.count
        counts[MOBILE] = sum(plan.lithium.values()) - lithium_replaced(plan.parts)
        return counts

    def formula(self, plan: DopingPlan) -> str:
        """Return the composition for each formula unit of the host, as Li6PS4.75O0.25Cl."""
        return formula(self.doped_composition(plan), self.units)

    def label(self, plan: DopingPlan, configuration: Configuration) -> str:
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
        if isinstance(configuration, Sample):
            arrangement = f"s{configuration.sample:02d}"
        else:
            arrangement = "sqs" if configuration == "sqs" else f"{configuration:02d}"
        return f"{self.formula(plan)}#{sites_label(parts, self.composition())}-{arrangement}"


def _placed(plan: DopingPlan, colours: Colours) -> dict[int, str]:
    host = len(plan.arranged) + 1
    chosen = zip(plan.sites, colours.tolist(), strict=True)
    return {site: plan.arranged[colour - 1].dopant for site, colour in chosen if colour != host}
