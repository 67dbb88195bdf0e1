"""Errors of a potential against labels, the deviation of a committee, and what that deviation is worth."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]

#: Share of the true errors that the calibrated deviation has to cover.
COVERAGE = 0.95
#: Index of the member of a committee whose forces drive the dynamics, and which tests score.
DRIVER = 0


def energy_rmse_per_atom(predicted: FloatArray, reference: FloatArray, n_atoms: NDArray[np.int64]) -> float:
    """Return the root mean square error of the energy per atom, with no offset removed.

    Parameters
    ----------
    predicted, reference : (F,) array
        Potential energies, eV.
    n_atoms : (F,) int array or int
        Number of atoms of each frame.

    Returns
    -------
    float
        eV / atom.
    """
    return _rms((_same(predicted, reference, "energies")) / np.asarray(n_atoms))


def force_rmse(predicted: FloatArray, reference: FloatArray) -> float:
    """Return the root mean square error over all force components (MACE's convention), eV / Angstrom.

    Parameters
    ----------
    predicted, reference : (..., 3) array
        eV / Angstrom.
    """
    return _rms(_same(predicted, reference, "forces"))


def force_mae(predicted: FloatArray, reference: FloatArray) -> float:
    """Return the mean absolute error over all force components, eV / Angstrom.

    Parameters
    ----------
    predicted, reference : (..., 3) array
        eV / Angstrom.
    """
    return float(np.abs(_same(predicted, reference, "forces")).mean())


def force_errors(predicted: FloatArray, reference: FloatArray) -> FloatArray:
    """Return the length of the error vector of each atom's force, shape (...), eV / Angstrom.

    Parameters
    ----------
    predicted, reference : (..., 3) array
        eV / Angstrom.
    """
    return np.asarray(np.linalg.norm(_same(predicted, reference, "forces"), axis=-1))


def force_max(predicted: FloatArray, reference: FloatArray) -> float:
    """Return the largest error vector of any atom's force, eV / Angstrom: one reacting site must count.

    Parameters
    ----------
    predicted, reference : (..., 3) array
        eV / Angstrom.
    """
    return float(force_errors(predicted, reference).max())


def force_deviation(member_forces: FloatArray) -> FloatArray:
    """Return the spread of a committee's forces about those of the member that drives, for each atom.

    The root of the mean, over the other members, of the squared length of their difference from the `DRIVER`. It is
    per atom on purpose: a mean over atoms hides the one site that reacts.

    Parameters
    ----------
    member_forces : (M, ..., 3) array
        Forces of each member, eV / Angstrom.

    Returns
    -------
    (...) array
        eV / Angstrom; zero for a committee of one, which knows nothing of its uncertainty.
    """
    others = np.delete(member_forces, DRIVER, axis=0)
    if not len(others):
        return np.zeros(np.shape(member_forces)[1:-1])
    squares = ((others - member_forces[DRIVER]) ** 2).sum(axis=-1)
    return np.asarray(np.sqrt(squares.mean(axis=0)))


@dataclass(frozen=True)
class Calibration:
    """How the deviation of a committee relates to the true error of its mean force.

    Attributes
    ----------
    alpha : float or None
        ``alpha * (deviation + offset)`` covers the true error of the share `coverage` of all atoms; None where
        the deviation says nothing (one member, or no atom).
    offset : float
        Error that no deviation tells of, in units of deviation, eV / Angstrom.
    coverage : float
    correlation : float or None
        Spearman's rank correlation of deviation and error: whether the atoms that deviate are those in error.
    n_atoms : int
        Number of atoms (over all frames) behind the figures; neighbouring frames are not independent.
    """

    alpha: float | None
    coverage: float
    correlation: float | None
    n_atoms: int
    offset: float = 0.0

    def to_dict(self) -> dict[str, Any]:
        """Return a plain dictionary."""
        return asdict(self)


def calibrate(
    deviations: FloatArray, errors: FloatArray, coverage: float = COVERAGE, offset: float = 0.0
) -> Calibration:
    """Find the factor by which a committee's deviation has to be multiplied to cover its true errors.

    The factor is the conformal quantile of error / (deviation + offset): the k-th smallest ratio of A with
    k = ceil((A + 1) coverage), which covers new exchangeable atoms with at least that probability.
    Source: Angelopoulos and Bates, arXiv:2107.07511, section 2.3.2. The offset keeps atoms on which few members
    agree by accident from deciding the factor.

    Parameters
    ----------
    deviations, errors : (A,) array
        Deviation of the committee and true error of its mean force for each atom, eV / Angstrom.
    coverage : float
        Between 0 and 1.
    offset : float
        Not negative, eV / Angstrom.

    Returns
    -------
    Calibration

    Raises
    ------
    ValueError
        If the shapes differ or a value is not finite.
    """
    deviations, errors = np.ravel(deviations), np.ravel(errors)
    if deviations.shape != errors.shape:
        raise ValueError(f"There are {len(deviations)} deviations for {len(errors)} errors; give one of each an atom.")
    if not (np.isfinite(deviations).all() and np.isfinite(errors).all()):
        raise ValueError("Deviations or errors hold NaN or infinite values; leave such frames out.")
    known = deviations + offset > 0
    n_atoms = len(errors)
    if n_atoms == 0 or not known.any():
        return Calibration(alpha=None, coverage=coverage, correlation=None, n_atoms=n_atoms)
    ratios = np.sort(errors[known] / (deviations[known] + offset))
    rank = min(int(np.ceil((len(ratios) + 1) * coverage)), len(ratios))
    return Calibration(
        alpha=float(ratios[rank - 1]),
        coverage=coverage,
        correlation=_rank_correlation(deviations, errors),
        n_atoms=n_atoms,
        offset=offset,
    )


def _rank_correlation(a: FloatArray, b: FloatArray) -> float | None:
    if len(a) < 2 or np.ptp(a) == 0 or np.ptp(b) == 0:
        return None
    rank_a, rank_b = (np.argsort(np.argsort(x)).astype(np.float64) for x in (a, b))
    return float(np.corrcoef(rank_a, rank_b)[0, 1])


def summarize(
    predicted_energies: FloatArray,
    energies: FloatArray,
    n_atoms: NDArray[np.int64],
    predicted_forces: FloatArray,
    forces: FloatArray,
) -> dict[str, Any]:
    """Return all errors over frames that may differ in their number of atoms.

    Parameters
    ----------
    predicted_energies, energies : (F,) array
        eV.
    n_atoms : (F,) int array
    predicted_forces, forces : (A, 3) array
        Of all atoms of all frames, eV / Angstrom.

    Returns
    -------
    dict
        ``n_frames``, ``energy_rmse_per_atom`` (eV / atom), ``force_rmse``, ``force_mae`` and ``force_max``
        (eV / Angstrom); the errors are None where there is no frame.
    """
    if len(energies) == 0:
        return {"n_frames": 0} | dict.fromkeys(("energy_rmse_per_atom", "force_rmse", "force_mae", "force_max"))
    return {
        "n_frames": len(energies),
        "energy_rmse_per_atom": energy_rmse_per_atom(predicted_energies, energies, n_atoms),
        "force_rmse": force_rmse(predicted_forces, forces),
        "force_mae": force_mae(predicted_forces, forces),
        "force_max": force_max(predicted_forces, forces),
    }


def _same(predicted: FloatArray, reference: FloatArray, name: str) -> FloatArray:
    predicted, reference = np.asarray(predicted), np.asarray(reference)
    if predicted.shape != reference.shape:
        raise ValueError(f"The predicted {name} have shape {predicted.shape}, the reference {reference.shape}.")
    if predicted.size == 0:
        raise ValueError(f"There are no {name} to compare; give at least one frame.")
    return np.asarray(predicted - reference)


def _rms(values: FloatArray) -> float:
    return float(np.sqrt(np.mean(np.square(values))))
