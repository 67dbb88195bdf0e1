"""Equilibration: downhill first, then warm, every frame a label, and a start for the time line that follows."""

from itertools import pairwise

import numpy as np
import pytest
from aiida import orm
from aiida.engine import run_get_node
from ase import units
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.spacegroup import crystal

from aiida_haml.data.frames import FramesData
from aiida_haml.queries import audit
from aiida_haml.workchains.equilibrate import EquilibrateWorkChain
from aiida_haml.workchains.label import LabelWorkChain, level_inputs
from aiida_haml.workchains.protocols import protocol_settings
from tests.workchains.test_label import teacher

RECIPE = {"relax_steps": 60, "max_force": 0.05, "warm_up_steps": 40, "warm_up_stages": 2, "thermostat_time_fs": 5.0}


@pytest.fixture
def shaken():
    atoms = bulk("Cu", cubic=True).repeat(2)
    atoms.rattle(0.15, seed=3)
    return FramesData.from_ase(atoms)


def equilibrate(code, structure, level, temperature=300.0, **recipe):
    settings = protocol_settings("quick", {"equilibration": RECIPE | recipe})
    settings = {name: settings[name] for name in ("equilibration", "dynamics")}
    inputs = {"settings": orm.Dict(settings), "temperature_K": orm.Float(temperature), "seed": orm.Int(5)}
    return run_get_node(EquilibrateWorkChain, label={"job": {"code": code, **level}}, structure=structure, **inputs)


def test_a_shaken_crystal_is_relaxed_and_warmed_up(aiida_profile, engine_code, shaken):
    outputs, node = equilibrate(engine_code, shaken, {"level": teacher()})
    assert node.is_finished_ok, node.exit_message
    assert list(outputs["labels"]) == ["relaxation", "warm_up_01", "warm_up_02"]
    relaxed = outputs["labels"]["relaxation"]
    assert relaxed.kind == "relaxation"
    assert np.all(relaxed.frames.energies[-1] < relaxed.frames.energies[0])
    start = outputs["structure"]
    assert start.has_velocities
    assert start.frames.times is None
    assert np.array_equal(start.frames.positions[0], outputs["labels"]["warm_up_02"].frames.positions[-1])
    stages = outputs["output_parameters"]["stages"]
    assert stages["relaxation"]["max_force_start"] > 1
    assert stages["relaxation"]["max_force_end"] < RECIPE["max_force"]
    last = relaxed.to_ase(-1)[0]
    last.calc = EMT()
    assert stages["relaxation"]["pressure_GPa"] == pytest.approx(-last.get_stress()[:3].mean() / units.GPa, abs=1e-6)
    assert stages["warm_up_02"]["pressure_GPa"] > stages["relaxation"]["pressure_GPa"], "a warm crystal pushes"
    assert stages["warm_up_01"]["temperature_K"] == pytest.approx(150, rel=0.35)
    assert stages["warm_up_02"]["temperature_K"] == pytest.approx(300, rel=0.35)
    report = audit(node)
    assert report.n_data > 5
    assert report.ok, report.cut


def test_parts_can_be_left_out(aiida_profile, engine_code, shaken):
    outputs, node = equilibrate(engine_code, shaken, {"level": teacher()}, warm_up_steps=0)
    assert node.is_finished_ok, node.exit_message
    assert list(outputs["labels"]) == ["relaxation"]
    assert not outputs["structure"].has_velocities
    with pytest.raises(ValueError, match="neither `relax_steps` nor `warm_up_steps`"):
        equilibrate(engine_code, shaken, {"level": teacher()}, warm_up_steps=0, relax_steps=0)
    with pytest.raises(ValueError, match=r"equilibration\.max_force is -1"):
        equilibrate(engine_code, shaken, {"level": teacher()}, max_force=-1)


def test_a_broken_engine_is_named(aiida_profile, engine_code, shaken):
    _, node = equilibrate(engine_code, shaken, {"level": teacher("tests.faulty:BreaksAfter", {"evaluations": 0})})
    assert node.exit_status == 410
    breaks = {"level": teacher("tests.faulty:BreaksAfter", {"evaluations": 3})}
    outputs, node = equilibrate(engine_code, shaken, breaks, relax_steps=0)
    assert node.exit_status == 412
    assert "of 40 steps" in node.exit_message
    assert len(outputs["labels"]["warm_up_01"]) > 1  # what was made by then is paid for


def test_a_stage_that_a_job_leaves_unfinished_is_gone_on_with(aiida_profile, engine_code, shaken):
    """As where the wall time of a job of DFT ends after 29 of 40 steps: the rest follows from its last frame."""
    breaks = {"level": teacher("tests.faulty:BreaksAfter", {"evaluations": 30})}
    outputs, node = equilibrate(engine_code, shaken, breaks, relax_steps=0)
    assert node.is_finished_ok, node.exit_message
    labels = {name: run.frames for name, run in outputs["labels"].items()}
    assert list(labels) == ["warm_up_01", "warm_up_01_part_02", "warm_up_02", "warm_up_02_part_02"]
    parts = list(labels.values())
    for before, after in pairwise(parts):
        assert np.array_equal(before.positions[-1], after.positions[0])
    assert sum(len(part) - 1 for part in parts) == 80
    assert np.array_equal(outputs["structure"].frames.positions[0], parts[-1].positions[-1])


@pytest.mark.engine
def test_cp2k_relaxes_and_every_step_is_a_label(aiida_profile, cp2k_code):
    """The energies and forces of a relaxation's steps are those of a single evaluation of the same frame."""
    sulfide = crystal(["S", "Li"], [(0, 0, 0), (0.25, 0.25, 0.25)], spacegroup=225, cellpar=[5.7] * 3 + [90] * 3)
    sulfide.rattle(0.12, seed=1)
    level = level_inputs("gfn1-xtb")
    relax = orm.Dict({"steps": 12, "max_force": 0.2})
    outputs, node = run_get_node(
        LabelWorkChain, job={"code": cp2k_code, "initial": FramesData.from_ase(sulfide), "relax": relax, **level}
    )
    assert node.is_finished_ok, node.exit_message
    frames = outputs["frames"].frames
    assert outputs["frames"].kind == "relaxation"
    assert 3 <= len(frames) <= 13
    assert np.abs(frames.forces[-1]).max() < 0.2 < np.abs(frames.forces[0]).max()
    assert frames.energies[-1] < frames.energies[0]
    assert frames.times is None
    assert np.allclose(frames.positions[0], sulfide.positions, atol=1e-8)
    again, _ = run_get_node(LabelWorkChain, job={"code": cp2k_code, "initial": outputs["frames"], **level})
    probes = again["frames"].frames
    # To what the preset's threshold of the SCF leaves: some meV an atom.
    assert np.allclose(probes.energies, frames.energies, rtol=0, atol=0.03)
    assert np.allclose(probes.forces, frames.forces, rtol=0, atol=0.02)


@pytest.mark.parametrize(("ripple", "status"), [(0.01, 0), (0.3, 413)])
def test_forces_that_are_errors_end_it_after_the_relaxation(aiida_profile, engine_code, shaken, ripple, status):
    coarse = {"level": teacher("tests.faulty:Coarse", {"ripple": ripple})}
    outputs, node = equilibrate(engine_code, shaken, coarse, relax_steps=5, warm_up_steps=4)
    assert node.exit_status == status, node.exit_message
    if status:
        assert "no potential can learn" in node.exit_message
        assert [child.process_label for child in node.called].count("LabelWorkChain") == 1
    else:
        assert outputs["labels"]["relaxation"].force_noise == pytest.approx(ripple, rel=0.5)
