"""Descriptors, projection and similarity to the reference phases."""

import json
from dataclasses import replace

import numpy as np
import pytest
from ase.build import molecule
from ase.data import atomic_numbers
from ase.spacegroup import crystal

from aiida_haml.analysis.environments.basis import basis_key, is_typical, make_basis
from aiida_haml.analysis.environments.similarity import NONE
from aiida_haml.analysis.environments.soap import describe_atoms, soap
from aiida_haml.analysis.environments.stream import Environments
from aiida_haml.analysis.references.disorder import MAX_LOOSE, loosened, snapshot
from aiida_haml.analysis.references.mixtures import random_mixture
from aiida_haml.analysis.references.phases import CONDUCTS, ROLES, ReferencePhase, reference_phases
from aiida_haml.analysis.settings import DEFAULT_ELEMENTS, DescriptionSettings
from aiida_haml.frames import Frames
from aiida_haml.structures import crystals
from aiida_haml.structures.host import read_crystal
from aiida_haml.structures.reference import Reference
from tests.described import stream_environments
from tests.library import reference
from tests.planted import interface

SETTINGS = DescriptionSettings()
PHASES = reference_phases(DEFAULT_ELEMENTS)
BY_NAME = {p.name: p for p in PHASES}


@pytest.fixture(scope="module")
def basis():
    return make_basis(SETTINGS)


def environments(atoms, basis):
    return Environments.join(list(stream_environments(Frames.from_ase(atoms), basis)))


def test_dimers_and_rests_of_units_in_a_quenched_product_stand_for_no_product():
    """A quench of a picosecond leaves P2 and PS: the ladder calls them intermediate and thiophosphate."""
    quenched = BY_NAME["amorphous products"]
    n_bound = 0
    for atoms in quenched.cells:
        near = atoms.get_all_distances(mic=True) < 2.5
        np.fill_diagonal(near, False)
        heavy = atoms.numbers != 3
        bound = (near & heavy[None, :]).any(axis=1) & heavy
        assert (is_typical(quenched, atoms) == ~bound).all()
        n_bound += int((bound & (atoms.numbers == 15)).sum())
    assert n_bound > 0


def test_random_mixtures_resemble_nothing(basis):
    rng = np.random.default_rng(8)
    found = Environments.join([environments(random_mixture(DEFAULT_ELEMENTS, rng), basis) for _ in range(3)])
    assert (found.phase == NONE).mean() > 0.9


def test_what_has_reacted_is_told_as_the_product_that_it_is_and_what_is_mixed_as_none(basis):
    rng = np.random.default_rng(9)
    for phase in PHASES:
        if phase.role == "product":
            found = environments(snapshot(phase, 300, DEFAULT_ELEMENTS, rng), basis)
            assert (found.reacted_phase == basis.names.index(phase.name))[found.central != 3].mean() > 0.9, phase.name
    mixed = Environments.join([environments(random_mixture(DEFAULT_ELEMENTS, rng), basis) for _ in range(3)])
    assert (mixed.reacted_phase == NONE)[mixed.central != 3].mean() > 0.7


def test_a_thiophosphate_that_is_not_the_electrolyte_is_told_by_its_phosphorus(basis):
    rng = np.random.default_rng(10)
    for name, high in (("Li3PS4", True), ("Li6PS5Cl", False)):
        found = environments(snapshot(BY_NAME[name], 300, DEFAULT_ELEMENTS, rng), basis)
        share = found.thiophosphate[found.central == 15].mean()
        assert share > 0.8 if high else share < 0.2, (name, share)


@pytest.mark.parametrize("seed", range(3))
def test_rotation_translation_and_permutation_change_nothing(basis, seed):
    rng = np.random.default_rng([seed, 1])
    atoms = snapshot(BY_NAME["Li6PS5Cl"], 300, DEFAULT_ELEMENTS, rng)
    order = rng.permutation(len(atoms))
    moved = atoms[order]
    moved.rotate(rng.uniform(10, 80), rng.standard_normal(3), rotate_cell=True)
    moved.positions += rng.uniform(-20, 20, 3)
    before, after = environments(atoms, basis), environments(moved, basis)
    assert np.allclose(before.projected[order], after.projected, atol=2e-4)
    assert np.array_equal(before.phase[order], after.phase)


def test_supercell_repeats_the_environments(basis):
    atoms = crystals.argyrodite()
    once, twice = environments(atoms, basis), environments(atoms * (1, 1, 2), basis)
    assert np.allclose(np.vstack([once.projected] * 2), twice.projected, atol=2e-4)


def test_the_chemistry_of_the_neighbours_is_seen(basis):
    """What a compression over species would lose: Li tells Li2S from Li2Se on the same lattice."""
    sulfide = reference("Li2S", 5.8) * (2, 2, 2)
    selenide = reference("Li2Se", 5.8) * (2, 2, 2)
    found = [environments(a, basis) for a in (sulfide, selenide)]
    lithium = [f.phase[f.central == 3] for f in found]
    assert set(lithium[0]) == {basis.names.index("Li2S")}
    assert set(lithium[1]) == {basis.names.index("Li2Se")}


def test_the_projection_keeps_the_variance_of_what_it_was_not_fitted_on(basis):
    atoms = snapshot(BY_NAME["Li6PS5Cl"], 300, DEFAULT_ELEMENTS, np.random.default_rng(11))
    whole = describe_atoms(soap(SETTINGS), atoms)
    for central in np.unique(atoms.numbers):
        own = whole[atoms.numbers == central] - whole[atoms.numbers == central].mean(axis=0)
        kept = own @ basis.species[central].components
        assert np.square(kept).sum() > 0.85 * np.square(own).sum(), central


@pytest.mark.parametrize("chunk", [1, 30, 10_000])
def test_the_size_of_a_chunk_changes_nothing_but_memory(basis, chunk):
    small = replace(basis, settings=replace(SETTINGS, chunk=chunk))
    atoms = snapshot(BY_NAME["Li6PS5Cl"], 300, DEFAULT_ELEMENTS, np.random.default_rng(3))
    frames = Frames.from_ase([atoms, crystals.argyrodite()])
    whole = Environments.join(list(stream_environments(frames, basis)))
    parts = list(stream_environments(frames, small))
    assert max(len(p) for p in parts) <= max(chunk, frames.n_atoms)
    joined_parts = Environments.join(parts)
    assert np.array_equal(joined_parts.frame, whole.frame)
    assert np.array_equal(joined_parts.atom, whole.atom)
    assert np.allclose(joined_parts.projected, whole.projected, atol=1e-5)


def test_a_basis_depends_on_its_settings_alone():
    settings = DescriptionSettings(elements=("S", "Li"), n_components=8)
    first, second = make_basis.__wrapped__(settings), make_basis.__wrapped__(settings)
    assert first.key == second.key
    assert set(first.names) == {"Li2S", "Li"}
    for z in (3, 16):
        assert np.array_equal(first.species[z].components, second.species[z].components)
        assert np.array_equal(first.species[z].modes.whitening, second.species[z].modes.whitening)
        assert first.species[z].modes.none_level == second.species[z].modes.none_level
    other = DescriptionSettings(elements=("S", "Li"), n_components=8, reference_seed=1)
    assert basis_key(other, reference_phases(other.elements)) != first.key


def test_elements_that_are_absent_cost_nothing_and_change_nothing(basis):
    """Only the blocks of the elements present are computed; the bare descriptor of all elements is the oracle."""
    atoms = snapshot(BY_NAME["Li6PS5Cl"], 300, DEFAULT_ELEMENTS, np.random.default_rng(4))
    bare = describe_atoms(soap(SETTINGS), atoms)
    found = environments(atoms, basis)
    for z, species in basis.species.items():
        rows = atoms.numbers == z
        assert np.allclose(species.project(bare[rows]), found.projected[rows], atol=1e-5)


def test_probabilities_add_up_and_fall_to_none_far_away(basis):
    modes = basis.species[16].modes
    found = environments(snapshot(BY_NAME["Li2S"], 300, DEFAULT_ELEMENTS, np.random.default_rng(5)), basis)
    near = found.projected[found.central == 16]
    probabilities = np.exp(modes.log_probabilities(near))
    assert probabilities.sum(axis=1) == pytest.approx(np.ones(len(near)))
    assert probabilities[:, basis.names.index("Li2S")].mean() > 0.9
    assert np.exp(modes.log_probabilities(near + 30.0))[:, -1].min() > 0.99


def test_elements_outside_the_basis_are_refused(basis):
    frames = Frames.from_ase(reference("LiCl"))
    object.__setattr__(frames, "numbers", np.where(frames.numbers == 17, atomic_numbers["Br"], 3))
    with pytest.raises(ValueError, match=r"hold \['Br'\].*DescriptionSettings.elements"):
        list(stream_environments(frames, basis))


def test_a_basis_without_phases_answers_none():
    settings = DescriptionSettings(elements=("C", "H"), n_components=4)
    small = make_basis(settings)
    assert small.names == ()
    cell = random_mixture(("C", "H"), np.random.default_rng(0), n_atoms=20)
    found = environments(cell, small)
    assert set(found.phase) == {NONE}


def test_species_of_molecules_resemble_no_phase():
    settings = DescriptionSettings(elements=("C", "F", "H", "Li", "N", "O", "S"), n_components=16)
    made = make_basis(settings)
    assert {"Li2O", "LiF", "Li2S", "Li"} <= set(made.names)
    ether = molecule("CH3OCH3", vacuum=3.0, pbc=True)
    found = environments(ether, made)
    organic = np.isin(found.central, [1, 6])
    assert set(found.phase[organic]) == {NONE}
    assert set(found.phase[found.central == 8]) == {NONE}  # an ether's oxygen is not that of Li2O
    oxide = environments(snapshot(BY_NAME["Li2O"], 300, DEFAULT_ELEMENTS, np.random.default_rng(5)), made)
    assert (oxide.phase == made.names.index("Li2O")).mean() > 0.98


def test_unknown_elements_are_refused():
    with pytest.raises(ValueError, match="no chemical symbols"):
        make_basis(DescriptionSettings(elements=("Li", "Xx")))


def test_settings_refuse_unknown_keys_and_bad_values():
    with pytest.raises(ValueError, match="rcut is not a setting of DescriptionSettings"):
        DescriptionSettings.from_dict({"rcut": 5})
    with pytest.raises(ValueError, match="every_fs is -1"):
        DescriptionSettings.from_dict({"every_fs": -1})
    settings = DescriptionSettings.from_dict({"elements": ["S", "Li"]})
    assert DescriptionSettings.from_dict(settings.to_dict()) == settings


def test_a_host_of_ones_own_is_the_electrolyte_that_atoms_are_compared_with(tmp_path):
    """The antiperovskite Li3OCl is itself, and to those who know Li6PS5Cl alone it is something else."""
    places = [(0, 0, 0), (0.5, 0.5, 0.5), (0.5, 0.5, 0)]
    cell = crystal(["Cl", "O", "Li"], places, spacegroup=221, cellpar=[3.91] * 3 + [90] * 3)
    cell.write(tmp_path / "mine.cif")
    host = {"name": "Li3OCl", "crystal": read_crystal(tmp_path / "mine.cif").to_dict()}
    own = DescriptionSettings(elements=("Cl", "Li", "O", "P", "S"), host=json.dumps(host))
    phase = ReferencePhase("Li3OCl", "electrolyte", (cell.repeat(3),))
    shaken = snapshot(phase, 300, ("Cl", "Li", "O"), np.random.default_rng(4))
    basis = make_basis(own)
    assert [p.name for p in basis.phases if p.role == "electrolyte"] == ["Li3OCl"]
    assert (environments(shaken, basis).phase == basis.names.index("Li3OCl")).mean() > 0.9
    foreign = make_basis(DescriptionSettings(elements=own.elements))
    assert (environments(shaken, foreign).phase == foreign.names.index("Li6PS5Cl")).mean() < 0.1
    with pytest.raises(ValueError, match="another name"):
        make_basis(replace(own, host=json.dumps({**host, "name": "Li2S"})))


def test_a_phase_of_ones_own_is_recognised_and_keeps_its_role(tmp_path):
    places = [(0, 0, 0), (0.5, 0.5, 0.5), (0.5, 0.5, 0)]
    cell = crystal(["Cl", "O", "Li"], places, spacegroup=221, cellpar=[3.91] * 3 + [90] * 3)
    cell.write(tmp_path / "own.cif")
    own = Reference.read({"name": "Li3OCl", "role": "intermediate", "crystal": read_crystal(tmp_path / "own.cif")})
    settings = DescriptionSettings(elements=("Cl", "Li", "O", "P", "S"), references=(json.dumps(own.to_dict()),))
    basis = make_basis(settings)
    found = {p.name: p.role for p in basis.phases}
    assert (found["Li3OCl"], found["Li6PS5Cl"]) == ("intermediate", "electrolyte")
    shaken = snapshot(ReferencePhase("Li3OCl", "product", (cell.repeat(3),)), 300, (), np.random.default_rng(4))
    assert (environments(shaken, basis).phase == basis.names.index("Li3OCl")).mean() > 0.9


def test_every_phase_of_the_library_says_what_it_is():
    elements = tuple(sorted({"Br", "C", "Cl", "F", "H", "I", "Li", "N", "O", "P", "S", "Se"}))
    for phase in reference_phases(elements):
        assert phase.role in ROLES, phase.name
        assert phase.conducts in CONDUCTS, phase.name


@pytest.mark.parametrize("spec", [{}, {"host": {"exchange": 0.5}}])
def test_what_is_far_has_no_part_in_how_lithium_settles(spec, monkeypatch):
    """As if all atoms of the cell acted on each lithium, at the largest disorder that references have."""
    built = interface(**spec)
    electrolyte = built.arrays["sites"] != "metal"
    settled = [loosened(built, MAX_LOOSE, np.random.default_rng(seed), electrolyte).positions for seed in range(4)]
    monkeypatch.setattr("aiida_haml.analysis.references.disorder.SURROUNDING", len(built))
    for seed, positions in enumerate(settled):
        whole = loosened(built, MAX_LOOSE, np.random.default_rng(seed), electrolyte)
        assert positions == pytest.approx(whole.positions, abs=1e-9)
