"""Calcfunctions: the small steps that make nodes outside of jobs."""

from __future__ import annotations

from typing import Any

import numpy as np
from aiida import orm
from aiida.engine import calcfunction
from ase.data import atomic_numbers

from aiida_haml.data.frames import FramesData
from aiida_haml.frames import Frames
from aiida_haml.learning.controller import ControllerSettings, Observation, Plan, first_plan, next_plan
from aiida_haml.structures.candidates import build

#: Edge of the box of an isolated atom, Angstrom: twice the reach of any potential trained here.
ATOM_BOX = 12.0


@calcfunction
def build_candidate(specification: orm.Dict) -> dict[str, Any]:
    """Build the cell of a candidate: ``structure`` (one frame) and ``report`` (the choices made)."""
    atoms, report = build(specification.get_dict())
    return {"structure": FramesData.from_ase(atoms, kind="structure"), "report": orm.Dict(report)}


@calcfunction
def build_isolated_atom(element: orm.Str) -> FramesData:
    """Put one atom into the middle of a periodic box."""
    frames = Frames(
        numbers=np.array([atomic_numbers[element.value]]),
        positions=np.full((1, 1, 3), ATOM_BOX / 2),
        cells=ATOM_BOX * np.eye(3)[None],
        pbc=np.ones(3, dtype=bool),
    )
    return FramesData(frames, kind="isolated_atom")


@calcfunction
def take_last_frame(frames: FramesData) -> FramesData:
    """Take the last frame as the start of a time line: with its velocities, without its time and labels."""
    last = frames.read(-1)
    start = Frames(last.numbers, last.positions, last.cells, last.pbc, velocities=last.velocities)
    return FramesData(start, kind="structure")


@calcfunction
def describe_equilibration(**stages: FramesData) -> orm.Dict:
    """Collect how calm a cell became, stage by stage in the order of their names.

    Returns
    -------
    Dict
        ``stages``: for each its ``frames``, the largest force component at its start and end (``max_force_start``,
        ``max_force_end``, eV / Angstrom) and, of dynamics, the mean temperature of its second half (``temperature_K``).
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
    return calm


@calcfunction
def control(settings: orm.Dict, **observed: Any) -> orm.Dict:
    """Plan the next cycle.

    Parameters
    ----------
    settings : Dict
        Of the controller.
    **observed
        None for the first plan; else `previous` (the plan before), `remaining_steps`, `n_labels` and, where there
        were any, `errors` (of the test), `stretch` (output parameters of the last stretch) and `wall_time_s` (spent so
        far; given only where there is a budget of it, as it makes every run different).
    """
    chosen = ControllerSettings.from_dict(settings.get_dict())
    if not observed:
        return orm.Dict(first_plan(chosen).to_dict())
    observation = Observation.from_errors(
        observed["errors"].get_dict() if "errors" in observed else None,
        stopped_by=observed["stretch"].get_dict().get("stopped_by") if "stretch" in observed else None,
        n_labels=observed["n_labels"].value,
        remaining_steps=observed["remaining_steps"].value,
        wall_time_s=observed["wall_time_s"].value if "wall_time_s" in observed else 0.0,
    )
    return orm.Dict(next_plan(chosen, Plan.from_dict(observed["previous"].get_dict()), observation).to_dict())


@calcfunction
def summarize(**nodes: Any) -> orm.Dict:
    """Collect what happened in each cycle of a hybrid trajectory.

    Parameters
    ----------
    **nodes
        ``plan_NNNN``, ``burst_NNNN``, ``errors_NNNN``, ``training_NNNN``, ``stretch_NNNN`` (Dict), and ``segment_NNNN``
        (frames in the order of time).
    """
    segments = [node for name, node in sorted(nodes.items()) if name.startswith("segment_")]
    cycles: list[dict[str, Any]] = []
    while f"burst_{len(cycles):04d}" in nodes:
        cycles.append(_cycle(len(cycles), nodes))
    start, end = segments[0].base.attributes.get("time_start"), segments[-1].base.attributes.get("time_end")
    return orm.Dict({"cycles": cycles, "simulated_fs": end - start})


def _cycle(number: int, nodes: dict[str, Any]) -> dict[str, Any]:
    def content(kind: str) -> dict[str, Any]:
        node = nodes.get(f"{kind}_{number:04d}")
        return {} if node is None else node.get_dict()

    plan, stretch, errors = content("plan"), content("stretch"), content("errors")
    return {
        "cycle": number,
        "burst_steps": content("burst")["steps_done"],
        "prequential": errors or None,
        "deviation_max": errors.get("deviation_max"),
        "training": {kind: content("training").get(kind) for kind in ("train", "valid", "held_out")}
        if content("training")
        else None,
        "max_deviation": plan.get("max_deviation"),
        "reason": plan.get("reason"),
        "stretch_steps": plan.get("n_stretch") if stretch else None,
        "trusted_steps": stretch.get("trusted_steps"),
        "stopped_by": stretch.get("stopped_by"),
    }
