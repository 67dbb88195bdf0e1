"""The plan of a candidate's next round: how far the potential is followed, how much truth is bought, when to stop."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from ase import units

from aiida_haml.learning.calibration import Calibration
from aiida_haml.learning.judge import Verdict
from aiida_haml.learning.rounds import RoundSettings
from aiida_haml.settings import Settings, require_integer, require_number

_REACHED = "The wanted simulated time is reached."


@dataclass(frozen=True)
class Plan(Settings):
    """One candidate's round to come, and the count of what it has used.

    Attributes
    ----------
    n_stretch, n_burst : int
        Steps; both 0 where the candidate ends.
    n_labels : int
        Labels spent so far.
    n_fruitless : int
        Rounds in a row whose stretch brought nothing, or without one, nor did the burst.
    n_unmoved : int
        Rounds in a row in which a potential was there and its stretch brought nothing, whatever became of the burst.
    reason : str
        Why, in a sentence for the log.
    """

    n_stretch: int
    n_burst: int
    n_labels: int = 0
    n_fruitless: int = 0
    n_unmoved: int = 0
    reason: str = ""

    def __post_init__(self) -> None:
        for name in ("n_stretch", "n_burst", "n_labels", "n_fruitless", "n_unmoved"):
            require_integer(name, getattr(self, name), 0)

    def anew(self) -> Plan:
        """Return the plan with nothing used: another run has budgets of its own."""
        return replace(self, n_labels=0, n_fruitless=0, n_unmoved=0)

    @property
    def ends(self) -> bool:
        """Whether the candidate is over."""
        return self.n_burst == 0


@dataclass(frozen=True)
class Progress(Settings):
    """What a candidate's round brought, in steps of the dynamics.

    Attributes
    ----------
    stretch_steps, burst_steps : int
        Steps of the stretch, and of the burst, that stay on the time line.
    remaining_steps : int
        Steps left to the simulated time that is wanted.
    n_labels : int
        Labels of the round.
    wall_time_s : float
        Wall time spent so far by all candidates, s; 0 where there is no budget of it.
    """

    stretch_steps: int
    burst_steps: int
    remaining_steps: int
    n_labels: int
    wall_time_s: float = 0.0


def first_plan(settings: RoundSettings, steps: int) -> Plan:
    """Return the plan of the first round, in which nothing has been measured.

    Parameters
    ----------
    settings : RoundSettings
    steps : int
        Steps of the simulated time that is left.
    """
    if steps <= 0:
        return Plan(0, 0, reason=_REACHED)
    burst = min(settings.n_burst_first, steps)
    stretch = min(settings.n_stretch_first, max(steps - burst, 0))
    return Plan(stretch, burst, reason="First round: nothing measured yet.")


def next_plan(settings: RoundSettings, previous: Plan, verdict: Verdict, progress: Progress) -> Plan:
    """Decide on a candidate's next round; the same arguments give the same plan.

    A stretch that truth accepts grows, and is not shortened where only the watch ended it; one that was cut is asked
    for twice what held. In both cases the burst shrinks to an audit. A revoked one is asked for less, with a longer
    burst.
    """
    n_labels = previous.n_labels + progress.n_labels
    tried = verdict.action != "absent" or progress.burst_steps == 0
    n_fruitless = previous.n_fruitless + 1 if tried and progress.stretch_steps == 0 else 0
    was_followed = previous.n_stretch > 0 and verdict.force_rmse is not None
    n_unmoved = previous.n_unmoved + 1 if was_followed and progress.stretch_steps == 0 else 0
    if over := _over(settings, n_labels, n_fruitless, progress):
        return Plan(0, 0, n_labels, n_fruitless, n_unmoved, over)
    stretch, burst, reason = _lengths(settings, previous, verdict, progress)
    burst = min(burst, progress.remaining_steps)
    if settings.max_labels is not None:
        burst = max(min(burst, settings.max_labels - n_labels), 1)
    # The last frames of a run are a burst, so that the last stretch is judged too.
    stretch = min(stretch, max(progress.remaining_steps - burst, 0))
    return Plan(stretch, burst, n_labels, n_fruitless, n_unmoved, reason)


def _over(settings: RoundSettings, n_labels: int, n_fruitless: int, progress: Progress) -> str | None:
    if progress.remaining_steps <= 0:
        return _REACHED
    if settings.max_labels is not None and n_labels >= settings.max_labels:
        return f"Ended before its time: the budget of {settings.max_labels} labels is spent."
    if settings.max_wall_time_s is not None and progress.wall_time_s >= settings.max_wall_time_s:
        return f"Ended before its time: the budget of {settings.max_wall_time_s:g} s is spent."
    if n_fruitless >= settings.max_fruitless:
        return (
            f"Ended before its time: {n_fruitless} rounds in a row brought no stretch that truth accepts. Allow larger "
            "errors, more labels a round or a larger model."
        )
    return None


def _lengths(settings: RoundSettings, previous: Plan, verdict: Verdict, progress: Progress) -> tuple[int, int, str]:
    """Return the steps of stretch and burst, and why."""
    longer = _within(previous.n_burst * settings.growth, settings.min_burst, settings.max_burst)
    shorter = _within(previous.n_burst / settings.growth, settings.min_burst, settings.max_burst)
    if verdict.action == "accept" and progress.stretch_steps >= previous.n_stretch:
        stretch = _within(previous.n_stretch * settings.growth, settings.min_stretch, settings.max_stretch)
        return stretch, shorter, "The stretch held: longer stretch, shorter burst."
    if verdict.action == "accept" and progress.stretch_steps > 0:
        stretch = max(previous.n_stretch, settings.min_stretch)
        return stretch, shorter, "The watch ended what truth accepts: the same stretch again, shorter burst."
    if progress.stretch_steps > 0:  # the labels along it tell more of where it went wrong than frames in a row
        asked = settings.growth * progress.stretch_steps
        stretch = _within(min(previous.n_stretch, asked), settings.min_stretch, settings.max_stretch)
        return stretch, shorter, f"{progress.stretch_steps} steps of the stretch held: twice as many at most."
    if verdict.action == "absent":
        stretch = max(previous.n_stretch or settings.n_stretch_first, settings.min_stretch)
        if verdict.force_rmse is None:
            return stretch, shorter, "There was no potential yet: shorter burst, as what follows is labelled along it."
        if verdict.force_rmse <= settings.force_rmse_tolerance:
            return stretch, shorter, "No stretch to judge, but its labels find the potential right: shorter burst."
        return stretch, previous.n_burst, "No stretch to judge: same lengths again."
    stretch = _within(previous.n_stretch / settings.growth, settings.min_stretch, settings.max_stretch)
    return stretch, longer, "The stretch was revoked: shorter stretch, longer burst."


def _within(steps: float, low: int, high: int) -> int:
    return min(max(round(steps), low), high)


def burst_steps(settings: RoundSettings, plan: Plan, stopped_after: int | None, remaining_steps: int) -> int:
    """Return the steps of a burst, long enough to pass the spot at which the watch ended the stretch before it.

    Parameters
    ----------
    stopped_after : int or None
        Steps between the end of the trusted part and the breach; None where nothing was breached.
    remaining_steps : int
        Left to the wanted simulated time.
    """
    wanted = plan.n_burst if stopped_after is None else max(plan.n_burst, stopped_after + settings.min_burst)
    return max(min(wanted, settings.max_burst, remaining_steps), 1)


@dataclass(frozen=True)
class WatchSettings(Settings):
    """What a stretch is watched for, relative to what is normal; `thresholds` makes numbers of it. Our choice.

    Attributes
    ----------
    every : int
        Steps between two looks.
    margin_fs : float
        The trusted part ends so long before the onset of a breach.
    soft_fraction : float
        Share of a limit beyond which the onset begins.
    temperature_sigmas, heating : float
        The temperature may rise by so many standard deviations of the canonical ensemble, or to so many times the
        reference, whichever is more: a small cell fluctuates, and a reaction heats.
    kinetic_energy_kT : float
        Kinetic energy of any one atom, in kT of the reference; or `heating` times that of the hottest one that the last
        burst showed, if that is more: what reacts throws single atoms (with CHGNet's forces a P at 300 K to 33 kT).
    max_drift : float
        Drift of the conserved energy since the start, eV / atom.
    max_pressure_GPa : float
    distance_ratio : float
        Of the shortest distance that the labels hold for a pair of elements.
    min_distance_ratio : float
        Of the sum of covalent radii, for a pair that no label holds.
    """

    every: int = 5
    margin_fs: float = 20.0
    soft_fraction: float = 0.5
    temperature_sigmas: float = 6.0
    heating: float = 1.5
    kinetic_energy_kT: float = 40.0
    max_drift: float = 0.05
    max_pressure_GPa: float = 30.0
    distance_ratio: float = 0.75
    min_distance_ratio: float = 0.6

    def __post_init__(self) -> None:
        require_integer("every", self.every, 1)
        require_number("margin_fs", self.margin_fs, open_low=False)
        for name in ("soft_fraction", "distance_ratio", "min_distance_ratio"):
            require_number(name, getattr(self, name), 0.0, 1.0)
        require_number("heating", self.heating, 1.0)
        for name in ("temperature_sigmas", "kinetic_energy_kT", "max_drift", "max_pressure_GPa"):
            require_number(name, getattr(self, name))


def hottest(watch: WatchSettings, reference: float, n_atoms: int) -> float:
    """Return the temperature, K, that a cell may reach by fluctuation or reaction from a reference, K."""
    sigma = math.sqrt(2.0 / max(3 * n_atoms - 3, 1))  # relative fluctuation of the canonical kinetic energy
    return reference * max(watch.heating, 1.0 + watch.temperature_sigmas * sigma)


def thresholds(
    watch: WatchSettings,
    reference: float,
    n_atoms: int,
    max_deviation: float | None,
    shortest: Mapping[str, float],
    hottest_atom: float = 0.0,
) -> dict[str, Any]:
    """Return the numbers that end a stretch; see `aiida_haml.engines.watch.Thresholds`.

    Parameters
    ----------
    watch : WatchSettings
    reference : float
        K. The thermostat's temperature, or that of the last burst where it was hotter: AIMD alone may heat so far.
    n_atoms : int
    max_deviation : float or None
        Largest deviation of the committee, eV / Angstrom; None for a committee of one.
    shortest : mapping of str to float
        Shortest distance in the labels by pair of elements ("Li-S"), Angstrom.
    hottest_atom : float
        Largest kinetic energy of one atom in the last burst, eV.
    """
    return {
        "every": watch.every,
        "margin_fs": watch.margin_fs,
        "soft_fraction": watch.soft_fraction,
        "max_deviation": max_deviation,
        "max_temperature_K": hottest(watch, reference, n_atoms),
        "max_kinetic_energy_eV": max(watch.kinetic_energy_kT * units.kB * reference, watch.heating * hottest_atom),
        "max_drift_eV_per_atom": watch.max_drift,
        "max_pressure_GPa": watch.max_pressure_GPa,
        "min_distances": {pair: watch.distance_ratio * length for pair, length in sorted(shortest.items())},
        "min_distance_ratio": watch.min_distance_ratio,
    }


def deviation_limit(settings: RoundSettings, calibration: Calibration, n_members: int) -> float | None:
    """Return the deviation that ends a stretch, eV / Angstrom; None for a committee of one, which has none."""
    return calibration.threshold(settings.max_force_error) if n_members > 1 else None
