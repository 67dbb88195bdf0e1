"""Reading a specification: YAML in, a checked `ScreenSpec` or all of its problems out."""

from __future__ import annotations

import difflib
import re
import types
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal, TypeGuard

from pydantic import BaseModel, ValidationError

from aiida_haml.spec.fields import ScreenSpec
from aiida_haml.spec.problems import Problem, SpecError, place
from aiida_haml.spec.text import parse_yaml

#: Tags that pydantic adds to the location of an error inside a union; a person never wrote them.
_UNION_TAGS = re.compile(
    r"^(list\[|literal\[|function-|preset$|custom$|single$|codoping$|pristine$|list$|word$|samples$)"
)


def load_spec(path: Path | str) -> ScreenSpec:
    """Read a screen's specification from a YAML file.

    Parameters
    ----------
    path : Path or str

    Returns
    -------
    ScreenSpec

    Raises
    ------
    SpecError
        If the file cannot be read or anything in it is wrong; it lists all problems, one a line.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        problem = Problem("file", str(path), f"cannot be read ({error})", "Name a YAML file in UTF-8.")
        raise SpecError(str(path), [problem]) from error
    return parse_spec(text, str(path), path.parent)


def parse_spec(text: str, source: str = "specification", folder: Path | str = ".") -> ScreenSpec:
    """Make a specification of YAML text; see `load_spec`.

    Parameters
    ----------
    text : str
    source : str
        What to call it in an error.
    folder : Path or str
        Where the files that it names lie, if not in the working directory.

    Raises
    ------
    SpecError
    """
    content = parse_yaml(text, source)
    if problems := list(_read_files(content, Path(folder))):
        raise SpecError(source, problems)
    try:
        spec = ScreenSpec.model_validate(content)
    except ValidationError as error:
        raise SpecError(source, _unique(_explain(dict(e), content) for e in error.errors())) from error
    if problems := [*_chemistry_problems(spec), *_weight_problems(spec)]:
        raise SpecError(source, _unique(problems))
    return spec


def _read_files(content: dict[str, Any], folder: Path) -> Iterator[Problem]:
    """Put the content of the files that a specification names in their place: it is whole without them."""
    from aiida_haml.structures.errors import StructureError

    for path, entry, read in _entries_with_files(content):
        try:
            entry |= read(folder / entry["file"])
        except StructureError as error:
            yield Problem(f"{path}.file", _brief(entry["file"]), error.problem, error.remedy)


def _entries_with_files(content: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any], Callable[[Path], Any]]]:
    """Yield the entries that name a file: where they stand, the entry, and the function that reads its file."""

    def names_file(entry: Any) -> TypeGuard[dict[str, Any]]:
        return isinstance(entry, dict) and isinstance(entry.get("file"), str)

    host = content.get("host")
    if names_file(host):
        yield "host", host, lambda path: _host_file(path, host.get("name"))
    liquids = content.get("electrolytes")
    for i, liquid in enumerate(liquids if isinstance(liquids, list) else []):
        own = liquid.get("molecules") if isinstance(liquid, dict) else None
        for name, entry in own.items() if isinstance(own, dict) else ():
            if names_file(entry):
                yield f"electrolytes[{i}].molecules.{name}", entry, partial(_molecule_file, charge=entry.get("charge"))


def _host_file(path: Path, name: str | None) -> dict[str, Any]:
    from aiida_haml.structures.host import read_crystal

    crystal = read_crystal(path)
    return {"crystal": crystal, "name": name or crystal["name"]}


def _molecule_file(path: Path, charge: int | None) -> dict[str, Any]:
    from aiida_haml.structures.liquid import read_molecule

    return read_molecule(path, charge)


def _unique(problems: Iterable[Problem]) -> list[Problem]:
    """Keep the first problem of each field: a value that fits no member of a union fails once for each."""
    return list({p.path: p for p in reversed(list(problems))}.values())[::-1]


def _explain(error: dict[str, Any], content: dict[str, Any]) -> Problem:
    """Turn one of pydantic's errors into a field, a value, a reason and a remedy."""
    loc = [part for part in error["loc"] if isinstance(part, int) or not _UNION_TAGS.match(part)]
    loc = _as_written(loc, content)
    path = _path(loc) or "specification"
    value = _brief(error["input"])
    kind, context = error["type"], error.get("ctx", {})
    if kind == "extra_forbidden":
        return _unknown_key(path, loc)
    if kind == "missing":
        return Problem(path, "nothing", "is given, but this field is required", _describe(loc))
    if kind == "literal_error":
        wanted = _literals(loc) or [str(context.get("expected", "")).replace("'", "")]
        return Problem(path, value, f"is not one of {', '.join(wanted)}", _suggest(str(error["input"]), wanted))
    if kind == "value_error" and "|" in (told := str(context["error"])):  # of the whole, naming its field
        field, _, reason = told.partition("|")
        outer, _, inner = field.partition(".")
        given = content.get(outer)
        given = given.get(inner) if inner and isinstance(given, Mapping) else given
        return Problem(field, _brief(given), reason, _describe([p for p in (outer, inner) if p]))
    if kind == "value_error":
        return Problem(path, value, str(context["error"]), _describe(loc))
    message = error["msg"].replace("Input should", "should")
    message = f"does not match the form {context['pattern']}" if kind == "string_pattern_mismatch" else message
    return Problem(path, value, message, _describe(loc))


def _as_written(loc: list[str | int], content: Any) -> list[str | int]:
    """Leave out the index of an item that a person wrote without a list round it."""
    kept: list[str | int] = []
    for part in loc:
        if isinstance(part, int) and not isinstance(content, list):
            continue
        kept.append(part)
        known = isinstance(content, list) and isinstance(part, int) and part < len(content)
        known = known or (isinstance(content, Mapping) and part in content)
        content = content[part] if known else None
    return kept


def _unknown_key(path: str, loc: list[str | int]) -> Problem:
    known = list(dict.fromkeys(name for model in _models_in(_annotation_at(loc[:-1])) for name in model.model_fields))
    remedy = _suggest(str(loc[-1]), known) if known else "Remove it."
    return Problem(path, f"'{loc[-1]}'", f"is not a field here; the fields are {', '.join(known)}", remedy)


def _suggest(given: str, known: list[str]) -> str:
    by_lower = {k.lower(): k for k in known}
    close = difflib.get_close_matches(given.lower(), by_lower, n=1, cutoff=0.5)
    return f"Did you mean '{by_lower[close[0]]}'?" if close else f"Choose from: {', '.join(known)}."


def _brief(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


def _path(loc: Iterable[str | int]) -> str:
    return "".join(f"[{p}]" if isinstance(p, int) else f".{p}" for p in loc).lstrip(".")


def _annotation_at(loc: Iterable[str | int]) -> Any:
    """Return the declared type at a location, or None outside the schema."""
    here: Any = ScreenSpec
    for part in loc:
        model = next((m for m in _models_in(here) if part in m.model_fields), None)
        if isinstance(part, str) and model is not None:
            here = model.model_fields[part].annotation
        elif isinstance(part, int):
            here = next((a for a in _members(here) if typing.get_origin(a) is list), None)
            here = typing.get_args(here)[0] if here is not None else None
        else:
            return None
    return here


def _members(annotation: Any) -> list[Any]:
    """Flatten Annotated and unions into the types that they hold."""
    origin = typing.get_origin(annotation)
    if origin is Annotated:
        return _members(typing.get_args(annotation)[0])
    if origin in (typing.Union, types.UnionType):
        return [m for a in typing.get_args(annotation) for m in _members(a)]
    return [annotation]


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    return [m for m in _members(annotation) if isinstance(m, type) and issubclass(m, BaseModel)]


def _literals(loc: Iterable[str | int]) -> list[str]:
    literal = [m for m in _members(_annotation_at(loc)) if typing.get_origin(m) is Literal]
    return [str(value) for m in literal for value in typing.get_args(m)]


def _describe(loc: list[str | int]) -> str:
    """Return the description of the nearest declared field, as the remedy."""
    named = [i for i, part in enumerate(loc) if isinstance(part, str)]
    for end in reversed(named):
        name = str(loc[end])
        for model in _models_in(_annotation_at(loc[:end])):
            if name in model.model_fields:
                return f"Expected: {model.model_fields[name].description}"
    return "See the reference of the specification."


def _chemistry_problems(spec: ScreenSpec) -> Iterator[Problem]:
    """Let the structures judge what the types cannot: elements, sublattices, fractions, molecules, duplicates."""
    first: dict[str, str] = {}
    for where, structures in spec.entries():
        yield from _entry_problems(where, structures, first)


def _entry_problems(where: str, structures: Iterator[dict[str, Any]], first: dict[str, str]) -> Iterator[Problem]:
    """Judge one entry; ``first`` keeps where each label was met first."""
    from aiida_haml.structures.candidates import candidate_label, validate
    from aiida_haml.structures.errors import StructureError

    try:
        for structure in structures:
            validate(structure)
            label = candidate_label(structure)
            if label in first:
                reason = f"is a duplicate: {first[label] if first[label] != where else 'the same entry'} makes it too"
                yield Problem(where, _brief(label), reason, "Remove one of them.")
            first.setdefault(label, where)
    except StructureError as error:
        yield Problem(place(where, error.field), _brief(error.value), error.problem, error.remedy)
    except ValueError as error:
        yield Problem(where, "this", f"is refused: {str(error).rstrip('.')}", "Correct or remove it.")


def _weight_problems(spec: ScreenSpec) -> Iterator[Problem]:
    if not spec.weights:
        return
    from aiida_haml.analysis.ranking import METRICS

    known = list(METRICS)
    if not any(spec.weights.get(name, metric.weight) for name, metric in METRICS.items()):
        reason, remedy = "gives every metric the weight 0, so nothing could be ranked", "Give one of them a weight."
        yield Problem("weights", _brief(dict(spec.weights)), reason, remedy)
    for name in spec.weights:
        if name not in METRICS:
            reason = f"is no metric of the ranking; the metrics are {', '.join(known)}"
            yield Problem(f"weights.{name}", f"'{name}'", reason, _suggest(name, known))
