"""Where the watch ends one stretch after the other at once, truth has to lead past the spot."""

import pytest
from aiida import orm
from ase.build import bulk

from aiida_haml.data.frames import FramesData
from aiida_haml.learning.plan import Plan
from aiida_haml.learning.rounds import RoundSettings
from aiida_haml.workchains.hybrid import HybridWorkChain
from tests.graphs import frames
from tests.workchains.synthetic import workchain

SHORT = RoundSettings.min_burst


@pytest.mark.parametrize(("n_unmoved", "seen", "steps"), [
    (0, {"stopped_by": "deviation", "stopped_at_step": 12, "trusted_steps": 0}, SHORT),  # labels at the spot come first
    (1, {"stopped_by": "deviation", "stopped_at_step": 12, "trusted_steps": 0}, 12 + SHORT),
    (1, {"stopped_by": None, "stopped_at_step": None, "trusted_steps": 100}, SHORT),  # this one went well
    (1, {"stopped_by": "deviation", "stopped_at_step": 52, "trusted_steps": 40}, SHORT),  # it moves again
    (1, {}, SHORT),
])  # fmt: skip
def test_a_second_stop_in_a_row_is_answered_by_a_burst_beyond_it(
    aiida_profile_clean, engine_code, lammps_code, n_unmoved, seen, steps
):
    codes = {"label": engine_code, "engine": engine_code, "lammps": lammps_code}
    copper = FramesData.from_ase(bulk("Cu", cubic=True))
    overrides = {"rounds": {"max_burst": 40}}
    builder = HybridWorkChain.get_builder_from_protocol(copper, codes, "teacher", "quick", overrides)
    process = workchain(HybridWorkChain, **builder._inputs(prune=True))
    process.ctx.round = 5
    plan = Plan(100, SHORT, n_unmoved=n_unmoved).to_dict() | {"remaining_steps": 900}
    process.ctx.plans = orm.Dict({"trajectory": plan})
    process.ctx.trajectories["trajectory"]["round"] = {"start": frames("burst").store(), "seen": seen}
    _, inputs = process._burst("trajectory")
    assert inputs["job"]["md"]["steps"] == steps
