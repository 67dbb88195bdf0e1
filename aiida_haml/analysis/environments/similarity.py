"""Which reference phase an environment resembles, and which one it would be if it were not the electrolyte's.

Raw SOAP cosines are not used as answers: they are compressed (the wrong phase still scores 0.84), so only the
comparison of phases counts (`aiida_haml.analysis.environments.modes`).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from aiida_haml.analysis.environments.basis import Basis
from aiida_haml.analysis.environments.modes import Float32Array
from aiida_haml.analysis.references.phases import ELECTROLYTE, THIOPHOSPHATE

#: Index that stands for "none of these phases".
NONE = -1


@dataclass(frozen=True, eq=False)
class Similarity:
    """Answers for M environments.

    Attributes
    ----------
    phase : (M,) int array
        Index of the most probable phase, or `NONE`.
    reacted_phase : (M,) int array
        The same among all phases but the electrolyte and none: what the environment is, given that its atom is known to
        have reacted.
    thiophosphate : (M,) array
        Probability of a thiophosphate that is not the electrolyte.
    """

    phase: NDArray[np.int16]
    reacted_phase: NDArray[np.int16]
    thiophosphate: Float32Array


def similarity(basis: Basis, central: int, projected: Float32Array) -> Similarity:
    """Compare projected environments of one central species with the reference phases.

    Parameters
    ----------
    basis : Basis
    central : int
        Atomic number of the central species.
    projected : (M, C) array
    """
    logs = basis.species[central].modes.log_probabilities(projected)
    host = basis.having(ELECTROLYTE)
    other = logs.copy()
    other[:, :-1][:, host] = -np.inf
    probabilities = np.exp(logs[:, :-1])
    return Similarity(
        phase=_named(logs),
        reacted_phase=_named(other),
        thiophosphate=probabilities[:, basis.having(THIOPHOSPHATE)].sum(axis=1).astype(np.float32),
    )


def _named(logs: NDArray[np.floating]) -> NDArray[np.int16]:
    answer = logs.argmax(axis=1)
    return np.where(answer < logs.shape[1] - 1, answer, NONE).astype(np.int16)
