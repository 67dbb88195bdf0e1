"""What is done about a training that failed: one planted failure a test."""

import pytest
from aiida import orm

from aiida_haml.calculations.pool import gather
from aiida_haml.data.frames import FramesData
from aiida_haml.workchains.job import MAX_TRIES
from aiida_haml.workchains.learn import CALMER, LearnWorkChain
from tests.labels import emt_frames, isolated_atom
from tests.workchains.synthetic import inspect, job, workchain

LEVEL = "teacher-emt"
SETTINGS = {"steps_first": 400, "steps_per_round": 100, "batch_size": 2, "lr": 0.01}


def labelled(frames, kind):
    return FramesData(frames, kind=kind, level_of_theory=LEVEL)


@pytest.fixture
def training(aiida_profile_clean, engine_code):
    atoms = {symbol: labelled(isolated_atom(symbol), "isolated_atom") for symbol in ("Cu", "Au")}
    pool = gather(a__burst_0000=labelled(emt_frames(6, seed=1), "burst"))
    given = {"code": engine_code, "pool": pool, "isolated_atoms": atoms, "settings": orm.Dict(SETTINGS)}
    return workchain(LearnWorkChain, job=given)


def settings(training):
    return training.ctx.inputs["settings"].get_dict()


def test_what_was_learned_by_the_wall_time_is_used(training, engine_code):
    inspect(training, job("haml.learn", engine_code.computer, 400, errors=orm.Dict({"trained": True})))
    assert training.ctx.is_finished


@pytest.mark.parametrize("status", [120, 401])
def test_less_is_asked_for_where_the_wall_time_left_nothing(training, engine_code, status):
    inspect(training, job("haml.learn", engine_code.computer, status))
    assert not training.ctx.is_finished
    assert (settings(training)["steps_first"], settings(training)["steps_per_round"]) == (200, 50)


def test_nan_is_met_with_smaller_learning_rates(training, engine_code):
    code = LearnWorkChain._process_class.exit_codes.ERROR_DIVERGED.status
    inspect(training, job("haml.learn", engine_code.computer, code))
    assert settings(training)["lr"] == pytest.approx(CALMER * SETTINGS["lr"])


def test_a_gpu_that_is_too_small_gets_smaller_batches(training, engine_code):
    node = job("haml.learn", engine_code.computer, 330)
    inspect(training, node)
    assert settings(training)["batch_size"] == 1
    assert not node.base.caching.is_valid_cache


@pytest.mark.parametrize("status", [300, 310])
def test_a_training_that_was_killed_is_started_anew_as_it_was(training, engine_code, status):
    node = job("haml.learn", engine_code.computer, status)
    inspect(training, node)
    assert not training.ctx.is_finished
    assert training.ctx.tries == 1
    assert settings(training) == SETTINGS
    assert not node.base.caching.is_valid_cache, "or the failure would be the answer"


def test_a_training_that_never_works_is_given_up(training, engine_code):
    statuses = [inspect(training, job("haml.learn", engine_code.computer, 330)).status for _ in range(MAX_TRIES + 1)]
    assert statuses == [*[0] * MAX_TRIES, 403]
