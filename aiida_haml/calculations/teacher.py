"""Labels from a teacher: any ASE calculator run as a job, with the ports of the CP2K engine."""

from typing import Any

from aiida import orm

from aiida_haml.calculations.base import EngineCalculation, failures_are_no_cache
from aiida_haml.calculations.molecular_dynamics import validate_initial, validate_md, validate_relax
from aiida_haml.data.frames import FramesData
from aiida_haml.engines.calculators import complaint


class TeacherCalculation(EngineCalculation):
    """An ASE calculator, with the ports of `Cp2kLabelCalculation`: MD with CSVR, a relaxation, else every frame."""

    TASK = "teacher"
    CACHE_VERSION = 3
    OUTPUTS = ("frames",)

    @classmethod
    def define(cls, spec: Any) -> None:
        super().define(spec)
        spec.input(
            "initial",
            valid_type=FramesData,
            validator=validate_initial,
            help="Its last frame is the start; without `md` and `relax` each of its frames is evaluated.",
        )
        spec.input(
            "level",
            valid_type=orm.Dict,
            validator=validate_level,
            help="Level of theory; its `theory` names the `calculator` as module:Class and its `parameters`.",
        )
        spec.input("md", valid_type=orm.Dict, required=False, validator=validate_md, help="Settings of the MD.")
        spec.input("relax", valid_type=orm.Dict, required=False, validator=validate_relax, help="Of a relaxation.")
        spec.output("frames", valid_type=FramesData, required=False, help="Labelled frames, step 0 included.")
        spec.output("output_parameters", valid_type=orm.Dict, required=False, help="Times and steps.")
        spec.default_output_node = "output_parameters"
        spec.exit_code(
            305,
            "ERROR_NO_CONVERGED_FRAME",
            message="Not one evaluation gave finite numbers, so that there is no label to keep.",
        )
        spec.exit_code(
            400,
            "ERROR_OUT_OF_WALLTIME",
            message="The wall time ended the run; the steps done are kept.",
        )
        spec.exit_code(
            450,
            "ERROR_SCF_NOT_CONVERGED",
            message="The teacher gave numbers that are not finite.",
        )
        failures_are_no_cache(spec)

    def task(self) -> dict[str, Any]:
        theory = self.inputs.level["theory"]
        return {
            "calculator": theory["calculator"],
            "parameters": theory.get("parameters", {}),
            **{run: self.inputs[run].get_dict() for run in ("md", "relax") if run in self.inputs},
        }

    def folders(self) -> dict[str, orm.Node]:
        return {"inputs/initial": self.inputs.initial}


def validate_level(node: orm.Dict | None, _: Any) -> str | None:
    """Refuse a level that names no calculator, or one that is not trusted here."""
    if node is None:
        return None
    level = node.get_dict()
    if level.get("engine") != "teacher":
        return f"The level {level.get('name')!r} belongs to the engine {level.get('engine')!r}, not to a teacher."
    return complaint(level.get("theory", {}).get("calculator"))
