"""Champion or challenger: which of two potentials describes better what neither was trained on."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from aiida_haml.arrays import FloatArray


@dataclass(frozen=True)
class Group:
    """What frames are scored together: those of one candidate, of this round or of all before.

    All groups count alike: a few new frames from where the potential failed weigh as much as the many old ones.
    """

    candidate: str
    new: bool


@dataclass(frozen=True)
class Verdict:
    """Which potential goes on, and why.

    Attributes
    ----------
    winner : str
        ``champion`` or ``challenger``.
    reason : str
        A sentence.
    champion, challenger : float or None
        Score of either, eV / Angstrom; None where there was no champion.
    """

    winner: str
    reason: str
    champion: float | None
    challenger: float

    def to_dict(self) -> dict[str, Any]:
        """Return a plain dictionary."""
        return asdict(self)


def force_weights(forces: FloatArray, large_force: float) -> FloatArray:
    """Return the weight of each atom in losses and scores, ``1 / (1 + (|F| / large_force)^2)``.

    Our choice: it turns the absolute error of small forces smoothly into the relative error of large ones.

    Parameters
    ----------
    forces : (..., 3) array
        Reference forces, eV / Angstrom.
    large_force : float
        eV / Angstrom.
    """
    squares = np.sum(np.square(forces), axis=-1)
    return np.asarray(1 / (1 + squares / large_force**2))


def frame_score(
    predicted: FloatArray, reference: FloatArray, energy_error: float, large_force: float, energy_share: float
) -> float:
    """Return what a frame adds to the loss, in units of its forces: (eV / Angstrom)^2.

    Parameters
    ----------
    predicted, reference : (N, 3) array
        Forces, eV / Angstrom.
    energy_error : float
        eV / atom.
    large_force : float
        See `force_weights`.
    energy_share : float
        Weight of the squared energy error over that of the mean squared error of the forces, 1 / Angstrom^2.
    """
    weights = force_weights(reference, large_force)
    squares = np.square(predicted - reference).mean(axis=-1)
    return float(np.mean(weights * squares) + energy_share * np.mean(weights) * energy_error**2)


def group_scores(groups: Sequence[Group], squares: Sequence[float]) -> dict[Group, float]:
    """Return the root of the mean of each group's frames, eV / Angstrom."""
    gathered: dict[Group, list[float]] = defaultdict(list)
    for group, value in zip(groups, squares, strict=True):
        gathered[group].append(value)
    return {group: float(np.sqrt(np.mean(values))) for group, values in gathered.items()}


def total(scores: Mapping[Any, float]) -> float:
    """Return the root mean square over groups."""
    return float(np.sqrt(np.mean(np.square(list(scores.values())))))


def compare(
    champion: Mapping[Group, float] | None,
    challenger: Mapping[Group, float],
    min_gain: float,
    max_regression: float,
    tolerance: float,
) -> Verdict:
    """Decide between two potentials by their scores on the same frames.

    The challenger has to be better by `min_gain` over all groups, or worse by no more than that where it is negative,
    and on no candidate worse by more than the factor `max_regression`, unless it is within the tolerance there.

    Parameters
    ----------
    champion, challenger : mapping of Group to float
        Score of each group, eV / Angstrom; None for the champion where there is none.
    min_gain, max_regression, tolerance : float
        See `aiida_haml.learning.learner.LearnerSettings`.
    """
    new = total(challenger)
    if champion is None:
        return Verdict("challenger", "There was no potential before.", None, new)
    old = total(champion)
    for candidate in sorted({group.candidate for group in challenger}):
        was, now = (total({g: s for g, s in x.items() if g.candidate == candidate}) for x in (champion, challenger))
        if now > max_regression * was and now > tolerance:
            reason = (
                f"On {candidate} the challenger's error is {now:.3f} eV/Å against {was:.3f}, more than "
                f"{max_regression:g} times as large."
            )
            return Verdict("champion", reason, old, new)
    compared = f"{new:.3f} eV/Å against {old:.3f} of the champion"
    if new < (1 - min_gain) * old:
        how = "better" if new < old else "hardly worse, and knows more"
        return Verdict("challenger", f"The challenger is {how}: {compared}.", old, new)
    return Verdict("champion", f"The challenger is no better: {compared}.", old, new)
