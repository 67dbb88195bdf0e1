"""Lattice constants of a level of theory: each component relaxed once, and entered where it belongs."""

import numpy as np
import pytest

from aiida_haml.structures.candidates import build
from aiida_haml.structures.errors import StructureError
from aiida_haml.structures.lattices import build_component, components, relaxed_constant, with_constants

PRISTINE = {"interface": {"layers": 2}, "seed": 1}
OXYGEN = {**PRISTINE, "doping": [{"dopant": "O", "site": "16e", "fraction": 0.25}]}
LIQUID = {"liquid": {"solvents": {"DME": 1.0}, "salt": "LiFSI"}, "interface": {}}


def scaled(atoms, factor, shear=0.0):
    other = atoms.copy()
    cell = atoms.cell.array * factor
    cell[1] += shear * cell[0]
    other.set_cell(cell, scale_atoms=True)
    return other


def test_replicates_and_interfaces_share_what_is_relaxed_and_dopings_do_not():
    first = components(PRISTINE)
    assert components({**PRISTINE, "seed": 7, "interface": {"layers": 9, "facet": "110"}}) == first
    doped = components(OXYGEN)
    assert doped["metal"] == first["metal"]
    assert doped["electrolyte"] != first["electrolyte"]
    assert set(components(LIQUID)) == {"metal"}
    assert set(components({"seed": 1})) == {"electrolyte"}


def test_what_is_given_is_not_relaxed():
    assert components({"host": {"a_A": 10.1}, "interface": {"metal_a_A": 3.44}}) == {}


@pytest.mark.parametrize("spec", [OXYGEN, {"host": {"supercell": [2, 1, 1]}, "interface": {}}, LIQUID])
def test_constants_come_back_from_volumes_and_enter_the_cell(spec):
    wanted = {"electrolyte": 1.03, "metal": 0.98}
    measured = {"electrolyte": 9.859, "metal": 3.51}
    constants = {}
    for name, component in components(spec).items():
        cell = build_component(component)
        relaxed = scaled(cell, wanted[name], shear=0.02)  # the shape of a small cell is not taken
        constants[name] = relaxed_constant(component, cell, relaxed)
        assert constants[name] == pytest.approx(wanted[name] * measured[name], abs=1e-5)
    changed = with_constants(spec, constants)
    assert components(changed) == {}
    atoms, report = build(changed)
    metal = atoms[report["regions"]["metal"]]
    assert len(metal)
    if "electrolyte" in constants:
        bulk, _ = build({**changed, "interface": None})
        repeats = changed["host"]["supercell"]
        np.testing.assert_allclose(bulk.cell.lengths(), 9.859 * 1.03 * np.array(repeats), atol=1e-4)


def test_the_metal_is_large_enough_for_one_k_point():
    assert build_component({"metal": "Li"}).cell.lengths().min() > 10.0


def test_a_cell_of_something_else_is_refused():
    component = components(OXYGEN)["electrolyte"]
    with pytest.raises(StructureError, match="is what was relaxed"):
        relaxed_constant(component, build_component(component), build({"seed": 1})[0])
