"""What pydantic refuses, in the words of a person: the field as it was written, its value, and what to do."""

import difflib
import types
import typing
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ValidationError

from aiida_haml.structures.errors import StructureError

Location = tuple[str | int, ...]


def refusals(error: ValidationError, schema: Any, content: object, root: str = "") -> list[StructureError]:
    """Turn a validation error into one refusal for each field.

    Parameters
    ----------
    error : ValidationError
    schema : type or annotation
        What was validated against.
    content : object
        What was given.
    root : str
        Name of the field that it was given for.

    Notes
    -----
    A value that fits no member of a union fails once for each member: the first failure of a field counts. A
    :class:`StructureError` that a validator raised keeps its words, its field taken as one of the model that raised it.
    """
    told: dict[str, StructureError] = {}
    for one in error.errors():
        refusal = _refusal(dict(one), schema, content)
        path = ".".join(part for part in (root, refusal.field) if part).replace(".[", "[")
        told.setdefault(path, StructureError(path, refusal.value, refusal.problem, refusal.remedy))
    return list(told.values())


def nearest(given: str, known: Iterable[str]) -> str:
    """Return a remedy: the nearest of the known names, or all of them."""
    folded = {name.lower(): name for name in known}
    close = difflib.get_close_matches(given.lower(), folded, n=1, cutoff=0.5)
    return f"Did you mean {folded[close[0]]!r}?" if close else f"Choose one of {', '.join(folded.values())}."


def _refusal(error: dict[str, Any], schema: Any, content: object) -> StructureError:
    kind, context, value = error["type"], error.get("ctx", {}), error["input"]
    loc = _as_written(_without_tags(error["loc"], schema, kind == "extra_forbidden"), content)
    path = path_of(loc)
    if isinstance(told := context.get("error"), StructureError):
        inner = ".".join(part for part in (path, told.field) if part)
        return StructureError(inner, told.value, told.problem, told.remedy)
    if kind == "extra_forbidden":
        known = list(
            dict.fromkeys(name for m in _models_in(_annotation_at(loc[:-1], schema)) for name in m.model_fields)
        )
        problem = f"is not a field here; the fields are {', '.join(known)}"
        return StructureError(path, loc[-1], problem, nearest(str(loc[-1]), known))
    if kind == "missing":
        return StructureError(path, None, "is missing; this field is required", _expected(loc, schema))
    if kind == "literal_error":
        wanted = _literals(_annotation_at(loc, schema)) or [str(context["expected"]).replace("'", "")]
        return StructureError(path, value, f"is not one of {', '.join(wanted)}", nearest(str(value), wanted))
    if kind == "value_error":
        return StructureError(path, value, str(context["error"]), _expected(loc, schema))
    if kind == "string_pattern_mismatch":
        return StructureError(path, value, "has not the form of what is meant", _expected(loc, schema))
    return StructureError(path, value, error["msg"].replace("Input should", "should"), _expected(loc, schema))


def path_of(loc: Iterable[str | int]) -> str:
    """Return a location as people write it: ``dopings[1].fraction``."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in loc).lstrip(".")


def _without_tags(loc: Location, schema: Any, unknown: bool) -> Location:
    """Leave out the names of union members that pydantic puts between fields; a last unknown key is kept."""
    kept: list[str | int] = []
    for k, part in enumerate(loc):
        last = unknown and k == len(loc) - 1
        if last or isinstance(part, int) or _annotation_at((*kept, part), schema) is not None:
            kept.append(part)
    return tuple(kept)


def _as_written(loc: Location, content: object) -> Location:
    """Leave out the index of an item that a person wrote without a list round it."""
    kept: list[str | int] = []
    for part in loc:
        if isinstance(part, int) and not isinstance(content, Sequence):
            continue
        kept.append(part)
        inside = isinstance(content, Sequence) and isinstance(part, int) and part < len(content)
        inside = inside or (isinstance(content, Mapping) and part in content)
        content = content[part] if inside else None  # type: ignore[index]  # `inside` has looked at it
    return tuple(kept)


# -- the schema ---------------------------------------------------------------------------------------------


def _annotation_at(loc: Iterable[str | int], schema: Any) -> Any:
    """Return the declared type at a location, or None outside the schema."""
    here = schema
    for part in loc:
        here = next(_inside(here, part), None)
        if here is None:
            return None
    return here


def _inside(annotation: Any, part: str | int) -> Iterator[Any]:
    for member in _members(annotation):
        arguments = typing.get_args(member)
        origin = typing.get_origin(member)
        if isinstance(part, int) and origin in (list, tuple):
            yield (
                arguments[part]
                if origin is tuple and part < len(arguments) and Ellipsis not in arguments
                else arguments[0]
            )
        elif isinstance(part, str) and origin in (dict, Mapping) and len(arguments) == 2:
            yield arguments[1]
        elif isinstance(part, str) and part in getattr(member, "model_fields", {}):
            yield member.model_fields[part].annotation


def _members(annotation: Any) -> list[Any]:
    """Flatten Annotated and unions into the types that they hold."""
    origin = typing.get_origin(annotation)
    if origin is Annotated:
        return _members(typing.get_args(annotation)[0])
    if origin in (typing.Union, types.UnionType):
        return [member for argument in typing.get_args(annotation) for member in _members(argument)]
    return [annotation]


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    return [m for m in _members(annotation) if isinstance(m, type) and issubclass(m, BaseModel)]


def _literals(annotation: Any) -> list[str]:
    literal = [member for member in _members(annotation) if typing.get_origin(member) is Literal]
    return [str(value) for member in literal for value in typing.get_args(member)]


def _expected(loc: Location, schema: Any) -> str:
    """Return the description of the nearest declared field, as the remedy."""
    for end in range(len(loc) - 1, -1, -1):
        for model in _models_in(_annotation_at(loc[:end], schema)):
            if loc[end] in model.model_fields:
                return f"Expected: {model.model_fields[str(loc[end])].description}"
    return "See the reference of the specification."
