"""Hosts and reference phases: composition, charge, symmetry, neighbours."""

import re

import numpy as np
import pytest
import spglib
from ase import units
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from aiida_haml.structures.charges import formal_charge
from aiida_haml.structures.crystals import ARGYRODITE, HOSTS, LITHIUM, argyrodite, lithium
from aiida_haml.structures.errors import StructureError
from aiida_haml.structures.geometry import count_intact_tetrahedra, pairs_within
from tests.library import reference


def shell(atoms, centre, neighbour):
    """Return the nearest distance from one centre to a neighbour element and how many lie there."""
    symbols = np.array(atoms.get_chemical_symbols())
    pairs = pairs_within(atoms, 3.3)
    first = np.flatnonzero(symbols == centre)[0]
    chosen = pairs.distances[(pairs.i == first) & (symbols[pairs.j] == neighbour)]
    return chosen.min(), int((chosen < chosen.min() + 0.01).sum())


@pytest.mark.parametrize(
    ("name", "centre", "neighbour", "distance", "number"),
    [
        ("Li2S", "Li", "S", 2.477, 4),
        ("Li2O", "Li", "O", 2.001, 4),
        ("Li2Se", "Li", "Se", 2.598, 4),
        ("LiCl", "Li", "Cl", 2.570, 6),
        ("LiF", "Li", "F", 2.015, 6),
        ("Li", "Li", "Li", 3.040, 8),
        ("Li3P", "P", "Li", 2.462, 3),
        ("Li6PS5Cl", "P", "S", 2.02, 4),
        ("LiP", "P", "P", 2.22, 2),
    ],
)
def test_nearest_neighbours(name, centre, neighbour, distance, number):
    atoms = argyrodite() if name == "Li6PS5Cl" else reference(name)
    found, count = shell(atoms, centre, neighbour)
    assert found == pytest.approx(distance, abs=0.01)
    assert count == number


def test_argyrodite_is_whole_neutral_and_cubic():
    atoms = argyrodite()
    assert atoms.get_chemical_formula() == "Cl4Li24P4S20"
    assert formal_charge(atoms) == 0
    assert count_intact_tetrahedra(atoms) == 4
    np.testing.assert_allclose(atoms.cell.cellpar(), [9.859] * 3 + [90] * 3)
    labels, counts = np.unique(atoms.arrays["sites"], return_counts=True)
    assert dict(zip(labels.tolist(), counts.tolist(), strict=True)) == {
        "16e": 16, "24g": 24, "4a": 4, "4b": 4, "4d": 4,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("name", "formula", "density"),
    [
        ("Li2S", "Li8S4", 1.64),
        ("Li3P", "Li6P2", 1.44),
        ("LiCl", "Cl4Li4", 2.07),
        ("Li2O", "Li8O4", 2.01),
        ("LiF", "F4Li4", 2.64),
        ("Li2Se", "Li8Se4", 2.85),
        ("Li", "Li2", 0.534),
        ("Li3PO4", "Li6O8P2", 2.48),
        ("LiP", "Li8P8", 2.02),
    ],
)
def test_densities(name, formula, density):
    """Measured densities, g/cm3 (Li2Se and LiP: of their X-ray cells)."""
    atoms = reference(name)
    assert atoms.get_chemical_formula() == formula
    assert atoms.get_masses().sum() * units._amu * 1e27 / atoms.get_volume() == pytest.approx(density, rel=0.015)


@pytest.mark.parametrize(
    ("name", "centre", "neighbour", "number", "shortest", "longest"),
    [
        ("Li3PO4", "P", "O", 4, 1.53, 1.56),
        ("Li3PO4", "Li", "O", 4, 1.90, 2.03),
        ("LiP", "Li", "P", 6, 2.57, 2.77),
        ("LiP", "P", "Li", 6, 2.57, 2.77),
    ],
)
def test_shells_of_low_symmetry(name, centre, neighbour, number, shortest, longest):
    """Each atom has its whole shell between two distances, and nothing of that element until far beyond."""
    atoms = reference(name)
    symbols = np.array(atoms.get_chemical_symbols())
    pairs = pairs_within(atoms, 1.15 * longest)
    bonds = (symbols[pairs.i] == centre) & (symbols[pairs.j] == neighbour)
    assert (np.bincount(pairs.i[bonds], minlength=len(atoms))[symbols == centre] == number).all()
    assert pairs.distances[bonds].min() > shortest
    assert pairs.distances[bonds].max() < longest


def test_phosphorus_of_the_phosphide_forms_endless_helices():
    atoms = reference("LiP")
    phosphorus = atoms[atoms.symbols.search("P")]
    pairs = pairs_within(phosphorus, 2.5)
    assert (np.bincount(pairs.i) == 2).all()
    # Two helices run through the cell, with four atoms for each turn.
    n_chains, member = connected_components(coo_matrix((np.ones(len(pairs.i)), (pairs.i, pairs.j))))
    assert n_chains == 2
    assert np.bincount(member).tolist() == [4, 4]


@pytest.mark.parametrize("phase", [ARGYRODITE, LITHIUM], ids=lambda phase: phase.name)
def test_space_groups_and_labels_agree_with_spglib(phase):
    atoms = phase.build()
    found = spglib.get_symmetry_dataset((atoms.cell.array, atoms.get_scaled_positions(), atoms.numbers))
    assert found.number == phase.spacegroup
    for label in set(atoms.arrays["sites"].tolist()):
        # An orbit is as large as its label says, and holds one element.
        members = np.flatnonzero(atoms.arrays["sites"] == label)
        assert len(members) == int(re.match(r"\d+", label).group())
        assert len(set(found.equivalent_atoms[members].tolist())) == 1
    assert phase.source


def test_free_sulfur_is_surrounded_by_lithium_alone():
    atoms = argyrodite()
    pairs = pairs_within(atoms, 2.5)
    free = np.flatnonzero(atoms.arrays["sites"] == "4d")
    for sulfur in free:
        assert set(np.array(atoms.get_chemical_symbols())[pairs.j[pairs.i == sulfur]]) == {"Li"}


def test_lattice_constant_scales_the_cell():
    np.testing.assert_allclose(argyrodite(10.2).get_scaled_positions(), argyrodite().get_scaled_positions())
    assert lithium(3.44).cell.lengths()[0] == pytest.approx(3.44)
    assert set(HOSTS) == {"Li6PS5Cl"}


@pytest.mark.parametrize("a", [0.0, -1.0, float("nan")])
def test_impossible_lattice_constants_are_refused(a):
    with pytest.raises(StructureError, match="lattice constant"):
        argyrodite(a)


def test_an_unknown_element_is_refused():
    atoms = lithium()
    atoms.symbols[0] = "Xe"
    with pytest.raises(StructureError, match="Xe"):
        formal_charge(atoms)
