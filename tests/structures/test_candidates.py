"""From a specification to a cell: determinism, reports, labels, refusals."""

import json
import pickle
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aiida_haml.frames import Frames
from aiida_haml.structures.candidates import (
    build,
    candidate_elements,
    candidate_label,
    count_configurations,
    reservoir,
    validate,
)
from aiida_haml.structures.errors import StructureError

OXYGEN = {"dopant": "O", "site": "16e", "fraction": 0.25}
FLUORINE = {"dopant": "F", "site": "4a", "fraction": 0.5}
LITHIUM = {"metal": "Li", "facet": [1, 0, 0], "layers": 1, "max_strain": 0.03, "gap_A": None}
ORDERED = {"name": "Li6PS5Cl", "lithium": "24g", "exchange": 0}


def test_quick_cell_and_its_report():
    spec = {"host": "Li6PS5Cl", "doping": [OXYGEN], "interface": LITHIUM, "seed": 1}
    atoms, report = build(spec)
    assert len(atoms) == report["n_atoms"] == 60
    assert report["composition"] == "Cl4Li32O4P4S16"
    assert report["label"] == candidate_label(spec) == "Li6PS4OCl#16e-00"
    assert report["formula"] == "Li6PS4OCl"
    assert report["formal_charge"] == 0
    assert report["tetrahedra_intact"] == 4
    assert len(report["regions"]["metal"]) == 8
    assert report["interface"]["shortest_distance"] > 2.4
    assert report["doping"]["n_distinct"] == count_configurations(spec) == 33
    assert report["ordering"]["seed"] == 1
    assert report["host"]["sublattices"]["16e"] == {"n_sites": 16, "occupancy": {"S": 1.0}}
    assert [atoms.symbols[i] for i in report["doping"]["substituted"]] == ["O"] * 4
    assert json.loads(json.dumps(report)) == report
    assert Frames.from_ase(atoms).n_atoms == 60


def test_bulk_without_interface_and_pristine_without_doping():
    atoms, report = build({"interface": None})
    assert (len(atoms), report["label"], report["interface"]) == (52, "Li6PS5Cl", None)
    assert report["regions"]["metal"] == []
    assert report["volume"] == pytest.approx(9.859**3)
    wider, _ = build({"host": {"name": "Li6PS5Cl", "a_A": 10.2}})
    assert wider.get_volume() == pytest.approx(10.2**3)


def test_defaults_are_written_out_and_stable():
    full = validate({"doping": FLUORINE, "interface": {}})
    assert full["interface"]["layers"] is None
    assert full["interface"]["facet"] == "100"
    assert full["doping"] == [FLUORINE]
    assert full["configuration"] == 0
    assert (full["host"]["lithium"], full["host"]["exchange"]) == ("48h", 0.5)
    assert json.loads(json.dumps(full)) == validate(full) == full
    assert build(full)[1]["spec"] == full
    assert validate({"doping": [], "host": "Li6PS5Cl"})["doping"] == []
    full["host"]["name"] = "changed"  # what a caller does with it is the caller's
    assert validate({"doping": FLUORINE})["host"]["name"] == "Li6PS5Cl"


@settings(max_examples=7, deadline=None)
@given(
    dopant=st.sampled_from([("O", "16e", 16), ("Se", "4d", 4), ("F", "16e", 16), None]),
    host=st.sampled_from(["Li6PS5Cl", ORDERED]),
    data=st.data(),
    layers=st.integers(1, 3),
    seed=st.integers(0, 1000),
)
def test_the_same_specification_gives_the_same_bits(dopant, host, data, layers, seed):
    spec = {"host": host, "interface": {"layers": layers}, "seed": seed}
    vacancies = 0
    if dopant is not None:
        element, site, n_sites = dopant
        count = data.draw(st.integers(1, 2))
        spec["doping"] = [{"dopant": element, "site": site, "fraction": count / n_sites}]
        spec["configuration"] = {"sample": 0}
        if element == "F":
            spec["compensation"], vacancies = "vacancies", count
    (first, report), (second, again) = build(spec), build(dict(reversed(spec.items())))
    for name in ("positions", "numbers", "sites"):
        assert first.arrays[name].tobytes() == second.arrays[name].tobytes()
    assert first.cell.array.tobytes() == second.cell.array.tobytes()
    assert report == again
    assert candidate_label(spec) == report["label"]
    assert candidate_elements(spec) == sorted(set(first.get_chemical_symbols()))
    assert report["formal_charge"] == 0
    assert len(first) == 52 - vacancies + 8 * layers
    assert (report["ordering"] is not None) == (host != ORDERED or vacancies > 0)
    assert report["interface"]["shortest_distance"] > 1.8


def test_one_doping_differs_from_another_in_dopants_and_lithium_alone():
    base = {"host": ORDERED, "interface": LITHIUM}
    plain, _ = build(base)
    doped, report = build({**base, "doping": [{"dopant": "Se", "site": "4d", "fraction": 0.25}]})
    changed = np.flatnonzero(plain.numbers != doped.numbers)
    assert changed.tolist() == report["doping"]["substituted"]
    compensated = {"doping": [{"dopant": "Cl", "site": "4d", "fraction": 0.5}], "compensation": "vacancies"}
    rich, report = build({**base, **compensated})
    assert report["label"] == "Li5.5PS4.5Cl1.5#4d-00(24g,x0)"
    assert (report["doping"]["charge"], len(plain) - len(rich)) == (2, 2)
    assert {report["sites"][i] for i in report["doping"]["substituted"]} == {"4d"}


def test_a_corner_of_fluorine_makes_its_unit_no_tetrahedron_of_chalcogens():
    spec = {"doping": [{"dopant": "F", "site": "16e", "fraction": 0.125}], "compensation": "vacancies"}
    counts = [build({**spec, "configuration": k})[1]["tetrahedra_intact"] for k in range(count_configurations(spec))]
    assert sorted(set(counts)) == [2, 3]  # both F on one P, or on two


def test_fine_fractions_in_a_supercell():
    spec = {
        "host": {**ORDERED, "supercell": [1, 1, 5]},
        "doping": [{"dopant": "O", "site": "16e", "fraction": 0.05}, {"dopant": "F", "site": "4a", "fraction": 0.05}],
        "configuration": "sqs",
        "interface": LITHIUM,
    }
    atoms, report = build(spec)
    assert report["label"] == "Li6PS4.8O0.2Cl0.95F0.05#16e+4a-sqs(24g,x0,1x1x5)"
    assert report["tetrahedra_intact"] == 20
    assert len(report["doping"]["substituted"]) == 5
    assert report["doping"]["mismatch"] < 0.2
    assert report["doping"]["n_arrangements"] == 80 * 79 * 78 * 77 // 24 * 20
    assert len(atoms) == 268


LABELS = {
    "Li6PS4OCl#16e-00": {},
    "Li6PS4OCl#16e-01": {"configuration": 1},
    "Li6PS4OCl#16e-s01": {"configuration": {"sample": 1}, "seed": 4},  # replicates share a label
    "Li6PS4OCl#16e-sqs": {"configuration": "sqs"},
    "Li6PS4OCl#16e-00(24g,x0)": {"host": ORDERED},
    "Li6PS4OCl#16e-00(x0.25)": {"host": {"name": "Li6PS5Cl", "exchange": 0.25}},
    "Li6PS4OCl#16e-00(a10.2)": {"host": {"name": "Li6PS5Cl", "a_A": 10.2}},
    "Li6PS4OCl#16e-s00(24g,1x1x2)": {
        "host": {"lithium": "24g", "supercell": [1, 1, 2]},
        "configuration": {"sample": 0},
    },
}


@pytest.mark.parametrize("label", LABELS)
def test_labels_name_what_is_not_the_default(label):
    assert candidate_label({"doping": [OXYGEN], **LABELS[label]}) == label


def test_a_seed_draws_disorder_and_lithium_where_there_is_some_to_draw():
    drawn = [build({"doping": [OXYGEN], "seed": seed})[0] for seed in (1, 2, 3)]
    assert len({atoms.numbers.tobytes() for atoms in drawn}) > 1  # the anions that changed places
    assert len({atoms.positions.tobytes() for atoms in drawn}) == 3
    assert len({atoms.get_chemical_formula() for atoms in drawn}) == 1
    ordered = [build({"host": ORDERED, "doping": [OXYGEN], "seed": seed})[0] for seed in (1, 2)]
    assert ordered[0] == ordered[1]


@pytest.mark.parametrize(
    "interface", [{}, {"layers": 2}, {"repeat": [2, 1], "electrolyte_cells": 2}, {"facet": "110", "max_area_A2": 400}]
)
def test_metal_is_known_before_the_cell_is_built(interface):
    spec = {"doping": [OXYGEN], "interface": interface}
    assert reservoir(spec).to_dict() == pytest.approx(build(spec)[1]["interface"]["reservoir"], abs=1e-5)


def test_metal_beside_a_liquid_is_known_too_and_there_is_none_in_bulk():
    liquid = {"liquid": {"solvents": {"DME": 1.0}, "n_atoms": 120}, "interface": {"area_A2": 60.0}}
    assert reservoir(liquid).to_dict() == pytest.approx(build(liquid)[1]["interface"]["reservoir"], abs=1e-5)
    assert reservoir({}) is None


def crystal(name):
    """Return rock salt of Li and Cl as a host."""
    a, places = 5.13, [[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]]
    sites = [{"label": "4a", "occupancy": {"Li": 1.0}, "scaled": p} for p in places]
    sites += [{"label": "4b", "occupancy": {"Cl": 1.0}, "scaled": [(x + 0.5) % 1 for x in p]} for p in places]
    return {"name": name, "crystal": {"cell": [[a, 0, 0], [0, a, 0], [0, 0, a]], "sites": sites}}


def test_any_crystal_is_a_host():
    bromide = {"doping": [{"dopant": "Br", "site": "Cl", "fraction": 0.5}], "host": crystal("LiCl")}
    atoms, report = build(bromide)
    assert report["label"] == "LiCl0.5Br0.5#Cl-00"
    assert atoms.get_chemical_formula() == "Br2Cl2Li4"
    assert count_configurations(bromide) == 1  # all pairs of an fcc cell are equivalent
    assert candidate_label({**bromide, "host": crystal("rock salt")}) == "LiCl0.5Br0.5#Cl-00(rock salt)"
    assert candidate_elements(bromide) == ["Br", "Cl", "Li"]
    assert report["host"]["formula"] == "LiCl"


def test_elements_are_those_of_the_candidate_alone():
    full = {"host": ORDERED, "doping": [{"dopant": "F", "site": "4a", "fraction": 1}], "interface": LITHIUM}
    assert candidate_elements(full) == ["F", "Li", "P", "S"]  # no Cl is left
    assert candidate_elements({}) == ["Cl", "Li", "P", "S"]


def test_a_sweep_of_a_thousand_is_checked_in_seconds():
    base = {"doping": [OXYGEN, FLUORINE], "interface": LITHIUM}
    sweep = [{**base, "configuration": k} for k in range(count_configurations(base))]
    sweep += [{**base, "configuration": {"sample": k}} for k in range(100)]
    start = time.process_time()
    for spec in sweep:
        validate(spec)
    labels = {candidate_label(spec) for spec in sweep}
    assert time.process_time() - start < 5 + 5 * len(sweep) / 1000
    assert len(labels) == len(sweep) > 200


@pytest.mark.parametrize(
    ("spec", "field", "words"),
    [
        ({"hosts": "Li6PS5Cl"}, "hosts", "Did you mean 'host'"),
        ({"a_A": 10.0}, "a_A", "the fields are host"),
        ({"host": "Li7P3S11"}, "host.name", "is not one of Li6PS5Cl"),
        ({"host": None}, "host", "dictionary"),
        ({"host": {"name": "Li6PS5Cl", "a_A": 1.0}}, "host.a_A", "Angstrom"),
        ({"host": {"name": "Li6PS5Cl", "a_A": object()}}, "host.a_A", "Angstrom"),
        ({"host": {"exchange": 0.1}}, "host.supercell", "large"),
        ({"seed": -1}, "seed", "greater than or equal to 0"),
        ({"seed": 2**31}, "seed", "less than 2147483648"),
        ({"seed": 1.5}, "seed", "integer"),
        ({"doping": "O"}, "doping", "list of substitutions"),
        ({"doping": ["O"]}, "doping", "dictionary"),
        ({"doping": [{"dopant": "O", "site": "16e"}]}, "doping.fraction", "missing"),
        ({"doping": [OXYGEN, {"dopant": "O", "site": "16e"}]}, "doping[1].fraction", "missing"),
        ({"doping": [OXYGEN | {"configuration": 1}]}, "doping.configuration", "the fields are dopant, site, fraction"),
        ({"doping": [OXYGEN | {"fraction": -0.1}]}, "doping.fraction", "0 to 1"),
        ({"doping": [OXYGEN | {"fraction": 0.26}]}, "doping.fraction", "supercell"),
        ({"doping": [FLUORINE, OXYGEN | {"fraction": 0.05}]}, "doping[1].fraction", r"\[1, 1, 5\]"),
        ({"doping": [OXYGEN | {"dopant": "Xx"}]}, "doping.dopant", "is no element"),
        ({"doping": [OXYGEN | {"dopant": ["O"]}]}, "doping.dopant", "string"),
        ({"doping": [OXYGEN | {"site": "4a"}]}, "compensation", "put O on 16e or 4d"),
        ({"doping": [OXYGEN], "compensation": "vacancies"}, "compensation", "Leave it out"),
        ({"doping": [OXYGEN], "compensation": "holes"}, "compensation", "vacancies, interstitials"),
        ({"doping": [OXYGEN], "configuration": 99}, "configuration", "from 0 to 32"),
        *(
            ({"doping": [OXYGEN], "configuration": wrong}, "configuration", '"sqs"')
            for wrong in (None, -1, 1.5, True, "random", {"k": 3}, {"sample": -1})
        ),
        ({"doping": [OXYGEN], "host": {"supercell": [1, 1, 2]}}, "configuration", '"sample": k'),
        ({"interface": []}, "interface", "dictionary"),
        ({"interface": {"facets": [1, 0, 0]}}, "interface.facets", "the fields are metal"),
        ({"interface": {"facet": [3, 1, 0]}}, "interface.facet", "100, 110, 111"),
        ({"interface": {"facet": [[1], 0, 0]}}, "interface.facet", "lattice plane"),
        ({"interface": {"layers": -2}}, "interface.layers", "Atomic layers"),
        ({"interface": {"max_strain": 0.002}}, "interface.max_strain", "strain"),
        ({"interface": {"cut": 99}}, "interface.cut", "of which there are 3"),
        ("Li6PS5Cl", "specification", "dictionary"),
    ],
)
def test_bad_specifications_are_refused_before_anything_is_built(spec, field, words):
    with pytest.raises(StructureError, match=words) as caught:
        validate(spec)
    assert caught.value.field == field
    assert caught.value.remedy in str(caught.value)


def test_a_refusal_survives_being_sent_to_another_process():
    error = StructureError("seed", -1, "is not a seed", "Give a whole number from 0 on.")
    again = pickle.loads(pickle.dumps(error))
    assert str(again) == str(error)
    assert again.field == "seed"
    assert isinstance(again, ValueError)


def test_dopants_are_named_in_a_repeated_cell_too():
    wide = {"facet": [1, 1, 1], "max_strain": 0.12, "layers": 2}
    atoms, report = build({"doping": [OXYGEN], "interface": wide})
    repeats = report["interface"]["n_electrolyte"] // 52
    assert repeats > 1
    assert [atoms.symbols[i] for i in report["doping"]["substituted"]] == ["O"] * 4 * repeats
    assert {report["sites"][i] for i in report["doping"]["substituted"]} == {"16e"}


def test_positions_are_inside_the_cell():
    atoms, _ = build({"interface": LITHIUM})
    scaled = atoms.get_scaled_positions(wrap=False)
    assert (scaled > -1e-6).all()
    assert (scaled < 1).all()
    assert np.isfinite(scaled).all()


def test_liquids_go_their_own_way():
    spec = {"liquid": {"solvents": {"DME": 1.0}, "salt": "LiFSI"}}
    assert validate(spec)["liquid"]["salt"] == "LiFSI"
    assert "DME" in candidate_label(spec)
    assert {"C", "H", "Li", "O"} <= set(candidate_elements(spec))
    with pytest.raises(StructureError) as caught:
        validate({"liquid": {"solvents": {"water of life": 1.0}}})
    assert caught.value.field.startswith("liquid")
