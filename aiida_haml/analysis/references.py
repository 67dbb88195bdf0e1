"""Reference phases and the disordered environments between them.

The phases give names to environments; the mixtures only span what lies between the phases, so that a
projection fitted here also carries environments that no phase resembles.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from ase import Atoms
from ase.build import make_supercell
from ase.data import atomic_numbers, covalent_radii
from ase.geometry import get_distances

from aiida_haml.structures import crystals
from aiida_haml.structures.doping import MECHANISMS, Doping, dope

METAL, ELECTROLYTE, PRODUCT = "metal", "electrolyte", "product"

#: Root mean square thermal displacement along one axis at 300 K, Angstrom; other elements 0.10. Of the size
#: of diffraction results: B(Li) = 2 and B(S) = 0.9 A^2 in Li2S, B(Li) = 4-5 A^2 in lithium metal.
AMPLITUDES_300K = {"Li": 0.15, "P": 0.08}
METAL_AMPLITUDE_300K = 0.23
#: No solid survives more displacement than this share of the nearest-neighbour distance, whatever the
#: temperature.
MELTING_RATIO = 0.10


@dataclass(frozen=True, eq=False)
class ReferencePhase:
    """A crystal that environments are compared with.

    Attributes
    ----------
    name : str
        What it is called in results; several crystals may share a name (the electrolyte and its dopings).
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


def _role(name: str) -> str:
    if name in crystals.HOSTS:
        return ELECTROLYTE
    return METAL if name == crystals.LITHIUM.name else PRODUCT


def _doped_hosts(seed: int) -> Iterator[tuple[str, Atoms]]:
    for name in crystals.HOSTS:
        for dopant, sites in MECHANISMS.items():
            for site in sites:
                share = 0.25 if site == "16e" else 0.5
                yield (
                    name,
                    dope(crystals.host(name), Doping(dopant, site, share, configuration=None), seed).atoms,
                )


def reference_phases(elements: tuple[str, ...], seed: int) -> list[ReferencePhase]:
    """Return the phases that an element set can form.

    Parameters
    ----------
    elements : tuple of str
        Phases that need another element are left out.
    seed : int
        Decides which sites of the doped electrolytes are substituted.
    """
    allowed = set(elements)
    cells = [*crystals.reference_phases().items(), *_doped_hosts(seed)]
    fitting = [(name, atoms) for name, atoms in cells if set(atoms.get_chemical_symbols()) <= allowed]
    return [ReferencePhase(name, _role(name), _about(atoms)) for name, atoms in fitting]


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
    The strain (1 % standard deviation of the lengths, 0.5 % shear) stands for thermal expansion and for the
    lattice constants of different levels of theory.
    """
    atoms: Atoms = phase.atoms.copy()
    amplitudes = AMPLITUDES_300K | ({"Li": METAL_AMPLITUDE_300K} if phase.role == METAL else {})
    widths = np.array([amplitudes.get(s, 0.10) for s in atoms.get_chemical_symbols()]) * np.sqrt(temperature / 300)
    if phase.role == METAL:
        widths = np.minimum(widths, MELTING_RATIO * 3.0)
    atoms.positions += rng.standard_normal((len(atoms), 3)) * widths[:, None]
    noise = rng.standard_normal((3, 3)) * np.where(np.eye(3, dtype=bool), 0.01, 0.005)
    atoms.set_cell(atoms.cell.array @ (np.eye(3) + (noise + noise.T) / 2), scale_atoms=True)
    return atoms


# -- what lies between the phases ------------------------------------------------------------------------


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
