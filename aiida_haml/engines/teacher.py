"""The teacher: any ASE calculator taken as if it were ab initio, to rehearse a protocol for free."""

from __future__ import annotations

import os
import time
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms, units
from ase.calculators.calculator import Calculator
from ase.filters import FrechetCellFilter
from ase.md.bussi import Bussi
from ase.optimize import FIRE, LBFGS
from ase.optimize.optimize import Optimizer

from aiida_haml.engines.calculators import load_calculator
from aiida_haml.engines.outcome import reports_errors, write_results
from aiida_haml.frames import Frames, maxwell_boltzmann


@reports_errors
def run(folder: Path, task: dict[str, Any]) -> None:
    """Label an MD run or a relaxation from the last frame of ``inputs/initial``, or else each frame of it.

    A run that exceeds its wall time, or meets energies that are not finite, keeps the frames done so far; of single
    points only those are left out that are not finite.
    """
    initial = Frames.load(folder / "inputs" / "initial")
    recorder = Recorder(initial[-1])
    calculator = load_calculator(task["calculator"], task.get("parameters", {}))
    limit = task.get("max_wall_time_s")
    results: dict[str, Any] = {"code_version": version_of(calculator), "steps_done": 0}
    if "md" in task:
        results["stopped"] = burst(initial[-1], calculator, task["md"], recorder, limit)
    elif "relax" in task:
        results["stopped"] = relaxation(initial[-1], calculator, task["relax"], recorder, limit)
    else:
        results["stopped"], results["kept"] = single_points(initial, calculator, recorder, limit)
    if recorder.images:
        recorder.frames().save(folder / "frames")
    if "kept" not in results:
        results["steps_done"] = max(len(recorder.images) - 1, 0)
    steps = results["steps_done"]
    write_results(folder, {**results, "seconds_per_step": recorder.seconds / steps if steps else None})


def version_of(calculator: Calculator) -> str:
    """Return the name and the version of the package that a calculator comes from."""
    package = type(calculator).__module__.partition(".")[0]
    try:
        return f"{package} {metadata.version(package)}"
    except metadata.PackageNotFoundError:
        return f"{package} without a version"


def burst(
    initial: Frames, calculator: Calculator, md: dict[str, Any], recorder: Recorder, limit: float | None
) -> str | None:
    """Run NVT with the Bussi thermostat from a frame; return why it stopped early, or None.

    Parameters
    ----------
    initial : Frames
        One frame; its velocities, or a draw from ``md['seed']``.
    md : dict
        ``steps``, ``timestep_fs``, ``temperature_K``, ``thermostat_time_fs``, ``seed``.
    limit : float or None
        Wall time in seconds.
    """
    atoms = _atoms(initial, calculator)
    velocities = initial.velocities
    if velocities is None:
        velocities = maxwell_boltzmann(initial.masses, md["temperature_K"], md["seed"])[None]
    atoms.set_velocities(velocities[0] / units.fs)
    dynamics = BussiAtRest(
        atoms,
        timestep=md["timestep_fs"] * units.fs,
        temperature_K=md["temperature_K"],
        taut=md["thermostat_time_fs"] * units.fs,
        rng=np.random.default_rng(md["seed"]),
    )
    begun = time.perf_counter()
    for step in range(md["steps"] + 1):
        if step:
            dynamics.run(1)
        if not _is_finite(atoms):
            return "not_finite"
        recorder.record(atoms, step * md["timestep_fs"])
        recorder.seconds = time.perf_counter() - begun
        if limit is not None and recorder.seconds > limit:
            return "wall_time" if step < md["steps"] else None
    return None


class BussiAtRest(Bussi):
    """ASE's thermostat for atoms whose centre of mass is at rest: 3N - 3 degrees of freedom carry the heat."""

    def __init__(self, atoms: Atoms, **settings: Any) -> None:
        super().__init__(atoms, **settings)
        self.ndof = max(self.ndof - 3, 1)
        self.target_kinetic_energy = 0.5 * self.temp * self.ndof


def relaxation(
    initial: Frames, calculator: Calculator, relax: dict[str, Any], recorder: Recorder, limit: float | None
) -> str | None:
    """Relax a frame; return why it stopped early, or None.

    Parameters
    ----------
    relax : dict
        ``steps``, at most, and ``max_force``, eV / Angstrom; with ``max_pressure_GPa`` the lengths of the cell too,
        its angles held, until the pressure is below it.
    limit : float or None
        Wall time in seconds.
    """
    atoms = _atoms(initial, calculator)
    begun = time.perf_counter()
    # What has arrived is judged here: a filter mixes stress with forces, in units of its own.
    for _ in _optimizer(atoms, relax).irun(fmax=0.0, steps=relax["steps"]):
        if not _is_finite(atoms):
            return "not_finite"
        recorder.record(atoms, None)
        recorder.seconds = time.perf_counter() - begun
        if _is_relaxed(atoms, relax):
            return None
        if limit is not None and recorder.seconds > limit:
            return "wall_time"
    return None


def _optimizer(atoms: Atoms, relax: dict[str, Any]) -> Optimizer:
    """Return FIRE, which survives the contacts of a built interface, or L-BFGS for crystals: a quarter of the steps."""
    if "max_pressure_GPa" in relax:
        lengths: Any = FrechetCellFilter(atoms, mask=[True, True, True, False, False, False])
        return LBFGS(lengths, logfile=os.devnull)
    return FIRE(atoms, logfile=os.devnull)


def _is_relaxed(atoms: Atoms, relax: dict[str, Any]) -> bool:
    if np.linalg.norm(atoms.get_forces(), axis=1).max() >= relax["max_force"]:
        return False
    if "max_pressure_GPa" not in relax:
        return True
    return bool(abs(atoms.get_stress()[:3].mean()) / units.GPa <= relax["max_pressure_GPa"])


def single_points(
    initial: Frames, calculator: Calculator, recorder: Recorder, limit: float | None
) -> tuple[str | None, list[int]]:
    """Evaluate each frame; return why it stopped early, or None, and the indices of the frames that gave a label."""
    begun = time.perf_counter()
    kept: list[int] = []
    for i, frame in enumerate(initial):
        atoms = _atoms(frame, calculator)
        if _is_finite(atoms):
            recorder.record(atoms, None)
            kept.append(i)
        if limit is not None and time.perf_counter() - begun > limit and i + 1 < len(initial):
            return "wall_time", kept
    return None, kept


class Recorder:
    """Labelled copies of the atoms, step by step."""

    def __init__(self, initial: Frames):
        self.start = 0.0 if initial.times is None else float(initial.times[-1])
        self.images: list[Atoms] = []
        self.seconds = 0.0

    def record(self, atoms: Atoms, time_fs: float | None) -> None:
        """Keep energy, forces and, for a periodic cell, stress of the present configuration; no time if it has none."""
        copy = atoms.copy()
        if time_fs is not None:
            copy.info["time"] = self.start + time_fs
        results = {"energy": atoms.get_potential_energy(), "forces": atoms.get_forces().copy()}
        if atoms.pbc.all() and "stress" in atoms.calc.implemented_properties:
            results["stress"] = atoms.get_stress()
        copy.calc = Calculator()
        copy.calc.results = results
        self.images.append(copy)

    def frames(self) -> Frames:
        """Return what was recorded."""
        return Frames.from_ase(self.images)


def _atoms(frame: Frames, calculator: Calculator) -> Atoms:
    atoms = Atoms(frame.numbers, frame.positions[0], cell=frame.cells[0], pbc=frame.pbc)
    atoms.calc = calculator
    return atoms


def _is_finite(atoms: Atoms) -> bool:
    return bool(np.isfinite(atoms.get_potential_energy()) and np.isfinite(atoms.get_forces()).all())
