"""The search for commensurate matches of two surface lattices.

All superlattices of the electrolyte up to an area are gone through by their Hermite normal forms (A. Zur and
T. C. McGill, J. Appl. Phys. 55, 378 (1984), for the idea), and for each all pairs of the metal's lattice
vectors whose lengths are near enough.

pymatgen's ZSLGenerator finds the same cells (a test holds it against this). It compiles for some seconds in each
process, is twenty times slower after that, and lists each match once for every way of writing it down.
"""

from collections.abc import Callable, Iterator

import numpy as np

from aiida_haml.structures.errors import StructureError
from aiida_haml.structures.interface.match import IntMatrix, Limits, Match, Matrix

#: Called with the supercells done and their whole number.
Progress = Callable[[int, int], None]

#: How far beyond the limits a match is looked for, only to say in the refusal what there would be.
HINT_STRAIN = 0.15
HINT_AREA = 8.0


def _n_supercells(lattice: Matrix, max_area: float) -> int:
    """Return the index of the largest superlattice within an area, 1 at least."""
    return max(1, int(max_area / abs(np.linalg.det(lattice)) + 1e-9))


def _supercells(lattice: Matrix, n: int) -> Iterator[IntMatrix]:
    """Yield all superlattices of index ``n``, each with its shortest vectors, right-handed."""
    for a in (d for d in range(1, n + 1) if n % d == 0):
        for b in range(n // a):
            yield _reduced(np.array([[a, b], [0, n // a]], dtype=np.int64), lattice)


def _reduced(cell: IntMatrix, lattice: Matrix) -> IntMatrix:
    """Return the Gauss-reduced, right-handed basis of the same superlattice, its first vector near the lattice's."""
    first, second = cell
    while True:
        u, v = first @ lattice, second @ lattice
        if v @ v < u @ u - 1e-9:
            first, second = second, first
            continue
        n = round(float(u @ v) / float(u @ u))
        if n == 0 or abs(abs(float(u @ v) / float(u @ u)) - 0.5) < 1e-9:
            break
        second = second - n * first
    reduced = np.array([first, second])
    if np.linalg.det(reduced @ lattice) < 0:
        reduced[1] *= -1
    first, second = reduced
    turns = [np.array(pair) for pair in ((first, second), (second, -first), (-first, -second), (-second, first))]
    return max(turns, key=lambda pair: tuple(pair.ravel().tolist()))


def _lattice_vectors(lattice: Matrix, longest: float) -> tuple[IntMatrix, Matrix]:
    """Return all integer pairs (N, 2) whose lattice vectors are no longer than that, and their lengths (N,)."""
    reach = int(np.ceil(longest * np.linalg.norm(np.linalg.inv(lattice), axis=0).max())) + 1
    steps = np.arange(-reach, reach + 1)
    pairs = np.array(np.meshgrid(steps, steps, indexing="ij")).reshape(2, -1).T
    lengths = np.linalg.norm(pairs @ lattice, axis=1)
    near = lengths <= longest + 1e-9
    return pairs[near], lengths[near]


def _matches_of(cell: IntMatrix, electrolyte: Matrix, metal: Matrix, limits: Limits) -> list[Match]:
    """Return the matches of one superlattice of the electrolyte, one for each kind."""
    target = cell @ electrolyte
    low, high = limits.stretches()
    # A vector of the metal is stretched by no more than the principal stretches.
    sizes = np.linalg.norm(target, axis=1)
    vectors, lengths = _lattice_vectors(metal, float(sizes.max()) / low)
    firsts, seconds = (vectors[(lengths >= n / high - 1e-9) & (lengths <= n / low + 1e-9)] for n in sizes)
    dets = np.subtract(np.multiply.outer(firsts[:, 0], seconds[:, 1]), np.multiply.outer(firsts[:, 1], seconds[:, 0]))
    growth = np.linalg.det(target) / (np.where(dets > 0, dets, 1) * np.linalg.det(metal))
    i, j = np.nonzero((dets > 0) & (growth >= low**2 - 1e-9) & (growth <= high**2 + 1e-9))
    if not len(i):
        return []
    supercells = np.stack([firsts[i], seconds[j]], axis=1)
    deformations = np.swapaxes(np.linalg.solve(supercells @ metal, np.broadcast_to(target, supercells.shape)), 1, 2)
    stretches = np.linalg.svd(deformations, compute_uv=False)
    fit = (stretches.min(axis=1) >= low - 1e-12) & (stretches.max(axis=1) <= high + 1e-12)
    area = float(np.linalg.det(target))
    best: dict[tuple[object, ...], Match] = {}
    for k in np.flatnonzero(fit):
        match = Match(cell, supercells[k], deformations[k], area, limits.metal_share)
        key = (match.n_metal_cells, *np.round(stretches[k], 8).tolist())
        if key not in best or match.rank() < best[key].rank():
            best[key] = match
    return list(best.values())


def find_matches(electrolyte: Matrix, metal: Matrix, limits: Limits, progress: Progress | None = None) -> list[Match]:
    """Return all commensurate matches within limits: the smallest cell first, then the least strain.

    Parameters
    ----------
    electrolyte, metal : (2, 2) array
        Surface vectors as rows, Angstrom, right-handed.
    limits : Limits
    progress : callable, optional
        Called after each supercell of the electrolyte with how many are done and how many there are.

    Returns
    -------
    list of Match
        One for each pair of an electrolyte supercell and a set of principal strains and size of the metal's;
        turned or mirrored copies of the same match are left out.
    """
    sizes = range(1, _n_supercells(electrolyte, limits.area) + 1)
    total = sum(d for n in sizes for d in range(1, n + 1) if n % d == 0)
    matches: list[Match] = []
    done = 0
    for n in sizes:
        for cell in _supercells(electrolyte, n):
            matches += _matches_of(cell, electrolyte, metal, limits)
            done += 1
            if progress is not None:
                progress(done, total)
    return sorted(matches, key=Match.rank)


def smallest_match(electrolyte: Matrix, metal: Matrix, limits: Limits) -> Match | None:
    """Return the match of the smallest cell within limits, without looking at larger ones; None if there is none."""
    for n in range(1, _n_supercells(electrolyte, limits.area) + 1):
        found = [m for cell in _supercells(electrolyte, n) for m in _matches_of(cell, electrolyte, metal, limits)]
        if found:
            return min(found, key=Match.rank)
    return None


def choose_match(
    electrolyte: Matrix, metal: Matrix, limits: Limits, index: int = 0, progress: Progress | None = None
) -> Match:
    """Return one of the matches by its index in :func:`find_matches`; the first is the smallest.

    Raises
    ------
    StructureError
        If there is none (the message names the least strain in cells of that size and the area that the strain
        asked for takes), or not so many.
    """
    if index == 0:
        found = smallest_match(electrolyte, metal, limits)
        if found is not None:
            return found
        raise _no_match(electrolyte, metal, limits)
    matches = find_matches(electrolyte, metal, limits, progress)
    if not matches:
        raise _no_match(electrolyte, metal, limits)
    if index >= len(matches):
        raise StructureError(
            "interface.match",
            index,
            f"is not the index of a match: there are {len(matches)} within {limits.area:g} Angstrom^2 and a "
            f"strain of {limits.strain:g}",
            f"Give 0 to {len(matches) - 1}, or widen max_area_A2 or max_strain.",
        )
    return matches[index]


def _no_match(electrolyte: Matrix, metal: Matrix, limits: Limits) -> StructureError:
    """Say what there would be with more strain, and what with more area."""
    hints = []
    loose = Limits(HINT_STRAIN, limits.area, limits.metal_share)
    strained = find_matches(electrolyte, metal, loose)
    if strained:
        least = min(strained, key=lambda match: (round(match.largest_strain, 6), match.rank()))
        hints.append(
            f"the least strain in cells of that size is {least.largest_strain:.4f} (area {least.area:.1f} "
            "Angstrom^2): raise max_strain above it"
        )
    wide = Limits(limits.strain, HINT_AREA * limits.area, limits.metal_share)
    larger = smallest_match(electrolyte, metal, wide)
    if larger is not None:
        hints.append(
            f"the smallest cell within {limits.strain:g} has {larger.area:.1f} Angstrom^2 (strain "
            f"{larger.largest_strain:.4f}): raise max_area_A2 to that"
        )
    else:
        hints.append(f"there is none up to {wide.area:g} Angstrom^2 either")
    message = "; ".join(hints)
    return StructureError(
        "interface.max_strain",
        limits.strain,
        f"leaves no commensurate match in cells up to {limits.area:g} Angstrom^2",
        f"{message[0].upper()}{message[1:]}.",
    )
