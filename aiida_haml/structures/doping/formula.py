"""Formulas and labels of doped hosts, as people write them."""

from collections.abc import Collection, Mapping, Sequence

from aiida_haml.structures.charges import FORMAL_CHARGES, MOBILE
from aiida_haml.structures.doping.parts import Part

#: Anions in a formula, after the cations; others follow in the order of the table of formal charges.
ANION_ORDER = ("N", "S", "O", "Se", "Te", "Cl", "F", "Br", "I")


def formula_rank(element: str) -> tuple[int, int, str]:
    """Li first, then cations by charge, then anions as people write them."""
    if element == MOBILE:
        return 0, 0, element
    charge = FORMAL_CHARGES.get(element, 0)
    if charge >= 0:
        return 1, charge, element
    return 2, ANION_ORDER.index(element) if element in ANION_ORDER else len(ANION_ORDER), element


def formula(counts: Mapping[str, int], units: int) -> str:
    """Return a composition for each of ``units`` formula units, as Li6PS4.75O0.25Cl."""
    shares = {element: counts[element] / units for element in sorted(counts, key=formula_rank) if counts[element]}
    return "".join(element if n == 1 else f"{element}{round(n, 4):g}" for element, n in shares.items())


def sites_label(parts: Sequence[Part], held: Collection[str]) -> str:
    """Name the sublattices in the order of the dopants, with counts where the formula leaves them open.

    ``held`` are the elements of the host.
    """
    sites = [part.site for part in parts]
    if len(set(sites)) == 1:
        return sites[0]
    dopants = [part.dopant for part in parts]
    told = len(set(dopants)) == len(dopants) and not set(dopants) & set(held)
    return "+".join(part.site if told else f"{part.site}:{part.dopant}{part.count}" for part in parts)
