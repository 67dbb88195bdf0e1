"""A person's own reference phase: a crystal from a file, with what it is in a reaction."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from ase import Atoms
from pydantic import BeforeValidator, Field, model_validator

from aiida_haml.structures.cif import SHARE_TOLERANCE
from aiida_haml.structures.errors import StructureError
from aiida_haml.structures.host.from_file import FromFile


class Reference(FromFile):
    """A crystal that environments are compared with, besides those of the library."""

    name: str = Field(default="", max_length=40, description="What it is called in results; the formula, else.")
    role: Literal["thiophosphate", "intermediate", "product"] = Field(
        default="product",
        description="What it is in the reaction: a thiophosphate still holds P's (C's, N's) bonds to what is more "
        "electronegative, in an intermediate P is bound to P, a product is the end.",
    )
    conducts: Literal["ions", "electrons", "both"] = Field(
        default="ions", description="What carries charge in it: a layer that conducts electrons does not protect."
    )

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
