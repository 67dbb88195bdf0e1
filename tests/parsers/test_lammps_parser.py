"""What the parser makes of complete, stopped, killed and broken stretches."""

from __future__ import annotations

import dataclasses
import io
import json

import numpy as np
import pytest
from aiida import orm
from aiida.common import LinkType
from aiida.parsers.parser import Parser
from aiida.plugins import ParserFactory

from aiida_haml.data.frames import FramesData
from aiida_haml.engines import lammps_files
from aiida_haml.engines.watch import Check
from aiida_haml.frames import Frames

MD = {
    "steps": 40,
    "timestep_fs": 0.5,
    "temperature_K": 300.0,
    "thermostat_time_fs": 50.0,
    "seed": 1,
    "save_every": 10,
}
HEADER = "   Step          Time           Temp       PotEng         KinEng         Press       f_thermostat    CPU"


def start() -> Frames:
    rng = np.random.default_rng(0)
    return Frames(
        numbers=[3, 17],
        positions=rng.normal(size=(1, 2, 3)),
        cells=[np.array([[0.0, 6.0, 0.0], [0.0, 0.5, 6.0], [6.0, 0.0, 0.0]])],  # turned in LAMMPS' frame
        pbc=True,
        times=[100.0],
        velocities=rng.normal(size=(1, 2, 3)) * 1e-3,
    )


def block(step: int) -> str:
    """A dumped frame in which all moves by 0.01 A along the cell's own x, 0.02 A/fs fast."""
    _, rotation = lammps_files.lower_triangular(start().cells[0])
    positions = (start().positions[0] + [0.01 * step, 0, 0]) @ rotation
    velocities = (np.ones((2, 3)) * [0.02, 0, 0]) @ rotation * 1000
    rows = np.hstack([[[1, 2], [2, 1]], positions, velocities, np.zeros((2, 3))])
    lines = [" ".join(f"{value:.15g}" for value in row) for row in rows]
    head = f"ITEM: TIMESTEP\n{step}\nITEM: NUMBER OF ATOMS\n2\nITEM: BOX BOUNDS pp pp pp\n0 6\n0 6\n0 6\n"
    return head + "ITEM: ATOMS id type xu yu zu vx vy vz fx fy fz\n" + "\n".join(lines) + "\n"


def log(steps, ending="Loop time of 8.0 on 1 procs for 40 steps with 2 atoms\n\nTotal wall time: 0:00:08\n"):
    rows = [f"{s} {s * 5e-4} 300 {-1.0 - s} 0.5 1.0 {s} {0.2 * s}" for s in steps]
    return "\n".join([HEADER, *rows, ending])


def checks(steps, breach_at=None) -> str:
    lines = [Check(step=s, energy=-1.0 - s, deviation=0.1 + s / 1000, atom=0).line() for s in steps]
    if breach_at is not None:
        seen = Check(step=breach_at, energy=-1.0 - breach_at, deviation=9.0, atom=1)
        lines.append(dataclasses.replace(seen, breach="deviation", reason="It deviates.").line())
    return "".join(lines)


@pytest.fixture
def parse(aiida_profile, aiida_localhost, tmp_path):
    """Return a function that parses files as those of one job."""

    def run(trajectory, log_text, checks_text="", results=None, watch=True, exit_status=None):
        node = orm.CalcJobNode(computer=aiida_localhost, process_type="aiida.calculations:haml.lammps")
        inputs = {"initial": FramesData(start(), kind="burst"), "md": orm.Dict(MD)}
        if watch:
            inputs["watch"] = orm.Dict({"every": 10})
        for name, value in inputs.items():
            node.base.links.add_incoming(value.store(), LinkType.INPUT_CALC, name)
        node.set_option("output_filename", "lammps.out")
        if exit_status is not None:
            node.set_exit_status(exit_status)
            node.set_exit_message("set by the scheduler")
        node.store()
        retrieved = orm.FolderData()
        files = {lammps_files.LOG: log_text, lammps_files.CHECKS: checks_text}
        if results is not None:
            files[lammps_files.RESULTS] = json.dumps(results)
        for name, text in files.items():
            if text:
                retrieved.base.repository.put_object_from_filelike(io.BytesIO(text.encode()), name)
        retrieved.base.links.add_incoming(node, LinkType.CREATE, "retrieved")
        retrieved.store()
        if trajectory:
            (tmp_path / lammps_files.TRAJECTORY).write_text(trajectory)
        parser: type[Parser] = ParserFactory("haml.lammps")
        made, code = parser.parse_from_node(node, store_provenance=False, retrieved_temporary_folder=str(tmp_path))
        return made, code.exit_status

    return run


EVERY_TEN = [0, 10, 20, 30, 40]
WHOLE = "".join(map(block, EVERY_TEN))
GOOD = {"stopped_by": None, "stopped_at_step": None, "reason": None, "steps_done": 40, "wall_time_s": 9.0}


def test_a_complete_stretch_is_trusted_and_turned_back_into_its_own_frame(parse):
    made, status = parse(WHOLE, log(EVERY_TEN), checks(EVERY_TEN), GOOD)
    assert status == 0
    assert "untrusted" not in made
    frames = made["frames"].frames
    np.testing.assert_allclose(frames.times, [100, 105, 110, 115, 120])
    np.testing.assert_allclose(frames.positions[3], start().positions[0] + [0.3, 0, 0], atol=1e-12)
    np.testing.assert_allclose(frames.velocities[3], [[0.02, 0, 0]] * 2, atol=1e-15)
    np.testing.assert_allclose(frames.cells, np.repeat(start().cells, 5, axis=0))
    np.testing.assert_allclose(frames.energies, [-1, -11, -21, -31, -41])
    np.testing.assert_allclose(frames.deviations, [0.1, 0.11, 0.12, 0.13, 0.14])
    parameters = made["output_parameters"].get_dict()
    assert parameters["seconds_per_step"] == pytest.approx(0.2)
    assert parameters["temperature_mean_K"] == pytest.approx(300)
    assert parameters["conserved_drift_eV_per_atom_per_ps"] == pytest.approx(0, abs=1e-9)


def test_a_breach_takes_back_all_since_the_last_passed_check(parse):
    results = {**GOOD, "stopped_by": "deviation", "stopped_at_step": 30, "reason": "x", "steps_done": 30}
    made, status = parse("".join(map(block, EVERY_TEN[:4])), log(EVERY_TEN[:4]), checks([0, 20], 30), results)
    assert status == 0
    assert made["frames"].frames.times[-1] == pytest.approx(110)
    assert made["untrusted"].kind == "untrusted"
    np.testing.assert_allclose(made["untrusted"].frames.times, [115])
    assert made["output_parameters"]["trusted_steps"] == 20
    assert np.isnan(made["frames"].frames.deviations[1])  # step 10 was not checked


@pytest.mark.parametrize("cut", range(1, 240, 60))
def test_a_killed_run_gives_back_its_whole_frames(parse, cut):
    trajectory = "".join(map(block, EVERY_TEN[:3]))[:-cut]
    made, status = parse(trajectory, log(EVERY_TEN[:3], ending="30 0.0"), checks([0, 10, 20])[:-3])
    assert status == 400
    assert made["frames"].frames.times[-1] in (105.0, 110.0)
    assert "untrusted" not in made or made["untrusted"].frames.times[0] == 110.0
    parameters = made["output_parameters"].get_dict()
    assert parameters["stopped_by"] == "killed"
    assert parameters["seconds_per_step"] == pytest.approx(0.2)


def test_the_schedulers_verdict_stays_and_the_frames_too(parse):
    made, status = parse(WHOLE, log(EVERY_TEN[:4], ending=""), checks([0, 10]), exit_status=120)
    assert status == 120
    assert made["frames"].frames.times[-1] == pytest.approx(105)


@pytest.mark.parametrize(
    ("kind", "expected"),
    [("lost_atoms", 410), ("not_finite", 411), ("lammps_error", 340), ("wall_time", 400)],
)
def test_each_failure_has_its_exit_code_and_keeps_what_was_checked(parse, kind, expected):
    results = {**GOOD, "stopped_by": kind, "stopped_at_step": 25, "reason": "Because.", "steps_done": 25}
    made, status = parse("".join(map(block, [0, 10, 20])), log([0, 10, 20]), checks([0, 10]), results)
    assert status == expected
    assert made["frames"].frames.times[-1] == pytest.approx(105)
    assert made["untrusted"].frames.times[0] == pytest.approx(110)


def test_a_refused_model_and_an_empty_folder_have_exit_codes(parse):
    refused = {
        **GOOD,
        "stopped_by": "model_refused",
        "stopped_at_step": 0,
        "reason": "Hash.",
        "steps_done": 0,
    }
    made, status = parse("", "", "", refused)
    assert status == 320
    assert "frames" not in made
    assert parse("", "")[1] == 310


def test_a_plain_binary_cannot_have_kept_the_watch(parse):
    made, status = parse(WHOLE, log(EVERY_TEN))
    assert status == 330
    assert len(made["frames"]) == 1
    assert len(made["untrusted"]) == 4


def test_without_a_watch_a_complete_run_is_trusted(parse):
    made, status = parse(WHOLE, log(EVERY_TEN), watch=False)
    assert status == 0
    assert len(made["frames"]) == 5
    assert np.isnan(made["frames"].frames.deviations).all()


def test_a_plain_binary_that_lost_atoms_is_recognised(parse):
    ending = "ERROR: Lost atoms: original 2 current 1 (src/thermo.cpp:494)\n"
    made, status = parse(WHOLE, log(EVERY_TEN, ending), watch=False)
    assert status == 410
    assert len(made["frames"]) == 1
