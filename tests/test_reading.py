"""Extended XYZ of many makers: what each file holds is read or told, never dropped."""

import numpy as np
import pytest
from ase import Atoms, units
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import write
from hypothesis import given
from hypothesis import strategies as st

from aiida_haml.frames import Frames
from aiida_haml.reading import Choice, ReadingError, read_cell, read_extxyz

LATTICE = 'Lattice="10 0 0 0 11 0 0 0 12"'
POSITIONS = ("Li 0.1 0.2 0.3", "Cl 2.1 2.2 2.3")
FORCES = ("0.1 0.2 0.3", "-0.1 -0.2 -0.3")


def text(comment, columns="", rows=("", "")):
    properties = f"Properties=species:S:1:pos:R:3{columns}"
    lines = [" ".join(pair) for pair in zip(POSITIONS, rows, strict=True)]
    return "\n".join(["2", f'{LATTICE} {properties} pbc="T T T" {comment}', *lines]) + "\n"


def labelled(comment="energy=-5.5", column="forces"):
    return text(comment, f":{column}:R:3", FORCES)


@pytest.fixture
def read(tmp_path):
    def read_text(content, **choice):
        path = tmp_path / "frames.xyz"
        path.write_text(content)
        return read_extxyz(path, Choice(**choice))

    return read_text


# -- names -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("energy", ["energy", "REF_energy", "dft_energy", "free_energy", "Energy", "total_energy"])
@pytest.mark.parametrize("force", ["forces", "force", "REF_forces", "dft_force", "frc"])
def test_usual_names_of_labels_are_known(read, energy, force):
    (run,) = read(labelled(f"{energy}=-5.5", force))
    assert run.frames.energies == pytest.approx([-5.5])
    assert run.frames.forces[0] == pytest.approx(np.array([[0.1, 0.2, 0.3], [-0.1, -0.2, -0.3]]))
    assert (run.found["energies"], run.found["forces"], run.left) == (energy, force, ())


@pytest.mark.parametrize(
    "written",
    [
        'stress="0.01 0.006 0.005 0.006 0.02 0.004 0.005 0.004 0.03"',
        'REF_stress="0.01 0.006 0.005 0.006 0.02 0.004 0.005 0.004 0.03"',
        'stress="0.01 0.02 0.03 0.004 0.005 0.006"',
        'virial="-13.2 -7.92 -6.6 -7.92 -26.4 -5.28 -6.6 -5.28 -39.6"',
        'virial="-13.2 -26.4 -39.6 -5.28 -6.6 -7.92"',
    ],
)
def test_stresses_come_in_five_forms(read, written):
    """In Voigt's order xx, yy, zz, yz, xz, xy; a virial is minus the stress times 1320 A^3."""
    (run,) = read(labelled(f"energy=-5.5 {written}"))
    assert run.frames.stresses[0] == pytest.approx([0.01, 0.02, 0.03, 0.004, 0.005, 0.006])


def test_velocities_by_name_and_as_momenta(read):
    (run,) = read(text("", ":velo:R:3", ("0.01 0 0", "0 0.01 0")))
    assert run.frames.velocities[0] == pytest.approx(np.array([[0.01, 0, 0], [0, 0.01, 0]]))
    masses = np.array([6.94, 35.45])
    momenta = (masses[:, None] * run.frames.velocities[0] / units.fs).tolist()
    (run,) = read(text("", ":momenta:R:3", [" ".join(map(repr, row)) for row in momenta]))
    assert run.frames.velocities[0] == pytest.approx(np.array([[0.01, 0, 0], [0, 0.01, 0]]))


def test_what_is_not_read_is_named(read):
    rows = [f"{forces} 1" for forces in FORCES]
    comment = "energy=-5.5 free_energy=-5.6 MACE_energy=-5.4 config_type=slab"
    (run,) = read(text(comment, ":forces:R:3:charge:R:1", rows))
    assert run.left == ("MACE_energy", "charge", "config_type", "free_energy")
    assert run.account() == (
        "found energies (energy), forces (forces), cell; no stresses, velocities, times; "
        "not read: MACE_energy, charge, config_type, free_energy"
    )


def test_names_of_ones_own_are_given(read):
    content = labelled("e_ab_initio=-5.5", "gradient_free")
    (run,) = read(content)
    assert (run.frames.energies, run.left) == (None, ("e_ab_initio", "gradient_free"))
    (run,) = read(content, names={"energies": "e_ab_initio", "forces": "gradient_free"})
    assert run.frames.energies == pytest.approx([-5.5])
    with pytest.raises(ReadingError, match=r"'nothing'; the names there are e_ab_initio, gradient_free"):
        read(content, names={"energies": "nothing"})


def test_two_names_that_differ_are_not_guessed_between(read):
    with pytest.raises(ReadingError, match=r"frame 1 holds energy and REF_energy, which differ; .*--energy-key"):
        read(labelled("energy=-5.5 REF_energy=-7.5"))
    (run,) = read(labelled("energy=-5.5 REF_energy=-7.5"), names={"energies": "REF_energy"})
    assert run.frames.energies == pytest.approx([-7.5])
    (run,) = read(labelled("energy=-5.5 REF_energy=-5.5"))
    assert run.left == ()


# -- CP2K's own XYZ ----------------------------------------------------------------------------------------

CP2K = "2\n i =        {i}, time =        {t}, E =       -10.1234567890\n" + "\n".join(POSITIONS) + "\n"


def test_cp2k_writes_hartree_and_no_cell(read):
    content = CP2K.format(i=5, t="2.500") + CP2K.format(i=6, t="3.000")
    (run,) = read(content)
    assert run.frames.energies == pytest.approx([-10.123456789 * 27.211386] * 2, rel=1e-6)
    assert run.frames.times == pytest.approx([2.5, 3.0])
    assert "no forces, stresses, velocities, cell" in run.account()
    (run,) = read(content, cell=read_cell("10 11 12"))
    assert run.frames.pbc.all()
    assert run.frames.cells[1] == pytest.approx(np.diag([10.0, 11.0, 12.0]))


def test_cp2k_of_a_relaxation_has_no_times(read):
    (run,) = read("2\n i = 3, E = -10.5\n" + "\n".join(POSITIONS) + "\n")
    assert run.frames.times is None
    assert run.frames.energies == pytest.approx([-10.5 * units.Hartree])


def test_cells_are_lengths_angles_or_vectors():
    assert read_cell("3,4,5") == pytest.approx(np.diag([3.0, 4.0, 5.0]))
    assert np.linalg.norm(read_cell("3 4 5 90 90 60"), axis=1) == pytest.approx([3, 4, 5])
    assert read_cell("1 0 0 0 2 0 0 0 3") == pytest.approx(np.diag([1.0, 2.0, 3.0]))
    for bad in ("", "1 2", "a b c", "1 2 0", "nan 1 1"):
        with pytest.raises(ValueError, match="cell"):
            read_cell(bad)


# -- runs --------------------------------------------------------------------------------------------------


def test_a_frame_without_forces_does_not_cost_the_others_theirs(read):
    with_forces, without = read(labelled() + text("energy=-5.4"))
    assert with_forces.frames.forces is not None
    assert (without.frames.forces, without.first) == (None, 2)


def test_a_run_ends_where_atoms_or_the_direction_of_time_change(read):
    other = labelled().replace("Cl ", "Br ")
    assert [len(run.frames) for run in read(labelled() * 2 + other + labelled())] == [2, 1, 1]
    times = [labelled(f"energy=-5.5 time={t}") for t in (0, 1, 2, 0, 1)]
    assert [len(run.frames) for run in read("".join(times))] == [3, 2]


@given(st.integers(0, 2**31), st.integers(1, 4), st.booleans(), st.booleans())
def test_what_ase_writes_comes_back(tmp_path_factory, seed, n_frames, with_velocities, with_stress):
    rng = np.random.default_rng(seed)
    images = []
    for i in range(n_frames):
        atoms = Atoms("Li2S", rng.normal(size=(3, 3)), cell=10 * np.eye(3) + rng.normal(size=(3, 3)), pbc=True)
        results = {"energy": rng.normal(), "forces": rng.normal(size=(3, 3))}
        results |= {"stress": rng.normal(size=6)} if with_stress else {}
        if with_velocities:
            atoms.set_velocities(rng.normal(size=(3, 3)))
        atoms.info["time"] = 0.5 * i
        atoms.calc = SinglePointCalculator(atoms, **results)
        images.append(atoms)
    path = tmp_path_factory.mktemp("written") / "frames.xyz"
    write(path, images, format="extxyz")
    (run,) = read_extxyz(path)
    expected = Frames.from_ase(images).arrays()
    assert set(run.frames.arrays()) == set(expected)
    for name, array in expected.items():
        np.testing.assert_allclose(run.frames.arrays()[name], array, atol=1e-7, err_msg=name)


def test_several_systems_are_several_runs(tmp_path):
    copper, gold = bulk("Cu"), bulk("Au", cubic=True)
    copper.calc = EMT()
    copper.get_forces()
    write(tmp_path / "two.xyz", [copper, copper, gold], format="extxyz")
    assert [len(run.frames) for run in read_extxyz(tmp_path / "two.xyz")] == [2, 1]


# -- files that cannot be read whole -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("", "holds no frame"),
        ("nothing of the kind\n", "frame 1 is no extended XYZ"),
        (labelled() + "\n" + labelled(), "a blank line stands before frame 2"),
        ("1000000000\nLi\n", "frame 1 has 0 atoms of the 1000000000"),
        ("-5\n\n", "frame 1 .* starts with '-5'"),
        (labelled() + "2\ncut", "frame 2 has 0 atoms of the 2"),
        (labelled().replace("0.1 0.2 0.3 0.1", "0.1 0.2 0.3 x"), "frame 1 is no extended XYZ"),
        (labelled().replace("Li ", "Xx "), "frame 1 is no extended XYZ"),
        (labelled("energy=low"), "energy is 'low', which is no number"),
        (labelled().replace("-0.3\n", "nan\n"), "frames 1 to 1: forces holds NaN"),
        (labelled("energy=nan"), "energies holds NaN"),
        (labelled('energy="1 2"'), r"energy has the shape \(2,\)"),
        (labelled('energy=1 stress="1 2 3 4"'), "stress has 4 numbers"),
        (text("", ":forces:R:1", ("1", "2")), "forces has the shape"),
        (labelled('energy=1 virial="1 2 3 4 5 6"').replace(LATTICE, "").replace("T T T", "F F F"), "no cell; .*--cell"),
    ],
)
def test_a_file_that_is_broken_is_refused_with_the_frame(read, content, told):
    with pytest.raises(ReadingError, match=told):
        read(content)


def test_bytes_that_are_no_text_are_refused(tmp_path):
    (tmp_path / "frames.xyz").write_bytes(b"2\n\xff\xfe\nLi 0 0 0\nLi 1 1 1\n")
    with pytest.raises(ReadingError, match="not text in UTF-8"):
        read_extxyz(tmp_path / "frames.xyz")
