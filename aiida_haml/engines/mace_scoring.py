"""A committee of MACE models on labelled frames: what it predicts, how wrong it is, what its spread tells."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from ase.data import chemical_symbols

from aiida_haml.engines.mace_forces import Graph, MaceModel, ModelRefusedError, load_committee
from aiida_haml.engines.outcome import TaskError
from aiida_haml.frames import FloatArray, Frames
from aiida_haml.learning.errors import DRIVER, Calibration, calibrate, force_deviation, force_errors, summarize


@dataclass(frozen=True)
class Prediction:
    """What each member of a committee says about one run of frames.

    Attributes
    ----------
    energies : (M, F) array
        eV.
    forces : (M, F, N, 3) array
        eV / Angstrom.
    """

    energies: FloatArray
    forces: FloatArray

    def member(self, index: int) -> Prediction:
        """Return the prediction of one member as a committee of one."""
        return Prediction(self.energies[index : index + 1], self.forces[index : index + 1])

    def deviations(self) -> FloatArray:
        """Return the (F, N) per-atom deviation of the committee's forces, eV / Angstrom."""
        return force_deviation(self.forces)


def load_potential(folder: Path, sha256: Sequence[str], symbols: list[str]) -> list[MaceModel]:
    """Load ``member_0.model``, ... after checking each file's hash.

    Parameters
    ----------
    folder : path
    sha256 : sequence of str
        Hash of each member's file, from the potential's node.
    symbols : list of str
        Atoms which the models have to know.

    Raises
    ------
    TaskError
        Of kind ``model_refused``, if a file is missing, changed, no model, or a model of other elements.
    """
    try:
        return load_committee(folder, {f"member_{i}.model": wanted for i, wanted in enumerate(sha256)}, symbols)
    except ModelRefusedError as error:
        raise TaskError("model_refused", str(error)) from error


def elements_of(model: MaceModel) -> list[str]:
    """Return the chemical symbols a model knows, in alphabetical order."""
    numbers: Any = model.module.atomic_numbers
    return sorted(chemical_symbols[int(z)] for z in numbers)


def predict(models: Sequence[MaceModel], frames: Frames) -> Prediction:
    """Compute energies and forces of all frames with every model.

    Raises
    ------
    TaskError
        Of kind ``model_refused``, if the frames hold an element which a model does not know; of kind
        ``diverged``, if a number is NaN or infinite.
    """
    try:
        bound = [MaceModel(model.module, frames.symbols) for model in models]
    except ModelRefusedError as error:
        raise TaskError("model_refused", str(error)) from error
    shape = (len(models), len(frames))
    energies, forces = np.empty(shape), np.empty((*shape, frames.n_atoms, 3))
    cutoff = max(model.cutoff for model in bound)
    for f in range(len(frames)):
        graph = Graph.within(cutoff, frames.positions[f], frames.cells[f], frames.pbc)
        for m, model in enumerate(bound):
            evaluation = model.evaluate(graph)
            if not evaluation.is_finite:
                raise TaskError("diverged", f"Model {m} gives NaN or infinite energies or forces on frame {f}.")
            energies[m, f], forces[m, f] = evaluation.energy, evaluation.forces
    return Prediction(energies, forces)


def score(labels: Sequence[tuple[Frames, Prediction]]) -> dict[str, Any]:
    """Return the errors of the member that drives over several runs of labelled frames; see `summarize`.

    Parameters
    ----------
    labels : sequence of (Frames, Prediction)
        Runs may differ in their atoms.
    """
    if not labels:
        empty = np.empty(0)
        return summarize(empty, empty, np.empty(0, dtype=np.int64), np.empty((0, 3)), np.empty((0, 3)))
    return summarize(
        np.concatenate([p.energies[DRIVER] for _, p in labels]),
        np.concatenate([_energies(f) for f, _ in labels]),
        np.concatenate([np.full(len(f), f.n_atoms) for f, _ in labels]),
        np.concatenate([p.forces[DRIVER].reshape(-1, 3) for _, p in labels]),
        np.concatenate([_forces(f).reshape(-1, 3) for f, _ in labels]),
    )


def calibration(labels: Sequence[tuple[Frames, Prediction]]) -> Calibration:
    """Calibrate the committee's deviation against its true errors; see `calibrate`."""
    if not labels:
        return calibrate(np.empty(0), np.empty(0))
    errors = [force_errors(p.forces[DRIVER], _forces(f)).ravel() for f, p in labels]
    deviations = np.concatenate([p.deviations().ravel() for _, p in labels])
    return calibrate(deviations, np.concatenate(errors), offset=float(deviations.mean()))


def require_labels(frames: Mapping[str, Frames]) -> None:
    """Refuse frames without energies and forces.

    Raises
    ------
    ValueError
        Naming the frames' key.
    """
    for key, run in frames.items():
        if run.energies is None or run.forces is None:
            raise ValueError(f"The frames {key} hold no energies and forces; label them first.")


def _energies(frames: Frames) -> FloatArray:
    require_labels({"given": frames})
    return np.asarray(frames.energies)


def _forces(frames: Frames) -> FloatArray:
    require_labels({"given": frames})
    return np.asarray(frames.forces)
