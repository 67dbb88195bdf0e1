"""Environments and bond series of one candidate, from a batch of its segments."""

from collections.abc import Mapping
from typing import Any

from aiida import orm

from aiida_haml.analysis.settings import DescriptionSettings
from aiida_haml.calculations.base import EngineCalculation, also, settings_validator
from aiida_haml.data.frames import FramesData


class DescribeCalculation(EngineCalculation):
    """Describe consecutive segments of a hybrid trajectory; what other candidates there are makes no difference.

    What has reacted is counted from the cell as built, so that what reacts while it is relaxed and warmed up counts.

    A trajectory may be described in batches of segments, so that one that has grown is described where it is
    new: `aiida_haml.analysis.joining` puts the batches together to what one description of all would be.
    """

    TASK = "describe"
    OUTPUTS = ("environments", "series")
    CACHE_VERSION = 11

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
        spec.input(
            "built",
            valid_type=FramesData,
            validator=validate_built,
            help="The cell as built, before it was relaxed or warmed up; its first frame counts.",
        )
        spec.input(
            "origin",
            valid_type=FramesData,
            required=False,
            validator=validate_origin,
            help="First segment of the trajectory, from which displacements count; left out for the first batch.",
        )
        spec.input_namespace(
            "previous",
            dynamic=True,
            valid_type=FramesData,
            validator=validate_previous,
            help="Segments ahead of the batch, see `segments_ahead`; left out for the first batch.",
        )
        spec.input(
            "settings",
            valid_type=orm.Dict,
            validator=settings_validator(DescriptionSettings),
            help="Of the description.",
        )
        spec.inputs.validator = also(spec.inputs.validator, validate_inputs)
        spec.output("environments", valid_type=orm.ArrayData, required=False, help="Projected environments.")
        spec.output("series", valid_type=orm.ArrayData, required=False, help="Balance and bonds along time.")
        spec.output("output_parameters", valid_type=orm.Dict, required=False, help="Times and counts.")

    def task(self) -> dict[str, Any]:
        return {"settings": self.inputs.settings.get_dict()}

    def folders(self) -> dict[str, orm.Node]:
        folders: dict[str, orm.Node] = {f"inputs/{label}": node for label, node in self.inputs.segments.items()}
        folders |= {f"inputs/previous/{label}": node for label, node in self.inputs.get("previous", {}).items()}
        return folders | {f"inputs/{name}": self.inputs[name] for name in ("built", "origin") if name in self.inputs}


def segments_ahead(
    segments: Mapping[str, FramesData], first: str, settings: DescriptionSettings
) -> dict[str, FramesData]:
    """Return the segments that the description of a batch looks back at.

    Parameters
    ----------
    segments : mapping
        All segments of the trajectory; their labels sort in time order.
    first : str
        Label of the first segment of the batch.
    settings : DescriptionSettings

    Returns
    -------
    dict
        As many segments ahead of the first as reach back by its `memory_fs`; empty for the first batch.
    """
    start = segments[first].base.attributes.get("time_start")
    ahead: dict[str, FramesData] = {}
    for label in sorted((label for label in segments if label < first), reverse=True):
        ahead[label] = segments[label]
        # One interval more: the first frame that is described of a segment may be another one if the frame that it
        # shares with the segment ahead is not known as such.
        if segments[label].base.attributes.get("time_start") < start - settings.memory_fs - 2 * settings.every_fs:
            break
    return dict(sorted(ahead.items()))


def validate_segments(segments: Any, _: Any) -> str | None:
    """Refuse what no analysis may see."""
    return _complaint("segments", segments)


def validate_previous(segments: Any, _: Any) -> str | None:
    """Refuse what no analysis may see."""
    return _complaint("previous", segments)


def validate_origin(node: FramesData | None, _: Any) -> str | None:
    """Refuse what no analysis may see."""
    return None if node is None or node.kind != "untrusted" else "`origin` is the untrusted tail of a stretch."


def validate_built(node: FramesData | None, _: Any) -> str | None:
    """Refuse what is no cell of the trajectory's beginning."""
    return None if node is None or node.kind != "untrusted" else "`built` is the untrusted tail of a stretch."


def _complaint(port: str, segments: Mapping[str, FramesData]) -> str | None:
    for label, node in segments.items():
        if not label.startswith("segment_"):
            return f"`{port}.{label}` is not named as a segment; name it segment_0000, segment_0001, ... in time order."
        if node.kind == "untrusted":
            return f"`{port}.{label}` is the untrusted tail of a stretch, which is never analysed."
        if node.base.attributes.get("time_start") is None:
            return f"`{port}.{label}` has no times, so that nothing can be said along time."
    return None


def validate_inputs(inputs: Any, _: Any) -> str | None:
    """Refuse a batch from the middle of a trajectory that does not know of its beginning."""
    if not inputs.get("segments"):
        return "There are no `segments` to describe; give at least one burst or stretch."
    if inputs.get("previous") and "origin" not in inputs:
        return "`previous` is given without `origin`; give the first segment of the trajectory too."
    if "built" not in inputs:
        return "There is no `built`; give the cell as it was built, from which all that has reacted is counted."
    (first, *_) = inputs["segments"].values()
    if inputs["built"].n_atoms != first.n_atoms:
        return (
            f"`built` holds {inputs['built'].n_atoms} atoms and `segments` {first.n_atoms}; give the cell of this "
            "trajectory."
        )
    return None
