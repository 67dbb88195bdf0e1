"""The parts of a doping: each substitution as a whole number of sites of a host."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from aiida_haml.structures.charges import MOBILE, require_charges
from aiida_haml.structures.doping.bonds import CENTRE_BONDS, CORNER_BONDS
from aiida_haml.structures.doping.settings import Substitution, numbered_field
from aiida_haml.structures.doping.sublattices import MAX_CELLS, Sublattices, is_whole
from aiida_haml.structures.errors import StructureError


@dataclass(frozen=True)
class Part:
    """One substitution in a host: ``count`` of the atoms ``sites``, which hold ``replaced``, become ``dopant``.

    ``charge`` is the formal charge that it brings, e. Where ``drawn``, the sites are filled in part by lithium, and the
    ordering draws which of them the dopant takes.
    """

    dopant: str
    site: str
    labels: tuple[str, ...]
    replaced: str
    sites: tuple[int, ...]
    count: int
    charge: int
    drawn: bool


def make_parts(host: Sublattices, substitutions: Sequence[Substitution]) -> list[Part]:
    """Return the parts of a doping, in the order given.

    Raises
    ------
    StructureError
        If the host has no such sublattice, the cell cannot realise a fraction, or substitutions are in each other's
        way.
    """
    parts = []
    for k, substitution in enumerate(substitutions):
        try:
            parts.append(_part(host, substitution, substitutions))
        except StructureError as error:
            field = numbered_field(error.field, k, len(substitutions))
            raise StructureError(field, error.value, error.problem, error.remedy) from error
    _refuse_overlaps(parts)
    return parts


def _part(host: Sublattices, wanted: Substitution, together: Sequence[Substitution]) -> Part:
    require_charges([wanted.dopant], host.charges)
    labels = host.labels_of(wanted.site, wanted.dopant)
    sites = tuple(sorted(int(i) for label in labels for i in host.members[label]))
    replaced = str(host.replaced(labels[0]))
    if replaced == wanted.dopant:
        raise StructureError(
            "doping.dopant", wanted.dopant, f"is what {wanted.site} holds already", "Choose another element."
        )
    drawn = host.is_drawn(labels[0])
    held = sum(host.counts[label].get(replaced, 0) for label in labels)
    count = _count(host, wanted, held if drawn else len(sites), together)
    if count > held:
        raise StructureError(
            "doping.fraction",
            wanted.fraction,
            f"is {count} sites of {wanted.site}, which holds {held} {replaced} beside exchanged anions",
            f"Give at most {held / len(sites):g}, or exchange fewer anions.",
        )
    _require_bond(host, wanted, labels)
    charge = count * (host.charges[wanted.dopant] - host.charges[replaced])
    return Part(wanted.dopant, wanted.site, labels, replaced, sites, count, charge, drawn)


def _require_bond(host: Sublattices, wanted: Substitution, labels: tuple[str, ...]) -> None:
    """Refuse corners and centres of tetrahedra whose bonds to the dopant have no length here."""
    for kind, is_kind, known in (("corner", host.is_corner, CORNER_BONDS), ("centre", host.is_centre, CENTRE_BONDS)):
        if wanted.dopant not in known and any(is_kind(label) for label in labels):
            free = [label for label in host.members if host.fit(wanted.dopant, label) and not is_kind(label)]
            bond = f"P-{wanted.dopant}" if kind == "corner" else f"{wanted.dopant}-S"
            raise StructureError(
                "doping.site",
                wanted.site,
                f"is a {kind} of PS4, and no length of a {bond} bond is known here",
                f"Put {wanted.dopant} on {' or '.join(free)}, or take {', '.join(known)}."
                if free
                else f"Take one of {', '.join(known)}.",
            )


def _count(host: Sublattices, wanted: Substitution, n_sites: int, together: Sequence[Substitution]) -> int:
    """Return how many sites a fraction is, or refuse it and name the supercell that makes it whole."""
    exact = wanted.fraction * n_sites
    count = round(exact)
    if is_whole(wanted.fraction, n_sites) and (count or not wanted.fraction):
        return count
    low, high = int(np.floor(exact)), int(np.ceil(exact))
    nearest = " and ".join(f"{n / n_sites:g} ({n} site{'' if n == 1 else 's'})" for n in (low, high))
    cell = host.smallest_supercell(together)
    whole = f"The supercell {cell} makes it whole" if cell else f"No supercell of up to {MAX_CELLS} cells helps"
    raise StructureError(
        "doping.fraction",
        wanted.fraction,
        f"of {n_sites} sites is {exact:.4g}, and only whole sites can be doped",
        f"{whole}; here the nearest fractions are {nearest}.",
    )


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


def shared_out(n: int, capacities: dict[str, int]) -> dict[str, int]:
    """Share out n in proportion to capacities, whole numbers, by the largest remainders."""
    total = sum(capacities.values())
    exact = {label: n * capacity / total for label, capacity in capacities.items()}
    shares = {label: int(np.floor(value)) for label, value in exact.items()}
    rest = sorted(exact, key=lambda label: (shares[label] - exact[label], label))
    for label in rest[: n - sum(shares.values())]:
        shares[label] += 1
    return shares


def lithium_replaced(parts: Sequence[Part]) -> int:
    """Return how many lithium atoms cations take the place of."""
    return sum(part.count for part in parts if part.replaced == MOBILE)
