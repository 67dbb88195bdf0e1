"""Cells between the phases, and cells that are none of them."""

from collections.abc import Iterator, Sequence

import numpy as np
from ase import Atoms
from ase.build import make_supercell
from ase.data import atomic_numbers, covalent_radii
from ase.geometry import get_distances

from aiida_haml.analysis.references.disorder import heated
from aiida_haml.analysis.references.phases import CRYSTAL, ELECTROLYTE, METAL, PRODUCT, ReferencePhase

#: Temperature that melts a reference, K.
MOLTEN = 3000.0


def outsiders(
    elements: tuple[str, ...], phases: Sequence[ReferencePhase], seed: int, count: int = 16
) -> Iterator[Atoms]:
    """Yield cells that are none of the phases: random mixtures, and crystals with lithium and anions mixed up.

    Parameters
    ----------
    elements : tuple of str
    phases : sequence of ReferencePhase
    seed : int
    count : int
        Random mixtures.
    """
    rng = np.random.default_rng([seed, 2])
    for phase in phases:
        if phase.form == CRYSTAL:
            yield _shuffled(phase.cells[0], elements, rng)
    for _ in range(count):
        yield random_mixture(elements, rng)


def mixtures(
    elements: tuple[str, ...], phases: Sequence[ReferencePhase], seed: int, count: int = 12
) -> Iterator[Atoms]:
    """Yield disordered cells between the phases: melts, solid solutions, contacts and random mixtures.

    Parameters
    ----------
    elements : tuple of str
    phases : sequence of ReferencePhase
    seed : int
    count : int
        Random mixtures.
    """
    rng = np.random.default_rng([seed, 1])
    for phase in phases:
        if phase.form == CRYSTAL:
            yield heated(phase.cells[0], MOLTEN, phase.role == METAL, rng)
            yield _shuffled(phase.cells[0], elements, rng)
    for first, second in _contacts(phases):
        yield joined(first.cells[0], second.cells[0], rng)
    for _ in range(count):
        yield random_mixture(elements, rng)


def _contacts(phases: Sequence[ReferencePhase]) -> Iterator[tuple[ReferencePhase, ReferencePhase]]:
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
    """Return a crystal of which a good part of the sites, of lithium or not, takes any element, all displaced."""
    mixed: Atoms = atoms.copy()
    sites = rng.choice(len(mixed), round(rng.uniform(0.35, 0.6) * len(mixed)), replace=False)
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
