"""What a description says as tidy tables: one row for one thing, columns with their units in their names."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from aiida_haml.analysis.balance.areal import Balance, balance, ladder_elements
from aiida_haml.analysis.balance.inventory import BIN
from aiida_haml.analysis.balance.states import LADDER, STATES
from aiida_haml.analysis.chemistry.surroundings import BIN as SHELL
from aiida_haml.analysis.chemistry.surroundings import REGIONS, distribution
from aiida_haml.structures.bonds import cutoff

#: Windows of time that profiles are averaged over.
PROFILE_WINDOWS = 12
#: Series of the cell as a whole that stand beside the balance where they are known.
OF_CELL = (
    "ps4_fraction", "p_bond_order_state", "p_chalcogen_bonds", "p_s_bonds", "p_li_contacts", "p_p_contacts",
    "li_anion_coordination", "broken_bonds", "intact_molecules", "temperature",
)  # fmt: skip


@dataclass(frozen=True)
class Table:
    """Columns, and rows in their order."""

    columns: tuple[str, ...]
    rows: Sequence[Sequence[Any]]


def tables(series: Mapping[str, np.ndarray]) -> dict[str, Table]:
    """Return the tables of one candidate.

    Parameters
    ----------
    series : mapping
        Joined, see `aiida_haml.analysis.joining.join_descriptions`.

    Returns
    -------
    dict
        - ``faces``: for each frame and face what is consumed (Angstrom of electrolyte as built), the layer's thickness,
          the share of P whose Li-P network leads through it, P in the largest such network, the atoms other than Li on
          each rung, and P alone (nmol / cm^2);
        - ``cell``: for each frame what the metal has given (nmol / cm^2, C / m^2), what is left, and series of bonds;
        - ``phases``: for each frame and face the reacted atoms other than Li by the phase that they resemble;
        - ``profiles``: for each window of time and slab the atoms in each state and of each element, 1 / Angstrom^3,
          and their formal charge, e / Angstrom^3 (none where it is not known, as of C);
        - ``events``: lasting changes of bonds;
        - ``neighbours``: for each window of time, region and pair of elements the neighbours within the bond's cutoff;
        - ``distances``: the same over the distance, as g(r), of the whole run.
    """
    known = balance(series)
    return {
        "faces": _faces(known, series),
        "cell": _cell(known, series),
        "phases": _phases(known, series),
        "profiles": _profiles(series),
        "events": _events(series),
    } | (_surroundings(series) if "pairs" in series else {})


def _faces(known: Balance, series: Mapping[str, np.ndarray]) -> Table:
    rungs = [f"{STATES[rung]}_nmol_cm2" for rung in LADDER]
    amounts = np.concatenate([known.rungs, known.phosphorus], axis=2)
    largest = np.asarray(series.get("phosphide_largest", np.full(known.connected.shape, np.nan)))  # older ones lack it
    rows = [
        (time, face, known.consumed[t, f], known.thickness[t, f], known.connected[t, f], largest[t, f], *amounts[t, f])
        for t, time in enumerate(known.time)
        for f, face in enumerate(known.faces)
    ]
    columns = (
        "time_fs", "face", "consumed_A", "thickness_A", "phosphide_connected", "phosphide_largest", *rungs,
        *(f"P_{name}" for name in rungs),
    )  # fmt: skip
    return Table(columns, rows)


def _cell(known: Balance, series: Mapping[str, np.ndarray]) -> Table:
    beside = [name for name in OF_CELL if name in series and len(series[name]) == len(known.time)]
    columns = ("time_fs", "lithium_nmol_cm2", "charge_C_m2", "metal_left", "electrolyte_left", *beside)
    values = [known.time, known.lithium, known.charge, known.metal_left, known.electrolyte_left]
    return Table(columns, list(zip(*values, *(np.asarray(series[name]) for name in beside), strict=True)))


def _phases(known: Balance, series: Mapping[str, np.ndarray]) -> Table:
    names = [*(str(p) for p in series["phases"]), "none"]
    frame, face, phase = np.nonzero(known.phases)
    rows = [
        (known.time[t], known.faces[f], names[p], known.phases[t, f, p])
        for t, f, p in zip(frame, face, phase, strict=True)
    ]
    return Table(("time_fs", "face", "phase", "nmol_cm2"), rows)


def _profiles(series: Mapping[str, np.ndarray]) -> Table:
    states, time = np.asarray(series["profile"]), np.asarray(series["time"])
    charge = np.asarray(series.get("profile_charge", np.full(states.shape[:2], np.nan)))  # older ones lack it
    profile = np.concatenate([states, series["profile_elements"], charge[..., None]], axis=2)
    volume = float(series["area"][0]) * BIN
    windows = np.array_split(np.arange(len(time)), min(PROFILE_WINDOWS, len(time)))
    rows = [
        (time[own[0]], time[own[-1]], (slab + 0.5) * BIN, *densities)
        for own in windows
        for slab, densities in enumerate(profile[own].mean(axis=0) / volume)
    ]
    counted = (*STATES, *ladder_elements(series), "Li")
    return Table(("from_fs", "to_fs", "height_A", *(f"{kind}_per_A3" for kind in counted), "charge_e_A3"), rows)


def _surroundings(series: Mapping[str, np.ndarray]) -> dict[str, Table]:
    elements, time = [str(e) for e in series["elements"]], np.asarray(series["pairs_time"])
    windows = np.array_split(np.arange(len(time)), min(PROFILE_WINDOWS, len(time)))
    neighbours = [
        (time[own[0]], time[own[-1]], REGIONS[r], elements[i], elements[j], number)
        for own in windows
        for (r, i, j), number in _within_bonds(series, slice(own[0], own[-1] + 1), elements)
    ]
    g = distribution(series)[1]
    distances = [
        (REGIONS[r], elements[i], elements[j], (b + 0.5) * SHELL, value)
        for r, i, j in np.argwhere(g.sum(axis=3) > 0)
        for b, value in enumerate(g[r, i, j])
    ]
    return {
        "neighbours": Table(("from_fs", "to_fs", "region", "of", "neighbour", "number"), neighbours),
        "distances": Table(("region", "of", "neighbour", "distance_A", "g"), distances),
    }


def _within_bonds(
    series: Mapping[str, np.ndarray], chosen: slice, elements: Sequence[str]
) -> Iterator[tuple[tuple[int, int, int], float]]:
    within = distribution(series, chosen)[0]
    for r, i, j in np.argwhere(within[..., -1] > 0):
        last = round(cutoff(elements[i], elements[j]) / SHELL) - 1
        yield (r, i, j), float(within[r, i, j, min(last, within.shape[-1] - 1)])


def _events(series: Mapping[str, np.ndarray]) -> Table:
    names = ("time", "pair", "formed", "z")
    rows = list(zip(*(np.asarray(series[f"events_{name}"]) for name in names), strict=True))
    return Table(("time_fs", "pair", "formed", "place_along_c"), [(t, p, bool(f), z) for t, p, f, z in rows])
