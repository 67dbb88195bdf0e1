"""What `verdi process list -P label` shows of a run: what each process does, for which candidate, in which round."""

import pytest
from aiida import orm
from ase.build import bulk

from aiida_haml.data.frames import FramesData
from aiida_haml.workchains.hybrid import HybridWorkChain
from aiida_haml.workchains.label import LabelWorkChain
from aiida_haml.workchains.names import reading
from tests.graphs import frames
from tests.workchains.synthetic import workchain


@pytest.mark.parametrize(
    ("name", "read"),
    [
        ("Li6PS5Cl_300K_s1__burst_0003", "burst 3 of Li6PS5Cl_300K_s1"),
        ("c000__description_0010", "description 10 of c000"),
        ("warm_up_02_part_03", "warm up 2 part 3"),
        ("learn_0004", "learn 4"),
        ("atom_Li", "atom Li"),
        ("rank", "rank"),
    ],
)
def test_names_of_links_are_read_as_words(name, read):
    assert reading(name) == read


@pytest.fixture
def hybrid(aiida_profile_clean, engine_code, lammps_code):
    codes = {"label": engine_code, "engine": engine_code, "lammps": lammps_code}
    copper = FramesData.from_ase(bulk("Cu", cubic=True))
    builder = HybridWorkChain.get_builder_from_protocol(copper, codes, "teacher", "quick")
    return workchain(HybridWorkChain, **builder._inputs(prune=True))


def test_what_a_round_starts_reads_well(hybrid, monkeypatch):
    """All that the first round of a run starts, up to its training."""
    started = []
    monkeypatch.setattr(hybrid.runner, "submit", lambda process, inputs: started.append((process, inputs)))
    hybrid.start()
    hybrid.plan()
    hybrid.queue_stretches()
    hybrid.inspect_stretches()
    hybrid.queue_labels()
    hybrid.launch()
    hybrid.ctx.labels = {"trajectory__burst_0000": frames("burst").store()}
    hybrid.ctx.trajectories["trajectory"]["round"]["burst"] = hybrid.ctx.labels["trajectory__burst_0000"]
    hybrid.ctx.atoms = {}
    hybrid.learn()
    labels = {inputs["metadata"]["label"] for _, inputs in started}
    assert {"prepare", "burst 0 of trajectory", "learn 0"} <= labels
    run = orm.QueryBuilder().append(orm.CalcFunctionNode, project="label").all(flat=True)
    assert sorted(run) == ["distortion 0 of trajectory", "gather 0", "plan 0"]


def test_a_job_is_called_like_the_one_that_started_it(aiida_profile_clean, cp2k_code):
    copper = FramesData.from_ase(bulk("Cu", cubic=True))
    level = orm.Dict({"engine": "cp2k", "name": "planted", "theory": {}, "solver": [{}]})
    job = {"code": cp2k_code, "initial": copper, "level": level}
    burst = workchain(LabelWorkChain, job=job, metadata={"label": "burst 3 of c000"})
    assert burst.ctx.inputs["metadata"]["label"] == "burst 3 of c000"
