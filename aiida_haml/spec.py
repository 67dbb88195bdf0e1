"""The screen's specification: what a person writes in YAML, checked whole before any node is stored."""

# Units stand in the names of fields, as physics writes them.

from __future__ import annotations

import difflib
import re
import types
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    ValidationError,
    field_validator,
)

Protocol = Literal["quick", "fast", "moderate", "precise"]
LevelName = Literal["gfn1-xtb", "pbe-szv", "pbe-dzvp", "teacher"]

#: Tags that pydantic adds to the location of an error inside a union; a person never wrote them.
_UNION_TAGS = re.compile(r"^(list\[|literal\[|preset$|custom$)")


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong with a specification.

    Parameters
    ----------
    path : str
        The field, as in ``dopings[1].fraction``.
    value : str
        What stands there.
    reason : str
        What is wrong with it.
    remedy : str
        What to write instead.
    """

    path: str
    value: str
    reason: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.path}: {self.value} {self.reason}. {self.remedy}"


class SpecError(ValueError):
    """A specification that cannot be run, with every problem that was found in it.

    Parameters
    ----------
    source : str
        The file that was read.
    problems : list of Problem
    """

    def __init__(self, source: str, problems: Iterable[Problem]):
        self.source = source
        self.problems = list(problems)
        count = f"{len(self.problems)} problem{'' if len(self.problems) == 1 else 's'}"
        super().__init__(f"{source}: {count}\n" + "\n".join(f"  {p}" for p in self.problems))


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


def _as_list(value: Any) -> Any:
    return value if isinstance(value, list | tuple) else [value]


def _as_configurations(value: Any) -> Any:
    if isinstance(value, str) and value != "all":
        raise ValueError("is neither a number, a list of numbers, nor all")
    return value if value == "all" else _as_list(value)


def _as_facet(value: Any) -> Any:
    """Take 100 for '100': YAML reads unquoted digits as a number."""
    return str(value) if isinstance(value, int) else value


def _no_bool(value: Any) -> Any:
    """Refuse true and false where a number is meant; pydantic would read them as 1 and 0."""
    if isinstance(value, bool):
        raise ValueError("is not a number")
    return value


Number = Annotated[float, BeforeValidator(_no_bool)]
Integer = Annotated[int, BeforeValidator(_no_bool)]


class Doping(_Strict):
    """One substitution in the host, at one or several of its symmetry-distinct configurations."""

    dopant: str = Field(description="Chemical symbol of the element that is put in: O, Se or F.")
    site: str = Field(description="Sublattice that it goes to, by its Wyckoff letter in the host: 4a, 4d or 16e.")
    fraction: Number = Field(gt=0, le=1, description="Share of the sublattice's sites that are replaced, 0 to 1.")
    configuration: Annotated[list[Integer] | Literal["all"], BeforeValidator(_as_configurations)] = Field(
        default=[0],
        description="Number of the symmetry-distinct arrangement, a list of numbers, or `all`.",
    )

    @field_validator("configuration")
    @classmethod
    def _not_negative(cls, value: list[int] | str) -> list[int] | str:
        if not isinstance(value, str) and (not value or min(value) < 0):
            raise ValueError("must name configurations by numbers from 0 on")
        return value


class Interface(_Strict):
    """The cell of metal and electrolyte."""

    metal: Literal["Li"] = Field(default="Li", description="The anode's metal.")
    facet: Annotated[Literal["100", "110", "111"], BeforeValidator(_as_facet)] = Field(
        default="100", description="Miller indices of the metal's face; the electrolyte's is 100."
    )
    layers: Integer = Field(default=2, ge=1, le=200, description="Atomic layers of the metal, 1 or more.")
    max_strain: Number = Field(
        default=0.03,
        gt=0,
        le=0.15,
        description="Largest strain of the metal in a match (0.03 = 3 %).",
    )
    gap_A: Annotated[Number, Field(gt=0.5, le=20)] | None = Field(
        default=None,
        description="Distance between the facing planes, Angstrom; null: contact by atomic radii.",
    )

    max_area_A2: Number = Field(
        default=200.0,
        gt=10,
        le=2000,
        description="Largest area of the interface searched for a match, Angstrom^2.",
    )

    def structure(self) -> dict[str, Any]:
        """Return the settings as `aiida_haml.structures.candidates` takes them."""
        return {**self.model_dump(), "facet": [int(index) for index in self.facet]}


class Codes(_Strict):
    """The codes that do the work, by their AiiDA labels; `aiida-haml setup` registers these defaults."""

    cp2k: str = Field(default="cp2k@localhost", description="CP2K; not needed by a teacher screen.")
    engine: str = Field(default="haml-engine@localhost", description="haml-engine: training, evaluation, analysis.")
    lammps: str = Field(default="haml-lammps@localhost", description="haml-lammps, or a LAMMPS binary with ML-IAP.")

    @field_validator("*")
    @classmethod
    def _full_label(cls, value: str) -> str:
        if not re.fullmatch(r"[^@\s]+@[^@\s]+", value):
            raise ValueError("is not the full label of a code, such as cp2k@localhost")
        return value


class Teacher(_Strict):
    """An ASE calculator that is taken as ab initio: a rehearsal, whose numbers decide nothing."""

    calculator: str = Field(
        pattern=r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$", description="`module:Class` of an ASE calculator."
    )
    parameters: dict[str, Any] = Field(default={}, description="Keywords that the class is called with.")


class TeacherLevel(_Strict):
    """A level of theory with a chosen teacher."""

    teacher: Teacher = Field(description="The calculator and its parameters.")


def _level_tag(value: Any) -> str:
    return "custom" if isinstance(value, Mapping | BaseModel) else "preset"


Level = Annotated[
    Annotated[LevelName, Tag("preset")] | Annotated[TeacherLevel, Tag("custom")], Discriminator(_level_tag)
]


def _pristine(value: Any) -> Any:
    return None if value == "pristine" else value


class ScreenSpec(_Strict):
    """A set of candidates, the protocol they run under, and how they are ranked."""

    name: str = Field(
        pattern=r"^[A-Za-z0-9][\w .-]{0,99}$",
        description="The screen's name: letters, digits, spaces, dots, dashes and underscores.",
    )
    host: Literal["Li6PS5Cl"] = Field(default="Li6PS5Cl", description="The solid electrolyte.")
    dopings: list[Annotated[Doping | None, BeforeValidator(_pristine)]] = Field(
        min_length=1, description="The dopings to compare; `pristine` or null is the undoped host."
    )
    interface: Interface = Field(default=Interface(), description="The metal and how it meets the electrolyte.")
    temperature_K: Annotated[list[Annotated[Number, Field(gt=0, le=5000)]], BeforeValidator(_as_list)] = Field(
        default=[300.0],
        min_length=1,
        description="Temperature of the thermostat in K, or a list of them.",
    )
    seeds: Annotated[list[Annotated[Integer, Field(ge=0, lt=2**31)]], BeforeValidator(_as_list)] = Field(
        default=[1],
        min_length=1,
        description="Seeds of the initial velocities; several give an interval of confidence.",
    )
    protocol: Protocol = Field(
        default="fast", description="Lengths, budgets and tolerances; `quick` is for demonstrations."
    )
    level_of_theory: Level = Field(
        default="gfn1-xtb",
        description="A preset, or `{teacher: {calculator: 'module:Class', parameters: {}}}`. `gfn1-xtb` "
        "exercises the pipeline and decides nothing; `pbe-szv` is DFT on a laptop; `pbe-dzvp` is production.",
    )
    codes: Codes = Field(
        default=Codes(), description="Labels of the codes; the defaults are those of `aiida-haml setup`."
    )
    max_in_flight: Integer = Field(default=2, ge=1, le=1000, description="Candidates that run at the same time.")
    share_learning: bool = Field(
        default=True, description="Let later candidates start from the labels and potentials of earlier ones."
    )
    overrides: dict[str, Any] = Field(
        default={},
        description="Settings merged recursively over the protocol's; see the protocol's file for the keys.",
    )
    weights: dict[str, Annotated[Number, Field(ge=0)]] = Field(
        default={},
        description="Weight of each metric in the rank, replacing the default weights of those named.",
    )

    @field_validator("temperature_K", "seeds")
    @classmethod
    def _no_repeats(cls, value: list[float]) -> list[float]:
        if repeated := sorted({v for v in value if value.count(v) > 1}):
            raise ValueError(f"repeats {', '.join(map(str, repeated))}, which would make duplicate candidates")
        return value

    @field_validator("weights")
    @classmethod
    def _some_weight(cls, value: dict[str, float]) -> dict[str, float]:
        if value and not any(value.values()):
            raise ValueError("gives every metric the weight 0, so nothing could be ranked")
        return value

    @field_validator("dopings")
    @classmethod
    def _no_duplicates(cls, dopings: list[Doping | None]) -> list[Doping | None]:
        first: dict[str, int] = {}
        for i, doping in enumerate(dopings):
            for single in _single_configurations(doping):
                if (key := repr(single)) in first:
                    where = "itself" if first[key] == i else f"entry {first[key]}"
                    raise ValueError(f"holds duplicate candidates: entry {i} repeats {where} ({single or 'pristine'})")
                first[key] = i
        return dopings

    @property
    def level_name(self) -> LevelName:
        """Name of the level of theory; `teacher` for a chosen teacher too."""
        return "teacher" if isinstance(self.level_of_theory, TeacherLevel) else self.level_of_theory

    @property
    def teacher(self) -> dict[str, Any] | None:
        """Calculator and parameters of a chosen teacher; None for a preset."""
        level = self.level_of_theory
        return level.teacher.model_dump() if isinstance(level, TeacherLevel) else None

    def candidates(self) -> dict[str, dict[str, Any]]:
        """Expand dopings, temperatures and seeds, in this order of nesting.

        Returns
        -------
        dict
            Slug (a valid AiiDA link label, sorting in the order of the specification) to
            ``{"label", "structure": {"host", "doping", "interface", "seed"}, "temperature_K", "seed"}``.
            The label is for people; candidates that differ in their seed alone share it, and are pooled by
            the ranking. It names the temperature only where there are several.
        """
        expanded: dict[str, dict[str, Any]] = {}
        for structure in self.structures():
            name = _structure_label(structure)
            for temperature in self.temperature_K:
                for seed in self.seeds:
                    label = name
                    label += f" {temperature:g} K" if len(self.temperature_K) > 1 else ""
                    slug = _slug(f"c{len(expanded):03d}_{name}_{temperature:g}K_s{seed}")
                    expanded[slug] = {
                        "label": label,
                        "structure": {**structure, "seed": 0},  # its arrangement is fixed; none is drawn
                        "temperature_K": temperature,
                        "seed": seed,
                    }
        return expanded

    def elements(self) -> list[str]:
        """Return the chemical symbols that occur in any candidate, in alphabetical order."""
        from aiida_haml.structures import crystals

        dopants = {doping.dopant for doping in self.dopings if doping is not None}
        return sorted({*crystals.host(self.host).get_chemical_symbols(), self.interface.metal, *dopants})

    def structures(self) -> Iterator[dict[str, Any]]:
        """Yield ``{"host", "doping", "interface"}`` of each doping and configuration, in order."""
        interface = self.interface.structure()
        for doping in self.dopings:
            for single in _single_configurations(doping, _count_configurations(self.host)):
                yield {"host": self.host, "doping": single, "interface": interface}


def _single_configurations(
    doping: Doping | None, count: Callable[[dict[str, Any]], int] | None = None
) -> Iterator[dict[str, Any] | None]:
    """Yield the doping once for each configuration; `all` stays as it is where nothing can count."""
    if doping is None:
        yield None
        return
    plain = doping.model_dump()
    chosen = plain.pop("configuration")
    if chosen == "all":
        chosen = range(count(plain)) if count else ["all"]
    for configuration in chosen:
        yield {**plain, "configuration": configuration}


def _count_configurations(host: str) -> Callable[[dict[str, Any]], int]:
    def count(doping: dict[str, Any]) -> int:
        from aiida_haml.structures import crystals  # heavy: symmetry and crystals
        from aiida_haml.structures import doping as dopings

        parent = crystals.host(host)
        return len(dopings.distinct_configurations(parent, doping["site"], doping["fraction"]))

    return count


def _structure_label(structure: dict[str, Any]) -> str:
    from aiida_haml.structures.candidates import candidate_label

    return str(candidate_label({**structure, "seed": 0}))


def _slug(text: str) -> str:
    """Turn text into a link label: ASCII letters, digits and single underscores."""
    text = text.replace(".", "p")
    return re.sub(r"[^A-Za-z0-9]+", "_", text).strip("_")


# -- reading -----------------------------------------------------------------------------------------------


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
    return parse_spec(text, str(path))


def parse_spec(text: str, source: str = "specification") -> ScreenSpec:
    """Make a specification of YAML text; see `load_spec`.

    Raises
    ------
    SpecError
    """
    content = _parse_yaml(text, source)
    try:
        spec = ScreenSpec.model_validate(content)
    except ValidationError as error:
        raise SpecError(source, _unique(_explain(dict(e)) for e in error.errors())) from error
    if problems := [*_chemistry_problems(spec), *_weight_problems(spec)]:
        raise SpecError(source, _unique(problems))
    return spec


class _UniqueKeys(yaml.SafeLoader):
    """YAML in which a key given twice is an error instead of a silent choice of the last."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key, deep=deep) for key, _ in node.value]
        for i, ((key_node, _), key) in enumerate(zip(node.value, keys, strict=True)):
            if key in keys[:i]:
                raise yaml.constructor.ConstructorError(None, None, f"key '{key}' is given twice", key_node.start_mark)
        return super().construct_mapping(node, deep=deep)


def _parse_yaml(text: str, source: str) -> dict[str, Any]:
    try:
        content = yaml.load(text, Loader=_UniqueKeys)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f"line {mark.line + 1}, column {mark.column + 1}" if mark else "file"
        reason = f"is not valid YAML ({getattr(error, 'problem', None) or error})"
        lines = text.splitlines()
        value = repr(lines[mark.line].strip()) if mark and mark.line < len(lines) else "text"
        raise SpecError(source, [Problem(place, value, reason, "Correct this line.")]) from error
    if not isinstance(content, dict):
        kind = "nothing" if content is None else f"a {type(content).__name__}"
        raise SpecError(
            source,
            [Problem("file", kind, "is not a mapping of fields", "Start from examples/quick_screen.yaml.")],
        )
    return content


def _unique(problems: Iterable[Problem]) -> list[Problem]:
    """Keep the first problem of each field: a value that fits no member of a union fails once for each."""
    return list({p.path: p for p in reversed(list(problems))}.values())[::-1]


def _explain(error: dict[str, Any]) -> Problem:
    """Turn one of pydantic's errors into a field, a value, a reason and a remedy."""
    loc = [part for part in error["loc"] if isinstance(part, int) or not _UNION_TAGS.match(part)]
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
    if kind == "value_error":
        return Problem(path, value, str(context["error"]), _describe(loc))
    message = error["msg"].replace("Input should", "should")
    message = f"does not match the form {context['pattern']}" if kind == "string_pattern_mismatch" else message
    return Problem(path, value, message, _describe(loc))


def _unknown_key(path: str, loc: list[str | int]) -> Problem:
    model = _model_at(loc[:-1])
    known = list(model.model_fields) if model else []
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
        model = _model_in(here)
        if isinstance(part, str) and model is not None and part in model.model_fields:
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


def _model_in(annotation: Any) -> type[BaseModel] | None:
    models = (m for m in _members(annotation) if isinstance(m, type) and issubclass(m, BaseModel))
    return next(models, None)


def _model_at(loc: Iterable[str | int]) -> type[BaseModel] | None:
    return _model_in(_annotation_at(loc))


def _literals(loc: Iterable[str | int]) -> list[str]:
    literal = [m for m in _members(_annotation_at(loc)) if typing.get_origin(m) is Literal]
    return [str(value) for m in literal for value in typing.get_args(m)]


def _describe(loc: list[str | int]) -> str:
    """Return the description of the nearest declared field, as the remedy."""
    named = [i for i, part in enumerate(loc) if isinstance(part, str)]
    for end in reversed(named):
        model = _model_at(loc[:end])
        if model is not None and loc[end] in model.model_fields:
            return f"Expected: {model.model_fields[str(loc[end])].description}"
    return "See the reference of the specification."


def _chemistry_problems(spec: ScreenSpec) -> Iterator[Problem]:
    """Let the structures judge what the types cannot: elements, sublattices, fractions, configurations."""
    from aiida_haml.structures.candidates import validate
    from aiida_haml.structures.errors import StructureError

    interface = spec.interface.structure()
    for i, doping in enumerate(spec.dopings):
        try:
            for single in _single_configurations(doping, _count_configurations(spec.host)):
                validate({"host": spec.host, "doping": single, "interface": interface, "seed": 0})
        except StructureError as error:
            inside = error.field.startswith("doping.")
            path = f"dopings[{i}].{error.field.removeprefix('doping.')}" if inside else error.field
            yield Problem(path, _brief(error.value), error.problem, error.remedy)
        except ValueError as error:
            value = _brief(doping.model_dump()) if doping else "pristine"
            yield Problem(f"dopings[{i}]", value, f"is refused: {str(error).rstrip('.')}", "Correct or remove it.")


def _weight_problems(spec: ScreenSpec) -> Iterator[Problem]:
    if not spec.weights:
        return
    from aiida_haml.analysis.ranking import METRICS

    known = list(METRICS)
    for name in spec.weights:
        if name not in METRICS:
            reason = f"is no metric of the ranking; the metrics are {', '.join(known)}"
            yield Problem(f"weights.{name}", f"'{name}'", reason, _suggest(name, known))
