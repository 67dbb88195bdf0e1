"""Real CP2K through the label job: known physics, exact handover, and refusal of what did not converge."""

import copy
from pathlib import Path

import numpy as np
import pytest
from aiida import orm
from aiida.engine import run_get_node
from ase.spacegroup import crystal

from aiida_haml.calculations.building import build_isolated_atom
from aiida_haml.calculations.cp2k import Cp2kLabelCalculation
from aiida_haml.calculations.cp2k_input import build_parameters, rng_record, run_parameters
from aiida_haml.calculations.levels import level_key, pin, theory_key, theory_of
from aiida_haml.data.frames import FramesData
from aiida_haml.frames import Frames, maxwell_boltzmann
from aiida_haml.learning.seeds import LARGEST_SEED

MD = {"steps": 4, "timestep_fs": 1.0, "temperature_K": 300.0, "thermostat_time_fs": 20.0, "seed": 5}


@pytest.fixture
def lithium_sulfide():
    atoms = crystal(["Li", "S"], [(0.25, 0.25, 0.25), (0, 0, 0)], spacegroup=225, cellpar=[5.72] * 3 + [90] * 3)
    atoms.rattle(0.05, seed=1)
    return FramesData.from_ase(atoms)


def label(code, initial, level, md=None, solver=0, **more):
    inputs = {
        "code": code,
        "initial": initial,
        "level": orm.Dict({key: level[key] for key in ("engine", "name", "theory")}),
        "solver": orm.Dict(level["solver"][solver] if isinstance(solver, int) else solver),
        "metadata": {"options": {"max_wallclock_seconds": 600}},
        **more,
    }
    if md:
        inputs["md"] = orm.Dict(md)
    return run_get_node(Cp2kLabelCalculation, **inputs)


@pytest.mark.engine
def test_a_burst_is_labelled_and_continues_exactly(aiida_profile, cp2k_code, levels, lithium_sulfide):
    level = levels["gfn1-xtb"]
    outputs, node = label(cp2k_code, lithium_sulfide, level, MD)
    assert node.is_finished_ok, node.exit_message
    burst = outputs["frames"]
    assert (burst.kind, len(burst), burst.has_labels) == ("burst", 5, True)
    files = outputs["retrieved"].base.repository.list_object_names()
    assert "aiida.out" in files
    assert not [name for name in files if name.endswith(".xyz")], "the frames hold what stood there"
    frames = burst.frames
    np.testing.assert_allclose(frames.times, np.arange(5.0))
    np.testing.assert_allclose(frames.positions[0], lithium_sulfide.frames.positions[0], atol=1e-9)
    drawn = maxwell_boltzmann(frames.masses, 300.0, 5)
    np.testing.assert_allclose(frames.velocities[0], drawn, atol=1e-9)
    # Positions follow the velocities and forces: velocity Verlet, up to the thermostat's scaling of a step.
    moved = frames.positions[1] - frames.positions[0]
    expected = frames.velocities[0] + 0.5 * frames.forces[0] / frames.masses[:, None] * 0.00964853
    np.testing.assert_allclose(moved, expected, atol=3e-4)
    assert np.abs((frames.masses[:, None] * frames.velocities[-1]).sum(axis=0)).max() < 1e-6
    assert "2023" in outputs["output_parameters"]["code_version"] or outputs["output_parameters"]["code_version"]

    again, second = label(cp2k_code, burst, level, MD)
    assert second.is_finished_ok
    start = again["frames"].read(0)
    np.testing.assert_allclose(start.positions[0], frames.positions[-1], atol=1e-9)
    np.testing.assert_allclose(start.velocities[0], frames.velocities[-1], atol=1e-9)
    assert start.times[0] == frames.times[-1]
    # The same configuration gets the same label again, within the SCF's threshold.
    assert abs(start.energies[0] - frames.energies[-1]) < 1e-3
    assert np.abs(start.forces[0] - frames.forces[-1]).max() < 5e-3


@pytest.mark.engine
@pytest.mark.parametrize(("cores", "threads"), [(None, 1), (8, 8)])
def test_the_job_has_as_many_threads_as_cores(
    aiida_profile, cp2k_code, levels, lithium_sulfide, tmp_path, monkeypatch, cores, threads
):
    """What the prepend text of a computer says for all of its jobs does not hold back one that was given cores."""
    monkeypatch.chdir(tmp_path)  # a dry run writes into the current folder
    resources = {
        "num_machines": 1,
        "num_mpiprocs_per_machine": 1,
        **({"num_cores_per_mpiproc": cores} if cores else {}),
    }
    metadata = {"options": {"resources": resources}, "dry_run": True, "store_provenance": False}
    _, node = label(cp2k_code, lithium_sulfide, levels["gfn1-xtb"], metadata=metadata)
    script = (Path(node.dry_run_info["folder"]) / "_aiidasubmit.sh").read_text()
    exports = [line for line in script.splitlines() if "export OMP_NUM_THREADS" in line]
    assert exports[-1] == f"export OMP_NUM_THREADS={threads}"


@pytest.mark.engine
def test_forces_are_the_slope_of_the_energy(aiida_profile, cp2k_code, levels, lithium_sulfide):
    level = copy.deepcopy(levels["gfn1-xtb"])
    level["theory"]["DFT"]["SCF"]["EPS_SCF"] = 1e-8  # the preset's leaves 0.01 eV, a slope of half an eV / A here
    frame = lithium_sulfide.frames
    shift = 0.01
    energies = []
    for sign in (-1, 1):
        positions = frame.positions.copy()
        positions[0, 0, 0] += sign * shift
        moved = FramesData(Frames(frame.numbers, positions, frame.cells, frame.pbc))
        energies.append(label(cp2k_code, moved, level)[0]["frames"].frames.energies[0])
    outputs, node = label(cp2k_code, lithium_sulfide, level)
    assert node.is_finished_ok, node.exit_message
    slope = -(energies[1] - energies[0]) / (2 * shift)
    assert abs(outputs["frames"].frames.forces[0, 0, 0] - slope) < 0.02


@pytest.mark.engine
def test_scf_that_cannot_converge_is_refused(aiida_profile, cp2k_code, levels, lithium_sulfide):
    starved = copy.deepcopy(levels["gfn1-xtb"]["solver"][0])
    starved["DFT"]["SCF"] |= {"MAX_SCF": 4, "OUTER_SCF": {"MAX_SCF": 1, "EPS_SCF": 1e-5}}
    outputs, node = label(cp2k_code, lithium_sulfide, levels["gfn1-xtb"], MD, solver=starved)
    assert node.exit_status == 305
    assert "frames" not in outputs


@pytest.mark.engine
def test_isolated_atoms_have_their_own_spin(aiida_profile, cp2k_code, levels):
    sulfur = build_isolated_atom(orm.Str("S"))
    outputs, node = label(cp2k_code, sulfur, levels["gfn1-xtb"])
    assert node.is_finished_ok, node.exit_message
    frames = outputs["frames"]
    assert (frames.kind, len(frames)) == ("isolated_atom", 1)
    assert frames.frames.energies[0] == pytest.approx(-96.12, abs=0.05)


@pytest.mark.engine
def test_many_single_points_are_one_job(aiida_profile, cp2k_code, levels, lithium_sulfide):
    """Each frame gets the label that it gets alone, whatever its cell; order and cells are kept."""
    level = levels["gfn1-xtb"]
    images = [lithium_sulfide.to_ase()[0] for _ in range(3)]
    images[1].rattle(0.2, seed=3)
    images[2].set_cell(images[2].cell * 1.03, scale_atoms=True)
    series = FramesData.from_ase(images, kind="selection")
    outputs, node = label(cp2k_code, series, level)
    assert node.is_finished_ok, node.exit_message
    probes = outputs["frames"]
    assert (probes.kind, len(probes), probes.has_labels) == ("probes", 3, True)
    np.testing.assert_array_equal(probes.frames.positions, series.frames.positions)
    np.testing.assert_array_equal(probes.frames.cells, series.frames.cells)
    parameters = outputs["output_parameters"].get_dict()
    assert (parameters["kept"], parameters["steps_done"]) == ([0, 1, 2], 0)
    alone = [label(cp2k_code, FramesData.from_ase(image), level)[0]["frames"].frames for image in images[1:]]
    for i, single in enumerate(alone, start=1):
        assert abs(single.energies[0] - probes.frames.energies[i]) < 1e-3
        assert np.abs(single.forces[0] - probes.frames.forces[i]).max() < 5e-3


@pytest.mark.engine
def test_a_single_point_that_does_not_converge_is_left_out(aiida_profile, cp2k_code, levels, lithium_sulfide):
    """A first SCF from scratch needs more iterations than it is given, the second starts from where that ended."""
    few = copy.deepcopy(levels["gfn1-xtb"]["solver"][0])
    few["DFT"]["SCF"] |= {"MAX_SCF": 14, "OUTER_SCF": {"MAX_SCF": 1, "EPS_SCF": 1e-5}}
    series = FramesData.from_ase([lithium_sulfide.to_ase()[0]] * 4, kind="selection")
    outputs, node = label(cp2k_code, series, levels["gfn1-xtb"], solver=few)
    kept = outputs["output_parameters"]["kept"]
    if outputs["output_parameters"]["code_version"] >= "CP2K version 2024":  # it gives up instead of going on
        assert (node.exit_status, kept) == (305, [])
        return
    assert node.is_finished_ok, node.exit_message
    assert 0 not in kept
    assert len(outputs["frames"]) == len(kept) > 0


@pytest.mark.engine
def test_the_seed_decides_the_noise(aiida_profile, cp2k_code, levels, lithium_sulfide):
    """Same start and velocities, so that only the thermostat's noise can tell two bursts apart."""
    start = lithium_sulfide.frames
    drawn = maxwell_boltzmann(start.masses, 300.0, 1)
    initial = FramesData(Frames(start.numbers, start.positions, start.cells, start.pbc, velocities=drawn[None]))
    largest = MD | {"seed": LARGEST_SEED, "steps": 3, "thermostat_time_fs": 5.0}
    ends = []
    for md in (largest, largest, largest | {"seed": 1}):
        outputs, node = label(cp2k_code, initial, levels["gfn1-xtb"], md)
        assert node.is_finished_ok, node.exit_message
        ends.append(outputs["frames"].frames.velocities[-1])
    np.testing.assert_array_equal(ends[0], ends[1])
    assert np.abs(ends[2] - ends[0]).max() > 1e-4  # of some 1e-2 A/fs


@pytest.mark.engine
def test_an_scf_starts_from_the_wave_function_of_its_parent(aiida_profile, cp2k_code, levels, lithium_sulfide):
    """Neither the result nor the hash depends on it, nor does a file that is gone stop the job."""
    level = levels["gfn1-xtb"]
    first, parent = label(cp2k_code, lithium_sulfide, level, MD | {"steps": 2})
    cold, alone = label(cp2k_code, first["frames"], level, MD)
    warm, child = label(cp2k_code, first["frames"], level, MD, parent_folder=parent.outputs.remote_folder)
    assert (alone.exit_status, child.exit_status) == (0, 0)
    assert child.base.caching.compute_hash() == alone.base.caching.compute_hash()
    iterations = [outputs["output_parameters"]["scf_iterations"][0] for outputs in (cold, warm)]
    assert iterations[1] <= iterations[0] / 3
    assert abs(cold["frames"].frames.energies[0] - warm["frames"].frames.energies[0]) < 0.02  # 12 atoms

    (Path(parent.outputs.remote_folder.get_remote_path()) / "aiida-RESTART.wfn").unlink()
    gone, node = label(cp2k_code, first["frames"], level, MD, parent_folder=parent.outputs.remote_folder)
    assert node.is_finished_ok, node.exit_message
    assert gone["output_parameters"]["scf_iterations"][0] > iterations[1]
    assert abs(cold["frames"].frames.energies[0] - gone["frames"].frames.energies[0]) < 0.02


def test_the_record_of_random_numbers_has_the_layout_that_cp2k_reads():
    """As CP2K itself writes it into a restart file."""
    written = "Wiener process for Thermostat # 1        1 F T F   2.5626978039321635E-01        1022888933.0"
    record = rng_record(7)
    assert len(record) == 40 + 2 + 3 * 2 + 25 + 18 * 20
    assert record[:48] == written[:48]
    numbers = [float(record[73 + 20 * i : 93 + 20 * i]) for i in range(18)]
    assert numbers[:6] == numbers[6:12] == numbers[12:]
    assert min(numbers) >= 1
    assert max(numbers[:3]) < 4294967087
    assert max(numbers[3:6]) < 4294944443


def test_an_odd_number_of_electrons_is_refused(aiida_profile, cp2k_code, levels, lithium_sulfide):
    frame = lithium_sulfide.frames
    odd = FramesData(Frames(frame.numbers[1:], frame.positions[:, 1:], frame.cells, frame.pbc))
    whole = copy.deepcopy(levels["gfn1-xtb"])
    del whole["theory"]["DFT"]["SCF"]["SMEAR"]
    with pytest.raises(ValueError, match="odd number of electrons"):
        label(cp2k_code, odd, whole)


@pytest.mark.parametrize(
    ("change", "message"),
    [({"steps": 0}, "`steps` is 0"), ({"timestep_fs": -1}, "`timestep_fs`"), ({"seed": None}, "`seed`")],
)
def test_broken_md_settings_are_refused(aiida_profile, cp2k_code, levels, lithium_sulfide, change, message):
    with pytest.raises(ValueError, match=message):
        label(cp2k_code, lithium_sulfide, levels["gfn1-xtb"], MD | change)


def test_solver_does_not_enter_the_key(levels):
    level = levels["gfn1-xtb"]
    other = {**level, "solver": [], "description": "another text"}
    assert theory_key(level) == theory_key(other)
    tighter = {**level, "theory": {"DFT": {"QS": {"METHOD": "XTB"}, "SCF": {"EPS_SCF": 1e-7}}}}
    assert theory_key(level) != theory_key(tighter)


def test_the_version_enters_the_key(levels):
    level = levels["gfn1-xtb"]
    old, new = (level_key(level, f"CP2K version {year}") for year in ("2023.1", "2025.1"))
    assert old == f"{theory_key(level)}@cp2k-2023.1"
    assert old != new
    assert level_key(level, "CP2K version 2026.1 (Development Version) git:1a2b3c4").endswith(
        "@cp2k-2026.1-development-version-git-1a2b3c4"
    )


def test_an_isolated_atom_has_whole_electrons(levels):
    atom = Frames([16], np.full((1, 1, 3), 6.0), 12 * np.eye(3)[None], True)
    theory = levels["pbe-szv"]["theory"]
    dft = build_parameters(atom, theory, {}, {}, isolated=True, wall_time=None)["FORCE_EVAL"]["DFT"]
    assert (dft["LSD"], dft["MULTIPLICITY"]) == (True, 3)  # sulfur's ground state is a triplet
    assert "SMEAR" not in dft["SCF"]
    assert "SMEAR" in theory["DFT"]["SCF"]


def test_parameters_do_not_change_the_level(levels):
    frame = Frames([3, 3], [[[0, 0, 0], [2, 0, 0]]], 9 * np.eye(3)[None], True)
    theory = levels["gfn1-xtb"]["theory"]
    before = repr(theory)
    solver, run = levels["gfn1-xtb"]["solver"][0], run_parameters(frame, MD, None)
    build_parameters(frame, theory, solver, run, isolated=False, wall_time=100)
    assert repr(theory) == before


@pytest.mark.engine
def test_the_key_is_known_before_anything_is_stored(aiida_profile_clean, levels):
    key = theory_of(levels["pbe-szv"])
    assert orm.QueryBuilder().append(orm.Data).count() == 0
    assert key == theory_key(pin(levels["pbe-szv"])[0]) != theory_key(levels["pbe-szv"])


@pytest.mark.engine
def test_dft_labels_carry_their_basis_sets(aiida_profile, cp2k_code, levels):
    """Real PBE: basis sets and pseudopotentials are nodes, pinned by content, and the stress is the slope it is."""
    level, nodes = pin(levels["pbe-szv"])
    assert set(nodes["basissets"]) == set(levels["pbe-szv"]["kinds"])
    again, same = pin(levels["pbe-szv"])
    assert theory_key(again) == theory_key(level)
    assert same["pseudos"]["Li"].pk == nodes["pseudos"]["Li"].pk

    def rock_salt(a):
        atoms = crystal(["Li", "Cl"], [(0, 0, 0), (0.5, 0.5, 0.5)], spacegroup=225, cellpar=[a] * 3 + [90] * 3)
        return FramesData.from_ase(atoms)

    inputs = {port: {e: nodes[port][e] for e in ("Li", "Cl")} for port in nodes}
    outputs = [label(cp2k_code, rock_salt(a), level, **inputs)[0] for a in (4.88, 4.90, 4.92)]
    keys = {level_key(level, out["output_parameters"]["code_version"]) for out in outputs}
    assert {out["frames"].level_of_theory for out in outputs} == keys
    assert len(keys) == 1
    below, frames, above = (out["frames"].frames for out in outputs)
    assert np.abs(frames.forces).max() < 0.05  # every atom of rock salt sits on a centre of inversion
    stress = frames.stresses[0]
    assert np.ptp(stress[:3]) < 2e-3
    assert np.abs(stress[3:]).max() < 1e-3
    slope = (above.energies[0] - below.energies[0]) / (4.92**3 - 4.88**3)
    assert slope < 0  # compressed
    assert stress[:3].mean() == pytest.approx(slope, rel=0.15)

    initial = rock_salt(5.14)
    swapped = {"Li": nodes["basissets"]["Li"], "Cl": nodes["basissets"]["F"]}
    with pytest.raises(ValueError, match="pinned"):
        label(cp2k_code, initial, level, **{**inputs, "basissets": swapped})
    with pytest.raises(ValueError, match="no entry in `basissets`"):
        label(cp2k_code, initial, level)
