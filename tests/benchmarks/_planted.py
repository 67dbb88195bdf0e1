"""Potentials with planted faults, and the truth about them: what `judge.py` lets the hybrid dynamics drive with.

The level of theory is the teacher, so that the truth about any frame costs nothing and can be asked for all of them.
"""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _lessons import learn
from ase import Atoms, units
from ase.md.bussi import Bussi
from ase.optimize import FIRE

from aiida_haml.engines.mace_forces import Graph, MaceModel
from aiida_haml.engines.toy_ions import ATOM_ENERGIES, ToyIons
from aiida_haml.frames import Frames, maxwell_boltzmann
from aiida_haml.learning.judge import Point
from aiida_haml.learning.rounds import RoundSettings

N_MEMBERS = 2


def true_dynamics(built: Atoms, temperatures: tuple[float, ...], ps: float, every_fs: int) -> Frames:
    """Return labelled frames of the teacher's own dynamics from the relaxed cell, one run for each temperature, K."""
    calm = Atoms(built.numbers, built.positions, cell=built.cell, pbc=True, calculator=ToyIons())
    FIRE(calm, logfile=None).run(fmax=0.2, steps=200)
    found = []
    for seed, temperature in enumerate(temperatures):
        atoms = calm.copy()
        atoms.calc = ToyIons()
        atoms.set_velocities(maxwell_boltzmann(atoms.get_masses(), temperature, seed) / units.fs)
        dynamics = Bussi(atoms, units.fs, temperature, taut=50 * units.fs, rng=np.random.RandomState(seed))
        for _ in range(round(1000 * ps / every_fs)):
            dynamics.run(every_fs)
            found.append((atoms.positions.copy(), atoms.get_potential_energy(), atoms.get_forces()))
    positions, energies, forces = (np.array(column) for column in zip(*found, strict=True))
    cells = np.repeat(np.asarray(calm.cell)[None], len(found), axis=0)
    return Frames(calm.numbers, positions, cells, calm.pbc, energies=energies, forces=forces)


def trained(folder: Path, frames: Frames, steps: int) -> list[Path]:
    """Return the models of a committee that has learned from all frames but every tenth."""
    numbers = range(len(frames))
    parts = {"train": [i for i in numbers if i % 10], "valid": list(numbers)[::20], "held_out": list(numbers)[10::20]}
    atoms = {symbol: ATOM_ENERGIES[symbol] for symbol in frames.elements}
    learn(folder, frames, parts, {"n_committee": N_MEMBERS, "steps_first": steps}, isolated=atoms)
    return [folder / f"member_{i}.model" for i in range(N_MEMBERS)]


# -- faults ------------------------------------------------------------------------------------------------


def unanimous(models: list[Path], folder: Path, frames: Frames, error: float) -> list[Path]:
    """Return a committee of equal members, whose forces are off by ``error`` (rms, eV / Angstrom) on the frames.

    The weights of its readouts are moved at random, as far as it takes; that the members agree says nothing.
    """
    low, high = 0.0, 4.0
    path = folder / "member_0.model"
    for _ in range(14):
        amount = 0.5 * (low + high)
        _changed(models[0], path, lambda module, amount=amount: _shake(module, amount))
        found = np.mean([point.force_rmse for point in truth(frames, path)])
        low, high = (amount, high) if found < error else (low, amount)
    return _copies(path)


def hole(models: list[Path], folder: Path, strength: float = 30.0, reach: float = 1.1) -> list[Path]:
    """Return a committee whose short-range repulsion attracts, and reaches a little further than it should.

    It looks right on all that is usual at 300 K (0.1 eV / Angstrom), and atoms that come closer fall into each other.
    """

    def change(module: Any) -> None:
        module.pair_repulsion_fn.c.mul_(-strength)
        module.pair_repulsion_fn.covalent_radii.mul_(reach)

    return _all(models, folder, change)


def runaway(models: list[Path], folder: Path) -> list[Path]:
    """Return a committee whose forces point the wrong way: every atom falls off its hill, and all grow hot."""
    return _all(models, folder, lambda module: module.scale_shift.scale.mul_(-1.0))


def _all(models: list[Path], folder: Path, change: Callable[[Any], Any]) -> list[Path]:
    paths = [folder / path.name for path in models]
    for source, path in zip(models, paths, strict=True):
        _changed(source, path, change)
    return paths


def _changed(source: Path, path: Path, change: Callable[[Any], Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    module = torch.load(source, map_location="cpu", weights_only=False)
    with torch.no_grad():
        change(module)
    torch.save(module, path)


def _shake(module: Any, amount: float) -> None:
    random = torch.Generator().manual_seed(5)
    for parameter in module.readouts.parameters():
        noise = torch.randn(parameter.shape, generator=random, dtype=parameter.dtype)
        parameter.add_(amount * parameter.std() * noise)


def _copies(path: Path) -> list[Path]:
    paths = [path.with_name(f"member_{i}.model") for i in range(N_MEMBERS)]
    for copy in paths[1:]:
        shutil.copy(path, copy)
    return paths


# -- truth -------------------------------------------------------------------------------------------------


def truth(frames: Frames, model: Path) -> list[Point]:
    """Return the true error of a model on every frame."""
    driver = MaceModel.load(model, list(frames.symbols))
    times = np.arange(len(frames)) if frames.times is None else frames.times
    points = []
    for time, atoms in zip(times, frames.to_ase(), strict=True):
        graph = Graph.within(driver.cutoff, atoms.positions, np.asarray(atoms.cell), atoms.pbc)
        found = driver.evaluate(graph)
        atoms.calc = ToyIons()
        wrong = found.forces - atoms.get_forces()
        energy = (found.energy - atoms.get_potential_energy()) / len(atoms)
        largest = float(np.linalg.norm(wrong, axis=1).max())
        points.append(Point(float(time), float(np.sqrt(np.square(wrong).mean())), largest, float(energy)))
    return points


def onset(points: list[Point], settings: RoundSettings) -> float:
    """Return the moment of the first frame at which the truth complains, fs; infinite where there is none."""
    return min((point.time_fs for point in points if point.complaint(settings)), default=float("inf"))
