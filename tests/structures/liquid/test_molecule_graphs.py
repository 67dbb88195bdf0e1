"""Molecules: graphs against RDKit and networkx, geometries that are sound, inputs that are refused with a remedy."""

import networkx as nx
import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.formula import Formula
from hypothesis import given, settings
from hypothesis import strategies as st
from rdkit import Chem

from aiida_haml.structures.errors import StructureError
from aiida_haml.structures.liquid import Molecule, molecule_key
from aiida_haml.structures.liquid.geometry import read_molecule
from aiida_haml.structures.liquid.graphs import (
    bond_limit,
    bonds,
    check_molecules,
    count_intact,
    fragment_keys,
    fragments,
    graph_key,
)
from aiida_haml.structures.liquid.species import SOLVENTS, TABLE, conformers
from tests.molecules import molecule

#: Formulas and molar masses (g/mol) as the chemical literature has them.
KNOWN = {
    "DME": ("C4H10O2", 90.12), "DOL": ("C3H6O2", 74.08), "EC": ("C3H4O3", 88.06), "DMC": ("C3H6O3", 90.08),
    "FEC": ("C3H3FO3", 106.05), "PC": ("C4H6O3", 102.09), "EMC": ("C4H8O3", 104.10), "DEC": ("C5H10O3", 118.13),
    "Li": ("Li", 6.94), "FSI": ("F2NO4S2", 180.12), "TFSI": ("C2F6NO4S2", 280.15), "PF6": ("F6P", 144.96),
    "NO3": ("NO3", 62.00),
}  # fmt: skip

#: Isomers by formula, which a formula alone would confuse.
ISOMERS = ["COCCOC", "CCOCOC", "CCCCOO", "OCCCCO", "CC(C)(O)CO", "CCOCCO", "C1COCO1", "COC(C)=O", "CCC(=O)O", "CCOC=O"]

#: Bond lengths that MMFF or a table may give, Angstrom: gas-phase values within 0.06.
LENGTHS = {"CH": (1.05, 1.13), "CC": (1.46, 1.57), "SF": (1.54, 1.66), "FP": (1.58, 1.62), "NS": (1.52, 1.64)}


def rdkit_graph(smiles):
    mol = Chem.AddHs(Chem.MolFromSmiles(smiles))
    graph = nx.Graph()
    graph.add_nodes_from((a.GetIdx(), {"symbol": a.GetSymbol()}) for a in mol.GetAtoms())
    graph.add_edges_from((b.GetBeginAtomIdx(), b.GetEndAtomIdx()) for b in mol.GetBonds())
    return graph


def same_graph(first, second):
    return nx.is_isomorphic(first, second, node_match=lambda a, b: a == b)


def own_graph(atoms):
    graph = nx.Graph()
    graph.add_nodes_from((i, {"symbol": s}) for i, s in enumerate(atoms.get_chemical_symbols()))
    graph.add_edges_from(bonds(atoms).tolist())
    return graph


@pytest.mark.parametrize("name", TABLE)
def test_the_table_holds_the_substances_that_it_names(name):
    formula, mass = KNOWN[name]
    atoms = molecule(name)
    assert atoms.symbols.formula.format("hill") == formula
    assert atoms.get_masses().sum() == pytest.approx(mass, abs=0.02)
    assert atoms.info["charge"] == {"Li": 1}.get(name, 0 if name in SOLVENTS else -1)
    # Closed shells: an even number of electrons.
    assert (int(atoms.numbers.sum()) - atoms.info["charge"]) % 2 == 0


@pytest.mark.parametrize("name", [n for n in TABLE if n != "Li"])
def test_bonds_from_geometry_are_those_of_the_chemical_formula(name):
    reference = rdkit_graph(TABLE[name].smiles)
    for atoms in conformers(TABLE[name], 4, seed=3):
        assert same_graph(own_graph(atoms), reference)
        assert fragments(atoms) == [list(range(len(atoms)))]
        for i, j in bonds(atoms):
            low, high = LENGTHS.get("".join(sorted(atoms.symbols[[i, j]])), (0.9, 1.9))
            assert low < atoms.get_distance(i, j) < high


def test_hexafluorophosphate_is_a_regular_octahedron():
    atoms = molecule("PF6")
    angles = [atoms.get_angle(i, 0, j) for i in range(1, 7) for j in range(i + 1, 7)]
    np.testing.assert_allclose(np.sort(angles), [90.0] * 12 + [180.0] * 3, atol=1e-4)


def test_geometries_are_a_function_of_the_seed():
    first, again, other = (molecule("DME", seed=s).positions for s in (4, 4, 5))
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 0.05
    one, two = conformers(SOLVENTS["DME"], 2, seed=4)
    assert np.abs(one.positions - two.positions).max() > 0.05


@settings(max_examples=30, deadline=None)
@given(st.sampled_from(ISOMERS), st.sampled_from(ISOMERS), st.randoms(use_true_random=False))
def test_keys_are_equal_for_equal_graphs_and_only_for_those(first, second, random):
    graphs = [rdkit_graph(smiles) for smiles in (first, second)]
    order = list(graphs[1])
    random.shuffle(order)
    graphs[1] = nx.relabel_nodes(graphs[1], dict(enumerate(order)))
    keys = []
    for graph in graphs:
        symbols = [graph.nodes[i]["symbol"] for i in range(len(graph))]
        keys.append(graph_key(symbols, np.array(graph.edges, dtype=np.int64)))
    assert (keys[0] == keys[1]) == same_graph(*graphs)


def test_keys_depend_on_no_order_place_or_periodic_image():
    atoms = molecule("TFSI", seed=1)
    key = molecule_key(atoms)
    assert key.startswith("C2F6NO4S2-")
    moved = atoms[np.random.default_rng(0).permutation(len(atoms))]
    moved.rotate(50, (1, 2, 3))
    moved.set_cell([12.0, 13.0, 14.0])
    moved.pbc = True
    moved.wrap()  # through all faces of the cell
    assert np.ptp(moved.positions, axis=0).max() > 10
    assert molecule_key(moved) == key
    assert [k for k, _ in fragment_keys(moved.repeat((2, 1, 1)))] == [key, key]


def test_lithium_bonds_to_nothing_and_sulfur_not_across_nitrogen():
    salt = molecule("FSI")
    oxygen = salt.positions[salt.symbols == "O"][0]
    pair = salt + Atoms("Li", [oxygen + 1.9 * oxygen / np.linalg.norm(oxygen)])
    assert sorted(map(len, fragments(pair))) == [1, 9]
    assert count_intact(pair, {"FSI": molecule_key(salt)}) == {"FSI": 1}
    assert len(fragments(bulk("Li", cubic=True).repeat(2))) == 16
    assert bond_limit("S", "S") < salt.get_distance(*np.flatnonzero(salt.symbols == "S")) < 2.9
    assert bond_limit("S", "S") > 2.05  # disulfides are bonded


def test_a_broken_molecule_is_not_counted():
    cell = molecule("DME")
    cell.set_cell([14.0] * 3)
    cell.pbc = True
    both = cell.repeat((2, 1, 1))
    keys = {name: molecule_key(molecule(name)) for name in ("DME", "EC")}
    assert count_intact(both, keys) == {"DME": 2, "EC": 0}
    hydrogen = int(np.flatnonzero(both.symbols == "H")[0])
    both.positions[hydrogen] += [0.0, 0.0, 5.0]
    assert count_intact(both, keys) == {"DME": 1, "EC": 0}
    assert len(fragments(both)) == 3


@settings(max_examples=25, deadline=None)
@given(st.sampled_from([n for n in TABLE if n != "Li"]), st.integers(0, 2**31))
def test_molecules_are_recognised_while_they_vibrate(name, seed):
    atoms = molecule(name)
    key = molecule_key(atoms)
    # 0.06 Angstrom on each coordinate is three times the rms of a stiff bond at 300 K.
    atoms.positions += np.random.default_rng(seed).uniform(-0.06, 0.06, atoms.positions.shape)
    assert molecule_key(atoms) == key


def of_ones_own(**given):
    return conformers(Molecule.read(given, "mine").species("mine"), 1)[0]


def test_names_smiles_and_files_mean_the_same(tmp_path):
    by_name = molecule("EC")
    assert molecule_key(of_ones_own(smiles="C1COC(=O)O1")) == molecule_key(by_name)
    by_name.write(tmp_path / "mine.xyz", format="xyz")
    mol = Chem.AddHs(Chem.MolFromSmiles("O=C1OCCO1"))
    from rdkit.Chem import AllChem

    AllChem.EmbedMolecule(mol, randomSeed=1)
    Chem.MolToMolFile(mol, str(tmp_path / "mine.mol"))
    with Chem.SDWriter(str(tmp_path / "mine.sdf")) as writer:
        writer.write(mol)
    for suffix in ("xyz", "mol", "sdf"):
        atoms = of_ones_own(file=str(tmp_path / f"mine.{suffix}"), charge=0)
        assert molecule_key(atoms) == molecule_key(by_name)
    kept = of_ones_own(file=str(tmp_path / "mine.xyz"), charge=0)
    np.testing.assert_allclose(kept.positions, by_name.positions, atol=1e-5)


def test_own_coordinates_are_kept(tmp_path):
    molecule("DMC").write(tmp_path / "mine.xyz", format="xyz")
    given_ = read_molecule(tmp_path / "mine.xyz", charge=0) | {"density": 1.07}
    species = Molecule.read(given_).species("mine")
    assert (species.density, species.charge) == (1.07, 0)
    assert Formula.from_list(list(species.formula)).format("hill") == "C3H6O3"
    shapes = conformers(species, 2, seed=9)
    np.testing.assert_array_equal(shapes[0].positions, shapes[1].positions)


@pytest.mark.parametrize(
    ("call", "field", "remedy"),
    [
        (lambda: of_ones_own(smiles="ethylene carbonate!"), "smiles", "Correct the string"),
        (lambda: of_ones_own(smiles=""), "smiles", "Correct the string"),
        (lambda: of_ones_own(file="nowhere.xyz", charge=0), "file", "path"),
        (lambda: Molecule.read({"smiles": "C1CC"}, "x"), "smiles", "Correct the string"),
        (lambda: Molecule.read({"smiles": "[Li+].[F-]"}, "x"), "smiles", "alone"),
        (lambda: Molecule.read({"smiles": "CC", "densty": 1.0}, "x"), "densty", "Did you mean 'density'?"),
        (lambda: Molecule.read({"smiles": "CC", "density": 90}, "x"), "density", "g/cm"),
        (lambda: Molecule.read({"smiles": "CC", "charge": 0.5}, "x"), "charge", "whole number"),
        (lambda: Molecule.read({"smiles": "[O-]C", "charge": 0}, "x"), "charge", "Correct one"),
        (lambda: Molecule.read({"charge": 0}, "x"), "x", "symbols and positions"),
        (lambda: Molecule.read({"symbols": ["C", "O"], "positions": [[0, 0, 0]]}, "x"), "positions", "three finite"),
        (lambda: Molecule.read({"symbols": ["Xx"], "positions": [[0, 0, 0]]}, "x"), "symbols", "Elements"),
        (lambda: Molecule.read({"symbols": ["C", "O"], "positions": [[0, 0, 0], [9, 0, 0]]}, "x"), "x", "alone"),
        (lambda: Molecule.read("CC", "x"), "x", "reference"),
    ],
)
def test_what_is_no_molecule_is_refused_with_a_remedy(call, field, remedy):
    with pytest.raises(StructureError) as caught:
        call()
    assert field in caught.value.field
    assert remedy in caught.value.remedy


def test_an_xyz_file_needs_its_charge(tmp_path):
    molecule("EC").write(tmp_path / "mine.xyz", format="xyz")
    with pytest.raises(StructureError, match="carry none"):
        of_ones_own(file=str(tmp_path / "mine.xyz"))
    (tmp_path / "bad.xyz").write_text("no molecule\n")
    with pytest.raises(StructureError, match="is no xyz file"):
        read_molecule(tmp_path / "bad.xyz", 0)
    (tmp_path / "bad.sdf").write_text("no molecule\n")
    with pytest.raises(StructureError, match="RDKit"):
        read_molecule(tmp_path / "bad.sdf", 0)


def test_broken_and_grown_molecules_are_found():
    """A cell that numbers its molecules is held to them; without numbers the pieces are told, not judged."""
    atoms = Atoms("OH2OH2", [[0, 0, 0], [0.96, 0, 0], [-0.24, 0.93, 0], [5, 0, 0], [5.96, 0, 0], [4.76, 0.93, 0]])
    atoms.set_cell([12, 12, 12])
    atoms.pbc = True
    assert check_molecules(atoms).passed is None
    assert "2 H2O" in str(check_molecules(atoms))
    atoms.set_array("molecule", np.repeat([0, 1], 3))
    assert check_molecules(atoms).passed is True
    broken = atoms.copy()
    broken.positions[5] += [0, 3, 0]
    assert (check_molecules(broken).passed, check_molecules(broken).value) == (False, 1)
    grown = atoms.copy()
    grown.positions[3:] -= [3.9, 0, 0]
    assert check_molecules(grown).passed is False
