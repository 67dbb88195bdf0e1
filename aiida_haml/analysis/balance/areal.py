"""The balance per area: what a face has consumed, in units that experiment has, and when the cell runs out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from aiida_haml.analysis.balance.states import LADDER
from aiida_haml.arrays import FloatArray

#: Atoms / Angstrom^2 in nmol / cm^2.
NMOL_CM2 = 1e16 / 6.02214076e23 * 1e9
#: Electrons / Angstrom^2 in C / m^2.
COULOMB_M2 = 1.602176634e-19 * 1e20
#: Share of the metal below which the cell has run out of it.
RUN_OUT = 0.03
#: Electrolyte that is thinner than one tetrahedron of PS4 is none, Angstrom (S to S, both faces' layers beside it).
THINNEST = 3.4
#: Metal that should be left by what has reacted and is not recognised: up to this share of what was built it may be
#: dissolved in the layer; where it is more, the cell has not run out of it.
DISSOLVED = 0.15
#: Frames over which what is left is smoothed before it is said to have run out.
SMOOTHED = 5

METAL_GONE, ELECTROLYTE_GONE = "lithium", "electrolyte"


@dataclass(frozen=True, eq=False)
class Balance:
    """What has happened in one cell, per area.

    Attributes
    ----------
    time : (T,) array
        fs.
    faces : tuple of str
        F.
    consumed : (T, F) array
        Electrolyte that has reacted at each face, as the thickness that it had as built, Angstrom.
    thickness : (T, F) array
        Of the layer, less what the unreacted cell reads, Angstrom; NaN without metal.
    lithium : (T,) array
        Metal consumed at a face, the mean of the faces, nmol / cm^2.
    metal_left, electrolyte_left : (T,) array
        Shares of what was there; of the electrolyte, of what of it lithium takes apart.
    rungs : (T, F, 4) array
        Atoms other than Li on each rung of the ladder, nmol / cm^2.
    phosphorus, sulfur : (T, F, 4) array
        The same for P and S.
    phases : (T, F, P + 1) array
        Reacted atoms other than Li by the phase that they resemble, nmol / cm^2; the last column is none.
    connected : (T, F) array
        Share of the P without S whose Li-P network leads from the metal to the electrolyte; NaN where one of the three
        is missing.
    noise : float
        Standard deviation of `consumed` (sum of the faces) in the unreacted cell, Angstrom.
    resolution : float
        Electrolyte that holds one PS4 unit or molecule (one atom, where there is none), Angstrom: less is no amount.
    units : float
        Of these, that the electrolyte held as built.
    reservoir : float
        Metal over what the electrolyte needs; NaN where that is not known.
    """

    time: FloatArray
    faces: tuple[str, ...]
    consumed: FloatArray
    thickness: FloatArray
    lithium: FloatArray
    metal_left: FloatArray
    electrolyte_left: FloatArray
    rungs: FloatArray
    phosphorus: FloatArray
    sulfur: FloatArray
    phases: FloatArray
    connected: FloatArray
    noise: float
    resolution: float
    units: float
    reservoir: float

    @property
    def charge(self) -> FloatArray:
        """(T,) charge that the metal consumed at a face gave, C / m^2."""
        return self.lithium / NMOL_CM2 * COULOMB_M2

    @property
    def end(self) -> tuple[float, str | None]:
        """The time (fs) up to which the cell can react, and what ran out then; the last frame if nothing has."""
        metal = np.fmax(self.metal_left, self.metal_due - DISSOLVED)
        ends = [(_last_above(self.time, metal, RUN_OUT), METAL_GONE)] if np.isfinite(self.metal_left).any() else []
        ends.append((_last_above(self.time, self.electrolyte_left, THINNEST / self.length), ELECTROLYTE_GONE))
        time, what = min(ends)
        return (time, what) if time < self.time[-1] else (float(self.time[-1]), None)

    @property
    def length(self) -> float:
        """Thickness of the electrolyte as built, Angstrom."""
        return self.resolution * self.units

    @property
    def metal_due(self) -> FloatArray:
        """(T,) share of the metal that what has reacted leaves, reacted to its end; NaN where its need is not known."""
        return np.asarray(1 - (1 - self.electrolyte_left) / (self.reservoir or np.nan))

    @property
    def hides_metal(self) -> bool:
        """Whether no metal is recognised at the end, though what has reacted leaves some."""
        return bool(self.metal_left[-1] <= RUN_OUT < self.metal_due[-1] - DISSOLVED)

    def until(self, length_fs: float) -> Balance:
        """Return the balance of the first part of the trajectory."""
        n = int(np.searchsorted(self.time, self.time[0] + length_fs + 1e-6)) if len(self.time) else 0
        along_time = ("time", "consumed", "thickness", "lithium", "metal_left", "electrolyte_left", "rungs",
                      "phosphorus", "sulfur", "phases", "connected")  # fmt: skip
        return replace(self, **{name: getattr(self, name)[:n] for name in along_time})


def _last_above(times: FloatArray, left: FloatArray, limit: float) -> float:
    """Return the last time at which more than a limit was left, smoothed; the last time if there always was."""
    width = min(SMOOTHED, len(left))
    smooth = np.convolve(
        np.pad(left, (width // 2, width - 1 - width // 2), mode="edge"), np.ones(width) / width, "valid"
    )
    above = np.flatnonzero(smooth > limit)
    return float(times[above[-1]]) if len(above) else float(times[0])


def balance(series: Mapping[str, np.ndarray]) -> Balance:
    """Return the balance of a description.

    Parameters
    ----------
    series : mapping
        Joined, see `aiida_haml.analysis.joining.join_descriptions`.

    Raises
    ------
    ValueError
        If the description is of an earlier version and holds no balance, or not all of it.
    """
    if "electrolyte" not in series:
        raise ValueError("The description holds no balance; describe the trajectory anew.")
    faces = tuple(str(f) for f in series["faces"])
    area, length = float(series["area"][0]), float(series["electrolyte_length"][0])
    per_area = NMOL_CM2 / area
    ladder = np.asarray(series["ladder"], dtype=float)
    units = max(float(series["n_units"][0]), 1.0)
    consumed = np.asarray(series["consumed"])
    taken = _to_faces(consumed)
    baseline = {name: np.asarray(series[f"baseline_{name}"]) for name in ("metal", "consumed", "thickness")}
    metal, start = np.asarray(series["metal"], dtype=float), float(baseline["metal"][0])
    offset = float(baseline["consumed"][0]) * length / len(faces)
    return Balance(
        time=np.asarray(series["time"], dtype=float),
        faces=faces,
        consumed=taken * length - offset,
        thickness=np.asarray(series["thickness"])
        + (taken - consumed) * length
        - float(np.nan_to_num(baseline["thickness"][0])),
        lithium=(start - metal) * per_area / len(faces),
        metal_left=metal / start if start > 0 else np.full(len(metal), np.nan),
        electrolyte_left=np.asarray(series["electrolyte"], dtype=float),
        rungs=ladder.sum(axis=2) * per_area,
        phosphorus=_of(series, ladder, "P") * per_area,
        sulfur=_of(series, ladder, "S") * per_area,
        phases=np.asarray(series["layer_phases"]) * per_area,
        connected=np.asarray(series["phosphide_connected"]),
        noise=float(baseline["consumed"][1]) * length,
        resolution=length / units,
        units=units,
        reservoir=float(series["reservoir"][0]),
    )


def _to_faces(consumed: FloatArray) -> FloatArray:
    """Return the (T, F) shares with the last of the electrolyte given to both faces evenly.

    Once no host is left, nothing says where one layer ends and the other begins: it stays as it was before, and what
    was left then is shared.
    """
    taken = np.array(consumed, dtype=float)
    gone = taken.sum(axis=1) > 1 - 1e-9
    for t in np.flatnonzero(gone[1:]) + 1:
        before = taken[t - 1]
        taken[t] = before + (1 - before.sum()) / len(before)
    return taken


def ladder_elements(series: Mapping[str, np.ndarray]) -> list[str]:
    """Return the elements of the ladder, in the order of its columns."""
    return sorted(set(np.asarray(series["elements"]).astype(str).tolist()) - {"Li"})


def _of(series: Mapping[str, np.ndarray], ladder: FloatArray, element: str) -> FloatArray:
    elements: Sequence[str] = ladder_elements(series)
    if element not in elements:
        return np.zeros((*ladder.shape[:2], len(LADDER)))
    return np.asarray(ladder[:, :, elements.index(element)])
