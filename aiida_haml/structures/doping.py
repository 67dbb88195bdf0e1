"""Dopings: which element on which sublattice, how much of it, and in which symmetry-distinct arrangement.

Arrangements are enumerated on the host before anything is displaced, under its full space group, so that each
comes with the number of equivalent arrangements that it stands for.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from itertools import combinations
from math import comb

import numpy as np
import spglib
from ase import Atoms
from numpy.typing import NDArray

from aiida_haml.structures.crystals import FORMAL_CHARGES
from aiida_haml.structures.errors import StructureError

#: Dopants and the sublattices on which they are isovalent.
MECHANISMS = {"O": ("16e", "4d"), "Se": ("16e", "4d"), "F": ("4a",)}

#: P-X bond of a substituted tetrahedron corner, Angstrom: PO4(3-) and PSe4(3-) as crystals have them. The
#: corner is moved along its bond, since O at the length of a P-S bond would start 2 eV up the wall.
CORNER_BONDS = {"O": 1.54, "Se": 2.20}

#: Order of the elements in a label.
FORMULA_ORDER = ("Li", "P", "S", "O", "Se", "Cl", "F")

#: More arrangements than this are not enumerated.
MAX_ARRANGEMENTS = 200_000


@dataclass(frozen=True)
class Doping:
    """One dopant on one sublattice.

    Parameters
    ----------
    dopant : str
        'O', 'Se' or 'F'.
    site : str
        Wyckoff label of the sublattice: '16e' (S of PS4), '4d' (free S) or '4a' (Cl).
    fraction : float
        Of the sublattice, 0 to 1; must be a whole number of its sites.
    configuration : int or None
        Index among the symmetry-distinct arrangements; None draws one by a seed, weighted by degeneracy.
    """

    dopant: str
    site: str
    fraction: float
    configuration: int | None = 0

    def __post_init__(self) -> None:
        if not isinstance(self.dopant, str) or self.dopant not in MECHANISMS:
            known = ", ".join(MECHANISMS)
            raise StructureError("doping.dopant", self.dopant, "is not a known dopant", f"Choose one of {known}.")
        if not isinstance(self.site, str) or self.site not in SITE_ELEMENTS:
            known = ", ".join(f"{s} ({e})" for s, e in SITE_ELEMENTS.items())
            raise StructureError("doping.site", self.site, "is not a site that can be doped", f"Choose one of {known}.")
        if self.site not in MECHANISMS[self.dopant]:
            replaced = SITE_ELEMENTS[self.site]
            charges = f"{self.dopant} {FORMAL_CHARGES[self.dopant]:+d}, {replaced} {FORMAL_CHARGES[replaced]:+d}"
            allowed = " or ".join(MECHANISMS[self.dopant])
            raise StructureError(
                "doping.site",
                self.site,
                f"would make {self.dopant} replace {replaced}, which is aliovalent ({charges}), "
                "and no charge compensation is built",
                f"Put {self.dopant} on {allowed}.",
            )
        if not _is_number(self.fraction) or not 0 <= self.fraction <= 1:
            raise StructureError(
                "doping.fraction",
                self.fraction,
                "is not a fraction of the sublattice",
                "Give a number from 0 to 1.",
            )
        if self.configuration is not None and (not _is_integer(self.configuration) or self.configuration < 0):
            raise StructureError(
                "doping.configuration",
                self.configuration,
                "is not the index of an arrangement",
                "Give a whole number from 0 on, or null for one drawn by the seed.",
            )


#: Sublattices of the host that can be doped, and what sits on them.
SITE_ELEMENTS = {"16e": "S", "4d": "S", "4a": "Cl"}


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool)


def _is_integer(value: object) -> bool:
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool)


@dataclass(frozen=True)
class Configuration:
    """One distinct arrangement: positions in the list of sites, and how many arrangements it stands for."""

    sites: tuple[int, ...]
    degeneracy: int


@dataclass(frozen=True, eq=False)
class DopedCell:
    """A doped host.

    ``atoms`` keeps the host's order and labels; ``substituted`` are indices into it; ``index`` and
    ``n_distinct`` say which arrangement of how many; ``label`` is what people read.
    """

    atoms: Atoms
    label: str
    substituted: tuple[int, ...]
    index: int
    n_distinct: int
    degeneracy: int


def symmetry_permutations(parent: Atoms, indices: NDArray[np.int64], tolerance: float = 1e-3) -> NDArray[np.int64]:
    """Return what the space group of ``parent`` makes of the given sites.

    Parameters
    ----------
    parent : Atoms
        Periodic host; N atoms.
    indices : (M,) int array
        Atoms of one or more sublattices, each closed under the group.
    tolerance : float
        Angstrom, for the search for symmetry and for the matching of images.

    Returns
    -------
    (G, M) int array
        Distinct permutations: row g moves site m of the list to site ``[g, m]`` of the list.

    Raises
    ------
    ValueError
        If an operation takes one of the sites to none of them.
    """
    cell = (parent.cell.array, parent.get_scaled_positions(), parent.numbers)
    found = spglib.get_symmetry(cell, symprec=tolerance)
    if found is None:
        raise ValueError("spglib finds no symmetry in the parent; two of its atoms may overlap")
    scaled = parent.get_scaled_positions()[indices]
    images = np.einsum("gij,mj->gmi", found["rotations"], scaled) + found["translations"][:, None, :]
    steps = images[:, :, None, :] - scaled[None, None, :, :]
    steps -= np.round(steps)
    distances = np.linalg.norm(steps @ parent.cell.array, axis=-1)
    permutations = distances.argmin(axis=2)
    if (distances.min(axis=2) > 10 * tolerance).any():
        raise ValueError("the sites are not closed under the symmetry of the parent")
    return np.unique(permutations, axis=0)


def enumerate_configurations(permutations: NDArray[np.int64], n_chosen: int) -> list[Configuration]:
    """Return the distinct ways to choose ``n_chosen`` of M sites under a group, with their degeneracies.

    Each orbit is represented by its lexicographically first member; orbits are sorted by it, so the index of
    an arrangement depends on nothing but the host.

    Parameters
    ----------
    permutations : (G, M) int array
        All elements of the group.
    n_chosen : int

    Raises
    ------
    StructureError
        If there are more arrangements than can be listed.
    """
    n_sites = permutations.shape[1]
    total = comb(n_sites, n_chosen)
    if total > MAX_ARRANGEMENTS:
        raise StructureError(
            "doping.fraction",
            n_chosen,
            f"of {n_sites} sites can be chosen in {total} ways; at most {MAX_ARRANGEMENTS} are enumerated",
            "Choose a fraction nearer to 0 or 1, or a smaller cell.",
        )
    subsets = np.array(list(combinations(range(n_sites), n_chosen)), dtype=np.int64).reshape(total, n_chosen)
    # Site 0 is the highest bit: the largest mask of an orbit is its lexicographically first member.
    weights = 1 << np.arange(n_sites - 1, -1, -1, dtype=np.int64)
    masks = weights[subsets].sum(axis=1)
    canonical = masks.copy()
    for permutation in permutations:
        np.maximum(canonical, weights[permutation][subsets].sum(axis=1), out=canonical)
    sizes = Counter(canonical.tolist())
    return [
        Configuration(tuple(subset), sizes[mask])
        for subset, mask, first in zip(subsets.tolist(), masks.tolist(), canonical.tolist(), strict=True)
        if mask == first
    ]


def sites_of(parent: Atoms, site: str) -> NDArray[np.int64]:
    """Return the indices of a sublattice, in the order of the cell.

    Raises
    ------
    StructureError
        If the host has no such sublattice.
    """
    labels = parent.arrays["sites"]
    indices = np.flatnonzero(labels == site)
    if len(indices) == 0:
        known = ", ".join(sorted(set(labels.tolist())))
        raise StructureError("doping.site", site, "is not a site of the host", f"Its sites are {known}.")
    return indices


def substitutions(fraction: float, n_sites: int) -> int:
    """Return how many of ``n_sites`` a fraction is.

    Raises
    ------
    StructureError
        If it is no whole number of sites; the message says which fractions are nearest.
    """
    exact = fraction * n_sites
    count = round(exact)
    if abs(exact - count) <= 1e-6 * n_sites:
        return count
    low, high = int(np.floor(exact)), int(np.ceil(exact))
    raise StructureError(
        "doping.fraction",
        fraction,
        f"is {exact:.3f} of the {n_sites} sites of this cell, and only whole sites can be doped",
        f"The nearest fractions are {low / n_sites:g} ({low} sites) and {high / n_sites:g} ({high} sites).",
    )


def distinct_configurations(parent: Atoms, site: str, fraction: float) -> list[Configuration]:
    """Return the distinct arrangements of a fraction of a sublattice; degeneracies sum to a binomial.

    Raises
    ------
    StructureError
        If the host has no such site, or the cell cannot realise the fraction.
    """
    indices = sites_of(parent, site)
    return enumerate_configurations(symmetry_permutations(parent, indices), substitutions(fraction, len(indices)))


def choose(configurations: list[Configuration], configuration: int | None, seed: int) -> int:
    """Return an arrangement's index: the one asked for, or one drawn by the seed, weighted by degeneracy.

    Raises
    ------
    StructureError
        If there is no such arrangement.
    """
    if configuration is None:
        weights = np.array([c.degeneracy for c in configurations], dtype=float)
        return int(np.random.default_rng(seed).choice(len(configurations), p=weights / weights.sum()))
    if configuration >= len(configurations):
        raise StructureError(
            "doping.configuration",
            configuration,
            f"is not among the {len(configurations)} distinct arrangements of this doping",
            f"Give an index from 0 to {len(configurations) - 1}.",
        )
    return configuration


def formula(atoms: Atoms) -> str:
    """Return the composition for each P, as Li6PS4.75O0.25Cl."""
    counts = Counter(atoms.get_chemical_symbols())
    units = counts["P"] or 1
    parts = ((symbol, counts[symbol] / units) for symbol in FORMULA_ORDER if counts[symbol])
    return "".join(symbol if n == 1 else f"{symbol}{round(n, 4):g}" for symbol, n in parts)


def dope(parent: Atoms, doping: Doping, seed: int = 0) -> DopedCell:
    """Put a dopant on a sublattice of a host.

    Parameters
    ----------
    parent : Atoms
        Host with its Wyckoff labels in ``arrays['sites']``; it is not changed.
    doping : Doping
    seed : int
        Used only where ``doping.configuration`` is None.

    Returns
    -------
    DopedCell
        Substituted corners of a PS4 unit lie at the bond length of the new element. A fraction of 0 gives the
        pristine host and its label.

    Raises
    ------
    StructureError
        If the host has no such site, the cell cannot realise the fraction, or there is no such arrangement.
    """
    configurations = distinct_configurations(parent, doping.site, doping.fraction)
    index = choose(configurations, doping.configuration, seed)
    chosen = configurations[index]
    substituted = tuple(int(i) for i in sites_of(parent, doping.site)[list(chosen.sites)])
    atoms = parent.copy()
    for i in substituted:
        atoms.symbols[i] = doping.dopant
    if doping.site == "16e":
        _set_corner_bonds(atoms, substituted, CORNER_BONDS[doping.dopant])
    suffix = f"#{doping.site}-{index:02d}" if substituted else ""
    return DopedCell(atoms, formula(atoms) + suffix, substituted, index, len(configurations), chosen.degeneracy)


def _set_corner_bonds(atoms: Atoms, corners: tuple[int, ...], length: float) -> None:
    phosphorus = np.flatnonzero(atoms.symbols == "P")
    for corner in corners:
        bonds = atoms.get_distances(corner, phosphorus, mic=True, vector=True)
        bond = bonds[np.linalg.norm(bonds, axis=1).argmin()]
        atoms.positions[corner] += bond * (1 - length / np.linalg.norm(bond))
