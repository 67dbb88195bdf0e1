"""Errors of a potential against labels, and the deviation of a committee."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from aiida_haml.arrays import FloatArray

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
