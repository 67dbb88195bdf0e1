"""The covalent graphs of molecules, by which whole ones are known."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from ase import Atoms
from ase.formula import Formula
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from aiida_haml.structures.bonds import cutoff
from aiida_haml.structures.findings import Finding
from aiida_haml.structures.geometry import pairs_within

#: Ions and metal: near everything and bonded to nothing, in the sense of a molecule.
UNBONDED = ("Li",)


def bond_limit(first: str, second: str) -> float:
    """Return the longest bond of two elements, Angstrom; 0 where they make none within a molecule."""
    if first in UNBONDED or second in UNBONDED:
        return 0.0
    return cutoff(first, second)


def bonds(atoms: Atoms) -> NDArray[np.int64]:
    """Return the (B, 2) bonded pairs i < j of a molecule or periodic cell, sorted; lithium has none."""
    symbols = sorted(set(atoms.get_chemical_symbols()))
    table = np.array([[bond_limit(a, b) for b in symbols] for a in symbols])
    if len(atoms) < 2 or not table.any():
        return np.empty((0, 2), dtype=np.int64)
    pairs = pairs_within(atoms, float(table.max()))
    index = np.searchsorted(symbols, atoms.get_chemical_symbols())
    bonded = (pairs.i < pairs.j) & (pairs.distances < table[index[pairs.i], index[pairs.j]])
    return np.unique(np.stack([pairs.i[bonded], pairs.j[bonded]], axis=1), axis=0).reshape(-1, 2)


def fragments(atoms: Atoms) -> list[list[int]]:
    """Return the atoms of each connected piece, ascending, pieces by their first atom; each lithium is its own."""
    return _pieces(len(atoms), bonds(atoms))


def _pieces(n: int, pairs: NDArray[np.int64]) -> list[list[int]]:
    graph = coo_array((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(n, n))
    _, piece = connected_components(graph, directed=False)
    order = np.argsort(piece, kind="stable")
    split = np.split(order, np.flatnonzero(np.diff(piece[order])) + 1)
    return sorted(part.tolist() for part in split if len(part))


def graph_key(symbols: Sequence[str], pairs: NDArray[np.int64]) -> str:
    """Return a name for a graph of elements that depends on neither order nor geometry.

    The Weisfeiler-Lehman hash (J. Mach. Learn. Res. 12, 2539 (2011)) of networkx, with as many rounds as there are
    atoms. Equal graphs have equal keys; the molecules of an electrolyte and what they break into differ in theirs.

    Parameters
    ----------
    symbols : sequence of str
    pairs : (B, 2) int array

    Returns
    -------
    str
        Hill formula and digest, as in ``C4H10O2-1f0e9a3b7c5d``.
    """
    import networkx  # heavy

    graph = networkx.Graph()
    graph.add_nodes_from((i, {"symbol": symbol}) for i, symbol in enumerate(symbols))
    graph.add_edges_from(pairs.tolist())
    digest = networkx.weisfeiler_lehman_graph_hash(graph, node_attr="symbol", iterations=max(len(symbols), 1))
    return f"{Formula.from_list(list(symbols)).format('hill')}-{digest[:12]}"


def molecule_key(atoms: Atoms) -> str:
    """Return the `graph_key` of one molecule."""
    return graph_key(atoms.get_chemical_symbols(), bonds(atoms))


def fragment_keys(atoms: Atoms) -> Iterator[tuple[str, list[int]]]:
    """Yield key and atoms of each connected piece of a molecule or periodic cell."""
    pairs = bonds(atoms)
    symbols = atoms.get_chemical_symbols()
    place = np.empty(len(atoms), dtype=np.int64)
    of_atom = np.empty(len(atoms), dtype=np.int64)
    pieces = _pieces(len(atoms), pairs)
    for k, piece in enumerate(pieces):
        place[piece], of_atom[piece] = np.arange(len(piece)), k
    order = np.argsort(of_atom[pairs[:, 0]], kind="stable")
    ends = np.searchsorted(of_atom[pairs[order, 0]], np.arange(len(pieces) + 1))
    for k, piece in enumerate(pieces):
        inside = pairs[order[ends[k] : ends[k + 1]]]
        yield graph_key([symbols[i] for i in piece], place[inside]), piece


def count_intact(atoms: Atoms, expected: Mapping[str, str]) -> dict[str, int]:
    """Return how many whole molecules of each kind a cell holds.

    Parameters
    ----------
    atoms : Atoms
    expected : mapping
        Name to `molecule_key`.
    """
    found = [key for key, _ in fragment_keys(atoms)]
    return {name: found.count(key) for name, key in expected.items()}


def check_molecules(atoms: Atoms) -> Finding:
    """Find molecules that are broken or have grown together, in a cell that numbers them.

    Parameters
    ----------
    atoms : Atoms
        With ``arrays['molecule']`` as `build_liquid` gives it, negative for what is none; without it,
        the pieces are counted and not judged.
    """
    pieces = [piece for piece in fragments(atoms) if atoms.symbols[piece[0]] not in UNBONDED]
    numbers = atoms.arrays.get("molecule")
    if numbers is None or not pieces:
        kinds = Counter(atoms[piece].get_chemical_formula() for piece in pieces)
        known = ", ".join(f"{n} {formula}" for formula, n in sorted(kinds.items())) or "none"
        return Finding("molecules", None, "molecules", len(pieces), f"the cell does not number them; found are {known}")
    wanted = {tuple(np.flatnonzero(numbers == n).tolist()) for n in set(numbers.tolist()) if n >= 0}
    wanted = {molecule for molecule in wanted if atoms.symbols[molecule[0]] not in UNBONDED}
    whole = wanted & {tuple(piece) for piece in pieces}
    if len(whole) == len(wanted) == len(pieces):
        return Finding("molecules", True, "molecules", len(whole), f"{len(whole)} of {len(wanted)} are whole")
    problem = f"is the number of whole ones among {len(wanted)}; {len(pieces)} pieces were found"
    return Finding("molecules", False, "molecules", len(whole), problem, "Pack anew, or relax the cell first.")
