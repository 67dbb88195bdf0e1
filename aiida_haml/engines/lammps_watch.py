"""`haml-engine watch`: the watch of a stretch that a LAMMPS ran which does not know it, over the frames that it saved.

Reads ``task.json`` (`aiida_haml.engines.stretch.StretchTask`), the members of the committee, LAMMPS' log and its
dumps. Leaves ``checks.npy`` and ``results.json``, as `haml-lammps` does, with a check of every frame: it sees nothing
of what lies between them.
"""

from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.data import atomic_numbers

from aiida_haml.engines.lammps_dump import DumpedFrame, read_run
from aiida_haml.engines.lammps_files import LOG, Log, read_log
from aiida_haml.engines.mace_forces import Evaluation, Graph, MaceModel, load_committee
from aiida_haml.engines.outcome import seconds_so_far, write_results
from aiida_haml.engines.parity import parity
from aiida_haml.engines.stretch import CHECKS, Ending, StretchTask
from aiida_haml.engines.watchman import Snapshot, StoppedError, Watchman

PERIODIC = np.ones(3, dtype=bool)


def run(folder: Path, task: dict[str, Any]) -> None:
    """Watch a run that is over, up to its first breach."""
    stretch = StretchTask.from_dict(task)
    log = read_log((folder / LOG).read_text())
    frames = read_run(folder, stretch.n_atoms)
    results: dict[str, Any] = {"steps_done": frames[-1].step if frames else 0}
    ending = None
    if frames:
        symbols = [stretch.elements[kind - 1] for kind in frames[0].types]
        try:
            models = load_committee(folder, dict(stretch.models), symbols, stretch.precision)
            results["parity"] = compare(models[0], frames[0], symbols, log)
            ending = watch(stretch, models, frames, log, folder / CHECKS)
        except StoppedError as stopped:
            ending = Ending(stopped.kind, None, str(stopped))
        except ValueError as error:  # of a model
            ending = Ending("model_refused", 0, str(error))
    write_results(folder, (ending or Ending.from_log(log, stretch.steps)).results() | results)


def watch(
    stretch: StretchTask, models: list[MaceModel], frames: list[DumpedFrame], log: Log, path: Path
) -> Ending | None:
    """Check all frames in order; return the first breach, or that time was up, if it was.

    Raises
    ------
    StoppedError
        If a force is not finite.
    """
    numbers = np.array([atomic_numbers[stretch.elements[kind - 1]] for kind in frames[0].types])
    watchman = Watchman(stretch.thresholds, models, numbers, path)
    thermostat = dict(zip(log.thermo.get("Step", []), log.thermo.get("f_thermostat", []), strict=False))
    cutoff = max(model.cutoff for model in models)
    for frame in frames:
        if stretch.max_wall_time_s is not None and seconds_so_far() > stretch.max_wall_time_s:
            return Ending("wall_time", frame.step, f"The watch ended by its wall time before step {frame.step}.")
        graph = Graph.within(cutoff, frame.positions, frame.cell, PERIODIC)
        driving = models[0].evaluate(graph)
        if not driving.is_finite:
            raise StoppedError("not_finite", f"The potential's forces at step {frame.step} are not finite.")
        volume = float(np.linalg.det(frame.cell))
        taken = thermostat.get(frame.step, np.nan)
        if breach := watchman.look(Snapshot(frame.step, graph, driving, frame.velocities, volume, taken), True):
            return breach
    return None


def compare(driver: MaceModel, frame: DumpedFrame, symbols: list[str], log: Log) -> dict[str, float]:
    """Return the parity of what LAMMPS wrote of a frame with the trainer's path.

    Raises
    ------
    ModelRefusedError
        If LAMMPS computed other forces.
    """
    energy = dict(zip(log.thermo.get("Step", []), log.thermo.get("PotEng", []), strict=False)).get(frame.step, np.nan)
    atoms = Atoms(symbols, frame.positions, cell=frame.cell, pbc=True)
    return parity(driver, atoms, Evaluation(energy, frame.forces, np.zeros((3, 3))))
