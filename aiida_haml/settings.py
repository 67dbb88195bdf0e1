"""What settings classes share: from and to plain dictionaries, refusals that name field, value and remedy."""

import difflib
import math
from collections.abc import Mapping
from dataclasses import asdict, fields
from typing import Any, ClassVar, Self


class Settings:
    """Base of frozen dataclasses of settings that travel as plain dictionaries."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    @classmethod
    def from_dict(cls, values: Mapping[str, Any] | None) -> Self:
        """Make the settings from a dictionary; what it leaves out keeps its default, and lists become tuples.

        Raises
        ------
        ValueError
            If a key is unknown, a needed one is missing, or a value is refused.
        """
        known = [f.name for f in fields(cls)]
        given = {key: tuple(v) if isinstance(v, list) else v for key, v in (values or {}).items()}
        for key in given:
            if key not in known:
                near = difflib.get_close_matches(key, known, n=1)
                hint = f"did you mean {near[0]}?" if near else f"it has to be one of {', '.join(known)}."
                raise ValueError(f"{key} is not a setting of {cls.__name__}; {hint}")
        try:
            return cls(**given)
        except TypeError as error:
            raise ValueError(f"The settings of {cls.__name__} are incomplete: {error}.") from error

    def to_dict(self) -> dict[str, Any]:
        """Return all settings as a plain dictionary of JSON's types."""
        return {key: list(v) if isinstance(v, tuple) else v for key, v in asdict(self).items()}

    def need(self, name: str, good: bool, what: str) -> None:
        """Refuse the value of a setting that is not good.

        Raises
        ------
        ValueError
        """
        if not good:
            raise ValueError(f"{name} is {getattr(self, name)!r}; give {what}.")


def require_integer(name: str, value: Any, low: int, high: int | None = None) -> None:
    """Refuse what is not an integer from ``low`` to ``high``.

    Raises
    ------
    ValueError
    """
    ok = isinstance(value, int) and not isinstance(value, bool) and value >= low
    if not ok or (high is not None and value > high):
        raise ValueError(f"{name} is {value!r}; give an integer {_range(low, high)}.")


def require_number(name: str, value: Any, low: float = 0.0, high: float = math.inf, *, open_low: bool = True) -> None:
    """Refuse what is not a finite number above ``low`` (or equal, if not ``open_low``) and up to ``high``.

    Raises
    ------
    ValueError
    """
    ok = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    if not ok or value > high or value < low or (open_low and value == low):
        bound = f"above {low:g}" if open_low else f"of {low:g} or more"
        limit = "" if math.isinf(high) else f", at most {high:g}"
        raise ValueError(f"{name} is {value!r}; give a number {bound}{limit}.")


def require_choice(name: str, value: Any, choices: tuple[str, ...]) -> None:
    """Refuse what is none of ``choices``.

    Raises
    ------
    ValueError
    """
    if value not in choices:
        raise ValueError(f"{name} is {value!r}; it has to be one of {', '.join(choices)}.")


def _range(low: int, high: int | None) -> str:
    return f"of {low} or more" if high is None else f"from {low} to {high}"
