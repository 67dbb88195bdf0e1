"""Interfaces: both sides at their density, in contact, whole, alike for all dopings of a host."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aiida_haml.structures.charges import formal_charges
from aiida_haml.structures.checks import check, check_charge, examine
from aiida_haml.structures.crystals import argyrodite
from aiida_haml.structures.errors import StructureError
from aiida_haml.structures.geometry import count_intact_tetrahedra, pairs_within
from aiida_haml.structures.host.sites import parent
from aiida_haml.structures.interface import SolidInterface, build_interface, list_cuts, list_matches
from aiida_haml.structures.interface.stacking import CONTACTS

HOST = argyrodite()
A = 9.859
GRAMS = 1.66053906660


def face(**wanted):
    """Return settings with two layers of metal where nothing else is asked for."""
    return SolidInterface.read({"layers": 2, **wanted}, "interface")


def doped(bulk, symbol, label, count, seed=0):
    """Substitute ``count`` atoms of a sublattice, drawn by a seed, where they stand."""
    other = bulk.copy()
    sites = np.flatnonzero(bulk.arrays["sites"] == label)
    other.symbols[np.random.default_rng(seed).permutation(sites)[:count]] = symbol
    return other


def assert_in_contact(report):
    """No pair is nearer than contact, and one on either side is as near."""
    for pair, distance in report.shortest_by_pair.items():
        assert distance >= CONTACTS[pair.split("-")[1]] - 1e-5
    touching = [d - CONTACTS[p.split("-")[1]] for p, d in report.shortest_by_pair.items()]
    assert min(touching) == pytest.approx(0, abs=1e-5)


# -- the default ------------------------------------------------------------------------------------------------


def test_default_cell_is_small_whole_neutral_and_in_contact():
    atoms, report = build_interface(HOST, face())
    assert (len(atoms), report.n_electrolyte, report.n_metal) == (68, 52, 16)
    assert atoms.pbc.all()
    assert report.tetrahedra_intact == report.tetrahedra_expected == 4
    assert report.largest_strain == pytest.approx(0.00693, abs=1e-5)
    assert report.strain[0][0] == pytest.approx(-0.00693, abs=1e-5)
    assert (report.polar, report.dipole) == (False, 0.0)
    assert_in_contact(report)
    check(atoms, tetrahedra=4, neutral=True)
    assert json.loads(json.dumps(report.to_dict())) == report.to_dict()


def test_the_same_settings_give_the_same_bytes():
    first, report = build_interface(HOST, face(layers=3))
    second, again = build_interface(HOST.copy(), face(layers=3))
    assert first.positions.tobytes() == second.positions.tobytes()
    assert first.cell.array.tobytes() == second.cell.array.tobytes()
    assert report == again


def test_settings_come_back_from_plain_values():
    wanted = face(facet=(1, 1, 0), electrolyte_facet=[1, 1, 0], repeat=(2, 1), metal_share=0.5)
    assert wanted.electrolyte_facet == "110"
    assert SolidInterface.read(json.loads(json.dumps(wanted.to_dict()))) == wanted


def test_regions_are_ordered_along_the_normal():
    atoms, report = build_interface(HOST, face(layers=1))
    z = atoms.positions[:, 2]
    assert len(atoms) == 60
    assert z[report.regions["electrolyte"]].max() < z[report.regions["metal"]].min()
    assert report.regions["electrolyte"] + report.regions["metal"] == list(range(60))
    assert (atoms.arrays["sites"][report.regions["metal"]] == "metal").all()
    assert 0 < z.min() < z.max() < atoms.cell[2, 2]
    heights = np.ptp(z[report.regions["electrolyte"]]) + report.metal_thickness
    assert heights + report.gap_below_metal + report.gap_above_metal == pytest.approx(atoms.cell[2, 2], abs=1e-5)


# -- whatever is asked for ----------------------------------------------------------------------------------------


def measured_densities(atoms, report, cells, layers):
    """Return the densities of both sides from distances between atoms alone, g/cm^3.

    Two copies of a bulk atom on top of one another are a cell apart; planes of metal are a layer apart.
    """
    area = np.linalg.det(atoms.cell.array[:2, :2])
    electrolyte, metal = atoms[report.regions["electrolyte"]], atoms[report.regions["metal"]]
    index, z = np.array(report.bulk_index), electrolyte.positions[:, 2]
    height = np.ptp(z[index == 0]) / (cells - 1)
    planes = np.unique(metal.positions[:, 2].round(5))
    spacing = np.ptp(planes) / (len(planes) - 1)
    assert len(planes) == layers
    return (
        GRAMS * electrolyte.get_masses().sum() / (area * height * cells),
        GRAMS * metal.get_masses().sum() / (area * spacing * layers),
    )


@given(
    electrolyte_facet=st.sampled_from(["100", "110", "111"]),
    facet=st.sampled_from([(1, 0, 0), (1, 1, 0), (1, 1, 1)]),
    layers=st.integers(2, 7),
    cells=st.integers(2, 3),
    max_strain=st.floats(0.01, 0.08),
    share=st.floats(0, 1),
    supercell=st.sampled_from([(1, 1, 1), (2, 1, 1)]),
    cut=st.integers(0, 2),
)
@settings(max_examples=40, deadline=None)
def test_whatever_is_built_is_sound(electrolyte_facet, facet, layers, cells, max_strain, share, supercell, cut):
    wanted = face(
        electrolyte_facet=electrolyte_facet,
        facet=facet,
        layers=layers,
        electrolyte_cells=cells,
        max_strain=max_strain,
        metal_share=share,
        cut=cut,
        max_area_A2=400.0,
    )
    bulk = HOST.repeat(supercell)
    try:
        atoms, report = build_interface(bulk, wanted)
    except StructureError as error:
        refusal = error
    else:
        refusal = None
    if refusal is not None:
        # Not every wish can be had, but a refusal is one of these three and names numbers.
        assert refusal.field in ("interface.max_strain", "interface.cut", "density.electrolyte")
        assert any(character.isdigit() for character in refusal.problem + refusal.remedy)
        return
    assert atoms.pbc.all()
    assert atoms.cell.array[0, 1:].tolist() == [0, 0]
    assert atoms.cell.array[2, :2].tolist() == [0, 0]
    assert np.linalg.det(atoms.cell.array) > 0
    electrolyte = atoms[report.regions["electrolyte"]]
    assert formal_charges(electrolyte).sum() == 0
    assert count_intact_tetrahedra(atoms) == electrolyte.get_chemical_symbols().count("P")
    bulk_densities = report.densities["electrolyte"]["bulk"], report.densities["metal"]["bulk"]
    for built, of_bulk, side in zip(
        measured_densities(atoms, report, cells, layers), bulk_densities, ("electrolyte", "metal"), strict=True
    ):
        assert built == pytest.approx(report.densities[side]["built"], rel=1e-4)
        assert abs(built / of_bulk - 1) <= 0.03 + 1e-6
    for tensor in (report.strain, report.electrolyte_strain):
        assert np.abs(np.linalg.eigvalsh(np.array(tensor)[:2, :2])).max() <= max_strain + 1e-6
    assert_in_contact(report)


@pytest.mark.parametrize("layers", [2, 5])
def test_the_metal_keeps_its_density_and_its_neighbours(layers):
    atoms, report = build_interface(HOST, face(layers=layers))
    metal = atoms[report.regions["metal"]]
    planes = np.unique(metal.positions[:, 2].round(6))
    assert len(planes) == layers
    assert report.area * np.diff(planes).mean() / 8 == pytest.approx(3.51**3 / 2, rel=1e-6)
    assert np.trace(report.strain) == pytest.approx(0, abs=2e-4)
    assert pairs_within(metal, 3.5).distances.min() == pytest.approx(3.04, abs=0.02)
    assert metal.get_chemical_symbols() == ["Li"] * 8 * layers


# -- strain -----------------------------------------------------------------------------------------------------


def test_a_strained_electrolyte_answers_by_its_poisson_ratio():
    free, _ = build_interface(HOST, face(electrolyte_cells=2))
    atoms, report = build_interface(HOST, face(electrolyte_cells=2, metal_share=0))
    strain = np.array(report.electrolyte_strain)
    np.testing.assert_allclose(np.diag(strain)[:2], 1 / 0.993072 - 1, atol=1e-5)
    assert strain[2, 2] == pytest.approx(-0.37 / 0.63 * 2 * strain[0, 0], rel=1e-6)
    np.testing.assert_allclose(report.strain, 0, atol=1e-9)
    assert report.area == pytest.approx(8 * 3.51**2, abs=1e-5)
    copies = np.flatnonzero(np.array(report.bulk_index) == 7)
    ratio = np.ptp(atoms.positions[copies, 2]) / np.ptp(free.positions[copies, 2])
    assert ratio == pytest.approx(1 + strain[2, 2])


def test_shares_lie_between_the_extremes():
    areas = {share: build_interface(HOST, face(metal_share=share))[1].area for share in (1, 0.8, 0.5, 0)}
    assert build_interface(HOST, face())[1].area == areas[1] == pytest.approx(A**2)
    assert areas[1] < areas[0.8] < areas[0.5] < areas[0]
    assert areas[0.5] ** 2 == pytest.approx(areas[1] * areas[0])


def test_a_density_off_its_bulks_is_refused_with_the_number():
    wanted = face(metal_a_A=3.70, max_strain=0.09, metal_share=0)
    with pytest.raises(StructureError, match=r"electrolyte, -.*%.*1\.86") as caught:
        build_interface(HOST, wanted)
    assert caught.value.field == "density.electrolyte"


# -- facets and cuts ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("electrolyte_facet", "facet", "area"),
    [("110", (1, 1, 0), 137.5), ("111", (1, 0, 0), 336.7), ("100", (1, 1, 0), 388.8)],
)
def test_other_facets_build_whole_interfaces(electrolyte_facet, facet, area):
    wanted = face(electrolyte_facet=electrolyte_facet, facet=facet, layers=4, max_area_A2=400.0)
    atoms, report = build_interface(HOST, wanted)
    assert report.area == pytest.approx(area, abs=0.1)
    assert report.tetrahedra_intact == report.n_electrolyte // 13
    assert report.polar == (electrolyte_facet == "111")
    assert report.electrolyte_facet == electrolyte_facet
    electrolyte = atoms[report.regions["electrolyte"]]
    assert report.dipole == pytest.approx(formal_charges(electrolyte) @ electrolyte.positions[:, 2], abs=1e-5)
    assert report.dipole_per_area == pytest.approx(list_cuts(HOST, wanted)[0].dipole_per_area, abs=1e-6)
    assert_in_contact(report)


def test_every_cut_of_the_list_can_be_built():
    cuts = list_cuts(HOST, face())
    assert [cut.polar for cut in cuts] == [False, True]
    for index, cut in enumerate(cuts):
        atoms, report = build_interface(HOST, face(cut=index))
        assert len(atoms) == 68
        assert report.dipole_per_area == pytest.approx(cut.dipole_per_area, abs=1e-6)
    assert report.dipole == pytest.approx(-0.2029 * A**2, abs=0.01)


def test_a_symmetric_slab_has_two_equal_gaps():
    _, split = build_interface(HOST, face(symmetric=True))
    assert split.gap_below_metal == pytest.approx(split.gap_above_metal, abs=1e-6)


# -- two dopings differ in their dopants ----------------------------------------------------------------------------


@pytest.mark.parametrize("electrolyte_facet", ["100", "110"])
@pytest.mark.parametrize(("symbol", "label"), [("Se", "4d"), ("O", "16e"), ("F", "4a")])
def test_two_dopings_differ_in_their_dopant_alone(electrolyte_facet, symbol, label):
    facet = (1, 0, 0) if electrolyte_facet == "100" else (1, 1, 0)
    wanted = face(electrolyte_facet=electrolyte_facet, facet=facet)
    bulk = doped(HOST, symbol, label, 2)
    pristine, first = build_interface(HOST, wanted)
    other, second = build_interface(bulk, wanted, HOST)
    changed = np.flatnonzero(pristine.numbers != other.numbers)
    assert changed.tolist() == np.flatnonzero(bulk.numbers != HOST.numbers).tolist()
    np.testing.assert_allclose(pristine.positions[:52, :2], other.positions[:52, :2], atol=1e-9)
    np.testing.assert_allclose(
        np.diff(pristine.positions[:52, 2]), np.diff(other.positions[:52, 2]), atol=1e-9
    )  # but for the gap they stand above
    np.testing.assert_allclose(pristine.positions[52:, :2], other.positions[52:, :2], atol=1e-9)
    assert (first.area, first.strain) == (second.area, second.strain)
    assert_in_contact(second)


def test_orderings_of_the_lithium_share_cut_match_and_place():
    sites = parent({"exchange": 0, "supercell": [2, 1, 1]})
    is_lithium = np.array(sites.get_chemical_symbols()) == "Li"
    lithium = np.flatnonzero(is_lithium)
    partner = pairs_within(sites[is_lithium], 1.7)
    reports, anions = [], []
    for seed in range(3):
        # One of each close pair: any choice is an ordering.
        coin = np.random.default_rng(seed).random(len(lithium))
        taken = [k for k, other in zip(partner.i, partner.j, strict=True) if coin[k] < coin[other]]
        bulk = sites[np.sort(np.concatenate([np.flatnonzero(~is_lithium), lithium[taken]]))]
        assert check_charge(bulk).passed
        atoms, report = build_interface(bulk, face(), sites)
        reports.append(report)
        electrolyte = atoms[report.regions["electrolyte"]]
        frame = electrolyte[np.array(electrolyte.get_chemical_symbols()) != "Li"].positions
        anions.append(frame - frame[0])
    for report, frame in zip(reports[1:], anions[1:], strict=True):
        assert (report.area, report.strain) == (reports[0].area, reports[0].strain)
        np.testing.assert_allclose(frame, anions[0], atol=1e-9)
        assert report.tetrahedra_intact == 8
    # The cut is not polar for the mean lithium; an ordering may be, and its own dipole is told.
    assert not reports[0].polar
    assert len({report.dipole for report in reports}) > 1


def test_a_supercell_of_the_host_gives_the_hosts_interface_repeated():
    small, first = build_interface(HOST, face(repeat=(2, 1)))
    large, second = build_interface(HOST.repeat((2, 1, 1)), face())
    assert len(small) == len(large) == 136
    np.testing.assert_allclose(small.cell.lengths(), large.cell.lengths(), atol=1e-8)
    assert first.shortest_by_pair == pytest.approx(second.shortest_by_pair, abs=1e-6)
    assert first.gap_below_metal == pytest.approx(second.gap_below_metal)


# -- sizes, vacuum ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("size", "wanted"),
    [
        (60, {"layers": 1}),
        (256, {"layers": 3, "repeat": (2, 1), "electrolyte_cells": 2}),
        (1008, {"layers": 12, "repeat": (2, 2), "electrolyte_cells": 3}),
    ],
)
def test_cells_of_several_sizes_are_the_same_interface(size, wanted):
    chosen = face(**wanted)
    atoms, report = build_interface(HOST, chosen)
    assert len(atoms) == size
    assert list_matches(HOST, face(**wanted), limit=1)[0]["atoms"] == size
    assert report.tetrahedra_intact == report.n_electrolyte // 13
    index = np.array(report.bulk_index)
    assert (HOST.numbers[index] == atoms.numbers[: report.n_electrolyte]).all()
    assert (HOST.arrays["sites"][index] == atoms.arrays["sites"][: report.n_electrolyte]).all()
    assert report.densities["electrolyte"]["built"] == pytest.approx(1.8601, abs=1e-3)
    assert report.densities["metal"]["built"] == pytest.approx(0.5330, abs=1e-3)


def test_a_vacuum_leaves_one_interface_and_a_symmetric_one_two():
    atoms, report = build_interface(HOST, face(vacuum_A=12.0, layers=3))
    z = np.sort(atoms.positions[:, 2])
    assert z[0] + atoms.cell[2, 2] - z[-1] == pytest.approx(12.0)
    assert report.gap_above_metal is None
    assert report.n_metal == 24
    both, two = build_interface(HOST, face(vacuum_A=12.0, layers=3, symmetric=True))
    assert two.n_metal == 48
    z = both.positions[:, 2]
    metal = np.sort(z[two.regions["metal"]])
    electrolyte = z[two.regions["electrolyte"]]
    assert metal[23] < electrolyte.min() < electrolyte.max() < metal[24]
    assert electrolyte.mean() == pytest.approx(both.cell[2, 2] / 2, abs=1e-6)
    assert two.gap_below_metal == pytest.approx(two.gap_above_metal, abs=1e-6)
    assert_in_contact(two)


def test_a_polar_face_is_not_left_to_a_vacuum():
    with pytest.raises(StructureError, match=r"polar.*-0\.203 e/Angstrom") as caught:
        build_interface(HOST, face(vacuum_A=12.0, cut=1))
    assert caught.value.field == "interface.vacuum_A"


def test_a_gap_asked_for_is_kept_or_refused():
    _, wide = build_interface(HOST, face(gap_A=3.0))
    assert (wide.gap_below_metal, wide.gap_above_metal) == (3.0, 3.0)
    assert wide.shortest_distance >= 3.0
    with pytest.raises(StructureError, match="apart, below"):
        build_interface(HOST, face(gap_A=0.6))


# -- the reservoir ------------------------------------------------------------------------------------------


def test_the_default_holds_lithium_and_metal_enough_for_results():
    """Li6PS5Cl + 8 Li -> 5 Li2S + Li3P + LiCl: 32 for the four units of the cell, half as much again beside them."""
    atoms, report = build_interface(HOST, SolidInterface())
    assert report.reservoir["needed"] == 32
    assert report.reservoir["ratio"] >= 1.5
    assert report.metal_thickness >= 10.0
    fewer = build_interface(HOST, face(layers=report.metal_layers - 1))[1].reservoir
    assert not fewer["enough"]
    assert {finding.check: finding.passed for finding in examine(atoms)}["reservoir"]


@pytest.mark.parametrize("wanted", [{"electrolyte_cells": 3}, {"repeat": (2, 1)}, {"facet": "110", "max_area_A2": 400}])
def test_layers_follow_the_electrolyte(wanted):
    _, report = build_interface(HOST, SolidInterface.read(wanted))
    reservoir = report.reservoir
    assert reservoir["needed"] == report.n_electrolyte / 13 * 8
    assert reservoir["metal"] == report.n_metal
    assert reservoir["enough"]
    one_less = reservoir["metal"] * (1 - 1 / report.metal_layers) / reservoir["needed"] < 1.5
    assert one_less or report.metal_thickness * (1 - 1 / (report.metal_layers - 1)) < 10.0


def test_two_slabs_of_metal_share_it():
    _, report = build_interface(HOST, SolidInterface.read({"vacuum_A": 12.0, "symmetric": True}))
    assert report.reservoir["ratio"] >= 1.5
    assert report.metal_thickness >= 10.0
    atoms, _ = build_interface(HOST, face(vacuum_A=12.0, symmetric=True, layers=8))
    finding = {finding.check: finding for finding in examine(atoms)}["reservoir"]
    assert "12.5 Angstrom thick" in finding.problem  # of one slab, not of both


# -- refusals -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wanted", "field"),
    [
        ({"metal": "Na"}, "interface.metal"),
        ({"facet": (2, 1, 0)}, "interface.facet"),
        ({"facet": 10}, "interface.facet"),
        ({"layers": 0}, "interface.layers"),
        ({"layers": 1.5}, "interface.layers"),
        ({"layers": True}, "interface.layers"),
        ({"max_strain": 0}, "interface.max_strain"),
        ({"max_strain": "small"}, "interface.max_strain"),
        ({"max_strain": float("nan")}, "interface.max_strain"),
        ({"gap_A": -1.0}, "interface.gap_A"),
        ({"gap_A": "scan"}, "interface.gap_A"),
        ({"max_area_A2": 1e6}, "interface.max_area_A2"),
        ({"metal_a_A": 0.1}, "interface.metal_a_A"),
        ({"electrolyte_facet": "10"}, "interface.electrolyte_facet"),
        ({"electrolyte_facet": [0, 0, 0]}, "interface.electrolyte_facet"),
        ({"cut": -1}, "interface.cut"),
        ({"match": 0.5}, "interface.match"),
        ({"metal_share": "both"}, "interface.metal_share"),
        ({"metal_share": 1.2}, "interface.metal_share"),
        ({"metal_share": None}, "interface.metal_share"),
        ({"electrolyte_cells": 0}, "interface.electrolyte_cells"),
        ({"repeat": 2}, "interface.repeat"),
        ({"repeat": [0, 1]}, "interface.repeat[0]"),
        ({"vacuum_A": 3.0}, "interface.vacuum_A"),
        ({"vacuum_A": -9.0}, "interface.vacuum_A"),
        ({"symmetric": "maybe"}, "interface.symmetric"),
    ],
)
def test_settings_that_make_no_sense_are_refused(wanted, field):
    with pytest.raises(StructureError) as caught:
        face(**wanted)
    assert caught.value.field == field
    assert caught.value.remedy


@pytest.mark.parametrize(
    ("wanted", "field", "words"),
    [
        ({"max_strain": 0.001}, "interface.max_strain", r"0\.0069"),
        ({"cut": 9}, "interface.cut", "there are 2"),
        ({"match": 999}, "interface.match", "there are"),
        ({"electrolyte_facet": "111", "symmetric": True, "max_area_A2": 340.0}, "interface.symmetric", "none of the 3"),
        (
            {"electrolyte_facet": "210", "max_strain": 0.1, "max_area_A2": 450.0},
            "interface.electrolyte_facet",
            "2 of 4",
        ),
    ],
)
def test_wishes_that_cannot_be_had_say_what_can(wanted, field, words):
    with pytest.raises(StructureError, match=words) as caught:
        build_interface(HOST, face(**wanted))
    assert caught.value.field == field


def test_a_parent_of_another_cell_is_refused():
    with pytest.raises(StructureError, match="parent"):
        build_interface(HOST, face(), argyrodite(10.2))
