"""How long the next burst and the next stretch are, and at which deviation a stretch has to stop.

A burst is what truth costs, a stretch is what it buys. While the prequential error stays below its tolerance,
stretches grow and bursts shrink to an audit of a few steps; a larger error, or a stretch that had to be
stopped, does the opposite.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from aiida_haml.settings import Settings, require_integer, require_number

#: Deviation that any disagreement exceeds, eV / Angstrom.
SMALLEST_THRESHOLD = 1e-4


@dataclass(frozen=True)
class ControllerSettings(Settings):
    """Bounds and tolerances of the controller.

    Attributes
    ----------
    n_burst_first, min_burst, max_burst : int
        Steps of the first burst, and the range of all later ones. `min_burst` is the audit.
    n_stretch_first, min_stretch, max_stretch : int
        The same of stretches.
    growth : float
        Factor by which a stretch grows and a burst shrinks, or the opposite; above 1.
    force_rmse_tolerance : float
        Prequential force error (root mean square over components) up to which the potential is good enough,
        eV / Angstrom.
    max_force_error : float
        True error of a single atom's force at which a stretch has to stop, eV / Angstrom. The deviation that
        stands for it is ``max_force_error / alpha - offset`` with the calibrated ``alpha`` and ``offset``.
    uncalibrated_alpha : float
        Error over deviation before anything was calibrated. Committees that share their training frames
        underestimate their errors, often several times; 5 is cautious.
    max_labels : int or None
        Budget of ab initio steps; None for no limit.
    max_wall_time_s : float or None
        Budget of wall time, s; None for no limit.
    """

    n_burst_first: int = 10
    min_burst: int = 3
    max_burst: int = 50
    n_stretch_first: int = 50
    min_stretch: int = 10
    max_stretch: int = 10_000
    growth: float = 2.0
    force_rmse_tolerance: float = 0.15
    max_force_error: float = 1.0
    uncalibrated_alpha: float = 5.0
    max_labels: int | None = None
    max_wall_time_s: float | None = None

    def __post_init__(self) -> None:
        for kind in ("burst", "stretch"):
            low, high = f"min_{kind}", f"max_{kind}"
            require_integer(low, getattr(self, low), 1)
            require_integer(high, getattr(self, high), getattr(self, low))
            require_integer(
                f"n_{kind}_first", getattr(self, f"n_{kind}_first"), getattr(self, low), getattr(self, high)
            )
        require_number("growth", self.growth, 1.0)
        for name in ("force_rmse_tolerance", "max_force_error"):
            require_number(name, getattr(self, name))
        require_number("uncalibrated_alpha", self.uncalibrated_alpha, 1.0, open_low=False)
        if self.max_labels is not None:
            require_integer("max_labels", self.max_labels, self.n_burst_first)
        if self.max_wall_time_s is not None:
            require_number("max_wall_time_s", self.max_wall_time_s)


@dataclass(frozen=True)
class Plan(Settings):
    """One cycle to come.

    Attributes
    ----------
    n_burst, n_stretch : int
        Steps; both 0 where the run ends.
    max_deviation : float
        Largest per-atom committee deviation that a stretch may reach, eV / Angstrom.
    reason : str
        Why, in a sentence for the log.
    """

    n_burst: int
    n_stretch: int
    max_deviation: float
    reason: str

    def __post_init__(self) -> None:
        require_integer("n_burst", self.n_burst, 0)
        require_integer("n_stretch", self.n_stretch, 0)
        require_number("max_deviation", self.max_deviation)

    @property
    def ends(self) -> bool:
        """Whether the run is over."""
        return self.n_burst == 0 and self.n_stretch == 0


@dataclass(frozen=True)
class Observation(Settings):
    """What one cycle has shown.

    Attributes
    ----------
    force_rmse : float or None
        Prequential force error of the cycle's burst, eV / Angstrom; None for the first burst, which had no
        potential to test.
    alpha : float or None
        Calibrated error over deviation and offset on that burst (see `aiida_haml.learning.errors.calibrate`).
    offset : float
        Offset of that calibration, eV / Angstrom.
    force_max, deviation_max : float or None
        Largest error of an atom's force on that burst and largest committee deviation, eV / Angstrom.
    stopped_by : str or None
        What ended the last stretch early: ``deviation``, ``temperature``, ...; None if it ran through.
    n_labels : int
        Ab initio steps spent so far.
    wall_time_s : float
        Wall time spent so far, s.
    remaining_steps : int or None
        Steps left to the simulated time that is wanted; None for no end.
    """

    force_rmse: float | None = None
    alpha: float | None = None
    offset: float = 0.0
    force_max: float | None = None
    deviation_max: float | None = None
    stopped_by: str | None = None
    n_labels: int = 0
    wall_time_s: float = 0.0
    remaining_steps: int | None = None

    def __post_init__(self) -> None:
        for name in ("force_rmse", "alpha", "force_max", "deviation_max"):
            if getattr(self, name) is not None:
                require_number(name, getattr(self, name), open_low=False)
        require_integer("n_labels", self.n_labels, 0)
        require_number("offset", self.offset, open_low=False)
        require_number("wall_time_s", self.wall_time_s, open_low=False)
        if self.remaining_steps is not None:
            require_integer("remaining_steps", self.remaining_steps, 0)

    @classmethod
    def from_errors(cls, errors: Mapping[str, Any] | None, **cycle: Any) -> Observation:
        """Make an observation of the errors that an evaluation wrote (None before there is a potential).

        Parameters
        ----------
        errors : mapping or None
            ``{force_rmse, force_max, deviation_max, calibration: {alpha, ...}, ...}``
        **cycle
            The other attributes.
        """
        if errors is None:
            return cls(**cycle)
        calibration = errors["calibration"]
        measured = {"alpha": calibration["alpha"], "offset": calibration.get("offset", 0.0)}
        return cls(**measured, **{n: errors[n] for n in ("force_rmse", "force_max", "deviation_max")}, **cycle)


def first_plan(settings: ControllerSettings) -> Plan:
    """Return the plan of the first cycle, when nothing has been measured."""
    return Plan(
        n_burst=settings.n_burst_first,
        n_stretch=settings.n_stretch_first,
        max_deviation=deviation_threshold(settings, Observation()),
        reason="First cycle: nothing measured yet.",
    )


def next_plan(settings: ControllerSettings, previous: Plan, observed: Observation) -> Plan:
    """Decide on the next cycle.

    Parameters
    ----------
    settings : ControllerSettings
    previous : Plan
        Of the cycle that was observed.
    observed : Observation

    Returns
    -------
    Plan
        With no steps at all once a budget is spent or the simulated time is reached. The same arguments give
        the same plan.
    """
    if over := _over(settings, observed):
        return Plan(0, 0, previous.max_deviation, over)
    step, reason = _direction(settings, observed)
    n_burst = _scaled(previous.n_burst, settings.growth**-step, settings.min_burst, settings.max_burst)
    n_stretch = _scaled(previous.n_stretch, settings.growth**step, settings.min_stretch, settings.max_stretch)
    if settings.max_labels is not None:
        n_burst = min(n_burst, settings.max_labels - observed.n_labels)
    if observed.remaining_steps is not None:
        n_burst = min(n_burst, observed.remaining_steps)
        n_stretch = min(n_stretch, observed.remaining_steps - n_burst)
    return Plan(n_burst, n_stretch, deviation_threshold(settings, observed), reason)


def deviation_threshold(settings: ControllerSettings, observed: Observation) -> float:
    """Return the deviation at which a stretch has to stop, eV / Angstrom.

    It is ``max_force_error / alpha - offset``, and nearly zero where even members that agree may be off by more.
    A calibrated ``alpha`` below 1 counts as 1: a committee that seems too modest on one burst is not given credit
    for it. Where no atom of the burst was off by more than `max_force_error`, the deviations met there are proven
    harmless, and the threshold is not set below them.
    """
    factor = settings.uncalibrated_alpha if observed.alpha is None else max(observed.alpha, 1.0)
    threshold = max(settings.max_force_error / factor - observed.offset, SMALLEST_THRESHOLD)
    if observed.force_max is None or observed.deviation_max is None:
        return threshold
    if observed.force_max > settings.max_force_error:
        return threshold
    return max(threshold, min(observed.deviation_max, settings.max_force_error))


def _over(settings: ControllerSettings, observed: Observation) -> str | None:
    if observed.remaining_steps == 0:
        return "The wanted simulated time is reached."
    if settings.max_labels is not None and observed.n_labels >= settings.max_labels:
        return f"The label budget of {settings.max_labels} ab initio steps is spent."
    if settings.max_wall_time_s is not None and observed.wall_time_s >= settings.max_wall_time_s:
        return f"The time budget of {settings.max_wall_time_s:g} s is spent."
    return None


def _direction(settings: ControllerSettings, observed: Observation) -> tuple[int, str]:
    """Return +1 (trust the potential more), -1 or 0, and the reason."""
    error, tolerance = observed.force_rmse, settings.force_rmse_tolerance
    stopped = f"The last stretch was stopped by {observed.stopped_by}" if observed.stopped_by else None
    if error is None:
        if stopped:
            return -1, f"{stopped}: shorter stretch, longer burst."
        return 0, "No potential has been tested yet: same lengths again."
    compared = f"The prequential force error {error:.3f} eV/Å"
    if stopped and error <= tolerance:
        # The burst went on from where the stretch was cut back, and found the potential good there.
        return (
            0,
            f"{stopped}, but {compared[0].lower()}{compared[1:]} is within {tolerance:g}: same lengths again.",
        )
    if error <= tolerance:
        return 1, f"{compared} is within {tolerance:g}: longer stretch, shorter burst."
    return -1, f"{compared} exceeds {tolerance:g}: shorter stretch, longer burst."


def _scaled(steps: int, factor: float, low: int, high: int) -> int:
    return min(max(round(steps * factor), low), high)
