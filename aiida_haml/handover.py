"""What a screen hands to one that goes on with it: what of that runs something, and what is not to be gone on with.

A screen may be another person's, or have come with an archive. Its codes and scheduler options end up in scripts, its
settings on command lines, its level of theory in the input of a program. A specification is checked before a screen is
made of it; here a screen is checked that is there already.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from aiida import orm
from aiida.common.links import LinkType

from aiida_haml.calculations.label_engines import label_engines
from aiida_haml.codes import not_configured, what_runs
from aiida_haml.consent import ShellText
from aiida_haml.engines.calculators import complaint
from aiida_haml.queries.anatomy import SCREEN
from aiida_haml.scheduling import OF_THE_JOBS, option_problems, shell_texts
from aiida_haml.spec.cp2k_keywords import check_harmless
from aiida_haml.spec.problems import Problem, SpecError
from aiida_haml.structures.errors import StructureError

#: Namespaces of a screen's inputs that hold what a user says of one kind of job; a hybrid run has no analysis.
KINDS = ("label", "md", "learn", "analysis")
#: Names of elements, basis sets and pseudopotentials, which are written into CP2K's input as they are.
_NAME = re.compile(r"[\w.+-]+", re.ASCII)
_LEVEL = "label.job.level"


def given_options(process: orm.WorkChainNode) -> dict[str, dict[str, Any]]:
    """Return the scheduler options that a screen or hybrid run was given, by kind of job.

    Those that belong to the jobs themselves are left out, as in a specification.
    """
    metadata = process.get_metadata_inputs() or {}
    found = {}
    for kind in KINDS:
        given = metadata.get(kind, {}).get("job", {}).get("metadata", {}).get("options", {})
        found[kind] = {name: value for name, value in given.items() if name not in OF_THE_JOBS}
    return found


def handed_texts(process: orm.WorkChainNode) -> list[ShellText]:
    """Return what of a screen's inputs a shell runs or a program is told: codes, options and settings of its jobs."""
    source, jobs = _called(process), _jobs(process)
    codes = {node.pk: node for node in _codes(jobs).values()}
    options = {kind: given for kind, given in given_options(process).items() if kind in jobs}
    texts = [*map(what_runs, codes.values()), *shell_texts(options, source)]
    told = {f"{kind}.job.{port}": _plain(node) for kind, job in jobs.items() for port, node in _told(job).items()}
    return [*texts, ShellText(f"settings of {source}", told)] if told else texts


def check_handed(process: orm.WorkChainNode) -> None:
    """Refuse a screen or hybrid run that is not to be gone on with.

    Raises
    ------
    SpecError
        With all that is wrong with computers, scheduler options and the level of theory.
    """
    jobs = _jobs(process)
    codes = _codes(jobs)
    by_kind = {kind: codes[f"{kind}.job.code"] for kind in jobs if f"{kind}.job.code" in codes}
    problems = [*_code_problems(codes), *option_problems(given_options(process), KINDS, by_kind)]
    if "level" in jobs.get("label", {}):
        problems += _level_problems(jobs["label"])
    if problems:
        raise SpecError(_called(process), problems)


def _called(process: orm.WorkChainNode) -> str:
    return f"{'screen' if process.process_type == SCREEN else 'run'} <{process.pk}>"


def _jobs(process: orm.WorkChainNode) -> dict[str, Mapping[str, Any]]:
    """Return what is linked below ``job``, of each kind of job that the process has."""
    inputs = process.base.links.get_incoming(link_type=LinkType.INPUT_WORK).nested()
    return {kind: inputs[kind]["job"] for kind in KINDS if "job" in inputs.get(kind, {})}


def _codes(jobs: Mapping[str, Mapping[str, Any]]) -> dict[str, orm.AbstractCode]:
    """Return all codes by port, the one that watches a LAMMPS among them."""
    return {
        f"{kind}.job.{port}": node
        for kind, job in jobs.items()
        for port, node in job.items()
        if isinstance(node, orm.AbstractCode)
    }


def _code_problems(codes: Mapping[str, orm.AbstractCode]) -> Iterator[Problem]:
    for path, code in codes.items():
        if told := not_configured(code):
            reason, _, remedy = told.partition(". ")
            yield Problem(path, f"'{code.full_label}'", reason, remedy)


def _told(job: Mapping[str, Any]) -> dict[str, Any]:
    """Return the inputs of a job that no specification gives, and the level of an engine that is not known here."""
    judged = {"basissets", "pseudos", *(["level"] if "level" in job and _engine(job) in _JUDGES else [])}
    return {port: node for port, node in job.items() if port not in judged and not isinstance(node, orm.AbstractCode)}


def _plain(node: Any) -> Any:
    if isinstance(node, Mapping):
        return {name: _plain(inner) for name, inner in node.items()}
    return dict(node.base.attributes.all)


# -- the level of theory -----------------------------------------------------------------------------------


def _engine(label: Mapping[str, Any]) -> Any:
    return label["level"].get_dict().get("engine")


def _level_problems(label: Mapping[str, Any]) -> Iterator[Problem]:
    engine = _engine(label)
    if engine not in label_engines():
        known = ", ".join(sorted(label_engines()))
        yield Problem(f"{_LEVEL}.engine", repr(engine), "is no label engine here", f"Install it; there are: {known}.")
    elif engine in _JUDGES:
        yield from _JUDGES[engine](label)


def _problems_of_teacher(label: Mapping[str, Any]) -> Iterator[Problem]:
    calculator = (label["level"].get_dict().get("theory") or {}).get("calculator")
    if refusal := complaint(calculator):
        yield Problem(f"{_LEVEL}.theory.calculator", repr(calculator), "is refused", refusal)


def _problems_of_cp2k(label: Mapping[str, Any]) -> Iterator[Problem]:
    level = label["level"].get_dict()
    theory = {key: value for key, value in (level.get("theory") or {}).items() if key != "kinds"}
    recipes = {f"solver[{k}]": recipe for k, recipe in enumerate(level.get("solver") or [])}
    for where, content in {"theory": theory, **recipes}.items():
        try:
            check_harmless(content)
        except StructureError as error:
            yield Problem(f"{_LEVEL}.{where}.{error.field}", repr(error.value), error.problem, error.remedy)
    for port in ("basissets", "pseudos"):
        for key, node in label.get(port, {}).items():
            for name in (node.element, node.name, *node.aliases):
                if not _NAME.fullmatch(name):
                    yield Problem(f"label.job.{port}.{key}", repr(name), "is no name of a basis set or pseudopotential",
                                  "Do not go on with this screen: submit one of your own.")  # fmt: skip


#: What judges a level of theory, by its engine; that of an engine from another package is shown instead.
_JUDGES = {"cp2k": _problems_of_cp2k, "teacher": _problems_of_teacher}
