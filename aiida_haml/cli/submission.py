"""What is looked at before a screen is submitted: the specification, its codes, and what runs in a shell."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aiida_haml.cli.messages import Refusal, echo
from aiida_haml.cli.root import profile_name
from aiida_haml.cli.waiting import waiting

if TYPE_CHECKING:
    from aiida.orm import AbstractCode
    from ase import Atoms

    from aiida_haml.consent import ShellText
    from aiida_haml.spec import Problem, ScreenSpec


#: Processes that live at the same time: of a job in flight (preparing, its labels, their job); of a candidate, however
#: many may be in flight (two labels with their jobs); and above all.
_N_OF_A_JOB, _N_OF_A_CANDIDATE, _N_ABOVE = 3, 4, 4


@dataclass(frozen=True)
class Checked:
    """A specification that was checked whole.

    Parameters
    ----------
    spec : ScreenSpec
    settings : mapping
        The protocol's, with the overrides merged in.
    n_atoms : mapping
        Atoms of each cell, by the label of its structure.
    shell_texts : list of ShellText
        What a shell will run; `aiida_haml.cli.consent.need_consent` asks for it.
    """

    spec: ScreenSpec
    settings: Mapping[str, Any]
    n_atoms: Mapping[str, int]
    shell_texts: list[ShellText]


def load_checked(path: Path) -> Checked:
    """Read a specification and check it whole: fields, codes, schedulers, settings together, and every cell.

    Raises
    ------
    Refusal
        With everything that is wrong.
    """
    from aiida_haml.codes import what_runs
    from aiida_haml.scheduling import shell_texts
    from aiida_haml.spec import SpecError, load_spec
    from aiida_haml.spec.consistency import consistency_warnings
    from aiida_haml.workchains.protocols import level_of_theory

    try:
        spec = load_spec(path)
        codes, problems = _codes(spec)
        settings, more = _settings(spec, codes)
        problems += more
        if not problems:
            cells, problems = _cells(spec, settings)
        if problems:
            raise SpecError(str(path), problems)
    except SpecError as error:
        raise Refusal(str(error)) from error
    _check_starts(spec, codes)
    theory = level_of_theory(spec.level_name, spec.theory, spec.gaussians)["theory"]
    for warning in (*consistency_warnings(spec, settings, theory, cells), *_caching_warnings()):
        echo(f"! {warning}", err=True)
    runs = [*map(what_runs, codes.values()), *shell_texts(settings["options"], str(path))]
    return Checked(spec, settings, {label: len(cell) for label, cell in cells.items()}, runs)


def refuse_starvation(max_in_flight: int, n_candidates: int) -> None:
    """Refuse more candidates at a time than the daemon has slots for.

    A WorkChain keeps its slot while it waits for its jobs: with too few, each waits for a job that finds none.

    Parameters
    ----------
    max_in_flight : int
        Jobs at a time.
    n_candidates : int
        Of the screen; of a production run, its cut-outs.

    Raises
    ------
    Refusal
    """
    from aiida.engine.daemon.client import get_daemon_client
    from aiida.manage.configuration import get_config_option

    daemon, name = get_daemon_client(), profile_name()
    n_workers = (
        daemon.get_number_of_workers() if daemon.is_daemon_running else get_config_option("daemon.default_workers")
    )
    of_each = get_config_option("daemon.worker_process_slots")
    needed = min(_N_OF_A_JOB * max_in_flight, _N_OF_A_CANDIDATE * n_candidates) + _N_ABOVE
    if needed > n_workers * of_each:
        most = (n_workers * of_each - _N_ABOVE) // _N_OF_A_JOB
        raise Refusal(
            f"max_in_flight: {max_in_flight} at a time are up to {needed} processes here, but the daemon of "
            f"profile '{name}' has {n_workers * of_each} slots ({n_workers} x {of_each}): all would wait for ever. "
            f"Write {most} at most, start more workers with 'verdi -p {name} daemon incr', or raise the slots with "
            f"'verdi config set daemon.worker_process_slots {-(-needed // n_workers)}' and restart the daemon."
        )


def _caching_warnings() -> Iterator[str]:
    """Say that finished work would not be found: caching is set for each profile, and one that joined may lack it."""
    from aiida.manage.caching import get_use_cache

    from aiida_haml.queries.anatomy import KINDS

    if off := sorted({kind for process, kind in KINDS.items() if not get_use_cache(identifier=process)}):
        yield (
            f"caching of {', '.join(off)} is off in profile '{profile_name()}': what was computed before is not found, "
            "and is paid for again; 'aiida-haml setup' switches it on"
        )


def _settings(spec: ScreenSpec, codes: dict[str, Any]) -> tuple[dict[str, Any], list[Problem]]:
    """Return the protocol's settings with the overrides merged in, and what is wrong with them."""
    from aiida_haml.scheduling import option_problems
    from aiida_haml.spec import Problem
    from aiida_haml.spec.consistency import consistency_problems
    from aiida_haml.workchains.protocols import protocol_settings
    from aiida_haml.workchains.screen_settings import screen_settings

    settings: dict[str, Any] = {}
    known, lacking = _bases(spec)
    try:
        settings = protocol_settings(spec.protocol, spec.overrides)
        kinds = tuple(protocol_settings()["options"])
        problems = [*option_problems(settings["options"], kinds, _codes_of_jobs(spec, codes))]
        problems += consistency_problems(spec, settings, known)
        screen_settings(spec)
    except ValueError as error:
        reason, _, hint = str(error).partition("; ")
        remedy = hint[:1].upper() + hint[1:] or "See the protocol's file for the keys."
        problems = [Problem("overrides", "a setting", f"is refused: {reason}", remedy)]
    return settings, [*lacking, *problems]


def _bases(spec: ScreenSpec) -> tuple[dict[str, Collection[str] | None], list[Problem]]:
    """Return the elements that each level has a basis for, with the screen's own, and what is wrong there."""
    from aiida_haml.calculations.levels import elements_of_level
    from aiida_haml.spec import Problem
    from aiida_haml.workchains.protocols import bases, level_of_theory

    known: dict[str, Collection[str] | None] = {**bases()}
    if not spec.gaussians:
        return known, []
    try:
        known[spec.level_name] = elements_of_level(level_of_theory(spec.level_name, spec.theory, spec.gaussians))
    except ValueError as error:
        reason, _, hint = str(error).partition("; ")
        remedy = f"{hint[:1].upper()}{hint[1:]}" or "See the level's names of basis sets and pseudopotentials."
        return known, [Problem("level_of_theory", f"'{spec.level_name}'", f"is refused: {reason}", remedy)]
    return known, []


def _check_starts(spec: ScreenSpec, codes: Mapping[str, AbstractCode]) -> None:
    """Refuse a potential, a foundation or labels that do not go with the rest of the specification."""
    from aiida_haml.calculations.levels import theory_of
    from aiida_haml.workchains.protocols import engine_of_level, level_of_theory
    from aiida_haml.workchains.screen_settings import screen_settings, screen_starts

    if not (spec.potential or spec.foundation or spec.labels):
        return
    code = codes[engine_of_level(spec.level_name).role]
    try:
        screen_starts(
            spec, screen_settings(spec), theory_of(level_of_theory(spec.level_name, spec.theory, spec.gaussians)), code
        )
    except ValueError as error:
        raise Refusal(f"the specification is refused: {error}") from error


def _cells(spec: ScreenSpec, settings: Mapping[str, Any]) -> tuple[dict[str, Atoms], list[Problem]]:
    """Build every cell; return them by label, and what is wrong."""
    from aiida_haml.spec.consistency import build_cells

    with waiting("building the cells") as say:
        return build_cells(spec, settings["learning"]["r_max"], say)


def _codes(spec: ScreenSpec) -> tuple[dict[str, AbstractCode], list[Problem]]:
    """Return the codes that the screen needs, and what is wrong with them."""
    from aiida_haml.codes import find_code
    from aiida_haml.spec import Problem
    from aiida_haml.workchains.protocols import engine_of_level

    codes, problems = {}, []
    label_role = engine_of_level(spec.level_name).role
    for role, label in spec.codes.model_dump().items():
        if role == "cp2k" and role != label_role:
            continue
        try:
            codes[role] = find_code(role, label)
        except LookupError as error:
            reason, _, remedy = error.args[0].partition(". ")
            problems.append(Problem(f"codes.{role}", repr(label or "nothing"), reason, remedy))
            continue
        problems += _code_problems(role, codes[role])
    if label_role in codes:
        problems += _calculator_problems(spec, codes[label_role])
    return codes, problems


def _calculator_problems(spec: ScreenSpec, code: AbstractCode) -> Iterator[Problem]:
    """Look for a teacher's package, where haml-engine is this environment's own; of another's nothing is known here."""
    from aiida_haml.spec import Problem
    from aiida_haml.workchains.protocols import level_of_theory

    calculator = level_of_theory(spec.level_name, spec.theory, spec.gaussians)["theory"].get("calculator")
    program = Path(getattr(code, "filepath_executable", ""))
    if calculator is None or program.parent != Path(sys.executable).parent:
        return
    package = calculator.partition(":")[0].partition(".")[0]
    if importlib.util.find_spec(package) is None:
        extra = ": pip install 'aiida-haml[teachers]'" if package == "chgnet" else ""
        reason = f"asks for {calculator}, and the package {package} is not installed beside {program}"
        yield Problem("level_of_theory", f"'{spec.level_name}'", reason, f"Install {package} there{extra}.")


def _code_problems(role: str, code: AbstractCode) -> Iterator[Problem]:
    from aiida_haml.codes import not_configured, wrong_role
    from aiida_haml.spec import Problem

    for told in (not_configured(code), wrong_role(role, code)):
        if told:
            reason, _, remedy = told.partition(". ")
            yield Problem(f"codes.{role}", f"'{code.full_label}'", reason, remedy)


def _codes_of_jobs(spec: ScreenSpec, codes: dict[str, Any]) -> dict[str, Any]:
    """Return the code of each kind of job, of those that were found."""
    from aiida_haml.workchains.protocols import engine_of_level

    roles = {"label": engine_of_level(spec.level_name).role, "learn": "engine", "md": "lammps", "analysis": "engine"}
    return {kind: codes[role] for kind, role in roles.items() if role in codes}
