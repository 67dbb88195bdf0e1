"""Molecules cut, opened and left alone."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import molecule
from hypothesis import given, settings
from hypothesis import strategies as st

from aiida_haml.analysis.chemistry.bonds import BondTracker
from aiida_haml.analysis.chemistry.units import Units, formula
from aiida_haml.frames import Frames
from aiida_haml.structures import crystals
from tests.analysis.motion import run, vibrations
from tests.library import reference


def units_of(frames, origin=None, previous=None):
    units, tracker = Units(frames if origin is None else origin, 0.08), BondTracker(frames.numbers)
    if previous is not None:
        list(tracker.follow(previous))
    for block in tracker.follow(frames):
        units.add(block)
    return units.series() | {"broken": units.broken()}, units.fragments()


def liquid(names=("CH3OCH3", "CH3OCH3", "CH3OCH3", "H2O"), lithium=4):
    """Molecules 7 Angstrom apart with lithium between them."""
    atoms = Atoms(cell=[7 * len(names), 12, 12], pbc=True)
    for k, name in enumerate(names):
        one = molecule(name)
        one.translate(np.array([7 * k + 3.5, 6, 6]) - one.positions.mean(axis=0))
        atoms += one
    return atoms + Atoms(f"Li{lithium}", [[7.0 * k, 1.0, 1.0] for k in range(lithium)])


def cut(n_frames=50, at=20):
    """The first ether loses a CH3."""
    atoms = liquid()
    carbon = 1 if atoms.symbols[1] == "C" else 0
    group = [carbon, *np.flatnonzero(atoms.get_distances(carbon, range(9)) < 1.2).tolist()]
    assert formula(atoms.numbers[np.unique(group)]) == "CH3"
    moved = vibrations(n_frames, len(atoms), 0.02, 5.0)
    moved[at:, np.unique(group), 1] += 2.5 * np.sign(atoms.positions[carbon, 1] - 6)
    return run(atoms, moved)


def test_a_vibrating_liquid_stays_whole():
    atoms = liquid()
    series, fragments = units_of(run(atoms, vibrations(100, len(atoms), 0.05, 5.0)))
    assert set(series) == {"broken", "intact_molecules", "intact_C2H6O", "intact_H2O"}
    assert (series["intact_molecules"] == 1).all()
    assert not series["broken"].any()
    assert len(fragments["fragments"]) == 0


def test_a_molecule_cut_in_two_is_counted_and_named():
    series, fragments = units_of(cut())
    assert series["intact_molecules"].tolist() == [1.0] * 20 + [0.75] * 30
    np.testing.assert_allclose(series["intact_C2H6O"][[19, 20]], [1, 2 / 3])
    assert (series["intact_H2O"] == 1).all()
    assert series["broken"][-1].sum() == 1
    assert fragments["fragments"].tolist() == ["CH3", "CH3O"]
    assert fragments["fragment_counts"].tolist() == [1, 1]


@given(at=st.integers(1, 49))
@settings(max_examples=10, deadline=None)
def test_a_later_batch_remembers_the_molecules_of_the_start(at):
    frames = cut()
    whole, pieces = units_of(frames)
    later, last = units_of(frames[at:], origin=frames[0], previous=frames[:at])
    for name, values in whole.items():
        np.testing.assert_array_equal(later[name], values[at:], err_msg=name)
    assert last["fragments"].tolist() == pieces["fragments"].tolist()


def test_a_ring_that_opens_is_broken_though_it_hangs_together():
    atoms = molecule("CH2OCH2", cell=[15, 15, 15], pbc=True)
    carbons = np.flatnonzero(atoms.symbols == "C")
    oxygen = int(np.flatnonzero(atoms.symbols == "O")[0])
    hydrogens = [h for h in np.flatnonzero(atoms.symbols == "H") if atoms.get_distance(h, carbons[0]) < 1.3]
    moved = np.zeros((4, len(atoms), 3))
    away = atoms.positions[carbons[0]] - atoms.positions[oxygen]
    moved[2:, [carbons[0], *hydrogens]] = 0.45 * np.array([0, away[1], away[2]])
    after = Frames.from_ase(atoms).positions[0] + moved[-1]
    assert np.linalg.norm(after[carbons[0]] - after[oxygen]) > 2.0  # C-O breaks at 1.98 Angstrom
    assert np.linalg.norm(after[carbons[0]] - after[carbons[1]]) < 2.1  # C-C breaks at 2.13
    series, fragments = units_of(run(atoms, moved))
    assert series["intact_C2H4O"].tolist() == [1, 1, 0, 0]
    assert fragments["fragments"].tolist() == ["C2H4O"]


def test_a_hydrogen_that_changes_hands_breaks_both_molecules():
    atoms = liquid()
    water = len(atoms) - 4 - 3
    oxygen = water + int(np.flatnonzero(atoms.symbols[water : water + 3] == "O")[0])
    hydrogen = int(np.flatnonzero(atoms.symbols == "H")[0])
    moved = np.zeros((4, len(atoms), 3))
    moved[2:, hydrogen] = atoms.positions[oxygen] + [0, 0, 0.97] - atoms.positions[hydrogen]
    series, fragments = units_of(run(atoms, moved))
    assert series["intact_molecules"].tolist() == [1, 1, 0.5, 0.5]
    assert fragments["fragments"].tolist() == ["C2H5O", "H3O"]


def test_lithium_binds_no_molecules_together():
    atoms = liquid(lithium=0)
    oxygen = int(np.flatnonzero(atoms.symbols == "O")[0])
    wet = atoms + Atoms("Li", [atoms.positions[oxygen] + [0, 1.9, 0]])
    assert (units_of(run(wet, np.zeros((3, len(wet), 3))))[0]["intact_molecules"] == 1).all()


def test_a_solid_has_units_but_no_molecules():
    atoms = crystals.argyrodite()
    phosphorus = int(np.flatnonzero(atoms.symbols == "P")[0])
    vectors = atoms.get_distances(phosphorus, range(len(atoms)), mic=True, vector=True)
    corner = int(np.flatnonzero((atoms.numbers == 16) & (np.linalg.norm(vectors, axis=1) < 2.2))[0])
    moved = np.zeros((3, len(atoms), 3))
    moved[1:, corner] = 0.6 * vectors[corner]
    series, fragments = units_of(run(atoms, moved))
    assert set(series) == {"broken"}
    assert series["broken"].sum(axis=1).tolist() == [0, 1, 1]
    assert fragments["fragments"].tolist() == ["PS3", "S"]


@pytest.mark.parametrize("atoms", [reference("Li2S") * (2, 2, 2), crystals.lithium() * (3, 3, 3)])
def test_cells_without_covalent_bonds_have_no_units_that_could_break(atoms):
    series, fragments = units_of(run(atoms, np.zeros((2, len(atoms), 3))))
    assert set(series) == {"broken"}
    assert not series["broken"].any()
    assert len(fragments.get("fragments", ())) == 0
