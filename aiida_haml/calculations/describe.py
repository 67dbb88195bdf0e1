"""Environments and bond series of one candidate, from its segments."""

from __future__ import annotations

from typing import Any

from aiida import orm

from aiida_haml.analysis.settings import DescriptionSettings
from aiida_haml.calculations.base import EngineCalculation
from aiida_haml.data.frames import FramesData


class DescribeCalculation(EngineCalculation):
    """Describe the segments of a hybrid trajectory; what other candidates there are makes no difference."""

    TASK = "describe"
    OUTPUTS = ("environments", "series")

    @classmethod
    def define(cls, spec: Any) -> None:
        super().define(spec)
        spec.input_namespace(
            "segments",
            dynamic=True,
            valid_type=FramesData,
            validator=validate_segments,
            help="In the order of time.",
        )
        spec.input("settings", valid_type=orm.Dict, validator=validate_settings, help="Of the description.")
        spec.output("environments", valid_type=orm.ArrayData, required=False, help="Projected environments.")
        spec.output("series", valid_type=orm.ArrayData, required=False, help="Bonds and phases along time and z.")
        spec.output("output_parameters", valid_type=orm.Dict, required=False, help="Times and counts.")

    def task(self) -> dict[str, Any]:
        return {"settings": self.inputs.settings.get_dict()}

    def folders(self) -> dict[str, orm.Node]:
        return {f"inputs/{label}": node for label, node in self.inputs.segments.items()}


def validate_segments(segments: Any, _: Any) -> str | None:
    """Refuse what no analysis may see."""
    for label, node in segments.items():
        if node.kind == "untrusted":
            return f"`segments.{label}` is the untrusted tail of a stretch, which is never analysed."
        if node.base.attributes.get("time_start") is None:
            return f"`segments.{label}` has no times, so that nothing can be said along time."
    return None


def validate_settings(node: orm.Dict | None, _: Any) -> str | None:
    """Refuse unknown settings and values out of range."""
    try:
        DescriptionSettings.from_dict(node.get_dict() if node is not None else {})
    except ValueError as error:
        return str(error)
    return None
