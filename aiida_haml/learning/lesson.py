"""Which labels of the pool take part in a training: all that is new, a sample of what is known, and the examination."""

import hashlib
import math
from collections.abc import Iterable
from dataclasses import dataclass

from aiida_haml.learning.pool import Entry


@dataclass(frozen=True)
class Lesson:
    """The entries that take part, by what they serve for.

    Attributes
    ----------
    new, replay : tuple of Entry
        To train on: what the champion has not met, and a sample of what it has.
    valid, held_out : tuple of Entry
        To choose the checkpoint, and to examine champion and challenger.
    """

    new: tuple[Entry, ...]
    replay: tuple[Entry, ...]
    valid: tuple[Entry, ...]
    held_out: tuple[Entry, ...]

    @property
    def entries(self) -> tuple[Entry, ...]:
        """All entries that take part."""
        return self.new + self.replay + self.valid + self.held_out


def prepare(
    entries: Iterable[Entry], known_rounds: int, n_replay: int, n_examined: int, force_cap: float, seed: int
) -> Lesson:
    """Choose the entries of a training.

    Parameters
    ----------
    entries : iterable of Entry
        Of the whole pool.
    known_rounds : int
        The champion was trained with the first so many rounds in sight; 0 without a champion.
    n_replay : int
        Most known labels to train on.
    n_examined : int
        Most known labels to validate on, and most to hold out. All that are new come beside them.
    force_cap : float
        Labels with a larger force on an atom are not trained on, eV / Angstrom.
    seed : int
        Of the samples.
    """
    entries = list(entries)

    def of(part: str, *, new: bool) -> list[Entry]:
        return [e for e in entries if e.part == part and (e.round >= known_rounds) is new]

    def tame(found: list[Entry]) -> list[Entry]:
        return [entry for entry in found if entry.max_force <= force_cap]

    return Lesson(
        new=tuple(tame(of("train", new=True))),
        replay=tuple(balanced(tame(of("train", new=False)), n_replay, seed)),
        valid=tuple(of("valid", new=True) + balanced(of("valid", new=False), n_examined, seed)),
        held_out=tuple(of("held_out", new=True) + balanced(of("held_out", new=False), n_examined, seed)),
    )


def balanced(entries: Iterable[Entry], n: int, seed: int) -> list[Entry]:
    """Return at most ``n`` entries, of each candidate and kind as many as of any other, as far as they reach.

    The order of a group is drawn by seed and key: what is chosen depends neither on the order of the entries nor
    on the other groups.
    """
    groups: dict[tuple[str, str], list[Entry]] = {}
    for entry in entries:
        groups.setdefault((entry.candidate, entry.kind), []).append(entry)
    ranked: list[tuple[int, str, Entry]] = []
    for group in groups.values():
        drawn = sorted(((_chance(e, seed), e) for e in group), key=lambda pair: pair[0])
        ranked += [(rank, chance, entry) for rank, (chance, entry) in enumerate(drawn)]
    return [entry for _, _, entry in sorted(ranked, key=lambda item: item[:2])[:n]]


def _chance(entry: Entry, seed: int) -> str:
    return hashlib.sha256(f"{seed}|{entry.key}".encode()).hexdigest()


def bootstrap_weight(key: str, member: int, seed: int) -> float:
    """Return how often a member of a committee meets a label, relative to others.

    The first member meets all alike, as it drives. For the others the weight is drawn from an exponential distribution
    (Bayesian bootstrap) by member and label, so that what a member knows less well it knows less well in all rounds.
    """
    if member == 0:
        return 1.0
    digest = hashlib.sha256(f"{seed}|{member}|{key}".encode()).hexdigest()
    return -math.log((int(digest[:13], 16) + 0.5) / 16**13)
