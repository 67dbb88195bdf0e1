"""The rungs between the electrolyte and its end products, each planted by bonds alone."""

import numpy as np
import pytest
from ase import Atoms

from aiida_haml.analysis.balance.states import HOST, INTERMEDIATE, ION, PRODUCT, THIOPHOSPHATE, BondStates, Ladder
from aiida_haml.analysis.chemistry.bonds import BondTracker
from aiida_haml.analysis.chemistry.units import Units
from aiida_haml.frames import Frames
from tests.analysis.motion import run

#: Of a tetrahedron; P-S of PS4 and of a P-P pair, and where a sulfur is no one's, Angstrom.
CORNERS = np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]]) / np.sqrt(3)
BONDED, PAIRED, APART, SPACING = 2.05, 2.2, 4.0, 14.0
#: In each of five units its P, its four S, and a lithium.
SIZE = 6


def units() -> Atoms:
    """Five PS4 in a row, far from each other, each with a lithium ion beside a corner."""
    atoms = Atoms(cell=[5 * SPACING, 14, 14], pbc=True)
    for k in range(5):
        middle = np.array([SPACING * (k + 0.5), 7.0, 7.0])
        atoms += Atoms("PS4Li", [middle, *(middle + BONDED * CORNERS), middle + 4.4 * CORNERS[0]])
    return atoms


def states_after(change) -> np.ndarray:
    """Return (5, 6) states of the units' atoms once `change` has been made to their positions, (5, 6, 3)."""
    atoms = units()
    moved = np.zeros((3, len(atoms), 3))
    places = atoms.positions.reshape(5, SIZE, 3).copy()
    change(places)
    moved[1:] = places.reshape(-1, 3) - atoms.positions
    frames: Frames = run(atoms, moved)
    known, bonds = Units(frames, 0.08), BondStates(frames.numbers)
    for block in BondTracker(frames.numbers, 0.08).follow(frames):
        known.add(block)
        bonds.add(block, frames)
    states = Ladder(frames, known).states(bonds.states(), known.broken(), np.zeros(bonds.states().shape))
    return np.asarray(states[-1]).reshape(5, SIZE)


def torn(places: np.ndarray, unit: int, corners: list[int]) -> None:
    """Move some sulfur of a unit out of reach of its phosphorus."""
    for corner in corners:
        places[unit, 1 + corner] = places[unit, 0] + APART * CORNERS[corner]


def test_intact_units_are_host():
    states = states_after(lambda places: None)
    assert (states[:, :5] == HOST).all()
    assert (states[:, 5] == ION).all()


def test_what_is_left_of_a_unit_is_thiophosphate_and_the_sulfur_that_left_is_product():
    states = states_after(lambda places: torn(places, 1, [2]))
    assert states[1].tolist() == [THIOPHOSPHATE, THIOPHOSPHATE, THIOPHOSPHATE, PRODUCT, THIOPHOSPHATE, ION]
    assert (states[[0, 2, 3, 4], :5] == HOST).all()


def test_phosphorus_without_a_bond_is_product():
    states = states_after(lambda places: torn(places, 2, [0, 1, 2, 3]))
    assert states[2, :5].tolist() == [PRODUCT] * 5


def test_phosphorus_bound_to_phosphorus_alone_is_intermediate_and_with_sulfur_is_thiophosphate():
    def paired(places, kept):
        torn(places, 3, [0, 1, 2, 3])
        torn(places, 4, [k for k in range(4) if k not in kept])
        shift = places[3, 0] + [0, 0, PAIRED] - places[4, 0]
        places[4, [0, *(1 + k for k in kept)]] += shift

    alone = states_after(lambda places: paired(places, []))
    assert alone[3, 0] == alone[4, 0] == INTERMEDIATE
    assert (alone[3:, 1:5] == PRODUCT).all()
    with_sulfur = states_after(lambda places: paired(places, [0]))
    assert (with_sulfur[3, 0], with_sulfur[4, 0], with_sulfur[4, 1]) == (INTERMEDIATE, THIOPHOSPHATE, THIOPHOSPHATE)


@pytest.mark.parametrize("corner", range(4))
def test_a_corner_that_two_units_come_to_share_makes_both_react(corner):
    """P2S6 and the like: no bond is lost, and the units are not what they were."""

    def shared(places):
        towards = places[1, 1 + corner] - places[1, 0]
        places[2, [0, 2, 3, 4]] += places[1, 1 + corner] + towards - places[2, 0]
        places[2, 1] = places[2, 0] + APART * CORNERS[0]

    states = states_after(shared)
    assert (states[1, :5] == THIOPHOSPHATE).all()
    assert states[2, 0] == THIOPHOSPHATE


def test_oxygen_about_carbon_or_nitrogen_does_not_last():
    atoms = units()
    atoms.symbols[0], atoms.symbols[1:5] = "N", "O"
    atoms.positions[1:5] = atoms.positions[0] + 1.3 * CORNERS
    frames = Frames.from_ase([atoms])
    assert Ladder(frames, Units(frames, 0.08)).reducible[:5].all()


@pytest.mark.parametrize("lasting", [[2], [0, 1, 2, 3, 4]])
def test_units_of_oxygen_are_no_electrolyte_beside_others(lasting):
    """PO4 lasts beside lithium: what is left to react is counted without it, unless there is nothing else."""
    atoms = units()
    for k in lasting:
        atoms.symbols[SIZE * k + 1 : SIZE * k + 5] = "O"
        atoms.positions[SIZE * k + 1 : SIZE * k + 5] = atoms.positions[SIZE * k] + 1.55 * CORNERS
    frames = Frames.from_ase([atoms])
    reducible = Ladder(frames, Units(frames, 0.08)).reducible.reshape(5, SIZE)
    assert not reducible[:, 5].any()
    assert reducible[:, :5].all(axis=1).tolist() == [len(lasting) == 5 or k not in lasting for k in range(5)]
