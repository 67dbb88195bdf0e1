"""The sublattices of a host: what sits on them, and which can be doped by what."""

from collections import Counter
from collections.abc import Sequence
from functools import cached_property
from math import prod

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from aiida_haml.structures.charges import MOBILE, charges_of
from aiida_haml.structures.doping.bonds import CENTRE_BONDS, tetrahedron_bonds
from aiida_haml.structures.doping.settings import Substitution
from aiida_haml.structures.errors import StructureError
from aiida_haml.structures.host import site_counts
from aiida_haml.structures.host.crystal import SHARE_TOLERANCE

#: Cells of the host beyond which no supercell is proposed.
MAX_CELLS = 64

#: A fraction may miss a whole number of sites by this share of them.
FRACTION_TOLERANCE = 1e-6


class Sublattices:
    """The sublattices of a host: what sits on them, and which can be doped.

    Parameters
    ----------
    parent : Atoms
        All sites, labels in ``arrays['sites']`` and, where some are occupied in part, shares in
        ``info['occupancies']``, as :func:`aiida_haml.structures.host.parent` makes it.
    supercell : sequence of 3 int
        How often the parent repeats the host's own cell; only what errors propose depends on it.
    """

    def __init__(self, parent: Atoms, supercell: Sequence[int] = (1, 1, 1)) -> None:
        self.parent = parent
        self.supercell = tuple(supercell)
        self.charges = charges_of(parent)
        labels = parent.arrays["sites"]
        self.members = {str(label): np.flatnonzero(labels == label) for label in dict.fromkeys(labels.tolist())}
        occupancies = parent.info.get("occupancies", {})
        self.shares: dict[str, dict[str, float]] = {
            label: dict(occupancies.get(label, {parent.symbols[sites[0]]: 1.0}))
            for label, sites in self.members.items()
        }

    @cached_property
    def counts(self) -> dict[str, dict[str, int]]:
        """Atoms of each element on each sublattice.

        Raises
        ------
        StructureError
            If a share is no whole number of sites.
        """
        if "occupancies" in self.parent.info:
            return site_counts(self.parent)
        return {label: {self.parent.symbols[sites[0]]: len(sites)} for label, sites in self.members.items()}

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

    # -- what can be doped ----------------------------------------------------------------------------------

    def replaced(self, label: str) -> str | None:
        """Return the element that a dopant on a sublattice replaces, the most frequent; None where it cannot be doped.

        Full sublattices can, and those that lithium alone fills in part: which of its sites the dopant takes is drawn
        with what is quenched.
        """
        elements = self.shares[label]
        if not elements:
            return None
        full = sum(elements.values()) > 1 - SHARE_TOLERANCE
        return max(elements, key=lambda e: elements[e]) if full or self.is_drawn(label) else None

    def is_drawn(self, label: str) -> bool:
        """Say whether a sublattice is filled in part, by lithium alone."""
        elements = self.shares[label]
        return set(elements) == {MOBILE} and elements[MOBILE] < 1 - SHARE_TOLERANCE

    @cached_property
    def bonds(self) -> NDArray[np.int64]:
        """(B, 2) centres and corners of the host's tetrahedra."""
        return tetrahedron_bonds(self.parent)

    def is_corner(self, label: str) -> bool:
        """Say whether the sites of a sublattice are bound to the centre of a tetrahedron."""
        return bool(np.isin(self.members[label], self.bonds[:, 1]).any())

    def is_centre(self, label: str) -> bool:
        """Say whether the sites of a sublattice are the centres of tetrahedra."""
        return self.replaced(label) in CENTRE_BONDS and bool(np.isin(self.members[label], self.bonds[:, 0]).any())

    def fit(self, dopant: str, label: str) -> bool:
        """Say whether a dopant can take sites of a sublattice: cations replace cations, anions anions."""
        held = self.replaced(label)
        return held is not None and self.charges.get(dopant, 0) * self.charges[held] > 0

    def labels_of(self, site: str, dopant: str | None = None) -> tuple[str, ...]:
        """Return the sublattices that a label or an element names, for a dopant.

        Raises
        ------
        StructureError
            If there is none that can be doped, or not by this element.
        """
        found = (site,) if site in self.members else tuple(lab for lab in self.members if self.replaced(lab) == site)
        found = tuple(label for label in found if self.replaced(label))
        if found and (dopant is None or all(self.fit(dopant, label) for label in found)):
            return found
        offered = [label for label in self.members if (self.fit(dopant, label) if dopant else self.replaced(label))]
        can = ", ".join(f"{label} ({self.replaced(label)})" for label in offered) or "another host"
        if found and dopant is not None:
            kind = "cation" if self.charges[dopant] > 0 else "anion"
            problem = f"holds {self.replaced(found[0])}, and {dopant} is {'a' if kind == 'cation' else 'an'} {kind}"
        elif site in self.members:
            held = " and ".join(f"{e} {share:g}" for e, share in self.shares[site].items())
            problem = f"cannot be doped: it holds {held}, and dopants go to full sublattices or among lithium alone"
        else:
            problem = "is not a site of the host"
        raise StructureError("doping.site", site, problem, f"Choose one of {can}, or an element among them.")

    # -- supercells -----------------------------------------------------------------------------------------

    def smallest_supercell(self, substitutions: Sequence[Substitution]) -> list[int] | None:
        """Return the repeats [nx, ny, nz] of the host's own cell that make all fractions and shares whole.

        The fewest cells; of shapes with as many the one nearest to a cube. None if none of up to `MAX_CELLS` does.
        """
        cells = prod(self.supercell)
        members = {label: len(sites) / cells for label, sites in self.members.items()}
        wanted = []
        for substitution in substitutions:
            try:
                labels = self.labels_of(substitution.site)
            except StructureError:
                continue  # its own error is raised in its own turn
            places = (members[lab] * (self.shares[lab][MOBILE] if self.is_drawn(lab) else 1) for lab in labels)
            wanted.append((float(substitution.fraction), sum(places)))
        shares = [(share, members[label]) for label, shares in self.shares.items() for share in shares.values()]
        lengths = self.parent.cell.lengths() / np.array(self.supercell)
        return next(
            (
                _most_compact(n, lengths)
                for n in range(1, MAX_CELLS + 1)
                if all(is_whole(f, n * sites) and (round(f * n * sites) or not f) for f, sites in wanted)
                and all(is_whole(share, n * sites, SHARE_TOLERANCE) for share, sites in shares)
            ),
            None,
        )


def is_whole(fraction: float, n_sites: float, tolerance: float = FRACTION_TOLERANCE) -> bool:
    """Say whether a fraction is a whole number of sites."""
    return abs(fraction * n_sites - round(fraction * n_sites)) <= tolerance * n_sites


def _most_compact(n: int, lengths: NDArray[np.float64]) -> list[int]:
    """Return the repeats along the axes, n cells in all, that make the cell nearest to a cube; long along the last."""
    shapes = [[x, y, n // (x * y)] for x in range(1, n + 1) for y in range(1, n // x + 1) if n % (x * y) == 0]
    return min(shapes, key=lambda shape: (round(float(np.ptp(np.log(lengths * shape))), 6), shape))
