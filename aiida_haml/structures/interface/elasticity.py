"""How much of a misfit each side of an interface takes, and what its height does then.

Linear elasticity in the plane stress of a film whose normal is free: the biaxial modulus Y of a film is its
stress over its strain when both in-plane directions are strained alike (W. D. Nix, Metall. Trans. A 20, 2217
(1989)). Two half spaces that are forced to one lattice share the misfit as Y_electrolyte to Y_metal. The
thicknesses of a cell do not enter: they are chosen by what can be computed, and the strain of a candidate
should not change when a layer is added.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class CubicElasticity:
    """Elastic constants of a cubic crystal, GPa, and where they come from."""

    c11: float
    c12: float
    c44: float
    source: str

    def stiffness(self) -> FloatArray:
        """Return the (3, 3, 3, 3) stiffness tensor along the cubic axes, GPa."""
        delta = np.eye(3)
        aligned = np.einsum("ia,ja,ka,la->ijkl", delta, delta, delta, delta)
        return np.asarray(
            self.c12 * np.einsum("ij,kl->ijkl", delta, delta)
            + self.c44 * (np.einsum("ik,jl->ijkl", delta, delta) + np.einsum("il,jk->ijkl", delta, delta))
            + (self.c11 - self.c12 - 2 * self.c44) * aligned
        )


@dataclass(frozen=True)
class IsotropicElasticity:
    """Young's modulus in GPa and Poisson's ratio of a polycrystal, and where they come from."""

    young: float
    poisson: float
    source: str

    @property
    def biaxial_modulus(self) -> float:
        """E / (1 - nu), GPa."""
        return self.young / (1 - self.poisson)

    def normal_strain(self, in_plane: FloatArray) -> float:
        """Return the strain along the free normal, -nu / (1 - nu) tr(e), of a (2, 2) in-plane strain."""
        return float(-self.poisson / (1 - self.poisson) * np.trace(in_plane))


#: Elastic constants of metals at room temperature.
METAL_ELASTICITY = {
    "Li": CubicElasticity(
        13.42,
        11.30,
        8.89,
        "T. Slotwinski and J. Trivisonno, J. Phys. Chem. Solids 30, 1276 (1969)",
    )
}

#: Polycrystalline Li6PS5Cl by DFT; what other thiophosphates have is near to it.
ARGYRODITE_ELASTICITY = IsotropicElasticity(
    22.1,
    0.37,
    "Z. Deng, Z. Wang, I.-H. Chu, J. Luo and S. P. Ong, J. Electrochem. Soc. 163, A67 (2016)",
)


def biaxial_modulus(crystal: CubicElasticity, indices: tuple[int, int, int]) -> float:
    """Return the biaxial modulus of a facet of a cubic crystal, GPa, its normal free of stress.

    The normal strains are eliminated from the stiffness in the facet's axes; what an equal strain in both
    in-plane directions costs is averaged over them, for facets on which they differ.
    """
    normal = np.array(indices, dtype=float) / np.linalg.norm(indices)
    helper = np.eye(3)[np.abs(normal).argmin()]
    first = np.cross(helper, normal)
    first /= np.linalg.norm(first)
    axes = np.array([first, np.cross(normal, first), normal])
    turned = np.einsum("ai,bj,ck,dl,ijkl->abcd", axes, axes, axes, axes, crystal.stiffness())
    pairs = [(0, 0), (1, 1), (0, 1), (2, 2), (1, 2), (0, 2)]
    voigt = np.array([[turned[a][b][c][d] for c, d in pairs] for a, b in pairs])
    reduced = voigt[:3, :3] - voigt[:3, 3:] @ np.linalg.solve(voigt[3:, 3:], voigt[3:, :3])
    return float(reduced[:2, :2].sum() / 2)


def metal_share_by_stiffness(metal: float, electrolyte: float) -> float:
    """Return the metal's share of a misfit from the biaxial moduli of both sides, GPa: the softer takes more."""
    return electrolyte / (metal + electrolyte)
