"""The restart layer: one planted failure a test, and what is done about it."""

import asyncio
import dataclasses

import numpy as np
import pytest
from aiida import orm
from aiida.common.links import LinkType
from aiida.engine.processes.launcher import ProcessLauncher
from plumpy import PersistenceError
from plumpy.base.utils import call_with_super_check

from aiida_haml.data.frames import FramesData
from aiida_haml.data.potential import PotentialData
from aiida_haml.workchains.job import MAX_TRIES
from aiida_haml.workchains.label import LabelWorkChain
from aiida_haml.workchains.md import MdWorkChain
from tests.labels import emt_frames
from tests.models import tiny_mace
from tests.workchains.synthetic import broken_job, frames_node, inspect, job, workchain

MD = {"steps": 20, "timestep_fs": 1.0, "temperature_K": 300.0, "thermostat_time_fs": 50.0, "seed": 7}
LEVEL = {"engine": "cp2k", "name": "planted", "theory": {}, "solver": [{"DFT": {}}, {"DFT": {"SCF": {"MAX_SCF": 40}}}]}


@pytest.fixture
def structure(aiida_profile):
    frames = emt_frames(1)
    return FramesData(dataclasses.replace(frames, velocities=np.zeros_like(frames.positions)))


def run_of(n_frames, start=0.0):
    """Frames one femtosecond apart, from a time on."""
    frames = emt_frames(n_frames, seed=int(start))
    return dataclasses.replace(frames, times=start + np.arange(n_frames), velocities=np.zeros_like(frames.positions))


# -- labels ------------------------------------------------------------------------------------------------


@pytest.fixture
def burst(structure, cp2k_code):
    return workchain(
        LabelWorkChain,
        job={"code": cp2k_code, "initial": structure, "level": orm.Dict(LEVEL), "md": orm.Dict(MD)},
    )


def cp2k(code, exit_status, frames=None, kind="burst"):
    outputs = {}
    if frames is not None:
        parameters = {"steps_done": len(frames) - 1, "wall_time_s": 10.0}
        outputs = {"frames": frames_node(frames, kind), "output_parameters": orm.Dict(parameters)}
    return job("haml.cp2k", code.computer, exit_status, **outputs)


@pytest.mark.parametrize("status", [400, 120])
def test_wall_time_goes_on_with_the_same_burst(burst, cp2k_code, status):
    node = cp2k(cp2k_code, status, run_of(13))
    assert inspect(burst, node).status == 0
    assert not burst.ctx.is_finished
    md = burst.ctx.inputs["md"].get_dict()
    assert md["steps"] == 8
    assert md["seed"] != MD["seed"]  # else the thermostat's noise is the same again
    assert burst.ctx.inputs["initial"].pk == node.outputs.frames.pk
    assert not node.base.caching.is_valid_cache
    rest = cp2k(cp2k_code, 0, run_of(9, start=12.0))
    assert inspect(burst, rest) is None
    joined = burst.get_outputs(rest)["frames"].frames
    assert np.array_equal(joined.times, np.arange(21.0))  # no step twice, none missing
    assert burst.get_outputs(rest)["output_parameters"]["steps_done"] == 20
    assert burst.get_outputs(rest)["output_parameters"]["wall_time_s"] == 20.0


def test_scf_goes_on_with_the_next_recipe_from_the_last_good_frame(burst, cp2k_code):
    assert burst.ctx.inputs["solver"].get_dict() == LEVEL["solver"][0]
    inspect(burst, cp2k(cp2k_code, 450, run_of(4)))
    assert burst.ctx.inputs["solver"].get_dict() == LEVEL["solver"][1]
    assert burst.ctx.inputs["md"]["steps"] == 17
    # The last recipe fails as well: what there is is kept, and it is said.
    last = cp2k(cp2k_code, 450, run_of(3, start=3.0))
    inspect(burst, last)
    assert burst.ctx.is_finished
    assert len(burst.get_outputs(last)["frames"]) == 6


def test_two_good_frames_are_no_success(burst, cp2k_code):
    """An SCF that fails at step 2 with the first recipe advanced by a femtosecond a cycle once."""
    inspect(burst, cp2k(cp2k_code, 450, run_of(2)))
    assert not burst.ctx.is_finished
    assert burst.ctx.inputs["md"]["steps"] == 19


def test_no_label_from_any_recipe_is_said(burst, cp2k_code):
    assert inspect(burst, cp2k(cp2k_code, 305)).status == 0
    code = inspect(burst, cp2k(cp2k_code, 305))
    assert code.status == 410
    assert "planted failure 305" in code.message


@pytest.mark.parametrize("status", [303, 304, 140])
def test_what_left_nothing_is_started_anew_a_bounded_number_of_times(burst, cp2k_code, status):
    nodes = [cp2k(cp2k_code, status) for _ in range(MAX_TRIES + 1)]
    codes = [inspect(burst, node) for node in nodes]
    assert [code.status for code in codes] == [0] * MAX_TRIES + [403]
    assert burst.ctx.inputs["md"]["steps"] == 20
    assert not any(node.base.caching.is_valid_cache for node in nodes)


@pytest.mark.parametrize("status", [100, 200, 210, 301])
def test_what_came_back_broken_is_started_anew_once(burst, cp2k_code, status):
    nodes = [cp2k(cp2k_code, status) for _ in range(2)]
    assert [inspect(burst, node).status for node in nodes] == [0, 403]
    assert not any(node.base.caching.is_valid_cache for node in nodes)


@pytest.mark.parametrize("n_jobs", [2, 3])
def test_a_burst_out_of_jobs_is_as_long_as_it_got(structure, cp2k_code, n_jobs):
    job_inputs = {"code": cp2k_code, "initial": structure, "level": orm.Dict(LEVEL), "md": orm.Dict(MD)}
    burst = workchain(LabelWorkChain, job=job_inputs, max_iterations=orm.Int(n_jobs))
    nodes = [cp2k(cp2k_code, 400, run_of(5, start=4.0 * i)) for i in range(n_jobs)]
    for node in nodes:
        assert not burst.ctx.is_finished
        inspect(burst, node)
    assert burst.ctx.is_finished
    assert np.array_equal(burst.get_outputs(nodes[-1])["frames"].frames.times, np.arange(4 * n_jobs + 1))


def test_frames_of_a_burst_that_cannot_go_on_are_kept(burst, cp2k_code):
    inspect(burst, cp2k(cp2k_code, 400, run_of(5)))
    nodes = [cp2k(cp2k_code, 140) for _ in range(MAX_TRIES + 1)]
    codes = [inspect(burst, node) for node in nodes]
    assert [code.status for code in codes] == [0] * (MAX_TRIES + 1)
    assert burst.ctx.is_finished
    assert len(burst.get_outputs(nodes[-1])["frames"]) == 5


def test_a_killed_burst_keeps_its_frames(burst, cp2k_code):
    inspect(burst, cp2k(cp2k_code, 303, run_of(11)))
    assert burst.ctx.inputs["md"]["steps"] == 10


def test_a_job_whose_results_could_not_be_stored_is_started_anew(burst, cp2k_code):
    full = "Traceback\nOSError: [Errno 28] No space left on device"
    nodes = [broken_job("haml.cp2k", cp2k_code.computer, full) for _ in range(MAX_TRIES + 1)]
    codes = [inspect(burst, node) for node in nodes]
    assert codes[:-1] == [None] * MAX_TRIES
    assert codes[-1].status == 403
    assert "No space left" in codes[-1].message


def first_child(burst, cp2k_code):
    """Make the job that a step had started when its worker died."""
    child = orm.CalcJobNode(computer=cp2k_code.computer, process_type="aiida.calculations:haml.cp2k")
    child.base.links.add_incoming(burst.node, LinkType.CALL_CALC, "iteration_01")
    return child.store()


def test_a_step_that_is_run_again_waits_for_the_child_that_it_had_started(burst, cp2k_code, monkeypatch):
    """A worker killed at the end of a step once left children behind that ran beside their doubles."""
    fresh = object()
    monkeypatch.setattr(burst.runner, "submit", lambda *_, **__: fresh)
    child = first_child(burst, cp2k_code)
    child.set_checkpoint("as a worker saves it")
    names = {n: {"call_link_label": f"iteration_{n:02d}"} for n in (1, 2)}
    assert burst.submit(burst.process_class, metadata=names[1]).pk == child.pk
    assert burst.submit(burst.process_class, metadata=names[2]) is fresh
    burst.ctx.children = [child]  # as where the count of iterations begins anew
    assert burst.submit(burst.process_class, metadata=names[1]) is fresh


def test_a_child_that_died_before_it_was_saved_is_not_waited_for(burst, cp2k_code, monkeypatch):
    """Killed between the storing of its node and its first checkpoint, nobody can run it: a screen hung on one."""
    fresh = object()
    monkeypatch.setattr(burst.runner, "submit", lambda *_, **__: fresh)
    child = first_child(burst, cp2k_code)
    name = {"call_link_label": "iteration_01"}
    for _ in range(2):  # the step may be cut short again, before its successor is stored
        assert burst.submit(burst.process_class, metadata=name) is fresh
    assert child.is_killed
    assert child.is_sealed
    assert "run again" in child.process_status


def test_a_child_that_was_told_to_go_on_without_a_checkpoint_is_started_anew(burst, cp2k_code, monkeypatch):
    """`verdi process repair` sends it to a worker, in whose hands it ends: a screen once took that for its failure."""
    fresh = object()
    monkeypatch.setattr(burst.runner, "submit", lambda *_, **__: fresh)
    child = first_child(burst, cp2k_code)
    launcher = ProcessLauncher(persister=burst.runner.persister)
    with pytest.raises(PersistenceError):
        asyncio.run(launcher._continue(None, child.pk, nowait=True))
    assert child.is_excepted
    assert burst.submit(burst.process_class, metadata={"call_link_label": "iteration_01"}) is fresh


def test_a_child_that_failed_is_not_started_anew(burst, cp2k_code):
    child = first_child(burst, cp2k_code)
    child.set_exception("ValueError: planted")
    child.set_process_state("excepted")
    assert burst.submit(burst.process_class, metadata={"call_link_label": "iteration_01"}).pk == child.pk


def test_what_a_worker_left_in_the_middle_has_an_end(burst, monkeypatch):
    """A function that was cut short is run again, and its first node stays: no archive takes it without an end."""
    cut = orm.CalcFunctionNode()
    cut.base.links.add_incoming(burst.node, LinkType.CALL_CALC, "gather")
    cut.set_process_state("running")
    cut.store()
    monkeypatch.setattr(type(burst.runner), "is_daemon_runner", True)
    call_with_super_check(burst.on_terminated)
    assert cut.is_killed
    assert cut.is_sealed


@pytest.mark.parametrize("status", [110, 140])
def test_what_a_failed_machine_left_is_gone_on_with(burst, cp2k_code, status):
    node = cp2k(cp2k_code, status, run_of(13))
    assert inspect(burst, node).status == 0
    assert burst.ctx.inputs["md"]["steps"] == 8
    rest = cp2k(cp2k_code, 0, run_of(9, start=12.0))
    assert inspect(burst, rest) is None
    assert np.array_equal(burst.get_outputs(rest)["frames"].frames.times, np.arange(21.0))


def test_parts_outlive_a_failure_that_nothing_helps_against(burst, cp2k_code):
    inspect(burst, cp2k(cp2k_code, 400, run_of(13)))
    inspect(burst, cp2k(cp2k_code, 399))
    last = cp2k(cp2k_code, 399)
    assert inspect(burst, last) is None  # twice in a row: AiiDA would end with an error
    assert burst.ctx.is_finished
    assert len(burst.get_outputs(last)["frames"]) == 13


def test_parts_outlive_the_last_job_that_may_be_started(structure, cp2k_code):
    given = {"code": cp2k_code, "initial": structure, "level": orm.Dict(LEVEL), "md": orm.Dict(MD)}
    burst = workchain(LabelWorkChain, job=given, max_iterations=orm.Int(2))
    inspect(burst, cp2k(cp2k_code, 400, run_of(5)))
    inspect(burst, cp2k(cp2k_code, 140))
    assert not burst.should_run_process()
    assert burst.results() is None
    assert len(burst.outputs["frames"]) == 5


def test_nobody_begins_with_the_wave_function_of_an_scf_that_went_astray(burst, cp2k_code):
    folders = [orm.RemoteData(f"/scratch/{i}", computer=cp2k_code.computer) for i in range(2)]
    good, bad = (
        job("haml.cp2k", cp2k_code.computer, status, remote_folder=folder, frames=frames_node(run_of(5), "burst"),
            output_parameters=orm.Dict({"steps_done": 4}))
        for status, folder in zip((0, 450), folders, strict=True)
    )  # fmt: skip
    assert "remote_folder" in burst.get_outputs(good)
    assert "remote_folder" not in burst.get_outputs(bad)


def test_memory_is_raised_where_it_was_limited(burst, cp2k_code):
    burst.ctx.inputs["metadata"]["options"]["max_memory_kb"] = 1_000_000
    inspect(burst, cp2k(cp2k_code, 110))
    assert burst.ctx.inputs["metadata"]["options"]["max_memory_kb"] == 2_000_000


def test_single_points_that_are_there_are_taken(structure, cp2k_code):
    probes = workchain(LabelWorkChain, job={"code": cp2k_code, "initial": structure, "level": orm.Dict(LEVEL)})
    node = cp2k(cp2k_code, 400, emt_frames(3), kind="probes")
    inspect(probes, node)
    assert probes.ctx.is_finished
    assert probes.get_outputs(node)["frames"].pk == node.outputs.frames.pk


# -- stretches ---------------------------------------------------------------------------------------------


@pytest.fixture
def stretch(structure, lammps_code, tmp_path):
    path = tiny_mace(tmp_path / "model", ["Cu", "Au"])
    potential = PotentialData.from_files([path, path], ["Cu", "Au"], 4.0, "float64")
    potential.trust()
    md, watch = orm.Dict(MD | {"save_every": 1}), orm.Dict({"every": 5})
    inputs = {"code": lammps_code, "initial": structure, "potential": potential, "md": md, "watch": watch}
    return workchain(MdWorkChain, job=inputs)


def lammps(code, exit_status, frames=None, trusted=None):
    outputs = {}
    if frames is not None:
        steps = len(frames) - 1 if trusted is None else trusted
        parameters = {"trusted_steps": steps, "steps_done": steps, "stopped_by": None, "wall_time_s": 1.0}
        outputs = {"frames": frames_node(frames, "stretch"), "output_parameters": orm.Dict(parameters)}
    return job("haml.lammps", code.computer, exit_status, **outputs)


@pytest.mark.parametrize("status", [400, 120])
def test_a_stretch_goes_on_after_its_wall_time(stretch, lammps_code, status):
    inspect(stretch, lammps(lammps_code, status, run_of(16)))
    assert stretch.ctx.inputs["md"]["steps"] == 5
    assert stretch.ctx.inputs["md"]["seed"] != MD["seed"]
    rest = lammps(lammps_code, 0, run_of(6, start=15.0))
    inspect(stretch, rest)
    outputs = stretch.get_outputs(rest)
    assert np.array_equal(outputs["frames"].frames.times, np.arange(21.0))
    assert outputs["output_parameters"]["trusted_steps"] == 20


def test_a_killed_stretch_gives_the_same_numbers_and_goes_on_where_it_is_killed_again(stretch, lammps_code):
    assert inspect(stretch, lammps(lammps_code, 401, run_of(16))).status == 0
    assert stretch.ctx.inputs["md"].get_dict() == stretch.inputs.job.md.get_dict()
    assert stretch.ctx.inputs["initial"].pk == stretch.inputs.job.initial.pk
    again = lammps(lammps_code, 401, run_of(16))
    inspect(stretch, again)
    assert stretch.ctx.inputs["md"]["steps"] == 5
    rest = lammps(lammps_code, 0, run_of(6, start=15.0))
    inspect(stretch, rest)
    assert np.array_equal(stretch.get_outputs(rest)["frames"].frames.times, np.arange(21.0))


def test_what_is_trusted_of_a_stretch_that_cannot_go_on_is_kept(stretch, lammps_code):
    inspect(stretch, lammps(lammps_code, 400, run_of(16)))
    nodes = [lammps(lammps_code, 310) for _ in range(MAX_TRIES + 1)]
    for node in nodes:
        inspect(stretch, node)
    assert stretch.ctx.is_finished
    assert len(stretch.get_outputs(nodes[-1])["frames"]) == 16


@pytest.mark.parametrize("status", [410, 411])
def test_lost_atoms_and_nan_leave_what_is_trusted(stretch, lammps_code, status):
    inspect(stretch, lammps(lammps_code, status, run_of(7)))
    assert stretch.ctx.is_finished


def test_what_nobody_watched_is_no_success(stretch, lammps_code):
    code = inspect(stretch, lammps(lammps_code, 330, run_of(21)))
    assert code.status == 411
    assert not stretch.ctx.is_finished


@pytest.mark.parametrize("status", [310, 340, 140])
def test_a_killed_stretch_is_started_anew(stretch, lammps_code, status):
    codes = [inspect(stretch, lammps(lammps_code, status)) for _ in range(MAX_TRIES + 1)]
    assert [code.status for code in codes] == [0] * MAX_TRIES + [403]
