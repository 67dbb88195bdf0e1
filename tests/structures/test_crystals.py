"""Hosts and reference phases: composition, charge, symmetry, neighbours."""

import numpy as np
import pytest
import spglib

from aiida_haml.structures.checks import count_intact_tetrahedra, pairs_within
from aiida_haml.structures.crystals import (
    HOSTS,
    REFERENCE_PHASES,
    argyrodite,
    formal_charge,
    host,
    lithium,
    reference_phase,
    reference_phases,
)
from aiida_haml.structures.errors import StructureError


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
    ],
)
def test_nearest_neighbours(name, centre, neighbour, distance, number):
    found, count = shell(reference_phase(name), centre, neighbour)
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


@pytest.mark.parametrize("name", REFERENCE_PHASES)
def test_space_groups_and_labels_agree_with_spglib(name):
    phase, atoms = REFERENCE_PHASES[name], reference_phase(name)
    found = spglib.get_symmetry_dataset((atoms.cell.array, atoms.get_scaled_positions(), atoms.numbers))
    assert found.number == phase.spacegroup
    for label in set(atoms.arrays["sites"].tolist()):
        # An orbit is as large as its label says, and holds one element.
        members = np.flatnonzero(atoms.arrays["sites"] == label)
        assert len(members) == int(label[:-1])
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
    assert set(reference_phases()) == {"Li2S", "Li3P", "LiCl", "Li2O", "LiF", "Li2Se", "Li", "Li6PS5Cl"}
    assert set(HOSTS) == {"Li6PS5Cl"}


@pytest.mark.parametrize("a", [0.0, -1.0, float("nan")])
def test_impossible_lattice_constants_are_refused(a):
    with pytest.raises(StructureError, match="lattice constant"):
        argyrodite(a)


def test_unknown_names_are_refused_with_the_known_ones():
    with pytest.raises(StructureError, match=r"Li7P3S11.*Choose one of Li6PS5Cl"):
        host("Li7P3S11")
    with pytest.raises(StructureError, match="Li2S"):
        reference_phase("LiI")
    atoms = lithium()
    atoms.symbols[0] = "Na"
    with pytest.raises(StructureError, match="Na"):
        formal_charge(atoms)
