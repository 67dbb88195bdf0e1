"""How long a bond may be, by its two elements: in molecules that are packed, and in bonds that are followed."""

from ase.data import atomic_numbers, covalent_radii

#: Bond cutoffs, Angstrom: the first minimum of the pair distribution of crystals and melts, between bond and next
#: shell. Bonds of reference: P-S 2.02-2.05, P-O 1.54, P-Se 2.20, P-P 2.25, P-Cl 2.04, P-F 1.57, Li-S 2.48, Li-O 2.00,
#: Li-Se 2.60, Li-Cl 2.57, Li-F 2.02, Li-P 2.46-2.7, S-S 2.05.
CUTOFFS: dict[frozenset[str], float] = {
    frozenset(pair.split("-")): cutoff
    for pair, cutoff in {
        "P-S": 2.6, "P-O": 2.0, "P-Se": 2.8, "P-P": 2.6, "P-Cl": 2.5, "P-F": 2.0,
        "Li-S": 3.2, "Li-O": 2.7, "Li-Se": 3.35, "Li-Cl": 3.3, "Li-F": 2.6, "Li-P": 3.2,
        # Not by radii: the two S of bis(fluorosulfonyl)imide are 2.7-2.8 apart and not bonded.
        "S-S": 2.4, "S-Se": 2.55, "Se-Se": 2.7,
    }.items()
}  # fmt: skip
#: Multiple of the sum of covalent radii (ASE's table) for all others.
FACTOR = 1.3


def cutoff(first: str, second: str) -> float:
    """Return the bond cutoff of a pair, Angstrom."""
    known = CUTOFFS.get(frozenset((first, second)))
    if known is not None:
        return known
    return float(FACTOR * (covalent_radii[atomic_numbers[first]] + covalent_radii[atomic_numbers[second]]))
