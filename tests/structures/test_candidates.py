"""From a specification to a cell: determinism, reports, refusals."""

import json
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aiida_haml.frames import Frames
from aiida_haml.structures.candidates import build, candidate_label, validate
from aiida_haml.structures.errors import StructureError

OXYGEN = {"dopant": "O", "site": "16e", "fraction": 0.25, "configuration": 0}
LITHIUM = {"metal": "Li", "facet": [1, 0, 0], "layers": 1, "max_strain": 0.03, "gap_A": None}


def test_quick_cell_and_its_report():
    spec = {"host": "Li6PS5Cl", "doping": OXYGEN, "interface": LITHIUM, "seed": 0}
    atoms, report = build(spec)
    assert len(atoms) == report["n_atoms"] == 60
    assert report["composition"] == "Cl4Li32O4P4S16"
    assert report["label"] == candidate_label(spec) == "Li6PS4OCl#16e-00"
    assert report["formal_charge"] == 0
    assert report["tetrahedra_intact"] == 4
    assert len(report["regions"]["metal"]) == 8
    assert report["interface"]["shortest_distance"] > 2.4
    assert report["doping"]["n_distinct"] == 33
    assert [atoms.symbols[i] for i in report["doping"]["substituted"]] == ["O"] * 4
    assert json.loads(json.dumps(report)) == report
    assert Frames.from_ase(atoms).n_atoms == 60


def test_bulk_without_interface_and_pristine_without_doping():
    atoms, report = build({"interface": None})
    assert (len(atoms), report["label"], report["interface"]) == (52, "Li6PS5Cl", None)
    assert report["regions"]["metal"] == []
    assert report["volume"] == pytest.approx(9.859**3)
    wider, _ = build({"a_A": 10.2})
    assert wider.get_volume() == pytest.approx(10.2**3)


def test_defaults_are_written_out_and_stable():
    full = validate({"doping": {"dopant": "F", "site": "4a", "fraction": 0.5}, "interface": {}})
    assert full["interface"]["layers"] == 2
    assert full["interface"]["facet"] == [1, 0, 0]
    assert full["doping"]["configuration"] == 0
    assert validate(full) == full
    assert build(full)[1]["spec"] == full


@settings(max_examples=12, deadline=None)
@given(
    doping=st.sampled_from([("O", "16e", 16), ("Se", "4d", 4), ("F", "4a", 4), None]),
    data=st.data(),
    layers=st.integers(1, 3),
    seed=st.integers(0, 1000),
)
def test_the_same_specification_gives_the_same_bits(doping, data, layers, seed):
    spec = {"interface": {"layers": layers}, "seed": seed}
    if doping is not None:
        dopant, site, n_sites = doping
        fraction = data.draw(st.integers(0, n_sites)) / n_sites
        spec["doping"] = {"dopant": dopant, "site": site, "fraction": fraction, "configuration": None}
    (first, report), (second, again) = build(spec), build(dict(reversed(spec.items())))
    for name in ("positions", "numbers", "sites"):
        assert first.arrays[name].tobytes() == second.arrays[name].tobytes()
    assert first.cell.array.tobytes() == second.cell.array.tobytes()
    assert report == again
    assert candidate_label(spec) == report["label"]
    assert report["formal_charge"] == 0
    assert report["tetrahedra_intact"] == 4
    assert len(first) == 52 + 8 * layers
    assert report["interface"]["shortest_distance"] > 1.8


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        ({"hosts": "Li6PS5Cl"}, "hosts"),
        ({"host": "Li7P3S11"}, "host"),
        ({"host": None}, "host"),
        ({"a_A": 1.0}, "a_A"),
        ({"a_A": "ten"}, "a_A"),
        ({"seed": -1}, "seed"),
        ({"seed": 1.5}, "seed"),
        ({"doping": "O"}, "doping"),
        ({"doping": {"dopant": "O", "site": "16e"}}, "doping.fraction"),
        ({"doping": OXYGEN | {"level": 1}}, "doping.level"),
        ({"doping": OXYGEN | {"fraction": -0.1}}, "doping.fraction"),
        ({"doping": OXYGEN | {"fraction": 0.26}}, "doping.fraction"),
        ({"doping": OXYGEN | {"dopant": "Xx"}}, "doping.dopant"),
        ({"doping": OXYGEN | {"dopant": ["O"]}}, "doping.dopant"),
        ({"doping": OXYGEN | {"site": "4a"}}, "doping.site"),
        ({"doping": OXYGEN | {"configuration": 99}}, "doping.configuration"),
        ({"interface": []}, "interface"),
        ({"interface": {"facets": [1, 0, 0]}}, "interface.facets"),
        ({"interface": {"facet": [3, 1, 0]}}, "interface.facet"),
        ({"interface": {"facet": [[1], 0, 0]}}, "interface.facet"),
        ({"interface": {"layers": -2}}, "interface.layers"),
        ({"interface": {"max_strain": 0.002}}, "interface.max_strain"),
        ("Li6PS5Cl", "specification"),
    ],
)
def test_bad_specifications_are_refused_before_anything_is_built(spec, field):
    with pytest.raises(StructureError) as caught:
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
    wide = {"facet": [1, 1, 1], "max_strain": 0.12}
    atoms, report = build({"doping": OXYGEN, "interface": wide})
    assert report["interface"]["n_electrolyte"] == 104
    assert [atoms.symbols[i] for i in report["doping"]["substituted"]] == ["O"] * 8
    assert {report["sites"][i] for i in report["doping"]["substituted"]} == {"16e"}


def test_positions_are_inside_the_cell():
    atoms, _ = build({"interface": LITHIUM})
    scaled = atoms.get_scaled_positions(wrap=False)
    assert (scaled > -1e-6).all()
    assert (scaled < 1).all()
    assert np.isfinite(scaled).all()
