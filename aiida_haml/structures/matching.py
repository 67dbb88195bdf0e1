"""Commensurate matches of two surface lattices.

The metal takes the strain: a supercell of its surface lattice, turned as it has to be, is stretched onto one
of the electrolyte's.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from aiida_haml.structures.errors import StructureError

Matrix = NDArray[np.float64]
IntMatrix = NDArray[np.int64]

#: How far beyond the limit a match is looked for, only to say in the refusal what there would be.
HINT_STRAIN = 0.15


@dataclass(frozen=True, eq=False)
class Match:
    """One commensurate pair of supercells.

    Parameters
    ----------
    electrolyte : (2, 2) int array
        Rows: supercell vectors in units of the electrolyte's surface vectors.
    metal : (2, 2) int array
        The same for the metal.
    deformation : (2, 2) array
        Takes the free metal's coordinates to the strained and turned one's: x' = F x.
    area : float
        Of the common cell, Angstrom^2.
    """

    electrolyte: IntMatrix
    metal: IntMatrix
    deformation: Matrix
    area: float

    @property
    def strain(self) -> Matrix:
        """(2, 2) symmetric strain of the metal V - 1, with F = V R, along the axes of the common cell."""
        u, s, _ = np.linalg.svd(self.deformation)
        return np.asarray((u * (s - 1)) @ u.T)

    @property
    def largest_strain(self) -> float:
        """Largest principal strain by size."""
        return float(np.abs(np.linalg.svd(self.deformation, compute_uv=False) - 1).max())

    @property
    def rotation_degrees(self) -> float:
        """Angle by which the metal is turned about the normal, -180 to 180."""
        u, _, vt = np.linalg.svd(self.deformation)
        turn = u @ vt
        return float(np.degrees(np.arctan2(turn[1, 0], turn[0, 0])))

    @property
    def n_metal_cells(self) -> int:
        """Surface cells of the metal in the common cell."""
        return round(abs(float(np.linalg.det(self.metal))))

    def rank(self) -> tuple[float, float, float, tuple[int, ...], tuple[int, ...]]:
        """Sort key: the smaller cell, the lesser strain, the smaller turn; the rest breaks ties for good."""
        return (
            round(self.area, 6),
            round(self.largest_strain, 9),
            round(abs(self.rotation_degrees), 6),
            tuple((-self.metal).ravel().tolist()),
            tuple(self.electrolyte.ravel().tolist()),
        )


def _supercells(lattice: Matrix, max_area: float) -> Iterator[IntMatrix]:
    """Yield all supercells up to an area, each with its shortest vectors, right-handed."""
    unit = abs(np.linalg.det(lattice))
    for n in range(1, int(max_area / unit + 1e-9) + 1):
        for a in (d for d in range(1, n + 1) if n % d == 0):
            for b in range(n // a):
                yield _reduced(np.array([[a, b], [0, n // a]], dtype=np.int64), lattice)


def _reduced(cell: IntMatrix, lattice: Matrix) -> IntMatrix:
    """Return the Gauss-reduced, right-handed basis of the same superlattice."""
    first, second = cell
    while True:
        u, v = first @ lattice, second @ lattice
        if v @ v < u @ u - 1e-9:
            first, second = second, first
            continue
        n = round(float(u @ v) / float(u @ u))
        if n == 0 or abs(abs(float(u @ v) / float(u @ u)) - 0.5) < 1e-9:
            break
        second = second - n * first
    reduced = np.array([first, second])
    if np.linalg.det(reduced @ lattice) < 0:
        reduced[1] *= -1
    return reduced


def _lattice_vectors(lattice: Matrix, low: float, high: float) -> IntMatrix:
    """Return all integer pairs whose lattice vectors have lengths from ``low`` to ``high``."""
    reach = int(np.ceil(high * np.linalg.norm(np.linalg.inv(lattice), axis=0).max())) + 1
    steps = np.arange(-reach, reach + 1)
    pairs = np.array(np.meshgrid(steps, steps, indexing="ij")).reshape(2, -1).T
    lengths = np.linalg.norm(pairs @ lattice, axis=1)
    return pairs[(lengths >= low - 1e-9) & (lengths <= high + 1e-9)]


def find_matches(electrolyte: Matrix, metal: Matrix, max_strain: float, max_area: float) -> list[Match]:
    """Return all commensurate matches within limits: the smallest cell first, then the least strain.

    Parameters
    ----------
    electrolyte, metal : (2, 2) array
        Surface vectors as rows, Angstrom, right-handed.
    max_strain : float
        Largest principal strain of the metal.
    max_area : float
        Of the common cell, Angstrom^2.

    Returns
    -------
    list of Match
        One for each pair of an electrolyte supercell and a set of principal strains and size of the metal's;
        turned or mirrored copies of the same match are left out.
    """
    matches: dict[tuple[object, ...], Match] = {}
    for cell in _supercells(electrolyte, max_area):
        target = cell @ electrolyte
        # A unit vector of the metal is stretched by no more than the principal strains.
        lengths = np.linalg.norm(target, axis=1)
        firsts, seconds = (_lattice_vectors(metal, n / (1 + max_strain), n / (1 - max_strain)) for n in lengths)
        for first in firsts:
            for second in seconds:
                supercell = np.array([first, second])
                if np.linalg.det(supercell) < 0.5:
                    continue
                deformation = np.asarray(np.linalg.solve(supercell @ metal, target).T, dtype=np.float64)
                match = Match(cell, supercell, deformation, float(np.linalg.det(target)))
                if match.largest_strain > max_strain:
                    continue
                stretches = np.round(np.linalg.svd(deformation, compute_uv=False), 8)
                key = (*cell.ravel().tolist(), match.n_metal_cells, *stretches.tolist())
                if key not in matches or match.rank() < matches[key].rank():
                    matches[key] = match
    return sorted(matches.values(), key=Match.rank)


def best_match(electrolyte: Matrix, metal: Matrix, max_strain: float, max_area: float) -> Match:
    """Return the match of the smallest cell and, within it, of the least strain.

    Raises
    ------
    StructureError
        If there is none; the message names the least strain there is in cells of that size.
    """
    found = find_matches(electrolyte, metal, max_strain, max_area)
    if found:
        return found[0]
    looser = find_matches(electrolyte, metal, HINT_STRAIN, max_area)
    nearest = min(looser, key=lambda match: (round(match.largest_strain, 6), match.rank()), default=None)
    remedy = "Allow a larger area (interface.max_area_A2)."
    if nearest is not None:
        remedy = (
            f"The least strain there is {nearest.largest_strain:.4f} (area {nearest.area:.1f} Angstrom^2): "
            "raise max_strain above it, or allow a larger area (interface.max_area_A2)."
        )
    raise StructureError(
        "interface.max_strain",
        max_strain,
        f"leaves no commensurate match in cells up to {max_area:g} Angstrom^2",
        remedy,
    )
