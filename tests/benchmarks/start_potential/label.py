"""Label frames with SevenNet, in an environment of its own: it asks for another e3nn than MACE does.

python label.py MODEL INPUT.extxyz OUTPUT.extxyz
"""

import sys
import time

import numpy as np
import torch
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import read, write
from sevenn.calculator import SevenNetCalculator


def main(model: str, source: str, target: str) -> None:
    """Evaluate every frame; those that give no finite numbers are left out."""
    torch.set_num_threads(1)
    level = SevenNetCalculator(model, device="cpu")
    labelled = []
    began = time.perf_counter()
    for atoms in read(source, ":"):
        atoms.calc = level
        energy, forces = atoms.get_potential_energy(), atoms.get_forces()
        if np.isfinite(energy) and np.isfinite(forces).all():
            copy = atoms.copy()
            copy.calc = SinglePointCalculator(copy, energy=energy, forces=forces)
            labelled.append(copy)
    write(target, labelled)
    print(f"{len(labelled)} labels in {time.perf_counter() - began:.0f} s", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
