"""A burst in a false SCF state is seen by the judge, after the learner: what learned from it must not drive."""

import numpy as np
import pytest
from aiida import orm
from aiida.common.links import LinkType
from ase.build import bulk

from aiida_haml.calculations.pool import gather
from aiida_haml.data.frames import FramesData
from aiida_haml.data.potential import PotentialData
from aiida_haml.groups import PotentialGroup
from aiida_haml.queries.anatomy import HYBRID
from aiida_haml.queries.timelines import time_lines
from aiida_haml.workchains import hybrid, moving
from tests.graphs import frames
from tests.models import tiny_mace
from tests.workchains.synthetic import job, workchain


@pytest.fixture
def run(aiida_profile_clean, engine_code, lammps_code, tmp_path):
    """A run of one trajectory in its second round, whose training has ended."""
    copper = FramesData.from_ase(bulk("Cu", cubic=True))
    codes = {"label": engine_code, "engine": engine_code, "lammps": lammps_code}
    builder = hybrid.HybridWorkChain.get_builder_from_protocol(copper, codes, "teacher", "quick")
    process = workchain(hybrid.HybridWorkChain, **builder._inputs(prune=True))
    burst = frames("burst").store()
    process.ctx.pool = gather(trajectory__burst_0000=burst)
    driver, challenger = (
        PotentialData.from_files(
            [tiny_mace(tmp_path / f"{i}.model", ["Li"], scale=1.0 + i)], ["Li"], 4.0, "float64", "k"
        )
        for i in range(2)
    )
    process.ctx.potential, process.ctx.atoms = driver.store(), {}
    process.ctx.round = 1
    process.ctx.trajectories["trajectory"]["round"] = {"burst": burst, "start": burst}
    learned = {"errors": orm.Dict({"reason": "planted"}), "potential": challenger}
    process.ctx.training = job("haml.learn", engine_code.computer, 0, **learned)
    assert process.inspect_learning() is None
    return process, driver, challenger


def judged(process, monkeypatch, false_state):
    """Let the judge of a process come to a planted verdict."""
    counted = {"n_labels": 2, "advanced_fs": 0.0, "stretch_fs": 0.0, "burst_fs": 0.0}
    verdict = {"action": "absent", "reason": "Planted.", "reached_fs": 2.0, "burst_stays": not false_state} | counted
    told = {"verdicts": orm.Dict({"trajectory": verdict | {"false_state": false_state}}).store()}
    told["calibration"] = orm.Dict({}).store()
    monkeypatch.setattr(hybrid, "judge_round", lambda *args, **nodes: told)
    process.judge()


def test_what_learned_from_it_does_not_drive_and_its_labels_teach_no_more(run, monkeypatch):
    process, driver, _ = run
    judged(process, monkeypatch, false_state=True)
    assert process.ctx.potential.uuid == driver.uuid
    assert not orm.QueryBuilder().append(PotentialGroup, tag="g").append(PotentialData, with_group="g").count()
    process.ctx.labels = {"trajectory__burst_0001": frames("burst", seed=5).store()}
    monkeypatch.setattr(process, "submit", lambda *args, **inputs: None)
    process.learn()
    parts = {entry.name: entry.part for entry in process.ctx.pool.entries()}
    assert parts["trajectory__burst_0000"] == "false"
    assert parts["trajectory__burst_0001"] != "false"


def test_of_the_last_round_its_labels_teach_no_other_run(run, monkeypatch):
    process, _, _ = run
    judged(process, monkeypatch, false_state=True)
    process.finish()
    assert {entry.part for entry in process.outputs["pool"].entries()} == {"false"}


def test_nor_does_its_wave_function_begin_another_run(run, monkeypatch):
    process, _, _ = run
    line = process.ctx.trajectories["trajectory"]
    line["remote"], line["round"]["remote"] = "of the burst before", "of this burst"
    judged(process, monkeypatch, false_state=True)
    assert line["remote"] is None


def test_a_run_that_goes_on_from_a_screen_takes_no_potential_that_learned_from_it(run, monkeypatch):
    _, driver, challenger = run
    verdict = {"action": "absent", "reason": "Planted.", "reached_fs": 2.0, "burst_stays": False, "false_state": True}
    hybrid_node = orm.WorkChainNode(process_type=HYBRID)
    hybrid_node.base.links.add_incoming(driver, LinkType.INPUT_WORK, "potential")
    hybrid_node.store()
    learn, judge = orm.WorkChainNode(), orm.CalcFunctionNode()
    for label, node, link in (("learn_0000", learn, LinkType.CALL_WORK), ("judge_0000", judge, LinkType.CALL_CALC)):
        node.base.links.add_incoming(hybrid_node, link, label)
        node.set_process_state("finished")
        node.set_exit_status(0)
        node.store()
    challenger.base.links.add_incoming(learn, LinkType.RETURN, "potential")
    for name, content in {"verdicts": {"trajectory": verdict}, "calibration": {}}.items():
        made = orm.Dict(content)
        made.base.links.add_incoming(judge, LinkType.CREATE, name)
        made.store()
    assert time_lines(hybrid_node).potential.uuid == driver.uuid


def test_a_challenger_that_learned_from_true_labels_drives(run, monkeypatch):
    process, _, challenger = run
    judged(process, monkeypatch, false_state=False)
    assert process.ctx.potential.uuid == challenger.uuid
    assert orm.QueryBuilder().append(PotentialGroup, tag="g").append(PotentialData, with_group="g").count() == 1


def labels_of(process, monkeypatch, burst=0, probes=0):
    """Let a round's labels come in, of jobs with planted exit codes."""
    monkeypatch.setattr(moving, "noise_complaint", lambda noise: None)  # planted forces add up to anything
    computer = process.inputs.label.job.code.computer
    process.ctx.labels = {}
    for kind, status in (("burst", burst), ("probes", probes)):
        outputs = {} if status else {"frames": frames(kind, seed=7), "output_parameters": orm.Dict({})}
        process.ctx[f"{kind}_trajectory"] = job("haml.label", computer, status, **outputs)
    process.inspect_labels()
    return set(process.ctx.labels)


def test_without_its_probes_a_trajectory_has_not_failed(run, monkeypatch):
    process, _, _ = run
    assert labels_of(process, monkeypatch, probes=410) == {"trajectory__burst_0001"}
    assert process.ctx.active == ["trajectory"]
    assert process.ctx.failures == {}


def test_probes_are_kept_where_the_burst_failed(run, monkeypatch):
    process, _, _ = run
    assert labels_of(process, monkeypatch, burst=410) == {"trajectory__probes_0001"}
    assert process.ctx.active == []
    process.finish()
    assert "trajectory__probes_0001" in {entry.name for entry in process.outputs["pool"].entries()}


def test_a_frame_of_another_time_line_begins_one_of_its_own(aiida_profile_clean, engine_code, lammps_code):
    """A last frame at 10 ps, followed for 10 ps, is not at its end."""
    late = frames("burst", start=10_000.0).store()
    codes = {"label": engine_code, "engine": engine_code, "lammps": lammps_code}
    builder = hybrid.HybridWorkChain.get_builder_from_protocol(late, codes, "teacher", "quick")
    process = workchain(hybrid.HybridWorkChain, **builder._inputs(prune=True))
    start = process.ctx.trajectories["trajectory"]["last"]
    assert start.base.attributes.get("time_end", None) is None
    assert start.has_velocities == late.has_velocities
    assert np.array_equal(start.frames.positions[-1], late.frames.positions[-1])
