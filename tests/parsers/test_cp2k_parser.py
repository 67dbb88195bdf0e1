"""What the parser makes of complete, unconverged, false, killed and slow CP2K runs."""

import numpy as np
import pytest
from aiida import orm
from ase import units

from aiida_haml.data.frames import FramesData
from aiida_haml.frames import Frames
from aiida_haml.parsers.cp2k_harvest import accepted_evaluations, first_jump
from aiida_haml.parsers.cp2k_output import Evaluation, read_output
from tests.parsers.jobs import parse_cp2k

STEPS = 4
MD = {"steps": STEPS, "timestep_fs": 1.0, "temperature_K": 300.0, "thermostat_time_fs": 20.0, "seed": 1}
LEVEL = {"engine": "cp2k", "name": "gfn1-xtb", "theory": {"DFT": {}}}
CONVERGED = "  *** SCF run converged in     5 steps ***\n  outer SCF loop converged in   1 iterations or    5 steps\n"
UNCONVERGED = "  *** WARNING in qs_scf.F:611 :: SCF run NOT converged ***\n"
ABORTED = """ Leaving inner SCF loop after reaching     4 steps.

 *******************************************************************************
 *   ___                                                                       *
 *  /   \\                                                                      *
 * [ABORT]                                                                     *
 *  \\___/     SCF run NOT converged. To continue the calculation               *
 *    |                                                                        *
 *  O/|                                                                        *
 * /| |                                                                        *
 * / \\                                                            qs_scf.F:611 *
 *******************************************************************************
"""
END = " CP2K                                 1  1.0    0.005    0.005    2.871    9.5\n  **** PROGRAM ENDED AT 2026\n"


def output(scf=CONVERGED, bad_step=None, ending=END, steps=STEPS + 1):
    """Compose aiida.out; at ``bad_step`` the SCF reports ``scf`` instead of convergence."""
    text = " CP2K| version string:                 CP2K version 2023.1\n"
    for step in range(steps):
        text += scf if step == bad_step else CONVERGED
        text += f" ENERGY| Total FORCE_EVAL ( QS ) energy [a.u.]:          {-10.0 - 0.001 * step}\n"
    return text + ending


def trajectory(scale, steps=STEPS + 1):
    blocks = [
        f"       2\n i = {i}, time = {i}.0, E = -10\n Li {scale * i} 0.0 0.0\n Cl 2.5 {scale * i} 0.0\n"
        for i in range(steps)
    ]
    return "".join(blocks)


def energies(jump_at=None, steps=STEPS + 1):
    """Compose the energy file, with a conserved energy that jumps by 1 Hartree at a step."""
    rows = "#     Step Nr.     Time[fs]    Kin.[a.u.]    Temp[K]    Pot.[a.u.]    Cons Qty[a.u.]    UsedTime[s]\n"
    for i in range(steps):
        conserved = -9.5 - (1.0 if jump_at is not None and i >= jump_at else 0.0)
        rows += f" {i} {i}.0 0.5 300.0 -10.0 {conserved} {0.0 if i == 0 else 2.0}\n"
    return rows


@pytest.fixture
def parse(aiida_profile, aiida_localhost, tmp_path):
    initial = FramesData(
        Frames([3, 17], [[[0, 0, 0], [2.5, 0, 0]]], [8 * np.eye(3)], True, times=[50.0], velocities=np.zeros((1, 2, 3)))
    )

    def run(exit_status=None, replace=None, initial=initial):
        files = {
            "aiida.out": output(),
            "aiida-pos-1.xyz": trajectory(0.01),
            "aiida-vel-1.xyz": trajectory(0.001),
            "aiida-frc-1.xyz": trajectory(0.1),
            "aiida-1.ener": energies(),
            **(replace or {}),
        }
        inputs = {"initial": initial, "level": orm.Dict(LEVEL), "md": orm.Dict(MD)}
        results, process = parse_cp2k(aiida_localhost, inputs, files, tmp_path, exit_status)
        run.message = process.exit_message
        return results, process.exit_status

    return run


def test_a_whole_run(parse):
    results, status = parse()
    assert status == 0
    frames = results["frames"].frames
    assert len(frames) == STEPS + 1
    np.testing.assert_allclose(frames.times, 50.0 + np.arange(STEPS + 1))
    np.testing.assert_allclose(frames.energies, (-10.0 - 0.001 * np.arange(STEPS + 1)) * units.Hartree)
    np.testing.assert_allclose(frames.forces[2, 0, 0], 0.2 * units.Hartree / units.Bohr)
    # bohr per atomic unit of time: 0.529177 A in 0.0241888 fs
    np.testing.assert_allclose(frames.velocities[2, 0, 0], 0.002 * 0.529177 / 0.0241888, rtol=1e-5)
    parameters = results["output_parameters"].get_dict()
    assert parameters["code_version"] == "CP2K version 2023.1"
    assert (parameters["steps_done"], parameters["wall_time_s"], parameters["seconds_per_step"]) == (STEPS, 9.5, 2.0)


@pytest.mark.parametrize("bad_step", [1, 3])
def test_frames_end_before_the_first_unconverged_step(parse, bad_step):
    results, status = parse(replace={"aiida.out": output(UNCONVERGED, bad_step)})
    assert status == 450
    assert len(results["frames"]) == bad_step


def test_nothing_converged_gives_no_frame(parse):
    results, status = parse(replace={"aiida.out": output(UNCONVERGED, 0)})
    assert status == 305
    assert "frames" not in results


def test_a_false_state_is_cut_off(parse):
    results, status = parse(replace={"aiida-1.ener": energies(jump_at=3)})
    assert status == 451
    assert len(results["frames"]) == 3


def test_a_killed_run_keeps_whole_frames(parse):
    positions = trajectory(0.01)
    half = positions[: positions.index("i = 3") + 30]  # cut off within frame 3
    results, status = parse(replace={"aiida-pos-1.xyz": half, "aiida.out": output(ending="", steps=4)})
    assert status == 303
    assert len(results["frames"]) == 3


def test_wall_time(parse):
    late = output(ending=" *** MD run: exceeded requested execution time ***\n" + END, steps=3)
    cut = {"aiida-pos-1.xyz": trajectory(0.01, 3), "aiida-vel-1.xyz": trajectory(0.001, 3)}
    results, status = parse(replace={"aiida.out": late, "aiida-frc-1.xyz": trajectory(0.1, 3), **cut})
    assert status == 400
    assert len(results["frames"]) == 3


def test_the_scheduler_knows_better(parse):
    results, status = parse(exit_status=120, replace={"aiida.out": output(ending="", steps=3)})
    assert status == 120
    assert len(results["frames"]) == 3


@pytest.mark.parametrize(
    ("replace", "status"),
    [
        ({"aiida.out": None}, 210),
        ({"aiida.out": "", "aiida-pos-1.xyz": None}, 303),
        ({"aiida.out": "*** ABORT in input parsing ***", "aiida-pos-1.xyz": None}, 304),
    ],
)
def test_broken_runs_have_their_codes(parse, replace, status):
    results, code = parse(replace=replace)
    assert code == status
    assert "frames" not in results


def test_a_number_that_cannot_be_read_ends_the_reading_there(parse):
    results, status = parse(replace={"aiida-frc-1.xyz": trajectory(0.1).replace("0.2 ", "***** ")})
    assert status == 303
    assert len(results["frames"]) == 2


@pytest.mark.parametrize("bad_step", [0, 2])
def test_an_scf_that_ends_the_run_is_seen(parse, bad_step):
    """CP2K of 2024 and later aborts, and prints no energy of the step that did not converge."""
    text = output(ending="", steps=bad_step) + ABORTED
    files = {"aiida-pos-1.xyz": trajectory(0.01, bad_step), "aiida-frc-1.xyz": trajectory(0.1, bad_step)}
    results, status = parse(replace={"aiida.out": text, **files})
    assert status == (450 if bad_step else 305)
    assert len(results["frames"]) == bad_step if bad_step else "frames" not in results


def test_an_abort_is_told_in_its_own_words(parse):
    box = ABORTED.replace("SCF run NOT converged. To continue", "Cholesky decompose failed: ")
    _, status = parse(replace={"aiida.out": output(ending="", steps=2) + box})
    assert status == 304
    assert parse.message == "CP2K gave up: Cholesky decompose failed:  the calculation"


def test_a_layout_that_is_not_known_is_named_with_the_version(parse):
    text = output().replace("2023.1", "2031.1").replace("[a.u.]", "[rydberg]")
    _, status = parse(replace={"aiida.out": text})
    assert status == 302
    assert "CP2K version 2031.1" in parse.message
    assert "[rydberg]" in parse.message


def test_a_start_in_another_state_than_its_own_label_is_refused(parse, aiida_profile):
    """The last frame of a burst has a label; the next burst computes it anew and has to agree."""
    results, _ = parse()
    labelled = results["frames"].store()
    again = {"aiida.out": output().replace("-10.0 ", "-10.004 ")}
    assert parse(initial=labelled, replace=again)[1] == 0
    lower = {"aiida.out": output().replace("-10.", "-17.")}
    results, status = parse(initial=labelled, replace=lower)
    assert status == 451
    assert "frames" not in results


def test_the_noise_of_a_run_is_its_measure():
    rng = np.random.default_rng(3)
    quiet, loud = rng.normal(scale=[[1e-3], [0.2]], size=(2, 30)).cumsum(axis=1)
    assert first_jump(quiet) is None
    assert first_jump(loud) is None
    quiet[12:] += 0.5
    assert first_jump(quiet)[0] == 12
    assert first_jump(np.array([0.0, 0.005])) is None
    assert first_jump(np.array([0.0, 9.0, 9.0]))[0] == 1


def test_frames_of_a_relaxation_are_its_steps_up_to_the_first_that_did_not_converge():
    def made(*states):
        return [Evaluation(e * units.Hartree, e * units.Hartree, converged, 9, None) for e, converged in states]

    start, left, one, two = (-1.0, True), (-0.5, True), (-1.1, True), (-1.2, True)
    steps = np.array([-1.1, -1.2]) * units.Hartree
    assert [
        e.energy / units.Hartree for e in accepted_evaluations(steps, made(start, left, one, two))
    ] == pytest.approx([-1.0, -1.1, -1.2])
    assert len(accepted_evaluations(steps, made(start, left, one))) == 2  # the last step was not evaluated whole
    assert len(accepted_evaluations(steps, made(start, (-1.1, False), two))) == 1
    assert accepted_evaluations(steps, made((-1.0, False), one, two)) == []
    assert accepted_evaluations(np.array([]), []) == []


#: What CP2K 2023.1 prints of GFN1-xTB with smearing, on 68 atoms of Li | Li6PS5Cl at the first two steps of dynamics.
XTB = """
  *** SCF run converged in    44 steps ***


  Core Hamiltonian energy:                                   -120.04148424355127
  Repulsive potential energy:                                   0.33410286147331
  Electronic energy:                                            0.26850286304565
  DFTB3 3rd order energy:                                      -0.05139664864036
  Dispersion energy:                                           -0.33362113455567
  Correction for halogen bonding:                               0.00000000000000
  Electronic entropic energy:                                  {entropic}
  Fermi energy:                                                -0.25791779031246

  Total energy:                                              {total}

 ENERGY| Total FORCE_EVAL ( QS ) energy [a.u.]:             {total}
"""


@pytest.mark.parametrize(
    ("entropic", "total", "left_out"),
    [
        ("-0.00728457735359", "-119.82389630222833", -0.00728457735359),
        ("-0.00728457735359", "-119.83118087958192", 0.0),  # as a version may print it that has it in
        ("-0.00000000000004", "-119.82389630222833", 0.0),
    ],
)
def test_the_energy_is_the_one_whose_slope_the_forces_are(entropic, total, left_out):
    (found,) = read_output(XTB.format(entropic=entropic, total=total)).evaluations
    assert found.printed == pytest.approx(float(total) * units.Hartree, rel=1e-14)
    assert found.energy - found.printed == pytest.approx(left_out * units.Hartree, abs=1e-9)
