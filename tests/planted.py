"""Planted interfaces: cells whose electrolyte has reacted to a known amount, at known faces, to a known product.

Li6PS5Cl + 8 Li -> Li14PS5Cl: one formula unit and eight atoms of the metal become an antifluorite lattice of seven
anion sites, S, P and Cl at random. Units that react are those nearest to the face, and the layer takes the place
between electrolyte and metal, which moves away or near as the volumes ask.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from ase import Atoms
from vesin import NeighborList

from aiida_haml.analysis.references.disorder import heated
from aiida_haml.frames import Frames
from aiida_haml.structures.candidates import build

#: Li, P, S, Cl of one formula unit, and lithium that the metal adds.
UNIT = {"Li": 6, "P": 1, "S": 5, "Cl": 1}
ADDED = 8
#: Volume of an anion site of the layer, Angstrom^3: a = 5.744 Angstrom.
SITE_VOLUME = 5.744**3 / 4


def interface(layers: int = 10, cells: int = 2, **spec: Any) -> Atoms:
    """Return a built Li | electrolyte cell; more keys go into the specification, `interface` among them."""
    settings = {"layers": layers, "electrolyte_cells": cells, **spec.pop("interface", {})}
    return build({**spec, "interface": settings})[0]


@dataclass(frozen=True, eq=False)
class Planted:
    """A cell with known layers.

    Attributes
    ----------
    atoms : Atoms
        In the order of the cell as built.
    consumed : (2,) array
        Share of the formula units that has reacted at the lower and at the upper face.
    thickness : (2,) array
        Of the layers, Angstrom.
    reacted : (N,) bool array
    """

    atoms: Atoms
    consumed: np.ndarray
    thickness: np.ndarray
    reacted: np.ndarray


def react(built: Atoms, lower: int, upper: int, seed: int = 0) -> Planted:
    """Return the cell after so many formula units have reacted at its lower and upper face.

    Raises
    ------
    ValueError
        If there is not enough of the electrolyte or of the metal.
    """
    rng = np.random.default_rng(seed)
    metal = built.arrays["sites"] == "metal"
    z, area = built.positions[:, 2].copy(), built.get_volume() / built.cell[2, 2]
    units = int((built.symbols == "P").sum())
    if lower + upper > units or ADDED * (lower + upper) > metal.sum():
        raise ValueError(f"{lower} + {upper} units are more than the cell of {units} and {metal.sum()} Li holds")
    side = np.full(len(built), 0)
    for count, sign in ((lower, -1), (upper, 1)):
        for atom in _outermost(built, ~metal, sign * z, count):
            side[atom] = sign
        ready = np.flatnonzero(metal & (side == 0))
        side[ready[np.argsort(sign * z[ready], kind="stable")][: ADDED * count]] = sign
    left = metal & (side == 0)
    plane = 1.755  # Angstrom, of the metal
    thick = np.ptp(z[metal]) + plane
    per_unit = (built.cell[2, 2] - thick) / units  # length of the electrolyte
    middle = (z[~metal].min() + z[~metal].max()) / 2
    end = {sign: middle + sign * per_unit * units / 2 for sign in (-1, 1)}
    length = {sign: count * 7 * SITE_VOLUME / area for sign, count in ((-1, lower), (1, upper))}
    top, bottom = end[1] - per_unit * upper, end[-1] + per_unit * lower
    moved = built.copy()
    moved.positions[side == 1] = _layer(built, side == 1, top, length[1], rng)
    moved.positions[side == -1] = _layer(built, side == -1, bottom - length[-1], length[-1], rng)
    if left.any():
        moved.positions[left, 2] += top + length[1] + plane / 2 - z[left].min()
    cell = built.cell.array.copy()
    remaining = thick * left.sum() / metal.sum()
    cell[2] *= (per_unit * (units - lower - upper) + length[1] + length[-1] + remaining) / cell[2, 2]
    moved.set_cell(cell)
    _push_apart(moved, side != 0)
    return Planted(moved, np.array([lower, upper]) / units, np.array([length[-1], length[1]]), side != 0)


#: Nearest that atoms of a layer come to what is not bound to them, Angstrom.
CATION_ANION, ANION_ANION, CATION_CATION = 2.4, 3.6, 2.6


def _push_apart(atoms: Atoms, moving: np.ndarray) -> None:
    """Move some atoms until none is too near to another."""
    lithium = atoms.symbols == "Li"
    near = NeighborList(cutoff=ANION_ANION, full_list=True)
    for _ in range(200):
        i, j, vectors, distances = near.compute(atoms.positions, atoms.cell.array, True, "ijDd")
        i, j = i.astype(int), j.astype(int)
        wanted = np.where(lithium[i], CATION_CATION, ANION_ANION)
        wanted = np.where(lithium[i] ^ lithium[j], CATION_ANION, wanted)
        overlap = np.where(moving[i], np.clip(wanted - distances, 0, None), 0)
        if overlap.max(initial=0.0) < 0.1:
            break
        np.add.at(atoms.positions, i, -0.3 * vectors * (overlap / distances)[:, None])


def _outermost(built: Atoms, electrolyte: np.ndarray, outward: np.ndarray, count: int) -> list[int]:
    """Return the atoms of the outermost formula units: P with its four S, and as much of the rest as belongs to
    them."""
    chosen: list[int] = []
    symbols = np.array(built.get_chemical_symbols())
    phosphorus = np.flatnonzero(electrolyte & (symbols == "P"))
    first = phosphorus[np.argsort(-outward[phosphorus], kind="stable")][:count]
    chosen.extend(first.tolist())
    bound = []
    for p in phosphorus:
        near = built.get_distances(int(p), range(len(built)), mic=True)
        corners = np.flatnonzero((near > 0.1) & (near < 2.5) & (symbols != "Li"))
        bound.extend(corners.tolist())
        if p in first:
            chosen.extend(corners.tolist())
    for symbol, n in (("S", 1), ("Cl", 1), ("Li", 6)):
        free = np.setdiff1d(np.flatnonzero(electrolyte & (symbols == symbol)), bound)
        chosen.extend(free[np.argsort(-outward[free], kind="stable")][: n * count].tolist())
    return chosen


def _layer(built: Atoms, chosen: np.ndarray, bottom: float, length: float, rng: np.random.Generator) -> np.ndarray:
    """Return places of an antifluorite lattice that fills a height, anions and lithium each in random order."""
    numbers = built.numbers[chosen]
    anions, lithium = int((numbers != 3).sum()), int((numbers == 3).sum())
    a, b = built.cell[0, 0], built.cell[1, 1]
    nx, ny = (max(1, round(side / 4.061)) for side in (a, b))
    if not anions:
        return np.empty((0, 3))
    planes = int(np.ceil(anions / (nx * ny)))
    rise = length / (anions / (nx * ny))
    grid = np.stack(np.meshgrid(np.arange(nx), np.arange(ny), indexing="ij"), axis=-1).reshape(-1, 2)
    of_anions, of_lithium = [], []
    for k in range(planes):
        shift = 0.5 * (k % 2)
        of_anions.append(np.column_stack([(grid + shift) * [a / nx, b / ny], np.full(len(grid), (k + 0.5) * rise)]))
        for offset in ((0.5, 0.0), (0.0, 0.5)):
            xy = (grid + offset) * [a / nx, b / ny]
            of_lithium.append(np.column_stack([xy, np.full(len(grid), (k + 1.0) * rise)]))
    places = np.empty((len(numbers), 3))
    places[numbers != 3] = rng.permutation(np.concatenate(of_anions)[:anions])
    places[numbers == 3] = rng.permutation(np.concatenate(of_lithium)[:lithium])
    return places + np.array([0, 0, bottom - 0.25 * rise])


def story(built: Atoms, counts: Sequence[tuple[int, int]], step_fs: float = 10.0, seed: int = 0) -> Frames:
    """Return frames of a cell that has reacted so far at its lower and upper face in each of them, at 300 K."""
    rng = np.random.default_rng(seed)
    known: dict[tuple[int, int], Planted] = {}
    images = []
    for k, count in enumerate(counts):
        planted = known.setdefault(count, react(built, *count, seed=seed))
        metal = (built.arrays["sites"] == "metal") & ~planted.reacted
        image = heated(planted.atoms, 300.0, metal, rng)
        image.info["time"] = k * step_fs
        images.append(image)
    return Frames.from_ase(images)
