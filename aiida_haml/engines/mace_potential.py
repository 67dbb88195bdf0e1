"""The model files of a potential, checked and loaded."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ase.data import chemical_symbols

from aiida_haml.engines.mace_forces import MaceModel, ModelRefusedError, load_committee
from aiida_haml.engines.outcome import TaskError


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
