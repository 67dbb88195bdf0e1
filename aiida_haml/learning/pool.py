"""What the pool knows of a label: which frame it is, of what kind, and whether it trains, validates or is held out.

All of it follows from the label's content. Two screens that share a pool, or meet the same frame in pools of
their own, put it into the same part: no frame that one potential is examined on has taught another.
"""

import hashlib
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from aiida_haml.frames import Frames

#: Parts of the pool. `exploded` frames serve for nothing: no dynamics that is worth following comes there. Nor do
#: `false` ones, which were found to be of another electronic state after they had joined.
PARTS = ("train", "valid", "held_out", "exploded", "false")
#: Shares of the blocks that are held out and that validate. Constants, not settings: a shared pool has one rule.
HELD_OUT, VALID = 0.1, 0.1
#: Consecutive frames of a time line that stay together; their neighbours look like them.
BLOCK = 10
#: Kinds of frames that are consecutive in time; the frames of all others are looked at one by one.
CONSECUTIVE = ("burst", "imported")
#: Largest force on an atom, eV / Angstrom, above which a frame counts as exploded.
EXPLODED = 50.0
#: Configurations are the same if no coordinate differs by more than about this, Angstrom. Codes print ten digits
#: or fewer; from one step of dynamics to the next, some atom moves several times as far.
RESOLUTION = 1e-3


@dataclass(frozen=True)
class Entry:
    """One label of the pool.

    Attributes
    ----------
    key : str
        Of the configuration, see `configuration_keys`.
    part : str
        One of `PARTS`.
    max_force : float
        Largest force on an atom, eV / Angstrom.
    source : str
        Content key of the frames that it belongs to.
    frame : int
        Its index there.
    kind : str
        What those frames are: ``burst``, ``probes``, ``relaxation``, ...
    name : str
        The name under which they joined the pool.
    round : int
        When they joined, from 0.
    """

    key: str
    part: str
    max_force: float
    source: str = ""
    frame: int = 0
    kind: str = ""
    name: str = ""
    round: int = 0

    @property
    def candidate(self) -> str:
        """Whose label it is: the name up to a double underscore."""
        return self.name.partition("__")[0]


@dataclass(frozen=True)
class Labels:
    """Labelled frames that are about to join a pool.

    Attributes
    ----------
    frames : Frames
    kind : str
    source : str
        Content key of the frames.
    """

    frames: Frames
    kind: str
    source: str


def configuration_keys(frames: Frames) -> list[str]:
    """Return a key of 16 hexadecimal digits of each frame: of its atoms, cell and positions, and nothing else.

    The labels themselves stay out, so that the first frame of a burst is known to be the last one of the burst
    that it goes on from, and a frame labelled at two levels of theory falls into the same part at both.
    """
    atoms = np.ascontiguousarray(frames.numbers, "<i8").tobytes() + frames.pbc.tobytes()
    cells, positions = (_on_grid(array) for array in (frames.cells, frames.positions))
    return [
        hashlib.sha256(atoms + cell.tobytes() + place.tobytes()).hexdigest()[:16]
        for cell, place in zip(cells, positions, strict=True)
    ]


def enter(labels: Mapping[str, Labels], known: Container[str] = (), round_: int = 0) -> list[Entry]:
    """Make entries of new labels, by the order of their names and frames.

    A configuration that is known, or was met before under another name, is dropped: it would count twice.
    Whoever brings two frames or more has one at least to train on and one to validate on, as a potential is
    compared with the one before on what is new as well; see `_with_both_parts`.

    Parameters
    ----------
    labels : mapping of str to Labels
    known : container of str
        Keys of the configurations which the pool holds.
    round_ : int
        0 where nothing is there yet.

    Raises
    ------
    ValueError
        If frames hold no forces, or round 0 brings fewer than two frames that can be used.
    """
    entries: list[Entry] = []
    blocks: list[str] = []
    met: set[str] = set()
    for name, given in sorted(labels.items()):
        keys = configuration_keys(given.frames)
        for frame, force in enumerate(_max_forces(name, given.frames)):
            if keys[frame] in known or keys[frame] in met:
                continue
            met.add(keys[frame])
            # Named after its first frame, which a burst that was cut short has too.
            blocks.append(keys[frame - frame % BLOCK] if given.kind in CONSECUTIVE else keys[frame])
            part = "exploded" if force > EXPLODED else _part(blocks[-1])
            entries.append(
                Entry(keys[frame], part, round(float(force), 3), given.source, frame, given.kind, name, round_)
            )
    if round_ == 0 and sum(e.part != "exploded" for e in entries) < 2:
        raise ValueError(
            f"There are {len(entries)} labels, fewer than 2 of which can be learned from (above {EXPLODED:g} eV/Å a "
            "force counts as exploded); training and validation need at least one each."
        )
    for candidate in sorted({entry.candidate for entry in entries}):
        own = [i for i, e in enumerate(entries) if e.candidate == candidate and e.part != "exploded"]
        moved = _with_both_parts([(entries[i], blocks[i]) for i in own])
        for i, part in zip(own, moved, strict=True):
            entries[i] = replace(entries[i], part=part)
    return entries


def without_false(entries: Sequence[Entry], sources: Container[str]) -> list[Entry]:
    """Return the same entries, those of some sources (content keys of frames) being of no use."""
    return [replace(entry, part="false") if entry.source in sources else entry for entry in entries]


def _on_grid(array: NDArray[np.float64]) -> NDArray[np.int64]:
    return np.ascontiguousarray(np.rint(array / RESOLUTION), "<i8")


def _max_forces(name: str, frames: Frames) -> NDArray[np.float64]:
    if frames.energies is None or frames.forces is None:
        raise ValueError(f"{name} holds no energies and forces; label its frames first.")
    return np.asarray(np.linalg.norm(frames.forces, axis=2).max(axis=1))


def _chance(block: str) -> float:
    """Return a number in [0, 1) that is the block's own."""
    return int(block, 16) / 16 ** len(block)


def _part(block: str) -> str:
    chance = _chance(block)
    if chance < HELD_OUT:
        return "held_out"
    return "valid" if chance < HELD_OUT + VALID else "train"


def _with_both_parts(entries: list[tuple[Entry, str]]) -> list[str]:
    """Return the parts of one candidate's new entries (each with its block), training and validation among them.

    The block whose chance is closest to the missing part moves, the rest stays where its content puts it; of a
    single block the last frame does.
    """
    ordered = sorted({block for _, block in entries}, key=_chance)
    if len(ordered) == 1 and len(entries) > 1:
        return ["train"] * (len(entries) - 1) + ["valid"]
    parts = {block: _part(block) for block in ordered}
    if len(ordered) > 1 and "train" not in parts.values():
        parts[ordered[-1]] = "train"
    if len(ordered) > 1 and "valid" not in parts.values():
        training = [block for block in ordered if parts[block] == "train"]
        parts[training[0] if len(training) > 1 else ordered[0]] = "valid"
    return [parts[block] for _, block in entries]
