"""The watchman: measures what the watch compares, in a running stretch or afterwards, and writes it down."""

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ase import units
from ase.data import atomic_masses
from numpy.typing import NDArray

from aiida_haml.arrays import FloatArray
from aiida_haml.engines.mace_forces import Evaluation, Graph, MaceModel
from aiida_haml.engines.pairs import ElementPairs
from aiida_haml.engines.records import RecordWriter
from aiida_haml.engines.stretch import Ending
from aiida_haml.engines.watch import Checks, Thresholds, breaches, check_type, sentence
from aiida_haml.learning.errors import force_deviation


class StoppedError(Exception):
    """The run cannot go on.

    Parameters
    ----------
    kind : str
        As `Ending` has it: ``not_finite``, ``lost_atoms``, ``model_refused`` or ``lammps_error``.
    message : str
        A full sentence.
    """

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


@dataclass(frozen=True)
class Snapshot:
    """A run at one step.

    Parameters
    ----------
    step : int
    graph : Graph
    driving : Evaluation
        What the driving member says of it.
    velocities : (N, 3) array
        Of this step, not of half a step before; Angstrom / fs.
    volume : float
        Angstrom^3.
    thermostat : float
        Energy that the thermostat has taken since the start, eV; NaN where it is not known.
    """

    step: int
    graph: Graph
    driving: Evaluation
    velocities: FloatArray
    volume: float
    thermostat: float


class Watchman:
    """Compares a run with its thresholds and writes down what it saw.

    Parameters
    ----------
    thresholds : Thresholds
    models : list of MaceModel
        The committee; the first one drives the run.
    numbers : (N,) int array
        Atomic numbers.
    path : Path
        Where the checks go, one record each (`check_type`).
    """

    def __init__(self, thresholds: Thresholds, models: list[MaceModel], numbers: NDArray[np.int64], path: Path) -> None:
        self.thresholds, self.models = thresholds, models
        self.pairs = ElementPairs(numbers)
        self.seconds = 0.0
        #: Last deviation measured, eV / Angstrom.
        self.deviation = 0.0
        self._masses = atomic_masses[numbers]
        self._type = check_type(len(self.pairs.names))
        self._file = RecordWriter(path, self._type)
        self._conserved_at_start: float | None = None

    @property
    def is_begun(self) -> bool:
        """Whether anything was looked at."""
        return self._conserved_at_start is not None

    def look(self, now: Snapshot, is_due: bool) -> Ending | None:
        """Check one step, with the whole committee where it is due; return the breach, if it is one.

        Raises
        ------
        StoppedError
            If a velocity, or a force of a member, is not finite.
        """
        begun = time.perf_counter()
        check = self._measure(now)
        if is_due:
            self._compare_members(now, check)
        exceeded = breaches(self.thresholds, check, self.pairs)
        if is_due or exceeded:
            self._file.append(check)
        self.seconds += time.perf_counter() - begun
        if not exceeded:
            return None
        return Ending(exceeded[0], now.step, sentence(self.thresholds, check, self.pairs, exceeded[0]))

    def _measure(self, now: Snapshot) -> Checks:
        """Return a table of one check of all that comes with the forces."""
        kinetic = 0.5 * self._masses * ((now.velocities / units.fs) ** 2).sum(axis=1)
        total = float(kinetic.sum())
        if not np.isfinite(total):
            raise StoppedError("not_finite", "A velocity is not finite.")
        freedom = max(3 * len(kinetic) - 3, 1)  # the centre of mass rests
        conserved = now.driving.energy + total + now.thermostat
        if self._conserved_at_start is None:
            self._conserved_at_start = conserved
        check = np.zeros(1, dtype=self._type)
        check["step"], check["energy"] = now.step, now.driving.energy
        check["temperature"] = 2 * total / (freedom * units.kB)
        check["hottest"] = kinetic.argmax()
        check["kinetic_energy"] = kinetic.max()
        check["drift"] = (conserved - self._conserved_at_start) / len(kinetic)
        # The ideal-gas part as LAMMPS has it, with the same degrees of freedom as the temperature.
        check["pressure"] = (2 * total + np.trace(now.driving.virial)) / (3 * now.volume) / units.GPa
        check["deviation"], check["deviating"] = np.nan, -1
        graph = now.graph
        check["distance"] = self.pairs.shortest(graph.distances, graph.senders, graph.receivers)
        return check

    def _compare_members(self, now: Snapshot, check: Checks) -> None:
        if len(self.models) < 2:
            return
        members = [now.driving, *(model.evaluate(now.graph) for model in self.models[1:])]
        if not all(member.is_finite for member in members):
            raise StoppedError("not_finite", "A member of the committee gave forces that are not finite.")
        deviations = force_deviation(np.stack([member.forces for member in members]))
        self.deviation = float(deviations.max())
        check["deviation"], check["deviating"] = self.deviation, deviations.argmax()
