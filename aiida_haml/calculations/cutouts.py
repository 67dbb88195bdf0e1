"""Calcfunctions of a production run: a wide cell, the cut-outs that truth is told of, and what follows from it."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from aiida import orm
from aiida.engine import calcfunction

from aiida_haml.calculations.probes import known_labels
from aiida_haml.calculations.rounds import end_of, read_calibration, told_calibration
from aiida_haml.data.frames import FramesData
from aiida_haml.data.pool import LabelPoolData
from aiida_haml.learning.cutouts import CutoutSettings, cut_out, divisions, spots, widen
from aiida_haml.learning.judge import Point, judge
from aiida_haml.learning.rounds import RoundSettings


@calcfunction
def widen_cell(frames: FramesData, index: orm.Int, repeats: orm.List) -> FramesData:
    """Repeat one frame along the cell's vectors, without its velocities.

    Parameters
    ----------
    frames : FramesData
    index : Int
        Of the frame.
    repeats : List
        Three integers.
    """
    times = repeats.get_list()
    return FramesData(widen(frames.read(index.value), (times[0], times[1], times[2])), kind="structure")


@calcfunction
def take_cutouts(
    frames: FramesData,
    settings: orm.Dict,
    seed: orm.Int,
    untrusted: FramesData | None = None,
    pool: LabelPoolData | None = None,
    seen: orm.Dict | None = None,
) -> dict[str, Any]:
    """Cut out of a stretch of a wide cell what is to be labelled.

    Parameters
    ----------
    frames : FramesData
        The trusted part of the stretch.
    settings : Dict
        Fields of `CutoutSettings`.
    seed : Int
    untrusted : FramesData, optional
        The rest of it, up to the breach.
    pool : LabelPoolData, optional
        The labels so far, with which the atoms are compared.
    seen : Dict, optional
        Output parameters of the stretch: ``stopped_at_atom`` ended it.

    Returns
    -------
    dict
        ``cutout_NN`` (FramesData, not labelled) and ``why`` (Dict: by name its ``time_fs``, ``kind``, ``reason``, the
        ``atom`` of the wide cell in its middle, how many ``left_out``, and the rows of its ``inner`` atoms).
    """
    chosen_by = CutoutSettings.from_dict(settings.get_dict())
    breach = None if untrusted is None else untrusted.frames
    known = [] if pool is None else known_labels(pool, frames, chosen_by.n_known)
    run = frames.frames
    made: dict[str, Any] = {}
    why: dict[str, Any] = {}
    ending = seen.get_dict().get("stopped_at_atom") if seen is not None else None
    for number, spot in enumerate(spots(run, breach, known, chosen_by, seed.value, ending)):
        source = breach if spot.kind == "breach" and breach is not None else run
        frame = source[spot.frame]
        counts = divisions(frame.cells[0], chosen_by.width)
        cut = cut_out(frame, spot.atom, counts, chosen_by.reach)
        name = f"cutout_{number:02d}"
        made[name] = FramesData(cut.frame, kind="selection")
        why[name] = {
            "time_fs": None if frame.times is None else float(frame.times[0]),
            "kind": spot.kind,
            "reason": spot.reason,
            "atom": spot.atom,
            "left_out": cut.n_left_out,
            "inner": np.flatnonzero(cut.inner).tolist(),
        }
    return made | {"why": orm.Dict(why)}


@calcfunction
def judge_cutouts(
    settings: orm.Dict,
    stretch: FramesData,
    why: orm.Dict,
    seen: orm.Dict,
    tests: orm.ArrayData,
    calibration: orm.Dict | None = None,
) -> dict[str, Any]:
    """Judge a stretch of a wide cell by what truth says of the inner atoms of its cut-outs.

    The energy of a cut-out is not judged: its walls count in it.

    Parameters
    ----------
    settings : Dict
        Of `RoundSettings`, with ``slug``, ``simulated_fs``, the time to reach, and ``n_alarms``, how many stretches in
        a row the watch has ended, this one among them.
    stretch : FramesData
        Its trusted part.
    why : Dict
        Of `take_cutouts`.
    seen : Dict
        Output parameters of the stretch.
    tests : ArrayData
        Errors of the driving potential on the cut-outs that could be labelled.
    calibration : Dict, optional
        Of the stretch before.

    Returns
    -------
    dict
        ``verdicts``: by slug what `judge_round` says of a candidate, with ``ends``: why the run is over, or None.
        ``calibration``.
    """
    content = settings.get_dict()
    slug, wanted, n_alarms = (content.pop(name) for name in ("slug", "simulated_fs", "n_alarms"))
    rounds = RoundSettings.from_dict(content)
    points, pairs = _of_inner_atoms(why.get_dict(), tests)
    start, end = float(stretch.get_array("times")[0]), end_of(stretch)
    verdict = judge(rounds, end, points, [], stretch.n_atoms)
    beyond = next((p.complaint(rounds) for p in points if p.time_fs > end and p.complaint(rounds)), None)
    reached = start if verdict.end_fs is None else verdict.end_fs
    # Where the last moment has no label, what lies behind the last one that has does not stay, and nothing is wrong.
    is_short = verdict.action == "accept" and reached < end - 1e-6
    told = verdict.to_dict() | {
        "action": "cut" if is_short else verdict.action,
        "burst_stays": False,  # there is none
        "stretch_fs": reached - start,
        "burst_fs": 0.0,
        "advanced_fs": reached - start,
        "reached_fs": reached,
        "n_labels": len(pairs),
        "temperature_K": float(stretch.frames.temperatures().mean()) if stretch.has_velocities else None,
        "ends": _over(verdict.action, reached >= wanted - 1e-6, beyond, n_alarms >= rounds.max_fruitless, seen),
    }
    known = calibration.get_dict() if calibration is not None else {}
    more = told_calibration(read_calibration(known).extended(pairs), rounds, known.get("shortest", {}))
    return {"verdicts": orm.Dict({slug: told}), "calibration": orm.Dict(more)}


def _of_inner_atoms(why: Mapping[str, Any], tests: orm.ArrayData) -> tuple[list[Point], list[tuple[float, float]]]:
    """Return the point of each moment, and the largest deviation and error of the inner atoms of each cut-out.

    What is tolerated of a mean is meant of a whole frame: it is taken over all inner atoms of a moment, as those around
    the strangest atom alone are worse than the frame is.
    """
    errors: dict[float, list[Any]] = {}
    pairs = []
    for name, told in sorted(why.items()):
        if f"{name}__errors" not in tests.get_arraynames() or not told["inner"]:
            continue
        found = tests.get_array(f"{name}__errors")[0][told["inner"]]
        deviations = tests.get_array(f"{name}__deviations")[0][told["inner"]]
        errors.setdefault(told["time_fs"], []).append(found)
        pairs.append((float(deviations.max()), float(found.max())))
    moments = {time: np.concatenate(found) for time, found in errors.items()}
    points = [Point(t, float(np.sqrt(np.square(e).mean() / 3)), float(e.max()), 0.0) for t, e in moments.items()]
    return points, pairs


def _over(action: str, is_done: bool, beyond: str | None, is_stuck: bool, seen: orm.Dict) -> str | None:
    """Return why a run is over, or None where it goes on."""
    if action != "accept":
        return "Ended before its time: the potential is wrong here. Teach it the cut-outs' labels, and start anew."
    if is_done:
        return "The wanted simulated time is reached."
    if beyond is not None:
        return f"Ended before its time: behind what is trusted {beyond}. Teach it the cut-outs' labels, and start anew."
    if is_stuck:
        return f"Ended before its time: the watch ends one stretch after the other. {seen['reason']}"
    return None
