"""Reading a specification: YAML in, a checked `ScreenSpec` or all of its problems out."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from aiida_haml.spec.fields import ScreenSpec
from aiida_haml.spec.problems import Problem, SpecError, place
from aiida_haml.spec.text import parse_yaml
from aiida_haml.structures.errors import StructureError
from aiida_haml.structures.refusals import nearest, refusals


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
    try:
        spec = ScreenSpec.model_validate(content, context={"folder": folder})
    except ValidationError as error:
        raise SpecError(source, [_problem(one) for one in refusals(error, ScreenSpec, content)]) from error
    problems = [*_chemistry_problems(spec), *_weight_problems(spec)]
    if problems := problems or [*_reference_problems(spec)]:
        raise SpecError(source, _unique(problems))
    return spec


# -- problems -----------------------------------------------------------------------------------------------


def _problem(error: StructureError, where: str | None = None) -> Problem:
    value = "nothing" if error.value is None else _brief(error.value)
    return Problem(where or error.field, value, error.problem, error.remedy)


def _brief(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


def _unique(problems: Iterable[Problem]) -> list[Problem]:
    """Keep the first problem of each field."""
    return list({p.path: p for p in reversed(list(problems))}.values())[::-1]


def _chemistry_problems(spec: ScreenSpec) -> Iterator[Problem]:
    """Let the structures judge what the types cannot: elements, sublattices, molecules, cells, duplicates."""
    first: dict[str, str] = {}
    for where, structures in spec.entries():
        yield from _entry_problems(spec, where, structures, first)


def _entry_problems(
    spec: ScreenSpec, where: str, structures: Iterator[dict[str, Any]], first: dict[str, str]
) -> Iterator[Problem]:
    """Judge one entry; ``first`` keeps where each label was met first."""
    from aiida_haml.structures.candidates import candidate_label, reservoir, validate

    try:
        for structure in structures:
            validate(structure)
            label = candidate_label(structure)
            if label in first:
                reason = f"is a duplicate: {first[label] if first[label] != where else 'the same entry'} makes it too"
                yield Problem(where, _brief(label), reason, "Remove one of them.")
            first.setdefault(label, where)
            if not spec.demonstration and (metal := reservoir(structure)) and metal.shortcomings():
                yield _shortage(spec, where, f"{label} has {'; '.join(metal.shortcomings())}")
    except StructureError as error:
        yield _problem(error, place(where, error.field))
    except ValueError as error:
        yield Problem(where, "this", f"is refused: {str(error).rstrip('.')}", "Correct or remove it.")


def _shortage(spec: ScreenSpec, where: str, shortcomings: str) -> Problem:
    if spec.cells:
        remedy = "Give a cell with more of it, or say `demonstration: true`."
        return Problem(where, "this", f"holds too little metal for results: {shortcomings}", remedy)
    remedy = "Leave it out, and enough is taken; or say `demonstration: true`."
    layers = str(spec.interface.layers)
    return Problem("interface.layers", layers, f"makes too little metal for results: {shortcomings}", remedy)


def _reference_problems(spec: ScreenSpec) -> Iterator[Problem]:
    """Hold phases of a person's own against the candidates and against the phases that are known already."""
    if not spec.references:
        return
    from aiida_haml.analysis.references.phases import reference_phases

    elements = set(spec.elements())
    for k, phase in enumerate(spec.references):
        if strange := sorted(set(phase.atoms.get_chemical_symbols()) - elements):
            reason = f"holds {', '.join(strange)}, which no candidate does, so that it cannot form"
            yield Problem(f"references[{k}]", _brief(phase.name), reason, "Leave it out.")
    own = spec.own_phases
    try:
        reference_phases(tuple(sorted(elements)), own.get("host", ""), tuple(own["references"]))
    except ValueError as error:
        yield Problem("references", "this", f"is refused: {str(error).rstrip('.')}", "Name them by `name`.")


def _weight_problems(spec: ScreenSpec) -> Iterator[Problem]:
    if not spec.weights:
        return
    from aiida_haml.analysis.ranking.metrics import METRICS

    known = list(METRICS)
    if not any(spec.weights.get(name, metric.weight) for name, metric in METRICS.items()):
        reason, remedy = "gives every metric the weight 0, so nothing could be ranked", "Give one of them a weight."
        yield Problem("weights", _brief(dict(spec.weights)), reason, remedy)
    for name in spec.weights:
        if name not in METRICS:
            reason = f"is no metric of the ranking; the metrics are {', '.join(known)}"
            yield Problem(f"weights.{name}", f"'{name}'", reason, nearest(name, known))
