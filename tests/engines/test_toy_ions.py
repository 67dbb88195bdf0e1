"""ToyIons: forces and stress are derivatives, symmetry holds, dynamics stay in bounds."""

import itertools

import numpy as np
import pytest
from ase import Atoms, units
from ase.calculators.fd import calculate_numerical_forces, calculate_numerical_stress
from ase.md import Bussi, VelocityVerlet

from aiida_haml.engines.toy_ions import ATOM_ENERGIES, BONDS, ELEMENTS, ToyIons
from aiida_haml.frames import maxwell_boltzmann
from aiida_haml.structures.candidates import build
from aiida_haml.structures.crystals import lithium
from aiida_haml.structures.geometry import count_intact_tetrahedra, pairs_within

ORDERED = {"lithium": "24g", "exchange": 0}
PRISTINE = {"host": ORDERED, "interface": {"layers": 2}}
DOPED = {
    "host": ORDERED,
    "doping": {"dopant": "O", "site": "16e", "fraction": 0.25},
    "interface": {"layers": 1},
}


def rattled(spec=DOPED, amplitude=0.08):
    atoms = build(spec)[0]
    atoms.rattle(amplitude, seed=4)
    atoms.calc = ToyIons()
    return atoms


def all_elements():
    """Return one periodic cell with every element, dense enough that each meets each."""
    rng = np.random.default_rng(2)
    grid = np.array(list(itertools.product(range(3), repeat=3))) * 2.6
    symbols = np.resize(ELEMENTS, 27)
    atoms = Atoms(symbols, grid + rng.uniform(-0.2, 0.2, grid.shape), cell=np.eye(3) * 7.8 + 0.3, pbc=True)
    atoms.calc = ToyIons()
    return atoms


def test_forces_are_minus_the_gradient():
    atoms = all_elements()
    np.testing.assert_allclose(atoms.get_forces(), calculate_numerical_forces(atoms, eps=1e-4), atol=2e-6)


def test_stress_is_the_strain_derivative():
    atoms = all_elements()
    np.testing.assert_allclose(atoms.get_stress(), calculate_numerical_stress(atoms, eps=1e-5), atol=1e-8)
    interface = rattled()
    np.testing.assert_allclose(interface.get_stress(), calculate_numerical_stress(interface, eps=1e-5), atol=1e-8)


def test_nothing_depends_on_place_turn_or_order():
    atoms = rattled()
    energy, forces, stress = atoms.get_potential_energy(), atoms.get_forces(), atoms.get_stress(voigt=False)
    moved = atoms.copy()
    moved.calc = ToyIons()
    moved.translate([0.3, -4.0, 11.0])
    assert moved.get_potential_energy() == pytest.approx(energy, abs=1e-9)
    np.testing.assert_allclose(moved.get_forces(), forces, atol=1e-9)

    turned = atoms.copy()
    turned.calc = ToyIons()
    turned.rotate(37.0, (1, 2, 3), rotate_cell=True)
    turn = np.linalg.solve(atoms.cell.array, turned.cell.array)
    assert turned.get_potential_energy() == pytest.approx(energy, abs=1e-9)
    np.testing.assert_allclose(turned.get_forces(), forces @ turn, atol=1e-9)
    np.testing.assert_allclose(turned.get_stress(voigt=False), turn.T @ stress @ turn, atol=1e-10)

    order = np.random.default_rng(0).permutation(len(atoms))
    mixed = atoms[order]
    mixed.calc = ToyIons()
    assert mixed.get_potential_energy() == pytest.approx(energy, abs=1e-9)
    np.testing.assert_allclose(mixed.get_forces(), forces[order], atol=1e-9)
    np.testing.assert_allclose(forces.sum(axis=0), 0, atol=1e-9)


def test_a_repeated_cell_has_the_same_energy_for_each_atom():
    # The cell is thinner than the cutoff, so atoms meet their own images.
    small, large = lithium(), lithium().repeat((2, 3, 1))
    small.calc, large.calc = ToyIons(), ToyIons()
    assert large.get_potential_energy() == pytest.approx(6 * small.get_potential_energy())
    np.testing.assert_allclose(large.get_stress(), small.get_stress(), atol=1e-12)
    assert small.get_potential_energies().sum() == pytest.approx(small.get_potential_energy())


@pytest.mark.parametrize("pair", list(itertools.combinations_with_replacement(ELEMENTS, 2)))
def test_pairs_end_smoothly_and_are_walls_when_near(pair):
    calculator = ToyIons()
    kind = np.full(400, 7 * ELEMENTS.index(pair[0]) + ELEMENTS.index(pair[1]))
    r = np.linspace(0.01, 5.0, 400)
    energy, slope = calculator.pair(kind, r)
    assert abs(energy[-1]) < 1e-12
    assert abs(slope[-1]) < 1e-12
    assert energy[0] == energy.max() > 10
    bond = BONDS.get(pair) or BONDS.get(pair[::-1])
    if bond is None:
        assert energy.min() > -1e-3  # repels wherever it acts
    else:
        depth, distance, _ = bond
        assert r[energy.argmin()] == pytest.approx(distance, abs=0.15)
        assert energy.min() == pytest.approx(-depth, rel=1e-2)


def test_free_atoms_have_their_energy_and_no_force():
    for symbol, energy in ATOM_ENERGIES.items():
        for box in (None, [12.0] * 3):
            atom = Atoms(symbol, cell=box, pbc=box is not None)
            atom.calc = ToyIons()
            assert atom.get_potential_energy() == energy
            np.testing.assert_array_equal(atom.get_forces(), 0)


def test_unknown_elements_are_refused():
    atoms = Atoms("LiNa", [[0, 0, 0], [3, 0, 0]])
    atoms.calc = ToyIons()
    with pytest.raises(ValueError, match="Na"):
        atoms.get_potential_energy()


def test_crossing_the_cutoff_changes_energy_and_force_continuously():
    atoms = Atoms("LiS", [[0, 0, 0], [0, 0, 5.0]])
    atoms.calc = ToyIons()
    free = ATOM_ENERGIES["Li"] + ATOM_ENERGIES["S"]
    for distance in (4.999, 5.0, 5.001):
        atoms.positions[1, 2] = distance
        assert atoms.get_potential_energy() - free == pytest.approx(0, abs=1e-6)
        assert np.abs(atoms.get_forces()).max() < 1e-3


def with_velocities(spec, temperature):
    atoms = build(spec)[0]
    atoms.calc = ToyIons()
    atoms.set_velocities(maxwell_boltzmann(atoms.get_masses(), temperature, seed=1) / units.fs)
    return atoms


@pytest.mark.parametrize("spec", [PRISTINE, DOPED])
def test_thermostatted_interface_stays_in_bounds(spec):
    atoms = with_velocities(spec, 300)
    dynamics = Bussi(atoms, 1.0 * units.fs, 300, taut=20 * units.fs, rng=np.random.RandomState(0))
    temperatures = []
    for _ in range(100):
        dynamics.run(2)
        temperatures.append(atoms.get_temperature())
    assert max(temperatures) < 700  # the reaction heats the cell; the thermostat takes it away
    assert 200 < np.mean(temperatures) < 500
    assert pairs_within(atoms, 3.0).distances.min() > 1.2
    assert count_intact_tetrahedra(atoms) == 4


def test_energy_is_conserved_and_errors_fall_with_the_step_squared():
    spreads = []
    for step in (1.0, 0.5):
        atoms = with_velocities(PRISTINE, 300)
        dynamics = VelocityVerlet(atoms, step * units.fs)
        totals = []
        for _ in range(50):
            dynamics.run(round(2 / step))
            totals.append(atoms.get_total_energy())
        spreads.append(np.ptp(totals))
    assert spreads[0] < 0.02  # eV in 68 atoms
    assert spreads[1] < 0.4 * spreads[0]


def test_the_same_atoms_give_the_same_bits():
    first, second = rattled(), rattled()
    assert first.get_forces().tobytes() == second.get_forces().tobytes()
    assert first.get_potential_energy() == second.get_potential_energy()
