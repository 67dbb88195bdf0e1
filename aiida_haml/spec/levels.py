"""The level of theory of a screen, and the codes that do the work."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from ase.data import atomic_numbers
from pydantic import BaseModel, Discriminator, Field, Tag, field_validator, model_validator

from aiida_haml.engines.calculators import complaint
from aiida_haml.spec.cp2k_keywords import check_theory
from aiida_haml.structures.settings import Settings

#: The teacher of liquids; that of solids is in the preset of the name.
MOLECULES_TEACHER = "aiida_haml.engines.toy_molecules:ToyMolecules"
LevelName = Literal["gfn1-xtb", "pbe-szv", "pbe-dzvp", "chgnet", "teacher"]


class Codes(Settings):
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


class Teacher(Settings):
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


class TeacherLevel(Settings):
    """A level of theory with a chosen teacher."""

    teacher: Teacher = Field(description="The calculator and its parameters.")


class Kind(Settings):
    """Basis set and pseudopotential of an element, by their names."""

    basis: str | None = Field(default=None, description="Such as TZVP-MOLOPT-GTH; the preset's where left out.")
    pseudo: str | None = Field(default=None, description="Such as GTH-PBE-q3; the preset's where left out.")


class OwnLevel(Settings):
    """A preset of CP2K with keywords of one's own: cutoffs, k-points, dispersion, spin, basis sets."""

    preset: Literal["gfn1-xtb", "pbe-szv", "pbe-dzvp"] = Field(description="What it starts from.")
    theory: dict[str, Any] = Field(
        default={},
        description="Keywords below CP2K's FORCE_EVAL, merged over the preset's and hashed with them: "
        "`{DFT: {MGRID: {CUTOFF: 600}, KPOINTS: {SCHEME: MONKHORST-PACK 2 2 1}, UKS: true}}`.",
    )

    kinds: dict[str, Kind] = Field(
        default={},
        description="By element, merged over the preset's and hashed by content: `{S: {basis: TZVP-MOLOPT-GTH}}`.",
    )
    basis_group: str | None = Field(
        default=None,
        description="Group of basis sets in the database, of `verdi data gaussian.basisset import FILE -G LABEL`; "
        "those of CP2K's data folder where left out.",
    )
    pseudo_group: str | None = Field(
        default=None, description="The same of pseudopotentials, of `verdi data gaussian.pseudo import`."
    )

    @field_validator("theory")
    @classmethod
    def _known_and_harmless(cls, value: dict[str, Any]) -> dict[str, Any]:
        check_theory(value)
        return value

    @field_validator("kinds")
    @classmethod
    def _elements(cls, value: dict[str, Kind]) -> dict[str, Kind]:
        if unknown := [symbol for symbol in value if symbol not in atomic_numbers or symbol == "X"]:
            raise ValueError(f"names {unknown[0]!r}, which is no element; give chemical symbols, such as Li")
        return value

    @model_validator(mode="after")
    def _has_basis_sets(self) -> OwnLevel:
        if self.preset == "gfn1-xtb" and self.gaussians:
            raise ValueError(f"has no basis sets, so that {next(iter(self.gaussians))} says nothing of it")
        return self

    @property
    def gaussians(self) -> dict[str, Any]:
        """What is said of basis sets and pseudopotentials."""
        return self.model_dump(include={"kinds", "basis_group", "pseudo_group"}, exclude_defaults=True)


def _level_tag(value: Any) -> str:
    if isinstance(value, BaseModel):
        return "teacher" if isinstance(value, TeacherLevel) else "own"
    if isinstance(value, Mapping):
        return "teacher" if "teacher" in value else "own"
    return "preset"


Level = Annotated[
    Annotated[LevelName, Tag("preset")] | Annotated[TeacherLevel, Tag("teacher")] | Annotated[OwnLevel, Tag("own")],
    Discriminator(_level_tag),
]
