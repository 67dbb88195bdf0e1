"""Planted cells and courses with a known balance: what is counted against what was planted.

python -m tests.benchmarks.balance
    Prints one JSON object on the last line: largest errors of what is consumed and of the layer's thickness, the share
    of reacted atoms that is called a product, the time at which the metal is said to be used up, and what unreacted
    cells of the doping list read. Exit status 1 if an aim is missed.
"""

import argparse
import json
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

import numpy as np
from ase import Atoms

from aiida_haml.analysis.balance.areal import METAL_GONE, Balance, balance
from aiida_haml.analysis.description import describe_batch
from aiida_haml.analysis.environments.basis import Basis, make_basis
from aiida_haml.analysis.joining import join_descriptions
from aiida_haml.analysis.settings import DEFAULT_ELEMENTS, DescriptionSettings
from aiida_haml.engines.description import series_arrays
from aiida_haml.frames import Frames
from tests.planted import ADDED, interface, react, story

#: Frames of each planted amount.
FRAMES = 4
#: Unreacted cells, in words and as they are asked for.
UNREACTED: dict[str, dict[str, Any]] = {
    "pristine": {},
    "O": {"doping": [{"dopant": "O", "site": "16e", "fraction": 0.25}]},
    "Se": {"doping": [{"dopant": "Se", "site": "16e", "fraction": 0.25}]},
    "F": {"doping": [{"dopant": "F", "site": "4a", "fraction": 0.5}]},
    "F on 4d": {"doping": [{"dopant": "F", "site": "4d", "fraction": 0.5}], "compensation": "vacancies"},
    "F on 16e": {"doping": [{"dopant": "F", "site": "16e", "fraction": 0.25}], "compensation": "vacancies"},
    "Br": {"doping": [{"dopant": "Br", "site": "4a", "fraction": 0.5}]},
    "Cl-rich": {"doping": [{"dopant": "Cl", "site": "4d", "fraction": 0.25}], "compensation": "vacancies"},
    "exchange 0.5": {"host": {"name": "Li6PS5Cl", "lithium": "24g", "exchange": 0.5}},
    "48h": {"host": {"name": "Li6PS5Cl", "lithium": "48h", "exchange": 0.5}},
}


def read(built: Atoms, frames: Frames, basis: Basis) -> tuple[dict[str, np.ndarray], Balance]:
    """Return the joined series and the balance of planted frames."""
    description = describe_batch({"segment_0000": frames}, basis, built=Frames.from_ase([built]))
    series = join_descriptions([series_arrays(description, basis)])
    return series, balance(series)


def fronts(built: Atoms, counts: Sequence[tuple[int, int]], basis: Basis) -> dict[str, float]:
    """Compare what is counted of a moving front with what was planted, amount by amount."""
    _, known = read(built, story(built, [c for c in counts for _ in range(FRAMES)]), basis)
    consumed = known.consumed.reshape(len(counts), FRAMES, -1).mean(axis=1)
    thickness = known.thickness.reshape(len(counts), FRAMES, -1).mean(axis=1)
    planted = np.array(counts, dtype=float) * known.resolution
    thick = np.array([react(built, *c).thickness for c in counts])
    worst = np.abs(consumed - planted).sum(axis=1) / np.maximum(planted.sum(axis=1), known.resolution)
    return {
        "consumed_error": float(worst.max()),
        "thickness_error_A": float(np.abs(thickness - thick).max()),
        "mass_error": float(np.ptp(known.rungs.sum(axis=(1, 2)))),
    }


def named(built: Atoms, count: int, basis: Basis) -> dict[str, float]:
    """Return what a thick planted layer is called: an antifluorite of Li2S with P and Cl at random."""
    series, known = read(built, story(built, [(0, count)] * FRAMES), basis)
    layer = known.phases.sum(axis=(0, 1))
    roles = np.array([*series["roles"].tolist(), "none"])
    return {role: float(layer[roles == role].sum() / layer.sum()) for role in sorted(set(roles.tolist()))}


def dry(basis: Basis) -> float:
    """Return by what share of the run the time at which the metal is used up is missed.

    A last plane of metal that the layer wets on both sides is none by its neighbours, so that thin metals end early.
    """
    built = interface(layers=20, cells=6)
    most = int((built.arrays["sites"] == "metal").sum()) // ADDED
    counts = [(n // 2, n - n // 2) for n in range(most + 1) for _ in range(FRAMES)]
    counts += [counts[-1]] * (5 * FRAMES)
    _, known = read(built, story(built, counts), basis)
    end, what = known.end
    return abs(end - 10.0 * FRAMES * most) / float(known.time[-1]) if what == METAL_GONE else 1.0


def unreacted(cells: Mapping[str, Mapping[str, Any]], basis: Basis) -> dict[str, float]:
    """Return what share of the electrolyte unreacted cells are said to have consumed, or why one was not built."""
    found = {}
    for name, spec in cells.items():
        cell = interface(**spec)
        series, _ = read(cell, story(cell, [(0, 0)] * FRAMES), basis)
        found[name] = float(series["consumed"].sum(axis=1).mean())
    return found


def main() -> int:
    """Run and print."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    started = time.perf_counter()
    elements = tuple(sorted({*DEFAULT_ELEMENTS, "Br"}))
    basis = make_basis(DescriptionSettings(elements=elements, every_fs=0.0))
    built = interface()
    # Short of the whole electrolyte: a layer ends where the host begins.
    one_face, both = [(0, n) for n in range(5)], [(n, n) for n in range(4)]
    results = {
        "one_face": fronts(built, one_face, basis),
        "both_faces": fronts(built, both, basis),
        "layer_called": named(built, 6, basis),
        "reservoir_end_error": dry(basis),
        "unreacted": unreacted(UNREACTED, basis),
    }
    moved = [results["one_face"], results["both_faces"]]
    aims = {
        "consumed_within_5_percent": max(m["consumed_error"] for m in moved) < 0.05,
        "thickness_within_1_A": max(m["thickness_error_A"] for m in moved) < 1.0,
        "mass_closed": max(m["mass_error"] for m in moved) < 1e-6,
        "products_called_products": results["layer_called"]["product"] > 0.95,
        "reservoir_end_within_5_percent": results["reservoir_end_error"] < 0.05,
        "unreacted_below_2_percent": max(results["unreacted"].values()) < 0.02,
    }
    took = round(time.perf_counter() - started, 1)
    print(json.dumps({**results, "wall_s": took, "aims": aims, "met": all(aims.values())}))
    return 0 if all(aims.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
