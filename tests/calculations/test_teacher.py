"""The teacher keeps the ports and promises of the CP2K engine."""

import ase
import numpy as np
import pytest
from aiida import orm
from aiida.engine import run_get_node
from ase.build import bulk
from ase.calculators import emt
from ase.calculators.calculator import Calculator, all_changes

from aiida_haml.calculations.building import build_isolated_atom
from aiida_haml.calculations.levels import level_key
from aiida_haml.calculations.teacher import TeacherCalculation
from aiida_haml.data.frames import FramesData
from aiida_haml.engines.teacher import Recorder, burst
from aiida_haml.frames import Frames

EMT = {
    "engine": "teacher",
    "name": "teacher",
    "theory": {"calculator": "ase.calculators.emt:EMT", "parameters": {}},
}
MD = {"steps": 6, "timestep_fs": 2.0, "temperature_K": 300.0, "thermostat_time_fs": 50.0, "seed": 7}


def teach(code, md=None, level=EMT, **inputs):
    copper = FramesData.from_ase(bulk("Cu", cubic=True).repeat(2))
    given = {"code": code, "initial": copper, "level": orm.Dict(level), **inputs}
    if md:
        given["md"] = orm.Dict(md)
    return run_get_node(TeacherCalculation, **given)


def test_a_burst_is_labelled_and_continues_exactly(aiida_profile, engine_code):
    outputs, node = teach(engine_code, MD)
    assert node.is_finished_ok, node.exit_message
    frames = outputs["frames"].frames
    assert (len(frames), outputs["frames"].level_of_theory) == (7, level_key(EMT, f"ase {ase.__version__}"))
    np.testing.assert_allclose(frames.times, 2.0 * np.arange(7))
    assert frames.stresses is not None
    again, _ = teach(engine_code, MD, initial=outputs["frames"])
    start = again["frames"].read(0)
    np.testing.assert_array_equal(start.positions[0], frames.positions[-1])
    np.testing.assert_allclose(start.velocities[0], frames.velocities[-1], atol=1e-15)
    np.testing.assert_allclose(start.forces[0], frames.forces[-1], atol=1e-12)
    assert start.times[0] == frames.times[-1]


def test_the_seed_decides(aiida_profile, engine_code):
    first, second, other = (teach(engine_code, MD | {"seed": seed})[0]["frames"].frames for seed in (7, 7, 8))
    np.testing.assert_array_equal(first.positions, second.positions)
    assert not np.allclose(first.positions[-1], other.positions[-1])


def test_every_frame_is_evaluated_without_md(aiida_profile, engine_code):
    images = [bulk("Cu", cubic=True) for _ in range(3)]
    images[1].rattle(0.1, seed=1)
    images[2].set_cell(images[2].cell * 1.02, scale_atoms=True)
    outputs, node = teach(engine_code, initial=FramesData.from_ase(images, kind="selection"))
    assert node.is_finished_ok, node.exit_message
    probes = outputs["frames"].to_ase()
    assert outputs["frames"].kind == "probes"
    parameters = outputs["output_parameters"].get_dict()
    assert (parameters["kept"], parameters["steps_done"]) == ([0, 1, 2], 0)
    for image, probe in zip(images, probes, strict=True):
        image.calc = emt.EMT()
        assert probe.get_potential_energy() == pytest.approx(image.get_potential_energy())
        np.testing.assert_allclose(probe.get_forces(), image.get_forces(), atol=1e-12)
        np.testing.assert_array_equal(probe.cell.array, image.cell.array)


def test_what_does_not_converge_is_left_out_and_told(aiida_profile, engine_code):
    images = [bulk("Cu", cubic=True) for _ in range(4)]
    images[2].positions[0] += 1.0  # closer than the calculator bears
    level = {**EMT, "theory": {"calculator": "tests.faulty:RefusesContacts", "parameters": {"distance": 2.0}}}
    outputs, node = teach(engine_code, level=level, initial=FramesData.from_ase(images, kind="selection"))
    assert node.is_finished_ok, node.exit_message
    assert outputs["output_parameters"]["kept"] == [0, 1, 3]
    assert len(outputs["frames"]) == 3
    _, node = teach(engine_code, level=level, initial=FramesData.from_ase(images[2:3], kind="selection"))
    assert node.exit_status == 305


class Free(Calculator):
    """No forces."""

    implemented_properties = ["energy", "forces"]

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        self.results = {"energy": 0.0, "forces": np.zeros((len(atoms), 3))}


def test_the_thermostat_heats_no_centre_of_mass():
    """Free atoms at rest as a whole: 3N - 3 degrees of freedom hold the temperature, and 3N would be 14 % too hot."""
    atoms = bulk("Ar", "fcc", a=20.0, cubic=True).repeat((2, 1, 1))
    initial = Frames.from_ase(atoms)
    recorder = Recorder(initial)
    md = {"steps": 6000, "timestep_fs": 1.0, "temperature_K": 300.0, "thermostat_time_fs": 2.0, "seed": 1}
    burst(initial, Free(), md, recorder, None)
    temperatures = recorder.frames().temperatures()[100:]
    assert temperatures.mean() == pytest.approx(300.0, rel=0.04)
    assert temperatures.std() == pytest.approx(300.0 * np.sqrt(2 / 21), rel=0.1)


@pytest.mark.engine
def test_chgnet_teaches(aiida_profile, engine_code, levels):
    """The preset runs, its stress is the slope of its energy, and its labels name the package's version."""
    chgnet = pytest.importorskip("chgnet", reason="the extra `teachers` is not installed")
    level = {key: levels["chgnet"][key] for key in ("engine", "name", "theory")}
    salts = [bulk("LiCl", "rocksalt", a=a, cubic=True) for a in (5.0, 5.05, 5.1)]
    outputs, node = teach(engine_code, level=level, initial=FramesData.from_ase(salts, kind="selection"))
    assert node.is_finished_ok, node.exit_message
    frames = outputs["frames"].frames
    slope = (frames.energies[2] - frames.energies[0]) / (5.1**3 - 5.0**3)
    assert frames.stresses[1, :3].mean() == pytest.approx(slope, rel=0.1)
    assert outputs["frames"].level_of_theory == level_key(level, f"chgnet {chgnet.__version__}")
    lithium = build_isolated_atom(orm.Str("Li"))
    outputs, node = teach(engine_code, level=level, initial=lithium)
    assert node.is_finished_ok, node.exit_message
    assert outputs["frames"].kind == "isolated_atom"


@pytest.mark.parametrize(
    ("level", "message"),
    [
        ({**EMT, "engine": "cp2k"}, "belongs to the engine 'cp2k'"),
        ({**EMT, "theory": {"calculator": "EMT"}}, "module:Class"),
    ],
)
def test_broken_levels_are_refused(aiida_profile, engine_code, level, message):
    with pytest.raises(ValueError, match=message):
        teach(engine_code, level=level)


def test_a_missing_calculator_is_named(aiida_profile, engine_code):
    level = {**EMT, "theory": {"calculator": "ase.calculators.emt:Nothing"}}
    _, node = teach(engine_code, level=level)
    assert node.exit_status == 302
    assert "ase.calculators.emt:Nothing" in node.exit_message


def test_a_foreign_program_is_no_teacher(aiida_profile, engine_code, tmp_path):
    proof = tmp_path / "proof"
    popen = {"calculator": "subprocess:Popen", "parameters": {"args": f"touch {proof}", "shell": True}}
    with pytest.raises(ValueError, match="runs code of the module subprocess"):
        teach(engine_code, level={**EMT, "theory": popen})
    assert not proof.exists()


def test_the_computing_machine_trusts_for_itself(aiida_profile, aiida_code_installed, engine_code, tmp_path):
    """What was let through where it was submitted is refused where it would run."""
    strict = aiida_code_installed(
        label="strict-engine",
        default_calc_job_plugin="haml.teacher",
        filepath_executable=str(engine_code.filepath_executable),
        prepend_text=f"{engine_code.prepend_text}\nexport HAML_TRUSTED_CALCULATORS={tmp_path / 'none'}",
    )
    level = {**EMT, "theory": {"calculator": "tests.faulty:BreaksAfter", "parameters": {"evaluations": 1}}}
    _, node = teach(strict, level=level)
    assert node.exit_status == 302
    assert "tests.faulty" in node.exit_message


def test_untrusted_frames_are_no_start(aiida_profile, engine_code):
    tail = FramesData.from_ase(bulk("Cu"), kind="untrusted")
    with pytest.raises(ValueError, match="untrusted tail"):
        teach(engine_code, MD, initial=tail)
