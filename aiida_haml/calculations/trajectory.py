"""Calcfunctions on segments of a trajectory: starts, joins and cuts, each a node with a creator."""

from typing import Any

import numpy as np
from aiida import orm
from aiida.engine import calcfunction

from aiida_haml.data.frames import FramesData
from aiida_haml.frames import Frames, concatenate


@calcfunction
def take_last_frame(frames: FramesData) -> FramesData:
    """Take the last frame as the start of a time line: with its velocities, without its time and labels."""
    last = frames.read(-1)
    start = Frames(last.numbers, last.positions, last.cells, last.pbc, velocities=last.velocities)
    return FramesData(start, kind="structure")


@calcfunction
def join_frames(**parts: FramesData) -> FramesData:
    """Join runs that continue one another, in the order of their names; a repeated moment is kept once."""
    nodes = [node for _, node in sorted(parts.items())]
    joined = concatenate([node.frames for node in nodes])
    return FramesData(joined, kind=nodes[0].kind, level_of_theory=nodes[0].level_of_theory)


@calcfunction
def join_parameters(**parts: orm.Dict) -> orm.Dict:
    """Join the output parameters of runs that continue one another: the last one's, with steps and times added up."""
    contents = [node.get_dict() for _, node in sorted(parts.items())]
    joined = dict(contents[-1])
    for name in ("steps_done", "trusted_steps", "wall_time_s"):
        if name in joined:
            joined[name] = sum(content.get(name) or 0 for content in contents)
    if joined.get("stopped_at_step") is not None:
        joined["stopped_at_step"] += sum(content.get("trusted_steps") or 0 for content in contents[:-1])
    joined["parts"] = len(contents)
    return orm.Dict(joined)


@calcfunction
def cut_stretch(frames: FramesData, end_fs: orm.Float) -> dict[str, Any]:
    """Cut a stretch at a moment: ``trusted`` up to it, ``untrusted`` behind it."""
    run = frames.frames
    assert run.times is not None  # a stretch has a time line
    n_kept = int(np.searchsorted(run.times, end_fs.value + 1e-6))
    parts = {"trusted": FramesData(run[:n_kept], kind="stretch")}
    if n_kept < len(run):
        parts["untrusted"] = FramesData(run[n_kept:], kind="untrusted")
    return parts


@calcfunction
def revoke(frames: FramesData) -> FramesData:
    """Keep what the judge has revoked as what it is: frames that nothing starts from and no analysis reads."""
    return FramesData(frames.frames, kind="untrusted")


@calcfunction
def describe_equilibration(**stages: FramesData) -> orm.Dict:
    """Collect how calm a cell became, stage by stage in the order of their names.

    Returns
    -------
    Dict
        ``stages``: for each its ``frames``, the largest force component at its start and end (``max_force_start``,
        ``max_force_end``, eV / Angstrom); of dynamics, the mean temperature of its second half (``temperature_K``); and
        where the labels have a stress, the pressure of its last frame, or of dynamics the mean of its second half with
        the atoms' motion (``pressure_GPa``).
    """
    return orm.Dict({"stages": {name: _calmness(node.frames) for name, node in sorted(stages.items())}})


def _calmness(frames: Frames) -> dict[str, Any]:
    assert frames.forces is not None  # a label has forces
    calm: dict[str, Any] = {
        "frames": len(frames),
        "max_force_start": float(np.abs(frames.forces[0]).max()),
        "max_force_end": float(np.abs(frames.forces[-1]).max()),
    }
    if frames.velocities is not None:
        calm["temperature_K"] = float(frames.temperatures()[len(frames) // 2 :].mean())
    if frames.stresses is not None:
        settled = len(frames) // 2 if frames.velocities is not None else -1
        calm["pressure_GPa"] = float(frames.pressures()[settled:].mean())
    return calm
