"""Dopings as a specification has them: swept, sampled, several at once; and what they expand to."""

import itertools
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, Discriminator, Field, Tag, field_validator

from aiida_haml.structures.doping.settings import Compensation, Substitution
from aiida_haml.structures.host.crystal import Element
from aiida_haml.structures.settings import Fraction, Integer, Settings


def _as_list(value: Any) -> Any:
    return value if isinstance(value, list | tuple) else [value]


def or_list(item: Any) -> BeforeValidator:
    """Take a single item for a list of one."""
    return BeforeValidator(_as_list, json_schema_input_type=item | list[item])


class Samples(Settings):
    """Arrangements drawn by a seed, where there are too many to list."""

    sample: Annotated[Integer, Field(ge=1, le=1000)] = Field(description="How many different ones are drawn.")


def _as_configurations(value: Any) -> Any:
    if isinstance(value, str) and value not in ("all", "sqs"):
        raise ValueError("is neither a number, a list of numbers, all, sqs nor {sample: N}")
    return value if isinstance(value, str | Mapping | BaseModel) else _as_list(value)


class _Arranged(Settings):
    """What all dopings say: which arrangements, and how charge is balanced."""

    compensation: Compensation | None = Field(
        default=None, description="How a dopant of another charge is balanced: Li `vacancies` or `interstitials`."
    )
    configuration: Annotated[
        Annotated[list[Integer], Tag("list")]
        | Annotated[Literal["all", "sqs"], Tag("word")]
        | Annotated[Samples, Tag("samples")],
        Discriminator(lambda v: "word" if isinstance(v, str) else "list" if isinstance(v, list) else "samples"),
        BeforeValidator(_as_configurations, json_schema_input_type=int | list[int] | Samples | Literal["all", "sqs"]),
    ] = Field(
        default=Samples(sample=1),
        description="`{sample: N}` (N arrangements drawn by the seed, so that replicates differ in them; the default "
        "is 1), the number of a symmetry-distinct one, a list of numbers, `all`, or `sqs` (the one nearest to a random "
        "alloy). Number 0 has the dopants together, as all four O of a quarter on one P.",
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


class Doping(_Arranged):
    """One substitution in the host; lists are swept, every value with every other."""

    dopant: Annotated[list[Element], or_list(str)] = Field(
        min_length=1, description="Chemical symbol of the element that is put in: O, Se, F, Si, ...; or a list."
    )
    site: Annotated[list[str], or_list(str)] = Field(
        min_length=1,
        description="Sublattice that it goes to, by its Wyckoff letter in the host (4a, 4d or 16e in Li6PS5Cl), or "
        "an element for all of its sublattices; or a list.",
    )
    fraction: Annotated[list[Fraction], or_list(float)] = Field(
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
        yield [substitution.to_dict() for substitution in self.together]


def _doping_kind(value: Any) -> str:
    if value is None:
        return "pristine"
    together = "together" in value if isinstance(value, Mapping) else isinstance(value, CoDoping)
    return "codoping" if together else "single"


#: An entry of `dopings`; `pristine` or null is the undoped host.
AnyDoping = Annotated[
    Annotated[None, Tag("pristine")] | Annotated[Doping, Tag("single")] | Annotated[CoDoping, Tag("codoping")],
    Discriminator(_doping_kind),
    BeforeValidator(
        lambda value: None if value == "pristine" else value,
        json_schema_input_type=Literal["pristine"] | Doping | CoDoping | None,
    ),
]


def doped(solid: dict[str, Any], doping: Doping | CoDoping | None) -> Iterator[dict[str, Any]]:
    """Yield the structures that one entry makes of a solid, in its order."""
    if doping is None:
        yield {**solid, "doping": None, "compensation": None, "configuration": 0}
        return
    for substitutions in doping.substitutions():
        one = {**solid, "doping": substitutions, "compensation": doping.compensation}
        for configuration in doping.configurations(one):
            yield {**one, "configuration": configuration}
