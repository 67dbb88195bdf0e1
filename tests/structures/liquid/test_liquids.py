"""Liquids: densities, whole molecules, neutral cells, the arithmetic of mixtures; real Packmol."""

import importlib.util
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from ase.build import bulk
from ase.neighborlist import natural_cutoffs, neighbor_list
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from aiida_haml.spec import load_spec
from aiida_haml.structures.candidates import build, candidate_elements, candidate_label, validate
from aiida_haml.structures.errors import StructureError
from aiida_haml.structures.liquid import plan_filling
from aiida_haml.structures.liquid.mixtures import (
    MOLARITY_TOLERANCE,
    SIZE_TOLERANCE,
    Component,
    amounts,
    choose_counts,
)
from aiida_haml.structures.liquid.packing import find_packmol, pack, packing_radii
from aiida_haml.structures.liquid.species import SOLVENTS
from aiida_haml.structures.specification import read_candidate
from tests.molecules import molecule

A = 3.51  # of lithium, Angstrom
ETHER = {
    "liquid": {"solvents": {"DME": 1.0}, "salt": "LiFSI", "molarity_M": 1.0},
    "interface": {"layers": 4},
    "seed": 1,
}
CARBONATE = {
    "liquid": {"solvents": {"EC": 1.0, "DMC": 1.0}, "salt": "LiPF6", "molarity_M": 1.0},
    "interface": {"layers": 2},
}
#: Small and fast: no salt, one layer.
SMALL = {
    "liquid": {"solvents": {"DOL": 1.0}, "n_atoms": 80},
    "interface": {"facet": [1, 1, 0], "layers": 2, "area_A2": 60.0},
}


@pytest.fixture(scope="module", params=["ether", "carbonate", "small"])
def built(request):
    return build({"ether": ETHER, "carbonate": CARBONATE, "small": SMALL}[request.param])


def liquid_of(atoms):
    return atoms[atoms.arrays["molecule"] >= 0]


def test_density_is_that_of_the_volume_which_the_bulk_metal_leaves(built):
    atoms, report = built
    n_metal = len(atoms) - len(liquid_of(atoms))
    left = atoms.get_volume() - n_metal * A**3 / 2
    density = liquid_of(atoms).get_masses().sum() / left / 0.602214
    assert density == pytest.approx(report["density_target"], rel=0.02)
    assert density == pytest.approx(report["density"], rel=1e-5)


@pytest.mark.parametrize(
    ("solvents", "salt", "measured"),
    [
        # Data sheets of commercial electrolytes, 25 C: LP30 1.28 to 1.30; 1 M LiTFSI in DOL:DME 1.12 to 1.13.
        ({"EC": 1, "DMC": 1}, "LiPF6", 1.29),
        ({"DOL": 1, "DME": 1}, "LiTFSI", 1.125),
        ({"PC": 1}, None, 1.200),
    ],
)
def test_ideal_mixing_meets_measured_densities(solvents, salt, measured):
    parts = [component(name, share) for name, share in solvents.items()]
    units = {"LiPF6": Component("LiPF6", 1.0, 151.90, 2.84, 8), "LiTFSI": Component("LiTFSI", 1.0, 287.09, 2.15, 16)}
    salts = [units[salt]] if salt else []
    litre = amounts(parts, salts, "volume", None)
    mass = sum(litre[c.name] * c.mass for c in [*parts, *salts])
    assert mass / 1000 == pytest.approx(measured, rel=0.02)


def test_molecules_are_whole_and_as_many_as_said(built):
    atoms, report = built
    assert report["molecules_intact"] == report["molecules"]
    liquid = liquid_of(atoms)
    liquid = liquid[liquid.numbers != 3]
    # ASE's radii, 1.2 times: between bonds and contacts, with other limits than the package's own.
    i, j = neighbor_list("ij", liquid, natural_cutoffs(liquid, mult=1.2))
    pieces, _ = connected_components(coo_array((np.ones(len(i)), (i, j)), shape=(len(liquid),) * 2))
    assert pieces == sum(n for name, n in report["molecules"].items() if name != "Li")
    numbers = liquid.arrays["molecule"]
    assert (numbers[i] == numbers[j]).all()


def test_the_cell_is_neutral_with_an_even_number_of_electrons(built):
    atoms, report = built
    assert report["formal_charge"] == 0
    assert report["molecules"].get("Li", 0) == sum(report["molecules"].get(n, 0) for n in ("FSI", "PF6"))
    assert atoms.numbers.sum() % 2 == 0


def test_sites_and_regions_say_what_each_atom_is(built):
    atoms, report = built
    sites = atoms.arrays["sites"]
    kinds = {f"solvent:{n}" if n in SOLVENTS else "cation" if n == "Li" else f"anion:{n}" for n in report["molecules"]}
    assert set(sites) == kinds | {"metal"}
    assert report["regions"]["metal"] == np.flatnonzero(sites == "metal").tolist()
    assert sorted(report["regions"]["metal"] + report["regions"]["electrolyte"]) == list(range(len(atoms)))
    for name, count in report["molecules"].items():
        mine = sites == ("cation" if name == "Li" else f"solvent:{name}" if name in SOLVENTS else f"anion:{name}")
        assert len(set(atoms.arrays["molecule"][mine])) == count
        assert mine.sum() == count * len(molecule(name))


def test_the_metal_is_bulk_lithium_and_the_liquid_keeps_its_distance(built):
    atoms, report = built
    metal = atoms[report["regions"]["metal"]]
    interface = report["interface"]
    nearest = [neighbor_list("d", cell, 1.01 * A * 3**0.5 / 2).min() for cell in (metal, bulk("Li", "bcc", a=A))]
    assert nearest[0] == pytest.approx(nearest[1], abs=1e-6)
    z = metal.positions[:, 2]
    liquid = atoms.positions[report["regions"]["electrolyte"]][:, 2]
    height = atoms.cell[2, 2]
    above = (liquid - z.max()) % height  # the slab lies in one piece
    below = (z.min() - liquid) % height
    # Packmol takes squares of what is violated below 0.01 for nothing.
    assert above.min() > interface["gap_above_metal"] - 0.1
    assert below.min() > interface["gap_below_metal"] - 0.1
    assert np.isclose(above + below + np.ptp(z), height).all()


def test_molecules_touch_and_do_not_overlap(built):
    atoms, report = built
    i, j, d = neighbor_list("ijd", atoms, 4.0)
    numbers = atoms.arrays["molecule"]
    across = numbers[i] != numbers[j]
    radii = report["packed_radii"] * packing_radii(atoms.numbers)
    assert (d[across] > (radii[i] + radii[j])[across] - 0.1).all()
    assert d[across].min() < 2.6
    shortest = report["shortest_distances"]
    assert min(shortest.values()) == pytest.approx(d[across & (numbers[i] >= 0) & (numbers[j] >= 0)].min(), abs=1e-5)


def test_the_same_specification_gives_the_same_atoms_and_another_seed_others():
    one, first = build(SMALL)
    two, second = build(SMALL)
    assert first == second
    assert one.positions.tobytes() == two.positions.tobytes()
    assert one.cell.array.tobytes() == two.cell.array.tobytes()
    other, _ = build({**SMALL, "seed": 1})
    assert other.get_chemical_formula() == one.get_chemical_formula()
    np.testing.assert_array_equal(other.cell.array, one.cell.array)
    assert np.abs(other.positions - one.positions).max() > 1.0


def test_molarity_and_size_are_near_what_was_asked_for(built):
    _, report = built
    wanted = report["spec"]["liquid"]
    assert abs(report["n_atoms"] / (wanted["n_atoms"] or 200) - 1) < SIZE_TOLERANCE
    for molarity in report["molarity"].values():
        assert molarity == pytest.approx(1.0, rel=0.05)
        volume = report["liquid_volume"] * 6.02214e-4  # litres in a mol of cells
        assert report["molecules"]["Li"] / volume == pytest.approx(molarity, rel=1e-4)


def test_bulk_without_a_metal_and_a_given_density():
    liquid = {"solvents": {"DME": 1.0}, "n_atoms": 100, "density_g_cm3": 0.80}
    atoms, report = build({"liquid": liquid})
    assert report["interface"] is None
    assert report["regions"]["metal"] == []
    assert atoms.get_masses().sum() / atoms.get_volume() / 0.602214 == pytest.approx(0.80, rel=1e-4)


def test_thickness_and_gap_set_the_cell():
    spec = {
        "liquid": {"solvents": {"EC": 1.0}, "thickness_A": 9.0},
        "interface": {"area_A2": 60.0, "layers": 2, "gap_A": 3.2},
    }
    atoms, report = build(spec)
    interface = report["interface"]
    assert interface["liquid_thickness"] == pytest.approx(9.0, rel=0.2)
    assert interface["gap_above_metal"] == 3.2
    # The gap is 0.92 wider than half an interlayer distance (A / 4) and the liquid's skin of 1.4, at both faces.
    height = interface["liquid_thickness"] + 2 * A / 2 + 2 * (3.2 - A / 4 - 1.4)
    assert atoms.cell[2, 2] == pytest.approx(height, abs=1e-6)


def test_own_solvent_and_own_salt():
    own = {
        "THF": {"smiles": "C1CCOC1", "charge": 0, "density": 0.883},
        "OTf": {"smiles": "FC(F)(F)S(=O)(=O)[O-]", "density": 1.9},
    }
    liquid = {"solvents": {"THF": 1.0}, "salt": "LiOTf", "molarity_M": 2.0, "molecules": own, "n_atoms": 110}
    atoms, report = build({"liquid": liquid})
    assert report["label"] == "2M LiOTf in THF, 110 atoms"
    assert report["molecules"]["Li"] == report["molecules"]["OTf"] >= 1
    assert set(atoms.arrays["sites"]) == {"solvent:THF", "cation", "anion:OTf"}
    assert candidate_elements({"liquid": liquid}) == ["C", "F", "H", "Li", "O", "S"]


def test_a_dianion_brings_two_lithium():
    own = {"SO4": {"smiles": "[O-]S(=O)(=O)[O-]", "density": 2.2}}
    liquid = {"solvents": {"EC": 1.0}, "salt": "Li2SO4", "molarity_M": 2.0, "molecules": own, "n_atoms": 80}
    _, report = build({"liquid": liquid})
    assert report["molecules"]["Li"] == 2 * report["molecules"]["SO4"]
    assert report["formal_charge"] == 0


def test_two_salts_share_their_lithium():
    liquid = {"solvents": {"DME": 1}, "salt": {"LiFSI": 2.0, "LiNO3": 1.0}, "n_atoms": 250}
    _, report = build({"liquid": liquid})
    counts = report["molecules"]
    assert counts["Li"] == counts["FSI"] + counts["NO3"]
    assert counts["FSI"] == 2 * counts["NO3"]
    assert report["formal_charge"] == 0
    assert report["molarity"] == pytest.approx({"LiFSI": 2.0, "LiNO3": 1.0}, rel=0.1)
    with pytest.raises(StructureError, match=r"0.01.*One formula unit of LiNO3 needs \d+ atoms"):
        validate({"liquid": liquid | {"salt": {"LiFSI": 1.0, "LiNO3": 0.01}}})


def test_metal_is_thick_enough_for_results_by_default():
    _, report = build({**SMALL, "interface": {"area_A2": 60.0}})
    assert report["interface"]["metal_thickness"] >= 10.0
    assert report["interface"]["reservoir"]["enough"]
    _, thin = build(SMALL)
    assert not thin["interface"]["reservoir"]["enough"]


@pytest.mark.parametrize(
    ("liquid", "label"),
    [
        ({"solvents": {"EC": 1}, "salt": {"LiTFSI": 1.0, "LiNO3": 0.2}}, "1M LiTFSI + 0.2M LiNO3 in EC"),
        ({"solvents": {"DME": 1}, "salt": "LiFSI"}, "1M LiFSI in DME"),
        ({"solvents": {"EC": 1, "DMC": 1}, "salt": "LiPF6", "molarity_M": 1.2}, "1.2M LiPF6 in EC:DMC 1:1"),
        ({"solvents": {"EC": 3, "EMC": 7}, "parts": "mole"}, "EC:EMC 3:7 mol"),
        ({"solvents": {"EC": 1}, "density_g_cm3": 1.3}, "EC, 1.3 g/cm3"),
        ({"solvents": {"EC": 1}, "thickness_A": 20.0}, "EC, 20 A"),
        ({"solvents": {"EC": 1}, "n_atoms": 300}, "EC, 300 atoms"),
    ],
)
def test_labels_are_what_chemists_say(liquid, label):
    assert candidate_label({"liquid": liquid, "interface": {}}) == label


@pytest.mark.parametrize("spec", [ETHER, CARBONATE, SMALL])
def test_a_checked_specification_is_complete_and_checks_again(spec):
    checked = validate(spec)
    assert validate(checked) == checked
    assert candidate_label(checked) == candidate_label(spec)
    assert {"parts", "density_g_cm3", "molecules"} <= set(checked["liquid"])
    assert {"facet", "layers", "area_A2", "gap_A"} <= set(checked["interface"])


def test_interface_areas_come_near_and_hold_even_numbers_of_metal_atoms():
    # 110 Angstrom^2 is the default; a rectangular cell of (111) has 43, and 3 x 3 of (100) would be odd.
    for facet in ([1, 0, 0], [1, 1, 0], [1, 1, 1]):
        for layers in (1, 3):
            spec = {**ETHER, "interface": {"facet": facet, "layers": layers}}
            spec["liquid"] = {**ETHER["liquid"], "n_atoms": 250}
            checked = read_candidate(spec)
            plan = plan_filling(checked.liquid, checked.interface)
            assert len(plan.metal) % 2 == 0
            assert plan.lengths[0] * plan.lengths[1] == pytest.approx(110.0, rel=0.35)
            assert max(plan.lengths[:2]) / min(plan.lengths[:2]) < 1.45


def test_packing_is_periodic_in_the_plane():
    # A liquid so thick in a cell so narrow that molecules have to reach across its faces.
    shapes = [molecule("DME", seed=k) for k in range(3)]
    places, _ = pack(shapes, (8.0, 8.0, 14.0), (1.0, 13.0), seed=3)
    points = np.concatenate(places)
    assert ((points[:, :2] < 0) | (points[:, :2] > 8.0)).any()
    for shape, place in zip(shapes, places, strict=True):  # rigid
        inside = [np.linalg.norm(p[:, None] - p[None], axis=-1) for p in (shape.positions, place)]
        np.testing.assert_allclose(*inside, atol=1e-4)


def test_what_cannot_be_packed_is_refused(monkeypatch):
    monkeypatch.setattr("aiida_haml.structures.liquid.packing.SCALES", (1.0,))
    monkeypatch.setattr("aiida_haml.structures.liquid.packing.LOOPS", 5)
    with pytest.raises(StructureError, match="Lower the density"):
        pack([molecule("PF6")] * 2, (4.0, 4.0, 4.0), seed=1)


def test_slowness_is_an_error_and_never_another_packing(monkeypatch):
    monkeypatch.setattr("aiida_haml.structures.liquid.packing.TIME_LIMIT", 0.01)
    with pytest.raises(StructureError, match="not enough"):
        pack([molecule("DME", seed=k) for k in range(12)], (13.0, 13.0, 13.0), seed=1)


def test_a_missing_packmol_is_said_at_once(monkeypatch, tmp_path):
    assert find_packmol().is_file()
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(StructureError, match="pip install packmol"):
        validate(ETHER)


# -- arithmetic ---------------------------------------------------------------------------------------------


def component(name, share):
    species = SOLVENTS[name]
    atoms = molecule(name)
    return Component(name, share, float(atoms.get_masses().sum()), species.density, len(atoms))


COMPONENTS = {name: component(name, 1.0) for name in SOLVENTS}
SALT = Component("LiPF6", 1.0, 151.90, 2.84, 8)


def test_volume_parts_are_volumes_before_mixing():
    parts = [component("EC", 1.0), component("DMC", 3.0)]
    litre = amounts(parts, [replace(SALT, share=1.5)], "volume", None)
    volumes = [litre[c.name] * c.mass / c.density for c in parts]
    assert volumes[1] / volumes[0] == pytest.approx(3.0)
    assert sum(volumes) + 1.5 * SALT.mass / SALT.density == pytest.approx(1000.0)
    assert litre["LiPF6"] == 1.5


def test_mole_parts_and_a_given_density():
    parts = [component("EC", 1.0), component("DMC", 3.0)]
    litre = amounts(parts, [SALT], "mole", 1.25)
    assert litre["DMC"] / litre["EC"] == pytest.approx(3.0)
    assert sum(litre[c.name] * c.mass for c in parts) + SALT.mass == pytest.approx(1250.0)


def test_what_whole_molecules_can_meet_is_met_exactly():
    # 8 EC, 5 DMC and 2 LiPF6 in the volume that they have: this molarity, these parts.
    ec, dmc = COMPONENTS["EC"], COMPONENTS["DMC"]
    volume = 8 * ec.volume + 5 * dmc.volume + 2 * SALT.volume
    parts = [Component(c.name, n, c.mass, c.density, c.atoms) for c, n in ((ec, 8), (dmc, 5))]
    found = choose_counts(parts, [replace(SALT, share=2000 / volume)], 8 * 10 + 5 * 12 + 2 * 8, "mole")
    assert found == {"EC": 8, "DMC": 5, "LiPF6": 2}


@settings(max_examples=40, deadline=None)
@given(
    names=st.lists(st.sampled_from(sorted(SOLVENTS)), min_size=1, max_size=3, unique=True),
    shares=st.lists(st.floats(0.2, 5.0), min_size=3, max_size=3),
    molarity=st.floats(0.3, 4.0),
    target=st.integers(80, 3000),
    parts=st.sampled_from(["volume", "mole"]),
)
def test_whole_numbers_stay_near_the_mixture(names, shares, molarity, target, parts):
    solvents = [
        Component(n, s, COMPONENTS[n].mass, COMPONENTS[n].density, COMPONENTS[n].atoms)
        for n, s in zip(names, shares, strict=False)
    ]
    salt = replace(SALT, share=molarity)
    ideal = amounts(solvents, [salt], parts, None)
    litres = target / sum(ideal[c.name] * c.atoms for c in [*solvents, SALT])
    try:
        found = choose_counts(solvents, [salt], target, parts)
    except StructureError:
        # Only where some component has fewer than two molecules' worth of room.
        assert min(value * litres for value in ideal.values()) < 2
        return
    assert all(isinstance(n, int) and n >= 1 for n in found.values())
    volume = sum(found[c.name] * c.volume for c in [*solvents, SALT])
    assert abs(np.log(found["LiPF6"] * 1000 / volume / molarity)) <= np.log(1 + MOLARITY_TOLERANCE) + 1e-9
    assume(min(value * litres for value in ideal.values()) > 4)
    size = sum(found[c.name] * c.atoms for c in [*solvents, SALT])
    assert abs(size / target - 1) < SIZE_TOLERANCE + 0.1
    for c in solvents:  # each number is within a molecule of its share of the solvents
        share = ideal[c.name] / sum(ideal[n] for n in names)
        assert abs(found[c.name] - share * sum(found[n] for n in names)) <= 1.5


# -- refusals -----------------------------------------------------------------------------------------------


def with_liquid(**changes):
    return {**ETHER, "liquid": {**ETHER["liquid"], **changes}}


@pytest.mark.parametrize(
    ("spec", "field", "remedy"),
    [
        (with_liquid(solvents={"DMEE": 1}), "liquid.solvents.DMEE", "Did you mean 'DME'?"),
        (with_liquid(solvents={}), "liquid.solvents", "parts"),
        (with_liquid(solvents={"DME": 0}), "liquid.solvents.DME", "parts"),
        (with_liquid(solvents={"DME": True}), "liquid.solvents.DME", "parts"),
        (with_liquid(solvents={"FSI": 1}), "liquid.solvents.FSI", "Choose one of"),
        (with_liquid(salt="LiFSO"), "liquid.salt", "Did you mean 'LiFSI'?"),
        (with_liquid(salt=None), "liquid.molarity_M", "Name the salt"),
        (with_liquid(salt={"LiFSI": 1.0}), "liquid.molarity_M", "leave it out"),
        (with_liquid(molarity_M=-1), "liquid.molarity_M", "litre"),
        (with_liquid(molarity_M=0.05), "liquid.molarity_M", "atoms of liquid"),
        (with_liquid(solvents={"DME": 1, "FEC": 0.01}), "liquid.solvents.FEC", "atoms of liquid"),
        (with_liquid(solvents={"X": 1}, molecules={"X": {"smiles": "C1CC", "density": 1.0}}), "X.smiles", "Correct"),
        (with_liquid(solvents={"X": 1}, molecules={"X": {"smiles": "CCO"}}), "X.density", "g/cm^3"),
        (with_liquid(solvents={"X": 1}, molecules={"X": {"smiles": "C[O-]", "density": 1.0}}), "solvents.X", "salt"),
        (with_liquid(molecules={"Li": {"smiles": "CC"}}), "liquid.molecules.Li", "cation"),
        (with_liquid(molecules={"a:b": {"smiles": "CC"}}), "liquid.molecules.a:b", "letters"),
        (with_liquid(molecules=["CC"]), "liquid.molecules", "name"),
        (with_liquid(parts="weight"), "liquid.parts", "volume, mole"),
        (with_liquid(density_g_cm3=30), "liquid.density_g_cm3", "Density"),
        (with_liquid(n_atoms=40), "liquid.n_atoms", "fewer layers"),
        (with_liquid(n_atoms=0), "liquid.n_atoms", "100000"),
        (with_liquid(n_atoms=200, thickness_A=20.0), "liquid.thickness_A", "one of the two"),
        (with_liquid(solvent="DME"), "liquid.solvent", "Did you mean 'solvents'?"),
        ({**ETHER, "seed": -1}, "seed", "Expected"),
        ({**ETHER, "seed": 1.5}, "seed", "Expected"),
        ({**ETHER, "interface": {"metal": "Na"}}, "interface.metal", "Li"),
        ({**ETHER, "interface": {"facet": [2, 1, 0]}}, "interface.facet", "110"),
        ({**ETHER, "interface": {"layers": 0}}, "interface.layers", "Atomic layers"),
        ({**ETHER, "interface": {"repeat": [3]}}, "interface.repeat", "surface cells"),
        ({**ETHER, "interface": {"gap_A": 0.1}}, "interface.gap_A", "Angstrom"),
        ({**ETHER, "interface": {"repeat": [9, 9], "max_area_A2": 200.0}}, "interface.max_area_A2", "Repeat less"),
        (
            {"liquid": {"solvents": {"DME": 1}, "n_atoms": 460}, "interface": {"repeat": [10, 10]}},
            "liquid.n_atoms",
            "smaller area",
        ),
    ],
)
def test_bad_specifications_are_refused_with_a_remedy(spec, field, remedy):
    with pytest.raises(StructureError) as caught:
        validate(spec)
    assert field in caught.value.field
    assert remedy in caught.value.remedy


def test_the_example_is_a_screen_of_liquids():
    spec = load_spec(Path(__file__).parents[3] / "examples" / "liquid_screen.yaml")
    assert [c["label"] for c in spec.candidates().values()] == ["1M LiFSI in DME", "1M LiPF6 in EC:DMC 1:1"]
    assert spec.elements() == ["C", "F", "H", "Li", "N", "O", "P", "S"]
