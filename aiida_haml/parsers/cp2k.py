"""CP2K's files turned into labelled frames; a step whose SCF did not converge is no label."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from aiida import orm
from aiida.engine import ExitCode
from aiida.parsers import Parser

from aiida_haml.calculations.levels import label_kind, level_key
from aiida_haml.calculations.molecular_dynamics import relaxes_cell
from aiida_haml.data.frames import FramesData
from aiida_haml.frames import Frames
from aiida_haml.parsers.cp2k_harvest import (
    LEAST_JUMP,
    Harvest,
    first_jump,
    of_dynamics,
    of_relaxation,
    of_series,
)
from aiida_haml.parsers.cp2k_output import Output, UnknownLayout, read_forces, read_output, read_version


class Cp2kLabelParser(Parser):
    """Keep the frames up to the first one that cannot be trusted, and say why the run ended there."""

    def parse(self, **kwargs: Any) -> ExitCode | None:
        """Store ``frames`` (if any is good) and ``output_parameters``; the scheduler's verdict wins over ours."""
        self.fetched = Path(kwargs["retrieved_temporary_folder"])
        ours = self._parse()
        if self.node.exit_status:
            return ExitCode(self.node.exit_status, self.node.exit_message)
        return ours

    def _parse(self) -> ExitCode | None:
        if "aiida.out" not in self.retrieved.base.repository.list_object_names():
            return self.exit_codes.ERROR_OUTPUT_MISSING
        text = self.retrieved.base.repository.get_object_content("aiida.out", mode="r")
        try:
            output = read_output(text)
            harvest = self._harvest(output, text)
        except UnknownLayout as error:
            version = read_version(text) or "an unknown version of CP2K"
            return self.exit_codes.ERROR_OUTPUT_PARSE.format(version=version, message=error)
        key = level_key(self.node.inputs.level.get_dict(), output.version or "")
        jump = self._jump(harvest, key)
        if jump is not None and harvest.frames is not None:
            step, _ = jump
            harvest = replace(harvest, frames=harvest.frames[:step] if step else None)
        if harvest.frames is not None:
            self.out("frames", FramesData(harvest.frames, label_kind(self.node.inputs), level_of_theory=key))
        self.out("output_parameters", orm.Dict(_parameters(output, harvest)))
        return self._verdict(output, harvest, jump)

    def _read(self, name: str) -> str:
        """Return the text of one of CP2K's trajectories, empty if it was never written."""
        path = self.fetched / name
        return path.read_text() if path.is_file() else ""

    def _harvest(self, output: Output, text: str) -> Harvest:
        inputs = self.node.inputs
        evaluations = output.evaluations
        if evaluations and output.version is None:
            raise UnknownLayout("it does not say its version, which is part of the level of theory.")
        moves_cell = "relax" in inputs and relaxes_cell(inputs.relax.get_dict())
        if (moves_cell or "STRESS_TENSOR" in inputs.level["theory"]) and inputs.initial.kind != "isolated_atom":
            whole = next((i for i, e in enumerate(evaluations) if e.stress is None), len(evaluations))
            # What a relaxation has arrived at is evaluated once more, without stress: that is no step.
            if output.ended and whole < len(evaluations) - ("relax" in inputs):
                raise UnknownLayout("no stress is found beside its energies, though the level of theory asks for it.")
            evaluations = evaluations[:whole]
        if "md" in inputs:
            return of_dynamics(self._read, evaluations, inputs.initial.read(-1), float(inputs.md["timestep_fs"]))
        if "relax" in inputs:
            first_forces = read_forces(text, inputs.initial.n_atoms)
            return of_relaxation(self._read, evaluations, inputs.initial.read(-1), first_forces, moves_cell)
        return of_series(self._read, evaluations, inputs.initial.frames)

    def _jump(self, harvest: Harvest, key: str) -> tuple[int, float] | None:
        """Return the step at which the SCF fell into another state and the jump in eV, or None.

        Step 0 is such a step if the start has a label of the same level that it disagrees with.
        """
        initial = self.node.inputs.initial
        if harvest.frames is None or harvest.kept is not None:
            return None
        if initial.has_labels and initial.level_of_theory == key:
            before, now = initial.read(-1).energies, harvest.frames.energies
            if before is not None and now is not None and abs(now[0] - before[0]) > LEAST_JUMP:
                return 0, float(abs(now[0] - before[0]))
        return first_jump(harvest.conserved)

    def _verdict(self, output: Output, harvest: Harvest, jump: tuple[int, float] | None) -> ExitCode | None:
        """Return why a run fell short, or None. A series of single points may leave some out."""
        codes = self.exit_codes
        is_unconverged = output.stuck or not all(e.converged for e in output.evaluations)
        is_whole_series = harvest.kept and output.ended
        if jump is not None:
            return codes.ERROR_SCF_FALSE_STATE.format(jump=jump[1], step=jump[0])
        if is_unconverged and not is_whole_series:
            return codes.ERROR_SCF_NOT_CONVERGED if harvest.frames else codes.ERROR_NO_CONVERGED_FRAME
        if output.out_of_time:
            return codes.ERROR_OUT_OF_WALLTIME
        if output.abort is not None:
            return codes.ERROR_OUTPUT_CONTAINS_ABORT.format(message=output.abort)
        if harvest.frames is None or not output.ended or not self._is_whole(output, harvest.frames):
            return codes.ERROR_OUTPUT_INCOMPLETE
        return None

    def _is_whole(self, output: Output, frames: Frames) -> bool:
        """Whether all was computed that was asked for; a relaxation may end whenever it has arrived."""
        inputs = self.node.inputs
        if "md" in inputs:
            return len(frames) == inputs.md["steps"] + 1
        return "relax" in inputs or len(output.evaluations) == len(inputs.initial)


def _parameters(output: Output, harvest: Harvest) -> dict[str, Any]:
    """Return what is worth knowing of a run besides its frames; times in s."""
    is_series = harvest.kept is not None
    parameters = {
        "code_version": output.version,
        "scf_iterations": [e.scf_iterations for e in output.evaluations],
        "steps_done": 0 if is_series or harvest.frames is None else len(harvest.frames) - 1,
        "wall_time_s": output.seconds or float(harvest.seconds.sum()),
        # The first step carries the SCF from scratch, which a long AIMD run pays only once.
        "seconds_per_step": float(harvest.seconds[2:].mean()) if len(harvest.seconds) > 2 else None,
    }
    return {**parameters, "kept": harvest.kept} if is_series else parameters
