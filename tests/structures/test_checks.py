"""Checks refuse what should not be simulated, and name the numbers."""

import numpy as np
import pytest
from ase import Atoms

from aiida_haml.structures.checks import cell_heights, check, count_intact_tetrahedra
from aiida_haml.structures.crystals import argyrodite, lithium
from aiida_haml.structures.errors import StructureError


def test_a_good_cell_passes():
    check(argyrodite(), tetrahedra=4, strain=np.diag([0.01, -0.02]))


def test_overlap_names_the_pair_and_the_distance():
    atoms = argyrodite()
    atoms.positions[30] = atoms.positions[25] + [0.9, 0, 0]
    with pytest.raises(StructureError, match=r"S30.*0\.900 Angstrom apart|25.*0\.900 Angstrom apart"):
        check(atoms)


def test_overlap_through_the_boundary_is_seen():
    atoms = Atoms("Li2", [[0.2, 5, 5], [9.8, 5, 5]], cell=[10, 10, 10], pbc=True)
    with pytest.raises(StructureError, match=r"0\.400"):
        check(atoms)
    atoms.pbc = False
    check(atoms)


def test_a_cell_thinner_than_the_reach_is_refused_in_periodic_directions_only():
    atoms = lithium()
    with pytest.raises(StructureError, match=r"3\.51.*reach of 5"):
        check(atoms)
    atoms.pbc = False
    check(atoms)
    check(lithium().repeat(2), reach=6.0)


def test_heights_are_measured_across_faces_and_not_along_edges():
    sheared = Atoms("Li", cell=[[10, 0, 0], [9, 4, 0], [0, 0, 10]], pbc=True)
    np.testing.assert_allclose(cell_heights(sheared), [40 / np.hypot(9, 4), 4, 10])
    with pytest.raises(StructureError, match="reach"):
        check(sheared)


def test_broken_tetrahedra_are_counted():
    atoms = argyrodite()
    corner = np.flatnonzero(atoms.arrays["sites"] == "16e")[0]
    bonds = atoms.get_distances(corner, np.flatnonzero(atoms.symbols == "P"), mic=True, vector=True)
    bond = bonds[np.linalg.norm(bonds, axis=1).argmin()]
    atoms.positions[corner] -= 0.3 * bond
    assert count_intact_tetrahedra(atoms) == 3
    with pytest.raises(StructureError, match=r"3 is the number of whole ones.*4 are expected"):
        check(atoms, tetrahedra=4, overlap_fraction=0.1)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_coordinates_that_are_no_numbers_are_refused(bad):
    atoms = argyrodite()
    atoms.positions[7, 1] = bad
    with pytest.raises(StructureError, match=r"\[7\] are the atoms whose coordinates are not finite"):
        check(atoms)


def test_strain_above_the_limit_is_refused():
    shear = np.array([[0.0, 0.05], [0.05, 0.0]])  # principal strains of 0.05, nothing on the diagonal
    with pytest.raises(StructureError, match=r"0\.05 is the largest principal strain"):
        check(argyrodite(), strain=shear)
    check(argyrodite(), strain=shear, max_strain=0.06)


def test_nothing_and_no_volume_are_refused():
    with pytest.raises(StructureError, match="no structure"):
        check(Atoms())
    with pytest.raises(StructureError, match="volume"):
        check(Atoms("Li", pbc=True))
