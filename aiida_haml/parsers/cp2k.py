"""CP2K's files turned into labelled frames; a step whose SCF did not converge is no label."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import numpy as np
from aiida import orm
from aiida.engine import ExitCode
from aiida.parsers import Parser
from ase import units

from aiida_haml.calculations.cp2k import VELOCITY_TO_CP2K
from aiida_haml.calculations.levels import label_kind, level_key
from aiida_haml.data.frames import FramesData
from aiida_haml.frames import Frames

#: A jump of the conserved energy from one step to the next above this, eV/atom, means another SCF state.
#: Integration errors at 1 fs stay two orders below, the false states seen lie 1 eV/atom and more away.
LARGEST_JUMP = 0.05
GPA = units.GPa

_ENERGY = re.compile(r"ENERGY\| Total FORCE_EVAL.*?:\s+(\S+)")
_FAILED = re.compile(r"SCF run NOT converged|outer SCF loop FAILED to converge|SCF loop NOT converged", re.IGNORECASE)
_VERSION = re.compile(r"CP2K\| version string:\s+(.*)")
_STRESS = re.compile(r"STRESS\| Analytical stress tensor \[GPa\]\n.*\n" + r"\s*STRESS\|\s+[xyz]\s+(.*)\n" * 3)
_FORCES = re.compile(r"ATOMIC FORCES in \[a\.u\.\]\s*\n\s*\n.*\n((?:\s+\d+\s+\d+\s+\S+\s+\S+\s+\S+\s+\S+\s*\n)+)")


class Cp2kLabelParser(Parser):
    """Keep the frames up to the first one that cannot be trusted, and say why the run ended there."""

    def parse(self, **kwargs: Any) -> ExitCode | None:
        """Store ``frames`` (if any is good) and ``output_parameters``."""
        codes = self.exit_codes
        if "aiida.out" not in self.retrieved.base.repository.list_object_names():
            return self._ended(codes.ERROR_OUTPUT_MISSING)
        text = self.retrieved.base.repository.get_object_content("aiida.out", mode="r")
        evaluations = read_evaluations(text)
        parameters: dict[str, Any] = {
            "code_version": match.group(1).strip() if (match := _VERSION.search(text)) else None,
            "scf_steps": [e.scf_steps for e in evaluations],
            "evaluations": len(evaluations),
        }
        try:
            frames, energies, seconds = self._read(text, evaluations)
        except (OSError, ValueError) as error:
            self.logger.error(str(error))
            frames, energies, seconds = None, np.array([]), np.array([])
        verdict = self._judge(text, evaluations, frames, energies)
        if frames is not None and verdict.trusted:
            frames = frames[: verdict.trusted]
            kind = label_kind(self.node.inputs)
            self.out(
                "frames",
                FramesData(frames, kind=kind, level_of_theory=level_key(self.node.inputs.level.get_dict())),
            )
        parameters["steps_done"] = max(verdict.trusted - 1, 0)
        parameters["wall_time_s"] = _total_seconds(text) or float(seconds.sum())
        # The first step carries the SCF from scratch, which a long AIMD run pays only once.
        parameters["seconds_per_step"] = float(seconds[2:].mean()) if len(seconds) > 2 else None
        self.out("output_parameters", orm.Dict(parameters))
        if verdict.exit_code is None:
            return None
        if not verdict.trusted and verdict.exit_code.status == 450:
            return self._ended(codes.ERROR_NO_CONVERGED_FRAME)
        return self._ended(verdict.exit_code)

    def _ended(self, ours: ExitCode) -> ExitCode:
        """Return the exit code that the scheduler set, if it set one: it knows better why the job ended."""
        if self.node.exit_status:
            return ExitCode(self.node.exit_status, self.node.exit_message)
        return ours

    def _read(self, text: str, evaluations: list[Evaluation]) -> tuple[Frames, np.ndarray, np.ndarray]:
        if "md" in self.node.inputs:
            return self._read_md(evaluations)
        if "relax" in self.node.inputs:
            return self._read_relaxation(text, evaluations), np.array([]), np.array([])
        return self._read_single(text, evaluations)

    def _read_md(self, evaluations: list[Evaluation]) -> tuple[Frames, np.ndarray, np.ndarray]:
        """Return the frames that all files hold, their conserved energy (eV) and the seconds each took."""
        read = self.retrieved.base.repository.get_object_content
        initial = self.node.inputs.initial.read(-1)
        md = self.node.inputs.md
        positions = read_xyz(read("aiida-pos-1.xyz", mode="r"), initial.n_atoms)
        velocities = read_xyz(read("aiida-vel-1.xyz", mode="r"), initial.n_atoms) / VELOCITY_TO_CP2K
        forces = read_xyz(read("aiida-frc-1.xyz", mode="r"), initial.n_atoms) * (units.Hartree / units.Bohr)
        table = read_table(read("aiida-1.ener", mode="r"))
        count = min(len(positions), len(velocities), len(forces), len(table), len(evaluations))
        if not count:
            raise ValueError("CP2K ended before the first step was written.")
        stresses = [e.stress for e in evaluations[:count]]
        start = initial.times[-1] if initial.times is not None else 0.0
        frames = Frames(
            numbers=initial.numbers,
            positions=positions[:count],
            cells=np.repeat(initial.cells, count, axis=0),
            pbc=initial.pbc,
            times=start + md["timestep_fs"] * np.arange(count),
            velocities=velocities[:count],
            energies=np.array([e.energy for e in evaluations[:count]]),
            forces=forces[:count],
            stresses=None if any(s is None for s in stresses) else np.array(stresses),
        )
        return frames, table[:count, 5] * units.Hartree, table[:count, 6]

    def _read_relaxation(self, text: str, evaluations: list[Evaluation]) -> Frames:
        """Return the start, which CP2K's trajectory leaves out, and the accepted steps.

        A line search also evaluates points that it leaves again; they are no frames.
        """
        read = self.retrieved.base.repository.get_object_content
        initial = self.node.inputs.initial.read(-1)
        moved = moved_forces = np.empty((0, initial.n_atoms, 3))
        energies = np.empty(0)
        if "aiida-frc-1.xyz" in self.retrieved.base.repository.list_object_names():
            trajectory = read("aiida-pos-1.xyz", mode="r")
            moved, energies = read_xyz(trajectory, initial.n_atoms), read_energies(trajectory)
            moved_forces = read_xyz(read("aiida-frc-1.xyz", mode="r"), initial.n_atoms)
        whole = min(len(moved), len(moved_forces), len(energies))
        found = trusted_evaluations(energies[:whole], evaluations)
        if not found:
            raise ValueError("CP2K ended before the first converged step of the relaxation was written.")
        moves = len(found) - 1
        positions = np.concatenate([initial.positions, moved[:moves]])
        forces = np.concatenate([self._printed_forces(text), moved_forces[:moves]])
        return _labelled(initial, positions, forces, found)

    def _read_single(self, text: str, evaluations: list[Evaluation]) -> tuple[Frames, np.ndarray, np.ndarray]:
        initial = self.node.inputs.initial.read(-1)
        forces = self._printed_forces(text)
        if not evaluations:
            raise ValueError("CP2K ended before the energy was printed.")
        frames = _labelled(initial, initial.positions, forces, evaluations[:1])
        return frames, np.array([evaluations[0].energy]), np.array([])

    @staticmethod
    def _printed_forces(text: str) -> np.ndarray:
        """Return the (1, N, 3) forces that the output prints first, Hartree / bohr."""
        match = _FORCES.search(text)
        if match is None:
            raise ValueError("CP2K ended before the forces were printed.")
        rows = [line.split()[3:6] for line in match.group(1).splitlines() if line.strip()]
        return np.array(rows, dtype=float)[None]

    def _judge(self, text: str, evaluations: list[Evaluation], frames: Frames | None, energies: np.ndarray) -> Verdict:
        codes = self.exit_codes
        count = 0 if frames is None else len(frames)
        unconverged = [i for i, e in enumerate(evaluations) if not e.converged]
        if unconverged:
            trusted = count if "relax" in self.node.inputs else min(count, unconverged[0])
            return Verdict(trusted, codes.ERROR_SCF_NOT_CONVERGED)
        jumps = np.abs(np.diff(energies)) / max(frames.n_atoms if frames is not None else 1, 1)
        if len(jumps) and jumps.max() > LARGEST_JUMP:
            step = int(np.argmax(jumps > LARGEST_JUMP)) + 1
            return Verdict(step, codes.ERROR_SCF_FALSE_STATE.format(jump=float(jumps[step - 1]), step=step))
        if "exceeded requested execution time" in text:
            return Verdict(count, codes.ERROR_OUT_OF_WALLTIME)
        if "ABORT" in text:
            return Verdict(count, codes.ERROR_OUTPUT_CONTAINS_ABORT)
        wanted = self.node.inputs.md["steps"] + 1 if "md" in self.node.inputs else 1
        if count < wanted or "PROGRAM ENDED" not in text:
            return Verdict(count, codes.ERROR_OUTPUT_INCOMPLETE)
        return Verdict(count, None)


def _labelled(initial: Frames, positions: np.ndarray, forces: np.ndarray, evaluations: list[Evaluation]) -> Frames:
    """Return frames without times; ``forces`` (F, N, 3) in Hartree / bohr."""
    stresses = [e.stress for e in evaluations]
    return Frames(
        numbers=initial.numbers,
        positions=positions,
        cells=np.repeat(initial.cells, len(positions), axis=0),
        pbc=initial.pbc,
        energies=np.array([e.energy for e in evaluations]),
        forces=forces * (units.Hartree / units.Bohr),
        stresses=None if any(s is None for s in stresses) else np.array(stresses),
    )


@dataclass(frozen=True)
class Verdict:
    """How many frames can be trusted, and the exit code if the run fell short."""

    trusted: int
    exit_code: ExitCode | None


@dataclass(frozen=True)
class Evaluation:
    """One converged or unconverged SCF as CP2K reports it: energy (eV), stress (eV/Angstrom^3, (6,) or None)."""

    energy: float
    converged: bool
    scf_steps: int
    stress: np.ndarray | None


def read_evaluations(text: str) -> list[Evaluation]:
    """Cut CP2K's output at each energy and read what stands there.

    The lines on convergence of an evaluation come before its energy, its stress after.
    """
    found = list(_ENERGY.finditer(text))
    evaluations = []
    for i, match in enumerate(found):
        before = text[found[i - 1].end() if i else 0 : match.start()]
        after = text[match.end() : found[i + 1].start() if i + 1 < len(found) else len(text)]
        steps = re.findall(r"^\s+\d+ (?:OT |Broy\.|P_Mix|DIIS|NoMix|Pulay|Kerker)", before, re.MULTILINE)
        evaluations.append(
            Evaluation(
                energy=float(match.group(1)) * units.Hartree,
                converged=not _FAILED.search(before) and "SCF run converged" in before,
                scf_steps=len(steps),
                stress=_read_stress(after),
            )
        )
    return evaluations


def _read_stress(text: str) -> np.ndarray | None:
    """Return the stress in ASE's sign and order: CP2K prints the pressure tensor, positive under compression."""
    match = _STRESS.search(text)
    if match is None:
        return None
    tensor = -np.array([row.split() for row in match.groups()], dtype=float) * GPA
    return tensor[[0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]]


def trusted_evaluations(energies: np.ndarray, evaluations: list[Evaluation]) -> list[Evaluation]:
    """Return the evaluations of a relaxation's start and of its accepted steps, up to the first that did not converge.

    Frame i stays step i, as of every label: what comes after a step that cannot be trusted is left out with it.

    Parameters
    ----------
    energies : (F,) array
        Of the accepted steps, Hartree, as CP2K's trajectory gives them (ten decimals); the start is not among them.
    evaluations : list of Evaluation
        Of the start, of the accepted steps, and of points that a line search left again.
    """
    if not evaluations or not evaluations[0].converged:
        return []
    found, remaining = [evaluations[0]], iter(evaluations[1:])
    for energy in energies:
        step = next((e for e in remaining if abs(e.energy / units.Hartree - energy) < 1e-8), None)
        if step is None or not step.converged:
            break
        found.append(step)
    return found


def read_energies(text: str) -> np.ndarray:
    """Read the (F,) energies in the comment lines of a CP2K XYZ trajectory, Hartree."""
    return np.array(re.findall(r"^ i = .*\bE =\s*(\S+)", text, re.MULTILINE), dtype=float)


def read_xyz(text: str, n_atoms: int) -> np.ndarray:
    """Read the vectors of a CP2K XYZ trajectory, (F, N, 3), leaving out a last frame that was cut off.

    Raises
    ------
    ValueError
        If a number cannot be read.
    """
    lines = text.splitlines()
    block = n_atoms + 2
    count = len(lines) // block
    if count and not text.endswith("\n") and len(lines) == count * block:
        count -= 1  # the last line may be half a number
    rows = [line.split()[1:4] for i in range(count) for line in lines[i * block + 2 : (i + 1) * block]]
    return np.array(rows, dtype=float).reshape(count, n_atoms, 3)


def read_table(text: str) -> np.ndarray:
    """Read the whole rows of CP2K's energy file: step, fs, kinetic, K, potential, conserved (Hartree), seconds."""
    rows = [line.split() for line in text.splitlines(keepends=True) if not line.startswith("#") and line.endswith("\n")]
    return np.array([row for row in rows if len(row) == 7], dtype=float).reshape(-1, 7)


def _total_seconds(text: str) -> float | None:
    match = re.search(r"^ CP2K\s+\d+\s+\S+\s+\S+\s+\S+\s+\S+\s+(\S+)\s*$", text, re.MULTILINE)
    return float(match.group(1)) if match else None
