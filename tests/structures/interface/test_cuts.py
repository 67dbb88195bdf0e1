"""Facets and cuts against pymatgen's slabs, textbook surfaces, and what a doped or ordered bulk keeps of them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymatgen.core.surface import SlabGenerator
from pymatgen.io.ase import AseAtomsAdaptor

from aiida_haml.structures.charges import formal_charges
from aiida_haml.structures.crystals import argyrodite
from aiida_haml.structures.errors import StructureError
from aiida_haml.structures.geometry import count_intact_tetrahedra
from aiida_haml.structures.host.sites import parent
from aiida_haml.structures.interface.cuts import choose_cut, describe, find_cuts
from aiida_haml.structures.interface.facets import facet_of, host_cell, host_facet
from aiida_haml.structures.interface.settings import SolidInterface, read_indices
from aiida_haml.structures.interface.slabs import open_slab
from tests.library import reference

HOST = argyrodite()
A = 9.859
CHARGES = {"Li": 1, "P": 5, "S": -2, "Cl": -1}


def cuts_of(atoms, facet):
    host = host_cell(atoms)
    turned = host_facet(host, read_indices(facet))
    return host, turned, find_cuts(host, turned)


def whole_cuts(atoms, facet):
    return [cut for cut in cuts_of(atoms, facet)[2] if cut.intact == cut.expected]


# -- facets ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "indices"),
    [("100", (1, 0, 0)), ("1-10", (1, -1, 0)), (100, (1, 0, 0)), ([2, 2, 0], (1, 1, 0)), ((2, 1, 0), (2, 1, 0))],
)
def test_indices_are_read(given, indices):
    assert read_indices(given) == indices


@pytest.mark.parametrize("given", ["10", "1000", "abc", "000", [0, 0, 0], [1, 0], 1000, None, [1.0, 0, 0], "910"])
def test_what_is_no_lattice_plane_is_refused(given):
    with pytest.raises(StructureError) as caught:
        SolidInterface.read({"electrolyte_facet": given}, "interface")
    assert caught.value.field == "interface.electrolyte_facet"


indices = st.tuples(*[st.integers(-3, 3)] * 3).filter(any).map(read_indices)
skewed = np.array([[6.1, 0.0, 0.0], [1.3, 7.2, 0.0], [-0.8, 2.1, 8.4]])


@given(indices=indices)
@settings(max_examples=40, deadline=None)
def test_a_facets_cell_is_the_same_lattice_turned_with_its_normal_along_z(indices):
    facet = facet_of(skewed, indices)
    assert round(np.linalg.det(facet.basis)) == 1
    np.testing.assert_allclose(facet.turn @ facet.turn.T, np.eye(3), atol=1e-12)
    cell = facet.basis @ skewed @ facet.turn.T
    np.testing.assert_allclose(cell[:2, 2], 0, atol=1e-9)
    spacing = 1 / np.linalg.norm(np.linalg.inv(skewed) @ np.array(indices))
    assert cell[2, 2] == pytest.approx(spacing)
    # Gauss-reduced: no shorter vector is left in the plane.
    first, second = sorted(cell[:2, :2], key=np.linalg.norm)
    assert abs(first @ second) <= first @ first / 2 + 1e-6


def test_the_normal_of_a_cubic_100_is_the_third_axis():
    host = host_cell(HOST)
    facet = host_facet(host, (1, 0, 0))
    np.testing.assert_array_equal(facet.basis, np.eye(3))
    np.testing.assert_array_equal(facet.turn, np.eye(3))


@pytest.mark.parametrize(("given", "spacing"), [("001", 7.579), ("100", 4.264 * np.sqrt(3) / 2), ("110", 4.264 / 2)])
def test_indices_of_other_lattices_are_their_own(given, spacing):
    host = host_cell(reference("Li3P"))
    assert not host.cubic
    facet = host_facet(host, read_indices(given))
    assert facet.oriented(host.atoms).cell[2, 2] == pytest.approx(spacing)
    cuts = find_cuts(host, facet)
    assert cuts
    assert not cuts[0].polar
    assert all(0 <= cut.shift < 1 for cut in cuts)


# -- the host's own cell ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("repeats", [(1, 1, 1), (2, 1, 1), (1, 2, 3)])
def test_a_supercell_is_folded_back(repeats):
    host = host_cell(HOST.repeat(repeats))
    assert host.repeats == repeats
    assert host.cubic
    assert len(host.atoms) == 52
    assert sum(content.get("Li", 0) for content in host.contents) == 24


def test_ordered_lithium_is_averaged_and_does_not_hide_the_hosts_period():
    sites = parent({"exchange": 0, "supercell": [2, 1, 1]})
    is_lithium = np.array(sites.get_chemical_symbols()) == "Li"
    lithium = np.flatnonzero(is_lithium)
    taken = np.random.default_rng(3).permutation(lithium)[: len(lithium) // 2]
    ordered = sites[np.sort(np.concatenate([np.flatnonzero(~is_lithium), taken]))]
    ordered.info = {}
    host = host_cell(ordered)
    assert host.repeats == (2, 1, 1)
    assert sum(content.get("Li", 0) for content in host.contents) == pytest.approx(24)
    assert min(content["Li"] for content in host.contents if "Li" in content) == 0.5
    assert host_cell(sites).repeats == (2, 1, 1)


# -- cuts -------------------------------------------------------------------------------------------------------


def test_cuts_at_the_cell_face_break_ps4_and_the_chosen_one_does_not():
    host, facet, cuts = cuts_of(HOST, "100")
    broken = [cut for cut in cuts if cut.intact < cut.expected]
    assert {cut.intact for cut in broken} == {2}
    for cut in cuts:
        assert count_intact_tetrahedra(open_slab(HOST, host, facet, cut)) == cut.intact
    assert choose_cut(cuts).intact == 4
    assert 0.125 <= choose_cut(cuts).shift <= 0.375


@pytest.mark.parametrize("facet", ["100", "110", "111"])
def test_whole_cuts_and_their_dipoles_are_pymatgens(facet):
    structure = AseAtomsAdaptor.get_structure(argyrodite())
    structure.add_oxidation_state_by_element(CHARGES)
    generator = SlabGenerator(
        structure, read_indices(facet), 1, 1, primitive=False, in_unit_planes=True, center_slab=False
    )
    theirs = set()
    for slab in generator.get_slabs(bonds={("P", "S"): 2.3}, max_broken_bonds=0, ftol=0.02, symmetrize=False):
        dipole = slab.dipole @ slab.normal
        theirs.add(round(abs(dipole) / slab.surface_area, 3))
    ours = {round(abs(cut.dipole_per_area), 3) for cut in whole_cuts(HOST, facet) if not cut.split}
    assert ours == theirs


def test_the_argyrodites_facets_are_as_polar_as_their_symmetry_says():
    # Td has twofold axes in (100) and (110), which turn the normal over; nothing turns [111] over.
    hundred, eleven, triple = (whole_cuts(HOST, facet) for facet in ("100", "110", "111"))
    assert [cut.polar for cut in hundred] == [False, True]
    assert hundred[0].split
    assert hundred[0].lower == hundred[0].upper == "Li4S"
    assert [(cut.polar, cut.split, cut.alike) for cut in eleven] == [(False, False, True)]
    assert all(cut.polar and not cut.alike for cut in triple)
    assert triple[0].void == max(cut.void for cut in triple)
    with pytest.raises(StructureError, match=r"0\.068 e/Angstrom"):
        choose_cut(triple, alike=True)


@pytest.mark.parametrize(("phase", "facet"), [("LiCl", "100"), ("LiF", "110"), ("Li2S", "110"), ("Li2S", "111")])
def test_surfaces_that_textbooks_call_nonpolar_are(phase, facet):
    best = cuts_of(reference(phase), facet)[2][0]
    assert not best.polar
    assert not best.split


@pytest.mark.parametrize(("phase", "facet"), [("LiCl", "111"), ("Li2S", "100")])
def test_planes_of_alternating_charge_are_polar_until_one_is_halved(phase, facet):
    cuts = cuts_of(reference(phase), facet)[2]
    plain, split = [c for c in cuts if not c.split], [c for c in cuts if c.split]
    assert all(cut.polar for cut in plain)
    if phase == "Li2S":
        assert split
        assert not any(cut.polar for cut in split)
        assert cuts[0].split


@pytest.mark.parametrize("facet", ["100", "110", "111"])
@pytest.mark.parametrize("repeats", [(1, 1, 1), (2, 1, 1), (1, 2, 2)])
@pytest.mark.parametrize("cells", [1, 2])
def test_every_cut_opens_every_supercell_as_it_says(facet, repeats, cells):
    bulk = HOST.repeat(repeats)
    host, turned, cuts = cuts_of(bulk, facet)
    for cut in cuts:
        if cut.intact < cut.expected:
            continue
        slab = open_slab(bulk, host, turned, cut, cells)
        assert len(slab) == len(bulk) * cells
        assert slab.get_volume() == pytest.approx(bulk.get_volume() * cells)
        assert count_intact_tetrahedra(slab) == 4 * np.prod(repeats) * cells
        area = np.linalg.det(slab.cell.array[:2, :2])
        thick = slab.cell[2, 2] / turned.oriented(host.atoms).cell[2, 2]
        dipole = formal_charges(slab) @ slab.positions[:, 2] / area
        assert dipole == pytest.approx(cut.dipole_per_area * thick, abs=1e-6)
        assert np.ptp(slab.positions[:, 2]) <= slab.cell[2, 2] + 1e-6
        assert sorted(slab.arrays["bulk_index"]) == sorted(np.repeat(np.arange(len(bulk)), cells))


def test_a_split_slab_is_mapped_onto_itself_by_turning_it_over():
    host, facet, cuts = cuts_of(HOST, "100")
    slab = open_slab(HOST, host, facet, cuts[0])
    z = slab.positions[:, 2]
    for symbol in "Li", "P", "S", "Cl":
        heights = np.sort(z[slab.symbols == symbol])
        np.testing.assert_allclose(heights, np.sort(A - heights), atol=1e-6)


@given(seed=st.integers(0, 10**6), facet=st.sampled_from(["100", "110", "111"]), size=st.sampled_from([1, 2]))
@settings(max_examples=25, deadline=None)
def test_displaced_and_doped_atoms_stay_on_their_sites_side(seed, facet, size):
    rng = np.random.default_rng(seed)
    ideal = HOST.repeat((size, 1, 1))
    host, turned, cuts = cuts_of(ideal, facet)
    cut = choose_cut(cuts, int(rng.integers(len(whole_cuts(HOST, facet)))))
    bulk = ideal.copy()
    sulfur = np.flatnonzero(bulk.arrays["sites"] == "16e")
    bulk.symbols[rng.choice(sulfur, 4, replace=False)] = "Se"
    steps = rng.normal(size=(len(bulk), 3))
    bulk.positions += 0.24 * steps / np.linalg.norm(steps, axis=1)[:, None]
    bulk.wrap()
    slab, pristine = open_slab(bulk, host, turned, cut), open_slab(ideal, host, turned, cut)
    assert np.abs(slab.positions[:, 2] - pristine.positions[:, 2]).max() <= 0.24 + 1e-6
    assert count_intact_tetrahedra(slab) == count_intact_tetrahedra(bulk)


def test_partial_occupancies_count_with_their_mean_charge():
    half, full = parent({"exchange": 0}), parent({"lithium": "24g", "exchange": 0})
    for facet in ("110", "111"):
        plain = [round(cut.dipole_per_area, 6) for cut in whole_cuts(half, facet)]
        assert plain == pytest.approx([round(cut.dipole_per_area, 6) for cut in whole_cuts(full, facet)], abs=1e-6)
    mixed = whole_cuts(parent("Li6PS5Cl"), "100")
    assert not mixed[0].polar


def test_a_cut_that_is_not_there_is_refused_with_those_that_are():
    cuts = cuts_of(HOST, "100")[2]
    with pytest.raises(StructureError, match=r"0: non-polar, through a plane of Li4S.*1: polar") as caught:
        choose_cut(cuts, 2)
    assert caught.value.field == "interface.cut"
    assert describe(cuts[0]) in str(caught.value)
    with pytest.raises(StructureError, match="Choose another facet"):
        choose_cut(cuts_of(HOST, "210")[2])


def test_an_element_without_a_charge_is_named():
    odd = HOST.copy()
    odd.symbols[0] = "Xe"
    with pytest.raises(StructureError, match="Xe"):
        cuts_of(odd, "100")
