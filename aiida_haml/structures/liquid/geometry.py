"""Geometries of molecules, from SMILES and from files.

Geometries are RDKit's: distance geometry with torsional knowledge (ETKDG, J. Chem. Inf. Model. 60, 2044 (2020)) from a
seed, relaxed by MMFF94 or, where that lacks parameters, UFF. They are starting points: a level of theory has its own.
"""

from pathlib import Path
from typing import Any

import numpy as np
from ase.io import iread
from numpy.typing import NDArray

from aiida_haml.structures.errors import StructureError


def parse_smiles(smiles: str) -> Any:
    """Return RDKit's molecule with its hydrogens.

    Raises
    ------
    StructureError
        If RDKit refuses the string, or it holds several molecules.
    """
    from rdkit import Chem, rdBase

    with rdBase.BlockLogs():
        mol = Chem.MolFromSmiles(smiles) if smiles.strip() else None
    if mol is None or mol.GetNumAtoms() == 0:
        raise StructureError(
            "smiles", smiles, "is refused by RDKit", "Correct the string; ethylene carbonate, say, is O=C1OCCO1."
        )
    if "." in Chem.MolToSmiles(mol):
        raise StructureError("smiles", smiles, "holds several molecules", "Give each molecule and ion alone.")
    return Chem.AddHs(mol)


def formal_charge_of(mol: Any) -> int:
    """Return the charge of a molecule of RDKit's, e."""
    return sum(atom.GetFormalCharge() for atom in mol.GetAtoms())


def require_charge(given: int | None, found: int) -> None:
    """Refuse a charge that contradicts the molecule.

    Raises
    ------
    StructureError
    """
    if given is not None and given != found:
        raise StructureError("charge", given, f"contradicts the molecule, whose charge is {found}", "Correct one.")


def embed(smiles: str, number: int, seed: int) -> list[NDArray[np.float64]]:
    """Return geometries (N, 3) of a molecule in Angstrom, drawn independently and each relaxed in vacuum.

    Raises
    ------
    StructureError
        If RDKit finds no geometry.
    """
    from rdkit import rdBase
    from rdkit.Chem import rdDistGeom, rdForceFieldHelpers

    mol = parse_smiles(smiles)
    parameters: Any = rdDistGeom.ETKDGv3()  # the stubs know none of its attributes
    parameters.randomSeed = int(np.random.default_rng([seed, 1]).integers(2**31 - 1))
    parameters.numThreads = 1
    with rdBase.BlockLogs():
        found = list(rdDistGeom.EmbedMultipleConfs(mol, number, parameters))
        if len(found) < number:
            parameters.useRandomCoords = True
            found = list(rdDistGeom.EmbedMultipleConfs(mol, number, parameters))
        if len(found) == number and mol.GetNumAtoms() > 1:
            if rdForceFieldHelpers.MMFFHasAllMoleculeParams(mol):
                rdForceFieldHelpers.MMFFOptimizeMoleculeConfs(mol, numThreads=1, maxIters=5000)
            elif rdForceFieldHelpers.UFFHasAllMoleculeParams(mol):
                rdForceFieldHelpers.UFFOptimizeMoleculeConfs(mol, numThreads=1, maxIters=5000)
    if len(found) < number:
        raise StructureError("smiles", smiles, "got no geometry from RDKit", "Give coordinates of your own instead.")
    # Six decimals: what files and hashes carry.
    return [np.round(mol.GetConformer(k).GetPositions(), 6) for k in found]


def read_molecule(path: str | Path, charge: int | None = None) -> dict[str, Any]:
    """Read an xyz, mol or sdf file into plain values, as a specification takes them.

    Parameters
    ----------
    path : str or Path
    charge : int, optional
        e; needed for xyz, which has none.

    Raises
    ------
    StructureError
        If the file cannot be read or the charge is missing or contradictory.
    """
    file = Path(path)
    if not file.is_file():
        raise StructureError("file", str(path), "is not a file that can be read", "Check the path.")
    if file.suffix.lower() == ".xyz":
        if charge is None:
            raise StructureError("charge", None, "is missing: xyz files carry none", "Give it, 0 for a solvent.")
        try:
            atoms = next(iter(iread(file, index=0, format="xyz")))
        except Exception as error:  # ASE's readers raise all kinds
            raise StructureError("file", str(path), f"is no xyz file ({error})", "Write it anew.") from error
        return {"symbols": atoms.get_chemical_symbols(), "positions": atoms.positions.tolist(), "charge": charge}
    from rdkit import Chem, rdBase

    with rdBase.BlockLogs():
        mol = next(iter(Chem.SDMolSupplier(str(file), removeHs=False)), None)
    if mol is None or mol.GetNumConformers() == 0:
        raise StructureError("file", str(path), "holds no molecule that RDKit reads", "Write it anew.")
    mol = Chem.AddHs(mol, addCoords=True)
    found = formal_charge_of(mol)
    require_charge(charge, found)
    symbols = [atom.GetSymbol() for atom in mol.GetAtoms()]
    return {"symbols": symbols, "positions": mol.GetConformer().GetPositions().tolist(), "charge": found}
