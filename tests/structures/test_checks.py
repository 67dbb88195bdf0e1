"""Checks refuse what should not be simulated, and name the numbers."""

import json

import numpy as np
import pytest
from ase import Atoms
from ase.io import write

from aiida_haml.structures.checks import check, check_charge, check_packing, check_reach, check_reservoir, examine
from aiida_haml.structures.crystals import argyrodite, lithium
from aiida_haml.structures.errors import StructureError
from aiida_haml.structures.files import read_cell
from aiida_haml.structures.findings import Finding, require
from aiida_haml.structures.geometry import cell_heights, count_intact_tetrahedra, widest_void
from aiida_haml.structures.interface import SolidInterface, build_interface
from aiida_haml.structures.interface.build import check_side_density, check_strain
from aiida_haml.structures.reservoir import lithium_needed
from tests.library import reference


def broken():
    """Return an argyrodite with one corner of a tetrahedron pulled away."""
    atoms = argyrodite()
    corner = np.flatnonzero(atoms.arrays["sites"] == "16e")[0]
    bonds = atoms.get_distances(corner, np.flatnonzero(atoms.symbols == "P"), mic=True, vector=True)
    bond = bonds[np.linalg.norm(bonds, axis=1).argmin()]
    atoms.positions[corner] -= 0.3 * bond
    return atoms


def by_name(findings):
    return {finding.check: finding for finding in findings}


# -- single checks ------------------------------------------------------------------------------------------


def test_a_good_cell_passes():
    check(argyrodite(), tetrahedra=4, neutral=True)


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
    assert count_intact_tetrahedra(broken()) == 3
    with pytest.raises(StructureError, match=r"3 is the number of whole ones.*4 are expected"):
        check(broken(), tetrahedra=4, overlap_fraction=0.1)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_coordinates_that_are_no_numbers_are_refused(bad):
    atoms = argyrodite()
    atoms.positions[7, 1] = bad
    with pytest.raises(StructureError, match=r"\[7\] are the atoms whose coordinates are not finite"):
        check(atoms)


def test_strain_above_the_limit_is_refused():
    shear = np.array([[0.0, 0.05], [0.05, 0.0]])  # principal strains of 0.05, nothing on the diagonal
    with pytest.raises(StructureError, match=r"0\.05 is the largest principal strain"):
        require(check_strain(shear, 0.03))
    require(check_strain(shear, 0.06))


def test_nothing_and_no_volume_are_refused():
    with pytest.raises(StructureError, match="no structure"):
        check(Atoms())
    with pytest.raises(StructureError, match="volume"):
        check(Atoms("Li", pbc=True))


def test_charge_counts_the_ions_and_not_the_metal():
    atoms = argyrodite()
    assert check_charge(atoms).passed
    del atoms[np.flatnonzero(atoms.symbols == "Li")[0]]
    with pytest.raises(StructureError, match=r"charge: -1 e is the sum"):
        check(atoms, neutral=True)
    interface, _ = build_interface(argyrodite(), SolidInterface(layers=2))
    assert check_charge(interface).passed
    del interface.arrays["sites"]
    unlabelled = check_charge(interface)
    assert unlabelled.passed is None
    assert unlabelled.value == 16
    assert "if 16 of the Li are metal" in unlabelled.problem
    assert check_charge(Atoms("LiCl2", np.eye(3))).passed is False
    assert check_charge(Atoms("Xe")).passed is None


@pytest.mark.parametrize(("built", "passed"), [(1.8602, True), (1.8602 * 1.029, True), (1.8602 * 0.969, False)])
def test_densities_may_be_off_by_three_percent(built, passed):
    finding = check_side_density("electrolyte", built, 1.8602)
    assert finding.passed is passed
    assert f"{built / 1.8602 - 1:+.2%}" in str(finding)


@pytest.mark.parametrize("name", ["Li", "Li2O", "Li2S", "Li2Se", "Li3P", "Li3PO4", "LiCl", "LiF", "LiP"])
def test_every_reference_phase_is_packed_as_matter_is(name):
    atoms = reference(name)
    assert check_packing(atoms).passed
    atoms.set_cell(atoms.cell.array * 1.6, scale_atoms=True)
    assert check_packing(atoms).passed is False


def test_a_vacuum_is_left_out_of_the_packing():
    atoms = argyrodite()
    cell = atoms.cell.array.copy()
    cell[2, 2] += 40.0
    atoms.set_cell(cell)
    assert widest_void(atoms) > 40
    finding = check_packing(atoms)
    assert finding.passed
    assert "vacuum" in finding.problem


# -- the reservoir ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("counts", "needed"),
    [
        ({"Li": 6, "P": 1, "S": 5, "Cl": 1}, 8),
        ({"Li": 6, "P": 1, "S": 4, "O": 1, "F": 1}, 8),
        ({"Li": 3, "P": 1, "S": 4}, 8),
        ({"Li": 10, "Ge": 1, "P": 2, "S": 12}, 2 * 8 + 8.25),
        ({"Li": 3, "Y": 1, "Cl": 6}, 3),
        ({"Li": 1, "Cl": 1}, 0),
    ],
)
def test_lithium_that_a_compound_can_take_up(counts, needed):
    assert lithium_needed(counts) == needed


def test_a_dry_cell_and_a_thin_metal_are_told_apart():
    dry, _ = build_interface(argyrodite(), SolidInterface(layers=2, electrolyte_cells=1))
    finding = check_reservoir(dry)
    assert finding.passed is False
    assert "16 Li of the metal for the 32" in finding.problem
    assert "1.8 Angstrom thick (results need 10)" in finding.problem
    thick, _ = build_interface(argyrodite(), SolidInterface(layers=7, electrolyte_cells=2))
    assert "thick" not in check_reservoir(thick).problem
    assert "0.88" in check_reservoir(thick).problem
    assert check_reservoir(argyrodite()).passed is None


def test_metal_across_the_cells_face_is_as_thick():
    atoms, _ = build_interface(argyrodite(), SolidInterface(layers=7))
    wanted = check_reservoir(atoms).problem
    for shift in (3.0, 9.0, 15.0):
        moved = atoms.copy()
        moved.positions[:, 2] += shift
        moved.wrap()
        assert check_reservoir(moved).problem == wanted


@pytest.mark.parametrize("reach", [-5.0, 0.0, float("nan"), float("inf")])
def test_a_reach_that_is_no_distance_is_refused(reach):
    with pytest.raises(StructureError, match="is no distance"):
        check_reach(argyrodite(), reach)


# -- all findings -------------------------------------------------------------------------------------------


def test_an_interface_passes_all_that_can_be_told():
    atoms, _ = build_interface(argyrodite(), SolidInterface())
    findings = examine(atoms)
    assert [finding.passed for finding in findings] == [True] * 8
    assert all(any(character.isdigit() for character in finding.problem) for finding in findings)
    for finding in findings:
        require(finding)


def test_all_that_is_wrong_is_found_and_not_the_first_alone():
    atoms = broken()
    lost = np.flatnonzero(atoms.symbols == "Li")[0]
    atoms.positions[lost] = atoms.positions[lost + 1] + [0.5, 0, 0]
    del atoms[np.flatnonzero(atoms.symbols == "Cl")[0]]
    findings = by_name(examine(atoms, reach=12.0))
    assert {name for name, finding in findings.items() if finding.passed is False} == {
        "reach",
        "overlaps",
        "charge",
        "PS4 units",
    }
    assert findings["numbers"].passed
    assert findings["packing"].passed
    assert "failed: charge: 1 e" in str(findings["charge"])
    with pytest.raises(StructureError, match="3 is the number"):
        require(findings["PS4 units"])


def test_checks_of_others_are_run_too():
    def even(atoms):
        return Finding("even", len(atoms) % 2 == 0, "atoms", len(atoms), "is the number of atoms", "Add one.")

    assert by_name(examine(argyrodite(), more=[even]))["even"].passed
    with pytest.raises(StructureError, match="51 is the number"):
        check(argyrodite()[:51], more=[even])


@pytest.mark.parametrize("suffix", ["extxyz", "cif", "vasp"])
def test_files_of_several_formats_are_examined(tmp_path, suffix):
    path = tmp_path / f"cell.{suffix}"
    atoms = argyrodite()
    write(path, Atoms(atoms.numbers, atoms.positions, cell=atoms.cell, pbc=True))
    findings = examine(read_cell(path).atoms)
    assert [finding.passed for finding in findings] == [True] * 7 + [None]  # nothing tells a metal
    json.dumps([finding.to_dict() for finding in findings])


def test_labels_in_a_file_tell_the_metal(tmp_path):
    atoms, _ = build_interface(argyrodite(), SolidInterface(layers=2))
    write(tmp_path / "labelled.extxyz", atoms)
    assert by_name(examine(read_cell(tmp_path / "labelled.extxyz").atoms))["charge"].passed


def test_a_file_with_nothing_in_it_is_one_finding(tmp_path):
    atoms = argyrodite()
    atoms.positions[3] = np.nan
    write(tmp_path / "bad.extxyz", atoms)
    findings = examine(read_cell(tmp_path / "bad.extxyz").atoms)
    assert [(finding.check, finding.passed) for finding in findings] == [("numbers", False)]


@pytest.mark.parametrize(("name", "text"), [("gone.cif", None), ("notes.txt", "not atoms"), ("empty.extxyz", "")])
def test_files_that_are_no_structures_are_refused(tmp_path, name, text):
    if text is not None:
        (tmp_path / name).write_text(text)
    with pytest.raises(StructureError) as caught:
        read_cell(tmp_path / name)
    assert caught.value.field == "file"
    assert name in str(caught.value)
