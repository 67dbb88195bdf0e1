"""Cheap fingerprints of atoms' surroundings: how much of which element lies how far away.

For each neighbouring element a row of smooth shells, in the spirit of Behler and Parrinello's radial functions
(PRL 98, 146401 (2007)). They tell a labelled surrounding from one that is like no label; they do not name phases.
"""

from collections.abc import Sequence

import numpy as np
import vesin
from ase.data import atomic_numbers

from aiida_haml.arrays import FloatArray
from aiida_haml.frames import Frames

#: Reach of a surrounding, Angstrom.
CUTOFF = 5.0
#: Centres of the shells, Angstrom; neighbouring shells overlap.
_CENTRES = np.linspace(1.0, 4.6, 10)
_WIDTH = 0.4


def fingerprints(frames: Frames, elements: Sequence[str]) -> FloatArray:
    """Return the (F, N, 10 E) fingerprint of each atom in each frame.

    Parameters
    ----------
    frames : Frames
    elements : sequence of str
        The E neighbouring elements that count, in the order of the result.
    """
    kind = np.full(120, -1)
    kind[[atomic_numbers[symbol] for symbol in elements]] = np.arange(len(elements))
    kinds = kind[frames.numbers]
    rows = np.empty((len(frames), frames.n_atoms, len(elements), len(_CENTRES)))
    neighbours = vesin.NeighborList(cutoff=CUTOFF, full_list=True)
    for row, positions, cell in zip(rows, frames.positions, frames.cells, strict=True):
        i, j, distances = neighbours.compute(
            points=positions, box=cell, periodic=frames.pbc if frames.pbc.any() else False, quantities="ijd"
        )
        known = kinds[j] >= 0
        place = i[known].astype(np.int64) * len(elements) + kinds[j[known]]
        # Near shells hold few atoms and far ones many; by 1 / r both count alike.
        fading = 0.5 * (1 + np.cos(np.pi * distances[known] / CUTOFF)) / distances[known]
        for s, centre in enumerate(_CENTRES):
            share = fading * np.exp(-(((distances[known] - centre) / _WIDTH) ** 2) / 2)
            row[:, :, s] = np.bincount(place, share, minlength=frames.n_atoms * len(elements)).reshape(row.shape[:2])
    return rows.reshape(len(frames), frames.n_atoms, -1)
