"""What a stretch left, sorted into the frames that are trusted and those that are not."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from aiida import orm
from aiida.engine import ExitCode
from aiida.parsers import Parser

from aiida_haml.data.frames import FramesData
from aiida_haml.engines import lammps_files
from aiida_haml.engines.lammps_files import DumpedFrame, Log
from aiida_haml.engines.watch import Check, read_checks, summary
from aiida_haml.frames import Frames

#: How a run can end that is no failure.
GOOD_ENDS = (None, "deviation", "temperature", "distance")
#: How it can end otherwise, and the label of the exit code.
BAD_ENDS = {
    "wall_time": "ERROR_OUT_OF_WALLTIME",
    "killed": "ERROR_OUT_OF_WALLTIME",
    "lost_atoms": "ERROR_LOST_ATOMS",
    "not_finite": "ERROR_NOT_FINITE",
    "model_refused": "ERROR_MODEL_REFUSED",
    "lammps_error": "ERROR_LAMMPS",
    "not_watched": "ERROR_NOT_WATCHED",
}
#: Ends from which the frames made so far could be carried on.
HARVESTABLE = (*GOOD_ENDS, "wall_time", "killed")


@dataclass(frozen=True)
class Ending:
    """How a run ended.

    Parameters
    ----------
    kind : str or None
        None where it did all its steps; else a key of `BAD_ENDS` or the threshold that was crossed.
    step : int or None
    reason : str
        A sentence, or nothing.
    """

    kind: str | None
    step: int | None
    reason: str


class LammpsMdParser(Parser):
    """Make nodes of what is whole, whatever ended the run.

    Trusted are the frames up to the last step at which a check passed: a breach, a failure or a kill takes
    back all that came after it. Without a watch, all frames are trusted unless the run failed.
    """

    #: Raise when other outputs are made of the same files.
    CACHE_VERSION = 1

    def parse(self, **kwargs: Any) -> ExitCode | None:
        """Make the outputs; the exit status that the scheduler set (wall time, memory) wins over ours."""
        folder = Path(kwargs["retrieved_temporary_folder"])
        log = lammps_files.read_log(self._text(lammps_files.LOG))
        checks = read_checks(self._text(lammps_files.CHECKS))
        results = json.loads(self._text(lammps_files.RESULTS) or "{}")
        energies = dict(zip(log.thermo.get("Step", []), log.thermo.get("PotEng", []), strict=True))
        energies |= {check.step: check.energy for check in checks}
        dumped = [frame for frame in self._dumped(folder) if frame.step in energies]
        ending = self._ending(results, log, checks)
        trusted_step = self._trusted_step(ending, checks, dumped)
        if dumped:
            self._store(dumped, energies, checks, trusted_step)
        self.out("output_parameters", orm.Dict(_parameters(ending, trusted_step, dumped, log, checks, results)))
        if self.node.exit_status is not None:
            return ExitCode(self.node.exit_status, self.node.exit_message)
        return self._verdict(ending, trusted_step, dumped)

    # -- reading ----------------------------------------------------------------------------------------

    def _text(self, name: str) -> str:
        repository = self.retrieved.base.repository
        return repository.get_object_content(name, mode="r") if name in repository.list_object_names() else ""

    def _dumped(self, folder: Path) -> list[DumpedFrame]:
        n_atoms = self.node.inputs.initial.n_atoms
        frames = list(lammps_files.read_dump(folder / lammps_files.TRAJECTORY, n_atoms))
        last = list(lammps_files.read_dump(folder / lammps_files.LAST_FRAME, n_atoms))
        return frames + [frame for frame in last if frames and frame.step > frames[-1].step]

    def _ending(self, results: dict[str, Any], log: Log, checks: Sequence[Check]) -> Ending:
        """Tell how the run ended, from the launcher's own words or from what a binary or a kill left."""
        wanted = self.node.inputs.md["steps"]
        steps = int(log.thermo["Step"][-1]) if log.thermo.get("Step") else 0
        if results:
            ending = Ending(results["stopped_by"], results["stopped_at_step"], results["reason"] or "")
        elif checks and checks[-1].breach is not None:
            ending = Ending(checks[-1].breach, checks[-1].step, checks[-1].reason or "")
        elif log.error is not None:
            kind = "lost_atoms" if "Lost atoms" in log.error else "lammps_error"
            ending = Ending(kind, steps, f"LAMMPS says: {log.error}.")
        elif not log.is_complete:
            ending = Ending("killed", steps, f"It was killed after {steps} of {wanted} steps.")
        elif steps < wanted:
            ending = Ending("wall_time", steps, f"It ended after {steps} of {wanted} steps.")
        else:
            ending = Ending(None, None, "")
        has_watch = "watch" in self.node.inputs
        return Ending("not_watched", None, "") if ending.kind is None and has_watch and not checks else ending

    def _trusted_step(self, ending: Ending, checks: Sequence[Check], dumped: Sequence[DumpedFrame]) -> int:
        """Return the step of the last frame that is trusted; the initial one always is."""
        if "watch" in self.node.inputs:
            limit = max((check.step for check in checks if check.breach is None), default=0)
        else:
            is_sound = ending.kind in (None, "wall_time", "killed")
            limit = self.node.inputs.md["steps"] if is_sound else 0
        return max((frame.step for frame in dumped if frame.step <= limit), default=0)

    # -- writing ----------------------------------------------------------------------------------------

    def _store(
        self,
        dumped: Sequence[DumpedFrame],
        energies: dict[float, float],
        checks: Sequence[Check],
        trusted_step: int,
    ) -> None:
        frames = self._frames(dumped, energies, checks)
        n_trusted = sum(frame.step <= trusted_step for frame in dumped)
        self.out("frames", FramesData(frames[:n_trusted], kind="stretch"))
        if n_trusted < len(frames):
            self.out("untrusted", FramesData(frames[n_trusted:], kind="untrusted"))

    def _frames(self, dumped: Sequence[DumpedFrame], energies: dict[float, float], checks: Sequence[Check]) -> Frames:
        """Turn dumped frames back into the cell's own frame of reference and units."""
        initial: Frames = self.node.inputs.initial.read(-1)
        _, rotation = lammps_files.lower_triangular(initial.cells[0])
        deviations = {check.step: check.deviation for check in checks if check.deviation is not None}
        start = 0.0 if initial.times is None else initial.times[0]
        steps = np.array([frame.step for frame in dumped])
        return Frames(
            numbers=initial.numbers,
            pbc=initial.pbc,
            cells=np.repeat(initial.cells, len(dumped), axis=0),
            positions=np.array([frame.positions for frame in dumped]) @ rotation.T,
            velocities=np.array([frame.velocities for frame in dumped]) @ rotation.T / lammps_files.PICOSECOND,
            forces=np.array([frame.forces for frame in dumped]) @ rotation.T,
            energies=np.array([energies[step] for step in steps]),
            times=start + steps * self.node.inputs.md["timestep_fs"],
            deviations=np.array([deviations.get(step, np.nan) for step in steps]),
        )

    def _verdict(self, ending: Ending, trusted_step: int, dumped: Sequence[DumpedFrame]) -> ExitCode | None:
        has_frames = bool(dumped)
        if ending.kind in GOOD_ENDS and has_frames:
            return None
        if ending.kind in ("wall_time", "killed"):
            has_frames = trusted_step > 0  # a restart from the initial frame would end the same way
        if ending.kind in HARVESTABLE and not has_frames:
            message = ending.reason or f"{lammps_files.TRAJECTORY} is missing or empty."
            return self.exit_codes.ERROR_NOTHING_HARVESTED.format(message=message)
        return self.exit_codes[BAD_ENDS[str(ending.kind)]].format(message=ending.reason)


def _parameters(
    ending: Ending,
    trusted_step: int,
    dumped: Sequence[DumpedFrame],
    log: Log,
    checks: Sequence[Check],
    results: dict[str, Any],
) -> dict[str, Any]:
    """Return what ``output_parameters`` holds."""
    cpu = log.thermo.get("CPU", [])
    steps = [dumped[-1].step if dumped else 0, *(int(step) for step in log.thermo.get("Step", [])[-1:])]
    return {
        "stopped_by": ending.kind,
        "stopped_at_step": ending.step,
        "reason": ending.reason or None,
        "steps_done": results.get("steps_done", max(steps)),
        "trusted_steps": trusted_step,
        "wall_time_s": results.get("wall_time_s", cpu[-1] if cpu else None),
        "seconds_per_step": log.seconds_per_step,
        "cpu_s_per_step": results.get("cpu_s_per_step"),
        "forces_s": results.get("forces_s"),
        "watch_s": results.get("watch_s"),
        "versions": results.get("versions", {}),
        "checks": summary(list(checks)),
        **_thermodynamics(log, len(dumped[0].positions) if dumped else 0),
    }


def _thermodynamics(log: Log, n_atoms: int) -> dict[str, float]:
    """Return mean and spread of the temperature, and the drift of what CSVR conserves."""
    if not log.thermo.get("Step") or not n_atoms:
        return {}
    columns = {name: np.array(values) for name, values in log.thermo.items()}
    result = {
        "temperature_mean_K": float(columns["Temp"].mean()),
        "temperature_std_K": float(columns["Temp"].std()),
    }
    if len(columns["Time"]) > 1:
        conserved = columns["PotEng"] + columns["KinEng"] + columns["f_thermostat"]
        slope = np.polyfit(columns["Time"], conserved / n_atoms, 1)[0]
        result["conserved_drift_eV_per_atom_per_ps"] = float(slope)
    return result
