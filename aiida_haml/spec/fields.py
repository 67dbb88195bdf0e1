"""The fields of a screen's specification, and the candidates that it expands to."""

from __future__ import annotations

import hashlib
import itertools
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationInfo, field_validator, model_validator

from aiida_haml.spec.dopings import AnyDoping, doped, or_list
from aiida_haml.spec.levels import MOLECULES_TEACHER, Codes, Level, LevelName, OwnLevel, Teacher, TeacherLevel
from aiida_haml.structures.errors import StructureError
from aiida_haml.structures.host.settings import Host, KnownHost, OwnHost
from aiida_haml.structures.interface.settings import SolidInterface
from aiida_haml.structures.liquid.settings import Liquid, LiquidInterface
from aiida_haml.structures.own_cell import OwnCell
from aiida_haml.structures.reference import AnyReference
from aiida_haml.structures.settings import Integer, Number, Seed, Settings

Protocol = Literal["quick", "fast", "moderate", "precise"]


class ScreenSpec(Settings):
    """A set of candidates, the protocol they run under, and how they are ranked."""

    name: str = Field(
        pattern=r"^[A-Za-z0-9][\w .-]{0,99}$",
        description="The screen's name: letters, digits, spaces, dots, dashes and underscores.",
    )
    host: Host = Field(default=KnownHost(), description="The solid electrolyte: a name, or more than that.")
    dopings: list[AnyDoping] = Field(
        default=[], description="The dopings of the host to compare; `pristine` or null is the undoped host."
    )
    electrolytes: list[Liquid] = Field(
        default=[], description="Liquid electrolytes to compare, instead of `host` and `dopings`."
    )
    cells: list[OwnCell] = Field(
        default=[],
        description="Interface cells of your own, instead of `dopings` or `electrolytes`, followed as they are; `host` "
        "is then what their electrolyte is compared with.",
    )
    references: list[AnyReference] = Field(
        default=[],
        description="Phases of your own that the interphase is compared with, besides those of the library: files, or "
        "`{file: Li3P7.cif, role: intermediate, conducts: both}`.",
    )
    interface: SolidInterface | LiquidInterface = Field(
        default={}, validate_default=True, description="The metal and how it meets the electrolyte."
    )
    lattice: Literal["measured", "relaxed"] | None = Field(
        default=None,
        description="Lattice constants of the host, doped, and of the metal, where `host.a_A` and "
        "`interface.metal_a_A` give none: relaxed at the level of theory, once each, or as measured; null: relaxed, "
        "but measured in a demonstration.",
    )
    demonstration: bool = Field(
        default=False,
        description="Whether this shows how it works, so that cells may hold too little metal for results.",
    )
    temperature_K: Annotated[list[Annotated[Number, Field(gt=0, le=5000)]], or_list(float)] = Field(
        default=[300.0],
        min_length=1,
        description="Temperature of the thermostat in K, or a list of them.",
    )
    replicates: Annotated[Integer, Field(ge=1, le=100)] = Field(
        default=1,
        description="How often each candidate is run, with seeds 1, 2, ...: the seed draws its disorder, the places of "
        "its lithium, and its velocities. With fewer than 3 no two candidates are told apart.",
    )
    seeds: Annotated[list[Seed], Field(min_length=1), or_list(int)] | None = Field(
        default=None, description="Seeds of your own, instead of `replicates`."
    )
    protocol: Protocol = Field(
        default="fast", description="Lengths, budgets and tolerances; `quick` is for demonstrations."
    )
    level_of_theory: Level = Field(
        default="gfn1-xtb",
        description="A preset, `{preset: pbe-dzvp, theory: {...}}` with keywords of CP2K of your own, or `{teacher: "
        "{calculator: 'module:Class', parameters: {}}}`. `gfn1-xtb` exercises the pipeline and decides nothing; "
        "`pbe-szv` is DFT on a laptop; `pbe-dzvp` is production; "
        "`chgnet` and `teacher` rehearse.",
    )
    potential: Annotated[str, Field(min_length=1, max_length=40)] | None = Field(
        default=None,
        description="Committee that drives the first stretches: the pk or UUID of one of this database, or `own` for "
        "its newest at this level of theory that knows the elements. Its labels are known from the start as well.",
        coerce_numbers_to_str=True,
    )
    foundation: Annotated[str, Field(min_length=1, max_length=40)] | None = Field(
        default=None,
        description="Models taught elsewhere that the first training begins with instead of random weights: `start` "
        "for those that come with the package, or the pk or UUID of others (MACE-MP and its like; imported, trusted). "
        "They are cut down to the elements of the screen, and their size and cutoff replace those of the protocol.",
        coerce_numbers_to_str=True,
    )
    labels: Annotated[str, Field(min_length=1, max_length=40)] | None = Field(
        default=None,
        description="Labels to learn from at the first round, without a committee: the pk or UUID of a pool, as "
        "`aiida-haml labels gather` makes one of imported labels, or `own` for the largest at this level of theory.",
        coerce_numbers_to_str=True,
    )
    codes: Codes = Field(
        default=Codes(),
        description="Labels of the codes; those that `aiida-haml setup` registered for you where they are left out.",
    )
    max_in_flight: Integer = Field(default=2, ge=1, le=1000, description="Candidates that run at the same time.")
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
    def _no_repeats(cls, value: list[float] | None) -> list[float] | None:
        if value and (repeated := sorted({v for v in value if value.count(v) > 1})):
            raise ValueError(f"repeats {', '.join(map(str, repeated))}, which would make duplicate candidates")
        return value

    @field_validator("interface", mode="before")
    @classmethod
    def _beside(cls, value: Any, info: ValidationInfo) -> SolidInterface | LiquidInterface:
        """Read the interface as that of a liquid where liquids are compared, or of a solid."""
        if isinstance(value, SolidInterface | LiquidInterface):
            return value
        liquid = bool(info.data.get("electrolytes", True))  # not there where it was refused
        return LiquidInterface.model_validate(value) if liquid else SolidInterface.model_validate(value)

    @model_validator(mode="after")
    def _something_to_compare(self) -> ScreenSpec:
        given = {name: n for name in ("dopings", "electrolytes", "cells") if (n := len(getattr(self, name)))}
        if not given:
            raise StructureError(
                "dopings",
                [],
                "needs at least 1 item, or `electrolytes` or `cells` does",
                "Give [pristine], to begin with.",
            )
        if len(given) > 1:
            first, *_, last = given
            problem = f"stand beside `{first}`, but different kinds are not ranked in one screen"
            raise StructureError(last, f"{given[last]} of them", problem, "Make two files.")
        if self.cells and "interface" in self.model_fields_set:
            raise StructureError("interface", None, "is said of `cells`, which are taken as they are", "Leave it out.")
        if self.labels is not None and self.potential is not None:
            raise StructureError("labels", self.labels, "stand beside `potential`, which brings its own", "Give one.")
        if self.seeds and self.replicates not in (1, len(self.seeds)):
            raise StructureError("replicates", self.replicates, "stands beside `seeds`", "Give one of the two.")
        if self.foundation is not None and self.potential is not None:
            raise StructureError("foundation", self.foundation, "stands beside `potential`", "Give one of the two.")
        return self

    @property
    def is_liquid(self) -> bool:
        """Whether liquid electrolytes are compared."""
        return bool(self.electrolytes)

    @property
    def relaxes_lattices(self) -> bool:
        """Whether the cells are built of lattice constants at the level of theory."""
        return (self.lattice or ("measured" if self.demonstration else "relaxed")) == "relaxed"

    @property
    def own_host(self) -> dict[str, Any] | None:
        """The host where it is a person's own crystal, as `aiida_haml.structures` takes it."""
        return self.host.to_dict() if isinstance(self.host, OwnHost) else None

    @property
    def own_phases(self) -> dict[str, Any]:
        """What `aiida_haml.analysis.settings.DescriptionSettings` has to know of a person's own host and phases."""
        host = {} if self.own_host is None else {"host": _as_text(self.own_host)}
        references = [_as_text(phase.to_dict()) for phase in self.references]
        return host | ({"references": references} if references else {})

    @property
    def run_seeds(self) -> list[int]:
        """The seeds of the replicates."""
        return self.seeds or list(range(1, self.replicates + 1))

    @property
    def level_name(self) -> LevelName:
        """Name of the preset that the level of theory is, or starts from; `teacher` for a chosen teacher too."""
        level = self.level_of_theory
        if isinstance(level, OwnLevel):
            return level.preset
        return "teacher" if isinstance(level, TeacherLevel) else level

    @property
    def theory(self) -> dict[str, Any] | None:
        """What the screen's level says instead of its preset, or beside it; None where it is the preset.

        Calculator and parameters of a teacher, a chosen one or that of molecules; or keywords of CP2K.
        """
        level = self.level_of_theory
        if isinstance(level, OwnLevel):
            return level.theory
        if isinstance(level, TeacherLevel):
            return level.teacher.model_dump()
        return Teacher(calculator=MOLECULES_TEACHER).model_dump() if level == "teacher" and self.is_liquid else None

    @property
    def gaussians(self) -> dict[str, Any]:
        """What the screen's level says of basis sets and pseudopotentials beside its preset."""
        return self.level_of_theory.gaussians if isinstance(self.level_of_theory, OwnLevel) else {}

    def advice(self) -> list[str]:
        """Return what a person should know before results are taken from the screen."""
        told = []
        if len(self.run_seeds) < 3:
            told.append(
                f"replicates: {len(self.run_seeds)}; 3 or more are recommended, as the scatter of seeds is the only "
                "honest measure of what is told apart"
            )
        if self.demonstration:
            told.append("demonstration: cells may hold too little metal for results; nothing is to be concluded")
        return told

    def candidates(self) -> dict[str, dict[str, Any]]:
        """Expand electrolytes, temperatures and seeds, in this order of nesting; a seed draws structure and velocities.

        Returns
        -------
        dict
            Slug (a valid AiiDA link label, which says what the candidate is and not where it stands, so that another
            order computes nothing again) to ``{"label", "structure", "temperature_K", "seed"}``; `structure` is what
            `aiida_haml.structures.candidates` takes. The label is for people; candidates that differ in their seed
            alone share it, and are pooled by the ranking. It names the temperature only where there are several.
        """
        from aiida_haml.structures.candidates import candidate_label

        runs = list(itertools.product(self.temperature_K, self.run_seeds))
        structures = {candidate_label(structure): structure for structure in self.structures()}
        slugs = _slugs(structures)
        expanded: dict[str, dict[str, Any]] = {}
        for name, structure in structures.items():
            for temperature, seed in runs:
                label = f"{name} {temperature:g} K" if len(self.temperature_K) > 1 else name
                slug = _slug(f"{slugs[name]}_{temperature:g}K_s{seed}")
                seeded = {**structure, "seed": seed}
                expanded[slug] = {"label": label, "structure": seeded, "temperature_K": temperature, "seed": seed}
        return expanded

    def elements(self) -> list[str]:
        """Return the chemical symbols that occur in any candidate, in alphabetical order."""
        from aiida_haml.structures.candidates import candidate_elements

        return sorted({symbol for structure in self.structures() for symbol in candidate_elements(structure)})

    def structures(self) -> Iterator[dict[str, Any]]:
        """Yield the structures to compare, in the order of the specification, for the first seed."""
        return itertools.chain.from_iterable(structures for _, structures in self.entries())

    def entries(self) -> Iterator[tuple[str, Iterator[dict[str, Any]]]]:
        """Yield where each electrolyte stands in the specification (``dopings[1]``), and the structures it makes."""
        common = {"interface": self.interface.to_dict(), "seed": self.run_seeds[0]}
        for i, liquid in enumerate(self.electrolytes):
            yield f"electrolytes[{i}]", iter([{"liquid": liquid.to_dict(), **common}])
        for i, cell in enumerate(self.cells):
            yield f"cells[{i}]", iter([{"cell": cell.to_dict(), "seed": common["seed"]}])
        for i, doping in enumerate(self.dopings):
            yield f"dopings[{i}]", doped({"host": self.host.to_dict(), **common}, doping)


def _as_text(settings: dict[str, Any]) -> str:
    return json.dumps(settings, sort_keys=True)


def _slugs(names: Iterable[str]) -> dict[str, str]:
    """Return the slug of each name; those that punctuation alone tells apart get a piece of their hash."""
    slugs = {name: _slug(name) for name in names}
    met = Counter(slugs.values())
    return {name: slug if met[slug] == 1 else f"{slug}_{_digest(name)}" for name, slug in slugs.items()}


def _slug(text: str) -> str:
    """Turn text into a link label: ASCII letters, digits and single underscores, a letter first."""
    slug = re.sub(r"[^A-Za-z0-9]+", "_", text.replace(".", "p")).strip("_")
    return slug if slug[:1].isalpha() else f"c{slug}"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:6]
