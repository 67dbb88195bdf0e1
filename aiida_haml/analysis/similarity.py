"""Which reference phase an environment resembles, and by what margin.

Distances are taken in the projected space between environments of the same central species, to the nearest of
a phase's thermally disordered reference environments, in units of the phase's thermal radius. Raw SOAP
cosines are not used as answers: they are compressed (the wrong phase still scores 0.84), so only the
comparison of phases counts.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from aiida_haml.analysis.basis import Basis, Float32Array, SpeciesBasis
from aiida_haml.analysis.references import ELECTROLYTE, PRODUCT

#: Index that stands for "none of these phases".
NONE = -1


@dataclass(frozen=True, eq=False)
class Similarity:
    """Answers for M environments.

    Attributes
    ----------
    phase : (M,) int array
        Index in `Basis.phases`, or `NONE` where all phases are far.
    margin : (M,) array
        1 - (distance to the nearest phase) / (distance to the next), between 0 and 1; 1 where only one phase
        holds this species. NaN where no phase does.
    product : (M,) array
        Where the environment lies between the electrolyte (0) and the nearest product (1); NaN where no phase
        of either kind holds the species.
    """

    phase: NDArray[np.int64]
    margin: Float32Array
    product: Float32Array


def phase_distances(species: SpeciesBasis, projected: Float32Array, n_phases: int) -> Float32Array:
    """Return (M, P) distances to the phases in thermal radii, infinite for phases without this species."""
    distances = np.full((len(projected), n_phases), np.inf, dtype=np.float32)
    if not len(species.points):
        return distances
    held, starts = np.unique(species.phase, return_index=True)  # points lie in the order of their phases
    squared = projected @ (-2 * species.points.T)
    squared += (species.points**2).sum(axis=1)
    nearest = np.minimum.reduceat(squared, starts, axis=1) + (projected**2).sum(axis=1)[:, None]
    distances[:, held] = np.sqrt(nearest.clip(0)) / species.radii[held]
    return distances


def similarity(basis: Basis, central: int, projected: Float32Array) -> Similarity:
    """Compare projected environments of one central species with the reference phases.

    Parameters
    ----------
    basis : Basis
    central : int
        Atomic number of the central species.
    projected : (M, C) array
    """
    distances = phase_distances(basis.species[central], projected, len(basis.phases))
    if not len(basis.phases):
        nothing = np.full(len(projected), np.nan, dtype=np.float32)
        return Similarity(np.full(len(projected), NONE), nothing, nothing)
    ordered = np.sort(np.column_stack([distances, np.full(len(distances), np.inf)]), axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        margin = 1 - ordered[:, 0] / ordered[:, 1]
    phase = np.where(ordered[:, 0] <= basis.settings.none_threshold, distances.argmin(axis=1), NONE)
    return Similarity(phase, margin.astype(np.float32), _product_score(basis, distances))


def _product_score(basis: Basis, distances: Float32Array) -> Float32Array:
    def nearest(role: str) -> Float32Array:
        chosen = [i for i, r in enumerate(basis.roles) if r == role]
        return distances[:, chosen].min(axis=1, initial=np.inf)

    host, product = nearest(ELECTROLYTE), nearest(PRODUCT)
    with np.errstate(invalid="ignore", divide="ignore"):
        score = np.where(np.isinf(host), 1.0, host / (host + product))
    score[np.isinf(host) & np.isinf(product)] = np.nan
    return score.astype(np.float32)
