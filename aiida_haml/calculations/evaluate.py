"""Evaluation: a potential scored on labels that it was not trained on."""

from __future__ import annotations

from typing import Any

from aiida import orm

from aiida_haml.calculations.base import EngineCalculation, also, validate_potential
from aiida_haml.data.frames import FramesData
from aiida_haml.data.potential import PotentialData


class EvaluateCalculation(EngineCalculation):
    """Score a committee on labelled frames and calibrate its deviation against its true errors."""

    TASK = "evaluate"
    OUTPUTS = ("deviations.npy",)

    @classmethod
    def define(cls, spec: Any) -> None:
        """Declare a potential and labels in, errors out."""
        super().define(spec)
        spec.input("potential", valid_type=PotentialData, validator=validate_potential, help="The committee.")
        spec.input("frames", valid_type=FramesData, validator=validate_frames, help="Labelled frames.")
        spec.output(
            "errors",
            valid_type=orm.Dict,
            required=False,
            help="Errors of the member that drives, the deviation and the calibration of that; eV and Å.",
        )
        spec.output(
            "deviations",
            valid_type=orm.ArrayData,
            required=False,
            help="`deviations`: per-atom deviation of the committee in each frame, (F, N), eV/Å.",
        )
        spec.output("output_parameters", valid_type=orm.Dict, required=False, help="Times.")
        spec.default_output_node = "errors"
        spec.inputs.validator = also(spec.inputs.validator, validate_inputs)
        spec.exit_code(320, "ERROR_MODEL_REFUSED", invalidates_cache=True, message="A model was refused: {message}")
        spec.exit_code(
            410,
            "ERROR_DIVERGED",
            invalidates_cache=True,
            message="The potential cannot be used: {message}",
        )

    def task(self) -> dict[str, Any]:
        """Return the hashes of the models."""
        return {"sha256": self.inputs.potential.sha256}

    def folders(self) -> dict[str, orm.Node]:
        """Return the frames and the models."""
        return {"inputs/frames": self.inputs.frames, "inputs/potential": self.inputs.potential}


def validate_frames(node: FramesData | None, _: Any) -> str | None:
    """Refuse frames without labels."""
    if node is None or node.has_labels:
        return None
    return "`frames` has no energies and forces of a known level of theory; there is nothing to compare with."


def validate_inputs(inputs: Any, _: Any) -> str | None:
    """Refuse frames that the potential cannot be compared with."""
    if any(name not in inputs for name in ("potential", "frames")):
        return None
    potential, frames = inputs["potential"], inputs["frames"]
    if unknown := sorted(set(frames.elements) - set(potential.elements)):
        return (
            f"`frames` holds {', '.join(unknown)}, and the potential knows {', '.join(potential.elements)} "
            "alone; train one with all elements."
        )
    if potential.level_of_theory not in (None, frames.level_of_theory):
        return (
            f"`frames` has labels of the level of theory {frames.level_of_theory}, and the potential was "
            f"trained at {potential.level_of_theory}; their difference would not be an error."
        )
    return None
