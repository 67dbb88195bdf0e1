"""The first labels: copies of a start that is at rest, shaken, strained, and with pairs of atoms pushed together.

Dynamics alone shows a potential nothing of what lies beside its path; from such labels it knows the slope on all sides.
That two elements are no neighbours yet does not mean that they will not meet: a potential that saw no such pair pulls
them into each other, and a reaction brings them together sooner or later.
"""

from dataclasses import dataclass, replace
from itertools import combinations_with_replacement, product

import numpy as np
import vesin
from ase.data import atomic_numbers, chemical_symbols, covalent_radii
from numpy.typing import NDArray

from aiida_haml.arrays import FloatArray
from aiida_haml.frames import Frames
from aiida_haml.settings import Settings, require_integer, require_number

#: Shaken atoms do not come closer than this fraction of the sum of covalent radii.
_MIN_RATIO = 0.8
#: Pairs within this distance can be pushed together, Angstrom; pairs pushed in one frame are as far from each other.
_REACH = 5.0
#: Neighbours are pairs within so many sums of covalent radii.
_MAX_RATIO = 2.2
#: Directions, and atoms of either element, among which one looks for room.
_DIRECTIONS, _ATOMS = 60, 4
#: Radii of ions with six neighbours, Angstrom (R. D. Shannon, Acta Crystallogr. A 32, 751 (1976)). Atoms of a metal lie
#: far apart in electrons that give way: two lithium in a cell at 0.85 of their covalent distance repel each other with
#: 0.8 eV / Angstrom (CHGNet), at 0.85 of that of their ions with 9, as pairs without a metal do at 0.85 of theirs.
ION_RADII = {
    "Li": 0.76, "Na": 1.02, "K": 1.38, "Rb": 1.52, "Cs": 1.67, "Mg": 0.72, "Ca": 1.00, "Sr": 1.18, "Ba": 1.35,
}  # fmt: skip
_IONS = np.full(len(covalent_radii), np.nan)
_IONS[[atomic_numbers[symbol] for symbol in ION_RADII]] = list(ION_RADII.values())


@dataclass(frozen=True)
class DistortionSettings(Settings):
    """What is made of a start.

    Attributes
    ----------
    n_rattled : int
        Copies that are shaken, and strained as well.
    amplitudes : tuple of float
        Standard deviations of the coordinates, Angstrom, one after the other over the copies.
    strains : tuple of float
        Largest components of the (random, symmetric) strains, likewise.
    contact_ratios : tuple of float
        Distances to which pairs of atoms are pushed, in units of the sum of their covalent radii, of two metals that of
        their `ION_RADII`: for each ratio, every pair of elements once, as many in a frame as have room. Neighbours are
        pushed towards each other; of elements that are none, one atom is put beside the other where there is most room.
    """

    n_rattled: int = 6
    amplitudes: tuple[float, ...] = (0.04, 0.08, 0.12)
    strains: tuple[float, ...] = (0.0, 0.02)
    contact_ratios: tuple[float, ...] = (0.85,)

    def __post_init__(self) -> None:
        require_integer("n_rattled", self.n_rattled, 0)
        for amplitude in self.amplitudes:
            require_number("amplitudes", amplitude, 0.0, 1.0)
        for strain in self.strains:
            require_number("strains", strain, 0.0, 0.2, open_low=False)
        for ratio in self.contact_ratios:
            require_number("contact_ratios", ratio, 0.3, 1.0)
        if self.n_rattled and not (self.amplitudes and self.strains):
            raise ValueError("amplitudes and strains need at least one value each where copies are rattled.")


def distort(start: Frames, settings: DistortionSettings, seed: int) -> tuple[Frames, list[str]]:
    """Return distorted copies of a start's last frame, and of each the reason to label it.

    Raises
    ------
    ValueError
        If the settings ask for nothing.
    """
    rng = np.random.default_rng(seed)
    start = Frames(start.numbers, start.positions[-1:], start.cells[-1:], start.pbc)
    made = [_rattled(start, i, settings, rng) for i in range(settings.n_rattled)]
    for ratio in settings.contact_ratios:
        made += _contacts(start, ratio, rng)
    if not made:
        raise ValueError("n_rattled is 0 and contact_ratios is empty; ask for some distorted copies.")
    positions, cells = (np.concatenate([getattr(copy, name) for copy, _ in made]) for name in ("positions", "cells"))
    return Frames(start.numbers, positions, cells, start.pbc), [reason for _, reason in made]


def _rattled(start: Frames, copy: int, settings: DistortionSettings, rng: np.random.Generator) -> tuple[Frames, str]:
    amplitude = settings.amplitudes[copy % len(settings.amplitudes)]
    strain = settings.strains[copy % len(settings.strains)]
    deformation = np.eye(3) + _symmetric(rng.uniform(-strain, strain, 6))
    moved = rng.normal(0, amplitude, start.positions.shape)
    copied = replace(start, positions=start.positions @ deformation, cells=start.cells @ deformation)
    # An atom that would come too close to another goes half as far, and so on.
    for _ in range(6):
        crowded = _crowded(replace(copied, positions=copied.positions + moved))
        if not crowded.any():
            break
        moved[:, crowded] *= 0.5
    copied = replace(copied, positions=copied.positions + moved)
    return copied, f"Copy of the start, shaken by {amplitude:g} Å and strained by up to {100 * strain:g} %."


def _symmetric(components: FloatArray) -> FloatArray:
    xx, yy, zz, yz, xz, xy = components
    return np.array([[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]])


def _pairs(frame: Frames, reach: float) -> tuple[NDArray[np.int64], NDArray[np.int64], FloatArray]:
    """Return the pairs (i < j or images of one atom), and the vectors from i to j, Angstrom."""
    neighbours = vesin.NeighborList(cutoff=reach, full_list=False)
    i, j, vectors = neighbours.compute(
        points=frame.positions[0],
        box=frame.cells[0],
        periodic=frame.pbc if frame.pbc.any() else False,
        quantities="ijD",
    )
    return i.astype(np.int64), j.astype(np.int64), vectors.reshape(-1, 3)


def _crowded(frame: Frames) -> NDArray[np.bool_]:
    i, j, vectors = _pairs(frame, 2.5)
    radii = covalent_radii[frame.numbers]
    close = np.linalg.norm(vectors, axis=1) < _MIN_RATIO * (radii[i] + radii[j])
    crowded = np.zeros(frame.n_atoms, dtype=bool)
    crowded[i[close]] = crowded[j[close]] = True
    return crowded


def _contacts(start: Frames, ratio: float, rng: np.random.Generator) -> list[tuple[Frames, str]]:
    """Push one pair of each two elements together, as many pairs in a frame as do not feel each other."""
    waiting = _pushes(start, ratio, rng)
    made = []
    while waiting:
        together: list[_Push] = []
        for push in list(waiting):
            if all(_apart(start, a, b) >= _REACH for other in together for a in push.places for b in other.places):
                together.append(push)
                waiting.remove(push)
        names = ", ".join(push.name for push in together)
        moved = replace(start, positions=start.positions + sum(push.moves for push in together))
        made.append((moved, f"Copy of the start with {names} pushed to {ratio:g} of the sum of their radii."))
    return made


@dataclass(frozen=True, eq=False)
class _Push:
    """Two atoms pushed together: their elements, the points where something changes, and what it adds to positions."""

    name: str
    places: tuple[FloatArray, ...]
    moves: FloatArray


def _pushes(start: Frames, ratio: float, rng: np.random.Generator) -> list[_Push]:
    """Return a push for each two elements of which there is a pair to push."""
    pushes = _of_neighbours(start, ratio, rng)
    for elements in combinations_with_replacement(start.elements, 2):
        if (name := "-".join(sorted(elements))) not in pushes and (push := _of_strangers(start, elements, ratio, rng)):
            pushes[name] = push
    return list(pushes.values())


def _touching(first: NDArray[np.int64], second: NDArray[np.int64]) -> FloatArray:
    """Return the distances at which atoms of these numbers touch, Angstrom."""
    ions = _IONS[first] + _IONS[second]
    return np.where(np.isfinite(ions), ions, covalent_radii[first] + covalent_radii[second])


def _of_neighbours(start: Frames, ratio: float, rng: np.random.Generator) -> dict[str, _Push]:
    """Return, for each two elements that are neighbours, a push of one of their closest pairs, drawn at random.

    A pair that would run into a third atom is left alone, and the next one taken.
    """
    i, j, vectors = _pairs(start, _REACH)
    distances = np.linalg.norm(vectors, axis=1)
    radii = covalent_radii[start.numbers]
    covalent, touching = radii[i] + radii[j], _touching(start.numbers[i], start.numbers[j])
    near = (i != j) & (distances > ratio * covalent) & (distances < _MAX_RATIO * covalent)
    order = np.argsort(np.round(distances, 1) + 0.05 * rng.random(len(distances)))
    pushes: dict[str, _Push] = {}
    for pair in order[near[order]]:
        first, second = i[pair], j[pair]
        name = "-".join(sorted(chemical_symbols[start.numbers[k]] for k in (first, second)))
        if name in pushes:
            continue
        moves = np.zeros_like(start.positions)
        moves[0, first] = vectors[pair] / 2 * (1 - ratio * touching[pair] / distances[pair])
        moves[0, second] = -moves[0, first]
        crowded = _crowded(replace(start, positions=start.positions + moves))
        crowded[[first, second]] = False
        if not crowded.any():
            pushes[name] = _Push(name, (start.positions[0, first] + vectors[pair] / 2,), moves)
    return pushes


def _of_strangers(start: Frames, elements: tuple[str, str], ratio: float, rng: np.random.Generator) -> _Push | None:
    """Put an atom of the rarer element beside one of the other, where it comes least into the way of third atoms."""
    symbols = np.array(start.symbols)
    rarer, other = sorted(elements, key=lambda symbol: np.count_nonzero(symbols == symbol))
    movers, targets = (rng.permutation(np.flatnonzero(symbols == symbol))[:_ATOMS] for symbol in (rarer, other))
    directions = rng.normal(size=(_DIRECTIONS, 3))
    directions *= (
        ratio
        * _touching(*(np.array(atomic_numbers[symbol]) for symbol in elements))
        / np.linalg.norm(directions, axis=1, keepdims=True)
    )
    best, room = None, 0.0
    for mover, target in product(movers, targets):
        if mover == target:
            continue
        spots = start.positions[0, target] + directions
        found = _room(start, spots, mover, target)
        if found.max() > room:
            best, room = (mover, spots[np.argmax(found)]), float(found.max())
    if best is None:
        return None
    mover, spot = best
    moves = np.zeros_like(start.positions)
    moves[0, mover] = spot - start.positions[0, mover]
    return _Push("-".join(sorted(elements)), (start.positions[0, mover], spot), moves)


def _room(start: Frames, spots: FloatArray, mover: int, target: int) -> FloatArray:
    """Return, of each spot, the nearest third atom's distance from an atom there, in sums of covalent radii."""
    others = np.delete(np.arange(start.n_atoms), [mover, target])
    covalent = covalent_radii[start.numbers[others]] + covalent_radii[start.numbers[mover]]
    return np.asarray((_apart(start, spots[:, None], start.positions[0, others]) / covalent).min(axis=1))


def _apart(frame: Frames, a: FloatArray, b: FloatArray) -> FloatArray:
    """Return the distances of points, through the boundaries where there are any, Angstrom."""
    fractional = (a - b) @ np.linalg.inv(frame.cells[0])
    return np.asarray(np.linalg.norm((fractional - np.rint(fractional) * frame.pbc) @ frame.cells[0], axis=-1))
