"""Real outputs of several versions of CP2K, whole and failed: the same values are read from each."""

import numpy as np
import pytest
from ase import units

from aiida_haml.parsers.cp2k_output import read_forces, read_output
from tests.parsers.cp2k_cases import MD, VERSIONS, cases_of, inputs, kept_files, probes
from tests.parsers.jobs import parse_cp2k


@pytest.fixture
def parsed(aiida_profile, aiida_localhost, levels, tmp_path):
    def parse(version, case):
        given = inputs(case, levels["pbe-szv"])
        results, process = parse_cp2k(aiida_localhost, given, kept_files(version, case), tmp_path)
        return results, process

    return parse


def test_three_layouts_are_kept():
    assert {"2023.1", "2025.1", "2025.2"} <= set(VERSIONS)


@pytest.mark.parametrize("case", ["burst", "relaxation", "probes", "atom"])
def test_all_versions_say_the_same(parsed, case):
    first, *others = [parsed(version, case) for version in VERSIONS]
    for results, process in (first, *others):
        assert process.exit_status == 0, process.exit_message
        frames, reference = results["frames"].frames, first[0]["frames"].frames
        assert set(frames.arrays()) == set(reference.arrays())
        # Eight decimals of a Hartree; the paths of two SCFs differ by less than the threshold of 1e-4 lets them.
        np.testing.assert_allclose(frames.energies, reference.energies, rtol=0, atol=1e-5)
        np.testing.assert_allclose(frames.forces, reference.forces, rtol=0, atol=1e-5)
        np.testing.assert_allclose(frames.positions, reference.positions, rtol=0, atol=1e-7)
        if case != "atom":
            np.testing.assert_allclose(frames.stresses, reference.stresses, rtol=0, atol=1e-7)


@pytest.mark.parametrize("version", VERSIONS)
def test_a_burst(parsed, version):
    results, _ = parsed(version, "burst")
    frames, parameters = results["frames"].frames, results["output_parameters"]
    assert len(frames) == MD["steps"] + 1
    assert parameters["code_version"] == f"CP2K version {version}"
    assert parameters["scf_iterations"][0] > parameters["scf_iterations"][1] > 1
    moved = frames.positions[1] - frames.positions[0]
    acceleration = frames.forces[0] / frames.masses[:, None] * units.fs**2
    np.testing.assert_allclose(moved, frames.velocities[0] + 0.5 * acceleration, atol=2e-3)


@pytest.mark.parametrize("version", VERSIONS)
def test_single_points_keep_order_and_cells(parsed, version):
    results, _ = parsed(version, "probes")
    frames, given = results["frames"].frames, probes().frames
    assert (results["frames"].kind, results["output_parameters"]["kept"]) == ("probes", [0, 1, 2])
    np.testing.assert_array_equal(frames.positions, given.positions)
    np.testing.assert_array_equal(frames.cells, given.cells)
    assert np.abs(frames.forces.sum(axis=1)).max() < 0.1  # the net force of a coarse grid


@pytest.mark.parametrize("version", VERSIONS)
def test_the_start_of_a_relaxation_has_the_printed_forces(parsed, version):
    results, _ = parsed(version, "relaxation")
    frames = results["frames"].frames
    burst = parsed(version, "burst")[0]["frames"].frames  # begins with the same frame
    np.testing.assert_allclose(frames.forces[0], burst.forces[0], atol=1e-5)
    assert np.all(np.diff(frames.energies) < 0)


@pytest.mark.parametrize("version", [v for v in VERSIONS if "arrived" in cases_of(v)])
def test_a_relaxation_that_arrives_is_whole(parsed, version):
    """CP2K evaluates what it has arrived at once more, and prints no stress with that: no label, and no fault."""
    results, process = parsed(version, "arrived")
    assert process.exit_status == 0, process.exit_message
    frames = results["frames"].frames
    assert len(frames) < len(results["output_parameters"]["scf_iterations"])
    assert frames.stresses is not None
    assert np.linalg.norm(frames.forces[-1], axis=1).max() < 0.2 * np.sqrt(3)
    assert np.abs(frames.forces[0]).max() > 0.2


@pytest.mark.parametrize("version", VERSIONS)
def test_single_points_that_do_not_converge(parsed, version):
    """Up to 2023 CP2K goes on with the next frame; later it ends there, and the third frame is not tried."""
    results, process = parsed(version, "stuck")
    goes_on = version < "2024"
    assert process.exit_status == (0 if goes_on else 450)
    assert results["output_parameters"]["kept"] == ([0, 2] if goes_on else [0])
    assert len(results["frames"]) == (2 if goes_on else 1)


@pytest.mark.parametrize("version", VERSIONS)
def test_a_burst_that_its_own_clock_ends(parsed, version):
    results, process = parsed(version, "late")
    assert process.exit_status == 400
    assert 1 < len(results["frames"]) < 500


@pytest.mark.parametrize("version", VERSIONS)
def test_an_abort_says_why(parsed, version):
    results, process = parsed(version, "broken")
    assert process.exit_status == 304
    assert "unknown keyword NO_SUCH_KEYWORD" in process.exit_message
    assert "frames" not in results


OLD = """ ENERGY| Total FORCE_EVAL ( QS ) energy [a.u.]:               -7.500000000000000

 ATOMIC FORCES in [a.u.]

 # Atom   Kind   Element          X              Y              Z
      1      1      Li         -0.10000000     0.20000000    -0.30000000
      2      2      Cl          0.10000000    -0.20000000     0.30000000
 SUM OF ATOMIC FORCES           0.00000000     0.00000000     0.00000000     0.00000000

 STRESS| Analytical stress tensor [GPa]
 STRESS|                        x                   y                   z
 STRESS|      x        1.00000000000E+00   2.00000000000E+00   3.00000000000E+00
 STRESS|      y        2.00000000000E+00   4.00000000000E+00   5.00000000000E+00
 STRESS|      z        3.00000000000E+00   5.00000000000E+00   6.00000000000E+00
"""
NEW = """ ENERGY| Total FORCE_EVAL ( QS ) energy [hartree]               -7.500000000000000

 FORCES| Atomic forces [hartree/bohr]
 FORCES|   Atom     x               y               z               |f|
 FORCES|      1 -1.00000000E-01  2.00000000E-01 -3.00000000E-01   3.74165739E-01
 FORCES|      2  1.00000000E-01 -2.00000000E-01  3.00000000E-01   3.74165739E-01
 FORCES| Sum     0.00000000E+00  0.00000000E+00  0.00000000E+00   0.00000000E+00

 STRESS| Analytical stress tensor [bar]
 STRESS|                        x                   y                   z
 STRESS|      x        1.00000000000E+04   2.00000000000E+04   3.00000000000E+04
 STRESS|      y        2.00000000000E+04   4.00000000000E+04   5.00000000000E+04
 STRESS|      z        3.00000000000E+04   5.00000000000E+04   6.00000000000E+04
"""


@pytest.mark.parametrize("text", [OLD, NEW])
def test_units_and_columns_are_read_by_their_names(text):
    (evaluation,) = read_output("  *** SCF run converged in    12 steps ***\n" + text).evaluations
    assert evaluation.converged
    assert evaluation.energy == pytest.approx(-204.085, abs=1e-3)
    expected = [-0.00624, -0.02497, -0.03745, -0.03121, -0.01872, -0.01248]
    np.testing.assert_allclose(evaluation.stress, expected, atol=1e-5)
    forces = read_forces(text, 2) * units.Bohr / units.Hartree
    np.testing.assert_allclose(forces, [[-0.1, 0.2, -0.3], [0.1, -0.2, 0.3]])


@pytest.mark.parametrize(("version", "case"), [(v, case) for v in VERSIONS for case in cases_of(v)])
def test_an_output_cut_off_anywhere_gives_what_came_before(parsed, version, case):
    """A killed job leaves any prefix; none may raise, none gives a label that the whole run does not have."""
    files = kept_files(version, case)
    text = files["aiida.out"]
    whole = read_output(text).evaluations
    for end in range(0, len(text), max(len(text) // 97, 1)):
        part = read_output(text[:end]).evaluations
        assert len(part) <= len(whole)
        for cut, evaluation in zip(part[:-1], whole, strict=False):
            assert cut.energy == evaluation.energy
