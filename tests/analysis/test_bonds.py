"""Bonds and coordination of known crystals and of cells that lack what is counted."""

from dataclasses import replace

import numpy as np
import pytest
import spglib
from ase import Atoms
from ase.neighborlist import neighbor_list
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from aiida_haml.analysis.chemistry.bonds import BondTracker
from aiida_haml.analysis.chemistry.coordination import bond_series, compositions
from aiida_haml.frames import Frames
from aiida_haml.structures import crystals
from aiida_haml.structures.bonds import CUTOFFS, cutoff
from aiida_haml.structures.doping import dope, read_doping
from tests.analysis.motion import pair, run, vibrations, walk
from tests.library import reference


def bonds_of(atoms):
    return {name: values[0] for name, values in bond_series(Frames.from_ase(atoms)).items()}


def test_every_phosphorus_of_the_electrolyte_holds_four_chalcogens():
    found = bonds_of(crystals.argyrodite())
    assert found["ps4_fraction"] == 1
    assert found["p_s_bonds"] == 4
    assert found["p_p_contacts"] == 0


@pytest.mark.parametrize(("dopant", "s_bonds"), [("O", 3), ("Se", 3)])
def test_a_substituted_corner_leaves_the_unit_whole(dopant, s_bonds):
    doped = dope(crystals.argyrodite(), read_doping({"dopant": dopant, "site": "16e", "fraction": 0.25})).atoms
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


def test_lithium_and_phosphorus_of_products_have_the_neighbours_of_their_crystal():
    for phase, anions in (("Li2S", 4), ("Li2O", 4), ("Li2Se", 4), ("LiCl", 6), ("LiF", 6)):
        assert bonds_of(reference(phase) * (2, 2, 2))["li_anion_coordination"] == anions
    assert bonds_of(reference("Li3P") * (2, 2, 2))["p_li_contacts"] == 11


def test_metrics_without_their_elements_are_not_a_number():
    found = bonds_of(crystals.lithium() * (3, 3, 3))
    assert np.isnan(found["ps4_fraction"])
    assert found["li_anion_coordination"] == 0


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


# -- hysteresis ------------------------------------------------------------------------------------------


def about_the_cutoff(n_frames):
    return 2.6 + 0.15 * np.sin(np.arange(n_frames) * 0.7)  # within the band of 2.39 to 2.81 Angstrom


def changes(series):
    return int(np.abs(np.diff(series["p_s_bonds"])).sum())


def test_a_bond_that_vibrates_about_its_cutoff_does_not_flicker():
    frames = pair("PS", np.concatenate([[2.05], about_the_cutoff(200)]))
    assert changes(bond_series(frames, hysteresis=0.0)) > 20  # it would
    assert (bond_series(frames)["p_s_bonds"] == 1).all()


def test_a_broken_bond_forms_again_only_when_it_is_short():
    frames = pair("PS", np.array([2.05, 2.5, 2.7, 2.9, 2.7, 2.5, 2.35, 2.5]))
    assert bond_series(frames)["p_s_bonds"].tolist() == [1, 1, 1, 0, 0, 0, 1, 1]


def test_a_batch_begins_with_the_bonds_of_the_batch_ahead():
    frames = pair("PS", np.concatenate([[3.5], np.full(10, 2.5)]))
    assert (bond_series(frames[5:], previous=frames[:5])["p_s_bonds"] == 0).all()
    assert (bond_series(frames[5:])["p_s_bonds"] == 1).all()


def test_a_bond_lost_from_one_frame_to_the_next_is_seen_to_break():
    frames = pair("PS", np.array([2.05, 9.0, 9.0]))
    blocks = list(BondTracker(frames.numbers).follow(frames))
    states = [(bool(b.before[0]), b.bonded[:, 0].tolist()) for b in blocks if len(b.pairs)]
    assert states == [(True, [True]), (True, [False, False])]


# -- oracles and invariances -----------------------------------------------------------------------------


def counted_by_ase(atoms, centre, others):
    i, j, d = neighbor_list("ijd", atoms, 3.4)
    symbols = np.array(atoms.get_chemical_symbols())
    limits = np.array([cutoff(a, b) for a, b in zip(symbols[i], symbols[j], strict=True)])
    found = (symbols[i] == centre) & np.isin(symbols[j], others) & (d < limits)
    return found.sum() / (symbols == centre).sum()


@pytest.mark.parametrize("breathing", [False, True])
def test_a_moving_melt_has_the_bonds_that_ase_counts_in_each_frame(breathing):
    atoms = crystals.argyrodite()
    atoms.positions[atoms.symbols == "S"] += [11.0, 0, -25.0]  # as far as unwrapped positions may go
    frames = run(atoms, walk(60, len(atoms), 3e-3, 2.0, seed=3))
    if breathing:
        frames = replace(frames, cells=frames.cells * np.linspace(1, 1.02, 60)[:, None, None])
    series = bond_series(frames, hysteresis=0.0)
    for k, image in enumerate(frames.to_ase()):
        assert series["p_s_bonds"][k] == pytest.approx(counted_by_ase(image, "P", ["S"]))
        assert series["li_anion_coordination"][k] == pytest.approx(counted_by_ase(image, "Li", ["S", "Cl", "P"]))


def test_an_atom_sees_its_neighbours_images_in_a_cell_smaller_than_the_cutoff():
    primitive = reference("Li2S")
    primitive = primitive if len(primitive) == 3 else standardized(primitive)
    assert len(primitive) == 3
    assert bonds_of(primitive)["li_anion_coordination"] == 4


def standardized(atoms):
    cell, places, numbers = spglib.find_primitive((atoms.cell.array, atoms.get_scaled_positions(), atoms.numbers))
    return Atoms(numbers, cell=cell, scaled_positions=places, pbc=True)


def disordered(seed, dopant="O"):
    atoms = dope(crystals.argyrodite(), read_doping({"dopant": dopant, "site": "16e", "fraction": 0.25})).atoms
    return run(atoms, vibrations(4, len(atoms), 0.35, 3.0, seed))


@given(seed=st.integers(0, 10**6))
@settings(max_examples=25, deadline=None)
def test_bonds_do_not_depend_on_how_the_cell_is_held_numbered_or_repeated(seed):
    frames, rng = disordered(seed), np.random.default_rng(seed)
    turn = Rotation.random(random_state=seed).as_matrix()
    order = rng.permutation(frames.n_atoms)
    shift = rng.uniform(-20, 20, 3)
    held = replace(
        frames,
        numbers=frames.numbers[order],
        positions=(frames.positions @ turn + shift)[:, order],
        cells=frames.cells @ turn,
    )
    repeated = Frames.from_ase([image * (1, 2, 1) for image in frames.to_ase()])
    expected = bond_series(frames)
    for other in (held, repeated):
        found = bond_series(other)
        assert found.keys() == expected.keys()
        for name, values in expected.items():
            np.testing.assert_allclose(found[name], values, atol=1e-12, err_msg=name)


# -- units and states --------------------------------------------------------------------------


@given(seed=st.integers(0, 10**6))
@settings(max_examples=15, deadline=None)
def test_every_phosphorus_is_in_one_unit(seed):
    series = bond_series(disordered(seed, "Se"))
    parts = [v for n, v in series.items() if n.startswith("units_") and n != "units_P2X6"]
    np.testing.assert_allclose(sum(parts), 1)


def test_substituted_units_are_told_apart_by_composition():
    doped = dope(crystals.argyrodite(), read_doping({"dopant": "O", "site": "16e", "fraction": 0.25})).atoms
    found = bonds_of(doped)
    oxygens = sum(n * found[f"units_{unit}"] for n, unit in enumerate(["PS4", "PS3O", "PS2O2", "PSO3", "PO4"]))
    assert oxygens == pytest.approx(doped.symbols.count("O") / 4)  # each O of a 16e site is at a P
    assert "units_PS3Se" not in found


def test_compositions_are_named_in_one_order():
    assert list(compositions(["S"])) == ["PS4"]
    assert len(compositions(["S", "O", "Se"])) == 15
    assert compositions(["S", "O", "Se"])["PS2OSe"] == (2, 1, 1)


def molecule(symbols, positions):
    return Atoms(symbols, positions, cell=[20, 20, 20], pbc=True)


#: Hypodiphosphate's sulfur sister, staggered: P-P 2.25, P-S 2.0 Angstrom.
P2S6 = molecule(
    "PPS6",
    [[0, 0, 0], [0, 0, 2.25]]
    + [[1.9 * np.cos(a), 1.9 * np.sin(a), -0.65] for a in np.radians([0, 120, 240])]
    + [[1.9 * np.cos(a), 1.9 * np.sin(a), 2.9] for a in np.radians([60, 180, 300])],
)
#: White phosphorus: a tetrahedron of edge 2.21 Angstrom.
P4 = molecule("P4", np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]]) * 2.21 / 8**0.5)


@pytest.mark.parametrize(
    ("atoms", "state"),
    [
        (crystals.argyrodite(), 5),
        (reference("Li3P") * (2, 2, 1), -3),
        (P2S6, 4),
        (P4, 0),
        (molecule("P2", [[0, 0, 0], [0, 0, 2.2]]), -2),  # as in Li4P2
        (molecule("PF6", [[0, 0, 0], *(1.6 * np.vstack([np.eye(3), -np.eye(3)]))]), 5),
    ],
)
def test_bonds_give_phosphorus_the_oxidation_state_of_its_compound(atoms, state):
    found = bonds_of(atoms)
    assert found["p_bond_order_state"] == state


def test_a_dimer_of_three_and_three_chalcogens_is_counted():
    found = bonds_of(P2S6)
    assert found["units_P2X6"] == found["units_PX3"] == 1
    assert bonds_of(P4)["units_P2X6"] == 0
