"""A stretch as a task: what its job is told besides the deck, and how it can end.

``task.json`` serves `haml-lammps`, which watches as it goes, and `haml-engine watch`, which watches afterwards what
another LAMMPS has run. Either leaves ``checks.npy`` and ``results.json``.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from aiida_haml.engines.lammps_files import Log
from aiida_haml.engines.watch import Thresholds

TASK = "task.json"
CHECKS = "checks.npy"
RESULTS = "results.json"

#: Precisions of the model that drives.
PRECISIONS = ("float32", "float64")


@dataclass(frozen=True)
class StretchTask:
    """What is to be run and watched.

    Parameters
    ----------
    models : dict of str to str
        File name and sha256 of each member of the committee; the first one drives the dynamics.
    elements : list of str
        Chemical symbol of each atom type.
    n_atoms : int
    steps : int
        After which the run is complete.
    timestep_fs : float
    thresholds : Thresholds
    precision : str
        Of the models in the dynamics, whatever that of their files: ``float32`` is as good for forces and twice as
        fast.
    max_wall_time_s : float, optional
        Seconds after the start of the process at which it ends by itself.
    """

    models: dict[str, str]
    elements: list[str]
    n_atoms: int
    steps: int
    timestep_fs: float
    thresholds: Thresholds
    precision: str = "float32"
    max_wall_time_s: float | None = None

    def __post_init__(self) -> None:
        if self.precision not in PRECISIONS:
            raise ValueError(f"precision is {self.precision!r}; it has to be one of {', '.join(PRECISIONS)}.")

    def write(self, path: Path) -> None:
        """Write the task as JSON."""
        path.write_text(json.dumps(asdict(self), indent=2))

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """Make the task of what `write` wrote.

        Raises
        ------
        ValueError
            If the values are no such task.
        """
        try:
            return cls(**{**values, "thresholds": Thresholds.from_dict(values["thresholds"])})
        except (KeyError, TypeError) as error:
            raise ValueError(f"{TASK} is no task of a stretch ({error!r}); write it with StretchTask.write.") from error


@dataclass(frozen=True)
class Ending:
    """How a run ended.

    Parameters
    ----------
    kind : str or None
        None where it did all its steps; one of `watch.QUANTITIES` in a breach; ``wall_time``, ``killed``,
        ``lost_atoms``, ``not_finite``, ``model_refused`` or ``lammps_error``.
    step : int or None
    reason : str
        A sentence, or nothing.
    """

    kind: str | None = None
    step: int | None = None
    reason: str = ""

    def results(self) -> dict[str, Any]:
        """Return the entries of ``results.json``."""
        return {"stopped_by": self.kind, "stopped_at_step": self.step, "reason": self.reason or None}

    @classmethod
    def from_results(cls, results: dict[str, Any]) -> Self:
        """Read what `results` returned."""
        return cls(results["stopped_by"], results["stopped_at_step"], results["reason"] or "")

    @classmethod
    def from_log(cls, log: Log, steps: int) -> Self:
        """Tell from LAMMPS' log alone how a run of so many steps ended."""
        done = int(log.thermo["Step"][-1]) if log.thermo.get("Step") else 0
        if log.error is not None:
            return cls(failure_of_lammps(log.error), done, f"LAMMPS says: {log.error}.")
        if not log.is_complete:
            return cls("killed", done, f"It was killed after {done} of {steps} steps.")
        if done < steps:
            return cls("wall_time", done, f"It ended after {done} of {steps} steps.")
        return cls()


def failure_of_lammps(message: str) -> str:
    """Return the kind of ending that an error message of LAMMPS tells of."""
    return "lost_atoms" if "Lost atoms" in message else "lammps_error"
