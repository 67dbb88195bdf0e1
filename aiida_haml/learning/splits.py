"""Which labels train, which choose the checkpoint, and which are held out to measure the error.

Neighbouring frames of molecular dynamics look alike, so a frame drawn at random is nearly in the training set
already. Every segment is therefore cut into blocks of consecutive frames.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass

import numpy as np

from aiida_haml.settings import require_integer, require_number

#: The names of the parts, in the order in which they are reported.
PARTS = ("train", "valid", "held_out")


@dataclass(frozen=True)
class Split:
    """Indices of the frames of one segment, each in exactly one part, in ascending order."""

    train: tuple[int, ...]
    valid: tuple[int, ...]
    held_out: tuple[int, ...]

    def to_dict(self) -> dict[str, list[int]]:
        """Return the parts as plain lists."""
        return {name: list(part) for name, part in asdict(self).items()}


def split_segments(
    lengths: Mapping[str, int], valid_fraction: float = 0.15, held_out_fraction: float = 0.1, seed: int = 0
) -> dict[str, Split]:
    """Split the frames of every segment into training, validation and held-out blocks.

    The split of a segment follows from its name, its length and the seed alone: when later segments join,
    no frame that was held out comes to be trained on, so a warm start never sees its own examination.

    Parameters
    ----------
    lengths : mapping of str to int
        Number of frames of each segment, by the segment's label (never by a uuid: the same science has to
        give the same split).
    valid_fraction, held_out_fraction : float
        Wanted shares, each in [0, 1), together below 1. Rounded up or down at random in each segment, so
        that they hold on average even where segments have few frames.
    seed : int

    Returns
    -------
    dict of str to Split
        In the order of the sorted labels. There is at least one frame to train on and one to validate on;
        `held_out` may be empty.

    Raises
    ------
    ValueError
        If there are fewer than two frames, or the fractions leave nothing to train on.
    """
    for name, value in (("valid_fraction", valid_fraction), ("held_out_fraction", held_out_fraction)):
        require_number(name, value, 0.0, 0.9, open_low=False)
    if valid_fraction + held_out_fraction >= 1:
        raise ValueError(
            f"valid_fraction {valid_fraction} and held_out_fraction {held_out_fraction} leave nothing to "
            "train on; let them add up to less than 1."
        )
    for label, length in lengths.items():
        require_integer(f"The number of frames of {label}", length, 1)
    if sum(lengths.values()) < 2:
        raise ValueError(f"There are {sum(lengths.values())} labelled frames; training and validation need at least 2.")
    splits = {
        label: _split_segment(label, lengths[label], valid_fraction, held_out_fraction, seed)
        for label in sorted(lengths)
    }
    return splits if any(s.valid for s in splits.values()) else _with_one_valid(splits)


def _split_segment(label: str, length: int, valid_fraction: float, held_out_fraction: float, seed: int) -> Split:
    digest = hashlib.sha256(f"{seed}|{label}".encode()).digest()
    rng = np.random.default_rng(int.from_bytes(digest[:8], "big"))
    # One frame at least is left to train on, and holding out goes before validating.
    n_held_out = min(_rounded(held_out_fraction * length, rng), length - 1)
    n_valid = min(_rounded(valid_fraction * length, rng), length - 1 - n_held_out)
    n_train = length - n_held_out - n_valid
    before = int(rng.integers(0, n_train + 1))
    pieces = [("train", before), ("train", n_train - before), ("valid", n_valid), ("held_out", n_held_out)]
    parts: dict[str, list[int]] = {name: [] for name in PARTS}
    start = 0
    for i in rng.permutation(len(pieces)):
        name, size = pieces[i]
        parts[name] += range(start, start + size)
        start += size
    return Split(**{name: tuple(indices) for name, indices in parts.items()})


def _rounded(value: float, rng: np.random.Generator) -> int:
    """Round up with a probability equal to the fraction, so that the mean is kept."""
    return int(np.floor(value + rng.random()))


def _with_one_valid(splits: dict[str, Split]) -> dict[str, Split]:
    """Take one training frame of the longest segment to validate on; moving it back later does no harm."""
    donor = max(splits, key=lambda label: len(splits[label].train))
    old = splits[donor]
    return {**splits, donor: Split(train=old.train[:-1], valid=old.train[-1:], held_out=old.held_out)}
