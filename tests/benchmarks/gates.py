"""Whether a potential holds where nobody taught it: walls between pairs of atoms, and holes that a relaxation finds.

    python tests/benchmarks/gates.py --potential member_0.model [more.model ...] --start start.extxyz [--hunts 20]

- **Walls.** Each pair of elements from 0.8 to 4 Angstrom, alone in a wide box, and one pair of neighbours in the cell,
  moved along their line while the rest stands still. From its well inwards, which lies outside of `WALL` of the sum of
  their covalent radii, the energy has to rise by `HIGH` at least before it may fall: at 600 K twenty times kT, which a
  pair passes once in some microseconds. A wall that falls has a hole behind it, of which is told how deep it is.
- **Holes.** The cell, shaken by `SHAKEN` Angstrom with other seeds, but so that no two atoms are nearer than `CONTACT`
  of their covalent radii, and relaxed. None may be so near in the end either, and no energy more than `DEEPEST` eV/atom
  below that of the cell that was relaxed without shaking.

Dynamics from many seeds are `stability.py`. Such tests are asked of potentials of interfaces by others as well
(ShiQiaoL/FIRE-MLIP); limits and code are ours. Every model is judged for itself. The model files are loaded, which runs
what is in them. The last line is a JSON object; the exit code is 1 where a gate is shut.
"""

import argparse
import itertools
import json
import sys
import warnings
from pathlib import Path
from typing import Any

import ase.io
import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator
from ase.data import chemical_symbols, covalent_radii
from ase.neighborlist import neighbor_list
from ase.optimize import FIRE
from numpy.typing import NDArray

#: Distances of a wall, Angstrom.
DISTANCES = np.arange(0.8, 4.0001, 0.05)
#: Shares of the sum of covalent radii: P-S bonds are 0.97 of it, Li-Li in the metal 1.18.
WALL, CONTACT = 0.75, 0.7
#: What a wall has to be, eV.
HIGH = 1.0
#: Edge of the box of a pair that is alone, Angstrom.
BOX = 20.0
SHAKEN, DEEPEST, FORCE, STEPS = 0.15, 0.1, 0.1, 100
#: What is no fall of a wall but a ripple, eV.
RIPPLE = 0.1


def radii(a: int, b: int) -> float:
    return float(covalent_radii[a] + covalent_radii[b])


def wall(energies: NDArray[np.float64], sum_of_radii: float) -> dict[str, float | None]:
    """Return how high energies (eV) over `DISTANCES` rise above their well, where they fall, and what lies behind."""
    outside = np.flatnonzero(WALL * sum_of_radii < DISTANCES)
    well = int(outside[np.argmin(energies[outside])])
    inwards = energies[well::-1] - energies[well]
    falls = np.flatnonzero(np.maximum.accumulate(inwards) - inwards > RIPPLE)
    top = int(np.argmax(inwards[: falls[0]])) if len(falls) else well
    return {
        "height_eV": round(float(inwards[top]), 2),
        "falls_at_A": round(float(DISTANCES[well - top]), 2) if len(falls) else None,
        "behind_eV": round(float(inwards[top:].min()), 2) if len(falls) else None,
    }


def alone(a: int, b: int, calculator: Calculator) -> NDArray[np.float64]:
    """Return the energies (eV) of two atoms in a wide box."""
    pair = Atoms([a, b], positions=[[0, 0, 0], [1, 0, 0]], cell=[BOX] * 3, pbc=True, calculator=calculator)
    return np.array([_at(pair, [0, 1], np.array([r, 0.0, 0.0])) for r in DISTANCES])


def among_others(atoms: Atoms, a: int, b: int, calculator: Calculator) -> NDArray[np.float64] | None:
    """Return the energies (eV) of the nearest pair of two elements, moved about its middle; None without one."""
    i, j, lengths, vectors = neighbor_list("ijdD", atoms, 5.0)
    of = np.flatnonzero((atoms.numbers[i] == a) & (atoms.numbers[j] == b))
    if not len(of):
        return None
    k = of[np.argmin(lengths[of])]
    cell = atoms.copy()
    cell.calc = calculator
    middle = cell.positions[i[k]] + vectors[k] / 2
    along = vectors[k] / lengths[k]
    return np.array([_at(cell, [i[k], j[k]], along * r, middle) for r in DISTANCES])


def _at(atoms: Atoms, pair: list[int], vector: NDArray[np.float64], middle: NDArray[np.float64] | None = None) -> float:
    start = atoms.positions[pair[0]] if middle is None else middle - vector / 2
    atoms.positions[pair] = [start, start + vector]
    return float(atoms.get_potential_energy())


def relaxed(atoms: Atoms, calculator: Calculator, seed: int | None) -> Atoms:
    """Return the cell relaxed, shaken before unless there is no seed."""
    cell = atoms.copy()
    cell.calc = calculator
    if seed is not None:
        rng = np.random.default_rng(seed)
        cell.rattle(SHAKEN, rng=rng)
        while nearest(cell)[0] < CONTACT:
            cell.positions = atoms.positions
            cell.rattle(SHAKEN, rng=rng)
    FIRE(cell, logfile=None).run(fmax=FORCE, steps=STEPS)
    return cell


def nearest(cell: Atoms) -> tuple[float, str]:
    """Return the shortest distance as a share of the sum of covalent radii, and whose it is."""
    i, j, lengths = neighbor_list("ijd", cell, 3.0)
    ratios = lengths / (covalent_radii[cell.numbers[i]] + covalent_radii[cell.numbers[j]])
    k = int(ratios.argmin())
    return float(ratios[k]), f"{cell.symbols[i[k]]} and {cell.symbols[j[k]]} {lengths[k]:.2f} Angstrom apart"


def hole(cell: Atoms, energy: float) -> str | None:
    """Return what is wrong with a relaxed cell beside the energy (eV) of the one that was not shaken."""
    below = (energy - float(cell.get_potential_energy())) / len(cell)
    if not np.isfinite(below) or below > DEEPEST:
        return f"{below:.2f} eV/atom below the cell that was not shaken"
    share, who = nearest(cell)
    return who if share < CONTACT else None


def judged(atoms: Atoms, calculator: Calculator, hunts: int) -> dict[str, Any]:
    """Return what one potential does wrong, with how much was tried."""
    walls: dict[str, dict[str, float | None]] = {}
    for a, b in itertools.combinations_with_replacement(np.unique(atoms.numbers), 2):
        for where, energies in (
            ("alone", alone(a, b, calculator)),
            ("in the cell", among_others(atoms, a, b, calculator)),
        ):
            if energies is not None:
                walls[f"{chemical_symbols[a]}-{chemical_symbols[b]} {where}"] = wall(energies, radii(a, b))
    quiet = float(relaxed(atoms, calculator, None).get_potential_energy())
    found = {seed: hole(relaxed(atoms, calculator, seed), quiet) for seed in range(1, hunts + 1)}
    holes = {str(seed): wrong for seed, wrong in found.items() if wrong}
    low = sorted(name for name, one in walls.items() if (one["height_eV"] or 0.0) < HIGH)
    return {"walls": walls, "low": low, "hunts": hunts, "holes": holes}


def main() -> int:
    """Judge every model, print, and compare with the aims."""
    warnings.filterwarnings("ignore")
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--potential", type=Path, nargs="+", required=True)
    parser.add_argument("--start", type=Path, required=True, help="anything that ASE reads; the last frame counts")
    parser.add_argument("--hunts", type=int, default=20)
    given = parser.parse_args()
    from mace.calculators import MACECalculator

    atoms = ase.io.read(given.start, index=-1)
    atoms.pbc = True
    found = {}
    for path in given.potential:
        calculator = MACECalculator(model_paths=str(path), device="cpu", default_dtype="float64")
        found[path.name] = judged(atoms, calculator, given.hunts)
        print(path.name, found[path.name], flush=True)
    shut = sum(len(one["low"]) + len(one["holes"]) for one in found.values())
    print(json.dumps({"n_atoms": len(atoms), "models": found, "met": shut == 0}))
    return int(shut > 0)


if __name__ == "__main__":
    sys.exit(main())
