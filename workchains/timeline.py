"""The time line of one trajectory, as the context of the hybrid dynamics keeps it: nodes by name, nothing else."""

from collections.abc import Mapping
from typing import Any

from aiida import orm

from aiida_haml.calculations.rounds import flat, port
from aiida_haml.calculations.trajectory import cut_stretch, revoke, take_last_frame
from aiida_haml.data.frames import FramesData
from aiida_haml.workchains.names import reading


def begin(slug: str, structure: FramesData, segments: Mapping[str, FramesData]) -> dict[str, Any]:
    """Return a time line that starts at a cell, or at the end of earlier segments (as SLUG__segment_NNNN)."""
    prefix = port(slug, "")
    known = sorted(flat(segments).items())
    given = {name.removeprefix(prefix): node for name, node in known if name.startswith(prefix)}
    last = given[max(given)] if given else structure
    if not given and structure.base.attributes.get("time_end", None):  # a frame of another time line: this one begins
        last = take_last_frame(structure, **called(port(slug, "start")))
    return {"last": last, "segments": given, "untrusted": {}, "round": {}, "remote": None, "labels": [], "hot": None}


def begin_round(trajectory: dict[str, Any]) -> None:
    """Forget the last round; the next one starts where the time line ends."""
    trajectory["round"] = {"start": trajectory["last"]}


def note_stretch(now: dict[str, Any], outputs: Mapping[str, Any]) -> dict[str, FramesData]:
    """Keep what a stretch brought; return the frames among which labels are to be chosen."""
    told = outputs["output_parameters"].get_dict()
    now["seen"] = {name: told.get(name) for name in ("stopped_by", "stopped_at_step", "trusted_steps")}
    found = {"frames": outputs["frames"]}
    if "untrusted" in outputs:
        now["tail"] = found["untrusted"] = outputs["untrusted"]
    if len(outputs["frames"]) > 1:
        now["stretch"] = outputs["frames"]
    return found if len(outputs["frames"]) > 1 or "untrusted" in found else {}


def apply_verdict(slug: str, trajectory: dict[str, Any], verdict: Mapping[str, Any], number: int) -> None:
    """Move the time line as the judge says; what does not stay is kept apart, as what it is."""
    now = trajectory["round"]
    parts: dict[str, FramesData] = {}
    if verdict["action"] == "accept":
        parts["trusted"] = now["stretch"]
    elif verdict["action"] == "cut":
        parts = cut_stretch(now["stretch"], orm.Float(verdict["end_fs"]), **called(port(slug, f"cut_{number:04d}")))
    elif verdict["action"] == "revoke":
        parts["untrusted"] = revoke(now["stretch"], **called(port(slug, f"revoke_{number:04d}")))
    for name, node in (("judged", parts.get("untrusted")), ("breached", now.get("tail"))):
        if node is not None:
            trajectory["untrusted"][f"{name}_{number:04d}"] = node
    if "trusted" in parts:
        append(trajectory, parts["trusted"])
    if verdict["burst_stays"]:
        append(trajectory, now["burst"])
        trajectory["remote"] = now.get("remote")
    elif verdict["false_state"]:  # what began with the wave function from before is in another state
        trajectory["remote"] = None


def append(trajectory: dict[str, Any], segment: FramesData) -> None:
    """Put a segment at the end of the time line."""
    trajectory["segments"][f"segment_{len(trajectory['segments']):04d}"] = segment
    trajectory["last"] = segment


def called(name: str) -> dict[str, Any]:
    """Return what names a calcfunction among those that were called: a query finds it by that, and a person too."""
    return {"metadata": {"call_link_label": name, "label": reading(name)}}
