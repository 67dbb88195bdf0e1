"""The callback that serves a potential to LAMMPS through ``fix external``, and has every step looked at."""

import time
from typing import Any

import numpy as np
from ase import Atoms, units
from ase.data import atomic_masses
from numpy.typing import NDArray

from aiida_haml.arrays import FloatArray
from aiida_haml.engines.lammps_dump import PICOSECOND
from aiida_haml.engines.mace_forces import Evaluation, MaceModel, ModelRefusedError, Neighbours
from aiida_haml.engines.outcome import seconds_so_far
from aiida_haml.engines.parity import parity
from aiida_haml.engines.stretch import Ending, StretchTask
from aiida_haml.engines.watchman import Snapshot, StoppedError, Watchman

#: Names of the fix that carries the potential, and of the deck's thermostat.
FIX, THERMOSTAT = "haml", "thermostat"
#: Steps in which TorchScript still compiles the model, left out of the time of a step.
WARM_UP = 5


class Driver:
    """The callback of ``fix external``: gives LAMMPS the potential's forces, energy and virial in every step.

    An exception must not leave a callback that C calls, so what goes wrong is kept in `ending`, and LAMMPS
    is asked to stop after the step.

    Parameters
    ----------
    lammps : lammps.lammps
    models : list of MaceModel
        The first one drives.
    numbers : (N,) int array
        Atomic numbers.
    task : StretchTask, optional
    watchman : Watchman, optional
        Without one nothing is watched.
    """

    def __init__(
        self,
        lammps: Any,
        models: list[MaceModel],
        numbers: NDArray[np.int64],
        task: StretchTask | None,
        watchman: Watchman | None,
    ) -> None:
        self.lammps, self.model, self.numbers = lammps, models[0], numbers
        self.task, self.watchman = task, watchman
        self.cutoff = max(model.cutoff for model in models)
        self.ending: Ending | None = None
        self.parity: dict[str, float] | None = None
        self.seconds = 0.0
        self._neighbours = Neighbours(self.cutoff)
        self._last_step: int | None = None
        self._calls, self._warm_cpu, self._last_cpu = 0, 0.0, 0.0
        limit = None if task is None else task.max_wall_time_s
        #: Of the whole process: what came before the first step counts.
        self._deadline = np.inf if limit is None else time.perf_counter() + limit - seconds_so_far()

    def __call__(
        self, _: Any, step: int, n_local: int, tags: NDArray[np.int64], positions: FloatArray, forces: FloatArray
    ) -> None:
        """Write the forces of one step into ``forces``, in LAMMPS' order of the atoms."""
        begun = time.perf_counter()
        self._calls, self._last_cpu = self._calls + 1, time.process_time()
        if self._calls == WARM_UP:
            self._warm_cpu = self._last_cpu
        try:
            self._step(step, n_local, np.argsort(tags), positions, forces)
        except StoppedError as stopped:
            self._stop(Ending(stopped.kind, step, f"At step {step}: {stopped}"), forces)
        except ModelRefusedError as refused:
            self._stop(Ending("model_refused", step, str(refused)), forces)
        except Exception as error:  # C would drop it
            self._stop(Ending("lammps_error", step, f"At step {step} the potential failed: {error!r}."), forces)
        self._last_step = step
        self.seconds += time.perf_counter() - begun
        if time.perf_counter() > self._deadline:
            self._stop(Ending("wall_time", step, f"The wall time ended the run after {step} steps."))

    @property
    def cpu_s_per_step(self) -> float | None:
        """CPU time of a whole step of LAMMPS once the model is warm, s; None for a run too short to tell."""
        counted = self._calls - WARM_UP
        return (self._last_cpu - self._warm_cpu) / counted if counted > 0 else None

    def terminate(self, *_: Any) -> None:
        """End the run after the current step: the scheduler's time is up."""
        step = int(self.lammps.extract_global("ntimestep"))
        self._stop(Ending("wall_time", step, "The job was told to end (SIGTERM)."))

    def _step(
        self, step: int, n_local: int, by_tag: NDArray[np.int64], positions: FloatArray, forces: FloatArray
    ) -> None:
        """Serve one step; ``by_tag`` holds LAMMPS' index of each atom."""
        if n_local != len(self.numbers):
            missing = len(self.numbers) - n_local
            raise StoppedError("lost_atoms", f"{missing} of {len(self.numbers)} atoms left the cell.")
        if not np.isfinite(positions).all():
            raise StoppedError("not_finite", "A position is not finite.")
        cell, periodic = self._box()
        graph = self._neighbours.graph(positions[by_tag], cell, periodic)
        evaluation = self.model.evaluate(graph)
        if not evaluation.is_finite:
            raise StoppedError("not_finite", "The potential gave forces that are not finite.")
        if self.parity is None:
            atoms = Atoms(self.numbers, positions[by_tag], cell=cell, pbc=periodic)
            self.parity = parity(self.model, atoms, evaluation)
        forces[by_tag] = evaluation.forces
        self.lammps.fix_external_set_energy_global(FIX, evaluation.energy)
        self.lammps.fix_external_set_virial_global(FIX, _voigt(evaluation.virial))
        if self.watchman is None or self.task is None or (self.watchman.is_begun and step == self._last_step):
            return  # a `run` looks again at the step where the one before ended
        velocities = self._velocities(step, by_tag, evaluation)
        now = Snapshot(step, graph, evaluation, velocities, abs(np.linalg.det(cell)), self._thermostat())
        is_due = step % self.task.thresholds.every == 0 or step == self.task.steps
        breach = self.watchman.look(now, is_due)
        self.lammps.fix_external_set_vector(FIX, 1, self.watchman.deviation)
        if breach is not None:
            self._stop(breach)

    def _box(self) -> tuple[FloatArray, NDArray[np.bool_]]:
        low, high, xy, yz, xz, periodic, _ = self.lammps.extract_box()
        edges = np.subtract(high, low)
        return np.array([[edges[0], 0.0, 0.0], [xy, edges[1], 0.0], [xz, yz, edges[2]]]), np.array(periodic, dtype=bool)

    def _velocities(self, step: int, by_tag: NDArray[np.int64], evaluation: Evaluation) -> FloatArray:
        """Return the velocities of this step, Angstrom / fs.

        Velocity Verlet calls for forces when it has the velocities of half a step before, except at the start of a
        run; the thermostat acts later.
        """
        found = self.lammps.numpy.extract_atom("v")[: len(by_tag)][by_tag] / PICOSECOND
        if self._last_step is None or step == self._last_step:
            return found
        half_step = 0.5 * self.lammps.extract_global("dt") * PICOSECOND * units.fs
        return found + half_step * evaluation.forces / atomic_masses[self.numbers][:, None] * units.fs

    def _thermostat(self) -> float:
        """Return the energy that the thermostat took since the start, eV."""
        if not self.lammps.has_id("fix", THERMOSTAT):
            return 0.0
        return float(self.lammps.extract_fix(THERMOSTAT, 0, 0))  # a global scalar

    def _stop(self, ending: Ending, forces: FloatArray | None = None) -> None:
        if forces is not None:
            forces[:] = 0.0
        if self.ending is None:
            self.ending = ending
        self.lammps.force_timeout()


def _voigt(virial: FloatArray) -> list[float]:
    """Return xx, yy, zz, xy, xz, yz of a symmetric tensor."""
    symmetric = (virial + virial.T) / 2
    return [float(symmetric[k]) for k in ((0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2))]
