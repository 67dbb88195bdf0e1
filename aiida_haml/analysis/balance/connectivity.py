"""Whether lithium phosphide conducts from the metal to the electrolyte.

Li3P and LiP conduct electrons where Li2S and LiCl do not. P atoms without S that share lithium form a network; if one
leads through the layer, electrons reach the electrolyte and the layer grows on (on Li6PS5Cl it does, as lithium
diffuses through partly lithiated P: 10.1038/s41467-025-64357-3); if P is diluted among S and Cl below percolation
(0.2 of the sites of a face-centred lattice: D. Stauffer, A. Aharony, Introduction to Percolation Theory (1994)), it
does not.
"""

import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from vesin import NeighborList

from aiida_haml.analysis.balance.states import HOST, METAL, StateArray
from aiida_haml.arrays import FloatArray, IntArray
from aiida_haml.frames import Frames

#: P atoms nearer than this share lithium: 4.3 and 4.5 apart in Li3P, 4.1 in an antifluorite; Angstrom.
LINKED = 4.9
#: A network touches what it is nearer to than this, Angstrom: P-Li of the metal, P of the network to P of a unit.
TOUCHES = {METAL: 3.6, HOST: 5.5}


def networks(frame: Frames, phosphide: IntArray) -> IntArray:
    """Return the (M,) number of the network that each atom of P belongs to.

    Parameters
    ----------
    frame : Frames
        One frame.
    phosphide : (M,) int array
        Atoms of P without S.
    """
    i, j = _near(frame, frame.positions[0, phosphide], LINKED)
    graph = coo_matrix((np.ones(len(i)), (i, j)), shape=(len(phosphide), len(phosphide)))
    return np.asarray(connected_components(graph, directed=False)[1])


def connected_share(frame: Frames, phosphide: IntArray, network: IntArray, states: StateArray) -> float:
    """Return the share of P whose network touches both the metal and the electrolyte's P.

    Parameters
    ----------
    frame : Frames
        One frame.
    phosphide, network : (M,) int array
        Atoms of P without S, and what `networks` says of them.
    states : (N,) array
    """
    ends = {METAL: np.flatnonzero(states == METAL), HOST: np.flatnonzero((states == HOST) & (frame.numbers == 15))}
    positions = frame.positions[0]
    touched = np.ones(network.max() + 1, dtype=bool)
    for state, atoms in ends.items():
        both = np.concatenate([phosphide, atoms])
        i, j = _near(frame, positions[both], TOUCHES[state])
        own = i[(i < len(phosphide)) & (j >= len(phosphide))]
        touched &= np.isin(np.arange(len(touched)), network[own])
    return float(touched[network].mean())


def _near(frame: Frames, positions: FloatArray, reach: float) -> tuple[IntArray, IntArray]:
    """Return the pairs of points that are nearer than a reach, in both directions."""
    i, j = NeighborList(cutoff=reach, full_list=True).compute(positions, frame.cells[0], frame.pbc, "ij")
    return i.astype(np.int64), j.astype(np.int64)
