"""The schedulers' options of a screen, checked before anything is stored, and those of them that a shell runs."""

import difflib
import re
from collections.abc import Iterator, Mapping
from typing import Any

from aiida.common.exceptions import AiidaException
from aiida.engine import CalcJob
from aiida.orm import AbstractCode

from aiida_haml.consent import ShellText
from aiida_haml.spec import Problem

#: Options whose text a job's script holds as it is, or that decide what its commands are.
SHELL = (
    "prepend_text", "append_text", "custom_scheduler_commands", "mpirun_extra_params", "environment_variables",
    "environment_variables_double_quotes",
)  # fmt: skip
#: Options that belong to the jobs themselves.
OF_THE_JOBS = (
    "input_filename", "output_filename", "submit_script_filename", "scheduler_stdout", "scheduler_stderr",
    "parser_name", "additional_retrieve_list", "import_sys_environment", "stash", "unstash",
)  # fmt: skip
#: Options that are counted, from 1 on.
COUNTED = ("max_wallclock_seconds", "max_memory_kb")
#: Names of queues and accounts, as they may stand in the head of a script: a line break would start a command.
_NAME = re.compile(r"[\w.:@/+=,%-]+")
WHERE = "overrides.options"


def option_problems(
    options: Mapping[str, Any], kinds: tuple[str, ...], codes: Mapping[str, AbstractCode]
) -> Iterator[Problem]:
    """Say what is wrong with the options of the schedulers.

    Parameters
    ----------
    options : mapping
        By kind of job, AiiDA's ``metadata.options``.
    kinds : tuple of str
        The kinds that there are.
    codes : mapping
        The code that does each kind of job; a kind without one is not held against a scheduler.
    """
    for kind, given in options.items():
        path = f"{WHERE}.{kind}"
        if kind not in kinds:
            yield Problem(path, f"'{kind}'", f"is no kind of job; the kinds are {', '.join(kinds)}", _near(kind, kinds))
        elif not isinstance(given, Mapping):
            yield Problem(path, repr(given), "is not a mapping of options", "Write {max_wallclock_seconds: 3600}.")
        else:
            for key, value in given.items():
                yield from _option_problems(f"{path}.{key}", str(key), value)
            if isinstance(given.get("resources"), Mapping) and kind in codes:
                yield from _resource_problems(f"{path}.resources", given["resources"], codes[kind])


def _option_problems(path: str, key: str, value: Any) -> Iterator[Problem]:
    ports: Any = CalcJob.spec().inputs["metadata"]  # plumpy types what it holds as a union
    ports = ports["options"]
    ours = tuple(name for name in ports if name not in OF_THE_JOBS)
    if key in OF_THE_JOBS:
        yield Problem(path, repr(value), "is set by the jobs themselves", "Leave it out.")
    elif key not in ports:
        reason = f"is not an option of AiiDA's jobs; the options are {', '.join(ours)}"
        yield Problem(path, repr(value), reason, _near(key, ours))
    elif error := ports[key].validate(value):
        wanted = " or ".join(sorted(t.__name__ for t in _types(ports[key]) if t is not type(None)))
        reason = f"is a {type(value).__name__}" if wanted else str(error.message)
        yield Problem(path, repr(value), f"{reason}, which AiiDA refuses", f"Give {_article(wanted)}.")
    elif isinstance(value, bool) and ports[key].valid_type is not bool and bool not in _types(ports[key]):
        yield Problem(path, repr(value), "is not a number", "Give a whole number.")
    elif key in COUNTED and value < 1:
        yield Problem(path, repr(value), "is less than 1", "Give a whole number of 1 or more.")
    elif key not in SHELL:
        for text in _texts(value):
            if not _NAME.fullmatch(text):
                yield Problem(path, repr(text), "holds what no queue, account or resource is called",
                              "Give letters, digits and . : @ / + = , % - _ only.")  # fmt: skip


def _resource_problems(path: str, resources: Mapping[str, Any], code: AbstractCode) -> Iterator[Problem]:
    """Let the scheduler of the code's computer judge the resources."""
    computer = getattr(code, "computer", None)
    if computer is None:
        return
    scheduler = computer.get_scheduler()
    asked = {str(key): value for key, value in resources.items()}
    try:
        scheduler.preprocess_resources(asked, computer.get_default_mpiprocs_per_machine())
        scheduler.validate_resources(**asked)
    except (ValueError, TypeError, AiidaException) as error:
        remedy = "Give num_machines and num_mpiprocs_per_machine, or what this scheduler wants."
        reason = f"is refused by the scheduler {computer.scheduler_type} of '{computer.label}' ({error})"
        yield Problem(path, repr(dict(resources)), reason, remedy)
        return
    for key, value in asked.items():
        if isinstance(value, bool) or (key.startswith(("num_", "tot_")) and not isinstance(value, int)):
            yield Problem(f"{path}.{key}", repr(value), "is not a whole number", "Give a whole number of 1 or more.")


def shell_texts(options: Mapping[str, Any], source: str) -> list[ShellText]:
    """Return the options that a shell runs, of all kinds of jobs together.

    Parameters
    ----------
    options : mapping
        By kind of job, checked by `option_problems`.
    source : str
        Where they come from.
    """
    content = {
        f"{kind}.{key}": value
        for kind, given in options.items()
        for key, value in given.items()
        if key in SHELL and value not in ("", [], (), {}, False)
    }
    return [ShellText(f"{WHERE} of {source}", content)] if content else []


def _near(given: Any, known: tuple[str, ...]) -> str:
    found = [name for name in known if str(given) and name.startswith(str(given))]
    found = found or difflib.get_close_matches(str(given), known, n=1)
    return f"Did you mean '{found[0]}'?" if found else f"Choose from: {', '.join(known)}."


def _types(port: Any) -> tuple[type, ...]:
    types = port.valid_type
    return tuple(types) if isinstance(types, tuple | list) else (types,) if types is not None else ()


def _article(types: str) -> str:
    words = {"int": "a whole number", "str": "text", "bool": "true or false", "dict": "a mapping"}
    return words.get(types, "a list")


def _texts(value: Any) -> Iterator[str]:
    """Yield all text inside a value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _texts(key)
            yield from _texts(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _texts(inner)
