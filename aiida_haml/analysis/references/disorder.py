"""Disorder of the references: heat, strain, dopants, loose lithium."""

import numpy as np
from ase import Atoms
from ase.data import covalent_radii

from aiida_haml.analysis.references.phases import ELECTROLYTE, METAL, ReferencePhase
from aiida_haml.analysis.references.solutions import AMORPHOUS, SOLID_SOLUTION
from aiida_haml.arrays import BoolArray, FloatArray, IntArray
from aiida_haml.structures.doping.bonds import CORNER_BONDS
from aiida_haml.structures.geometry import PHOSPHORUS_BOND

LITHIUM, PHOSPHORUS = 3, 15

#: Root mean square thermal displacement along one axis at 300 K, Angstrom; other elements 0.10. Of the size
#: of diffraction results: B(Li) = 2 and B(S) = 0.9 A^2 in Li2S, B(Li) = 4-5 A^2 in lithium metal.
AMPLITUDES_300K = {"Li": 0.15, "P": 0.08}
METAL_AMPLITUDE_300K = 0.23
#: Anions that take each other's place in an electrolyte.
EXCHANGED = (("S", "O", "Se"), ("Cl", "F", "Br", "I"))
#: Largest share of a sublattice that is substituted, and largest displacement along one axis of lithium off
#: its sites (Angstrom) in the references of an electrolyte. In 0.9 ps of dynamics of Li6PS5Cl at 300 K with the
#: CHGNet potential (version 0.3.0), lithium that began on 24g was 1.0 A away, root mean square: it lives on 48h.
MAX_SUBSTITUTED = 0.6
MAX_LOOSE = 0.8
#: Largest static displacement along one axis of PS4 units as a whole (Angstrom) where lithium is loose, and how
#: much farther free anions go. In the same dynamics S and Cl were 0.4 A off their ideal sites, of which 0.2 A are
#: thermal; a small anion on the site of a large one, as F on that of Cl, was off by more.
MAX_SHIFT = 0.22
FREE_SHIFT = 2.0
#: Largest static displacement along one axis of a solid solution's lithium and anions, whose neighbours differ in size,
#: and what is added to the heat that amorphous cells hold already, Angstrom.
SOLUTION_SHIFT = {"Li": 0.25}, 0.15
AMORPHOUS_SHIFT = 0.08
#: Anions that lithium is drawn to in an electrolyte: a tetrahedron of them.
COORDINATION = 4
#: Atoms about lithium that act on it while it settles: all within some 5.5 Angstrom.
SURROUNDING = 48
#: Standard deviations of the strain of references: of the lengths, and of the shear.
STRAIN, SHEAR = 0.015, 0.005
#: No solid survives more displacement than this share of the nearest-neighbour distance, whatever the
#: temperature.
MELTING_RATIO = 0.10


def snapshot(phase: ReferencePhase, temperature: float, elements: tuple[str, ...], rng: np.random.Generator) -> Atoms:
    """Return one snapshot as the references are: of an electrolyte, doped and with mobile lithium as well.

    Parameters
    ----------
    phase : ReferencePhase
    temperature : float
        K.
    elements : tuple of str
        Dopants are taken from these.
    rng : numpy.random.Generator

    Notes
    -----
    Displacements are independent of each other. Environments from dynamics, whose displacements are correlated,
    are recognised as well (see ``tests/analysis/test_phase_recognition.py``); what has to be in the references
    is what moves the mean: the sites of lithium in an ion conductor, dopants, and the lattice constant.
    """
    atoms = phase.cells[int(rng.integers(len(phase.cells)))].copy()
    if phase.role == ELECTROLYTE:
        if rng.random() < 0.7:
            atoms = substituted(atoms, elements, rng)
        if rng.random() < 0.75:
            atoms = relaxed_at_random(atoms, rng)
    elif phase.form == SOLID_SOLUTION:
        lithium, others = SOLUTION_SHIFT
        largest = np.array([lithium.get(s, others) for s in atoms.get_chemical_symbols()])
        atoms.positions += rng.standard_normal((len(atoms), 3)) * rng.uniform(0, largest)[:, None]
    elif phase.form == AMORPHOUS:
        atoms.positions += rng.standard_normal((len(atoms), 3)) * rng.uniform(0, AMORPHOUS_SHIFT)
        return strained(atoms, rng)
    return strained(heated(atoms, temperature, phase.role == METAL, rng), rng)


def relaxed_at_random(atoms: Atoms, rng: np.random.Generator, moving: BoolArray | None = None) -> Atoms:
    """Return an electrolyte as it might have relaxed: units shifted and turned, lithium off its ideal sites.

    Parameters
    ----------
    atoms : Atoms
    rng : numpy.random.Generator
    moving : (N,) bool array, optional
        Atoms that may move; all where left out.
    """
    changed = loosened(unsettled(atoms, rng.uniform(0, MAX_SHIFT), rng), rng.uniform(0, MAX_LOOSE), rng, moving)
    if moving is not None:
        changed.positions[~moving] = atoms.positions[~moving]
    return changed


def substituted(atoms: Atoms, elements: tuple[str, ...], rng: np.random.Generator) -> Atoms:
    """Return a crystal with a share of its anions exchanged for others of their charge, drawn at random.

    Parameters
    ----------
    atoms : Atoms
    elements : tuple of str
        Dopants are taken from these.
    rng : numpy.random.Generator
    """
    doped: Atoms = atoms.copy()
    phosphorus = doped.positions[doped.symbols == "P"]
    for group in EXCHANGED:
        sites = np.flatnonzero(np.isin(doped.symbols, group))
        dopants = [e for e in group if e in elements]
        if not len(sites) or not dopants:
            continue
        dopant = str(rng.choice(dopants))
        for i in sites[rng.random(len(sites)) < rng.uniform(0, MAX_SUBSTITUTED)]:
            doped.symbols[i] = dopant
            if dopant in CORNER_BONDS and len(phosphorus):
                doped.positions[i] += _to_bond(doped.positions[i], phosphorus, doped.cell.array, CORNER_BONDS[dopant])
    return doped


def _to_bond(corner: FloatArray, phosphorus: FloatArray, cell: FloatArray, length: float) -> FloatArray:
    """Return the step that brings a corner to the bond length of its P; zero where it has none."""
    vectors = _nearest(corner[None], phosphorus, cell)[0]
    distances = np.linalg.norm(vectors, axis=1)
    nearest = int(distances.argmin())
    if distances[nearest] > PHOSPHORUS_BOND:
        return np.zeros(3)
    return np.asarray(vectors[nearest] * (1 - length / distances[nearest]))


def unsettled(atoms: Atoms, amplitude: float, rng: np.random.Generator) -> Atoms:
    """Return a crystal with its units of P shifted and turned as rigid bodies, and the other anions shifted.

    Parameters
    ----------
    atoms : Atoms
    amplitude : float
        Standard deviation of a shift along one axis, Angstrom, and of the way of a corner as its unit turns.
    rng : numpy.random.Generator
    """
    moved: Atoms = atoms.copy()
    moves = rng.standard_normal((len(moved), 3)) * FREE_SHIFT * amplitude
    moves[moved.numbers == LITHIUM] = 0.0
    centres = np.flatnonzero(moved.symbols == "P")
    vectors = _nearest(moved.positions[centres], moved.positions, moved.cell.array)
    for centre, to_others in zip(centres, vectors, strict=True):
        unit = np.flatnonzero((np.linalg.norm(to_others, axis=1) < PHOSPHORUS_BOND) & (moved.numbers != LITHIUM))
        turn = rng.standard_normal(3) * amplitude / CORNER_BONDS["S"]
        moves[unit] = moves[centre] / FREE_SHIFT + np.cross(turn, to_others[unit])
    moved.positions += moves
    return moved


def loosened(atoms: Atoms, amplitude: float, rng: np.random.Generator, free_to_move: BoolArray | None = None) -> Atoms:
    """Return a crystal with lithium displaced at random, drawn to the nearest anions and kept off its neighbours.

    Parameters
    ----------
    atoms : Atoms
    amplitude : float
        Standard deviation along one axis, Angstrom.
    rng : numpy.random.Generator
    free_to_move : (N,) bool array, optional
        Lithium that may move; all of it where left out.
    """
    loose: Atoms = atoms.copy()
    lithium = loose.numbers == LITHIUM
    moving = np.flatnonzero(lithium if free_to_move is None else lithium & free_to_move)
    loose.positions[moving] += rng.standard_normal((len(moving), 3)) * amplitude
    near, images = _surrounding(loose, moving)
    radii = covalent_radii[loose.numbers]
    apart = radii[moving, None] + radii[near]
    cations = np.isin(loose.symbols, ("Li", "P"))[near]
    to_phosphorus = _nearest(loose.positions, loose.positions[loose.numbers == PHOSPHORUS], loose.cell.array)
    free = (np.linalg.norm(to_phosphorus, axis=2).min(axis=1, initial=np.inf) > PHOSPHORUS_BOND)[near]
    # Anions that are not bound to P as well draw lithium harder and nearer.
    bond, pull = apart * np.where(free, 1.0, 1.05), np.where(free, 0.3, 0.1)
    rows = np.arange(len(moving))[:, None]
    for _ in range(20):
        vectors = loose.positions[near] + images - loose.positions[moving, None]
        distances = np.linalg.norm(vectors, axis=2)
        steps = -0.5 * np.clip(0.95 * apart - distances, 0, None)
        nearest = np.argpartition(np.where(cations, np.inf, distances), COORDINATION - 1, axis=1)[:, :COORDINATION]
        drawn = rows, nearest
        steps[drawn] += pull[drawn] * np.clip(distances[drawn] - bond[drawn], 0, 1)
        loose.positions[moving] += np.einsum("ij,ijk->ik", steps / np.maximum(distances, 1e-9), vectors)
    return loose


def _surrounding(atoms: Atoms, centres: IntArray) -> tuple[IntArray, FloatArray]:
    """Return the (M, K) atoms nearest to each centre, and the (M, K, 3) cell vectors that take each to its image."""
    vectors = _nearest(atoms.positions[centres], atoms.positions, atoms.cell.array)
    distances = np.linalg.norm(vectors, axis=2)
    distances[np.arange(len(centres)), centres] = np.inf
    count = min(SURROUNDING, len(atoms) - 1)
    near = np.argpartition(distances, count - 1, axis=1)[:, :count]
    images = vectors[np.arange(len(centres))[:, None], near] - atoms.positions[near] + atoms.positions[centres, None]
    return near, images


def _nearest(first: FloatArray, second: FloatArray, cell: FloatArray) -> FloatArray:
    """Return (M, N, 3) vectors to the nearest images, exact in cells that are not too oblique."""
    scaled = (second[None] - first[:, None]) @ np.linalg.inv(cell)
    return np.asarray((scaled - np.round(scaled)) @ cell)


def heated(atoms: Atoms, temperature: float, is_metal: bool | BoolArray, rng: np.random.Generator) -> Atoms:
    """Return atoms with Einstein displacements.

    Parameters
    ----------
    atoms : Atoms
    temperature : float
        K; squared displacements grow in proportion.
    is_metal : bool or (N,) bool array
        Which atoms are a metal's.
    rng : numpy.random.Generator
    """
    hot: Atoms = atoms.copy()
    metal = np.broadcast_to(is_metal, len(hot))
    widths = np.array([AMPLITUDES_300K.get(s, 0.10) for s in hot.get_chemical_symbols()])
    widths = np.where(metal, METAL_AMPLITUDE_300K, widths) * np.sqrt(temperature / 300)
    widths = np.where(metal, np.minimum(widths, MELTING_RATIO * 3.0), widths)
    hot.positions += rng.standard_normal((len(hot), 3)) * widths[:, None]
    return hot


def strained(atoms: Atoms, rng: np.random.Generator) -> Atoms:
    """Return a cell under a small random strain.

    It stands for thermal expansion, for layers that are strained, and for the lattice constants of different levels of
    theory.
    """
    deformed: Atoms = atoms.copy()
    noise = rng.standard_normal((3, 3)) * np.where(np.eye(3, dtype=bool), STRAIN, SHEAR)
    deformed.set_cell(deformed.cell.array @ (np.eye(3) + (noise + noise.T) / 2), scale_atoms=True)
    return deformed
