"""What recognition and bonds say of cells whose answer is known: printed in the docs, held by a test."""

from collections.abc import Iterator

import numpy as np
from ase import Atoms

from aiida_haml.analysis.chemistry.coordination import bond_series
from aiida_haml.analysis.environments.basis import Basis, make_basis
from aiida_haml.analysis.environments.stream import describe_frames
from aiida_haml.analysis.references.disorder import heated
from aiida_haml.analysis.references.phases import ELECTROLYTE, INTERMEDIATE, PRODUCT, THIOPHOSPHATE, reference_phases
from aiida_haml.analysis.references.solutions import antifluorite
from aiida_haml.analysis.settings import DEFAULT_ELEMENTS, DescriptionSettings
from aiida_haml.frames import Frames

#: Snapshots of each cell; a seed that no reference was made with.
SNAPSHOTS, SEED = 6, 77
#: What is shown, and how the page calls it: shares of the atoms other than lithium by the role of the phase resembled,
#: and two series of the bonds of P.
SHOWN = {
    "electrolyte": "electrolyte",
    "thiophosphate": "thiophosphate",
    "intermediate": "intermediate",
    "product": "product",
    "none": "none",
    "ps4_fraction": "intact PS4",
    "p_bond_order_state": "state of P by its bonds",
}


def cells() -> dict[str, Atoms]:
    """Return cells whose answer is known, at rest: crystals, and the layer that the literature finds."""
    phases = {phase.name: phase.cells[0] for phase in reference_phases(DEFAULT_ELEMENTS)}
    crystals = {name: phases[name] for name in ("Li6PS5Cl", "Li3PS4", "LiP", "Li3P", "Li2S")}
    return crystals | {"Li2S with 14 % P and 14 % Cl, antifluorite": antifluorite({"P": 0.14, "Cl": 0.14}, seed=SEED)}


def table() -> dict[str, dict[str, float]]:
    """Return what is said of each cell at 300 K; NaN where a cell has no such atoms."""
    basis = make_basis(DescriptionSettings())
    rng = np.random.default_rng(SEED)
    images = {name: [heated(atoms, 300.0, False, rng) for _ in range(SNAPSHOTS)] for name, atoms in cells().items()}
    return {name: _row(Frames.from_ase(own), basis) for name, own in images.items()}


def _row(frames: Frames, basis: Basis) -> dict[str, float]:
    found = describe_frames(frames, basis).environments
    roles = np.array([*(phase.role for phase in basis.phases), "none"])
    seen = roles[found.phase[found.central != 3]]
    shares = {
        role: float((seen == role).mean()) for role in (ELECTROLYTE, THIOPHOSPHATE, INTERMEDIATE, PRODUCT, "none")
    }
    bonds = bond_series(frames)
    return shares | {name: float(bonds[name].mean()) for name in ("ps4_fraction", "p_bond_order_state")}


def lines() -> Iterator[str]:
    """Yield the table as Markdown."""
    rows = table()
    yield f"| cell | {' | '.join(SHOWN.values())} |"
    yield f"| --- |{' ---: |' * len(SHOWN)}"
    for name, values in rows.items():
        shown = ("-" if np.isnan(values[key]) else f"{values[key]:.2f}" for key in SHOWN)
        yield f"| {name} | {' | '.join(shown)} |"


if __name__ == "__main__":
    print("\n".join(lines()))
