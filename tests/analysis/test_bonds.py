"""Bonds and coordination of known crystals and of cells that lack what is counted."""

import numpy as np
import pytest
from ase import Atoms

from aiida_haml.analysis.bonds import CUTOFFS, bond_series, cutoff, frame_bonds
from aiida_haml.frames import Frames
from aiida_haml.structures import crystals
from aiida_haml.structures.doping import Doping, dope


def bonds_of(atoms):
    return frame_bonds(Frames.from_ase(atoms))


def test_every_phosphorus_of_the_electrolyte_holds_four_chalcogens():
    found = bonds_of(crystals.argyrodite())
    assert found["ps4_fraction"] == 1
    assert found["p_s_bonds"] == 4
    assert found["p_p_contacts"] == 0
    assert found["free_chalcogen_fraction"] == pytest.approx(0.2)  # one S of five is not bound to P


@pytest.mark.parametrize(("dopant", "s_bonds"), [("O", 3), ("Se", 3)])
def test_a_substituted_corner_leaves_the_unit_whole(dopant, s_bonds):
    doped = dope(crystals.argyrodite(), Doping(dopant, "16e", 0.25, 0)).atoms
    found = bonds_of(doped)
    assert found["ps4_fraction"] == 1
    assert found["p_chalcogen_bonds"] == 4
    assert found["p_s_bonds"] == pytest.approx(s_bonds, abs=1)


def test_a_torn_off_sulfur_breaks_one_unit_of_four():
    atoms = crystals.argyrodite()
    phosphorus = np.flatnonzero(atoms.symbols == "P")[0]
    sulfur = np.flatnonzero(atoms.symbols == "S")
    distances = atoms.get_distances(phosphorus, sulfur, mic=True, vector=True)
    nearest = np.linalg.norm(distances, axis=1).argmin()
    atoms.positions[sulfur[nearest]] += 0.8 * distances[nearest] / np.linalg.norm(distances[nearest])
    found = bonds_of(atoms)
    assert found["ps4_fraction"] == 0.75
    assert found["p_s_bonds"] == 3.75


@pytest.mark.parametrize(
    ("phase", "anion", "lithium"),
    [
        ("Li2S", "S", 8),
        ("Li2O", "O", 8),
        ("Li2Se", "Se", 8),
        ("LiCl", "Cl", 6),
        ("LiF", "F", 6),
        ("Li3P", "P", 11),
    ],
)
def test_products_have_the_coordination_of_their_crystal(phase, anion, lithium):
    found = bonds_of(crystals.reference_phase(phase) * (2, 2, 2))
    assert found[f"li_around_{anion}"] == lithium


def test_metrics_without_their_elements_are_not_a_number():
    found = bonds_of(crystals.lithium() * (3, 3, 3))
    assert np.isnan(found["ps4_fraction"])
    assert np.isnan(found["free_chalcogen_fraction"])
    assert found["li_anion_coordination"] == 0
    assert not any(name.startswith("li_around") for name in found)


def test_bonds_cross_periodic_walls_and_no_others():
    pair = Atoms("PS", [[0.5, 0, 0], [9.0, 0, 0]], cell=[10, 10, 10], pbc=True)
    assert bonds_of(pair)["p_s_bonds"] == 1
    pair.pbc = False
    assert bonds_of(pair)["p_s_bonds"] == 0


def test_unknown_pairs_fall_back_on_covalent_radii():
    assert cutoff("P", "S") == cutoff("S", "P") == CUTOFFS[frozenset("PS")]
    assert cutoff("C", "H") == pytest.approx(1.3 * (0.76 + 0.31))


def test_series_follow_the_frames():
    whole = crystals.argyrodite()
    broken = whole.copy()
    broken.positions[broken.symbols == "P"] += 3.0
    series = bond_series(Frames.from_ase([whole, broken, whole]))
    assert series["ps4_fraction"].tolist() == [1, 0, 1]
