"""What all settings of structures share: one pydantic base, and numbers that are not true or false."""

from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, Strict, TypeAdapter, ValidationError

from aiida_haml.structures.refusals import refusals

#: Numbers; true, false and text are none.
Number = Annotated[float, Strict()]
Integer = Annotated[int, Strict()]
#: A share of something that is there at all.
Fraction = Annotated[Number, Field(gt=0, le=1)]
#: Seeds are 31-bit numbers: what every engine takes.
Seed = Annotated[Integer, Field(ge=0, lt=2**31)]


class Settings(BaseModel):
    """Frozen settings; unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @classmethod
    def read(cls, given: object, field: str = "") -> Self:
        """Read plain values.

        Parameters
        ----------
        given : mapping or an instance
        field : str
            What the values are given for, as errors name it.

        Raises
        ------
        StructureError
            With the first field that is refused.
        """
        return read(cls, given, field)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values with every default written out; reading them again changes nothing."""
        return self.model_dump(mode="json")


def read(schema: Any, given: object, field: str = "") -> Any:
    """Read plain values as a type or an annotation says; see :meth:`Settings.read`.

    Raises
    ------
    StructureError
        With the first field that is refused.
    """
    try:
        return TypeAdapter(schema).validate_python(given)
    except ValidationError as error:
        raise refusals(error, schema, given, field)[0] from error
