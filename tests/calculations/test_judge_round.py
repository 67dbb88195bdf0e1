"""The calcfunction of the judge: what is known of a committee is forgotten with it."""

import pytest
from aiida import orm

from aiida_haml.calculations.rounds import judge_round
from aiida_haml.learning.rounds import RoundSettings

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
