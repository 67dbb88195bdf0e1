"""Settings of a host: one that is known by name, or a crystal of a person's own.

::

    {"name": "Li6PS5Cl", "lithium": "48h", "exchange": 0.5, "a_A": None, "supercell": [1, 1, 1]}
    {"file": "mine.cif", "round": True, "charges": {"P": -3}}
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, Discriminator, Field, Tag

from aiida_haml.structures.errors import StructureError
from aiida_haml.structures.host.crystal import Charges
from aiida_haml.structures.host.from_file import FromFile
from aiida_haml.structures.settings import Integer, Number, Settings, read

Repeat = Annotated[Integer, Field(ge=1, le=20)]


class _Cell(Settings):
    """What every host can be asked: its size, and how its occupancies and charges are taken."""

    a_A: Annotated[Number, Field(gt=2, lt=100)] | None = Field(
        default=None, description="Length of the first cell vector, Angstrom, the others in proportion; null: measured."
    )
    supercell: tuple[Repeat, Repeat, Repeat] = Field(
        default=(1, 1, 1), description="Cells along each vector; finer fractions need more."
    )
    charges: Charges = Field(
        default={}, description="Oxidation states, such as {P: -3}, before those of the file and the usual ones."
    )
    round: bool = Field(
        default=False,
        description="Take the nearest neutral composition of whole atoms that the cell can hold, where occupancies, "
        "as refined ones, make none.",
    )


class KnownHost(_Cell):
    """The argyrodite Li6PS5Cl, disordered as people make it."""

    name: Literal["Li6PS5Cl"] = Field(default="Li6PS5Cl", description="A host that is known by its name.")
    lithium: Literal["24g", "48h"] = Field(
        default="48h", description="Sites of Li: 48h (half occupied, drawn by the seed), or 24g (full, a saddle)."
    )
    exchange: Annotated[Number, Field(ge=0, le=1)] = Field(
        default=0.5,
        description="Share of Cl on 4a that has changed places with S on 4d, 0 to 1: 0.4 to 0.6 in what people make. "
        "Which ones is drawn by the seed.",
    )


class OwnHost(_Cell, FromFile):
    """A crystal from a file."""


def _as_mapping(value: Any) -> Any:
    return {"name": value} if isinstance(value, str) else value


def _kind(value: Any) -> str:
    own = isinstance(value, OwnHost) or (isinstance(value, Mapping) and {"file", "crystal"} & set(value))
    return "own" if own else "known"


#: A host as a person writes it: a name, or a mapping of one of the two kinds.
Host = Annotated[
    Annotated[KnownHost, Tag("known")] | Annotated[OwnHost, Tag("own")],
    Discriminator(_kind),
    BeforeValidator(_as_mapping, json_schema_input_type=str | KnownHost | OwnHost),
]


def read_host(host: object) -> KnownHost | OwnHost:
    """Read a host: its name, or its settings as a mapping.

    Raises
    ------
    StructureError
        If a name, a key or a value is unknown or makes no sense.
    """
    if not isinstance(host, (str, Mapping, BaseModel)):
        raise StructureError("host", host, "is neither a name nor settings", "Give Li6PS5Cl, or {file: mine.cif}.")
    return read(Host, host, "host")


def host_settings(host: object) -> dict[str, Any]:
    """Return a host as plain values with its defaults written out; see :func:`read_host`."""
    return read_host(host).to_dict()
