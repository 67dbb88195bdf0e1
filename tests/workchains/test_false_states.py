"""A burst in a false SCF state is seen by the judge, after the learner: what learned from it must not drive."""

import pytest
from aiida import orm
from ase.build import bulk

from aiida_haml.calculations.pool import gather
from aiida_haml.data.frames import FramesData
from aiida_haml.data.potential import PotentialData
from aiida_haml.groups import PotentialGroup
from aiida_haml.workchains import hybrid
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
    verdict = {"action": "absent", "reason": "Planted.", "reached_fs": 2.0, "burst_stays": not false_state}
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


def test_a_challenger_that_learned_from_true_labels_drives(run, monkeypatch):
    process, _, challenger = run
    judged(process, monkeypatch, false_state=False)
    assert process.ctx.potential.uuid == challenger.uuid
    assert orm.QueryBuilder().append(PotentialGroup, tag="g").append(PotentialData, with_group="g").count() == 1
