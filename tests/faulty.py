"""Teachers that fail on purpose, or take their time."""

import time

import numpy as np
from ase.calculators.emt import EMT

from aiida_haml.engines.toy_ions import ToyIons


class BreaksAfter(EMT):
    """Gives NaN after a number of evaluations."""

    def __init__(self, evaluations: int):
        super().__init__()
        self.left = evaluations

    def calculate(self, *args, **kwargs):
        super().calculate(*args, **kwargs)
        self.left -= 1
        if self.left < 0:
            self.results["energy"] = np.nan


class RefusesOxygen(ToyIons):
    """Gives NaN for cells with oxygen, but not for an isolated atom of it."""

    def calculate(self, atoms=None, *args, **kwargs):
        super().calculate(atoms, *args, **kwargs)
        if len(self.atoms) > 1 and "O" in self.atoms.get_chemical_symbols():
            self.results["energy"] = np.nan


class RefusesContacts(EMT):
    """Gives NaN where two atoms are closer than a distance, Angstrom."""

    def __init__(self, distance: float):
        super().__init__()
        self.distance = distance

    def calculate(self, atoms=None, *args, **kwargs):
        super().calculate(atoms, *args, **kwargs)
        distances = self.atoms.get_all_distances(mic=True)
        if np.min(distances[~np.eye(len(distances), dtype=bool)]) < self.distance:
            self.results["energy"] = np.nan


class SlowIons(ToyIons):
    """Takes its time without taking a core, as a code on another machine does."""

    def __init__(self, seconds: float, **kwargs):
        super().__init__(**kwargs)
        self.seconds = seconds

    def calculate(self, *args, **kwargs):
        time.sleep(self.seconds)
        super().calculate(*args, **kwargs)


class Coarse(EMT):
    """Forces with the ripple of a coarse grid: on each atom another error (root mean square of a component, eV/Å)."""

    def __init__(self, ripple: float):
        super().__init__()
        self.ripple = ripple

    def calculate(self, *args, **kwargs):
        super().calculate(*args, **kwargs)
        places = np.asarray(self.atoms.positions)
        seed = int(abs(places).sum() * 1e9) % 2**32
        self.results["forces"] = self.results["forces"] + self.ripple * np.random.default_rng(seed).normal(
            size=places.shape
        )
