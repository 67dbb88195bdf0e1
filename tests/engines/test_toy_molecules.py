"""ToyMolecules: forces and stress are derivatives, symmetry holds, molecules stay whole in dynamics."""

import itertools

import numpy as np
import pytest
from ase import Atoms, units
from ase.calculators.fd import calculate_numerical_forces, calculate_numerical_stress
from ase.md import Bussi, VelocityVerlet
from ase.optimize import FIRE

from aiida_haml.engines.toy_ions import BONDS as ION_BONDS
from aiida_haml.engines.toy_molecules import ATOM_ENERGIES, COVALENT, ELEMENTS, ToyMolecules
from aiida_haml.frames import maxwell_boltzmann
from aiida_haml.structures.candidates import build
from aiida_haml.structures.crystals import lithium
from aiida_haml.structures.liquid import TABLE, fragment_keys, molecule_key
from tests.molecules import molecule

SPECS = {
    "ether": {"liquid": {"solvents": {"DME": 1.0}, "salt": "LiFSI"}, "interface": {"layers": 4}},
    "carbonate": {"liquid": {"solvents": {"EC": 1.0, "DMC": 1.0}, "salt": "LiPF6"}, "interface": {"layers": 2}},
}


@pytest.fixture(scope="module")
def cells():
    return {name: build(spec)[0] for name, spec in SPECS.items()}


@pytest.fixture(params=list(SPECS))
def cell(cells, request):
    atoms = cells[request.param].copy()
    atoms.calc = ToyMolecules()
    return atoms


def all_elements(spacing=1.7, seed=2):
    """Return one periodic cell with every element, so dense that many pairs are between bond and no bond."""
    rng = np.random.default_rng(seed)
    grid = np.array(list(itertools.product(range(3), repeat=3))) * spacing
    symbols = rng.permutation(np.resize(ELEMENTS, 27))
    atoms = Atoms(symbols, grid + rng.uniform(-0.15, 0.15, grid.shape), cell=np.eye(3) * 3 * spacing + 0.2, pbc=True)
    atoms.calc = ToyMolecules()
    return atoms


@pytest.mark.parametrize(("spacing", "seed"), [(1.7, 2), (2.0, 3), (2.3, 4)])
def test_forces_are_minus_the_gradient(spacing, seed):
    atoms = all_elements(spacing, seed)
    forces = atoms.get_forces()
    scale = max(1.0, np.abs(forces).max())
    np.testing.assert_allclose(forces, calculate_numerical_forces(atoms, eps=1e-5), atol=2e-6 * scale)


def test_forces_and_stress_of_a_liquid_are_derivatives(cell):
    cell.rattle(0.05, seed=1)
    some = list(np.random.default_rng(0).integers(len(cell), size=5))
    np.testing.assert_allclose(
        cell.get_forces()[some], calculate_numerical_forces(cell, eps=1e-4, iatoms=some), atol=1e-5
    )
    np.testing.assert_allclose(cell.get_stress(), calculate_numerical_stress(cell, eps=1e-5), atol=1e-8)


def test_stress_counts_coordination_too():
    atoms = all_elements()
    stress = atoms.get_stress()
    np.testing.assert_allclose(stress, calculate_numerical_stress(atoms, eps=1e-6), atol=1e-7 * np.abs(stress).max())


def test_nothing_depends_on_place_turn_or_order():
    atoms = all_elements()
    energy, forces, stress = atoms.get_potential_energy(), atoms.get_forces(), atoms.get_stress(voigt=False)
    turned = atoms.copy()
    turned.calc = ToyMolecules()
    turned.translate([0.3, -4.0, 11.0])
    turned.rotate(37.0, (1, 2, 3), rotate_cell=True)
    turn = np.linalg.solve(atoms.cell.array, turned.cell.array)
    assert turned.get_potential_energy() == pytest.approx(energy, abs=1e-8)
    np.testing.assert_allclose(turned.get_forces(), forces @ turn, atol=1e-8)
    np.testing.assert_allclose(turned.get_stress(voigt=False), turn.T @ stress @ turn, atol=1e-9)
    order = np.random.default_rng(0).permutation(len(atoms))
    mixed = atoms[order]
    mixed.calc = ToyMolecules()
    assert mixed.get_potential_energy() == pytest.approx(energy, abs=1e-8)
    np.testing.assert_allclose(mixed.get_forces(), forces[order], atol=1e-8)
    np.testing.assert_allclose(forces.sum(axis=0), 0, atol=1e-8)


def test_equal_inputs_give_equal_bits(cell):
    again = cell.copy()
    again.calc = ToyMolecules()
    assert again.get_forces().tobytes() == cell.get_forces().tobytes()
    assert again.get_potential_energies().sum() == pytest.approx(cell.get_potential_energy())


def test_a_repeated_cell_has_the_same_energy_for_each_atom():
    small, large = lithium(), lithium().repeat((2, 3, 1))
    small.calc, large.calc = ToyMolecules(), ToyMolecules()
    assert large.get_potential_energy() == pytest.approx(6 * small.get_potential_energy())
    np.testing.assert_allclose(large.get_stress(), small.get_stress(), atol=1e-12)


def test_molecules_stay_whole_at_room_temperature(cell):
    keys = sorted(key for key, _ in fragment_keys(cell))
    cell.set_velocities(maxwell_boltzmann(cell.get_masses(), 300.0, 1) / units.fs)
    rng = np.random.default_rng(1)
    dynamics = Bussi(cell, timestep=0.5 * units.fs, temperature_K=300.0, taut=20 * units.fs, rng=rng)
    hottest = 0.0
    for _ in range(10):
        dynamics.run(60)
        hottest = max(hottest, cell.get_temperature())
        assert sorted(key for key, _ in fragment_keys(cell)) == keys
    assert hottest < 600
    assert cell.get_temperature() == pytest.approx(300, abs=80)


def test_energy_is_conserved_to_second_order_of_the_time_step(cells):
    start = cells["ether"].copy()
    start.calc = ToyMolecules()
    FIRE(start, logfile=None).run(fmax=0.5, steps=60)
    start.set_velocities(maxwell_boltzmann(start.get_masses(), 300.0, 2) / units.fs)
    spread = []
    for step in (0.5, 0.25):
        atoms = start.copy()
        atoms.calc = ToyMolecules()
        energies = []
        dynamics = VelocityVerlet(atoms, step * units.fs)
        dynamics.attach(lambda a=atoms, kept=energies: kept.append(a.get_total_energy()))
        dynamics.run(round(60 / step))
        spread.append(np.ptp(energies))
    assert spread[0] < 0.1  # of 7 eV of kinetic energy
    assert spread[0] / spread[1] == pytest.approx(4.0, rel=0.35)


@pytest.mark.parametrize("name", [n for n in TABLE if n != "Li"])
def test_free_molecules_are_minima_of_their_own_graph(name):
    atoms = molecule(name)
    key = molecule_key(atoms)
    atoms.calc = ToyMolecules()
    FIRE(atoms, logfile=None).run(fmax=0.05, steps=400)
    assert np.abs(atoms.get_forces()).max() < 0.2
    assert molecule_key(atoms) == key
    atomisation = atoms.get_potential_energy() - sum(ATOM_ENERGIES[s] for s in atoms.get_chemical_symbols())
    assert atomisation < -2.0 * (len(atoms) - 1)  # at least 2 eV a bond


@pytest.mark.parametrize(("centre", "valence", "length"), [("C", 4, 1.09), ("O", 2, 0.97), ("F", 1, 1.36)])
def test_valences_saturate(centre, valence, length):
    """Each neighbour up to the valence lowers the energy; the next one, at the same distance, raises it."""
    neighbour = "C" if centre == "F" else "H"
    directions = np.array([[1, 1, 1], [-1, -1, 1], [1, -1, -1], [-1, 1, -1], [0, 0, -1.7]]) / 3**0.5
    energies = []
    for n in range(valence + 2):
        atoms = Atoms(centre + neighbour * n, np.vstack([[0, 0, 0], directions[:n] * length]))
        atoms.calc = ToyMolecules()
        energies.append(atoms.get_potential_energy() - sum(ATOM_ENERGIES[s] for s in atoms.get_chemical_symbols()))
    steps = np.diff(energies)
    assert (steps[:valence] < -2.0).all()
    assert steps[valence] > 0


@pytest.mark.parametrize("pair", list(itertools.combinations_with_replacement(ELEMENTS, 2)))
def test_pairs_end_smoothly_are_walls_when_near_and_have_no_kinks(pair):
    calculator = ToyMolecules()
    r = np.linspace(0.02, 5.0, 4000)
    kind = np.full(len(r), len(ELEMENTS) * ELEMENTS.index(pair[0]) + ELEMENTS.index(pair[1]))
    energy, slope = calculator.pair(kind, r)
    assert abs(energy[-1]) < 1e-12
    assert abs(slope[-1]) < 1e-12
    np.testing.assert_allclose(np.gradient(energy, r)[5:-5], slope[5:-5], rtol=0.02, atol=0.05)
    assert energy[0] == energy.max() > 4
    bond = COVALENT.get(pair) or COVALENT.get(pair[::-1])
    ion = ION_BONDS.get(pair) or ION_BONDS.get(pair[::-1])
    if bond is not None:
        assert r[energy.argmin()] == pytest.approx(bond[1], abs=0.01)
        assert energy.min() == pytest.approx(-bond[0], rel=1e-3)
        beyond = energy[r > bond[1] * 1.45]
        assert beyond.max() > 0.05  # a wall to climb before a bond forms
    elif "Li" in pair and ion is not None:
        assert energy.min() == pytest.approx(-ion[0], rel=1e-2)
    else:
        assert energy.min() > -1e-3


def test_energy_is_bounded_however_atoms_are_crushed():
    rng = np.random.default_rng(5)
    for edge in (1.0, 2.0, 4.0):
        atoms = Atoms(np.resize(ELEMENTS, 20), rng.uniform(0, edge, (20, 3)), cell=[edge] * 3, pbc=False)
        atoms.calc = ToyMolecules()
        energy = atoms.get_potential_energy()
        assert np.isfinite(energy)
        # No atom has more than its valence of bonds of 5 eV without paying for it.
        assert energy > sum(ATOM_ENERGIES[s] for s in atoms.get_chemical_symbols()) - 20 * 6 * 5.0


def test_free_atoms_have_their_energy_and_no_force():
    for symbol, energy in ATOM_ENERGIES.items():
        for box in (None, [12.0] * 3):
            atom = Atoms(symbol, cell=box, pbc=box is not None)
            atom.calc = ToyMolecules()
            assert atom.get_potential_energy() == energy
            np.testing.assert_array_equal(atom.get_forces(), 0)


def test_what_it_does_not_know_is_refused():
    atoms = Atoms("LiNa", [[0, 0, 0], [3, 0, 0]])
    atoms.calc = ToyMolecules()
    with pytest.raises(ValueError, match="Na"):
        atoms.get_potential_energy()
    with pytest.raises(ValueError, match="cutoff"):
        ToyMolecules(cutoff=2.0)
