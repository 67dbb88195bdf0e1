"""Products that have no crystal of their own: solid solutions and what is amorphous.

What Li6PS5Cl turns into beside lithium is first amorphous and then crystallises to one antifluorite lattice on whose
anion sites S, P and Cl lie at random, Li2S(1-x-y)P(x)Cl(y) with x and y of 0.14 to 0.15 (10.1039/d6ta00922k; arXiv
2506.10944), and not to Li2S, Li3P and LiCl beside each other.

The amorphous cells were quenched from the melt: Li14PS5Cl, and the same with O, Se and F, four formula units, 2000 K
for 1 ps, 1.2 ps down to 300 K, with the CHGNet potential (B. Deng et al., Nat. Mach. Intell. 5, 1031 (2023), version
0.3.0). They stand for short-range order alone; nothing larger than their 11 Angstrom is in them.
"""

from functools import lru_cache
from importlib import resources

import numpy as np
from ase import Atoms
from ase.build import make_supercell
from ase.spacegroup import crystal

SOLID_SOLUTION, AMORPHOUS = "solid solution", "amorphous"

#: Share of the anion sites that P and the halide take, each (x and y above).
SHARES = (0.05, 0.20)
#: Largest share of the sulfur that O or Se takes.
MAX_CHALCOGEN = 0.25
#: Cells of a solid solution, each with anions at other places and in other shares.
SOLUTIONS = 24
#: Lattice constants of the antifluorites and, for anions without one, what fits their size, Angstrom.
ANTIFLUORITE_A = {"S": 5.708, "P": 5.92, "Cl": 5.75, "O": 4.619, "Se": 6.005, "F": 4.80, "Br": 5.98, "I": 6.35}
HALIDES = ("F", "Cl", "Br", "I")
CHALCOGENS = ("O", "Se")


def solid_solutions(elements: tuple[str, ...]) -> dict[str, list[Atoms]]:
    """Return the antifluorite solid solutions of an element set: name -> cells of 96 atoms.

    Parameters
    ----------
    elements : tuple of str
        Without Li, S and P, or without a halide, there is none.
    """
    halides = [h for h in HALIDES if h in elements]
    if not halides or not {"Li", "S", "P"} <= set(elements):
        return {}
    others = [c for c in CHALCOGENS if c in elements]
    cells = []
    for k in range(SOLUTIONS):
        rng = np.random.default_rng([k, 10_1039])
        chalcogen = str(rng.choice(others)) if others and k % 2 else None
        cells.append(_antifluorite(halides[k % len(halides)], chalcogen, rng))
    return {"Li2S solid solution": cells}


def antifluorite(shares: dict[str, float], repeats: int = 2, seed: int = 0) -> Atoms:
    """Return an antifluorite cell whose anion sites hold elements at random.

    Parameters
    ----------
    shares : dict
        Element -> share of the anion sites; S takes the rest. The lattice constant follows them (Vegard).
    repeats : int
        Of the cubic cell of four anions, along each vector.
    seed : int
    """
    rng = np.random.default_rng(seed)
    shares = {"S": 1 - sum(shares.values())} | shares
    a = sum(share * ANTIFLUORITE_A[element] for element, share in shares.items())
    cell = crystal(["S", "Li"], [(0, 0, 0), (0.25, 0.25, 0.25)], spacegroup=225, cellpar=[a, a, a, 90, 90, 90])
    atoms: Atoms = make_supercell(cell, repeats * np.eye(3))
    anions = rng.permutation(np.flatnonzero(atoms.symbols == "S"))
    first = 0
    for element, share in shares.items():
        if element != "S":
            last = first + round(share * len(anions))
            atoms.symbols[anions[first:last]] = element
            first = last
    return Atoms(atoms.numbers, atoms.positions, cell=atoms.cell, pbc=True)


def _antifluorite(halide: str, chalcogen: str | None, rng: np.random.Generator) -> Atoms:
    """Return a solid solution with lithium added or taken for the charges of P and the halide."""
    x, y = rng.uniform(*SHARES, 2)
    shares = {"P": x, halide: y} | ({chalcogen: rng.uniform(0, MAX_CHALCOGEN) * (1 - x - y)} if chalcogen else {})
    atoms = antifluorite(shares, seed=int(rng.integers(2**31)))
    surplus = int((atoms.symbols == halide).sum() - (atoms.symbols == "P").sum())  # of lithium
    if surplus > 0:
        del atoms[rng.permutation(np.flatnonzero(atoms.symbols == "Li"))[:surplus]]
    elif surplus < 0:
        a = atoms.cell.lengths()[0] / 2
        free = (np.array(list(np.ndindex(2, 2, 2)))[:, None] + _OCTAHEDRAL).reshape(-1, 3) * a
        atoms += Atoms("Li" * -surplus, rng.permutation(free)[:-surplus])
    return atoms


#: Holes of the antifluorite cell, in units of its lattice constant.
_OCTAHEDRAL = np.array([[0.5, 0.5, 0.5], [0.5, 0.0, 0.0], [0.0, 0.5, 0.0], [0.0, 0.0, 0.5]])


def amorphous_products(elements: tuple[str, ...]) -> dict[str, list[Atoms]]:
    """Return quenched products of an element set: name -> cells of 84 atoms.

    Parameters
    ----------
    elements : tuple of str
        Cells that need another element are left out. Of a set with Br or I and without Cl the halide takes the place
        of Cl.
    """
    heavy = [h for h in ("Br", "I") if h in elements]
    cells = []
    for k, atoms in enumerate(_quenched()):
        if heavy and ("Cl" not in elements or k % 2):
            atoms = atoms.copy()
            atoms.symbols[atoms.symbols == "Cl"] = heavy[k % len(heavy)]
        if set(atoms.get_chemical_symbols()) <= set(elements):
            cells.append(atoms)
    return {"amorphous products": cells} if cells else {}


@lru_cache(maxsize=1)
def _quenched() -> tuple[Atoms, ...]:
    path = resources.files("aiida_haml.analysis.references").joinpath("data", "quenched.npz")
    with path.open("rb") as file, np.load(file, allow_pickle=False) as data:
        runs = sorted({name.split(".")[0] for name in data})
        return tuple(
            Atoms(data[f"{run}.numbers"], positions, cell=data[f"{run}.cell"], pbc=True)
            for run in runs
            for positions in data[f"{run}.positions"]
        )
