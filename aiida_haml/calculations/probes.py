"""The calcfunctions that choose what to label off the time line."""

from typing import Any

import numpy as np
from aiida import orm
from aiida.engine import calcfunction

from aiida_haml.data.frames import FramesData
from aiida_haml.data.pool import LabelPoolData
from aiida_haml.frames import Frames
from aiida_haml.learning.distortions import DistortionSettings, distort
from aiida_haml.learning.lesson import balanced
from aiida_haml.learning.selection import ProbeSettings, choose

#: Kind of a probe that no trajectory came to, but a challenger in a hot run: before it failed, or as it explored.
HOT = "hot"
_HOT = {"kind": HOT, "reason": "A challenger came here in a hot run, on its way out or exploring."}


@calcfunction
def distort_start(
    start: FramesData, settings: orm.Dict, seed: orm.Int, hot: FramesData | None = None
) -> dict[str, Any]:
    """Make the first probes of a candidate: shaken, strained and crowded copies of its start.

    Parameters
    ----------
    start : FramesData
        Its last frame counts.
    settings : Dict
        Fields of `DistortionSettings`.
    seed : Int
    hot : FramesData, optional
        Of a challenger's hot run; they are chosen as well.

    Returns
    -------
    dict
        ``selection`` (FramesData, not labelled) and ``why`` (Dict: ``frames``, for each its ``kind`` and ``reason``).
    """
    frames, reasons = distort(start.read(-1), DistortionSettings.from_dict(settings.get_dict()), seed.value)
    return _selection([frames], [{"kind": "distorted", "reason": reason} for reason in reasons], hot)


@calcfunction
def take_hot(hot: FramesData) -> dict[str, Any]:
    """Choose the frames of a hot run where there is no stretch to choose from.

    Returns
    -------
    dict
        ``selection`` and ``why``, as of `distort_start`.
    """
    return _selection([], [], hot)


@calcfunction
def select_probes(
    frames: FramesData,
    settings: orm.Dict,
    untrusted: FramesData | None = None,
    pool: LabelPoolData | None = None,
    candidate: orm.Str | None = None,
    hot: FramesData | None = None,
) -> dict[str, Any]:
    """Choose the frames of a stretch that are to be labelled.

    Parameters
    ----------
    frames : FramesData
        The trusted part of the stretch.
    settings : Dict
        Fields of `ProbeSettings`.
    untrusted : FramesData, optional
        The rest of it, up to the breach.
    pool : LabelPoolData, optional
        The labels so far, with which the frames are compared.
    candidate : Str, optional
        Whose stretch it is: its own labels go before those of others, of which a sample counts.
    hot : FramesData, optional
        Of a challenger's hot run; they are chosen as well.

    Returns
    -------
    dict
        ``selection`` (FramesData, in the order of time, hot ones last, not labelled) and ``why`` (Dict: ``frames``, for
        each its ``source``, ``index`` there, ``time_fs``, ``kind``, ``reason`` and ``novelty``; of hot ones ``kind``
        and ``reason``). Neither where the stretch is too short to choose from.
    """
    chosen_by = ProbeSettings.from_dict(settings.get_dict())
    parts = {"frames": frames.frames} | ({"untrusted": untrusted.frames} if untrusted is not None else {})
    known = (
        []
        if pool is None
        else known_labels(pool, frames, chosen_by.n_known, None if candidate is None else candidate.value)
    )
    choices = choose(parts["frames"], parts.get("untrusted"), known, chosen_by)
    if not choices and hot is None:
        return {}
    picked = [parts[choice.source][choice.index] for choice in choices]
    times = [None if frame.times is None else float(frame.times[0]) for frame in picked]
    why = [choice.to_dict() | {"time_fs": time} for choice, time in zip(choices, times, strict=True)]
    return _selection(picked, why, hot)


def _selection(picked: list[Frames], why: list[dict[str, Any]], hot: FramesData | None) -> dict[str, Any]:
    """Return the chosen frames and why each was chosen; hot ones come last."""
    if hot is not None:
        picked, why = [*picked, hot.frames], [*why, *[_HOT] * len(hot.frames)]
    return {"selection": FramesData(_stacked(picked), kind="selection"), "why": orm.Dict({"frames": why})}


def known_labels(pool: LabelPoolData, like: FramesData, n: int, candidate: str | None = None) -> list[Frames]:
    """Return labelled frames to compare with: the latest of the candidate, and as many of the others together."""
    entries = [entry for entry in pool.entries() if entry.part != "false"]
    own = [entry for entry in entries if entry.candidate == candidate][-n:] if n else []
    others = balanced([entry for entry in entries if entry.candidate != candidate], n, seed=0)
    nodes = pool.frames(own + others)
    alike = {source: node for source, node in nodes.items() if set(node.elements) & set(like.elements)}
    runs = {source: node.read(slice(None), more=()) for source, node in alike.items()}
    return [runs[entry.source][entry.frame] for entry in own + others if entry.source in runs]


def _stacked(frames: list[Frames]) -> Frames:
    """Join frames into one run of bare configurations."""
    first = frames[0]
    return Frames(
        first.numbers,
        np.concatenate([frame.positions for frame in frames]),
        np.concatenate([frame.cells for frame in frames]),
        first.pbc,
    )
