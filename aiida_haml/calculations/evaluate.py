"""Evaluation: a potential scored on labels that it was not trained on."""

from collections.abc import Mapping
from typing import Any

from aiida import orm
from aiida.common.datastructures import CalcInfo
from aiida.common.folders import Folder

from aiida_haml.calculations.base import EngineCalculation, also, failures_are_no_cache, validate_potential
from aiida_haml.data.frames import FramesData
from aiida_haml.data.potential import PotentialData
from aiida_haml.learning.runs import save_runs

#: File of frames that the job is given; it holds what nodes hold already, and is not kept with the calculation.
_RUNS = "frames.npz"


class EvaluateCalculation(EngineCalculation):
    """Score a committee on labelled frames."""

    TASK = "evaluate"
    OUTPUTS = ("tests/*.npy",)
    CACHE_VERSION = 3

    @classmethod
    def define(cls, spec: Any) -> None:
        """Declare a potential and labels in, errors out."""
        super().define(spec)
        spec.input("potential", valid_type=PotentialData, validator=validate_potential, help="The committee.")
        spec.input_namespace(
            "frames", dynamic=True, valid_type=FramesData, validator=validate_frames, help="Runs of labelled frames."
        )
        spec.output(
            "errors",
            valid_type=orm.Dict,
            required=False,
            help="Errors of the member that drives; eV and Å.",
        )
        spec.output(
            "tests",
            valid_type=orm.ArrayData,
            required=False,
            help="Of each run `KEY__errors` and `KEY__deviations` (F, N), `KEY__force_rmse` (F), eV/Å, and "
            "`KEY__energy_errors` (F), eV: errors of the member that drives.",
        )
        spec.output("output_parameters", valid_type=orm.Dict, required=False, help="Times.")
        spec.default_output_node = "errors"
        spec.inputs.validator = also(spec.inputs.validator, validate_inputs)
        spec.exit_code(320, "ERROR_MODEL_REFUSED", message="A model was refused: {message}")
        spec.exit_code(
            410,
            "ERROR_DIVERGED",
            message="The potential cannot be used: {message}",
        )
        failures_are_no_cache(spec)

    def task(self) -> dict[str, Any]:
        """Return the hashes of the models."""
        return {"sha256": self.inputs.potential.sha256}

    def folders(self) -> dict[str, orm.Node]:
        """Return the models."""
        return {"inputs/potential": self.inputs.potential}

    def prepare_for_submission(self, folder: Folder) -> CalcInfo:
        """Write the frames, and the task."""
        with folder.open(_RUNS, "wb") as handle:
            save_runs(handle, {name: node.frames for name, node in self.inputs.frames.items()})
        calcinfo = super().prepare_for_submission(folder)
        calcinfo.provenance_exclude_list = [_RUNS]
        return calcinfo


def validate_frames(nodes: Mapping[str, FramesData] | None, _: Any) -> str | None:
    """Refuse frames without labels."""
    if nodes is not None and not nodes:
        return "`frames` is empty; give at least one run of labelled frames."
    for name, node in (nodes or {}).items():
        if not node.has_labels:
            return f"`frames.{name}` has no energies and forces of a known level of theory: nothing to compare with."
    return None


def validate_inputs(inputs: Any, _: Any) -> str | None:
    """Refuse frames that the potential cannot be compared with."""
    if any(name not in inputs for name in ("potential", "frames")):
        return None
    return next(filter(None, (_fault(inputs["potential"], *run) for run in inputs["frames"].items())), None)


def _fault(potential: PotentialData, name: str, frames: FramesData) -> str | None:
    if unknown := sorted(set(frames.elements) - set(potential.elements)):
        return (
            f"`frames.{name}` holds {', '.join(unknown)}, and the potential knows {', '.join(potential.elements)} "
            "alone; train one with all elements."
        )
    if potential.level_of_theory not in (None, frames.level_of_theory):
        return (
            f"`frames.{name}` has labels of the level of theory {frames.level_of_theory}, and the potential was "
            f"trained at {potential.level_of_theory}; their difference would not be an error."
        )
    return None
