"""The lithium that balances what a doping brings: vacancies or interstitials, whole and with room."""

from collections.abc import Sequence

import numpy as np
from ase.neighborlist import neighbor_list

from aiida_haml.structures.charges import MOBILE
from aiida_haml.structures.doping.bonds import CORNER_BONDS
from aiida_haml.structures.doping.parts import Part, lithium_replaced, shared_out
from aiida_haml.structures.doping.sublattices import Sublattices
from aiida_haml.structures.errors import StructureError
from aiida_haml.structures.host.problem import exclusion_distances


def compensate(host: Sublattices, parts: Sequence[Part], compensation: str | None) -> dict[str, int]:
    """Return the sites of each label that lithium takes, or a cation in its place, in the neutral cell.

    Raises
    ------
    StructureError
        If the charge is not balanced, or not in the way asked for, or there is no room.
    """
    lithium = {label: counts[MOBILE] for label, counts in host.counts.items() if MOBILE in counts}
    charge = sum(part.charge for part in parts)
    if charge == 0:
        if compensation is not None:
            raise StructureError(
                "compensation", compensation, "is not needed: the doping leaves the cell neutral", "Leave it out."
            )
        return lithium
    needed = "vacancies" if charge > 0 else "interstitials"
    single = len(parts) == 1
    brought = f"{'; '.join(_in_words(host, p) for p in parts if p.charge)} bring{'s' * single} {charge:+d} e"
    change = f"{abs(charge)} Li {'fewer' if charge > 0 else 'more'}"
    if compensation is None:
        raise StructureError(
            "compensation",
            None,
            f"is missing, but the doping is aliovalent: {brought} to the cell",
            f"Set compensation to {needed} ({change}){_isovalent_hint(host, parts)}.",
        )
    if compensation != needed:
        raise StructureError(
            "compensation",
            compensation,
            f"would add to the charge: {brought}, which needs {needed}, not {compensation}",
            f"Set compensation to {needed} ({change}).",
        )
    if charge > 0:
        return _fewer(lithium, charge, lithium_replaced(parts))
    return _more(host, lithium, -charge)


def _in_words(host: Sublattices, part: Part) -> str:
    step = f"{part.dopant} {host.charges[part.dopant]:+d} for {part.replaced} {host.charges[part.replaced]:+d}"
    return f"{step} on {part.count} of {len(part.sites)} {part.site} sites"


def _isovalent_hint(host: Sublattices, parts: Sequence[Part]) -> str:
    hints = []
    for dopant in dict.fromkeys(part.dopant for part in parts if part.charge):
        labels = [
            label
            for label in host.members
            if (held := host.replaced(label)) and held != dopant and host.charges[held] == host.charges[dopant]
            if dopant in CORNER_BONDS or not host.is_corner(label)
        ]
        if labels:
            hints.append(f", or put {dopant} on {' or '.join(labels)}")
    return "".join(hints)


def _fewer(lithium: dict[str, int], n: int, replaced: int) -> dict[str, int]:
    left = sum(lithium.values()) - replaced
    if n >= left:
        raise StructureError("compensation", "vacancies", f"would take {n} of the {left} Li of the cell", "Dope less.")
    taken = shared_out(n, lithium)
    return {label: count - taken[label] for label, count in lithium.items()}


def _more(host: Sublattices, lithium: dict[str, int], n: int) -> dict[str, int]:
    # Labels that hold something else beside Li keep their empty sites: a cation there is no place for Li.
    empty = {
        label: len(host.members[label]) - sum(host.counts[label].values())
        for label in lithium
        if set(host.counts[label]) == {MOBILE}
    }
    held = ", ".join(f"{lithium[label]} Li on {len(host.members[label])} {label} sites" for label in lithium)
    if n > sum(empty.values()):
        raise StructureError(
            "compensation",
            "interstitials",
            f"needs {n} empty Li sites, and the host has {sum(empty.values())} ({held})",
            "Choose a host with partially occupied Li sites, or a doping that is isovalent or needs vacancies.",
        )
    most, closest = _most_lithium(host, list(lithium))
    wanted = sum(lithium.values()) + n
    if wanted > most:
        raise StructureError(
            "compensation",
            "interstitials",
            f"would put {wanted} Li where {most} at most find room: {held}, of which neighbours as near as "
            f"{closest:.2f} Angstrom cannot both be taken",
            "Choose a host with more Li sites (host: {file: ...}), or a doping that is isovalent or needs vacancies.",
        )
    added = shared_out(n, empty)
    return {label: count + added.get(label, 0) for label, count in lithium.items()}


def _most_lithium(host: Sublattices, labels: list[str]) -> tuple[int, float]:
    """Return a bound on the Li that fit on their sites, and the distance of the closest two sites.

    Of any two sites that exclude each other one stays empty, so no more fit than there are sites without the pairs of
    a matching.
    """
    sites = np.concatenate([host.members[label] for label in labels])
    reach = float(exclusion_distances((MOBILE,), host.charges)[0, 0])
    i, j, distances = neighbor_list("ijd", host.parent[sites], reach)
    free = np.ones(len(sites), dtype=bool)
    for k in np.argsort(distances, kind="stable"):
        if i[k] != j[k] and free[i[k]] and free[j[k]]:
            free[[i[k], j[k]]] = False
    return len(sites) - int((~free).sum()) // 2, float(distances.min(initial=np.inf))
