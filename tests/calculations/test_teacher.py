"""The teacher keeps the ports and promises of the CP2K engine."""

import numpy as np
import pytest
from aiida import orm
from aiida.engine import run_get_node
from ase.build import bulk

from aiida_haml.calculations.levels import level_key
from aiida_haml.calculations.teacher import TeacherCalculation
from aiida_haml.data.frames import FramesData

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
    assert (len(frames), outputs["frames"].level_of_theory) == (7, level_key(EMT))
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


def test_one_evaluation_without_md(aiida_profile, engine_code):
    outputs, node = teach(engine_code)
    assert node.is_finished_ok
    assert len(outputs["frames"]) == 1


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
    level = {**EMT, "theory": {"calculator": "nowhere.at.all:Nothing"}}
    _, node = teach(engine_code, level=level)
    assert node.exit_status == 302
    assert "nowhere.at.all:Nothing" in node.exit_message


def test_untrusted_frames_are_no_start(aiida_profile, engine_code):
    tail = FramesData.from_ase(bulk("Cu"), kind="untrusted")
    with pytest.raises(ValueError, match="untrusted tail"):
        teach(engine_code, MD, initial=tail)
