"""Which frames of a stretch are worth a label: where it broke, along its time, and what is like no label yet."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree

from aiida_haml.arrays import FloatArray
from aiida_haml.frames import Frames
from aiida_haml.learning.fingerprints import fingerprints
from aiida_haml.settings import Settings, require_integer, require_number

#: Frames that are chosen of the shortest stretch.
LEAST_PROBES = 3


@dataclass(frozen=True)
class ProbeSettings(Settings):
    """How many frames of a stretch are labelled, and how they are chosen.

    Attributes
    ----------
    n_probes : int
        Most frames to choose, breaching ones included.
    spacing_fs : float
        As many frames are chosen as stand so far apart on average, `LEAST_PROBES` at least: closer ones are one
        configuration several times, and a reaction's first, short stretches took a third of all labels. 0 for always
        all.
    even_share : float
        Share of them that is spread evenly over the stretch: by these the judge finds the last point that holds.
    n_known : int
        Most labels of the candidate that frames are compared with, and most of all others together.
    """

    n_probes: int = 8
    spacing_fs: float = 20.0
    even_share: float = 0.5
    n_known: int = 200

    def __post_init__(self) -> None:
        require_integer("n_probes", self.n_probes, 1)
        require_integer("n_known", self.n_known, 0)
        require_number("spacing_fs", self.spacing_fs, open_low=False)
        require_number("even_share", self.even_share, 0.0, 1.0, open_low=False)

    def n_wanted(self, times: FloatArray | None) -> int:
        """Return how many frames of a stretch are chosen, from its times, fs."""
        if times is None or self.spacing_fs == 0:
            return self.n_probes
        return min(self.n_probes, max(LEAST_PROBES, round(float(times[-1] - times[0]) / self.spacing_fs)))


@dataclass(frozen=True)
class Choice:
    """One frame to label, and why.

    Attributes
    ----------
    source : str
        ``frames`` (the trusted part) or ``untrusted``.
    index : int
        Of the frame in its source.
    kind : str
        ``breach``, ``even`` or ``far``.
    reason : str
        A sentence.
    novelty : float or None
        Distance of its most unusual atom from the nearest label, in units of what is usual in the stretch.
    """

    source: str
    index: int
    kind: str
    reason: str
    novelty: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return a plain dictionary."""
        return asdict(self)


class Novelty:
    """How far the atoms of frames are from all labels, species by species, as labels are added.

    Parameters
    ----------
    frames : Frames
        What may be labelled.
    known : sequence of Frames
        What is labelled already, of any atoms: one frame at least.
    """

    def __init__(self, frames: Frames, known: Sequence[Frames]) -> None:
        self._numbers = frames.numbers
        self._prints = fingerprints(frames, frames.elements)
        labelled = [(run.numbers, fingerprints(run, frames.elements)) for run in known]
        self._distances = np.empty(self._prints.shape[:2])
        for z in np.unique(self._numbers):
            of_species = np.concatenate([p[:, n == z].reshape(-1, p.shape[2]) for n, p in labelled])
            self._distances[:, self._numbers == z] = self._nearest(of_species, z)
        # What is usual differs between species: sulfur in a rigid unit moves less than lithium.
        self._usual = np.ones(len(self._numbers))
        for z in np.unique(self._numbers):
            self._usual[self._numbers == z] = max(np.median(self._distances[:, self._numbers == z]), 1e-6)

    def farthest(self, allowed: NDArray[np.bool_]) -> tuple[int, int, float] | None:
        """Return frame, atom and novelty of the most unusual atom in an allowed frame; None if all is known."""
        novelty = np.where(allowed[:, None], self._distances / self._usual, -1.0)
        frame, atom = np.unravel_index(int(np.argmax(novelty)), novelty.shape)
        value = float(novelty[frame, atom])
        return (int(frame), int(atom), value) if value > 0 else None

    def add(self, frame: int) -> None:
        """Count a frame as labelled from now on."""
        for z in np.unique(self._numbers):
            own = self._numbers == z
            self._distances[:, own] = np.minimum(self._distances[:, own], self._nearest(self._prints[frame, own], z))

    def _nearest(self, labelled: FloatArray, z: int) -> FloatArray:
        return np.asarray(KDTree(labelled).query(self._prints[:, self._numbers == z])[0])


def choose(frames: Frames, untrusted: Frames | None, known: Sequence[Frames], settings: ProbeSettings) -> list[Choice]:
    """Choose the frames of a stretch that are to be labelled, in the order of time.

    The breaching frame comes first, being what the potential does not know for certain; then frames evenly spread over
    the trusted part, without its first one (a label) and its last one (from which the next burst starts); the others
    one by one by the largest distance of any of their atoms from all labels and all frames chosen so far (farthest
    point sampling per species).

    Parameters
    ----------
    frames : Frames
        The trusted part of the stretch.
    untrusted : Frames, optional
        The rest of it, up to the breach.
    known : sequence of Frames
        Labelled frames of the same elements.
    settings : ProbeSettings
    """
    chosen: list[Choice] = []
    if untrusted is not None:
        chosen.append(Choice("untrusted", len(untrusted) - 1, "breach", "Here the watch ended the stretch."))
    inner = np.zeros(len(frames), dtype=bool)
    inner[1:-1] = True
    n_left = min(settings.n_wanted(frames.times) - len(chosen), int(inner.sum()))
    if n_left <= 0:
        return chosen
    novelty = Novelty(frames, [*known, frames[:1]])  # stretches begin at a label
    for i in _spread(len(frames), round(settings.even_share * n_left)):
        chosen.append(Choice("frames", i, "even", "Evenly spread over the stretch."))
        inner[i] = False
        novelty.add(i)
        n_left -= 1
    while n_left > 0 and (found := novelty.farthest(inner)):
        frame, atom, value = found
        reason = f"{frames.symbols[atom]} atom {atom} is {value:.1f} times as far from all labels as is usual."
        chosen.append(Choice("frames", frame, "far", reason, value))
        inner[frame] = False
        novelty.add(frame)
        n_left -= 1
    return sorted(chosen, key=lambda choice: (choice.source == "untrusted", choice.index))


def _spread(n_frames: int, n: int) -> list[int]:
    """Return ``n`` different inner frames at equal distances."""
    return sorted({round(i * (n_frames - 1) / (n + 1)) for i in range(1, n + 1)} - {0, n_frames - 1})
