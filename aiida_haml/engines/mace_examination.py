"""A committee examined on labels: the errors of the member that drives, and the others' deviation from it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from ase.data import chemical_symbols

from aiida_haml.arrays import FloatArray
from aiida_haml.engines.mace_batches import Prediction, predict
from aiida_haml.frames import Frames
from aiida_haml.learning.comparison import Group, frame_score, group_scores, total
from aiida_haml.learning.errors import DRIVER, force_deviation, force_errors, summarize
from aiida_haml.learning.learner import LearnerSettings


@dataclass(frozen=True)
class Examined:
    """Labelled frames and what a committee says of them."""

    frames: Frames
    prediction: Prediction

    @property
    def forces(self) -> FloatArray:
        """(F, N, 3) of the driver, eV / Angstrom."""
        return self.prediction.forces[DRIVER]

    @property
    def errors(self) -> FloatArray:
        """(F, N) length of the error of the driver's force, eV / Angstrom."""
        return force_errors(self.forces, np.asarray(self.frames.forces))

    @property
    def deviations(self) -> FloatArray:
        """(F, N) root mean square distance of the other members' forces from the driver's, eV / Angstrom."""
        return force_deviation(self.prediction.forces)

    @property
    def energy_errors(self) -> FloatArray:
        """(F,) of the driver, eV."""
        return np.asarray(self.prediction.energies[DRIVER] - np.asarray(self.frames.energies))

    def arrays(self) -> dict[str, FloatArray]:
        """Return what a test of the potential stores of these frames."""
        squares = np.square(self.forces - np.asarray(self.frames.forces)).mean(axis=(1, 2))
        return {
            "errors": self.errors,
            "deviations": self.deviations,
            "energy_errors": self.energy_errors,
            "force_rmse": np.sqrt(squares),
        }


def examine(modules: Sequence[Any], runs: Iterable[Frames]) -> list[Examined]:
    """Return what a committee says of each run of labelled frames."""
    return [Examined(run, predict(modules, run)) for run in runs]


def save_tests(folder: Path, tests: Mapping[str, Examined]) -> None:
    """Write what was found of each run of labelled frames as ``NAME__WHAT.npy``."""
    folder.mkdir(exist_ok=True)
    for name, test in tests.items():
        for what, array in test.arrays().items():
            np.save(folder / f"{name}__{what}.npy", array)


def scores(examined: Sequence[Examined], groups: Sequence[Group], settings: LearnerSettings) -> dict[Group, float]:
    """Return the error of each group of single frames, forces and energies weighted as in the loss, eV / Angstrom."""
    share = settings.energy_weight / settings.forces_weight
    squares = [
        frame_score(
            one.forces[0],
            np.asarray(one.frames.forces)[0],
            float(one.energy_errors[0]) / one.frames.n_atoms,
            settings.large_force,
            share,
        )
        for one in examined
    ]
    return group_scores(groups, squares)


def report(examined: Sequence[Examined]) -> dict[str, Any]:
    """Return the driver's errors over all frames, and of each element its force error (root mean square)."""
    if not examined:
        nothing = np.empty(0)
        return summarize(nothing, nothing, nothing.astype(int), np.empty((0, 3)), np.empty((0, 3))) | {"elements": {}}
    predicted = np.concatenate([one.forces.reshape(-1, 3) for one in examined])
    reference = np.concatenate([np.asarray(one.frames.forces).reshape(-1, 3) for one in examined])
    numbers = np.concatenate([np.tile(one.frames.numbers, len(one.frames)) for one in examined])
    squares = np.square(predicted - reference).mean(axis=1)
    elements = {chemical_symbols[z]: float(np.sqrt(squares[numbers == z].mean())) for z in np.unique(numbers).tolist()}
    errors = summarize(
        np.concatenate([one.prediction.energies[DRIVER] for one in examined]),
        np.concatenate([np.asarray(one.frames.energies) for one in examined]),
        np.concatenate([np.full(len(one.frames), one.frames.n_atoms) for one in examined]),
        predicted,
        reference,
    )
    return errors | {"elements": elements}


def report_by_candidate(
    examined: Sequence[Examined], groups: Sequence[Group], found: dict[Group, float]
) -> dict[str, Any]:
    """Return `report` of each candidate, with its score."""
    reports = {}
    for candidate in sorted({group.candidate for group in groups}):
        own = [one for one, group in zip(examined, groups, strict=True) if group.candidate == candidate]
        score = total({group: value for group, value in found.items() if group.candidate == candidate})
        reports[candidate] = report(own) | {"score": score}
    return reports
