"""One round's learning: the champion tested on new labels, a challenger trained where needed, the better one kept."""

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
from aiida import orm
from aiida.common.datastructures import CalcInfo
from aiida.common.folders import Folder
from aiida.engine import CalcJobProcessSpec

from aiida_haml.calculations.base import (
    EngineCalculation,
    also,
    failures_are_no_cache,
    settings_validator,
    validate_potential,
)
from aiida_haml.data.frames import FramesData
from aiida_haml.data.pool import LabelPoolData
from aiida_haml.data.potential import PotentialData
from aiida_haml.frames import Frames
from aiida_haml.learning.learner import LearnerSettings
from aiida_haml.learning.lesson import Lesson, prepare
from aiida_haml.learning.runs import save_runs

#: Files of frames that the job is given; they hold what nodes hold already, and are not kept with the calculation.
_RUNS = ("labels.npz", "tests.npz", "starts.npz")


class LearnCalculation(EngineCalculation):
    """Test, train, compare and gate: everything that a round has to ask of potentials, in one job."""

    TASK = "learn"
    OUTPUTS = ("member_*.model", "tests/*.npy", "hot.npz")
    CACHE_VERSION = 6

    @classmethod
    def define(cls, spec: Any) -> None:
        """Declare the pool and the champion in; tests, the verdict and perhaps a potential out."""
        super().define(spec)
        spec.input("pool", valid_type=LabelPoolData, help="All labels so far, those of this round among them.")
        spec.input(
            "champion",
            valid_type=PotentialData,
            required=False,
            validator=validate_potential,
            help="The committee in use.",
        )
        spec.input(
            "foundation",
            valid_type=PotentialData,
            required=False,
            validator=validate_potential,
            help="Models taught elsewhere, of these elements and perhaps more, that a first training starts from.",
        )
        for name, text in (
            ("tests", "Labels of this round, which the champion has not seen: it is scored on them."),
            ("starts", "Frames from whose last one a candidate would go on: a challenger has to survive there."),
        ):
            spec.input_namespace(name, dynamic=True, required=False, valid_type=FramesData, help=text)
        spec.input_namespace(
            "isolated_atoms",
            dynamic=True,
            valid_type=FramesData,
            validator=validate_isolated_atoms,
            help="One labelled atom for each element that the models are to know; the keys are chemical symbols.",
        )
        spec.input(
            "settings",
            valid_type=orm.Dict,
            validator=settings_validator(LearnerSettings),
            help="The fields of aiida_haml.learning.learner.LearnerSettings.",
        )
        spec.output(
            "potential",
            valid_type=PotentialData,
            required=False,
            help="The new champion; there is none where the old one stays.",
        )
        spec.output(
            "tests",
            valid_type=orm.ArrayData,
            required=False,
            help="Of each test `KEY__errors` and `KEY__deviations` (F, N), `KEY__force_rmse` (F), eV/Å, and "
            "`KEY__energy_errors` (F), eV: errors of the member that drives.",
        )
        spec.output(
            "errors",
            valid_type=orm.Dict,
            required=False,
            help="Champion and challenger on unseen labels, verdict, gate, and the labels learned from.",
        )
        spec.output_namespace(
            "hot",
            dynamic=True,
            required=False,
            valid_type=FramesData,
            help="By start, frames of hot runs that are worth a label: those that led a challenger out of one, and "
            "those of an exploration.",
        )
        spec.output("output_parameters", valid_type=orm.Dict, required=False, help="Times and versions.")
        spec.default_output_node = "output_parameters"
        # The validator of the whole has to go on checking code and computer.
        spec.inputs.validator = also(spec.inputs.validator, validate_inputs)
        _define_exit_codes(spec)
        failures_are_no_cache(spec)

    @classmethod
    def is_valid_cache(cls, node: orm.ProcessNode) -> bool:
        """Whether a training may answer for another: not if the models that it would hand on may not be loaded.

        One that came with an archive would be adopted without being trusted, and the next stretch refuse its potential.
        """
        taught = node.outputs.potential if "potential" in node.outputs else None
        return bool(super().is_valid_cache(node)) and (taught is None or taught.is_trusted)

    def task(self) -> dict[str, Any]:
        """Return the settings, the labels that take part, the champion's hashes, the energies of isolated atoms."""
        return {
            "entries": _entries(*self._lesson()),
            "settings": self.inputs.settings.get_dict(),
            "isolated_atoms": {s: float(n.get_array("energies")[-1]) for s, n in self.inputs.isolated_atoms.items()},
        } | {f"{name}_sha256": node.sha256 for name, node in self.folders().items()}

    def folders(self) -> dict[str, orm.Node]:
        """Return the models of the champion or, where there is none yet, of the foundation."""
        given = [name for name in ("champion", "foundation") if name in self.inputs][:1]
        return {name: self.inputs[name] for name in given}

    def prepare_for_submission(self, folder: Folder) -> CalcInfo:
        """Write the frames that take part, and the task, which names them."""
        tests = {name: node.frames for name, node in self.inputs.get("tests", {}).items()}
        starts = {name: node.read(-1) for name, node in self.inputs.get("starts", {}).items()}
        for name, content in zip(_RUNS, (_runs(self.inputs.pool, self._lesson()[0]), tests, starts), strict=True):
            with folder.open(name, "wb") as handle:
                save_runs(handle, content)
        calcinfo = super().prepare_for_submission(folder)
        calcinfo.provenance_exclude_list = list(_RUNS)
        return calcinfo

    def _lesson(self) -> tuple[Lesson, int]:
        """Return the labels that take part, and how many rounds the champion knows."""
        settings = LearnerSettings.from_dict(self.inputs.settings.get_dict())
        pool = self.inputs.pool
        known = pool.rounds_up_to(self.inputs.champion.pool) if "champion" in self.inputs else 0
        sizes = (settings.n_replay, settings.n_examined)
        return prepare(pool.entries(), known, *sizes, settings.force_cap, settings.seed), known


def _rows(lesson: Lesson) -> dict[str, list[int]]:
    """Return the frames that take part of each source, in ascending order."""
    chosen: dict[str, list[int]] = {}
    for entry in lesson.entries:
        chosen.setdefault(entry.source, []).append(entry.frame)
    return {source: sorted(frames) for source, frames in sorted(chosen.items())}


def _runs(pool: LabelPoolData, lesson: Lesson) -> dict[str, Frames]:
    """Return the frames that take part, one run for each node they lie in."""
    nodes = pool.frames(lesson.entries)
    wanted = _rows(lesson).items()
    return {s: nodes[s].read(slice(None), more=("energies", "forces"))[np.array(frames)] for s, frames in wanted}


def _entries(lesson: Lesson, known_rounds: int) -> list[dict[str, Any]]:
    """Return what the engine has to know of each label that takes part."""
    rows = {(source, frame): i for source, frames in _rows(lesson).items() for i, frame in enumerate(frames)}
    return [
        {
            "key": entry.key,
            "source": entry.source,
            "row": rows[entry.source, entry.frame],
            "part": entry.part,
            "candidate": entry.candidate,
            "new": entry.round >= known_rounds,
        }
        for entry in lesson.entries
    ]


def _define_exit_codes(spec: CalcJobProcessSpec) -> None:
    spec.exit_code(310, "ERROR_TRAINING_FAILED", message="The training failed: {message}")
    spec.exit_code(320, "ERROR_MODEL_REFUSED", message="A model was refused: {message}")
    spec.exit_code(330, "ERROR_OUT_OF_MEMORY", message="The GPU is too small: {message}")
    spec.exit_code(
        400,
        "ERROR_OUT_OF_WALLTIME",
        message="The wall time ended the training; what each member had learned was compared and kept.",
    )
    spec.exit_code(
        401,
        "ERROR_OUT_OF_WALLTIME_EMPTY",
        message="The wall time ended the training before there was anything to keep: {message}",
    )
    spec.exit_code(410, "ERROR_DIVERGED", message="The training diverged: {message}")


def validate_isolated_atoms(atoms: Mapping[str, FramesData] | None, _: Any) -> str | None:
    """Refuse what is not one labelled atom of the element that its key names."""
    for symbol, node in (atoms or {}).items():
        if node.elements != [symbol] or node.n_atoms != 1:
            return (
                f"`isolated_atoms.{symbol}` holds {node.n_atoms} atoms of {', '.join(node.elements)}; it has to be "
                f"one {symbol} atom."
            )
        if not node.has_labels:
            return f"`isolated_atoms.{symbol}` has no energy of a known level of theory; label it first."
    return None


def validate_inputs(inputs: Mapping[str, Any], _: Any) -> str | None:
    """Refuse labels, atoms and a champion that do not go together.

    Parameters
    ----------
    inputs : mapping
        Of the whole calculation; a workflow that exposes them may leave some out.
    """
    if any(name not in inputs for name in ("pool", "isolated_atoms", "settings")):
        return None
    settings = LearnerSettings.from_dict(inputs["settings"].get_dict())
    elements = sorted(settings.elements or inputs["isolated_atoms"])
    return _fault_of_levels(inputs) or _fault_of_elements(inputs, elements)


def _fault_of_levels(inputs: Mapping[str, Any]) -> str | None:
    level = inputs["pool"].level_of_theory
    for port in ("isolated_atoms", "tests"):
        for name, node in inputs.get(port, {}).items():
            if not node.has_labels or node.level_of_theory != level:
                return (
                    f"`{port}.{name}` has labels of the level of theory {node.level_of_theory}, and the pool of "
                    f"{level}; levels are never mixed."
                )
    champion = inputs.get("champion")
    if champion is not None and champion.level_of_theory not in (None, level):
        return (
            f"`champion` was trained at the level of theory {champion.level_of_theory}, and the pool has {level}; "
            "train without it."
        )
    return None


def _fault_of_elements(inputs: Mapping[str, Any], elements: list[str]) -> str | None:
    if missing := sorted(set(elements) - set(inputs["isolated_atoms"])):
        return f"`isolated_atoms` lacks {', '.join(missing)}; give one for each of {', '.join(elements)}."
    if unknown := sorted(set(inputs["pool"].elements) - set(elements)):
        return (
            f"`pool` holds {', '.join(unknown)}, which is not among the elements to be learned ({', '.join(elements)})."
        )
    champion = inputs.get("champion")
    if champion is not None and champion.elements != elements:
        return (
            f"`champion` knows {', '.join(champion.elements)}, and {', '.join(elements)} are to be learned; use the "
            "same, or train without it."
        )
    return ignorance_of("foundation", inputs.get("foundation"), elements)


def ignorance_of(port: str, models: PotentialData | None, elements: Collection[str]) -> str | None:
    """Say which of the elements the models of a port lack; they may know more."""
    if models is None or not (unknown := sorted(set(elements) - set(models.elements))):
        return None
    return f"`{port}` does not know {', '.join(unknown)}; it knows {', '.join(models.elements)}."
