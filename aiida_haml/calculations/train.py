"""Training: from label nodes to a committee of MACE models."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aiida import orm
from aiida.engine import CalcJobProcessSpec

from aiida_haml.calculations.base import EngineCalculation, also
from aiida_haml.calculations.lammps import validate_potential
from aiida_haml.data.frames import FramesData
from aiida_haml.data.potential import PotentialData
from aiida_haml.learning.training import TrainingSettings

#: Fewest labelled frames that can be split: one to train on, one to validate on.
MIN_LABELS = 2


class TrainCalculation(EngineCalculation):
    """Train a committee on labels of one level of theory, from scratch or from an earlier committee."""

    TASK = "train"
    OUTPUTS = ("member_*.model",)

    @classmethod
    def define(cls, spec: Any) -> None:
        """Declare labels in, a potential and its errors out."""
        super().define(spec)
        spec.input_namespace(
            "labels",
            dynamic=True,
            valid_type=FramesData,
            help="Labelled frames. The split into train, valid and held_out follows from the ports' names.",
        )
        spec.input_namespace(
            "isolated_atoms",
            dynamic=True,
            valid_type=FramesData,
            validator=validate_isolated_atoms,
            help="One labelled atom for each element of the screen; the keys are chemical symbols.",
        )
        spec.input(
            "initial",
            valid_type=PotentialData,
            required=False,
            validator=validate_potential,
            help="Committee to start from.",
        )
        spec.input(
            "settings",
            valid_type=orm.Dict,
            validator=validate_settings,
            help="The fields of aiida_haml.learning.training.TrainingSettings.",
        )
        spec.output("potential", valid_type=PotentialData, required=False, help="The committee.")
        spec.output(
            "errors",
            valid_type=orm.Dict,
            required=False,
            help="Of the committee's mean on train, valid and held_out, of each member, and the split.",
        )
        spec.output("output_parameters", valid_type=orm.Dict, required=False, help="Times and versions.")
        spec.default_output_node = "output_parameters"
        # The validator of the whole has to go on checking code and computer.
        spec.inputs.validator = also(spec.inputs.validator, validate_inputs)
        _define_exit_codes(spec)

    def task(self) -> dict[str, Any]:
        """Return the settings and the hashes of the models to start from."""
        return {
            "settings": self.inputs.settings.get_dict(),
            "initial_sha256": self.inputs.initial.sha256 if "initial" in self.inputs else None,
        }

    def folders(self) -> dict[str, orm.Node]:
        """Return labels, isolated atoms and the models to start from."""
        folders: dict[str, orm.Node] = {f"inputs/labels/{key}": node for key, node in self.inputs.labels.items()}
        folders |= {f"inputs/isolated_atoms/{key}": node for key, node in self.inputs.isolated_atoms.items()}
        if "initial" in self.inputs:
            folders["inputs/initial"] = self.inputs.initial
        return folders


def _define_exit_codes(spec: CalcJobProcessSpec) -> None:
    spec.exit_code(310, "ERROR_TRAINING_FAILED", invalidates_cache=True, message="The training failed: {message}")
    spec.exit_code(320, "ERROR_MODEL_REFUSED", invalidates_cache=True, message="A model was refused: {message}")
    spec.exit_code(
        400,
        "ERROR_OUT_OF_WALLTIME",
        invalidates_cache=True,
        message="The wall time ended the training; the potential holds each member's best checkpoint so far.",
    )
    spec.exit_code(
        401,
        "ERROR_OUT_OF_WALLTIME_EMPTY",
        invalidates_cache=True,
        message="The wall time ended the training before there was anything to keep: {message}",
    )
    spec.exit_code(410, "ERROR_DIVERGED", message="The training diverged: {message}")


def validate_settings(node: orm.Dict | None, _: Any) -> str | None:
    """Refuse unknown settings and values out of range."""
    try:
        TrainingSettings.from_dict(node.get_dict() if node is not None else {})
    except ValueError as error:
        return str(error)
    return None


def validate_isolated_atoms(atoms: Mapping[str, FramesData] | None, _: Any) -> str | None:
    """Refuse what is not one atom of the element that its key names."""
    for symbol, node in (atoms or {}).items():
        if node.elements != [symbol] or node.n_atoms != 1:
            return (
                f"`isolated_atoms.{symbol}` holds {node.n_atoms} atoms of {', '.join(node.elements)}; it "
                f"has to be one {symbol} atom."
            )
    return None


def validate_inputs(inputs: Mapping[str, Any], _: Any) -> str | None:
    """Refuse labels that do not go together, and a start that does not fit them.

    Parameters
    ----------
    inputs : mapping
        Of the whole calculation; a workflow that exposes them may leave some out.
    """
    if any(name not in inputs for name in ("labels", "isolated_atoms", "settings")):
        return None
    settings = TrainingSettings.from_dict(inputs["settings"].get_dict())
    labels, atoms = inputs["labels"], inputs["isolated_atoms"]
    elements = sorted(settings.elements or atoms)
    fault = _fault_of_levels(labels, atoms) or _fault_of_elements(labels, atoms, elements)
    if fault or "initial" not in inputs:
        return fault
    level = next(iter(labels.values())).level_of_theory
    return _fault_of_initial(inputs["initial"], settings, elements, level)


def _fault_of_levels(labels: Mapping[str, FramesData], atoms: Mapping[str, FramesData]) -> str | None:
    n_frames = sum(len(node) for node in labels.values())
    if n_frames < MIN_LABELS:
        return f"`labels` holds {n_frames} frames; training and validation need at least {MIN_LABELS}."
    nodes = {f"labels.{k}": n for k, n in labels.items()} | {f"isolated_atoms.{k}": n for k, n in atoms.items()}
    levels: dict[str | None, str] = {}
    for name, node in nodes.items():
        if not node.has_labels:
            return f"`{name}` has no energies and forces of a known level of theory; label its frames first."
        levels.setdefault(node.level_of_theory, name)
    if len(levels) > 1:
        found = ", ".join(f"{level} (`{name}`)" for level, name in levels.items())
        return f"The labels come from several levels of theory, which are never mixed: {found}."
    return None


def _fault_of_elements(
    labels: Mapping[str, FramesData], atoms: Mapping[str, FramesData], elements: list[str]
) -> str | None:
    if missing := sorted(set(elements) - set(atoms)):
        return f"`isolated_atoms` lacks {', '.join(missing)}; give one for each of {', '.join(elements)}."
    for key, node in labels.items():
        if unknown := sorted(set(node.elements) - set(elements)):
            return (
                f"`labels.{key}` holds {', '.join(unknown)}, which is not among the elements to be learned "
                f"({', '.join(elements)}); add it to `elements` and `isolated_atoms`."
            )
    return None


def _fault_of_initial(
    initial: PotentialData, settings: TrainingSettings, elements: list[str], level: str | None
) -> str | None:
    if initial.n_members < settings.n_committee:
        return (
            f"`n_committee` is {settings.n_committee}, and `initial` has {initial.n_members} members; ask "
            "for as many, or train without it."
        )
    if initial.level_of_theory not in (None, level):
        return (
            f"`initial` was trained at the level of theory {initial.level_of_theory}, and the labels have "
            f"{level}; train without it."
        )
    if initial.elements != elements or initial.cutoff != settings.r_max:
        return (
            f"`initial` knows {', '.join(initial.elements)} within {initial.cutoff:g} Å, and the settings "
            f"ask for {', '.join(elements)} within {settings.r_max:g} Å; use the same, or train without it."
        )
    return None
