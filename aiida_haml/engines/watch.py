"""The watch of a stretch: what a run must not do, what was seen of it, and how much of it may be trusted.

All is compared in one currency, the *load* of a quantity: the share of its limit that it uses, above 1 in a breach.
A check is one look at all quantities; a run leaves a table of checks.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from ase.data import atomic_numbers
from numpy.typing import NDArray

from aiida_haml.arrays import FloatArray
from aiida_haml.engines.pairs import ElementPairs
from aiida_haml.settings import Settings, require_integer, require_number

#: Checks of a run, (C,) records of `check_type`.
Checks = NDArray[np.void]

#: What is watched, local quantities first: the field of `Thresholds` that limits it, and its unit.
QUANTITIES = {
    "distance": ("min_distances", "A"),
    "kinetic_energy": ("max_kinetic_energy_eV", "eV"),
    "deviation": ("max_deviation", "eV/A"),
    "drift": ("max_drift_eV_per_atom", "eV/atom"),
    "temperature": ("max_temperature_K", "K"),
    "pressure": ("max_pressure_GPa", "GPa"),
}


@dataclass(frozen=True)
class Thresholds(Settings):
    """What ends a stretch, and how much of it is given back then; what is None is not watched.

    The deviation needs the other members of the committee and is looked at every so many steps, in the first and in
    the last; all else comes with the forces and is looked at in every step.

    Parameters
    ----------
    every : int
        Steps between two checks.
    max_deviation : float, optional
        Largest deviation of the committee's force on any one atom from the force that drives it, eV / Angstrom.
    max_temperature_K : float, optional
        K.
    max_kinetic_energy_eV : float, optional
        Of any one atom, eV.
    max_drift_eV_per_atom : float, optional
        Of the conserved energy (potential, kinetic, and what the thermostat took) since the start, either way, eV.
    max_pressure_GPa : float, optional
        Either way, GPa.
    min_distances : dict of str to float, optional
        Angstrom, for pairs of elements with symbols in alphabetical order: ``{"Li-S": 1.8}``.
    min_distance_ratio : float, optional
        For pairs of elements that are not listed, as a fraction of the sum of their covalent radii (ASE's table).
    soft_fraction : float
        Share of the way from where it began to its limit, in load, at which a quantity counts as on its way to a
        breach. Measured from the beginning, because a calm run may live close to a tight limit.
    margin_fs : float
        What is given back before the onset of a breach, fs. The default is a third of the period of a P-S stretch
        (550 / cm): our choice.

    Raises
    ------
    ValueError
        If a value makes no sense.
    """

    every: int = 10
    max_deviation: float | None = None
    max_temperature_K: float | None = None
    max_kinetic_energy_eV: float | None = None
    max_drift_eV_per_atom: float | None = None
    max_pressure_GPa: float | None = None
    min_distances: dict[str, float] | None = None
    min_distance_ratio: float | None = None
    soft_fraction: float = 0.5
    margin_fs: float = 20.0

    def __post_init__(self) -> None:
        require_integer("every", self.every, 1)
        for limit in (*(limit for limit, _ in QUANTITIES.values()), "min_distance_ratio"):
            if limit != "min_distances" and (value := getattr(self, limit)) is not None:
                require_number(limit, value)
        require_number("soft_fraction", self.soft_fraction, 0.0, 1.0)
        require_number("margin_fs", self.margin_fs, open_low=False)
        for pair, distance in (self.min_distances or {}).items():
            symbols = pair.split("-")
            if len(symbols) != 2 or symbols != sorted(symbols) or not set(symbols) <= atomic_numbers.keys():
                raise ValueError(f"min_distances names {pair!r}; give two elements in alphabetical order, as in Li-S.")
            require_number(f"min_distances[{pair!r}]", distance)

    def distance_limits(self, pairs: ElementPairs) -> FloatArray:
        """Return the (P,) shortest distance allowed for each pair of elements, Angstrom; 0 where there is no limit."""
        listed, fallback = self.min_distances or {}, (self.min_distance_ratio or 0.0) * pairs.covalent
        return np.array([listed.get(name, float(fallback[p])) for p, name in enumerate(pairs.names)])

    def margin_steps(self, timestep_fs: float) -> int:
        """Return the margin in whole steps, rounded up."""
        return math.ceil(self.margin_fs / timestep_fs - 1e-9)

    def n_restarts(self, save_every: int, timestep_fs: float) -> int:
        """Return how many frames of checks a run keeps: enough to lose no step if a breach begins one check ago."""
        return math.ceil((self.margin_steps(timestep_fs) + save_every) / self.every) + 2


# -- checks ---------------------------------------------------------------------------------------------


def check_type(n_pairs: int) -> np.dtype[np.void]:
    """Return the type of the record of one check.

    ``step``; ``energy`` (potential, eV); one field for each of `QUANTITIES` in its unit, ``distance`` with the
    shortest of each pair of elements (infinite where no pair is within the cutoff); ``hottest`` and ``deviating``, the
    atoms (from 0) of the largest kinetic energy and deviation. What was not measured is NaN, and -1 for an atom.
    """
    scalars: list[Any] = [(name, "f8") for name in QUANTITIES if name != "distance"]
    atoms: list[Any] = [("hottest", "i8"), ("deviating", "i8")]
    return np.dtype([("step", "i8"), ("energy", "f8"), *scalars, *atoms, ("distance", "f8", (n_pairs,))])


def loads(thresholds: Thresholds, checks: Checks, pairs: ElementPairs) -> dict[str, FloatArray]:
    """Return the (C,) load of each quantity that is watched; NaN where it was not measured."""
    result = {}
    for quantity, (limit, _) in QUANTITIES.items():
        if quantity == "distance":
            limits = thresholds.distance_limits(pairs)
            if limits.any():
                result[quantity] = (limits / checks["distance"]).max(axis=1)
        elif (value := getattr(thresholds, limit)) is not None:
            result[quantity] = np.abs(checks[quantity]) / value
    return result


def breaches(thresholds: Thresholds, check: Checks, pairs: ElementPairs) -> list[str]:
    """Return the quantities whose limits a single check, a table of one row, exceeds; the most local one first."""
    return [name for name, load in loads(thresholds, check, pairs).items() if load[0] > 1]


def sentence(thresholds: Thresholds, check: Checks, pairs: ElementPairs, quantity: str) -> str:
    """Say in a sentence what a check of one row found of a quantity that exceeds its limit."""
    limit, unit = QUANTITIES[quantity]
    row = check[0]
    if quantity == "distance":
        limits = thresholds.distance_limits(pairs)
        closest = int((limits / row["distance"]).argmax())
        found, bound = row["distance"][closest], limits[closest]
        what = f"{pairs.names[closest].replace('-', ' and ')} come within"
    else:
        found, bound = row[quantity], getattr(thresholds, limit)
        what = {
            "kinetic_energy": f"atom {row['hottest']} has a kinetic energy of",
            "deviation": f"the committee's forces on atom {row['deviating']} deviate by",
            "drift": "the conserved energy has drifted by",
            "temperature": "the temperature is",
            "pressure": "the pressure is",
        }[quantity]
    return f"At step {row['step']} {what} {found:.4g} {unit} (limit {bound:.4g})."


# -- what may be trusted --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Trust:
    """How far a run may be trusted.

    Parameters
    ----------
    until : int
        Last step that may be trusted; 0 trusts the start alone, which came from elsewhere.
    onset : int or None
        First step at which the breach was on its way; None without a breach.
    """

    until: int
    onset: int | None


def trust(
    thresholds: Thresholds, checks: Checks, pairs: ElementPairs, timestep_fs: float, failed_at: int | None = None
) -> Trust:
    """Decide how much of a run may be trusted.

    A run is trusted up to its last check. A breach takes back more: all from `margin_fs` before its onset on, which is
    the first of the unbroken run of checks, up to the breach, in which a quantity that exceeds its limit was already
    beyond its soft level, ``start + soft_fraction * (1 - start)`` with its load at the first check. A run that failed
    (atoms lost, forces not finite) says nothing of the quantity that failed it, so any quantity may tell its onset.

    Parameters
    ----------
    thresholds : Thresholds
    checks : (C,) records
        Of which the last one may be a breach.
    pairs : ElementPairs
    timestep_fs : float
    failed_at : int, optional
        Step at which the run failed without a breach.
    """
    if not len(checks):
        return Trust(0, failed_at)
    all_loads = loads(thresholds, checks, pairs)
    exceeded = {name: load for name, load in all_loads.items() if load[-1] > 1}
    if not exceeded and failed_at is None:
        return Trust(int(checks["step"][-1]), None)
    end = int(checks["step"][-1]) if failed_at is None else failed_at
    beginnings = [_beginning(load, thresholds.soft_fraction) for load in (exceeded or all_loads).values()]
    onset = min([end, *(int(checks["step"][k]) for k in beginnings if k is not None)])
    return Trust(max(onset - thresholds.margin_steps(timestep_fs), 0), onset)


def _beginning(load: FloatArray, soft_fraction: float) -> int | None:
    """Return the index of the first of the unbroken run of loads beyond the soft level that lasts to the end."""
    measured = np.flatnonzero(~np.isnan(load))
    if not len(measured):
        return None
    start = min(load[measured[0]], 1.0)
    calm = np.flatnonzero(load[measured] <= start + soft_fraction * (1 - start))
    first = calm[-1] + 1 if len(calm) else 0
    return int(measured[first]) if first < len(measured) else None
