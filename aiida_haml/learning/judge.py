"""The judge: what a stretch is worth, by true errors. Truth always wins over the committee's opinion of itself."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from scipy.special import stdtrit

from aiida_haml.learning.rounds import RoundSettings
from aiida_haml.settings import Settings, require_choice

#: What can become of a stretch. `absent`: there was none, so that only the burst is judged.
ACTIONS = ("accept", "cut", "revoke", "absent")
#: A burst whose energy is off by this many times what is tolerated, where the probes beside it are not, is in another
#: SCF state: the potential does not jump.
FALSE_STATE = 3.0
#: In a large cell such a state hides behind what is tolerated of each atom. Nor does the potential jump by this many eV
#: in all, where the probes' energy errors scatter so little that one round in so many shows it by chance. Our choice.
STATES_APART, BY_CHANCE = 0.5, 1e-3


@dataclass(frozen=True)
class Point:
    """The truth about the driving potential at one moment.

    Attributes
    ----------
    time_fs : float
        On the time line.
    force_rmse, force_max : float
        Error of the forces: root mean square over components, and the largest of one atom, eV / Angstrom.
    energy_error : float
        Predicted minus true energy, eV / atom.
    """

    time_fs: float
    force_rmse: float
    force_max: float
    energy_error: float

    def complaint(self, settings: RoundSettings) -> str | None:
        """Return what is wrong with the potential here, or None where it can be believed."""
        if self.force_rmse > settings.force_rmse_tolerance:
            return f"the forces are off by {self.force_rmse:.3f} eV/Å (tolerance {settings.force_rmse_tolerance:g})"
        if self.force_max > settings.max_force_error:
            return f"the force on one atom is off by {self.force_max:.2f} eV/Å (limit {settings.max_force_error:g})"
        if abs(self.energy_error) > settings.max_energy_error:
            return f"the energy is off by {self.energy_error:.3f} eV/atom (limit {settings.max_energy_error:g})"
        return None


@dataclass(frozen=True)
class Verdict(Settings):
    """What becomes of one candidate's stretch and burst.

    Attributes
    ----------
    action : str
        One of `ACTIONS`.
    end_fs : float or None
        Moment up to which the stretch stays on the time line; None where nothing of it stays.
    burst_stays : bool
        Whether the burst goes on the time line behind it.
    false_state : bool
        Whether the burst is in another SCF state than its surroundings; its labels teach nothing.
    force_rmse, force_max : float or None
        Prequential errors: root mean square and largest over all points, eV / Angstrom; None without a point.
    n_points : int
        Labels that the verdict rests on.
    reason : str
        In one sentence.
    """

    action: str
    end_fs: float | None
    burst_stays: bool
    false_state: bool
    force_rmse: float | None
    force_max: float | None
    n_points: int
    reason: str

    def __post_init__(self) -> None:
        require_choice("action", self.action, ACTIONS)

    def without_burst(self, why: str) -> Verdict:
        """Return the verdict on a round whose burst does not go on the time line, for a reason in a sentence."""
        return replace(self, burst_stays=False, reason=f"{self.reason} {why}")


def judge(
    settings: RoundSettings,
    stretch_end_fs: float | None,
    probes: Sequence[Point],
    burst: Sequence[Point],
    n_atoms: int,
) -> Verdict:
    """Judge one candidate's round.

    Parameters
    ----------
    settings : RoundSettings
    stretch_end_fs : float or None
        Last trusted moment of the stretch; None where there was no stretch.
    probes : sequence of Point
        Labels along the stretch. Those behind its trusted end teach, but decide nothing.
    burst : sequence of Point
        The burst's frames; the first one is the end of the stretch. Empty where there was no potential to test.
    n_atoms : int
        Of the cell.

    Returns
    -------
    Verdict
        The stretch is accepted if every label on it finds the potential within its tolerances, cut back to the last
        label before the first that does not, and revoked where there is none: what no label supports does not stay.
    """
    false_state = _is_false_state(settings, stretch_end_fs, probes, burst, n_atoms)
    if stretch_end_fs is None:
        reason = "No stretch: the burst goes on from the last trusted frame."
        return _verdict("absent", None, not false_state, false_state, [*probes, *burst], reason)
    on_line = sorted((p for p in probes if p.time_fs <= stretch_end_fs), key=lambda p: p.time_fs)
    witnesses = [*on_line, *([] if false_state else burst[:1])]
    if not witnesses:
        reason = "Revoked: no label says anything about the stretch."
        return _verdict("revoke", None, False, false_state, [*probes, *burst], reason)
    for i, point in enumerate(witnesses):
        if (complaint := point.complaint(settings)) is None:
            continue
        points = [*probes, *burst]
        if i == 0:
            reason = f"Revoked: already at {point.time_fs:g} fs {complaint}."
            return _verdict("revoke", None, False, false_state, points, reason)
        end = witnesses[i - 1].time_fs
        reason = f"Cut back to {end:g} fs, as at {point.time_fs:g} fs {complaint}."
        return _verdict("cut", end, False, false_state, points, reason)
    if false_state and (end := witnesses[-1].time_fs) < stretch_end_fs:
        reason = f"Cut back to {end:g} fs, the last label that says anything about it."
        return _verdict("cut", end, False, false_state, [*probes, *burst], reason)
    reason = f"Accepted: {len(witnesses)} labels along it find the potential within its tolerances."
    return _verdict("accept", witnesses[-1].time_fs, not false_state, false_state, [*probes, *burst], reason)


def false_states(verdicts: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Return the candidates whose burst was found in another SCF state, of the verdicts on a round."""
    return sorted(slug for slug, verdict in verdicts.items() if verdict.get("false_state"))


def _verdict(
    action: str, end_fs: float | None, burst_stays: bool, false_state: bool, points: Sequence[Point], reason: str
) -> Verdict:
    if false_state:
        reason += " The burst's energy is another than that of the frames beside it: a false SCF state, not followed."
    rmse = (sum(p.force_rmse**2 for p in points) / len(points)) ** 0.5 if points else None
    largest = max((p.force_max for p in points), default=None)
    return Verdict(action, end_fs, burst_stays, false_state, rmse, largest, len(points), reason)


def _is_false_state(
    settings: RoundSettings,
    stretch_end_fs: float | None,
    probes: Sequence[Point],
    burst: Sequence[Point],
    n_atoms: int,
) -> bool:
    """Tell a burst in another electronic state by its energy, against the labels made beside it in other runs."""
    beside = [p.energy_error for p in probes if stretch_end_fs is None or p.time_fs <= stretch_end_fs]
    if not burst or not beside:
        return False
    jump = abs(burst[0].energy_error - statistics.median(beside))
    if jump > FALSE_STATE * settings.max_energy_error:
        return True
    if len(beside) < 2:
        return False
    # What one more error of the same scatter may be, with few to know the scatter by: Student's prediction interval.
    usual = statistics.stdev(beside) * (1 + 1 / len(beside)) ** 0.5
    by_chance = usual * float(stdtrit(len(beside) - 1, 1 - BY_CHANCE / 2))
    return jump * n_atoms > STATES_APART and jump > by_chance
