"""Settings of a doping: substitutions made together, and which of their arrangements."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from aiida_haml.structures.errors import StructureError
from aiida_haml.structures.host.crystal import Element
from aiida_haml.structures.settings import Integer, Number, Settings

Compensation = Literal["vacancies", "interstitials"]


class Substitution(Settings):
    """One element on one sublattice."""

    dopant: Element = Field(description="Chemical symbol of the element that is put in: O, Se, F, Si, ...")
    site: str = Field(
        min_length=1,
        description="Sublattice by its Wyckoff letter in the host (4a, 4d or 16e in Li6PS5Cl), or an element for all "
        "of its sublattices.",
    )
    fraction: Annotated[Number, Field(ge=0, le=1)] = Field(
        description="Share of the sublattice's sites that are replaced, 0 to 1; of its lithium, where that is drawn."
    )


class Sample(Settings):
    """One arrangement drawn by the seed."""

    sample: Annotated[Integer, Field(ge=0)] = Field(description="Which of the distinct draws, from 0 on.")


def _plain(value: Any) -> Any:
    """Refuse what names no arrangement in one sentence, not once for each form."""
    kinds = isinstance(value, (int, Mapping, Sample)) or value == "sqs"
    number = value.get("sample") if isinstance(value, Mapping) and set(value) == {"sample"} else value
    good = isinstance(number, (Sample, str)) or (
        isinstance(number, int) and not isinstance(number, bool) and number >= 0
    )
    if not kinds or not good:
        raise StructureError(
            "", value, "names no arrangement", 'Give an index from 0 on, {"sample": k} with k from 0 on, or "sqs".'
        )
    return value


#: Which arrangement: its index among the distinct ones, a draw, or the one nearest to a random alloy.
Configuration = Annotated[int | Sample | Literal["sqs"], BeforeValidator(_plain)]


def read_doping(doping: object, field: str = "doping") -> tuple[Substitution, ...]:
    """Read a list of substitutions, a single one, or None, given for a field.

    Raises
    ------
    StructureError
        If a value makes no sense in any host; it names the substitution at fault where there are several.
    """
    given = [doping] if isinstance(doping, (Mapping, Substitution)) else [] if doping is None else doping
    if not isinstance(given, Sequence) or isinstance(given, str):
        raise StructureError(
            field, doping, "is no list of substitutions", "Give [{dopant: O, site: 16e, fraction: 0.25}], or null."
        )
    several = len(given) > 1
    return tuple(Substitution.read(one, f"{field}[{k}]" if several else field) for k, one in enumerate(given))


def numbered_field(field: str, k: int, n: int) -> str:
    """Return the field of the k-th of n substitutions: doping.site, or doping[1].site where there are several."""
    return field.replace("doping", f"doping[{k}]", 1) if n > 1 else field
