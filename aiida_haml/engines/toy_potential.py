"""What the toy potentials share: a neighbour list, and results made of pairs."""

from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes
from ase.stress import full_3x3_to_voigt_6_stress
from vesin import NeighborList

from aiida_haml.arrays import FloatArray, IntArray


class ToyPotential(Calculator):
    """Potential of pairs with energy, forces and stress in ASE's units; a subclass says what a pair costs.

    Parameters
    ----------
    cutoff : float
        Angstrom.
    """

    implemented_properties = ["energy", "free_energy", "energies", "forces", "stress"]

    def __init__(self, cutoff: float, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.cutoff = float(cutoff)
        self._neighbours = NeighborList(cutoff=self.cutoff, full_list=True, n_threads=1)

    def evaluate(self, numbers: IntArray, i: IntArray, j: IntArray, r: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return the energies (N,) of the atoms, eV, and what each pair pulls with (P,), eV/Angstrom.

        Parameters
        ----------
        numbers : (N,) int array
            Atomic numbers.
        i, j : (P,) int array
            Pairs, each in both directions.
        r : (P,) array
            Distances, Angstrom.
        """
        raise NotImplementedError

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: list[str] | None = None,
        system_changes: list[str] = all_changes,
    ) -> None:
        """Fill ``results``; ASE calls this."""
        super().calculate(atoms, properties, system_changes)
        here = self.atoms if atoms is None else atoms
        if here is None:
            raise ValueError(f"atoms: None was given to {type(self).__name__}. Attach it to atoms, or pass them.")
        i, j, r, step = self._neighbours.compute(
            points=here.positions, box=here.cell.array, periodic=here.pbc.tolist(), quantities="ijdD"
        )
        i, j = i.astype(np.int64), j.astype(np.int64)
        energies, slope = self.evaluate(here.numbers, i, j, r)
        pull = (slope / r)[:, None] * step
        self.results = {
            "energies": energies,
            "energy": float(energies.sum()),
            "free_energy": float(energies.sum()),
            "forces": np.stack([np.bincount(i, weights=pull[:, k], minlength=len(here)) for k in range(3)], axis=1),
        }
        if here.cell.rank == 3:
            virial = 0.5 * pull.T @ step
            self.results["stress"] = full_3x3_to_voigt_6_stress(virial / here.get_volume())
