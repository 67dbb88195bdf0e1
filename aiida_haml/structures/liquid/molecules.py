"""Molecules of liquid electrolytes: a table, geometries from SMILES, and the graphs by which whole ones are known.

Solvents and ions of the table go by their short names; a person's own molecules come as SMILES, as coordinates or from
a file. Geometries are RDKit's: distance geometry with torsional knowledge (ETKDG, J. Chem. Inf. Model. 60, 2044 (2020))
from a seed, relaxed by MMFF94 or, where that lacks parameters, UFF. They are starting points: a level of theory has
its own.
"""

from __future__ import annotations

import difflib
import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.data import chemical_symbols, covalent_radii
from ase.formula import Formula
from ase.io import iread
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from aiida_haml.structures.checks import Finding
from aiida_haml.structures.errors import StructureError
from aiida_haml.structures.geometry import pairs_within

#: Two atoms of a molecule are bonded below this multiple of the sum of their covalent radii.
BOND_FACTOR = 1.3

#: Longest bonds where the multiple would reach the next shell, Angstrom. S...S across the nitrogen of FSI and TFSI is
#: 2.7-2.8, at the multiple's 2.73; S-S bonds are 2.05.
BOND_LIMITS = {frozenset({"S"}): 2.45}

#: Ions and metal: near everything and bonded to nothing, in the sense of a molecule.
UNBONDED = ("Li",)

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
        return tuple(atom.GetSymbol() for atom in parse_smiles(self.smiles or "", self.name).GetAtoms())


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

#: Files that hold a molecule.
SUFFIXES = (".xyz", ".mol", ".sdf")


# -- geometries ---------------------------------------------------------------------------------------------


def molecule(source: str | Path, seed: int = 0, charge: int | None = None) -> Atoms:
    """Return one molecule, not periodic, its centre at the origin.

    Parameters
    ----------
    source : str or Path
        A name of the table (``DME``, ``FSI-``), a SMILES string, or an xyz, mol or sdf file.
    seed : int
        Of the conformer.
    charge : int, optional
        e; needed for an xyz file, elsewhere it must agree.

    Returns
    -------
    Atoms
        With ``info['name']`` and ``info['charge']``.

    Raises
    ------
    StructureError
        If the source is neither, or no geometry is found.
    """
    species = find_species(source, charge)
    return conformers(species, 1, seed)[0]


def find_species(source: str | Path, charge: int | None = None) -> Species:
    """Return what a name, a SMILES string or a file means.

    Raises
    ------
    StructureError
        If it means nothing.
    """
    text = str(source)
    if Path(text).suffix.lower() in SUFFIXES:
        return own_species(Path(text).stem, read_molecule(text, charge))
    known = TABLE.get(text) or IONS.get(text.rstrip("+-"))
    if known is None and _is_smiles(text):
        known = own_species(text, {"smiles": text})
    if known is None:
        raise StructureError(
            "molecule",
            text,
            "is no known name, no SMILES and no xyz, mol or sdf file",
            nearest(text, TABLE) + " Or give a SMILES string.",
        )
    _require_charge(known.name, charge, known.charge)
    return known


def own_species(name: str, given: Mapping[str, Any]) -> Species:
    """Return a person's own molecule.

    Parameters
    ----------
    name : str
    given : mapping
        ``smiles``, or ``symbols`` and ``positions`` (as `read_molecule` gives them); ``charge`` (e; from the SMILES
        where left out), ``density`` (g/cm^3), ``source`` (of the density).

    Raises
    ------
    StructureError
        If something is unknown, missing or contradictory.
    """
    field = f"liquid.molecules.{name}"
    if not isinstance(given, Mapping):
        raise StructureError(field, given, "is no description of a molecule", "Give {smiles: ..., density: ...}.")
    known = ("smiles", "symbols", "positions", "charge", "density", "source")
    for key in given:
        if key not in known:
            raise StructureError(
                f"{field}.{key}", given[key], "has an unknown key", f"{nearest(str(key), known)} A file is read first."
            )
    charge, density = given.get("charge"), given.get("density")
    if charge is not None and (isinstance(charge, bool) or not isinstance(charge, int) or abs(charge) > 4):
        raise StructureError(f"{field}.charge", charge, "is not a charge", "Give a whole number from -4 to 4.")
    if density is not None and (
        isinstance(density, bool) or not isinstance(density, (int, float)) or not 0.3 <= density <= 5.0
    ):
        raise StructureError(f"{field}.density", density, "is not a density", "Give 0.3 to 5 g/cm^3.")
    source = str(given.get("source", "given by the user"))
    smiles = given.get("smiles")
    if smiles is not None:
        found = int(_formal_charge(parse_smiles(smiles, name)))
        _require_charge(name, charge, found)
        if given.get("symbols") is None:
            return Species(name, str(smiles), found, density, source)
        charge = found
    symbols, positions = _geometry(name, given)
    return Species(name, smiles, int(charge or 0), density, source, symbols, positions)


def _geometry(name: str, given: Mapping[str, Any]) -> tuple[tuple[str, ...], tuple[tuple[float, float, float], ...]]:
    """Check coordinates that stand in a specification."""
    field = f"liquid.molecules.{name}"
    symbols, positions = given.get("symbols"), given.get("positions")
    if symbols is None or positions is None:
        raise StructureError(
            field,
            sorted(given),
            "gives neither a SMILES string nor coordinates",
            "Give smiles, or symbols and positions.",
        )
    unknown = sorted({str(s) for s in symbols} - set(chemical_symbols[1:]))
    try:
        points = np.array(positions, dtype=float)
    except (TypeError, ValueError):
        points = np.empty(0)
    if unknown or points.shape != (len(symbols), 3) or not np.isfinite(points).all() or len(symbols) == 0:
        raise StructureError(
            f"{field}.positions",
            unknown or list(points.shape),
            f"do not fit {len(symbols)} atoms of known elements",
            "Give one symbol and three finite coordinates in Angstrom for each atom.",
        )
    pieces = fragments(Atoms(symbols, points))
    if len(pieces) > 1:
        raise StructureError(
            field, len(pieces), "pieces that no bond joins are not one molecule", "Give each molecule alone."
        )
    return tuple(str(s) for s in symbols), tuple((float(x), float(y), float(z)) for x, y, z in points)


def read_molecule(path: str | Path, charge: int | None = None) -> dict[str, Any]:
    """Read an xyz, mol or sdf file into plain values, as `own_species` and a specification take them.

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
        raise StructureError("molecule", str(path), "is not a file that can be read", "Check the path.")
    if file.suffix.lower() == ".xyz":
        if charge is None:
            raise StructureError("charge", None, "is missing: xyz files carry none", "Give it, 0 for a solvent.")
        try:
            atoms = next(iter(iread(file, index=0, format="xyz")))
        except Exception as error:  # ASE's readers raise all kinds
            raise StructureError("molecule", str(path), f"is no xyz file ({error})", "Write it anew.") from error
        return {"symbols": atoms.get_chemical_symbols(), "positions": atoms.positions.tolist(), "charge": charge}
    from rdkit import Chem, rdBase

    with rdBase.BlockLogs():
        mol = next(iter(Chem.SDMolSupplier(str(file), removeHs=False)), None)
    if mol is None or mol.GetNumConformers() == 0:
        raise StructureError("molecule", str(path), "holds no molecule that RDKit reads", "Write it anew.")
    mol = Chem.AddHs(mol, addCoords=True)
    found = int(_formal_charge(mol))
    _require_charge(file.stem, charge, found)
    symbols = [atom.GetSymbol() for atom in mol.GetAtoms()]
    return {"symbols": symbols, "positions": mol.GetConformer().GetPositions().tolist(), "charge": found}


def conformers(species: Species, number: int, seed: int = 0) -> list[Atoms]:
    """Return geometries of one species, as many as asked, from a seed.

    A species with a geometry of its own has that one alone. The others are drawn independently of each other and each
    relaxed in vacuum: a spread of shapes, not a Boltzmann distribution.

    Raises
    ------
    StructureError
        If RDKit finds no geometry.
    """
    if species.positions is not None:
        return [_atoms(species, np.array(species.positions)) for _ in range(number)]
    mol = parse_smiles(species.smiles or "", species.name)
    return [_atoms(species, points) for points in _embed(mol, species.name, number, seed)]


def _embed(mol: Any, name: str, number: int, seed: int) -> list[NDArray[np.float64]]:
    from rdkit import rdBase
    from rdkit.Chem import rdDistGeom, rdForceFieldHelpers

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
        raise StructureError("molecule", name, "got no geometry from RDKit", "Give coordinates of your own instead.")
    # Six decimals: what files and hashes carry.
    return [np.round(mol.GetConformer(k).GetPositions(), 6) for k in found]


def _atoms(species: Species, points: NDArray[np.float64]) -> Atoms:
    atoms = Atoms(species.formula, np.round(points - points.mean(axis=0), 6))
    atoms.info = {"name": species.name, "charge": species.charge}
    return atoms


def parse_smiles(smiles: object, name: str) -> Any:
    """Return RDKit's molecule with its hydrogens.

    Raises
    ------
    StructureError
        If RDKit refuses the string, or it holds several molecules.
    """
    from rdkit import Chem, rdBase

    field = f"liquid.molecules.{name}.smiles"
    with rdBase.BlockLogs():
        mol = Chem.MolFromSmiles(smiles) if isinstance(smiles, str) and smiles.strip() else None
    if mol is None or mol.GetNumAtoms() == 0:
        raise StructureError(
            field, smiles, "is refused by RDKit", "Correct the string; ethylene carbonate, say, is O=C1OCCO1."
        )
    if "." in Chem.MolToSmiles(mol):
        raise StructureError(field, smiles, "holds several molecules", "Give each molecule and ion alone.")
    return Chem.AddHs(mol)


def nearest(name: str, known: Sequence[str] | Mapping[str, Any]) -> str:
    """Return a remedy: the nearest of the known names, or all of them."""
    folded = {one.lower(): one for one in known}
    close = difflib.get_close_matches(name.lower(), list(folded), n=1, cutoff=0.5)
    return f"Did you mean {folded[close[0]]}?" if close else f"Choose one of {', '.join(known)}."


def _is_smiles(text: str) -> bool:
    from rdkit import Chem, rdBase

    with rdBase.BlockLogs():
        return bool(text.strip()) and Chem.MolFromSmiles(text) is not None


def _formal_charge(mol: Any) -> int:
    return sum(atom.GetFormalCharge() for atom in mol.GetAtoms())


def _require_charge(name: str, given: int | None, found: int) -> None:
    if given is not None and given != found:
        raise StructureError(
            f"liquid.molecules.{name}.charge",
            given,
            f"contradicts the molecule, whose charge is {found}",
            "Correct one.",
        )


# -- graphs -------------------------------------------------------------------------------------------------


def bond_limit(first: str, second: str) -> float:
    """Return the longest bond of two elements, Angstrom; 0 where they make none within a molecule."""
    if first in UNBONDED or second in UNBONDED:
        return 0.0
    radii = covalent_radii[[chemical_symbols.index(first), chemical_symbols.index(second)]]
    return BOND_LIMITS.get(frozenset({first, second}), float(BOND_FACTOR * radii.sum()))


def bonds(atoms: Atoms) -> NDArray[np.int64]:
    """Return the (B, 2) bonded pairs i < j of a molecule or periodic cell, sorted; lithium has none."""
    symbols = sorted(set(atoms.get_chemical_symbols()))
    table = np.array([[bond_limit(a, b) for b in symbols] for a in symbols])
    if len(atoms) < 2 or not table.any():
        return np.empty((0, 2), dtype=np.int64)
    pairs = pairs_within(atoms, float(table.max()))
    index = np.searchsorted(symbols, atoms.get_chemical_symbols())
    bonded = (pairs.i < pairs.j) & (pairs.distances < table[index[pairs.i], index[pairs.j]])
    return np.unique(np.stack([pairs.i[bonded], pairs.j[bonded]], axis=1), axis=0).reshape(-1, 2)


def fragments(atoms: Atoms) -> list[list[int]]:
    """Return the atoms of each connected piece, ascending, pieces by their first atom; each lithium is its own."""
    return _pieces(len(atoms), bonds(atoms))


def _pieces(n: int, pairs: NDArray[np.int64]) -> list[list[int]]:
    graph = coo_array((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(n, n))
    _, piece = connected_components(graph, directed=False)
    order = np.argsort(piece, kind="stable")
    split = np.split(order, np.flatnonzero(np.diff(piece[order])) + 1)
    return sorted(part.tolist() for part in split if len(part))


def graph_key(symbols: Sequence[str], pairs: NDArray[np.int64]) -> str:
    """Return a name for a graph of elements that depends on neither order nor geometry.

    Weisfeiler-Lehman refinement (J. Mach. Learn. Res. 12, 2539 (2011)): each atom's label takes up those of its
    neighbours until no more atoms are told apart. Equal graphs have equal keys; the molecules of an electrolyte and
    what they break into differ in theirs.

    Parameters
    ----------
    symbols : sequence of str
    pairs : (B, 2) int array

    Returns
    -------
    str
        Hill formula and digest, as in ``C4H10O2-1f0e9a3b7c5d``.
    """
    neighbours: list[list[int]] = [[] for _ in symbols]
    for i, j in pairs.tolist():
        neighbours[i].append(j)
        neighbours[j].append(i)
    labels = list(symbols)
    told_apart = 0
    while told_apart < len(set(labels)):
        told_apart = len(set(labels))
        labels = [
            _digest(labels[i] + "(" + ",".join(sorted(labels[j] for j in neighbours[i])) + ")")
            for i in range(len(labels))
        ]
    formula = Formula.from_list(list(symbols)).format("hill")
    return f"{formula}-{_digest(' '.join(sorted(labels)))}"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def molecule_key(atoms: Atoms) -> str:
    """Return the `graph_key` of one molecule."""
    return graph_key(atoms.get_chemical_symbols(), bonds(atoms))


def fragment_keys(atoms: Atoms) -> Iterator[tuple[str, list[int]]]:
    """Yield key and atoms of each connected piece of a molecule or periodic cell."""
    pairs = bonds(atoms)
    symbols = atoms.get_chemical_symbols()
    place = np.empty(len(atoms), dtype=np.int64)
    of_atom = np.empty(len(atoms), dtype=np.int64)
    pieces = _pieces(len(atoms), pairs)
    for k, piece in enumerate(pieces):
        place[piece], of_atom[piece] = np.arange(len(piece)), k
    order = np.argsort(of_atom[pairs[:, 0]], kind="stable")
    ends = np.searchsorted(of_atom[pairs[order, 0]], np.arange(len(pieces) + 1))
    for k, piece in enumerate(pieces):
        inside = pairs[order[ends[k] : ends[k + 1]]]
        yield graph_key([symbols[i] for i in piece], place[inside]), piece


def count_intact(atoms: Atoms, expected: Mapping[str, str]) -> dict[str, int]:
    """Return how many whole molecules of each kind a cell holds.

    Parameters
    ----------
    atoms : Atoms
    expected : mapping
        Name to `molecule_key`.
    """
    found = [key for key, _ in fragment_keys(atoms)]
    return {name: found.count(key) for name, key in expected.items()}


def check_molecules(atoms: Atoms) -> Finding:
    """Find molecules that are broken or have grown together, in a cell that numbers them.

    Parameters
    ----------
    atoms : Atoms
        With ``arrays['molecule']`` as `build_liquid` gives it, negative for what is none; without it,
        the pieces are counted and not judged.
    """
    pieces = [piece for piece in fragments(atoms) if atoms.symbols[piece[0]] not in UNBONDED]
    numbers = atoms.arrays.get("molecule")
    if numbers is None or not pieces:
        kinds = Counter(atoms[piece].get_chemical_formula() for piece in pieces)
        known = ", ".join(f"{n} {formula}" for formula, n in sorted(kinds.items())) or "none"
        return Finding("molecules", None, "molecules", len(pieces), f"the cell does not number them; found are {known}")
    wanted = {tuple(np.flatnonzero(numbers == n).tolist()) for n in set(numbers.tolist()) if n >= 0}
    wanted = {molecule for molecule in wanted if atoms.symbols[molecule[0]] not in UNBONDED}
    whole = wanted & {tuple(piece) for piece in pieces}
    if len(whole) == len(wanted) == len(pieces):
        return Finding("molecules", True, "molecules", len(whole), f"{len(whole)} of {len(wanted)} are whole")
    problem = f"is the number of whole ones among {len(wanted)}; {len(pieces)} pieces were found"
    return Finding("molecules", False, "molecules", len(whole), problem, "Pack anew, or relax the cell first.")
