"""The chemistry of a trajectory: bonds, reactions, molecules and transport, batch by batch.

`chemistry` says of one batch of frames what it can; `join_chemistry` puts the batches together and adds what
needs the whole. Batches cut anywhere give what one batch of all frames gives, as long as each is given enough
of the frames ahead of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from aiida_haml.analysis.bonds import HYSTERESIS, BondSeries, BondTracker
from aiida_haml.analysis.events import EventLog, broken_until, join_events
from aiida_haml.analysis.molecules import Units
from aiida_haml.analysis.transport import (
    anion_spacing,
    anion_windows,
    join_windows,
    lindemann,
    lithium_ions,
    lithium_positions,
    lithium_transport,
)
from aiida_haml.frames import Frames
from aiida_haml.settings import Settings

#: Arrays of a part that only `join_chemistry` reads.
PARTIAL = "partial_"
#: Names the arrays of a part.
NAMES = PARTIAL + "names"


@dataclass(frozen=True)
class ChemistrySettings(Settings):
    """How bonds are followed.

    Parameters
    ----------
    hysteresis : float
        Share of the cutoff by which a pair must come nearer to bond and go farther to break.
    persist_fs : float
        Time that a bond must stay broken or formed to count as an event, fs. Longer than a period of the
        softest P-S stretch (some 80 fs).
    transport_every_fs : float
        Lithium's positions are kept once in each interval of this length, fs.
    instability_window_fs : float
        Window of time in which the anions' displacements from their mean are taken, fs.
    """

    hysteresis: float = HYSTERESIS
    persist_fs: float = 100.0
    transport_every_fs: float = 20.0
    instability_window_fs: float = 500.0

    def __post_init__(self) -> None:
        self.need("hysteresis", 0 <= self.hysteresis < 0.2, "a share from 0 to below 0.2")
        self.need("persist_fs", self.persist_fs > 0, "a time in fs")
        self.need("transport_every_fs", self.transport_every_fs > 0, "a time in fs")
        self.need("instability_window_fs", self.instability_window_fs > 0, "a time in fs")


def chemistry(
    frames: Frames,
    origin: Frames,
    previous: Frames | None = None,
    settings: ChemistrySettings = ChemistrySettings(),
) -> dict[str, np.ndarray]:
    """Return what a batch of frames says of bonds, reactions, molecules and transport.

    Parameters
    ----------
    frames : Frames
        F frames with times.
    origin : Frames
        Its first frame is the start of the trajectory.
    previous : Frames, optional
        The last frames ahead of the batch, of three times ``persist_fs`` or more; none for the first batch.
        They decide what bonds the batch begins with, and which changes have begun to last. Nothing else of
        them enters.
    settings : ChemistrySettings

    Returns
    -------
    dict
        (F,) arrays as of `bond_series` and `Units.series`; the arrays of `EventLog.arrays` and
        `Units.fragments`; and arrays named ``partial_...`` for `join_chemistry`.

    Raises
    ------
    ValueError
        If the frames have no times.
    """
    tracker = BondTracker(frames.numbers, settings.hysteresis)
    series, events = BondSeries(frames.numbers), EventLog(frames.numbers, settings.persist_fs)
    units = Units(origin, settings.hysteresis)
    if previous is not None:
        for block in tracker.follow(previous):
            events.add(block, previous)
        events.clear()
    for block in tracker.follow(frames):
        series.add(block)
        events.add(block, frames)
        units.add(block)
    assert frames.times is not None  # the event log has seen to it
    partial = (
        lithium_positions(frames, origin, settings.transport_every_fs)
        | anion_windows(frames, origin, settings.instability_window_fs)
        | {
            "time": frames.times,
            "lithium_ions": lithium_ions(origin),
            "anion_spacing": np.array([anion_spacing(origin)]),
        }
    )
    found = series.series() | units.series() | units.fragments() | events.arrays()
    found |= {PARTIAL + name: values for name, values in partial.items()}
    return found | {NAMES: np.array(sorted([*found, NAMES]))}


def chemistry_names(part: Mapping[str, np.ndarray]) -> set[str]:
    """Return which arrays of a dictionary came from `chemistry`, whatever else was put beside them."""
    return set(part[NAMES].tolist())


def join_chemistry(parts: Sequence[Mapping[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Join the batches of a trajectory, in time order, and add what needs all of it.

    Parameters
    ----------
    parts : sequence of dict
        Of `chemistry`, with the same origin and settings; arrays that are not its own are left out.

    Returns
    -------
    dict
        The (F,) arrays end to end; all events in time order; ``broken_bonds`` (F,), how many bonds have broken
        for good up to each frame; the fragments at the end; and the arrays of `lithium_transport` and
        `lindemann`.
    """
    times = np.concatenate([part[PARTIAL + "time"] for part in parts])
    names = sorted(chemistry_names(parts[0]))
    per_frame = [name for name in names if not name.startswith(("events_", "fragment", PARTIAL))]
    joined = {name: np.concatenate([part[name] for part in parts]) for name in per_frame}
    joined |= {name: parts[-1][name] for name in names if name.startswith("fragment")}
    events = join_events(parts)
    joined |= events | {"broken_bonds": broken_until(events, times)}
    return joined | _transport(parts)


def _transport(parts: Sequence[Mapping[str, np.ndarray]]) -> dict[str, np.ndarray]:
    def together(name: str) -> np.ndarray:
        return np.concatenate([part[PARTIAL + name] for part in parts])

    names = [n for n in parts[0] if n.startswith(PARTIAL + "window")]
    windows = join_windows([{n.removeprefix(PARTIAL): part[n] for n in names} for part in parts])
    first = {n: parts[0][PARTIAL + n] for n in ("lithium_ions", "anion_spacing")}
    moved = lithium_transport(together("lithium_time"), together("lithium_moved"), first["lithium_ions"])
    return moved | lindemann(windows, float(first["anion_spacing"][0]))
