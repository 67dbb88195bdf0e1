"""Which ASE calculators may be teachers: to import a module is to run it, and a specification comes from anywhere.

Trusted are a few modules that only compute, and those that the person whose account it is lists, one a line, in
``~/.config/aiida-haml/trusted_calculators`` (or the file that HAML_TRUSTED_CALCULATORS names): on the machine from
where jobs are submitted, which refuses others before anything is stored, and on the machine where they run, which
trusts nobody's word for it. ``*`` stands for any letters but a dot, ``#`` begins a comment.
"""

from __future__ import annotations

import importlib
import os
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ase.calculators.calculator import Calculator

#: Modules whose calculators neither read files, nor write them, nor start programs.
BUILT_IN = (
    "aiida_haml.engines.toy_*",
    "ase.calculators.emt",
    "ase.calculators.lj",
    "ase.calculators.morse",
    "chgnet.model.dynamics",
)
VARIABLE = "HAML_TRUSTED_CALCULATORS"


def trust_file() -> Path:
    """Return where this account lists the modules that it trusts besides."""
    config = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
    return Path(os.environ.get(VARIABLE) or config / "aiida-haml" / "trusted_calculators")


def is_trusted(module: str) -> bool:
    """Return whether calculators of a module may be loaded on this account."""
    try:
        lines = trust_file().read_text().splitlines()
    except OSError:
        lines = []
    own = [line.partition("#")[0].strip() for line in lines]
    return any(_matches(module.split("."), pattern.split(".")) for pattern in (*BUILT_IN, *own))


def _matches(names: list[str], patterns: list[str]) -> bool:
    return len(names) == len(patterns) and all(map(fnmatchcase, names, patterns))


def complaint(path: Any) -> str | None:
    """Return why a teacher ``module:Class`` is refused unseen, or None; nothing is imported."""
    module, _, name = path.partition(":") if isinstance(path, str) else ("", "", "")
    if not (all(part.isidentifier() for part in module.split(".")) and name.isidentifier()):
        return f"The `calculator` {path!r} has to be `module:Class`, such as `ase.calculators.emt:EMT`."
    if not is_trusted(module):
        return (
            f"The `calculator` {path!r} is not loaded, as loading it runs code of the module {module}; if you know "
            f"what that does, add the line `{module}` to {trust_file()} here and on the computing machine."
        )
    return None


def load_calculator(path: str, parameters: dict[str, Any]) -> Calculator:
    """Return the calculator named ``module:Class``.

    Raises
    ------
    ValueError
        If its module is not trusted, it cannot be imported or made, or is no calculator of ASE.
    """
    if refusal := complaint(path):
        raise ValueError(refusal)
    from ase.calculators.calculator import Calculator

    module, _, name = path.partition(":")
    try:
        found = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise ValueError(f"The teacher {path!r} cannot be loaded: {error}.") from error
    # A trusted module has foreign names too: whatever it imports.
    if not (isinstance(found, type) and issubclass(found, Calculator) and is_trusted(found.__module__)):
        raise ValueError(f"The teacher {path!r} is no ASE calculator of a trusted module.")
    try:
        return found(**parameters)
    except Exception as error:  # somebody else's constructor may raise anything
        raise ValueError(f"The teacher {path!r} cannot be made: {error}.") from error
