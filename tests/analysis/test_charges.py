"""Charges counted from bonds: each compound is neutral, and P has the charge that its compound gives it."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import molecule

from aiida_haml.analysis.chemistry.bonds import BondTracker
from aiida_haml.analysis.chemistry.charges import FormalCharges
from aiida_haml.analysis.chemistry.coordination import bond_series
from aiida_haml.frames import Frames
from aiida_haml.structures import crystals
from tests.library import reference


def charges_of(atoms):
    frames, counted = Frames.from_ase([atoms]), FormalCharges(atoms.numbers)
    for block in BondTracker(atoms.numbers).follow(frames):
        counted.add(block)
    return counted.charges()[0]


@pytest.mark.parametrize("name", ["Li2O", "Li2S", "Li2Se", "LiCl", "LiF", "LiBr", "LiI", "Li3P", "LiP", "Li3PS4",
                                  "Li3PO4", "Li4P2S6"])  # fmt: skip
def test_a_compound_is_neutral(name):
    assert charges_of(reference(name)).sum() == 0


@pytest.mark.parametrize(("name", "charge"), [("Li3P", -3), ("LiP", -1), ("Li4P2S6", 4), ("Li3PS4", 5), ("Li3PO4", 5)])
def test_phosphorus_has_the_charge_of_its_compound_which_is_the_mean_that_the_series_tell(name, charge):
    atoms = reference(name)
    found = charges_of(atoms)[atoms.symbols == "P"]
    assert set(found) == {charge}
    assert bond_series(Frames.from_ase([atoms]))["p_bond_order_state"] == charge


def test_the_electrolyte_is_neutral_where_an_anion_is_exchanged_for_one_of_its_charge():
    atoms = crystals.argyrodite()
    assert charges_of(atoms).sum() == 0
    selenium = atoms.copy()
    selenium.symbols[np.flatnonzero(atoms.symbols == "S")[:3]] = "Se"
    assert charges_of(selenium).sum() == 0


def test_a_bond_within_an_element_is_shared():
    """Two S at 2.05 Angstrom, and a third one far from them."""
    atoms = Atoms("S3", [[0, 0, 0], [2.05, 0, 0], [8, 8, 8]], cell=[16] * 3, pbc=True)
    assert charges_of(atoms).tolist() == [-1, -1, -2]


def test_no_atom_gives_more_than_it_has():
    """PF6- has six bonds of P, which has five electrons to give: -1 in all by counting them all, and P is +5."""
    d = 1.6
    places = [[0, 0, 0], *(sign * d * np.eye(3)[k] for k in range(3) for sign in (1, -1))]
    found = charges_of(Atoms("PF6", np.add(places, 8), cell=[16] * 3, pbc=True))
    assert found[0] == 5
    assert found.sum() == -1


def test_of_carbon_nothing_is_known():
    atoms = molecule("CH4")
    atoms.set_cell([12] * 3)
    atoms.pbc = True
    assert np.isnan(charges_of(atoms)).all()
