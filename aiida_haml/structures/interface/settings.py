"""Settings of an interface: the metal, and how it meets a solid or a liquid electrolyte."""

import re
from math import gcd
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from aiida_haml.structures.errors import StructureError
from aiida_haml.structures.interface.match import Limits
from aiida_haml.structures.settings import Integer, Number, Settings

Indices = tuple[int, int, int]

#: Largest Miller index.
MAX_INDEX = 4

#: A vacuum thinner than this is a gap that atoms see across, Angstrom.
LEAST_VACUUM = 8.0


def read_indices(facet: object) -> Indices:
    """Return the Miller indices of ``"110"``, ``"1-10"``, ``110`` or ``[1, 1, 0]``.

    Raises
    ------
    StructureError
        If that is no lattice plane, or an index is above 4.
    """
    remedy = 'Give three digits such as "100", "110", "111" or "1-10", or a list of three whole numbers.'
    text = f"{facet:03d}" if isinstance(facet, int) and not isinstance(facet, bool) else facet  # YAML reads 110 as one
    if isinstance(text, str) and re.fullmatch(r"(-?\d){3}", text):
        indices = [int(digit) for digit in re.findall(r"-?\d", text)]
    elif isinstance(facet, (list, tuple)) and len(facet) == 3 and all(type(h) is int for h in facet):
        indices = list(facet)
    else:
        raise StructureError("", facet, "is not a lattice plane", remedy)
    if not any(indices) or max(map(abs, indices)) > MAX_INDEX:
        raise StructureError("", facet, f"is not a lattice plane with indices up to {MAX_INDEX}", remedy)
    first, second, third = (index // gcd(*indices) for index in indices)
    return first, second, third


def _facet(value: Any) -> str:
    return "".join(map(str, read_indices(value)))


def _vacuum(value: float) -> float:
    if 0 < value < LEAST_VACUUM:
        raise StructureError(
            "", value, "is so thin that atoms see across it", f"Give 0, or {LEAST_VACUUM:g} Angstrom and more."
        )
    return value


def _gap(value: Any) -> Any:
    if value == "scan":
        raise StructureError(
            "",
            value,
            "would minimise a pair energy, and none is meaningful between a metal and ions",
            "Leave it out for contact as in crystals, give a distance, or let the potential relax the cell.",
        )
    return value


Facet = Annotated[str, BeforeValidator(_facet, json_schema_input_type=str | int | list[int])]
Repeat = Annotated[Integer, Field(ge=1, le=50)]


class MetalSlab(Settings):
    """The metal, and what is said of it beside any electrolyte."""

    metal: Literal["Li"] = Field(default="Li", description="The anode's metal.")
    facet: Annotated[
        Literal["100", "110", "111"],
        BeforeValidator(_facet, json_schema_input_type=Literal["100", "110", "111", 100, 110, 111] | list[int]),
    ] = Field(default="100", description="Miller indices of the metal's face: 100, 110 or 111.")
    layers: Annotated[Integer, Field(ge=1, le=200)] | None = Field(
        default=None,
        description="Atomic layers of the metal; null: as many as make 10 Angstrom and, beside a solid, hold 1.5 times "
        "the lithium that the electrolyte can take up.",
    )
    metal_a_A: Annotated[Number, Field(gt=2, le=8)] | None = Field(
        default=None, description="Lattice constant of the metal, Angstrom; null: the measured one."
    )
    gap_A: Annotated[Number, Field(gt=0.5, le=20), BeforeValidator(_gap)] | None = Field(
        default=None, description="Distance between the facing planes, Angstrom; null: contact by atomic radii."
    )

    @property
    def facet_indices(self) -> Indices:
        """Miller indices of the metal's surface."""
        return read_indices(self.facet)


class SolidInterface(MetalSlab):
    """The cell of metal and solid electrolyte. What is left out is chosen by the builder, which says what it chose."""

    max_strain: Annotated[Number, Field(gt=0, le=0.15)] = Field(
        default=0.03, description="Largest principal strain of either side in a match."
    )
    max_area_A2: Annotated[Number, Field(gt=10, le=2000)] = Field(
        default=200.0, description="Largest area of the interface searched for a match, Angstrom^2."
    )
    electrolyte_facet: Facet = Field(
        default="100",
        description="Miller indices of the electrolyte's face, in the host's own cell: 100, 110, 1-10, ...",
    )
    cut: Annotated[Integer, Field(ge=0, le=100_000)] = Field(
        default=0, description="Number of the cut among those that break no PS4, non-polar ones first."
    )
    match: Annotated[Integer, Field(ge=0, le=100_000)] = Field(
        default=0, description="Number of the commensurate match, the smallest cell first."
    )
    metal_share: Annotated[Number, Field(ge=0, le=1)] = Field(
        default=1.0, description="The metal's share of the misfit, 0 to 1; the electrolyte takes the rest."
    )
    electrolyte_cells: Repeat = Field(default=1, description="Repeats of the host's cell along the normal.")
    repeat: tuple[Repeat, Repeat] = Field(default=(1, 1), description="Repeats of the matched cell in its plane.")
    vacuum_A: Annotated[Number, Field(ge=0, le=200), AfterValidator(_vacuum)] = Field(
        default=0.0, description="Empty layer on the metal, Angstrom, 8 at least; 0: the electrolyte's image follows."
    )
    symmetric: bool = Field(
        default=False,
        description="Whether both faces of the electrolyte have to be the same; with a vacuum there is metal on both.",
    )

    @property
    def indices(self) -> Indices:
        """Miller indices of the electrolyte's surface."""
        return read_indices(self.electrolyte_facet)

    @property
    def metal_slabs(self) -> int:
        """How many slabs of metal there are: two where a symmetric electrolyte lies between vacuum-topped ones."""
        return 2 if self.vacuum_A and self.symmetric else 1

    @property
    def limits(self) -> Limits:
        """What a match may cost."""
        return Limits(self.max_strain, self.max_area_A2, self.metal_share)
