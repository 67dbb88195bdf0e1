"""Gaps against geometry done by hand, stacks against their sums."""

import numpy as np
import pytest
from ase import Atoms

from aiida_haml.structures.geometry import pairs_within
from aiida_haml.structures.interface.stacking import (
    CONTACTS,
    METAL_SITE,
    Layer,
    contact_distance,
    contact_gap,
    metal_layers,
    stack,
)
from tests.library import reference


def slab(symbol, positions, site):
    atoms = Atoms([symbol] * len(positions), positions, cell=[8, 8, 1], pbc=(True, True, False))
    atoms.set_array("sites", np.full(len(atoms), site))
    return atoms


@pytest.mark.parametrize("shift", [0.0, 0.5, 1.2, 2.0])
def test_the_gap_is_what_the_nearest_pair_needs(shift):
    gap = contact_gap(slab("S", [[0, 0, 0]], "16e"), slab("Li", [[0, 0, 0]], METAL_SITE), np.array([[shift, 0.0]]))
    assert gap[0] == pytest.approx(np.sqrt(CONTACTS["S"] ** 2 - shift**2))


def test_what_lies_deeper_needs_less():
    below = slab("S", [[0, 0, 0], [4, 4, 1.0]], "16e")
    gap = contact_gap(below, slab("Li", [[0, 0, 0]], METAL_SITE), np.zeros((1, 2)))
    assert gap[0] == pytest.approx(CONTACTS["S"] - 1.0)


def test_a_pair_across_the_boundary_is_seen():
    below, above = slab("S", [[0.2, 0, 0]], "16e"), slab("Li", [[7.9, 0, 0]], METAL_SITE)
    assert contact_gap(below, above, np.zeros((1, 2)))[0] == pytest.approx(np.sqrt(CONTACTS["S"] ** 2 - 0.3**2))


def test_contacts_are_the_neighbour_distances_of_the_binary_compounds():
    compounds = {"S": "Li2S", "O": "Li2O", "Se": "Li2Se", "Cl": "LiCl", "F": "LiF", "P": "Li3P"}
    for element, name in compounds.items():
        atoms = reference(name)
        symbols = np.array(atoms.get_chemical_symbols())
        pairs = pairs_within(atoms, 3.0)
        between = (symbols[pairs.i] == "Li") & (symbols[pairs.j] == element)
        assert pairs.distances[between].min() == pytest.approx(contact_distance(element), abs=1e-5)
    assert contact_distance("C") == pytest.approx(1.28 + 0.76)


@pytest.mark.parametrize("facet", [(1, 0, 0), (1, 1, 0), (1, 1, 1)])
@pytest.mark.parametrize("layers", [1, 2, 5])
def test_metal_layers_have_the_crystals_density_and_neighbours(facet, layers):
    atoms = metal_layers("Li", facet, layers)
    assert atoms.get_volume() / len(atoms) == pytest.approx(3.51**3 / 2)
    assert np.linalg.det(atoms.cell.array) > 0
    if layers > 3:
        thick = atoms.repeat((3, 3, 1))
        nearest = pairs_within(thick, 3.3).distances
        np.testing.assert_allclose(nearest, 3.51 * np.sqrt(3) / 2)


def test_a_stack_adds_up():
    parts = [slab("S", [[0, 0, 0], [1, 1, 2.0]], "16e"), slab("Li", [[0, 0, 5], [1, 1, 6.5]], METAL_SITE)]
    placed = stack([Layer(parts[0], 2.5, np.zeros(2)), Layer(parts[1], 3.0, np.array([9.0, 0.5]))])
    lower, upper = placed
    assert lower.cell[2, 2] == pytest.approx(2.0 + 2.5 + 1.5 + 3.0)
    np.testing.assert_allclose(lower.positions[:, 2], [1.5, 3.5])
    np.testing.assert_allclose(upper.positions, [[1.0, 0.5, 6.0], [2.0, 1.5, 7.5]])
    assert all(part.pbc.all() for part in placed)
