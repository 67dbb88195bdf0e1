"""Is there enough metal? The lithium that an electrolyte can take up, and that beside it.

Reacted to the end, anions make their lithium salts (Li2S, LiCl) and cations their most lithium-rich phases (Li3P), or
the metal where lithium makes none: Li6PS5Cl + 8 Li -> 5 Li2S + Li3P + LiCl. Since a compound is neutral, each cation M
of charge q other than lithium takes up q and the m of Li(m)M, whatever the anions are. It is what thermodynamics
allows: an upper bound.

A cell with less metal runs dry before its electrolyte has reacted, and its rate falls for want of lithium as that of a
protective layer does. Metal of a few planes is none: its two faces see each other.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from math import ceil
from typing import Any

import numpy as np
from ase import Atoms

from aiida_haml.structures.charges import FORMAL_CHARGES, MOBILE, charges_of, require_charges

#: Lithium for each atom in the most lithium-rich phase with lithium; elements that are not here are left as they are.
RICHEST = {
    "P": 3.0, "As": 3.0, "Sb": 3.0, "Bi": 3.0,  # Li3P and its like
    "Si": 4.2, "Ge": 4.25, "Sn": 4.25,          # Li21Si5, Li17Ge4, Li17Sn4
    "Al": 2.25, "Ga": 2.0, "In": 13 / 3,        # Li9Al4, Li2Ga, Li13In3
    "Zn": 1.0, "Ca": 2.0,                       # LiZn, CaLi2
}  # fmt: skip

#: For results: metal over what can be taken up, and its thickness from outermost plane to outermost plane, Angstrom.
LEAST_RATIO, LEAST_THICKNESS = 1.5, 10.0

#: What rounding in a report may take off.
TOLERANCE = 1e-6


@dataclass(frozen=True)
class Reservoir:
    """The metal of a cell beside what its electrolyte can take up.

    Parameters
    ----------
    needed : float or None
        Lithium atoms that the electrolyte can take up; None where that cannot be told by oxidation states (molecules).
    metal : int
        Lithium atoms of the metal.
    thickness_A : float
        From outermost plane to outermost plane, Angstrom.
    """

    needed: float | None
    metal: int
    thickness_A: float

    @property
    def ratio(self) -> float | None:
        """Metal over what can be taken up; None where nothing can, or it cannot be told."""
        return self.metal / self.needed if self.needed else None

    def shortcomings(self) -> list[str]:
        """Return what is too little for results, in words."""
        found = []
        if self.ratio is not None and self.ratio < LEAST_RATIO - TOLERANCE:
            found.append(
                f"{self.metal} Li of the metal for the {self.needed:g} that the electrolyte can take up "
                f"({self.ratio:.2f}; results need {LEAST_RATIO:g})"
            )
        if self.thickness_A < LEAST_THICKNESS - TOLERANCE:
            found.append(f"a metal {self.thickness_A:.1f} Angstrom thick (results need {LEAST_THICKNESS:g})")
        return found

    def in_words(self) -> str:
        """Return the numbers in one phrase."""
        told = f"{self.metal} Li of the metal, {self.thickness_A:.1f} Angstrom thick"
        if self.ratio is None:
            return told
        return f"{told}, {self.ratio:.2f} of the {self.needed:g} that the electrolyte can take up"

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, the ratio among them."""
        ratio = None if self.ratio is None else round(self.ratio, 6)
        return asdict(self) | {"ratio": ratio, "enough": not self.shortcomings()}


def lithium_needed(counts: Mapping[str, float], charges: Mapping[str, int] = FORMAL_CHARGES) -> float:
    """Return the lithium that a neutral compound takes up when it reacts to the end.

    Parameters
    ----------
    counts : mapping
        Atoms of each element.
    charges : mapping
        Oxidation states, e.

    Raises
    ------
    StructureError
        If an element has no oxidation state.
    """
    require_charges(counts, charges)
    return sum(n * (charges[e] + RICHEST.get(e, 0.0)) for e, n in counts.items() if charges[e] > 0 and e != MOBILE)


def reservoir_of(electrolyte: Atoms, n_metal: int, thickness: float) -> Reservoir:
    """Return the reservoir of an electrolyte beside ``n_metal`` atoms of metal, ``thickness`` in Angstrom."""
    counts = Counter(electrolyte.get_chemical_symbols())
    return Reservoir(lithium_needed(counts, charges_of(electrolyte)), n_metal, thickness)


def enough_layers(needed: float, per_layer: int, spacing: float, slabs: int = 1) -> int:
    """Return the fewest layers of each slab that are metal enough for results.

    Parameters
    ----------
    needed : float
        Lithium atoms that the electrolyte can take up.
    per_layer : int
        Atoms of a layer.
    spacing : float
        Between layers as they are strained, Angstrom.
    slabs : int
        Slabs that share it.
    """
    thick = ceil(LEAST_THICKNESS / spacing - TOLERANCE) + 1
    return max(thick, ceil(LEAST_RATIO * needed / (per_layer * slabs) - TOLERANCE))


def mean_counts(parent: Atoms) -> dict[str, float]:
    """Return the atoms of each element of a host whose sites are filled in part."""
    totals: Counter[str] = Counter()
    shares = parent.info.get("occupancies", {})
    labels = parent.arrays["sites"].tolist() if "sites" in parent.arrays else parent.get_chemical_symbols()
    for label, symbol in zip(labels, parent.get_chemical_symbols(), strict=True):
        totals.update(shares.get(label, {symbol: 1.0}))
    return {element: float(np.round(n, 6)) for element, n in totals.items()}
