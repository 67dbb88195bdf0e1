"""Bonds and coordination, frame by frame.

A pair is bonded when it is closer than its cutoff: the first minimum of the pair distribution of crystals and
melts, between the bond and the next shell. Bonds of reference: P-S 2.02-2.05, P-O 1.54, P-Se 2.20, P-P 2.25,
P-Cl 2.04, P-F 1.57, Li-S 2.48, Li-O 2.00, Li-Se 2.60, Li-Cl 2.57, Li-F 2.02, Li-P 2.46-2.7 Angstrom.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations_with_replacement

import numpy as np
from ase.data import atomic_numbers, covalent_radii
from numpy.typing import NDArray
from vesin import NeighborList

from aiida_haml.frames import FloatArray, Frames

#: Bond cutoffs, Angstrom.
CUTOFFS: dict[frozenset[str], float] = {
    frozenset(pair.split("-")): cutoff
    for pair, cutoff in {
        "P-S": 2.6, "P-O": 2.0, "P-Se": 2.8, "P-P": 2.6, "P-Cl": 2.5, "P-F": 2.0,
        "Li-S": 3.2, "Li-O": 2.7, "Li-Se": 3.35, "Li-Cl": 3.3, "Li-F": 2.6, "Li-P": 3.2,
    }.items()
}  # fmt: skip

CHALCOGENS = ("S", "O", "Se")
ANIONS = ("S", "O", "Se", "Cl", "F", "P", "Br", "I", "N")


def cutoff(first: str, second: str) -> float:
    """Return the bond cutoff of a pair, Angstrom: 1.3 times the covalent radii where `CUTOFFS` lacks it."""
    known = CUTOFFS.get(frozenset((first, second)))
    if known is not None:
        return known
    return float(1.3 * (covalent_radii[atomic_numbers[first]] + covalent_radii[atomic_numbers[second]]))


class BondGraph:
    """Bonds of one frame as ordered pairs.

    Parameters
    ----------
    frame : Frames
        The first configuration is taken.

    Attributes
    ----------
    first, second : (B,) int array
        Each bond appears in both directions.
    """

    def __init__(self, frame: Frames) -> None:
        self.symbols = np.array(frame.symbols)
        elements = frame.elements
        limits = {(a, b): cutoff(a, b) for a, b in combinations_with_replacement(elements, 2)}
        neighbours = NeighborList(cutoff=max(limits.values()), full_list=True)
        i, j, d = neighbours.compute(
            points=frame.positions[0], box=frame.cells[0], periodic=frame.pbc.tolist(), quantities="ijd"
        )
        i, j = i.astype(np.int64), j.astype(np.int64)
        table = np.array([[limits[min(a, b), max(a, b)] for b in elements] for a in elements])
        index = np.searchsorted(elements, self.symbols)
        bonded = d < table[index[i], index[j]]
        self.first: NDArray[np.int64] = i[bonded]
        self.second: NDArray[np.int64] = j[bonded]

    def counts(self, centre: str, neighbours: tuple[str, ...]) -> NDArray[np.int64]:
        """Return, for each atom of one element, how many bonds it has to atoms of other elements."""
        chosen = np.isin(self.symbols[self.second], neighbours)
        total = np.bincount(self.first[chosen], minlength=len(self.symbols))
        return np.asarray(total[self.symbols == centre])


def frame_bonds(frame: Frames) -> dict[str, float]:
    """Return the bond metrics of one frame.

    Parameters
    ----------
    frame : Frames
        The first configuration is taken.

    Returns
    -------
    dict
        NaN where the elements needed are absent. All are means over atoms, dimensionless:

        - ``ps4_fraction``: P atoms with exactly four chalcogens (S, O, Se) bonded, of all P;
        - ``p_chalcogen_bonds``, ``p_s_bonds``, ``p_li_contacts``, ``p_p_contacts``: bonds for each P;
        - ``li_anion_coordination``: anions round each Li;
        - ``free_chalcogen_fraction``: chalcogens without a P neighbour (as in Li2S), of all chalcogens;
        - ``li_around_X`` for each anion X: Li round each X (8 in Li2S, Li2O, Li2Se; 6 in LiCl, LiF; 11 in
          Li3P).
    """
    graph = BondGraph(frame)
    present = set(frame.elements)
    chalcogens = tuple(c for c in CHALCOGENS if c in present)
    p_bonds = graph.counts("P", CHALCOGENS)
    bound = [graph.counts(c, ("P",)) > 0 for c in chalcogens]
    metrics = {
        "ps4_fraction": _mean(p_bonds == 4),
        "p_chalcogen_bonds": _mean(p_bonds),
        "p_s_bonds": _mean(graph.counts("P", ("S",))),
        "p_li_contacts": _mean(graph.counts("P", ("Li",))),
        "p_p_contacts": _mean(graph.counts("P", ("P",))),
        "li_anion_coordination": _mean(graph.counts("Li", ANIONS)),
        "free_chalcogen_fraction": _mean(~np.concatenate(bound)) if bound else float("nan"),
    }
    return metrics | {f"li_around_{x}": _mean(graph.counts(x, ("Li",))) for x in ANIONS if x in present}


def stream_bonds(frames: Frames) -> Iterator[dict[str, float]]:
    """Yield `frame_bonds` of each frame."""
    return (frame_bonds(frame) for frame in frames)


def bond_series(frames: Frames) -> dict[str, FloatArray]:
    """Return `frame_bonds` of all frames as (F,) arrays by name."""
    rows = list(stream_bonds(frames))
    return {name: np.array([row[name] for row in rows]) for name in rows[0]}


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if len(values) else float("nan")
