"""The first labels: off the path of dynamics in all directions, and never absurd."""

import numpy as np
import pytest
from ase.build import bulk
from ase.data import covalent_radii

from aiida_haml.frames import Frames
from aiida_haml.learning.distortions import ION_RADII, DistortionSettings, distort


@pytest.fixture
def start() -> Frames:
    atoms = bulk("LiCl", "rocksalt", a=5.13, cubic=True).repeat(2)
    atoms.rattle(0.02, seed=3)
    return Frames.from_ase(atoms)


def closest(frames: Frames, pair: tuple[str, str]) -> list[float]:
    """Return the shortest distance of two elements in each frame, in units of their covalent radii."""
    found = []
    for atoms in frames.to_ase():
        distances = atoms.get_all_distances(mic=True)
        one, two = (np.flatnonzero(np.array(frames.symbols) == symbol) for symbol in pair)
        block = distances[np.ix_(one, two)]
        radii = covalent_radii[atoms.numbers[one[0]]] + covalent_radii[atoms.numbers[two[0]]]
        found.append(block[block > 0].min() / radii)
    return found


def test_copies_are_shaken_as_asked(start):
    settings = DistortionSettings(n_rattled=2, amplitudes=(0.05, 0.1), strains=(0.0,), contact_ratios=())
    frames, reasons = distort(start, settings, seed=1)
    moved = frames.positions - start.positions
    assert moved.std(axis=(1, 2)) == pytest.approx([0.05, 0.1], rel=0.15)
    assert np.array_equal(frames.cells, np.repeat(start.cells, 2, axis=0))
    assert "0.05 Å" in reasons[0]


def test_strained_copies_keep_atoms_where_they_are_in_the_cell(start):
    settings = DistortionSettings(n_rattled=4, amplitudes=(1e-6,), strains=(0.03,), contact_ratios=())
    frames, _ = distort(start, settings, seed=1)
    for cell, positions in zip(frames.cells, frames.positions, strict=True):
        strain = np.linalg.solve(start.cells[0], cell) - np.eye(3)
        assert np.allclose(strain, strain.T, atol=1e-9)
        assert 0.005 < np.abs(strain).max() <= 0.03 + 1e-9
        assert np.allclose(
            positions @ np.linalg.inv(cell), start.positions[0] @ np.linalg.inv(start.cells[0]), atol=1e-5
        )


def test_violent_shaking_does_not_put_atoms_into_each_other(start):
    settings = DistortionSettings(n_rattled=6, amplitudes=(0.5,), strains=(0.0,), contact_ratios=())
    frames, _ = distort(start, settings, seed=1)
    for pair in (("Li", "Li"), ("Li", "Cl"), ("Cl", "Cl")):
        assert min(closest(frames, pair)) > 0.75


def test_each_two_elements_are_pushed_together_once_and_nothing_else_moves(start):
    frames, reasons = distort(start, DistortionSettings(n_rattled=0, contact_ratios=(0.85,)), seed=1)
    ions = ION_RADII["Li"] / covalent_radii[3]  # electrons between two metal atoms give way
    for pair, radii in ((("Li", "Li"), ions), (("Li", "Cl"), 1.0), (("Cl", "Cl"), 1.0)):
        (row,) = [row for row, reason in enumerate(reasons) if "-".join(sorted(pair)) in reason]
        assert closest(frames[np.array([row])], pair) == pytest.approx([0.85 * radii], abs=0.01)
    moved = np.abs(frames.positions - start.positions).max(axis=2) > 1e-9
    assert moved.sum() == 2 * 3


def test_elements_that_have_not_met_are_put_side_by_side_too(start):
    """Two phosphorus far from each other, as in a thiophosphate: the reaction brings them together later."""
    numbers = start.numbers.copy()
    chlorine = np.flatnonzero(numbers == 17)
    farthest = start.to_ase()[0].get_all_distances(mic=True)[chlorine[0], chlorine].argmax()
    numbers[[chlorine[0], chlorine[farthest]]] = 15
    start = Frames(numbers, start.positions, start.cells, start.pbc)
    assert closest(start, ("P", "P"))[0] > 2.2
    frames, reasons = distort(start, DistortionSettings(n_rattled=0, contact_ratios=(0.85,)), seed=1)
    assert min(closest(frames, ("P", "P"))) == pytest.approx(0.85, abs=0.01)
    assert sum("P-P" in reason for reason in reasons) == 1
    (frame,) = [frame for frame, reason in zip(frames, reasons, strict=True) if "P-P" in reason]
    for third in ("Li", "Cl"):
        assert closest(frame, ("P", third))[0] > 0.7, "in nobody's way where there is room"


def test_the_seed_decides(start):
    settings = DistortionSettings()
    one, two, other = (distort(start, settings, seed)[0].positions for seed in (1, 1, 2))
    assert np.array_equal(one, two)
    assert not np.array_equal(one, other)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"amplitudes": [0.0]}, "amplitudes is 0.0"),
        ({"contact_ratios": [0.1]}, "contact_ratios is 0.1"),
        ({"strains": []}, "at least one value"),
    ],
)
def test_settings_that_make_no_sense_are_refused(values, message):
    with pytest.raises(ValueError, match=message):
        DistortionSettings.from_dict(values)


def test_nothing_to_do_is_said(start):
    with pytest.raises(ValueError, match="ask for some"):
        distort(start, DistortionSettings(n_rattled=0, contact_ratios=()), seed=1)
