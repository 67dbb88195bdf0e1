"""The calcfunction of the judge: what is known of a committee is forgotten with it."""

import numpy as np
import pytest
from aiida import orm

from aiida_haml.calculations.rounds import judge_round
from aiida_haml.data.frames import FramesData
from aiida_haml.engines.pairs import shortest_distances
from aiida_haml.learning.rounds import RoundSettings
from tests.labels import emt_frames

SILENT = {"deviations": [1e-6] * 20, "errors": [3.0] * 20}


def judged(learning):
    nodes = {"calibration": orm.Dict(SILENT), "learning": orm.Dict(learning)}
    return judge_round(orm.Dict(RoundSettings(max_force_error=1.0).to_dict()), **nodes)["calibration"].get_dict()


def test_a_committee_that_was_silent_and_wrong_does_not_judge_its_successor(aiida_profile_clean):
    """Equal members never deviate; a limit made of that would end every later stretch at its first step."""
    told = judged({"verdict": {"winner": "challenger"}, "largest": [[0.1, 0.25]] * 12})
    assert told["threshold"] == pytest.approx(0.4)
    assert judged({"verdict": {"winner": "champion"}, "largest": [[0.1, 0.25]] * 12})["threshold"] < 1e-5
    assert judged({})["threshold"] < 1e-5


def test_a_hole_teaches_and_decides_nothing(aiida_profile_clean):
    """It is no moment of the stretch, and that a bad potential came so close does not allow the next one to."""
    stretch, squeezed = emt_frames(4), emt_frames(1, seed=9).to_ase()[0]
    squeezed.set_cell(squeezed.cell * 0.6, scale_atoms=True)
    bare = [*stretch[[1, 2]].to_ase(), squeezed]
    for atoms in bare:
        atoms.info.clear()
    positions = np.stack([atoms.positions for atoms in bare])
    probes = type(stretch)(
        stretch.numbers, positions, stretch.cells[:3], stretch.pbc, energies=np.zeros(3), forces=np.zeros((3, 16, 3))
    )
    tests = orm.ArrayData()
    for name, count, last in (("probes", 3, 9.0), ("burst", 1, 0.01)):
        rmse = np.full(count, 0.01)
        rmse[-1] = last
        tests.set_array(f"a__{name}__force_rmse", rmse)
        tests.set_array(f"a__{name}__errors", np.repeat(rmse[:, None], 16, axis=1))
        tests.set_array(f"a__{name}__deviations", np.full((count, 16), 0.01))
        tests.set_array(f"a__{name}__energy_errors", np.zeros(count))
    why = [{"kind": "even", "time_fs": 1.0}, {"kind": "even", "time_fs": 2.0}, {"kind": "hole"}]
    level = "emt-0123456789ab@ase-3"
    told = judge_round(
        orm.Dict(RoundSettings().to_dict()),
        tests=tests,
        a__start=FramesData(stretch[0]),
        a__stretch=FramesData(stretch, kind="stretch"),
        a__burst=FramesData(stretch[[3]], kind="burst", level_of_theory=level),
        a__probes=FramesData(probes, kind="probes", level_of_theory=level),
        a__why=orm.Dict({"frames": why}),
        a__parameters=orm.Dict({}),
    )
    assert told["verdicts"].get_dict()["a"]["action"] == "accept"
    met = shortest_distances(stretch[[1, 2, 3]], 5.0)
    found = told["calibration"].get_dict()["shortest"]
    assert found == pytest.approx(met, rel=1e-6)
