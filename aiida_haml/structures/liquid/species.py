"""Solvents and ions that go by their short names."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from aiida_haml.structures.liquid.geometry import embed, parse_smiles

_XU = "K. Xu, Chem. Rev. 104, 4303 (2004), tables 1 and 2"


@dataclass(frozen=True)
class Species:
    """One kind of molecule or ion.

    Parameters
    ----------
    name : str
        Short name.
    smiles : str, optional
        Left out where ``symbols`` and ``positions`` give a geometry.
    charge : int
        e.
    density : float, optional
        g/cm^3: of the neat liquid at 25 C for a solvent, of the crystal of its lithium salt for an anion.
    source : str
        Where the density comes from.
    symbols : tuple of str, optional
    positions : tuple of (x, y, z), optional
        Angstrom.
    """

    name: str
    smiles: str | None = None
    charge: int = 0
    density: float | None = None
    source: str = "given by the user"
    symbols: tuple[str, ...] | None = None
    positions: tuple[tuple[float, float, float], ...] | None = None

    @property
    def formula(self) -> tuple[str, ...]:
        """Chemical symbols of all atoms, hydrogen too; known without a geometry.

        Raises
        ------
        StructureError
            If RDKit refuses the SMILES.
        """
        if self.symbols is not None:
            return self.symbols
        return tuple(atom.GetSymbol() for atom in parse_smiles(self.smiles or "").GetAtoms())


def _octahedron(centre: str, corner: str, distance: float) -> dict[str, Any]:
    axes = [tuple(sign * distance if k == axis else 0.0 for k in range(3)) for axis in range(3) for sign in (1, -1)]
    return {"symbols": (centre, *[corner] * 6), "positions": ((0.0, 0.0, 0.0), *axes)}


#: Solvents by short name. Liquids at 25 C; neat EC melts at 36 C, so that its value is the melt's just above.
SOLVENTS = {
    species.name: species
    for species in (
        Species("DME", "COCCOC", 0, 0.8637, "CRC Handbook of Chemistry and Physics"),
        Species("DOL", "C1COCO1", 0, 1.06, _XU),
        Species("EC", "O=C1OCCO1", 0, 1.321, _XU + "; the melt just above 36 C"),
        Species("DMC", "COC(=O)OC", 0, 1.063, _XU),
        Species("FEC", "O=C1OCC(F)O1", 0, 1.454, "suppliers' data sheets (not checked against a measurement)"),
        Species("PC", "CC1COC(=O)O1", 0, 1.200, _XU),
        Species("EMC", "CCOC(=O)OC", 0, 1.006, _XU),
        Species("DEC", "CCOC(=O)OCC", 0, 0.969, _XU),
    )
}

#: Ions by short name, the density that of the lithium salt's crystal. In solution a salt takes about its crystal's
#: volume: 1 M LiPF6 in EC:DMC 1:1 comes out at 1.28 g/cm^3, where LP30's data sheets say 1.28 to 1.30.
IONS = {
    species.name: species
    for species in (
        Species("Li", "[Li+]", 1),
        Species("FSI", "O=S(=O)(F)[N-]S(=O)(=O)F", -1, 2.4, "rounded (not checked against a structure)"),
        Species(
            "TFSI",
            "FC(F)(F)S(=O)(=O)[N-]S(=O)(=O)C(F)(F)F",
            -1,
            2.15,
            "rounded from J. L. Nowinski et al., J. Mater. Chem. 4, 1579 (1994) (not checked)",
        ),
        Species(
            "PF6",
            "F[P-](F)(F)(F)(F)F",
            -1,
            2.84,
            "rounded from C. Roehr and R. Kniep, Z. Kristallogr. 209, 816 (1994) (not checked)",
            # A regular octahedron with the P-F of the crystal: UFF has no parameters for P-.
            **_octahedron("P", "F", 1.60),
        ),
        Species("NO3", "[O-][N+](=O)[O-]", -1, 2.38, "CRC Handbook of Chemistry and Physics"),
    )
}

#: Everything that goes by a name.
TABLE = SOLVENTS | IONS


def conformers(species: Species, number: int, seed: int = 0) -> list[Atoms]:
    """Return geometries of one species, as many as asked, from a seed; its own alone where it has one.

    They are drawn independently of each other and each relaxed in vacuum: a spread of shapes, not a Boltzmann
    distribution.

    Raises
    ------
    StructureError
        If RDKit finds no geometry.
    """
    if species.positions is not None:
        shapes = [np.array(species.positions)] * number
    else:
        shapes = embed(species.smiles or "", number, seed)
    return [_atoms(species, points) for points in shapes]


def _atoms(species: Species, points: NDArray[np.float64]) -> Atoms:
    atoms = Atoms(species.formula, np.round(points - points.mean(axis=0), 6))
    atoms.info = {"name": species.name, "charge": species.charge}
    return atoms
