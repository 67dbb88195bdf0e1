"""Reference phases and the disordered environments between them.

The phases give names to environments; the mixtures only span what lies between the phases, so that a
projection fitted here also carries environments that no phase resembles.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from ase import Atoms
from ase.build import make_supercell
from ase.data import atomic_numbers, covalent_radii
from ase.geometry import get_distances
from numpy.typing import NDArray

from aiida_haml.structures import crystals
from aiida_haml.structures.host import host_settings, order, parent, site_counts

FloatArray = NDArray[np.float64]

LITHIUM, PHOSPHORUS = 3, 15

METAL, ELECTROLYTE, PRODUCT = "metal", "electrolyte", "product"

#: Root mean square thermal displacement along one axis at 300 K, Angstrom; other elements 0.10. Of the size
#: of diffraction results: B(Li) = 2 and B(S) = 0.9 A^2 in Li2S, B(Li) = 4-5 A^2 in lithium metal.
AMPLITUDES_300K = {"Li": 0.15, "P": 0.08}
METAL_AMPLITUDE_300K = 0.23
#: Anions that take each other's place in an electrolyte.
EXCHANGED = (("S", "O", "Se"), ("Cl", "F", "Br", "I"))
#: Bonds of phosphorus in PS4, PO4 and PSe4 units, Angstrom; a corner that is substituted moves along its bond.
CORNER_BONDS = {"S": 2.02, "O": 1.54, "Se": 2.20}
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
#: Anions that lithium is drawn to in an electrolyte: a tetrahedron of them.
COORDINATION = 4
#: Standard deviations of the strain of references: of the lengths, and of the shear.
STRAIN, SHEAR = 0.015, 0.005
#: No solid survives more displacement than this share of the nearest-neighbour distance, whatever the
#: temperature.
MELTING_RATIO = 0.10


@dataclass(frozen=True, eq=False)
class ReferencePhase:
    """A crystal that environments are compared with.

    Attributes
    ----------
    name : str
        What it is called in results.
    role : str
        `METAL`, `ELECTROLYTE` or `PRODUCT`.
    atoms : Atoms
        A cell of some 50 to 200 atoms.
    """

    name: str
    role: str
    atoms: Atoms


def _about(atoms: Atoms, length: float = 9.5) -> Atoms:
    """Repeat a cell until its vectors are about `length` Angstrom long."""
    repeats = np.maximum(np.rint(length / atoms.cell.lengths()).astype(int), 1)
    return make_supercell(atoms, np.diag(repeats))


def reference_phases(elements: tuple[str, ...], host: str = "") -> list[ReferencePhase]:
    """Return the phases that an element set can form; those that need another element are left out.

    Parameters
    ----------
    elements : tuple of str
    host : str
        The electrolyte as `aiida_haml.structures.host` takes it, in JSON; the hosts known by name if empty.

    Raises
    ------
    ValueError
        If the host has the name of another reference phase.
    """
    cells = {name: (_role(name), atoms) for name, atoms in crystals.reference_phases().items()}
    if host:
        cells = {name: cell for name, cell in cells.items() if cell[0] != ELECTROLYTE}
        settings = host_settings(json.loads(host))
        name, sites = settings["name"], parent(settings)
        atoms, _ = order(sites, site_counts(sites))
        if name in cells:
            raise ValueError(f"The host is called {name}, as a reference phase is; give it another name.")
        cells[name] = (ELECTROLYTE, atoms)
    fitting = {n: cell for n, cell in cells.items() if set(cell[1].get_chemical_symbols()) <= set(elements)}
    return [ReferencePhase(name, role, _about(atoms)) for name, (role, atoms) in fitting.items()]


def _role(name: str) -> str:
    if name in crystals.HOSTS:
        return ELECTROLYTE
    return METAL if name == crystals.LITHIUM.name else PRODUCT


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
    are recognised as well (see ``tests/analysis/test_phase_recognition.py``); what has to be in the references is
    what moves the mean: the sites of lithium in an ion conductor, dopants, and the lattice constant.
    """
    if phase.role == ELECTROLYTE:
        changed = phase.atoms.copy()
        if rng.random() < 0.7:
            changed = substituted(changed, elements, rng)
        if rng.random() < 0.75:
            shifted = unsettled(changed, rng.uniform(0, MAX_SHIFT), rng)
            changed = loosened(shifted, rng.uniform(0, MAX_LOOSE), rng)
        phase = ReferencePhase(phase.name, phase.role, changed)
    return disordered(phase, temperature, rng)


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
    if distances[nearest] > 2.5:
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
        unit = np.flatnonzero((np.linalg.norm(to_others, axis=1) < 2.6) & (moved.numbers != LITHIUM))
        turn = rng.standard_normal(3) * amplitude / CORNER_BONDS["S"]
        moves[unit] = moves[centre] / FREE_SHIFT + np.cross(turn, to_others[unit])
    moved.positions += moves
    return moved


def loosened(atoms: Atoms, amplitude: float, rng: np.random.Generator) -> Atoms:
    """Return a crystal with lithium displaced at random, drawn to the nearest anions and kept off its neighbours.

    Parameters
    ----------
    atoms : Atoms
    amplitude : float
        Standard deviation along one axis, Angstrom.
    rng : numpy.random.Generator
    """
    loose: Atoms = atoms.copy()
    moving = np.flatnonzero(loose.symbols == "Li")
    loose.positions[moving] += rng.standard_normal((len(moving), 3)) * amplitude
    radii = covalent_radii[loose.numbers]
    wanted = 0.95 * (radii[moving, None] + radii[None, :])
    cations = np.isin(loose.symbols, ("Li", "P"))
    to_phosphorus = _nearest(loose.positions, loose.positions[loose.numbers == PHOSPHORUS], loose.cell.array)
    free = np.linalg.norm(to_phosphorus, axis=2).min(axis=1, initial=np.inf) > 2.6
    # Anions that are not bound to P as well draw lithium harder and nearer.
    bond = (radii[moving, None] + radii[None, :]) * np.where(free, 1.0, 1.05)
    pull = np.where(free, 0.3, 0.1)
    rows = np.arange(len(moving))[:, None]
    for _ in range(20):
        vectors = _nearest(loose.positions[moving], loose.positions, loose.cell.array)
        distances = np.sqrt((vectors**2).sum(axis=2))
        distances[np.arange(len(moving)), moving] = np.inf
        steps = -0.5 * np.clip(wanted - distances, 0, None)
        nearest = np.argpartition(np.where(cations, np.inf, distances), COORDINATION - 1, axis=1)[:, :COORDINATION]
        steps[rows, nearest] += pull[nearest] * np.clip(distances[rows, nearest] - bond[rows, nearest], 0, 1)
        loose.positions[moving] += np.einsum("ij,ijk->ik", steps / np.maximum(distances, 1e-9), vectors)
    return loose


def _nearest(first: FloatArray, second: FloatArray, cell: FloatArray) -> FloatArray:
    """Return (M, N, 3) vectors to the nearest images, exact in cells that are not too oblique."""
    scaled = (second[None] - first[:, None]) @ np.linalg.inv(cell)
    return np.asarray((scaled - np.round(scaled)) @ cell)


def disordered(phase: ReferencePhase, temperature: float, rng: np.random.Generator) -> Atoms:
    """Return one thermally disordered snapshot: Einstein displacements and a small random strain.

    Parameters
    ----------
    phase : ReferencePhase
    temperature : float
        K; squared displacements grow in proportion.
    rng : numpy.random.Generator

    Notes
    -----
    The strain stands for thermal expansion, for layers that are strained, and for the lattice constants of
    different levels of theory.
    """
    atoms: Atoms = phase.atoms.copy()
    amplitudes = AMPLITUDES_300K | ({"Li": METAL_AMPLITUDE_300K} if phase.role == METAL else {})
    widths = np.array([amplitudes.get(s, 0.10) for s in atoms.get_chemical_symbols()]) * np.sqrt(temperature / 300)
    if phase.role == METAL:
        widths = np.minimum(widths, MELTING_RATIO * 3.0)
    atoms.positions += rng.standard_normal((len(atoms), 3)) * widths[:, None]
    noise = rng.standard_normal((3, 3)) * np.where(np.eye(3, dtype=bool), STRAIN, SHEAR)
    atoms.set_cell(atoms.cell.array @ (np.eye(3) + (noise + noise.T) / 2), scale_atoms=True)
    return atoms


# -- what lies between the phases ------------------------------------------------------------------------


def strangers(elements: tuple[str, ...], phases: list[ReferencePhase], seed: int, count: int = 12) -> Iterator[Atoms]:
    """Yield cells that are none of the phases: random mixtures, heavy solid solutions, molten products.

    Parameters
    ----------
    elements : tuple of str
    phases : list of ReferencePhase
    seed : int
    count : int
        Random mixtures.
    """
    rng = np.random.default_rng([seed, 2])
    for phase in phases:
        yield _shuffled(phase.atoms, elements, rng)
        if phase.role == PRODUCT:
            yield disordered(phase, 3000.0, rng)
    for _ in range(count):
        yield random_mixture(elements, rng)


def mixtures(elements: tuple[str, ...], phases: list[ReferencePhase], seed: int, count: int = 12) -> Iterator[Atoms]:
    """Yield disordered cells between the phases: melts, solid solutions, contacts and random mixtures.

    Parameters
    ----------
    elements : tuple of str
    phases : list of ReferencePhase
    seed : int
    count : int
        Random mixtures.
    """
    rng = np.random.default_rng([seed, 1])
    for phase in phases:
        yield disordered(phase, 3000.0, rng)
        yield _shuffled(phase.atoms, elements, rng)
    for first, second in _contacts(phases):
        yield joined(first.atoms, second.atoms, rng)
    for _ in range(count):
        yield random_mixture(elements, rng)


def _contacts(phases: list[ReferencePhase]) -> Iterator[tuple[ReferencePhase, ReferencePhase]]:
    """Yield what meets in a cell: the metal with everything, the electrolyte with the products."""
    yield from ((a, b) for a in phases for b in phases if a.role == METAL and b.role != METAL)
    hosts = [p for p in phases if p.role == ELECTROLYTE][:1]
    yield from ((a, b) for a in hosts for b in phases if b.role == PRODUCT)


def joined(first: Atoms, second: Atoms, rng: np.random.Generator) -> Atoms:
    """Return a cell of which one crystal fills the lower half and another one the upper half, both displaced.

    Atoms of the second that would overlap with the first are left out.
    """
    cell = second.cell
    length = np.linalg.norm(first.cell.array, axis=1).max()
    tiled = make_supercell(second, np.diag(np.ceil(1.5 * length / cell.lengths()).astype(int)))
    tiled.positions += rng.random(3) @ cell.array - 0.25 * length
    place = first.cell.scaled_positions(tiled.positions)
    upper = tiled[np.all((place >= 0) & (place < 1), axis=1) & (place[:, 2] >= 0.5)]
    lower = first[first.get_scaled_positions()[:, 2] < 0.5]
    both = lower + upper
    radii = covalent_radii[both.numbers]
    distances = get_distances(both.positions, cell=both.cell, pbc=True)[1] + 10 * np.eye(len(both))
    close = np.triu(distances < 0.8 * (radii[:, None] + radii[None, :])).any(axis=0)
    both = both[~close]
    both.positions += rng.standard_normal((len(both), 3)) * 0.15
    return both


def _shuffled(atoms: Atoms, elements: tuple[str, ...], rng: np.random.Generator) -> Atoms:
    """Return a solid solution: every site but a part keeps its element, the part takes any, all displaced."""
    mixed: Atoms = atoms.copy()
    sites = rng.choice(len(mixed), round(rng.uniform(0.1, 0.5) * len(mixed)), replace=False)
    mixed.symbols[sites] = rng.choice(elements, len(sites))
    mixed.positions += rng.standard_normal((len(mixed), 3)) * 0.2
    return mixed


def random_mixture(elements: tuple[str, ...], rng: np.random.Generator, n_atoms: int = 70) -> Atoms:
    """Return a cell of random atoms pushed apart until pairs are near the sum of their covalent radii.

    Parameters
    ----------
    elements : tuple of str
        Lithium, if present, takes 30 to 80 % of the atoms; the rest is drawn evenly.
    rng : numpy.random.Generator
    n_atoms : int

    Returns
    -------
    Atoms
        Number density between 0.045 and 0.08 atoms / Angstrom^3.
    """
    lithium = round(rng.uniform(0.3, 0.8) * n_atoms) if "Li" in elements else 0
    others = [e for e in elements if e != "Li"] or ["Li"]
    symbols = ["Li"] * lithium + list(rng.choice(others, n_atoms - lithium))
    length = (n_atoms / rng.uniform(0.045, 0.08)) ** (1 / 3)
    positions = rng.random((n_atoms, 3)) * length
    radii = np.array([covalent_radii[atomic_numbers[s]] for s in symbols])
    wanted = 0.95 * (radii[:, None] + radii[None, :])
    for _ in range(60):
        vectors = positions[None] - positions[:, None]
        vectors -= length * np.round(vectors / length)
        distances = np.sqrt((vectors**2).sum(axis=2))
        np.fill_diagonal(distances, np.inf)
        overlap = np.clip(wanted - distances, 0, None) / np.maximum(distances, 1e-9)
        positions -= 0.25 * np.einsum("ij,ijk->ik", overlap, vectors)
    return Atoms(symbols, positions, cell=[length] * 3, pbc=True)
