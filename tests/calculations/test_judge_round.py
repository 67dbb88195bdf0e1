"""The calcfunction of the judge: what is known of a committee is forgotten with it."""

import dataclasses

import numpy as np
import pytest
from aiida import orm
from ase import units

from aiida_haml.calculations.planning import plan_round
from aiida_haml.calculations.rounds import judge_round
from aiida_haml.data.frames import FramesData
from aiida_haml.engines.pairs import shortest_distances
from aiida_haml.frames import maxwell_boltzmann
from aiida_haml.learning.judge import Verdict
from aiida_haml.learning.plan import Plan, WatchSettings
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


def test_a_hot_frame_teaches_and_decides_nothing(aiida_profile_clean):
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
    why = [{"kind": "even", "time_fs": 1.0}, {"kind": "even", "time_fs": 2.0}, {"kind": "hot"}]
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


@pytest.mark.parametrize(
    ("temperature", "force", "counts"), [(300.0, 5.0, True), (9000.0, 5.0, False), (300.0, 60.0, False)]
)
def test_labels_that_teach_nothing_allow_no_closer_contacts(aiida_profile_clean, temperature, force, counts):
    """A burst that is too hot to stay, and forces beyond what is trained on, show where no potential may go."""
    run = emt_frames(4)
    forces = np.zeros_like(run.positions)
    forces[:, 0, 0] = force
    velocities = np.array([maxwell_boltzmann(run.masses, temperature, seed) for seed in range(len(run))])
    hard = dataclasses.replace(run, velocities=velocities, forces=forces)
    burst = FramesData(hard, kind="burst", level_of_theory="emt-0123456789ab@ase-3")
    told = judge_round(
        orm.Dict(RoundSettings().to_dict()),
        plan=orm.Dict({"a": {"max_burst_temperature_K": 1000.0}}),
        a__start=FramesData(run[0]),
        a__burst=burst,
    )
    assert bool(told["calibration"]["shortest"]) == counts


def round_with_a_burst_at(temperature, thrown=None, learned=None):
    """Plan and judge a first round, and plan the next one; the last frame's first atom has a kinetic energy, eV."""
    run = emt_frames(4)
    velocities = np.array([maxwell_boltzmann(run.masses, temperature, seed) for seed in range(len(run))])
    if thrown is not None:
        speed = np.linalg.norm(velocities[-1, 0])
        velocities[-1, 0] *= np.sqrt(2 * thrown / run.masses[0]) * units.fs / speed
    burst = FramesData(
        dataclasses.replace(run, velocities=velocities), kind="burst", level_of_theory="emt-0123456789ab@ase-3"
    )
    told = {"rounds": RoundSettings().to_dict(), "watch": WatchSettings().to_dict()}
    settings = orm.Dict(told | {"timestep_fs": 1.0, "simulated_fs": 1000.0, "n_committee": 2})
    candidates = orm.Dict({"a": {"temperature_K": 300.0, "n_atoms": 68}})
    first = plan_round(settings, candidates)
    judged = judge_round(orm.Dict(told["rounds"]), plan=first, a__start=FramesData(run[0]), a__burst=burst)
    learning = {} if learned is None else {"learning": orm.Dict(learned)}
    second = plan_round(settings, candidates, previous=first, **judged, **learning)
    return judged["verdicts"]["a"], first["a"], second["a"]


def test_a_first_potential_does_not_drive_before_its_exploration_is_labelled(aiida_profile_clean):
    *_, after = round_with_a_burst_at(300.0, learned={"explored": {"a": 8}})
    assert after["n_stretch"] == 0
    assert after["n_burst"] > 0
    assert "exploration" in after["reason"]
    for learned in ({"explored": {"b": 8}}, {}):
        assert round_with_a_burst_at(300.0, learned=learned)[2]["n_stretch"] > 0


def test_a_reaction_may_heat_a_burst_and_what_follows_it(aiida_profile_clean):
    verdict, before, after = round_with_a_burst_at(450.0)
    assert verdict["burst_stays"]
    assert verdict["advanced_fs"] > 0
    assert after["watch"]["max_temperature_K"] == pytest.approx(1.5 * before["watch"]["max_temperature_K"])
    assert after["n_fruitless"] == 0


def test_a_run_that_is_gone_on_with_stretches_as_far_as_it_did_and_has_its_budgets_anew(aiida_profile_clean):
    """It would else creep through its first hundreds of steps again; one that is new beside it starts as any does."""
    told = {"rounds": RoundSettings(max_labels=100).to_dict(), "watch": WatchSettings().to_dict()}
    settings = orm.Dict(told | {"timestep_fs": 1.0, "simulated_fs": 5000.0, "n_committee": 2})
    last = Plan(800, 2, n_labels=100, n_fruitless=4).to_dict() | {"remaining_steps": 802, "watch": {}}
    verdict = Verdict("accept", 1000.0, True, False, 0.05, 0.3, 9, "Accepted.").to_dict()
    verdict |= {"reached_fs": 1002.0, "stretch_fs": 800.0, "burst_fs": 2.0, "n_labels": 10, "temperature_K": 330.0}
    both = {"temperature_K": 300.0, "n_atoms": 68}
    plans = plan_round(
        settings,
        orm.Dict({"a": both | {"reached_fs": 1002.0}, "b": both}),
        a__plan=orm.Dict({"a": last}),
        a__verdicts=orm.Dict({"a": verdict}),
    )
    assert plans["a"]["n_stretch"] == 1600
    assert plans["a"]["n_labels"] == plans["a"]["n_fruitless"] == 0
    assert plans["a"]["remaining_steps"] == 3998
    assert plans["b"]["n_stretch"] == RoundSettings().n_stretch_first
    assert plans["a"]["watch"]["max_temperature_K"] == pytest.approx(1.1 * plans["b"]["watch"]["max_temperature_K"])


def test_an_atom_that_truth_throws_may_fly_on(aiida_profile_clean):
    """A P that a reaction gave 1.1 eV would end every stretch at its first step, where it flies already."""
    verdict, before, after = round_with_a_burst_at(300.0, thrown=1.1)
    assert verdict["hottest_atom_eV"] == pytest.approx(1.1, rel=1e-6)
    assert before["watch"]["max_kinetic_energy_eV"] < 1.1
    assert after["watch"]["max_kinetic_energy_eV"] == pytest.approx(1.5 * 1.1, rel=1e-6)


def test_a_burst_that_explodes_stays_off_the_time_line_and_raises_no_limit_without_bound(aiida_profile_clean):
    verdict, before, after = round_with_a_burst_at(1500.0)
    assert not verdict["burst_stays"]
    assert verdict["advanced_fs"] == 0
    assert "1500 K" in verdict["reason"]
    assert verdict["hottest_atom_eV"] is None
    assert after["watch"]["max_temperature_K"] <= before["max_burst_temperature_K"] < 800.0
    assert after["n_fruitless"] == 1, "a cell that explodes again and again comes to an end"
