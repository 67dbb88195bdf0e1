"""Matches against pymatgen's, cuts that keep PS4 whole, gaps that touch and do not overlap."""

import numpy as np
import pytest
from pymatgen.analysis.interfaces.zsl import ZSLGenerator

from aiida_haml.structures.checks import check, count_intact_tetrahedra, pairs_within
from aiida_haml.structures.crystals import argyrodite, reference_phase
from aiida_haml.structures.doping import Substitution, dope
from aiida_haml.structures.errors import StructureError
from aiida_haml.structures.interfaces import (
    CONTACTS,
    InterfaceSettings,
    best_cut,
    build_interface,
    cut_slab,
    find_cuts,
    interface_match,
    metal_slab,
)
from aiida_haml.structures.matching import best_match, find_matches

HOST = argyrodite()
SQUARE = np.diag([9.859, 9.859])


def zsl_matches(electrolyte, metal, max_area, tolerance):
    """Return the principal strains of pymatgen's matches, largest by size, least first."""
    generator = ZSLGenerator(
        max_area_ratio_tol=0.3, max_area=max_area, max_length_tol=tolerance, max_angle_tol=tolerance
    )
    embed = [np.pad(v, ((0, 0), (0, 1))) for v in (metal, electrolyte)]
    strains = []
    for match in generator(*embed):
        film, substrate = np.array(match.film_sl_vectors)[:, :2], np.array(match.substrate_sl_vectors)[:, :2]
        stretches = np.linalg.svd(np.linalg.solve(film, substrate), compute_uv=False)
        strains.append(np.abs(stretches - 1).max())
    return np.sort(strains)


@pytest.mark.parametrize("facet", [(1, 0, 0), (1, 1, 0), (1, 1, 1)])
@pytest.mark.parametrize("a", [3.51, 3.44])
def test_least_strain_equals_pymatgens(facet, a):
    metal = metal_slab(InterfaceSettings(facet=facet, metal_a_A=a)).cell.array[:2, :2]
    ours = min(m.largest_strain for m in find_matches(SQUARE, metal, 0.12, 200.0))
    theirs = zsl_matches(SQUARE, metal, 210.0, 0.15)[0]
    # Pymatgen compares reduced vectors alone, and so passes over some matches of large strain.
    assert ours < theirs + 1e-3
    if theirs < 0.08:
        assert ours == pytest.approx(theirs, abs=1e-3)


@pytest.mark.parametrize(("a", "strain"), [(3.51, -0.0069), (3.44, +0.0133)])
def test_turned_lithium_on_the_argyrodite_has_the_known_strain(a, strain):
    match = interface_match(HOST, InterfaceSettings(metal_a_A=a))
    assert match.n_metal_cells == 8
    assert abs(match.rotation_degrees) == pytest.approx(45)
    np.testing.assert_allclose(match.strain, np.eye(2) * strain, atol=1e-4)
    assert 9.859 / (2 * np.sqrt(2) * a) - 1 == pytest.approx(match.strain[0, 0])


def test_a_match_maps_one_supercell_onto_the_other_exactly():
    metal = np.array([[3.1, 0.0], [0.7, 2.9]])
    for match in find_matches(SQUARE, metal, 0.06, 200.0):
        target = match.electrolyte @ SQUARE
        np.testing.assert_allclose(match.metal @ metal @ match.deformation.T, target, atol=1e-9)
        np.testing.assert_allclose(match.strain, match.strain.T)
        assert np.linalg.det(target) == pytest.approx(match.area)
        assert match.area <= 200.0 + 1e-6
        assert match.largest_strain <= 0.06
        assert np.linalg.det(match.metal) > 0


def test_equal_lattices_match_without_strain_however_they_are_turned():
    angle = np.radians(17.0)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    match = best_match(SQUARE, SQUARE @ turn.T, 0.01, 100.0)
    assert match.largest_strain == pytest.approx(0, abs=1e-12)
    assert match.area == pytest.approx(9.859**2)


def test_no_match_within_the_limit_is_refused_with_the_least_there_is():
    with pytest.raises(StructureError, match=r"0\.0069.*max_strain") as caught:
        interface_match(HOST, InterfaceSettings(max_strain=0.001))
    assert caught.value.field == "interface.max_strain"


def test_cuts_at_the_cell_face_break_ps4_and_the_chosen_one_does_not():
    assert count_intact_tetrahedra(cut_slab(HOST, 0.0)) == 2
    best = best_cut(HOST)
    assert best.intact == 4
    assert 0.125 <= best.shift <= 0.375
    cuts = find_cuts(HOST)
    assert {c.intact for c in cuts} == {2, 4}
    assert all(c.void <= best.void for c in cuts if c.intact == 4)


def test_default_cell_is_small_whole_and_in_contact():
    atoms, report = build_interface(HOST, InterfaceSettings())
    assert (len(atoms), report.n_electrolyte, report.n_metal) == (68, 52, 16)
    assert atoms.pbc.all()
    assert report.tetrahedra_intact == report.tetrahedra_expected == 4
    assert report.largest_strain == pytest.approx(0.00693, abs=1e-5)
    assert 2.4 < report.shortest_distance < 2.7
    assert report.shortest_pair == "Li-S"
    for pair, distance in report.shortest_by_pair.items():
        assert distance >= CONTACTS[pair.split("-")[1]] - 1e-6
    # Some pair touches on each side: the gaps are as small as the contact distances allow.
    touching = [d - CONTACTS[p.split("-")[1]] for p, d in report.shortest_by_pair.items()]
    assert min(touching) == pytest.approx(0, abs=1e-6)
    check(atoms, tetrahedra=4)


def test_the_metal_keeps_its_density_and_its_neighbours():
    atoms, report = build_interface(HOST, InterfaceSettings(layers=4))
    metal = atoms[report.regions["metal"]]
    planes = np.unique(metal.positions[:, 2].round(6))
    assert len(planes) == 4
    volume = report.area * np.diff(planes).mean() / 8
    assert volume == pytest.approx(3.51**3 / 2, rel=1e-6)
    assert np.trace(report.strain) == pytest.approx(0, abs=2e-4)
    assert pairs_within(metal, 3.5).distances.min() == pytest.approx(3.04, abs=0.02)
    assert metal.get_chemical_symbols() == ["Li"] * 32


def test_regions_are_ordered_along_the_normal():
    atoms, report = build_interface(HOST, InterfaceSettings(layers=1))
    z = atoms.positions[:, 2]
    assert len(atoms) == 60
    assert z[report.regions["electrolyte"]].max() < z[report.regions["metal"]].min()
    assert report.regions["electrolyte"] + report.regions["metal"] == list(range(60))
    assert (atoms.arrays["sites"][report.regions["metal"]] == "metal").all()
    assert z.min() > 0
    assert z.max() < atoms.cell[2, 2]
    gaps = report.gap_below_metal + report.gap_above_metal
    heights = report.electrolyte_thickness + report.metal_thickness
    assert heights + gaps == pytest.approx(atoms.cell[2, 2], abs=1e-5)


def test_two_dopings_differ_in_their_dopant_alone():
    pristine, _ = build_interface(HOST, InterfaceSettings())
    doped = dope(HOST, [Substitution("Se", "4d", 0.25)])
    other, report = build_interface(doped.atoms, InterfaceSettings(), HOST)
    changed = np.flatnonzero(pristine.numbers != other.numbers)
    assert changed.tolist() == list(doped.substituted)
    np.testing.assert_allclose(pristine.positions[:52, :2], other.positions[:52, :2], atol=1e-9)
    assert report.tetrahedra_intact == 4


@pytest.mark.parametrize(
    ("dopant", "site", "fraction"),
    [("O", "16e", 0.25), ("O", "4d", 1.0), ("Se", "16e", 1.0), ("F", "4a", 1.0)],
)
@pytest.mark.parametrize("layers", [1, 2])
def test_doped_interfaces_touch_and_do_not_overlap(dopant, site, fraction, layers):
    doped = dope(HOST, [Substitution(dopant, site, fraction)])
    _, report = build_interface(doped.atoms, InterfaceSettings(layers=layers), HOST)
    assert report.shortest_distance > 1.8
    assert report.tetrahedra_intact == 4
    for pair, distance in report.shortest_by_pair.items():
        assert distance >= CONTACTS[pair.split("-")[1]] - 1e-6


def test_supercell_of_the_electrolyte_where_only_that_matches():
    atoms, report = build_interface(HOST, InterfaceSettings(facet=(1, 1, 1), max_strain=0.12))
    assert round(abs(np.linalg.det(report.electrolyte_supercell))) == 2
    assert report.n_electrolyte == 104
    assert report.tetrahedra_intact == 8
    assert set(atoms.arrays["sites"]) == {"16e", "24g", "4a", "4b", "4d", "metal"}
    assert report.shortest_distance > 1.8


def test_a_gap_asked_for_is_kept_or_refused():
    _, wide = build_interface(HOST, InterfaceSettings(gap_A=3.0))
    assert (wide.gap_below_metal, wide.gap_above_metal) == (3.0, 3.0)
    assert wide.shortest_distance >= 3.0
    with pytest.raises(StructureError, match="apart, below"):
        build_interface(HOST, InterfaceSettings(gap_A=0.6))


@pytest.mark.parametrize(
    ("settings", "field"),
    [
        ({"metal": "Na"}, "interface.metal"),
        ({"facet": (2, 1, 0)}, "interface.facet"),
        ({"facet": 100}, "interface.facet"),
        ({"layers": 0}, "interface.layers"),
        ({"layers": 1.5}, "interface.layers"),
        ({"layers": True}, "interface.layers"),
        ({"max_strain": 0}, "interface.max_strain"),
        ({"max_strain": "small"}, "interface.max_strain"),
        ({"max_strain": float("nan")}, "interface.max_strain"),
        ({"gap_A": -1.0}, "interface.gap_A"),
        ({"max_area_A2": 1e6}, "interface.max_area_A2"),
        ({"metal_a_A": 0.1}, "interface.metal_a_A"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings, field):
    with pytest.raises(StructureError) as caught:
        InterfaceSettings(**settings)
    assert caught.value.field == field


def test_contacts_are_the_neighbour_distances_of_the_binary_compounds():
    compounds = {"S": "Li2S", "O": "Li2O", "Se": "Li2Se", "Cl": "LiCl", "F": "LiF", "P": "Li3P"}
    for element, name in compounds.items():
        atoms = reference_phase(name)
        symbols = np.array(atoms.get_chemical_symbols())
        pairs = pairs_within(atoms, 3.0)
        between = (symbols[pairs.i] == "Li") & (symbols[pairs.j] == element)
        assert pairs.distances[between].min() == pytest.approx(CONTACTS[element], abs=1e-6)
