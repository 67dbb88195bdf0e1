"""What the parser makes of complete, stopped, killed and broken stretches."""

import io
import json
import struct

import numpy as np
import pytest
from aiida import orm
from aiida.common import LinkType
from aiida.parsers.parser import Parser
from aiida.plugins import ParserFactory

from aiida_haml.data.frames import FramesData
from aiida_haml.engines import lammps_dump, lammps_files
from aiida_haml.engines.lammps_dump import COLUMNS
from aiida_haml.engines.records import RecordWriter
from aiida_haml.engines.stretch import CHECKS, RESULTS
from aiida_haml.engines.watch import check_type
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


def block(step: int) -> bytes:
    """A dumped frame in which all moves by 0.01 A along the cell's own x, 0.02 A/fs fast."""
    cell, rotation = lammps_files.lower_triangular(start().cells[0])
    positions = (start().positions[0] + [0.01 * step, 0, 0]) @ rotation
    velocities = (np.ones((2, 3)) * [0.02, 0, 0]) @ rotation * 1000
    rows = np.hstack([[[1, 2], [2, 1]], positions, velocities, np.zeros((2, 3))])
    xy, xz, yz = cell[1, 0], cell[2, 0], cell[2, 1]
    bounds = [min(0, xy, xz, xy + xz), cell[0, 0] + max(0, xy, xz, xy + xz)]
    bounds += [min(0, yz), cell[1, 1] + max(0, yz), 0, cell[2, 2]]
    head = struct.pack("<q10sii", -10, b"DUMPCUSTOM", 1, 2) + struct.pack("<qqi6i", step, 2, 1, *[0] * 6)
    head += struct.pack("<9d", *bounds, xy, xz, yz) + struct.pack("<ii", 11, 0) + b"\0"
    return head + struct.pack("<i34si", 34, COLUMNS.encode(), 1) + struct.pack("<i22d", 22, *rows.ravel())


def log(steps, ending="Loop time of 8.0 on 1 procs for 40 steps with 2 atoms\n\nTotal wall time: 0:00:08\n"):
    rows = [f"{s} {s * 5e-4} 300 {-1.0 - s} 0.5 1.0 {s} {0.2 * s}" for s in steps]
    return "\n".join([HEADER, *rows, ending])


def checks(steps, breach_at=None) -> np.ndarray:
    """Calm checks, and at the end one in which the committee deviates."""
    at = [*steps, *([] if breach_at is None else [breach_at])]
    table = np.zeros(len(at), dtype=check_type(3))
    table["step"], table["energy"], table["distance"] = at, -1.0 - np.array(at), 3.0
    table["deviation"] = 0.1 + np.array(at) / 1000
    if breach_at is not None:
        table["deviation"][-1] = 9.0
    return table


@pytest.fixture
def parse(aiida_profile, aiida_localhost, tmp_path):
    """Return a function that parses files as those of one job."""

    def run(trajectory, log_text, seen=None, results=None, exit_status=None, restarts=(), margin=0.0, save_every=10):
        node = orm.CalcJobNode(computer=aiida_localhost, process_type="aiida.calculations:haml.lammps")
        inputs = {
            "initial": FramesData(start(), kind="burst"),
            "md": orm.Dict(MD | {"save_every": save_every}),
            "watch": orm.Dict({"every": 10, "max_deviation": 1.0, "margin_fs": margin}),
        }
        for name, value in inputs.items():
            node.base.links.add_incoming(value.store(), LinkType.INPUT_CALC, name)
        node.set_option("output_filename", "lammps.out")
        if exit_status is not None:
            node.set_exit_status(exit_status)
            node.set_exit_message("set by the scheduler")
        node.store()
        retrieved = orm.FolderData()
        files = {lammps_files.LOG: log_text}
        if results is not None:
            files[RESULTS] = json.dumps(results)
        for name, text in files.items():
            if text:
                retrieved.base.repository.put_object_from_filelike(io.BytesIO(text.encode()), name)
        retrieved.base.links.add_incoming(node, LinkType.CREATE, "retrieved")
        retrieved.store()
        if trajectory:
            (tmp_path / lammps_dump.TRAJECTORY).write_bytes(trajectory)
        for step in restarts:
            (tmp_path / lammps_dump.RESTARTS.replace("*", str(step))).write_bytes(block(step))
        if seen is not None:
            RecordWriter(tmp_path / CHECKS, seen.dtype).append(seen)
        parser: type[Parser] = ParserFactory("haml.lammps")
        made, code = parser.parse_from_node(node, store_provenance=False, retrieved_temporary_folder=str(tmp_path))
        return made, code.exit_status

    return run


EVERY_TEN = [0, 10, 20, 30, 40]
WHOLE = b"".join(map(block, EVERY_TEN))
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


BREACH = {**GOOD, "stopped_by": "deviation", "stopped_at_step": 30, "reason": "x", "steps_done": 30}


def test_a_breach_takes_back_the_margin_before_its_onset(parse):
    made, status = parse(b"".join(map(block, EVERY_TEN[:4])), log(EVERY_TEN[:4]), checks([0, 20], 30), BREACH, margin=5)
    assert status == 0
    assert made["frames"].frames.times[-1] == pytest.approx(110)
    assert made["untrusted"].kind == "untrusted"
    np.testing.assert_allclose(made["untrusted"].frames.times, [115])
    parameters = made["output_parameters"].get_dict()
    assert (parameters["trusted_steps"], parameters["onset_step"]) == (20, 30)
    assert parameters["stopped_at_atom"] == made["checks"].get_array("deviating")[-1]
    assert np.isnan(made["frames"].frames.deviations[1])  # step 10 was not checked
    assert made["checks"].get_array("deviation").tolist() == pytest.approx([0.1, 0.12, 9.0])
    assert (parameters["checks"]["n"], parameters["checks"]["deviation_max"]) == (3, 9.0)


def test_a_frame_of_a_check_ends_the_trusted_part_where_frames_are_saved_seldom(parse):
    made, status = parse(
        block(0), log([0]), checks([0, 10, 20], 30), BREACH, restarts=(10, 20, 30), margin=4.0, save_every=1000
    )
    assert status == 0
    np.testing.assert_allclose(made["frames"].frames.times, [100, 110])
    np.testing.assert_allclose(made["frames"].frames.velocities[-1], [[0.02, 0, 0]] * 2, atol=1e-15)
    np.testing.assert_allclose(made["untrusted"].frames.times, [115])


@pytest.mark.parametrize("cut", range(1, 400, 90))
def test_a_killed_run_gives_back_its_whole_frames(parse, cut):
    trajectory = b"".join(map(block, EVERY_TEN[:3]))[:-cut]
    made, status = parse(trajectory, log(EVERY_TEN[:3], ending="30 0.0"), checks([0, 10]))
    assert status == 401
    assert made["frames"].frames.times[-1] == 105.0 if cut < len(block(0)) else 100.0
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
    made, status = parse(b"".join(map(block, [0, 10, 20])), log([0, 10, 20]), checks([0, 10]), results, margin=4.0)
    assert status == expected
    # A failure at step 25 takes back 8 steps; the wall time takes back what was not checked.
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
    made, status = parse(b"", "", None, refused)
    assert status == 320
    assert "frames" not in made
    assert parse(b"", "")[1] == 310


@pytest.mark.parametrize("ending", ["", "Total wall time: 0:00:08\n"])
def test_what_nothing_watched_is_an_error_with_the_start_alone(parse, ending):
    made, status = parse(WHOLE, log(EVERY_TEN, ending))
    assert status == 330
    assert len(made["frames"]) == 1
    assert len(made["untrusted"]) == 4
    assert made["output_parameters"]["trusted_steps"] == 0


def test_a_binary_that_lost_atoms_is_recognised_by_its_log(parse):
    ending = "ERROR: Lost atoms: original 2 current 1 (src/thermo.cpp:494)\n"
    made, status = parse(WHOLE, log(EVERY_TEN, ending))
    assert status == 410
    assert len(made["frames"]) == 1
