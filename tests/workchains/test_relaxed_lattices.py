"""Lattice constants at a level of theory: found where the pressure vanishes, once, and the cells are built of them."""

import numpy as np
import pytest
from aiida import orm
from aiida.engine import run_get_node
from ase import units
from ase.build import bulk

from aiida_haml.calculations.building import build_candidate
from aiida_haml.data.frames import FramesData
from aiida_haml.queries import audit
from aiida_haml.structures.candidates import build
from aiida_haml.workchains.label import LabelWorkChain, level_inputs
from aiida_haml.workchains.lattices import LatticesWorkChain
from tests.workchains.test_label import teacher

RELAX = {"steps": 60, "max_force": 0.05, "max_pressure_GPa": 0.1}
IONS = "aiida_haml.engines.toy_ions:ToyIons"
ROCK_SALT = {"host": {"name": "Li6PS5Cl", "exchange": 0.0, "lithium": "24g"}, "interface": {"layers": 6}, "seed": 1}


def relax(code, initial, level, **settings):
    job = {"code": code, "initial": FramesData.from_ase(initial), "relax": orm.Dict(RELAX | settings), **level}
    outputs, node = run_get_node(LabelWorkChain, job=job)
    assert node.is_finished_ok, node.exit_message
    return outputs["frames"].frames


def equilibrium_of_emt():
    """Where EMT's energy of copper has its minimum, found without any stress, Angstrom."""
    from ase.calculators.emt import EMT

    lengths = np.linspace(3.5, 3.7, 21)
    energies = []
    for a in lengths:
        atoms = bulk("Cu", cubic=True, a=a)
        atoms.calc = EMT()
        energies.append(atoms.get_potential_energy())
    return np.roots(np.polyder(np.polyfit(lengths - 3.6, energies, 4)))[-1].real + 3.6


def test_a_teachers_cell_ends_where_its_energy_is_least(aiida_profile, engine_code):
    stretched = bulk("Cu", cubic=True, a=3.75).repeat(2)
    stretched.rattle(0.02, seed=1)
    frames = relax(engine_code, stretched, {"level": teacher()}, max_pressure_GPa=0.01)
    assert np.abs(frames.cells[-1].diagonal() / 2 - equilibrium_of_emt()).max() < 0.002
    assert np.allclose(frames.cells[-1] - np.diag(frames.cells[-1].diagonal()), 0, atol=1e-9), "angles are held"
    assert abs(frames.stresses[-1, :3].mean()) / units.GPa <= 0.01
    assert frames.stresses[0, :3].mean() > 1 * units.GPa, "a stretched cell is under tension"
    assert np.linalg.norm(frames.forces[-1], axis=1).max() < RELAX["max_force"]


def test_a_cell_that_is_not_to_move_does_not(aiida_profile, engine_code):
    job = {"code": engine_code, "initial": FramesData.from_ase(bulk("Cu", cubic=True, a=3.75)), "level": teacher()}
    outputs, _ = run_get_node(LabelWorkChain, job=job | {"relax": orm.Dict({"steps": 5, "max_force": 0.05})})
    assert np.all(outputs["frames"].frames.cells == 3.75 * np.eye(3))
    with pytest.raises(ValueError, match="max_pressure_GPa"):
        run_get_node(LabelWorkChain, job=job | {"relax": orm.Dict(RELAX | {"max_pressure_GPa": 0})})


@pytest.fixture(scope="module")
def candidates():
    doped = {**ROCK_SALT, "doping": [{"dopant": "O", "site": "4d", "fraction": 0.25}]}
    structures = {"pristine_s1": ROCK_SALT, "pristine_s2": {**ROCK_SALT, "seed": 2}, "oxygen_s1": doped}
    return {slug: orm.Dict({"structure": structure}) for slug, structure in structures.items()}


def lattices(code, candidates, **settings):
    inputs = {"label": {"job": {"code": code, "level": teacher(IONS)}}, "settings": orm.Dict(RELAX | settings)}
    return run_get_node(LatticesWorkChain, candidates=candidates, **inputs)


@pytest.mark.engine
def test_components_are_relaxed_once_and_the_cells_are_built_of_them(aiida_profile, engine_code, candidates):
    outputs, node = lattices(engine_code, candidates)
    assert node.is_finished_ok, node.exit_message
    jobs = [child for child in node.called if child.process_label == "LabelWorkChain"]
    assert len(jobs) == 3, "one metal, one host, one doped host; replicates share"
    assert sorted(outputs["constants"]) == ["electrolyte_000", "electrolyte_002", "metal_001"]
    for constant in outputs["constants"].values():
        assert abs(constant["pressure_GPa"]) <= RELAX["max_pressure_GPa"]
        assert abs(constant["pressure_as_measured_GPa"]) > RELAX["max_pressure_GPa"]
    first, doped = (outputs["constants"][name]["constant_A"] for name in ("electrolyte_002", "electrolyte_000"))
    assert first != doped
    pristine = outputs["specifications"]["pristine_s2"]
    assert pristine["host"]["a_A"] == first
    assert outputs["specifications"]["oxygen_s1"]["host"]["a_A"] == doped
    assert pristine["seed"] == 2
    atoms, report = build(pristine.get_dict())
    assert report["spec"]["interface"]["metal_a_A"] == outputs["constants"]["metal_001"]["constant_A"]
    built = build_candidate(pristine)["structure"]
    assert np.allclose(built.frames.cells[0], atoms.cell.array)
    assert audit(built).ok, "from the cell back to the labels its size rests on"

    again, node = lattices(engine_code, candidates)
    assert node.is_finished_ok, node.exit_message
    assert not [child for child in node.called if child.process_label == "LabelWorkChain"], "found in the database"
    assert {name: constant.pk for name, constant in again["constants"].items()} == {
        name: constant.pk for name, constant in outputs["constants"].items()
    }


def test_a_cell_that_is_not_at_rest_gives_no_constant(aiida_profile, engine_code, candidates):
    outputs, node = lattices(
        engine_code, {"bulk": orm.Dict({"structure": {"seed": 3}})}, steps=1, max_pressure_GPa=0.01
    )
    assert node.exit_status == 410
    assert "not at rest after 1 steps" in node.exit_message
    assert "host.a_A" in node.exit_message
    assert "specifications" not in outputs


@pytest.mark.engine
def test_cp2k_relaxes_a_cell_and_every_step_is_a_label(aiida_profile, cp2k_code):
    """Energy, forces and stress of each step are those of a single evaluation in the same cell."""
    salt = bulk("LiCl", "rocksalt", a=5.3, cubic=True)
    salt.rattle(0.05, seed=1)
    level = level_inputs("gfn1-xtb")
    frames = relax(cp2k_code, salt, level, max_force=0.1, max_pressure_GPa=0.3)
    assert len(frames) > 2
    assert np.allclose(frames.cells[0], salt.cell.array)
    assert abs(frames.stresses[-1, :3].mean()) / units.GPa <= 0.3
    assert frames.stresses[0, :3].mean() / units.GPa > 2, "the measured salt is under tension in GFN1-xTB"
    assert 5.0 < frames.cells[-1, 0, 0] < 5.25
    probes, node = run_get_node(LabelWorkChain, job={"code": cp2k_code, "initial": FramesData(frames), **level})
    assert node.is_finished_ok, node.exit_message
    assert np.allclose(probes["frames"].frames.energies, frames.energies, rtol=0, atol=2e-3)
    assert np.allclose(probes["frames"].frames.forces, frames.forces, rtol=0, atol=1e-2)
