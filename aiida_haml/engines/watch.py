"""The watch of a stretch: thresholds on what a run must not do, and the record of every look at it."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from ase import units
from ase.data import covalent_radii
from numpy.typing import NDArray

from aiida_haml.settings import Settings, require_integer, require_number

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class Thresholds(Settings):
    """What ends a stretch; what is None is not watched.

    The distances of all pairs come with the forces and are watched in every step; the rest every so many
    steps, in the first step and in the last.

    Parameters
    ----------
    every : int
        Steps between two checks.
    max_deviation : float, optional
        Largest standard deviation of the committee's force on any one atom, eV / Angstrom.
    max_temperature_K : float, optional
        K.
    min_distance_A : float, optional
        Angstrom, for any pair.
    min_distance_ratio : float, optional
        As a fraction of the sum of the pair's covalent radii (ASE's table).

    Raises
    ------
    ValueError
        If a value makes no sense.
    """

    every: int = 10
    max_deviation: float | None = None
    max_temperature_K: float | None = None
    min_distance_A: float | None = None
    min_distance_ratio: float | None = None

    def __post_init__(self) -> None:
        require_integer("every", self.every, 1)
        for name in ("max_deviation", "max_temperature_K", "min_distance_A", "min_distance_ratio"):
            if (value := getattr(self, name)) is not None:
                require_number(name, value)


@dataclass(frozen=True)
class Plan:
    """What the launcher is told besides the deck; the file ``watch.json``.

    Parameters
    ----------
    models : dict of str to str
        File name and sha256 of each member of the committee; the first one drives the dynamics.
    last_step : int
        The step after which the run is complete.
    thresholds : Thresholds, optional
        Without them nothing is watched.
    """

    models: dict[str, str]
    last_step: int
    thresholds: Thresholds | None = None

    def write(self, path: Path) -> None:
        """Write the plan as JSON."""
        path.write_text(json.dumps(asdict(self), indent=2, sort_keys=False))

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read what `write` wrote.

        Raises
        ------
        ValueError
            If the file is no such plan.
        """
        try:
            values = json.loads(path.read_text())
            thresholds = values.get("thresholds")
            return cls(
                models=dict(values["models"]),
                last_step=int(values["last_step"]),
                thresholds=None if thresholds is None else Thresholds.from_dict(thresholds),
            )
        except (KeyError, TypeError, AttributeError, json.JSONDecodeError) as error:
            raise ValueError(f"{path.name} is not a plan of a watch ({error!r}); write it with Plan.write.") from error


@dataclass(frozen=True)
class Check:
    """One look at a run; a line of ``checks.jsonl``.

    Parameters
    ----------
    step : int
    energy : float
        Potential energy, eV.
    temperature_K, min_distance_A, min_distance_ratio : float or None
        K, Angstrom, fraction of the sum of covalent radii; None without a pair within the cutoff.
    deviation, atom : float or None, int or None
        Largest per-atom deviation of the committee's forces, eV / Angstrom, and the index (from 0) of that
        atom; None where it was not measured.
    breach, reason : str or None
        Which threshold was crossed, and the sentence to show; None for a check that passed.
    """

    step: int
    energy: float
    temperature_K: float | None = None
    min_distance_A: float | None = None
    min_distance_ratio: float | None = None
    deviation: float | None = None
    atom: int | None = None
    breach: str | None = None
    reason: str | None = None

    def line(self) -> str:
        """Return the check as one line of JSON."""
        return json.dumps(asdict(self), allow_nan=False) + "\n"


def read_checks(text: str) -> list[Check]:
    """Read the lines of ``checks.jsonl`` that are whole."""
    lines = text.splitlines()[: text.count("\n")]
    return [Check(**json.loads(line)) for line in lines]


def breach(thresholds: Thresholds, check: Check) -> tuple[str, str] | None:
    """Return the name of the first threshold that a check crosses, and a sentence about it."""
    crossed = {
        "deviation": _above(check.deviation, thresholds.max_deviation),
        "temperature": _above(check.temperature_K, thresholds.max_temperature_K),
        "distance": _above(thresholds.min_distance_A, check.min_distance_A)
        or _above(thresholds.min_distance_ratio, check.min_distance_ratio),
    }
    names = [name for name, is_crossed in crossed.items() if is_crossed]
    if not names:
        return None
    sentences = {
        "deviation": f"the committee's forces on atom {check.atom} deviate by {_show(check.deviation)} eV/A "
        f"(limit {_show(thresholds.max_deviation)})",
        "temperature": f"the temperature is {_show(check.temperature_K)} K "
        f"(limit {_show(thresholds.max_temperature_K)})",
        "distance": f"two atoms are {_show(check.min_distance_A)} A apart, or closest at "
        f"{_show(check.min_distance_ratio)} of their covalent radii (limits "
        f"{_show(thresholds.min_distance_A)} A and {_show(thresholds.min_distance_ratio)})",
    }
    return names[0], f"At step {check.step} {sentences[names[0]]}."


def _above(value: float | None, limit: float | None) -> bool:
    # Written so that NaN counts as a breach.
    return value is not None and limit is not None and not value <= limit


def _show(value: float | None) -> str:
    return "none" if value is None else f"{value:.4g}"


def closest(
    distances: FloatArray,
    senders: NDArray[np.int64],
    receivers: NDArray[np.int64],
    numbers: NDArray[np.int64],
) -> tuple[float | None, float | None]:
    """Return the shortest distance, Angstrom, and the smallest ratio to the sum of covalent radii.

    Parameters
    ----------
    distances, senders, receivers : (E,) arrays
    numbers : (N,) array
        Atomic numbers.
    """
    if not len(distances):
        return None, None
    radii = covalent_radii[numbers]
    return float(distances.min()), float((distances / (radii[senders] + radii[receivers])).min())


def temperature(velocities: FloatArray, masses: FloatArray) -> float:
    """Return the kinetic temperature, K, with 3N - 3 degrees of freedom.

    Parameters
    ----------
    velocities : (N, 3) array
        Angstrom / ps.
    masses : (N,) array
        amu.
    """
    speeds = velocities / (1000 * units.fs)
    kinetic = 0.5 * float(masses @ (speeds**2).sum(axis=1))
    return 2 * kinetic / (max(3 * len(masses) - 3, 1) * units.kB)


def summary(checks: list[Check]) -> dict[str, Any]:
    """Return the extremes of a run's checks, for the job's output parameters; empty without checks."""
    if not checks:
        return {}
    deviations = [c.deviation for c in checks if c.deviation is not None]
    temperatures = [c.temperature_K for c in checks if c.temperature_K is not None]
    distances = [c.min_distance_A for c in checks if c.min_distance_A is not None]
    return {
        "n_checks": len(checks),
        "steps": [c.step for c in checks],
        "deviations": [c.deviation for c in checks],
        "deviation_max": max(deviations, default=None),
        "deviation_mean": math.fsum(deviations) / len(deviations) if deviations else None,
        "temperature_max_K": max(temperatures, default=None),
        "min_distance_A": min(distances, default=None),
    }
