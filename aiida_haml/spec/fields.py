"""The fields of a screen's specification, and the candidates that it expands to."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Discriminator, Field, Tag, field_validator, model_validator

from aiida_haml.engines.calculators import complaint

Protocol = Literal["quick", "fast", "moderate", "precise"]
#: The teacher of liquids; that of solids is in the preset of the name.
MOLECULES_TEACHER = "aiida_haml.engines.toy_molecules:ToyMolecules"
LevelName = Literal["gfn1-xtb", "pbe-szv", "pbe-dzvp", "chgnet", "teacher"]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


def _as_list(value: Any) -> Any:
    return value if isinstance(value, list | tuple) else [value]


def _as_text(value: Any) -> Any:
    """Take 100 for '100': YAML reads unquoted digits as a number."""
    return str(value) if isinstance(value, int) else value


def _no_bool(value: Any) -> Any:
    """Refuse true and false where a number is meant; pydantic would read them as 1 and 0."""
    if isinstance(value, bool):
        raise ValueError("is not a number")
    return value


Number = Annotated[float, BeforeValidator(_no_bool)]
Integer = Annotated[int, BeforeValidator(_no_bool)]
Fraction = Annotated[Number, Field(gt=0, le=1)]


# -- electrolytes ------------------------------------------------------------------------------------------


class Host(_Strict):
    """The solid electrolyte, where its name alone does not say enough."""

    name: str = Field(default="Li6PS5Cl", description="A host that is known, or the name to give to `file`.")
    file: str | None = Field(
        default=None,
        description="A CIF, or any file that ASE reads, relative to the specification; its content is kept.",
    )
    crystal: dict[str, Any] | None = Field(default=None, description="The content of `file`; filled in on reading.")
    lithium: Literal["24g", "48h"] = Field(
        default="24g", description="Sites of Li in Li6PS5Cl: 24g (full), or 48h (half occupied, ordered by energy)."
    )
    exchange: Annotated[Number, Field(ge=0, le=1)] = Field(
        default=0.0, description="Share of Cl on 4a that is exchanged with S on 4d in Li6PS5Cl, 0 to 1."
    )
    a_A: Annotated[Number, Field(gt=2, lt=60)] | None = Field(
        default=None, description="Lattice constant, Angstrom; null: the measured one."
    )
    supercell: list[Annotated[Integer, Field(ge=1, le=12)]] = Field(
        default=[1, 1, 1], min_length=3, max_length=3, description="Cells along each vector; finer fractions need more."
    )

    def structure(self) -> str | dict[str, Any]:
        """Return the host as `aiida_haml.structures` takes it: its name, or what differs from the defaults."""
        given = self.model_dump(exclude={"file"}, exclude_defaults=True) | {"name": self.name}
        return self.name if set(given) == {"name"} else given


class Samples(_Strict):
    """Arrangements drawn by a seed, where there are too many to list."""

    sample: Annotated[Integer, Field(ge=1, le=1000)] = Field(description="How many different ones are drawn.")


def _as_configurations(value: Any) -> Any:
    if isinstance(value, str) and value not in ("all", "sqs"):
        raise ValueError("is neither a number, a list of numbers, all, sqs nor {sample: N}")
    return value if isinstance(value, str | Mapping | BaseModel) else _as_list(value)


class _Arranged(_Strict):
    """What all dopings say: which arrangements, and how charge is balanced."""

    compensation: Literal["vacancies", "interstitials"] | None = Field(
        default=None, description="How a dopant of another charge is balanced: Li `vacancies` or `interstitials`."
    )
    configuration: Annotated[
        Annotated[list[Integer], Tag("list")]
        | Annotated[Literal["all", "sqs"], Tag("word")]
        | Annotated[Samples, Tag("samples")],
        Discriminator(lambda v: "word" if isinstance(v, str) else "list" if isinstance(v, list) else "samples"),
        BeforeValidator(_as_configurations),
    ] = Field(
        default=[0],
        description="Number of the symmetry-distinct arrangement, a list of numbers, `all`, `sqs` (the one nearest "
        "to a random alloy), or `{sample: N}` (N drawn by a seed).",
    )

    @field_validator("configuration")
    @classmethod
    def _not_negative(cls, value: Any) -> Any:
        if isinstance(value, list) and (not value or min(value) < 0):
            raise ValueError("must name configurations by numbers from 0 on")
        return value

    def configurations(self, structure: Mapping[str, Any]) -> list[Any]:
        """Return the single configurations asked for; ``structure`` is asked how many `all` are."""
        if isinstance(self.configuration, Samples):
            return [{"sample": k} for k in range(self.configuration.sample)]
        if self.configuration == "sqs":
            return ["sqs"]
        if self.configuration == "all":
            from aiida_haml.structures.candidates import count_configurations  # heavy: symmetry and crystals

            return list(range(count_configurations({**structure, "configuration": 0})))
        return list(self.configuration)


class Substitution(_Strict):
    """One element on one sublattice."""

    dopant: str = Field(description="Chemical symbol of the element that is put in.")
    site: str = Field(
        description="Sublattice by its Wyckoff letter in the host, or an element for all of its sublattices."
    )
    fraction: Fraction = Field(description="Share of the sublattice's sites that are replaced, 0 to 1.")


class Doping(_Arranged):
    """One substitution in the host; lists are swept, every value with every other."""

    dopant: Annotated[list[str], BeforeValidator(_as_list)] = Field(
        min_length=1, description="Chemical symbol of the element that is put in: O, Se, F, ...; or a list."
    )
    site: Annotated[list[str], BeforeValidator(_as_list)] = Field(
        min_length=1,
        description="Sublattice that it goes to, by its Wyckoff letter in the host (4a, 4d or 16e in Li6PS5Cl), or "
        "an element for all of its sublattices; or a list.",
    )
    fraction: Annotated[list[Fraction], BeforeValidator(_as_list)] = Field(
        min_length=1, description="Share of the sublattice's sites that are replaced, 0 to 1; or a list."
    )

    def substitutions(self) -> Iterator[list[dict[str, Any]]]:
        """Yield the substitutions of each doping that the lists make."""
        for dopant, site, fraction in itertools.product(self.dopant, self.site, self.fraction):
            yield [{"dopant": dopant, "site": site, "fraction": fraction}]


class CoDoping(_Arranged):
    """Several substitutions at once."""

    together: list[Substitution] = Field(min_length=2, description="The substitutions, made in the same cell.")

    def substitutions(self) -> Iterator[list[dict[str, Any]]]:
        """Yield the substitutions, once."""
        yield [substitution.model_dump() for substitution in self.together]


class Molecule(_Strict):
    """A molecule or ion of your own: a SMILES string, or a file whose coordinates are kept."""

    smiles: str | None = Field(default=None, description="As SMILES; or give `file`.")
    file: str | None = Field(default=None, description="An xyz, mol or sdf file, relative to the specification.")
    symbols: list[str] | None = Field(default=None, description="Elements in `file`; filled in on reading.")
    positions: list[list[float]] | None = Field(default=None, description="Coordinates in `file`, Angstrom; filled in.")
    charge: Integer | None = Field(default=None, description="Charge, e; an xyz file needs it.")
    density: Number | None = Field(
        default=None, description="Density of the neat liquid (of an anion: of its lithium salt), g/cm^3."
    )
    source: str | None = Field(default=None, description="Where the density comes from.")


class Liquid(_Strict):
    """A liquid electrolyte: solvents, and a salt at a molarity."""

    solvents: dict[str, Number] = Field(
        min_length=1, description="Solvent (DME, DOL, EC, DMC, FEC, ...) -> parts, such as {EC: 1, DMC: 1}."
    )
    parts: Literal["volume", "mole"] = Field(default="volume", description="What the parts are of, before mixing.")
    salt: str | None = Field(default=None, description="LiFSI, LiTFSI, LiPF6, LiNO3, one of your own, or null.")
    molarity_M: Number | None = Field(
        default=None, description="Moles of salt in a litre of solution; null: 1, if any."
    )
    density_g_cm3: Number | None = Field(
        default=None, description="Density of the solution; null: from the neat liquids and the salt."
    )
    n_atoms: Integer | None = Field(default=None, description="Atoms of the cell, metal included; null: about 200.")
    thickness_A: Number | None = Field(default=None, description="Thickness of the liquid, instead of `n_atoms`.")
    molecules: dict[str, Molecule] = Field(default={}, description="Molecules of your own, by the name used above.")

    def structure(self) -> dict[str, Any]:
        """Return what was given, as `aiida_haml.structures.liquid` takes it."""
        given = self.model_dump(exclude={"molecules"}, exclude_defaults=True)
        own = {name: m.model_dump(exclude={"file"}, exclude_none=True) for name, m in self.molecules.items()}
        return given | ({"molecules": own} if own else {})


def _pristine(value: Any) -> Any:
    return None if value == "pristine" else value


def _doping_kind(value: Any) -> str:
    if value is None:
        return "pristine"
    together = "together" in value if isinstance(value, Mapping) else isinstance(value, CoDoping)
    return "codoping" if together else "single"


AnyDoping = Annotated[
    Annotated[None, Tag("pristine")] | Annotated[Doping, Tag("single")] | Annotated[CoDoping, Tag("codoping")],
    Discriminator(_doping_kind),
    BeforeValidator(_pristine),
]


# -- the rest of the screen --------------------------------------------------------------------------------
#: Fields of `Interface` that a liquid has no use for, and one that a solid has none for.
SOLID_ONLY = (
    "max_strain", "electrolyte_facet", "cut", "match", "max_angle_degrees", "strained", "electrolyte_young_GPa",
    "electrolyte_poisson", "electrolyte_cells", "vacuum_A", "symmetric",
)  # fmt: skip
LIQUID_ONLY = ("area_A2",)


class Interface(_Strict):
    """The cell of metal and electrolyte. What is left out is chosen by the builder, which says what it chose."""

    metal: Literal["Li"] = Field(default="Li", description="The anode's metal.")
    facet: Annotated[Literal["100", "110", "111"] | None, BeforeValidator(_as_text)] = Field(
        default=None, description="Miller indices of the metal's face; null: 100."
    )
    layers: Annotated[Integer, Field(ge=1, le=200)] | None = Field(
        default=None, description="Atomic layers of the metal; null: 2 beside a solid, 4 beside a liquid."
    )
    metal_a_A: Annotated[Number, Field(gt=2, le=8)] | None = Field(
        default=None, description="Lattice constant of the metal, Angstrom; null: the measured one."
    )
    gap_A: Annotated[Number, Field(gt=0.5, le=20)] | None = Field(
        default=None, description="Distance between the facing planes, Angstrom; null: contact by atomic radii."
    )
    repeat: list[Annotated[Integer, Field(ge=1, le=50)]] | None = Field(
        default=None,
        min_length=2,
        max_length=2,
        description="Repeats of the interface's cell in its plane; of the metal's surface cell beside a liquid.",
    )
    max_area_A2: Annotated[Number, Field(gt=10, le=2000)] | None = Field(
        default=None, description="Largest area of the interface searched for a match, Angstrom^2; null: 200."
    )
    area_A2: Annotated[Number, Field(gt=20, le=10000)] | None = Field(
        default=None, description="Area beside a liquid, about, Angstrom^2; null: 110."
    )
    max_strain: Annotated[Number, Field(gt=0, le=0.15)] | None = Field(
        default=None, description="Largest strain of either side in a match; null: 0.03 (3 %)."
    )
    electrolyte_facet: Annotated[str | None, BeforeValidator(_as_text)] = Field(
        default=None, description="Miller indices of the electrolyte's face, in the host's own cell; null: 100."
    )
    cut: Annotated[Integer, Field(ge=0)] | None = Field(
        default=None, description="Number of the cut among those that break no PS4, non-polar ones first; null: 0."
    )
    match: Annotated[Integer, Field(ge=0)] | None = Field(
        default=None, description="Number of the commensurate match, the smallest cell first; null: 0."
    )
    max_angle_degrees: Annotated[Number, Field(gt=0, le=20)] | None = Field(
        default=None, description="Largest change of a right angle in a match; null: no limit but the strain."
    )
    strained: Literal["metal", "electrolyte", "stiffness"] | Fraction | None = Field(
        default=None,
        description="Who takes the misfit: `metal` (default), `electrolyte`, `stiffness` (shared by biaxial moduli), "
        "or the metal's share.",
    )
    electrolyte_young_GPa: Annotated[Number, Field(gt=0, le=1000)] | None = Field(
        default=None, description="Young's modulus of the electrolyte; null: that of Li6PS5Cl."
    )
    electrolyte_poisson: Annotated[Number, Field(gt=0, lt=0.5)] | None = Field(
        default=None, description="Poisson's ratio of the electrolyte; null: that of Li6PS5Cl."
    )
    electrolyte_cells: Annotated[Integer, Field(ge=1, le=50)] | None = Field(
        default=None, description="Repeats of the host's cell along the normal; null: 1."
    )
    vacuum_A: Annotated[Number, Field(ge=0, le=200)] | None = Field(
        default=None, description="Empty layer on the metal, Angstrom; null: none, the electrolyte's image follows."
    )
    symmetric: bool | None = Field(
        default=None, description="Whether both faces of the electrolyte have to be the same; null: false."
    )

    def structure(self) -> dict[str, Any]:
        """Return what was given, as `aiida_haml.structures` takes it."""
        given = self.model_dump(exclude_defaults=True)
        if "facet" in given:
            given["facet"] = [int(index) for index in given["facet"]]
        return given


class Codes(_Strict):
    """The codes that do the work, by their AiiDA labels; those of `aiida-haml setup` where they are left out."""

    cp2k: str | None = Field(default=None, description="CP2K, such as cp2k@localhost; not needed by a teacher screen.")
    engine: str | None = Field(default=None, description="haml-engine: training, evaluation, analysis.")
    lammps: str | None = Field(default=None, description="haml-lammps, or a LAMMPS binary with ML-IAP.")

    @field_validator("*")
    @classmethod
    def _full_label(cls, value: str | None) -> str | None:
        if value is not None and not re.fullmatch(r"[^@\s]+@[^@\s]+", value):
            raise ValueError("is not the full label of a code, such as cp2k@localhost")
        return value


class Teacher(_Strict):
    """An ASE calculator that is taken as ab initio: a rehearsal, whose numbers decide nothing."""

    calculator: str = Field(
        pattern=r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$", description="`module:Class` of an ASE calculator."
    )
    parameters: dict[str, Any] = Field(default={}, description="Keywords that the class is called with.")

    @field_validator("calculator")
    @classmethod
    def _trusted(cls, value: str) -> str:
        if refusal := complaint(value):
            raise ValueError(refusal)
        return value


class TeacherLevel(_Strict):
    """A level of theory with a chosen teacher."""

    teacher: Teacher = Field(description="The calculator and its parameters.")


def _level_tag(value: Any) -> str:
    return "custom" if isinstance(value, Mapping | BaseModel) else "preset"


Level = Annotated[
    Annotated[LevelName, Tag("preset")] | Annotated[TeacherLevel, Tag("custom")], Discriminator(_level_tag)
]


class ScreenSpec(_Strict):
    """A set of candidates, the protocol they run under, and how they are ranked."""

    name: str = Field(
        pattern=r"^[A-Za-z0-9][\w .-]{0,99}$",
        description="The screen's name: letters, digits, spaces, dots, dashes and underscores.",
    )
    host: Annotated[Host, BeforeValidator(lambda v: {"name": v} if isinstance(v, str) else v)] = Field(
        default=Host(), description="The solid electrolyte: a name, or more than that."
    )
    dopings: list[AnyDoping] = Field(
        default=[], description="The dopings of the host to compare; `pristine` or null is the undoped host."
    )
    electrolytes: list[Liquid] = Field(
        default=[], description="Liquid electrolytes to compare, instead of `host` and `dopings`."
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
        "exercises the pipeline and decides nothing; `pbe-szv` is DFT on a laptop; `pbe-dzvp` is production; "
        "`chgnet` and `teacher` rehearse.",
    )
    codes: Codes = Field(
        default=Codes(),
        description="Labels of the codes; those that `aiida-haml setup` registered for you where they are left out.",
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

    @model_validator(mode="after")
    def _something_to_compare(self) -> ScreenSpec:
        if not self.dopings and not self.electrolytes:
            raise ValueError("dopings|needs at least 1 item, or `electrolytes` does")
        if self.dopings and self.electrolytes:
            raise ValueError(
                "electrolytes|stands beside `dopings`, but solids and liquids are not ranked in one screen; make two"
            )
        idle = set(SOLID_ONLY if self.is_liquid else LIQUID_ONLY) & set(self.interface.structure())
        if idle:
            kind = "liquid" if self.is_liquid else "solid"
            raise ValueError(f"interface.{min(idle)}|has no meaning beside a {kind} electrolyte; leave it out")
        return self

    @property
    def is_liquid(self) -> bool:
        """Whether liquid electrolytes are compared."""
        return bool(self.electrolytes)

    @property
    def level_name(self) -> LevelName:
        """Name of the level of theory; `teacher` for a chosen teacher too."""
        return "teacher" if isinstance(self.level_of_theory, TeacherLevel) else self.level_of_theory

    @property
    def teacher(self) -> dict[str, Any] | None:
        """Calculator and parameters of a chosen teacher, or of the one for molecules; None for a preset."""
        level = self.level_of_theory
        if isinstance(level, TeacherLevel):
            return level.teacher.model_dump()
        return Teacher(calculator=MOLECULES_TEACHER).model_dump() if level == "teacher" and self.is_liquid else None

    def candidates(self) -> dict[str, dict[str, Any]]:
        """Expand electrolytes, temperatures and seeds, in this order of nesting.

        Returns
        -------
        dict
            Slug (a valid AiiDA link label, sorting in the order of the specification) to
            ``{"label", "structure", "temperature_K", "seed"}``; `structure` is what
            `aiida_haml.structures.candidates` takes. The label is for people; candidates that differ in their seed
            alone share it, and are pooled by the ranking. It names the temperature only where there are several.
        """
        from aiida_haml.structures.candidates import candidate_label

        runs = list(itertools.product(self.temperature_K, self.seeds))
        structures = list(self.structures())
        width = max(3, len(str(len(structures) * len(runs) - 1)))
        expanded: dict[str, dict[str, Any]] = {}
        for structure in structures:
            name = candidate_label(structure)
            for temperature, seed in runs:
                label = f"{name} {temperature:g} K" if len(self.temperature_K) > 1 else name
                slug = _slug(f"c{len(expanded):0{width}d}_{name}_{temperature:g}K_s{seed}")
                expanded[slug] = {"label": label, "structure": structure, "temperature_K": temperature, "seed": seed}
        return expanded

    def elements(self) -> list[str]:
        """Return the chemical symbols that occur in any candidate, in alphabetical order."""
        from aiida_haml.structures.candidates import candidate_elements

        return sorted({symbol for structure in self.structures() for symbol in candidate_elements(structure)})

    def structures(self) -> Iterator[dict[str, Any]]:
        """Yield the structures to compare, in the order of the specification."""
        return itertools.chain.from_iterable(structures for _, structures in self.entries())

    def entries(self) -> Iterator[tuple[str, Iterator[dict[str, Any]]]]:
        """Yield where each electrolyte stands in the specification (``dopings[1]``), and the structures it makes."""
        interface = self.interface.structure()
        for i, liquid in enumerate(self.electrolytes):
            structure = {"liquid": liquid.structure(), "interface": interface, "seed": 0}
            yield f"electrolytes[{i}]", iter([structure])
        for i, doping in enumerate(self.dopings):
            yield f"dopings[{i}]", _doped({"host": self.host.structure(), "interface": interface, "seed": 0}, doping)


def _doped(solid: dict[str, Any], doping: Doping | CoDoping | None) -> Iterator[dict[str, Any]]:
    if doping is None:
        yield {**solid, "doping": None, "compensation": None, "configuration": 0}
        return
    for substitutions in doping.substitutions():
        doped = {**solid, "doping": substitutions, "compensation": doping.compensation}
        for configuration in doping.configurations(doped):
            yield {**doped, "configuration": configuration}


def _slug(text: str) -> str:
    """Turn text into a link label: ASCII letters, digits and single underscores."""
    text = text.replace(".", "p")
    return re.sub(r"[^A-Za-z0-9]+", "_", text).strip("_")
