"""The chemistry of a trajectory: bonds, units, reactions and motion, batch by batch.

`chemistry` says of one batch of frames what it can; `join_chemistry` puts the batches together and adds what
needs the whole. Batches cut anywhere give what one batch of all frames gives, as long as each is given enough
of the frames ahead of it.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from aiida_haml.analysis.balance.cell import BuiltCell
from aiida_haml.analysis.balance.states import BondStates
from aiida_haml.analysis.chemistry.bonds import LITHIUM, BondTracker
from aiida_haml.analysis.chemistry.charges import FormalCharges
from aiida_haml.analysis.chemistry.coordination import BondSeries
from aiida_haml.analysis.chemistry.events import EventLog, broken_until, join_events
from aiida_haml.analysis.chemistry.lithium import lithium_positions, lithium_transport
from aiida_haml.analysis.chemistry.rattling import anion_spacing, anion_windows, join_windows, lindemann
from aiida_haml.analysis.chemistry.units import Units
from aiida_haml.analysis.settings import DescriptionSettings
from aiida_haml.frames import Frames

#: Arrays of a part that only `join_chemistry` reads.
PARTIAL = "partial_"
#: Names the arrays of a part.
NAMES = PARTIAL + "names"
#: Arrays that say of each atom in which state it is, frame by frame; not kept.
ATOMIC = ("atom_states", "atom_charges", "broken_units")


def chemistry(
    frames: Frames, origin: Frames, previous: Frames | None, built: BuiltCell, settings: DescriptionSettings
) -> dict[str, np.ndarray]:
    """Return what a batch of frames says of bonds, reactions, units and motion.

    Parameters
    ----------
    frames : Frames
        F frames with times.
    origin : Frames
        Its first frame is the start of the trajectory.
    previous : Frames, optional
        The last frames ahead of the batch, see `aiida_haml.analysis.settings.memory_fs`; none for the first batch.
        They decide what bonds the batch begins with, and which changes have begun to last. Nothing else of
        them enters.
    built : BuiltCell
        What units, bonds and metal are counted from.
    settings : DescriptionSettings

    Returns
    -------
    dict
        (F,) arrays as of `bond_series` and `Units.series`; the arrays of `EventLog.arrays` and `Units.fragments`;
        ``atom_states`` (F, N) of `BondStates`, ``atom_charges`` (F, N) of `FormalCharges` and ``broken_units`` (F, U)
        of `Units`; and arrays named ``partial_...`` for `join_chemistry`.

    Raises
    ------
    ValueError
        If the frames have no times.
    """
    tracker = BondTracker(frames.numbers, settings.hysteresis)
    series, events = BondSeries(frames.numbers), EventLog(frames.numbers, settings.persist_fs)
    units, states = Units(built.frame, settings.hysteresis), BondStates(frames.numbers)
    charges = FormalCharges(frames.numbers)
    if previous is not None:
        for block in tracker.follow(previous):
            events.add(block, previous)
        events.clear()
    for block in tracker.follow(frames):
        series.add(block)
        events.add(block, frames)
        units.add(block)
        states.add(block, frames)
        charges.add(block)
    assert frames.times is not None  # the event log has seen to it
    ions = np.flatnonzero((frames.numbers == LITHIUM) & ~built.metal)
    broken = units.broken()
    partial = (
        lithium_positions(frames, origin, ions, settings.transport_every_fs)
        | anion_windows(frames, origin, ~units.fate(broken), settings.window_fs)
        | {"time": frames.times, "anion_spacing": np.array([anion_spacing(built.frame)])}
    )
    found = series.series() | units.series() | units.fragments() | events.arrays()
    found |= {PARTIAL + name: values for name, values in partial.items()}
    found[NAMES] = np.array(sorted([*found, NAMES]))
    return found | {"atom_states": states.states(), "atom_charges": charges.charges(), "broken_units": broken}


def chemistry_names(part: Mapping[str, np.ndarray]) -> set[str]:
    """Return which arrays of a dictionary came from `chemistry`, whatever else was put beside them."""
    return set(part[NAMES].tolist())


def join_chemistry(
    parts: Sequence[Mapping[str, np.ndarray]], normal: np.ndarray, consumed: float
) -> dict[str, np.ndarray]:
    """Join the batches of a trajectory, in time order, and add what needs all of it.

    Parameters
    ----------
    parts : sequence of dict
        Of `chemistry`, with the same origin and settings; arrays that are not its own are left out.
    normal : (3,) array
        Unit vector across the faces.
    consumed : float
        Share of the electrolyte as built that is consumed at the end of the trajectory.

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
    windows = [n.removeprefix(PARTIAL) for n in parts[0] if n.startswith(PARTIAL + "window")]
    rattling = join_windows([{n: part[PARTIAL + n] for n in windows} for part in parts])
    lithium = {n: np.concatenate([part[f"{PARTIAL}lithium_{n}"] for part in parts]) for n in ("time", "moved")}
    spacing = float(parts[0][PARTIAL + "anion_spacing"][0])
    return (
        joined | lithium_transport(lithium["time"], lithium["moved"], normal, consumed) | lindemann(rattling, spacing)
    )
