"""A training that fails ends a run, and takes nothing of what it had brought away."""

import pytest
from aiida import orm
from ase.build import bulk

from aiida_haml.calculations.pool import gather
from aiida_haml.data.frames import FramesData
from aiida_haml.data.potential import PotentialData
from aiida_haml.workchains.hybrid import HybridWorkChain
from tests.graphs import frames
from tests.models import tiny_mace
from tests.workchains.synthetic import job, workchain


@pytest.fixture
def run(aiida_profile_clean, engine_code, lammps_code, tmp_path):
    """A run of one trajectory in its second round, with the nodes that the first one left."""
    copper = FramesData.from_ase(bulk("Cu", cubic=True))
    codes = {"label": engine_code, "engine": engine_code, "lammps": lammps_code}
    builder = HybridWorkChain.get_builder_from_protocol(copper, codes, "teacher", "quick")
    process = workchain(HybridWorkChain, **builder._inputs(prune=True))
    burst = frames("burst").store()
    models = [tiny_mace(tmp_path / "m.model", ["Li"])]
    made = {"potential": PotentialData.from_files(models, ["Li"], 4.0, "float64", "key").store()}
    made["pool"] = gather(trajectory__burst_0000=burst)
    made["calibration"] = orm.Dict({"errors": []}).store()
    for name, node in made.items():
        process.ctx[name] = node
    process.ctx.trajectories["trajectory"]["segments"]["segment_0000"] = burst
    verdict = {"action": "absent", "reached_fs": 2.0, "n_labels": 5, "temperature_K": 300.0, "burst_stays": True}
    process.ctx.records["verdicts_0000"] = orm.Dict({"trajectory": verdict}).store()
    process.ctx.round = 1
    return process, burst, made


def test_a_later_training_that_fails_keeps_all_that_there_is(run, engine_code):
    process, burst, made = run
    process.ctx.training = job("haml.learn", engine_code.computer, 310)
    code = process.inspect_learning()
    assert code.status == 412
    assert "round 1" in code.message
    assert "planted failure 310" in code.message
    for name, node in made.items():
        assert process.outputs[name].uuid == node.uuid
    kept = process.outputs["trajectories"]["trajectory"]
    assert [node.uuid for node in kept["segments"].values()] == [burst.uuid]
    assert kept["history"]["n_labels"] == 5
