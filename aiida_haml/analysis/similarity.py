"""Which reference phase an environment resembles, how surely, and by what margin.

Distances and probabilities are those of `aiida_haml.analysis.basis`, between environments of the same central
species. Raw SOAP cosines are not used as answers: they are compressed (the wrong phase still scores 0.84), so
only the comparison of phases counts.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from aiida_haml.analysis.basis import Basis, Float32Array
from aiida_haml.analysis.references import ELECTROLYTE, PRODUCT

#: Index that stands for "none of these phases".
NONE = -1


@dataclass(frozen=True, eq=False)
class Similarity:
    """Answers for M environments.

    Attributes
    ----------
    phase : (M,) int array
        Index of the most probable phase in `Basis.phases`, or `NONE`.
    margin : (M,) array
        1 - (distance to the nearest phase) / (distance to the next), between 0 and 1; 1 where only one phase
        holds this species. NaN where no phase does.
    product : (M,) array
        Where the environment lies between the electrolyte (0) and the nearest product (1): the square of the
        distance to the electrolyte over the sum of the squares of both; NaN where no phase of either kind holds
        the species.
    probability : (M,) array
        Of the answer, be it a phase or none.
    probabilities : (M, P + 1) array
        Of each phase and, in the last column, of none of them; calibrated for phases and none that are equally
        frequent.
    """

    phase: NDArray[np.int64]
    margin: Float32Array
    product: Float32Array
    probability: Float32Array
    probabilities: Float32Array


def similarity(basis: Basis, central: int, projected: Float32Array) -> Similarity:
    """Compare projected environments of one central species with the reference phases.

    Parameters
    ----------
    basis : Basis
    central : int
        Atomic number of the central species.
    projected : (M, C) array
    """
    modes = basis.species[central].modes
    distances = modes.distances(projected)
    probabilities = np.exp(modes.log_probabilities(distances)).astype(np.float32)
    answer = probabilities.argmax(axis=1)
    return Similarity(
        phase=np.where(answer < len(basis.phases), answer, NONE),
        margin=_margin(distances),
        product=_product_score(basis, distances),
        probability=probabilities[np.arange(len(answer)), answer],
        probabilities=probabilities,
    )


def _margin(distances: Float32Array) -> Float32Array:
    if not distances.shape[1]:
        return np.full(len(distances), np.nan, dtype=np.float32)
    padded = np.concatenate([distances, np.full((len(distances), 1), np.inf, dtype=np.float32)], axis=1)
    nearest = np.partition(padded, 1, axis=1)[:, :2]
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(1 - nearest[:, 0] / nearest[:, 1], dtype=np.float32)


def _product_score(basis: Basis, distances: Float32Array) -> Float32Array:
    def nearest(role: str) -> Float32Array:
        chosen = [i for i, r in enumerate(basis.roles) if r == role]
        return distances[:, chosen].min(axis=1, initial=np.inf)

    host, product = nearest(ELECTROLYTE), nearest(PRODUCT)
    with np.errstate(invalid="ignore", divide="ignore"):
        score = np.where(np.isinf(host), 1.0, host**2 / (host**2 + product**2))
    score[np.isinf(host) & np.isinf(product)] = np.nan
    return score.astype(np.float32)
