"""Cheap labels: hot Cu-Au crystals under ASE's effective-medium theory."""

import numpy as np
from ase import Atoms
from ase.build import bulk
from ase.calculators.emt import EMT

from aiida_haml.frames import Frames

#: Settings that train in seconds: a real MACE, of the smallest useful size.
QUICK = {
    "num_channels": 8,
    "r_max": 4.0,
    "max_epochs": 16,
    "fine_tune_epochs": 6,
    "lr": 0.02,
    "batch_size": 2,
    "valid_fraction": 0.2,
    "held_out_fraction": 0.1,
}


def emt_frames(n_frames: int, seed: int = 0, amplitude: float = 0.12) -> Frames:
    """Return labelled frames of 16 atoms, displaced at random from the lattice (Angstrom), 1 fs apart."""
    rng = np.random.default_rng(seed)
    images = []
    for i in range(n_frames):
        atoms = bulk("Cu", "fcc", a=3.9, cubic=True).repeat((2, 2, 1))
        atoms.symbols[::4] = "Au"
        atoms.positions += rng.normal(scale=amplitude, size=atoms.positions.shape)
        atoms.calc = EMT()
        atoms.get_forces()
        atoms.info["time"] = float(i)
        images.append(atoms)
    return Frames.from_ase(images)


def isolated_atom(symbol: str) -> Frames:
    """Return one labelled atom in an empty box."""
    atoms = Atoms(symbol, positions=[[6.0, 6.0, 6.0]], cell=[12.0] * 3, pbc=True)
    atoms.calc = EMT()
    atoms.get_forces()
    return Frames.from_ase(atoms)


#: Settings of a round's learning that take seconds.
LEARN = {
    "num_channels": 8,
    "r_max": 4.0,
    "steps_first": 150,
    "steps_per_round": 60,
    "batch_size": 2,
    "gate_steps": 20,
    "n_explored": 0,
    "device": "cpu",
}
