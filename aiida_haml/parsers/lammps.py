"""What a stretch left, sorted into the frames that are trusted and those that are not."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from aiida import orm
from aiida.engine import ExitCode
from aiida.parsers import Parser

from aiida_haml.data.frames import FramesData
from aiida_haml.engines import lammps_files
from aiida_haml.engines.lammps_dump import TRAJECTORY, DumpedFrame, read_run
from aiida_haml.engines.lammps_files import Log
from aiida_haml.engines.pairs import ElementPairs
from aiida_haml.engines.records import read_records
from aiida_haml.engines.stretch import CHECKS, RESULTS, Ending
from aiida_haml.engines.watch import QUANTITIES, Checks, Thresholds, Trust, check_type, trust
from aiida_haml.frames import Frames

#: How a run can end that is a failure, and the label of the exit code.
FAILURES = {
    "wall_time": "ERROR_OUT_OF_WALLTIME",
    "killed": "ERROR_KILLED",
    "lost_atoms": "ERROR_LOST_ATOMS",
    "not_finite": "ERROR_NOT_FINITE",
    "model_refused": "ERROR_MODEL_REFUSED",
    "lammps_error": "ERROR_LAMMPS",
    "not_watched": "ERROR_NOT_WATCHED",
}
#: Those that say nothing against what was done before.
INTERRUPTIONS = ("wall_time", "killed")


#: Quantities of one atom that end a run -> the field of a check that says of which.
_OF_ONE_ATOM = {"deviation": "deviating", "kinetic_energy": "hottest"}


@dataclass(frozen=True)
class Run:
    """All that a run left.

    Parameters
    ----------
    ending : Ending
    trust : Trust
    log : Log
    checks : (C,) records
    results : dict
        What is in ``results.json``, or nothing.
    frames : list of DumpedFrame
    """

    ending: Ending
    trust: Trust
    log: Log
    checks: Checks
    results: dict[str, Any]
    frames: list[DumpedFrame]

    @property
    def trusted_step(self) -> int:
        """Step of the last frame that may be trusted."""
        return max((frame.step for frame in self.frames if frame.step <= self.trust.until), default=0)


class LammpsMdParser(Parser):
    """Make nodes of what is whole, whatever ended the run.

    Trusted is what `aiida_haml.engines.watch.trust` says. The trusted part ends with a frame of a check where there is
    a later one than the last saved frame, so that seldom saving loses no step.
    """

    #: Raise when other outputs are made of the same files.
    CACHE_VERSION = 4

    def parse(self, **kwargs: Any) -> ExitCode | None:
        """Make the outputs; the exit status that the scheduler set (wall time, memory) wins over ours."""
        run = self._read(Path(kwargs["retrieved_temporary_folder"]))
        if run.frames:
            self._store(run)
        if len(run.checks):
            self.out("checks", orm.ArrayData(_columns(run.checks, self._pairs().names)))
        self.out("output_parameters", orm.Dict(_parameters(run)))
        if self.node.exit_status is not None:
            return ExitCode(self.node.exit_status, self.node.exit_message)
        return self._verdict(run)

    # -- reading ----------------------------------------------------------------------------------------

    def _read(self, folder: Path) -> Run:
        log = lammps_files.read_log(self._text(lammps_files.LOG))
        results = json.loads(self._text(RESULTS) or "{}")
        path = folder / CHECKS
        checks = read_records(path) if path.is_file() and path.stat().st_size else np.zeros(0, dtype=check_type(1))
        frames = read_run(folder, self.node.inputs.initial.n_atoms)
        md = self.node.inputs.md
        ending = Ending.from_results(results) if results else Ending.from_log(log, md["steps"])
        if frames and not len(checks) and (ending.kind is None or ending.kind in INTERRUPTIONS):
            ending = Ending("not_watched", None, ending.reason)
        has_failed = ending.kind in FAILURES and ending.kind not in INTERRUPTIONS
        thresholds = Thresholds.from_dict(self.node.inputs.watch.get_dict())
        trusted = trust(thresholds, checks, self._pairs(), md["timestep_fs"], ending.step if has_failed else None)
        return Run(ending, trusted, log, checks, results, frames)

    def _text(self, name: str) -> str:
        repository = self.retrieved.base.repository
        return repository.get_object_content(name, mode="r") if name in repository.list_object_names() else ""

    def _pairs(self) -> ElementPairs:
        return ElementPairs(self.node.inputs.initial.read(-1).numbers)

    # -- writing ----------------------------------------------------------------------------------------

    def _store(self, run: Run) -> None:
        """Keep the saved frames up to the trusted step, and everything behind it apart."""
        energies = dict(zip(run.log.thermo.get("Step", []), run.log.thermo.get("PotEng", []), strict=True))
        energies |= zip(run.checks["step"], run.checks["energy"], strict=True)
        known = [frame for frame in run.frames if frame.step in energies]
        saved = self.node.inputs.md["save_every"]
        kept = [f for f in known if f.step <= run.trusted_step and (f.step % saved == 0 or f.step == run.trusted_step)]
        tail = [frame for frame in known if frame.step > run.trusted_step]
        if kept:
            self.out("frames", FramesData(self._frames(kept, energies, run.checks), kind="stretch"))
        if tail:
            self.out("untrusted", FramesData(self._frames(tail, energies, run.checks), kind="untrusted"))

    def _frames(self, dumped: list[DumpedFrame], energies: dict[float, float], checks: Checks) -> Frames:
        """Turn dumped frames back into the cell's own frame of reference, on its time line."""
        initial: Frames = self.node.inputs.initial.read(-1)
        _, rotation = lammps_files.lower_triangular(initial.cells[0])
        deviations = dict(zip(checks["step"], checks["deviation"], strict=True))
        start = 0.0 if initial.times is None else initial.times[0]
        steps = np.array([frame.step for frame in dumped])
        return Frames(
            numbers=initial.numbers,
            pbc=initial.pbc,
            cells=np.repeat(initial.cells, len(dumped), axis=0),
            positions=np.array([frame.positions for frame in dumped]) @ rotation.T,
            velocities=np.array([frame.velocities for frame in dumped]) @ rotation.T,
            forces=np.array([frame.forces for frame in dumped]) @ rotation.T,
            energies=np.array([energies[step] for step in steps]),
            times=start + steps * self.node.inputs.md["timestep_fs"],
            deviations=np.array([deviations.get(step, np.nan) for step in steps]),
        )

    def _verdict(self, run: Run) -> ExitCode | None:
        kind, reason = run.ending.kind, run.ending.reason
        has_frames = bool(run.frames)
        if kind in (None, *QUANTITIES) and has_frames:
            return None
        if kind in INTERRUPTIONS:
            has_frames = run.trusted_step > 0  # a restart from the initial frame would end the same way
        if kind in (None, *QUANTITIES, *INTERRUPTIONS) and not has_frames:
            message = reason or f"{TRAJECTORY} is missing or empty."
            return self.exit_codes.ERROR_NOTHING_HARVESTED.format(message=message)
        return self.exit_codes[FAILURES[str(kind)]].format(message=reason)


def _columns(checks: Checks, pairs: list[str]) -> dict[str, np.ndarray]:
    """Return the columns of the checks as arrays; those of ``distance`` belong to the pairs of elements ``pairs``."""
    return {"pairs": np.array(pairs), **{name: np.ascontiguousarray(checks[name]) for name in checks.dtype.names or ()}}


def _parameters(run: Run) -> dict[str, Any]:
    """Return what ``output_parameters`` holds."""
    cpu = run.log.thermo.get("CPU", [])
    seen = [0, *(frame.step for frame in run.frames[-1:]), *(int(step) for step in run.log.thermo.get("Step", [])[-1:])]
    measured = ("wall_time_s", "cpu_s_per_step", "forces_s", "watch_s", "parity", "versions")
    return {
        **run.ending.results(),
        "stopped_at_atom": _stopped_at_atom(run),
        "onset_step": run.trust.onset,
        "steps_done": run.results.get("steps_done", max(seen)),
        "trusted_steps": run.trusted_step,
        **dict.fromkeys(measured),
        "wall_time_s": cpu[-1] if cpu else None,
        **{name: run.results[name] for name in measured if name in run.results},
        "seconds_per_step": run.log.seconds_per_step,
        "checks": _extremes(run.checks),
        **_thermodynamics(run.log, len(run.frames[0].positions) if run.frames else 0),
    }


def _stopped_at_atom(run: Run) -> int | None:
    """Return the atom that ended a run, counted from 0; None where no single one did."""
    found = _OF_ONE_ATOM.get(run.ending.kind or "")
    return int(run.checks[found][-1]) if found is not None and len(run.checks) else None


def _extremes(checks: Checks) -> dict[str, float | int]:
    """Return how many checks there were, and the extreme of each quantity that was measured, by its name."""
    if not len(checks):
        return {"n": 0}
    extremes = {name: np.abs(checks[name]) for name in QUANTITIES if name != "distance"}
    largest = {f"{name}_max": float(np.nanmax(x)) for name, x in extremes.items() if np.isfinite(x).any()}
    return {"n": len(checks), **largest}


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
