"""A person's own reference phase: a crystal from a file, with what it is in a reaction."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from ase import Atoms
from pydantic import BeforeValidator, Field, ValidationInfo, model_validator

from aiida_haml.structures.cif import SHARE_TOLERANCE
from aiida_haml.structures.errors import StructureError
from aiida_haml.structures.host.crystal import Crystal, read_crystal
from aiida_haml.structures.settings import Settings


class Reference(Settings):
    """A crystal that environments are compared with, besides those of the library."""

    name: str = Field(min_length=1, max_length=40, description="What it is called in results; the formula, else.")
    file: str | None = Field(
        default=None,
        exclude=True,
        description="A CIF, or any file that ASE reads, relative to the specification; its content is kept.",
    )
    role: Literal["thiophosphate", "intermediate", "product"] = Field(
        default="product",
        description="What it is in the reaction: a thiophosphate still holds P's (C's, N's) bonds to what is more "
        "electronegative, in an intermediate P is bound to P, a product is the end.",
    )
    conducts: Literal["ions", "electrons", "both"] = Field(
        default="ions", description="What carries charge in it: a layer that conducts electrons does not protect."
    )
    crystal: Crystal = Field(description="The content of `file`, all sites full; filled in on reading.")

    # A person gives the file, from which the rest is filled in.
    model_config = {"json_schema_extra": lambda schema: schema.update(required=[])}

    @model_validator(mode="before")
    @classmethod
    def _read_file(cls, value: Any, info: ValidationInfo) -> Any:
        """Put the file's content in its place: a specification is whole without it."""
        if not isinstance(value, Mapping):
            return value
        content = dict(value)
        if isinstance(content.get("file"), str) and content.get("crystal") is None:
            content["crystal"] = read_crystal(Path((info.context or {}).get("folder", "."), content["file"]))
        if isinstance(content.get("crystal"), Mapping):
            content["crystal"] = Crystal.read(content["crystal"], "crystal")
        if isinstance(content.get("crystal"), Crystal):
            content["name"] = content.get("name") or content["crystal"].name
        return content

    @model_validator(mode="after")
    def _ordered(self) -> Reference:
        for site in self.crystal.sites:
            if len(site.occupancy) > 1 or sum(site.occupancy.values()) < 1 - SHARE_TOLERANCE:
                shares = ", ".join(f"{element} {share:g}" for element, share in site.occupancy.items())
                raise StructureError(
                    "file", self.crystal.source, f"has {shares} on {site.label}; a reference has full sites",
                    "Give an ordered cell of the phase.",
                )  # fmt: skip
        return self

    @property
    def atoms(self) -> Atoms:
        """The crystal; ``spacegroup_kinds`` numbers the sites that symmetry makes equal."""
        symbols = [next(iter(site.occupancy)) for site in self.crystal.sites]
        scaled = [site.scaled for site in self.crystal.sites]
        atoms = Atoms(symbols, scaled_positions=scaled, cell=self.crystal.cell, pbc=True)
        labels = [site.label for site in self.crystal.sites]
        atoms.set_array("spacegroup_kinds", [sorted(set(labels)).index(label) for label in labels], int)
        return atoms


def _as_mapping(value: Any) -> Any:
    return {"file": value} if isinstance(value, str) else value


#: A reference as a person writes it: a file, or a mapping.
AnyReference = Annotated[Reference, BeforeValidator(_as_mapping, json_schema_input_type=str | Reference)]
