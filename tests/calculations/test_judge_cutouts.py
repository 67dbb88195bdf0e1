"""The judge of a wide cell: inner atoms decide, walls do not, and what the watch ended is asked as well."""

import numpy as np
import pytest
from aiida import orm

from aiida_haml.calculations.cutouts import judge_cutouts
from aiida_haml.data.frames import FramesData
from aiida_haml.frames import Frames
from aiida_haml.learning.rounds import RoundSettings

N = 6
INNER = [0, 1, 2]


def stretch(end=100.0):
    """A hundred femtoseconds of a wide cell."""
    times = np.linspace(0.0, end, 6)
    run = Frames(
        np.full(4, 3),
        np.zeros((6, 4, 3)) + np.arange(4)[:, None],
        np.tile(20 * np.eye(3), (6, 1, 1)),
        [True] * 3,
        times,
    )
    return FramesData(run, kind="stretch")


def judged(inner, outer=9.0, breach=None, n_alarms=0, simulated_fs=1000.0):
    """The verdict on cut-outs at 50 and 100 fs, each of whose inner atoms is off by so much, eV/A."""
    why, tests = {}, orm.ArrayData()
    for number, (time, off) in enumerate(
        [*zip((50.0, 100.0), inner, strict=True), *([(120.0, breach)] if breach else [])]
    ):
        name = f"cutout_{number:02d}"
        why[name] = {"time_fs": time, "inner": INNER}
        errors = np.full((1, N), outer)
        errors[0, INNER] = off
        tests.set_array(f"{name}__errors", errors)
        tests.set_array(f"{name}__deviations", np.full((1, N), 0.2))
    why["cutout_09"] = {"time_fs": 100.0, "inner": INNER}  # its SCF did not converge
    settings = RoundSettings().to_dict() | {"slug": "wide", "simulated_fs": simulated_fs, "n_alarms": n_alarms}
    seen = {"reason": "At step 95 it breached."}
    found = judge_cutouts(orm.Dict(settings), stretch(), orm.Dict(why), orm.Dict(seen), tests)
    return found["verdicts"]["wide"], found["calibration"].get_dict()


def test_walls_say_nothing(aiida_profile_clean):
    verdict, calibration = judged((0.1, 0.2))
    assert (verdict["action"], verdict["reached_fs"], verdict["ends"]) == ("accept", 100.0, None)
    assert verdict["force_max"] == pytest.approx(0.2)
    assert verdict["force_rmse"] == pytest.approx(np.sqrt((0.1**2 + 0.2**2) / 2 / 3))  # over components
    assert calibration["errors"] == pytest.approx([0.1, 0.2])
    assert verdict["n_labels"] == 2


def test_the_strangest_atom_of_a_moment_speaks_for_the_frame_no_more_than_the_drawn_one(aiida_profile_clean):
    """0.35 of one cut-out and 0.1 of the other are 0.149 over components of both: within what a frame is allowed."""
    why = {name: {"time_fs": 100.0, "inner": INNER} for name in ("cutout_00", "cutout_01")}
    tests = orm.ArrayData()
    for name, off in zip(why, (0.35, 0.1), strict=True):
        tests.set_array(f"{name}__errors", np.full((1, N), off))
        tests.set_array(f"{name}__deviations", np.full((1, N), 0.2))
    settings = RoundSettings().to_dict() | {"slug": "wide", "simulated_fs": 1000.0, "n_alarms": 0}
    found = judge_cutouts(orm.Dict(settings), stretch(), orm.Dict(why), orm.Dict({"reason": None}), tests)
    assert found["verdicts"]["wide"]["action"] == "accept"
    assert found["verdicts"]["wide"]["n_labels"] == 2
    assert found["verdicts"]["wide"]["n_points"] == 1


def test_the_stretch_is_cut_back_to_the_last_cut_out_that_holds_and_the_run_ends(aiida_profile_clean):
    verdict, _ = judged((0.1, 1.5))
    assert (verdict["action"], verdict["reached_fs"]) == ("cut", 50.0)
    assert "the potential is wrong here" in verdict["ends"]


def test_what_is_wrong_behind_the_trusted_part_ends_the_run_but_takes_nothing_back(aiida_profile_clean):
    verdict, _ = judged((0.1, 0.1), breach=2.0)
    assert (verdict["action"], verdict["reached_fs"]) == ("accept", 100.0)
    assert "behind what is trusted the forces are off by 1.155" in verdict["ends"]
    harmless, calibration = judged((0.1, 0.1), breach=0.1)
    assert harmless["ends"] is None
    assert calibration["threshold"] > 0.2  # what was met without harm is no reason to stop the next time


def test_a_run_does_not_creep_from_alarm_to_alarm(aiida_profile_clean):
    most = RoundSettings().max_fruitless
    assert judged((0.1, 0.1), n_alarms=most - 1)[0]["ends"] is None
    assert "one stretch after the other. At step 95" in judged((0.1, 0.1), n_alarms=most)[0]["ends"]
    assert judged((0.1, 0.1), n_alarms=most, simulated_fs=100.0)[0]["ends"] == "The wanted simulated time is reached."


def test_without_a_label_at_its_end_a_stretch_is_cut_back_and_the_run_goes_on(aiida_profile_clean):
    """The last moment's cut-out has no inner atom, as atoms beside it clashed; that says nothing against the rest."""
    why = {"cutout_00": {"time_fs": 50.0, "inner": INNER}, "cutout_01": {"time_fs": 100.0, "inner": []}}
    tests = orm.ArrayData()
    for name in why:
        tests.set_array(f"{name}__errors", np.full((1, N), 0.1))
        tests.set_array(f"{name}__deviations", np.full((1, N), 0.2))
    settings = RoundSettings().to_dict() | {"slug": "wide", "simulated_fs": 1000.0, "n_alarms": 0}
    found = judge_cutouts(orm.Dict(settings), stretch(), orm.Dict(why), orm.Dict({"reason": None}), tests)
    verdict = found["verdicts"]["wide"]
    assert (verdict["action"], verdict["end_fs"], verdict["reached_fs"], verdict["ends"]) == ("cut", 50.0, 50.0, None)
