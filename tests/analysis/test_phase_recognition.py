"""Phases are recognised by environments of another kind of disorder than the references were made with.

``data/dynamics_300K.npz`` holds snapshots of dynamics that had nothing to do with the references: Langevin
dynamics at 300 K (2 fs, friction 0.02 / fs, 0.2 to 0.3 ps to equilibrate, snapshots 0.1 ps or more apart) of each
crystal, and of Li6PS5Cl with O, Se or F on a random share of its anion sites, from the ideal lattice at its
experimental constants, with the CHGNet potential (B. Deng et al., Nat. Mach. Intell. 5, 1031 (2023), version 0.3.0).
In them lithium of the electrolyte has left the ideal sites for others, 1 Angstrom away. The references are not fitted
to them, but the kinds of disorder that the references hold were chosen with these runs in view.
"""

from pathlib import Path

import numpy as np
import pytest
from ase import Atoms

from aiida_haml.analysis.environments.basis import make_basis, with_own_host
from aiida_haml.analysis.environments.stream import Environments
from aiida_haml.analysis.references.phases import CRYSTAL, reference_phases
from aiida_haml.analysis.settings import DEFAULT_ELEMENTS, DescriptionSettings
from aiida_haml.frames import Frames
from aiida_haml.structures import crystals
from tests.described import stream_environments
from tests.library import reference

DYNAMICS = np.load(Path(__file__).parent / "data" / "dynamics_300K.npz")
RUNS = sorted({name.rsplit(".", 1)[0] for name in DYNAMICS})
PHASES = [phase for phase in reference_phases(DEFAULT_ELEMENTS) if phase.form == CRYSTAL]
#: Of each species of each phase at 300 K.
AIM = 0.98


@pytest.fixture(scope="module")
def basis():
    return make_basis(DescriptionSettings())


def described(images, basis):
    return Environments.join([e for a in images for e in stream_environments(Frames.from_ase(a), basis)])


def run(name):
    numbers, cell = DYNAMICS[f"{name}.numbers"], DYNAMICS[f"{name}.cell"]
    return [Atoms(numbers, positions, cell=cell, pbc=True) for positions in DYNAMICS[f"{name}.positions"]]


def correlated(phase, temperature, rng):
    """Neighbours move together, and the cell swells or shrinks by up to 1.5 %."""
    atoms = phase.cells[0].copy()
    widths = np.where(atoms.symbols == "Li", 0.15, 0.09) * np.sqrt(temperature / 300)
    waves = np.exp(-((atoms.get_all_distances(mic=True) / 2.5) ** 2)) @ rng.standard_normal((len(atoms), 3))
    waves /= waves.std()
    atoms.positions += (0.8 * waves + 0.6 * rng.standard_normal(waves.shape)) * widths[:, None]
    atoms.set_cell(atoms.cell.array * (1 + rng.uniform(-0.015, 0.015)), scale_atoms=True)
    return atoms


def shares(found, phase):
    """Return the share of each species that is answered rightly."""
    return {int(z): float(np.mean(found.phase[found.central == z] == phase)) for z in np.unique(found.central)}


@pytest.mark.parametrize("name", [name for name in RUNS if "+" not in name])
def test_phases_are_recognised_in_dynamics(name, basis):
    own = shares(described(run(name), basis), basis.names.index(name))
    assert min(own.values()) >= AIM, own


@pytest.mark.parametrize("name", [name for name in RUNS if "+" in name])
def test_a_doped_electrolyte_is_recognised_beside_its_own_snapshot(name, basis):
    """As in a description, where the cell as built is among the references of its host; the other snapshots are new."""
    first, *others = run(name)
    found = described(others, with_own_host(basis, first, np.ones(len(first), dtype=bool)))
    phase = basis.names.index("Li6PS5Cl")
    assert (found.phase == phase).mean() >= AIM
    assert min(shares(found, phase).values()) >= 0.95  # a dopant has twenty atoms: one may be unlike all of them


@pytest.mark.parametrize(("temperature", "aim"), [(300, AIM), (600, 0.9)])
@pytest.mark.parametrize("phase", PHASES, ids=lambda p: p.name)
def test_phases_are_recognised_by_every_species(phase, temperature, aim, basis):
    rng = np.random.default_rng(7)
    count = 2 if len(phase.cells[0]) > 60 else 4
    found = described([correlated(phase, temperature, rng) for _ in range(count)], basis)
    own = shares(found, basis.names.index(phase.name))
    assert min(own.values()) >= aim, own


#: Elements of dopants and liquids beyond the default ones.
FURTHER = {"Br", "C", "H", "I", "N"}
EVERY = tuple(sorted(FURTHER.union(DEFAULT_ELEMENTS)))


@pytest.mark.parametrize(
    "phase", [p for p in reference_phases(EVERY) if FURTHER & set(p.cells[0].symbols) and p.form == CRYSTAL],
    ids=lambda p: p.name,
)  # fmt: skip
def test_phases_of_further_elements_are_recognised_among_all(phase):
    basis = make_basis(DescriptionSettings(elements=EVERY))
    rng = np.random.default_rng(7)
    own = shares(described([correlated(phase, 300, rng) for _ in range(3)], basis), basis.names.index(phase.name))
    assert min(own.values()) >= AIM, own


def test_sulfide_ions_of_the_argyrodite_are_not_those_of_lithium_sulfide(basis):
    """Both are bound to lithium alone, six and eight of it."""
    found = described(run("Li6PS5Cl"), basis)
    atoms = run("Li6PS5Cl")[0]
    distances = atoms.get_all_distances(mic=True)[:, atoms.symbols == "P"].min(axis=1)
    free = np.flatnonzero((atoms.symbols == "S") & (distances > 2.8))
    assert len(free) == 4
    assert set(found.phase[np.isin(found.atom, free)]) == {basis.names.index("Li6PS5Cl")}


def test_a_phase_under_another_lattice_constant_is_the_same_phase(basis):
    """Levels of theory differ by one or two percent in it."""
    for name in ("Li2S", "LiCl", "Li6PS5Cl"):
        own = crystals.argyrodite() if name == "Li6PS5Cl" else reference(name) * (2, 2, 2)
        for share in (0.985, 1.015):
            cell = own.copy()
            cell.set_cell(share * own.cell.array, scale_atoms=True)
            assert set(described([cell], basis).phase) == {basis.names.index(name)}


def test_snapshots_outside_the_fit_are_told_rightly(basis):
    for species in basis.species.values():
        answers = [species.modes.log_probabilities(rows).argmax(axis=1) for rows in species.calibration]
        assert np.mean([np.mean(found == p) for p, found in enumerate(answers) if len(found)]) > 0.95
    assert crystals.LITHIUM.name in basis.names
