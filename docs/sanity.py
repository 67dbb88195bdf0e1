"""What the metrics say of three cells whose answer is known: printed in the docs, held by a test."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from ase import Atoms

from aiida_haml.analysis.basis import make_basis
from aiida_haml.analysis.description import describe_batch
from aiida_haml.analysis.references import disordered, reference_phases
from aiida_haml.analysis.settings import DEFAULT_ELEMENTS, DescriptionSettings
from aiida_haml.frames import Frames
from aiida_haml.structures.candidates import build

#: Snapshots of each cell; a seed that no reference was made with.
SNAPSHOTS, SEED = 6, 77
#: Series shown, and how the page calls them.
SHOWN = {
    "reacted_fraction": "reacted share",
    "product_score": "electrolyte 0 … product 1",
    "ps4_fraction": "intact PS4",
    "p_oxidation_state": "oxidation state of P",
    "p_s_bonds": "P-S bonds per P",
    "li_around_S": "Li round S",
    "li_around_Cl": "Li round Cl",
}
#: Formula units of the full reaction Li6PS5Cl + 8 Li -> 5 Li2S + Li3P + LiCl.
PRODUCTS = {"Li2S": 5, "Li3P": 1, "LiCl": 1}


def cells() -> dict[str, list[Frames]]:
    """Return the frames of the three cells; the reacted one is its products, each in its crystal."""
    phases = {phase.name: phase for phase in reference_phases(DEFAULT_ELEMENTS)}
    rng = np.random.default_rng(SEED)

    def crystal(name: str) -> Frames:
        return _frames([disordered(phases[name], 300.0, rng) for _ in range(SNAPSHOTS)])

    interface, _ = build({"host": {"lithium": "24g", "exchange": 0}, "interface": {"layers": 2}})
    return {
        "Li2S": [crystal("Li2S")],
        "Li6PS5Cl on Li, as built": [_frames([interface])],
        "fully reacted": [crystal(name) for name in PRODUCTS],
    }


def _frames(images: list[Atoms]) -> Frames:
    for step, atoms in enumerate(images):
        atoms.info = {"time": 10.0 * step}
    return Frames.from_ase(images)


def table() -> dict[str, dict[str, float]]:
    """Return the mean of each series by cell; NaN where a cell has no such atoms."""
    basis = make_basis(DescriptionSettings(every_fs=0.0))
    rows: dict[str, dict[str, float]] = {}
    for name, parts in cells().items():
        described = [describe_batch({"segment_000": frames}, basis).series for frames in parts]
        rows[name] = {series: _mean(series, parts, described) for series in SHOWN}
    return rows


def _mean(series: str, parts: list[Frames], described: list[dict[str, np.ndarray]]) -> float:
    """Average over parts by the atoms that a series speaks of: all but Li, or those of its element."""
    means, weights = [], []
    for frames, found in zip(parts, described, strict=True):
        values = found.get(series, np.array([np.nan]))
        if np.isfinite(values).any():
            means.append(float(np.nanmean(values)))
            weights.append(_count(series, frames.symbols))
    return float(np.average(means, weights=weights)) if means else float("nan")


def _count(series: str, symbols: list[str]) -> float:
    """Atoms that a series speaks of, in the ratio of the reaction."""
    formula = {"S": "Li2S", "P": "Li3P", "Cl": "LiCl"}
    share = {element: PRODUCTS[name] for element, name in formula.items()}
    element = "P" if series.startswith(("p_", "ps4")) else series.removeprefix("li_around_")
    if element in share:
        return float(element in symbols)
    return float(sum(share[e] for e in share if e in symbols))


def lines() -> Iterator[str]:
    """Yield the table as Markdown."""
    rows = table()
    yield f"| cell | {' | '.join(SHOWN.values())} |"
    yield f"| --- |{' ---: |' * len(SHOWN)}"
    for name, values in rows.items():
        shown = ("-" if np.isnan(value) else f"{value:.2f}" for value in values.values())
        yield f"| {name} | {' | '.join(shown)} |"


if __name__ == "__main__":
    print("\n".join(lines()))
