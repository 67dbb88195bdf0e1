"""What is looked at before a screen is submitted: the specification, its codes, and what runs in a shell."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aiida_haml.cli.messages import Refusal

if TYPE_CHECKING:
    from aiida.orm import AbstractCode

    from aiida_haml.consent import ShellText
    from aiida_haml.spec import Problem, ScreenSpec


def load_checked(path: Path) -> tuple[ScreenSpec, list[ShellText]]:
    """Read a specification and check it whole.

    Returns
    -------
    spec : ScreenSpec
    texts : list of ShellText
        What a shell will run; `aiida_haml.cli.consent.need_consent` asks for it.

    Raises
    ------
    Refusal
        With everything that is wrong.
    """
    from aiida_haml.codes import what_runs
    from aiida_haml.scheduling import option_problems, shell_texts
    from aiida_haml.spec import SpecError, load_spec
    from aiida_haml.workchains.protocols import protocol_settings
    from aiida_haml.workchains.screen import screen_settings

    try:
        spec = load_spec(path)
        codes, problems = _codes(spec)
        kinds = tuple(protocol_settings()["options"])
        options = protocol_settings(spec.protocol, spec.overrides)["options"]
        problems += option_problems(options, kinds, _codes_of_jobs(spec, codes))
        if problems:
            raise SpecError(str(path), problems)
        screen_settings(spec)
    except SpecError as error:
        raise Refusal(str(error)) from error
    except ValueError as error:
        raise Refusal(f"{path}: overrides or weights are refused: {error}") from error
    return spec, [*map(what_runs, codes.values()), *shell_texts(options, str(path))]


def _codes(spec: ScreenSpec) -> tuple[dict[str, AbstractCode], list[Problem]]:
    """Return the codes that the screen needs, and what is wrong with them."""
    from aiida_haml.codes import find_code
    from aiida_haml.spec import Problem

    codes, problems = {}, []
    for role, label in spec.codes.model_dump().items():
        if role == "cp2k" and spec.level_name == "teacher":
            continue
        try:
            codes[role] = find_code(role, label)
        except LookupError as error:
            reason, _, remedy = error.args[0].partition(". ")
            problems.append(Problem(f"codes.{role}", repr(label or "nothing"), reason, remedy))
            continue
        problems += _code_problems(role, codes[role])
    return codes, problems


def _code_problems(role: str, code: AbstractCode) -> Iterator[Problem]:
    from aiida_haml.codes import not_configured, wrong_role
    from aiida_haml.spec import Problem

    for told in (not_configured(code), wrong_role(role, code)):
        if told:
            reason, _, remedy = told.partition(". ")
            yield Problem(f"codes.{role}", f"'{code.full_label}'", reason, remedy)


def _codes_of_jobs(spec: ScreenSpec, codes: dict[str, Any]) -> dict[str, Any]:
    """Return the code of each kind of job, of those that were found."""
    label = "engine" if spec.level_name == "teacher" else "cp2k"
    roles = {"label": label, "train": "engine", "md": "lammps", "analysis": "engine"}
    return {kind: codes[role] for kind, role in roles.items() if role in codes}
