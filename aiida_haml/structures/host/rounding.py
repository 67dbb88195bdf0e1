"""Whole atoms for refined occupancies: the nearest neutral composition that a cell can hold.

The framework counts first: of all whole numbers of atoms on its sublattices, those are taken that deviate least, summed
over sites, and of these the ones that deviate least in composition. Lithium then makes the cell neutral, since its
occupancies are what a refinement knows least. Both are integer programmes (SciPy's HiGHS).
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import Bounds, LinearConstraint, milp

from aiida_haml.arrays import FloatArray
from aiida_haml.structures.charges import MOBILE
from aiida_haml.structures.errors import StructureError
from aiida_haml.structures.host.crystal import SHARE_TOLERANCE

#: Share of each element on the sites of each label, as ``{"48h": {"Li": 0.5}}``.
Occupancies = dict[str, dict[str, float]]

#: Weight of single sites beside the composition in the second programme, and of the order of sites, which breaks ties.
SITES, ORDER = 1e-2, 1e-6


def rounded(occupancies: Occupancies, members: Mapping[str, int], charges: Mapping[str, int]) -> Occupancies:
    """Return occupancies that are whole atoms of a neutral cell, nearest to some.

    Parameters
    ----------
    occupancies : dict
    members : mapping
        Number of sites of each label in the cell.
    charges : mapping
        Oxidation states, e.

    Raises
    ------
    StructureError
        If no whole numbers of atoms on these sites make the cell neutral.
    """
    places = [(label, element) for label, shares in occupancies.items() for element in shares]
    sizes = np.array([members[label] for label, _ in places])
    wanted = np.array([occupancies[label][element] for label, element in places]) * sizes
    rules = [LinearConstraint(np.array([[float(charges[element]) for _, element in places]]), 0, 0)]
    for label, shares in occupancies.items():
        full = sum(shares.values()) > 1 - SHARE_TOLERANCE
        row = np.array([[float(other == label) for other, _ in places]])
        rules.append(LinearConstraint(row, members[label] if full else 0, members[label]))
    # Single places are compared first, then sums over the places of each element.
    single = np.eye(len(places))
    sums = np.array([[float(e == element) for _, e in places] for element in dict.fromkeys(e for _, e in places)])
    framework = np.array([float(element != MOBILE) for _, element in places])
    counts = _nearest(wanted, sizes, single, framework, rules)
    if counts is None:
        raise StructureError(
            "host.round",
            True,
            "finds no whole numbers of atoms on these sites that make the cell neutral",
            "Correct the oxidation states (host.charges), or take a larger cell (host.supercell).",
        )
    least = float(framework @ np.abs(counts - wanted))
    both = np.concatenate([single, sums])
    weights = np.concatenate([np.full(len(places), SITES), np.ones(len(sums))])
    counts = _nearest(wanted, sizes, both, weights, rules, (framework, least + 1e-6))
    assert counts is not None  # the first programme's solution is one
    new: Occupancies = {label: {} for label in occupancies}
    for (label, element), n in zip(places, counts, strict=True):
        if n:
            new[label][element] = float(n / members[label])
    return new


def _nearest(
    wanted: FloatArray,
    sizes: NDArray[np.int64],
    compared: FloatArray,
    weights: FloatArray,
    rules: list[LinearConstraint],
    at_most: tuple[FloatArray, float] | None = None,
) -> NDArray[np.int64] | None:
    """Minimise weights @ |compared @ (n - wanted)| over whole n from 0 to sizes; None where the rules leave nothing.

    ``at_most`` bounds the weighted sum of the first deviations.
    """
    n, m = len(wanted), len(compared)
    target = compared @ wanted
    eye = np.eye(m)
    constraints = [
        *(LinearConstraint(np.hstack([rule.A, np.zeros((len(rule.A), m))]), rule.lb, rule.ub) for rule in rules),
        LinearConstraint(np.hstack([compared, -eye]), -np.inf, target),  # deviation >= sum - target
        LinearConstraint(np.hstack([compared, eye]), target, np.inf),  # deviation >= target - sum
    ]
    if at_most is not None:
        row = np.concatenate([np.zeros(n), at_most[0], np.zeros(m - len(at_most[0]))])
        constraints.append(LinearConstraint(row, -np.inf, at_most[1]))
    found = milp(
        np.concatenate([ORDER * np.arange(n) / n, weights]),
        integrality=np.concatenate([np.ones(n), np.zeros(m)]),
        bounds=Bounds(np.zeros(n + m), np.concatenate([sizes, np.full(m, np.inf)])),
        constraints=constraints,
        options={"mip_rel_gap": 0.0},
    )
    return None if found.x is None else np.rint(found.x[:n]).astype(np.int64)


def deviation_in_words(before: Occupancies, after: Occupancies, members: Mapping[str, int]) -> str:
    """Return what rounding changed: "4a Cl 1 for 1.48, S 3 for 2.52; Li 24 for 21.12 in the cell"."""
    parts = []
    totals: dict[str, list[float]] = {}
    for label, shares in before.items():
        changed = []
        for element, share in shares.items():
            old, new = share * members[label], after[label].get(element, 0.0) * members[label]
            totals.setdefault(element, [0.0, 0.0])
            totals[element][0] += old
            totals[element][1] += new
            if abs(new - old) > 1e-6:
                changed.append(f"{element} {new:.4g} for {old:.4g}")
        if changed:
            parts.append(f"{label} {', '.join(changed)}")
    whole = [f"{element} {new:.4g} for {old:.4g}" for element, (old, new) in totals.items() if abs(new - old) > 1e-6]
    return "; ".join([*parts, f"in all {', '.join(whole)}" if whole else "the composition is kept"])
