"""A doped cell: dopants in their arrangement, bonds of their length, and every site decided."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ase import Atoms

from aiida_haml.structures.charges import MOBILE
from aiida_haml.structures.doping.bonds import set_bond_lengths
from aiida_haml.structures.doping.lattice import Arrangement, DopingPlan, Lattice
from aiida_haml.structures.doping.parts import shared_out
from aiida_haml.structures.doping.settings import Configuration, Substitution
from aiida_haml.structures.errors import StructureError
from aiida_haml.structures.geometry import TETRAHEDRON_ANIONS, count_intact_tetrahedra
from aiida_haml.structures.host import order


@dataclass(frozen=True, eq=False)
class DopedCell:
    """A doped host, its sites decided.

    ``ordering`` is what the ordering of partially occupied sites found, or None where there are none; ``tetrahedra``
    is the number of whole PS4 units that it should hold.
    """

    atoms: Atoms
    label: str
    plan: DopingPlan
    arrangement: Arrangement
    ordering: dict[str, Any] | None
    tetrahedra: int

    @property
    def dopants(self) -> tuple[int, ...]:
        """Indices of the dopants."""
        return dopant_indices(self.atoms, self.plan)


def dopant_indices(atoms: Atoms, plan: DopingPlan) -> tuple[int, ...]:
    """Return the atoms that are a dopant on one of its sublattices, in a cell that may be repeated or cut.

    Where anions of the host have changed places, those that sit where a dopant of the same element may are among them.
    """
    wanted = {(part.dopant, label) for part in plan.parts for label in part.labels if part.count}
    found = zip(atoms.get_chemical_symbols(), atoms.arrays["sites"].tolist(), strict=True)
    return tuple(i for i, pair in enumerate(found) if pair in wanted)


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
    configuration : int, Sample or "sqs"
        Index among the distinct arrangements of all substitutions together; the k-th distinct draw; or the special
        quasi-random one.
    seed : int
        Of draws, of the quasi-random search and of the ordering.
    compensation : str, optional
        "vacancies" or "interstitials" of Li, where the doping brings a charge.

    Returns
    -------
    DopedCell
        Corners and centres of tetrahedra lie at the bond length of the new element. A fraction of 0 gives the
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
    for site, dopant in arrangement.dopants.items():
        atoms.symbols[site] = dopant
    set_bond_lengths(atoms, arrangement.dopants, lattice.bonds)
    ordering = None
    if plan.ordered:
        atoms, report = order(atoms, _counts_left(lattice, plan, arrangement), list(arrangement.dopants), seed)
        ordering = report.to_dict()
    own_charges = lattice.parent.info.get("charges")
    atoms.info = {"charges": dict(own_charges)} if own_charges else {}
    label = lattice.label(plan, configuration)
    return DopedCell(atoms, label, plan, arrangement, ordering, _whole_tetrahedra(lattice, arrangement))


def _counts_left(lattice: Lattice, plan: DopingPlan, arrangement: Arrangement) -> dict[str, dict[str, int]]:
    """Return the atoms on the sites of each label that hold no dopant."""
    left = {label: dict(elements) for label, elements in lattice.counts.items()}
    for label, n in plan.lithium.items():
        left[label][MOBILE] = n
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
    for part in plan.parts:
        if part.drawn and part.count:
            for label, n in shared_out(part.count, {label: plan.lithium[label] for label in part.labels}).items():
                left[label][part.dopant] = left[label].get(part.dopant, 0) + n
                left[label][MOBILE] -= n
    return left


def _whole_tetrahedra(lattice: Lattice, arrangement: Arrangement) -> int:
    """Return how many PS4 the doped cell should hold: a unit with a corner of F or another centre is none."""
    dopants = arrangement.dopants
    centres, corners = lattice.bonds[:, 0].tolist(), lattice.bonds[:, 1].tolist()
    odd = {
        centre
        for centre, corner in zip(centres, corners, strict=True)
        if centre in dopants or dopants.get(corner, "S") not in TETRAHEDRON_ANIONS
    }
    phosphorus = {centre for centre in odd if lattice.parent.symbols[centre] == "P"}
    return count_intact_tetrahedra(lattice.parent) - len(phosphorus)
