"""The cells that a start potential sees: interfaces, doped electrolytes, phases of the reaction, and random mixtures.

None is of the benchmarks of learning: interfaces here have three to five planes of lithium and other lithium orders.
"""

from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.build import bulk, make_supercell
from ase.data import atomic_numbers, covalent_radii
from ase.io import read

from aiida_haml.engines.mace_forces import Graph
from aiida_haml.structures import candidates
from aiida_haml.structures.errors import StructureError

ELEMENTS = ("Br", "Cl", "F", "I", "Li", "O", "P", "S", "Se")
PHASES = Path(candidates.__file__).parent / "data/references"
#: Of random mixtures: volume of an atom in dense solids, Angstrom^3.
VOLUMES = {"Li": 18, "P": 20, "S": 24, "Cl": 26, "O": 13, "F": 12, "Se": 27, "Br": 32, "I": 42}
N_MIXTURES, MIXTURE_ATOMS = 40, 44
#: How often an element is in a mixture, beside lithium.
_FREQUENCIES = {"P": 0.25, "S": 0.25, "Cl": 0.12, "O": 0.12, "Se": 0.08, "F": 0.08, "Br": 0.05, "I": 0.05}
#: No two atoms of a mixture are closer than this fraction of their covalent distance.
LEAST_RATIO = 0.85
MOST_ATOMS = 76

_DOPINGS: tuple[dict[str, Any] | None, ...] = (
    None,
    {"dopant": "O", "site": "16e", "fraction": 0.25},
    {"dopant": "O", "site": "16e", "fraction": 0.5},
    {"dopant": "Se", "site": "16e", "fraction": 0.25},
    {"dopant": "Se", "site": "16e", "fraction": 0.5},
    {"dopant": "F", "site": "4a", "fraction": 0.5},
    {"dopant": "Br", "site": "4a", "fraction": 0.5},
    {"dopant": "I", "site": "4a", "fraction": 0.5},
    {"dopant": "O", "site": "S", "fraction": 0.25},
)


def starts(seed: int) -> list[Atoms]:
    """Return all cells, each periodic, of at most `MOST_ATOMS` atoms but for a few interfaces."""
    rng = np.random.default_rng(seed)
    return [*_electrolytes(rng), *_phases(), *(_mixture(rng) for _ in range(N_MIXTURES))]


def _electrolytes(rng: np.random.Generator) -> Iterator[Atoms]:
    """Yield doped argyrodites, alone and beside three to five planes of lithium."""
    for doping, layers in product(_DOPINGS, (None, 3, 4, 5)):
        spec: dict[str, Any] = {"host": "Li6PS5Cl", "seed": int(rng.integers(1 << 16))}
        if doping is not None:
            spec["doping"] = doping
        if layers is not None:
            spec["interface"] = {"facet": str(rng.choice(["100", "110"])), "layers": layers, "max_strain": 0.08}
        try:
            yield candidates.build(spec)[0]
        except StructureError as error:
            print("no such cell:", error)


def _phases() -> Iterator[Atoms]:
    """Yield metal and phases of the reaction, made large enough to be shaken, and their analogues with our dopants."""
    yield bulk("Li", "bcc", a=3.44, cubic=True).repeat(3)
    swaps: tuple[dict[str, str], ...] = ({}, {"S": "Se"}, {"S": "O"}, {"Cl": "I"})
    for path in sorted(PHASES.glob("*.cif")):
        for swap in swaps:
            atoms = read(path)
            symbols = atoms.get_chemical_symbols()
            if not set(symbols) <= set(ELEMENTS) or (swap and not set(swap) & set(symbols)):
                continue
            atoms.symbols[:] = [swap.get(symbol, symbol) for symbol in symbols]
            yield _scaled(_repeated(atoms), swap)


def _repeated(atoms: Atoms) -> Atoms:
    """Return the smallest supercell that is no thinner than 7 Angstrom, or what fits of it."""
    repeats = np.ones(3, dtype=int)
    while True:
        thin = int(np.argmin(atoms.cell.lengths() * repeats))
        if atoms.cell.lengths()[thin] * repeats[thin] >= 7.0 or len(atoms) * repeats.prod() * 2 > MOST_ATOMS:
            return make_supercell(atoms, np.diag(repeats))
        repeats[thin] += 1


def _scaled(atoms: Atoms, swap: dict[str, str]) -> Atoms:
    """Give room to larger atoms, in proportion to their covalent radii."""
    if swap:
        (old, new), *_ = swap.items()
        factor = 1 + 0.5 * (covalent_radii[atomic_numbers[new]] / covalent_radii[atomic_numbers[old]] - 1)
        atoms.set_cell(atoms.cell * factor, scale_atoms=True)
    return atoms


def _mixture(rng: np.random.Generator) -> Atoms:
    """Return atoms at random, none in another, of a composition at random in which lithium leads."""
    share = rng.uniform(0.2, 0.8)
    others = rng.choice(list(_FREQUENCIES), size=4, replace=False, p=list(_FREQUENCIES.values()))
    weights = rng.dirichlet(np.ones(4)) * (1 - share)
    symbols = list(rng.choice(["Li", *others], size=MIXTURE_ATOMS, p=[share, *weights]))
    volume = 1.15 * sum(VOLUMES[symbol] for symbol in symbols)
    cell = np.eye(3) * volume ** (1 / 3)
    atoms = Atoms(symbols, scaled_positions=rng.random((len(symbols), 3)), cell=cell, pbc=True)
    radii = covalent_radii[atoms.numbers]
    for _ in range(400):
        graph = Graph.within(4.0, atoms.positions, cell, atoms.pbc)
        i, j = np.asarray(graph.senders), np.asarray(graph.receivers)
        overlap = LEAST_RATIO * (radii[i] + radii[j]) - graph.distances
        if not (overlap > 0).any():
            break
        # Overlapping atoms move apart, a little farther than they have to.
        push = 0.3 * np.clip(overlap, 0, None) / np.maximum(graph.distances, 1e-3)
        np.add.at(atoms.positions, i, -push[:, None] * graph.vectors)
    atoms.wrap()
    return atoms
