"""A commensurate match of two surface lattices, and what it may cost.

A supercell of the metal's surface lattice, turned as it has to be, is laid onto one of the electrolyte's. What
they differ by is shared between the two sides: with F = V R the map of the metal's free supercell onto the
electrolyte's free one (R a turn, V a symmetric stretch), the metal is stretched by V^f and the electrolyte by
V^(f - 1), where f is the metal's share. With f = 1 the metal takes all of it, with f = 0 the electrolyte.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]
IntMatrix = NDArray[np.int64]


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
        F: takes the free metal's coordinates to the free electrolyte's, x' = F x.
    area : float
        Of the electrolyte's free supercell, Angstrom^2.
    metal_share : float
        Of the misfit, 0 to 1.
    """

    electrolyte: IntMatrix
    metal: IntMatrix
    deformation: Matrix
    area: float
    metal_share: float = 1.0

    @property
    def metal_deformation(self) -> Matrix:
        """(2, 2) map of the free metal onto the common cell, V^f R."""
        u, s, vt = np.linalg.svd(self.deformation)
        return self.deformation if self.metal_share == 1 else np.asarray((u * s**self.metal_share) @ vt)

    @property
    def electrolyte_deformation(self) -> Matrix:
        """(2, 2) map of the free electrolyte onto the common cell, V^(f - 1)."""
        u, s, _ = np.linalg.svd(self.deformation)
        return np.eye(2) if self.metal_share == 1 else np.asarray((u * s ** (self.metal_share - 1)) @ u.T)

    @property
    def strain(self) -> Matrix:
        """(2, 2) symmetric strain of the metal, V^f - 1, along the electrolyte's axes."""
        u, s, _ = np.linalg.svd(self.deformation)
        return np.asarray((u * (s**self.metal_share - 1)) @ u.T)

    @property
    def electrolyte_strain(self) -> Matrix:
        """(2, 2) symmetric strain of the electrolyte, V^(f - 1) - 1, along its own axes."""
        return self.electrolyte_deformation - np.eye(2)

    @property
    def largest_strain(self) -> float:
        """Largest principal strain of either side by size."""
        s = np.linalg.svd(self.deformation, compute_uv=False)
        return float(np.abs(np.concatenate([s**self.metal_share, s ** (self.metal_share - 1)]) - 1).max())

    @property
    def rotation_degrees(self) -> float:
        """Angle by which the metal is turned about the normal, -180 to 180."""
        f = self.deformation
        return float(np.degrees(np.arctan2(f[1, 0] - f[0, 1], f[0, 0] + f[1, 1])))

    @property
    def n_metal_cells(self) -> int:
        """Surface cells of the metal in the common cell."""
        return round(abs(float(np.linalg.det(self.metal))))

    @property
    def n_electrolyte_cells(self) -> int:
        """Surface cells of the electrolyte in the common cell."""
        return round(abs(float(np.linalg.det(self.electrolyte))))

    def rank(self) -> tuple[float, float, float, tuple[int, ...], tuple[int, ...]]:
        """Sort key: the smaller cell, the lesser strain, the smaller turn; the rest breaks ties for good."""
        return (
            round(self.area, 6),
            round(self.largest_strain, 9),
            round(abs(self.rotation_degrees), 6),
            tuple((-self.metal).ravel().tolist()),
            tuple(self.electrolyte.ravel().tolist()),
        )


@dataclass(frozen=True)
class Limits:
    """What a match may cost.

    Parameters
    ----------
    strain : float
        Largest principal strain of either side.
    area : float
        Of the common cell, Angstrom^2; one surface cell of the electrolyte is always tried.
    metal_share : float
        Of the misfit, 0 to 1.
    """

    strain: float
    area: float
    metal_share: float = 1.0

    def stretches(self) -> tuple[float, float]:
        """Return the range of principal stretches of F that keeps both sides within the strain."""
        shrink, grow = np.log1p(-self.strain), np.log1p(self.strain)
        metal, electrolyte = self.metal_share, 1 - self.metal_share
        lows = [shrink / metal if metal > 0 else -np.inf, -grow / electrolyte if electrolyte > 0 else -np.inf]
        highs = [grow / metal if metal > 0 else np.inf, -shrink / electrolyte if electrolyte > 0 else np.inf]
        return float(np.exp(max(lows))), float(np.exp(min(highs)))
