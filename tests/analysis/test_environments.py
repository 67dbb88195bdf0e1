"""Descriptors, projection and similarity to the reference phases."""

from dataclasses import replace

import numpy as np
import pytest
from ase.data import atomic_numbers

from aiida_haml.analysis.basis import basis_key, make_basis
from aiida_haml.analysis.environments import Environments, VarianceCheck, heights, stream_environments
from aiida_haml.analysis.references import disordered, joined, random_mixture, reference_phases
from aiida_haml.analysis.settings import DEFAULT_ELEMENTS, DescriptionSettings
from aiida_haml.analysis.similarity import NONE
from aiida_haml.frames import Frames
from aiida_haml.structures import crystals

SETTINGS = DescriptionSettings()
PHASES = reference_phases(DEFAULT_ELEMENTS, SETTINGS.reference_seed)


@pytest.fixture(scope="module")
def basis():
    return make_basis(SETTINGS)


def environments(atoms, basis):
    return Environments.join(list(stream_environments(Frames.from_ase(atoms), basis)))


def correlated(phase, temperature, rng):
    """Disorder of another kind than the references': neighbours move together, the cell swells."""
    atoms = phase.atoms.copy()
    widths = np.where(atoms.symbols == "Li", 0.15, 0.09) * np.sqrt(temperature / 300)
    waves = np.exp(-((atoms.get_all_distances(mic=True) / 2.5) ** 2)) @ rng.standard_normal((len(atoms), 3))
    waves /= waves.std()
    atoms.positions += (0.8 * waves + 0.6 * rng.standard_normal(waves.shape)) * widths[:, None]
    atoms.set_cell(atoms.cell.array * (1 + rng.uniform(-0.015, 0.015)), scale_atoms=True)
    return atoms


@pytest.mark.parametrize("phase", PHASES, ids=lambda p: p.atoms.get_chemical_formula())
def test_phases_at_300_k_are_recognised_by_every_species(phase, basis):
    rng = np.random.default_rng(7)
    found = environments([correlated(phase, 300, rng) for _ in range(3)], basis)
    for z in np.unique(found.central):
        own = found.phase[found.central == z] == basis.phases.index(phase.name)
        assert own.mean() > 0.9, (phase.name, z, own.mean())
        assert np.nanmean(found.margin[found.central == z]) > 0.5


def test_random_mixtures_resemble_nothing(basis):
    rng = np.random.default_rng(8)
    found = Environments.join([environments(random_mixture(DEFAULT_ELEMENTS, rng), basis) for _ in range(3)])
    assert (found.phase == NONE).mean() > 0.9


def test_electrolyte_and_products_lie_at_the_two_ends(basis):
    rng = np.random.default_rng(9)
    for phase in PHASES:
        found = environments(disordered(phase, 300, rng), basis)
        score = np.nanmean(found.product[found.central != 3]) if phase.name != "Li" else None
        if phase.role == "electrolyte":
            assert score < 0.2
        elif phase.role == "product":
            assert score > 0.8


def test_rotation_translation_and_permutation_change_nothing(basis):
    atoms = disordered(PHASES[-2], 300, np.random.default_rng(1))
    order = np.random.default_rng(2).permutation(len(atoms))
    moved = atoms[order]
    moved.rotate(40, (1, 2, 3), rotate_cell=True)
    moved.positions += [0.3, -11.0, 5.0]
    before, after = environments(atoms, basis), environments(moved, basis)
    assert np.allclose(before.projected[order], after.projected, atol=2e-4)
    assert np.array_equal(before.phase[order], after.phase)
    assert np.allclose(before.margin[order], after.margin, atol=5e-3)


def test_supercell_repeats_the_environments(basis):
    atoms = crystals.argyrodite()
    once, twice = environments(atoms, basis), environments(atoms * (1, 1, 2), basis)
    assert np.allclose(np.vstack([once.projected] * 2), twice.projected, atol=2e-4)


def test_the_chemistry_of_the_neighbours_is_seen(basis):
    """What a compression over species would lose: Li tells Li2S from Li2Se on the same lattice."""
    sulfide = crystals.REFERENCE_PHASES["Li2S"].build(5.8) * (2, 2, 2)
    selenide = crystals.REFERENCE_PHASES["Li2Se"].build(5.8) * (2, 2, 2)
    found = [environments(a, basis) for a in (sulfide, selenide)]
    lithium = [f.phase[f.central == 3] for f in found]
    assert set(lithium[0]) == {basis.phases.index("Li2S")}
    assert set(lithium[1]) == {basis.phases.index("Li2Se")}


def test_the_projection_keeps_the_variance_of_what_it_was_not_fitted_on(basis):
    rng = np.random.default_rng(11)
    check = VarianceCheck.empty()
    for _ in range(2):
        cell = Frames.from_ase(joined(PHASES[6].atoms, PHASES[7].atoms, rng))
        list(stream_environments(cell, basis, check))
        list(stream_environments(Frames.from_ase(disordered(PHASES[7], 300, rng)), basis, check))
    assert min(check.explained(basis).values()) > 0.85


def test_merging_checks_is_the_check_of_all(basis):
    rng = np.random.default_rng(12)
    cells = [Frames.from_ase(disordered(PHASES[7], 300, rng)) for _ in range(2)]
    one, first, second = VarianceCheck.empty(), VarianceCheck.empty(), VarianceCheck.empty()
    for cell in cells:
        list(stream_environments(cell, basis, one))
    list(stream_environments(cells[0], basis, first))
    list(stream_environments(cells[1], basis, second))
    first.merge(second)
    assert first.explained(basis) == pytest.approx(one.explained(basis))


@pytest.mark.parametrize("chunk", [1, 30, 10_000])
def test_the_size_of_a_chunk_changes_nothing_but_memory(basis, chunk):
    small = replace(basis, settings=replace(SETTINGS, chunk=chunk))
    frames = Frames.from_ase([crystals.argyrodite()] * 2)
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
    assert first.phases == ("Li2S", "Li")
    for z in (3, 16):
        assert np.array_equal(first.species[z].components, second.species[z].components)
        assert np.array_equal(first.species[z].points, second.species[z].points)
    other = DescriptionSettings(elements=("S", "Li"), n_components=8, reference_seed=1)
    assert basis_key(other, reference_phases(other.elements, 1)) != first.key


def test_elements_outside_the_basis_are_refused(basis):
    frames = Frames.from_ase(crystals.REFERENCE_PHASES["LiCl"].build())
    object.__setattr__(frames, "numbers", np.where(frames.numbers == 17, atomic_numbers["Br"], 3))
    with pytest.raises(ValueError, match=r"hold \['Br'\].*DescriptionSettings.elements"):
        list(stream_environments(frames, basis))


def test_a_basis_without_phases_answers_none():
    settings = DescriptionSettings(elements=("C", "H"), n_components=4)
    small = make_basis(settings)
    assert small.phases == ()
    cell = random_mixture(("C", "H"), np.random.default_rng(0), n_atoms=20)
    found = environments(cell, small)
    assert set(found.phase) == {NONE}
    assert np.isnan(found.margin).all()
    assert np.isnan(found.product).all()


def test_unknown_elements_are_refused():
    with pytest.raises(ValueError, match="no chemical symbols"):
        make_basis(DescriptionSettings(elements=("Li", "Xx")))


def test_heights_lie_between_zero_and_one_with_and_without_walls():
    atoms = crystals.lithium() * (1, 1, 4)
    atoms.positions[:, 2] -= 20.0
    assert heights(Frames.from_ase(atoms)).min() >= 0
    assert heights(Frames.from_ase(atoms)).max() < 1
    atoms.pbc = (True, True, False)
    assert heights(Frames.from_ase(atoms)).max() == 1


def test_settings_refuse_unknown_keys_and_bad_values():
    with pytest.raises(ValueError, match="rcut is not a setting of DescriptionSettings"):
        DescriptionSettings.from_dict({"rcut": 5})
    with pytest.raises(ValueError, match="every_fs is -1"):
        DescriptionSettings.from_dict({"every_fs": -1})
    settings = DescriptionSettings.from_dict({"elements": ["S", "Li"]})
    assert DescriptionSettings.from_dict(settings.to_dict()) == settings
