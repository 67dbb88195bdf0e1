"""How thick the layer between electrolyte and metal is, from the phases along z."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from aiida_haml.analysis.references import ELECTROLYTE, METAL
from aiida_haml.frames import FloatArray


def layer_thickness(series: Mapping[str, np.ndarray]) -> FloatArray | None:
    """Return the thickness of the layer in each frame, (T,), Angstrom.

    Where the reaction is seen by phases, the layer is what is neither electrolyte nor lithium metal: of each slab
    along the third cell vector the share of its atoms, times the height of a slab. Where it is seen by broken
    molecules, which leave no crystal, it is the reacted fraction times the height that the electrolyte takes in
    the first frame.

    Parameters
    ----------
    series : mapping
        Joined: ``z_phase_counts`` (T, Z, P + 1), ``roles`` (P,), ``snapshot_cells`` (2, 3, 3), ``reacted_fraction``
        (T,), and ``reacted_by`` (1,), which is 'phase' where it is absent.

    Returns
    -------
    array, or None where the cell has no height or the arrays are missing.
    """
    if not {"z_phase_counts", "roles", "snapshot_cells"} <= set(series):
        return None
    height = _height(np.asarray(series["snapshot_cells"], dtype=float))
    if height is None:
        return None
    counts = np.asarray(series["z_phase_counts"], dtype=float)
    roles = np.append(np.asarray(series["roles"]).astype(str), "none")
    totals = counts.sum(axis=2)
    filled = np.maximum(totals, 1)
    slab = height / counts.shape[1]
    if str(series.get("reacted_by", ["phase"])[0]) == "phase":
        layer = counts[:, :, ~np.isin(roles, (ELECTROLYTE, METAL))].sum(axis=2)
        return np.asarray((layer / filled).sum(axis=1) * slab)
    metal = counts[0][:, roles == METAL].sum(axis=1)
    electrolyte = ((totals[0] > 0) & (2 * metal < totals[0])).sum() * slab
    return np.asarray(series["reacted_fraction"] * electrolyte)


def _height(cells: FloatArray) -> float | None:
    """Return the mean height of (F, 3, 3) cells over the plane of their first two vectors, Angstrom."""
    areas = np.linalg.norm(np.cross(cells[:, 0], cells[:, 1]), axis=1)
    volumes = np.abs(np.linalg.det(cells))
    return float((volumes / areas).mean()) if (areas > 1e-9).all() and (volumes > 1e-9).all() else None
