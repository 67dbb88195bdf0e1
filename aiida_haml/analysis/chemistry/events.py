"""Reaction events: covalent bonds that break or form for good.

A bond that opens and closes again is a vibration. An event is a change of a bond's state (with hysteresis,
see `aiida_haml.analysis.chemistry.bonds`) that has lasted a stated time; its own time is when it began to last.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from ase.data import chemical_symbols

from aiida_haml.analysis.chemistry.bonds import LITHIUM, BondBlock, Pairs
from aiida_haml.arrays import FloatArray, IntArray
from aiida_haml.frames import Frames

#: In the name of a pair, the element that stands farther left here comes first: P-S, C-O, S-F, H-O.
ORDER = ("P", "C", "S", "Se", "N", "H", "O", "F", "Cl", "Br", "I")

#: fs; differences of times below it are rounding.
TOLERANCE_FS = 1e-6


@dataclass(frozen=True)
class Event:
    """A bond that broke or formed.

    Attributes
    ----------
    time : float
        fs, of the first frame in the new state.
    atoms : (int, int)
    formed : bool
        Broken if not.
    z : float
        Place of the bond's middle along the third cell vector, as a share of it from 0 to 1.
    """

    time: float
    atoms: tuple[int, int]
    formed: bool
    z: float


def covalent(pairs: Pairs, numbers: IntArray) -> IntArray:
    """Return the indices of the pairs without lithium."""
    return np.flatnonzero((numbers[pairs.first] != LITHIUM) & (numbers[pairs.second] != LITHIUM))


class EventLog:
    """Finds lasting changes in the blocks of a `BondTracker`.

    Parameters
    ----------
    numbers : (N,) int array
    persist_fs : float
        A change counts once the new state has been seen from its first frame to one at least this much later.

    Notes
    -----
    The log can be warmed up with the frames ahead of a batch: `clear` forgets the events found and keeps the
    changes that are not decided yet. An event belongs to the frames in which it is decided.
    """

    def __init__(self, numbers: IntArray, persist_fs: float) -> None:
        self._numbers = np.asarray(numbers)
        self._persist = persist_fs
        self._pending: dict[int, Event] = {}
        self._found: list[Event] = []
        self._last = -np.inf

    def add(self, block: BondBlock, frames: Frames) -> None:
        """Take in the next block of the frames that the tracker follows.

        Raises
        ------
        ValueError
            If the frames have no times.
        """
        if frames.times is None:
            raise ValueError("times is missing; give each frame its time in fs, else nothing can be said of events.")
        chosen = covalent(block.pairs, self._numbers)
        bonded = block.bonded[:, chosen]
        changed = bonded != np.concatenate([block.before[None, chosen], bonded[:-1]])
        for frame, column in np.argwhere(changed):
            index = block.start + int(frame)
            seen_until = frames.times[index - 1] if frame > 0 else self._last
            key = int(block.pairs.key[chosen[column]])
            pending = self._pending.pop(key, None)
            if pending is not None and not self._decide(pending, seen_until):
                continue  # it went back too soon
            pair = (int(block.pairs.first[chosen[column]]), int(block.pairs.second[chosen[column]]))
            z = _height(frames, index, pair, block.pairs.shift[chosen[column]])
            self._pending[key] = Event(float(frames.times[index]), pair, bool(bonded[frame, column]), z)
        self._last = float(frames.times[block.start + len(block) - 1])
        self._pending = {key: e for key, e in self._pending.items() if not self._decide(e, self._last)}

    def clear(self) -> None:
        """Forget the events found so far."""
        self._found = []

    def arrays(self) -> dict[str, np.ndarray]:
        """Return the events found as arrays in time order.

        Returns
        -------
        dict
            ``events_time`` (E,) fs; ``events_pair`` (E,) str, as 'P-S'; ``events_atoms`` (E, 2) int;
            ``events_formed`` (E,) bool; ``events_z`` (E,), see `Event`.
        """
        events = sorted(self._found, key=lambda e: (e.time, e.atoms))
        names = [pair_name(*(chemical_symbols[self._numbers[a]] for a in e.atoms)) for e in events]
        return {
            "events_time": np.array([e.time for e in events], dtype=float),
            "events_pair": np.array(names, dtype="<U5"),
            "events_atoms": np.array([e.atoms for e in events], dtype=np.int64).reshape(-1, 2),
            "events_formed": np.array([e.formed for e in events], dtype=bool),
            "events_z": np.array([e.z for e in events], dtype=float),
        }

    def _decide(self, event: Event, seen_until: float) -> bool:
        lasted = bool(seen_until - event.time >= self._persist - TOLERANCE_FS)
        if lasted:
            self._found.append(event)
        return lasted


def join_events(parts: Sequence[Mapping[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Join the arrays of consecutive batches in time order."""
    names = ("events_time", "events_pair", "events_atoms", "events_formed", "events_z")
    joined = {name: np.concatenate([part[name] for part in parts]) for name in names}
    order = np.lexsort((joined["events_atoms"][:, 1], joined["events_atoms"][:, 0], joined["events_time"]))
    return {name: values[order] for name, values in joined.items()}


def broken_until(events: dict[str, np.ndarray], times: FloatArray) -> FloatArray:
    """Return (F,) how many bonds have broken for good up to each time, formed ones not taken off."""
    broken = np.sort(events["events_time"][~events["events_formed"]])
    return np.searchsorted(broken, times + TOLERANCE_FS, side="right").astype(float)


def pair_name(first: str, second: str) -> str:
    """Return the name of a pair of elements, as 'P-S', 'C-O'."""

    def rank(symbol: str) -> tuple[int, str]:
        return (ORDER.index(symbol) if symbol in ORDER else len(ORDER), symbol)

    return "-".join(sorted((first, second), key=rank))


def _height(frames: Frames, index: int, pair: tuple[int, int], shift: IntArray) -> float:
    """Return where the middle of a bond is along the third cell vector; along the span of the atoms if it ends."""
    positions, cell = frames.positions[index], frames.cells[index]
    middle = (positions[pair[0]] + positions[pair[1]] + shift @ cell) / 2
    if frames.pbc[2] and abs(np.linalg.det(cell)) > 1e-9:
        return float(np.linalg.solve(cell.T, middle)[2] % 1.0)
    low, high = positions[:, 2].min(), positions[:, 2].max()
    return float((middle[2] - low) / max(high - low, 1e-9))
