"""The one exception of the structure builders."""

from __future__ import annotations

#: Characters of a value that a message shows: what is longer is a whole table, and its beginning says which.
_MOST_SHOWN = 160


class StructureError(ValueError):
    """A structure, or the wish for one, that is refused.

    Parameters
    ----------
    field : str
        Dotted name of the setting or quantity at fault, as the user wrote it (``doping.fraction``).
    value : object
        What it was.
    problem : str
        What is wrong with it: the end of a sentence that starts with the value, without the full stop.
    remedy : str
        What to do about it, as a full sentence.
    """

    def __init__(self, field: str, value: object, problem: str, remedy: str) -> None:
        super().__init__(f"{field}: {_in_short(value)} {problem}. {remedy}")
        self.field = field
        self.value = value
        self.problem = problem
        self.remedy = remedy

    def __reduce__(self) -> tuple[type[StructureError], tuple[str, object, str, str]]:
        return type(self), (self.field, self.value, self.problem, self.remedy)


def _in_short(value: object) -> str:
    """Return a value as Python writes it, cut where it would fill a screen."""
    text = repr(value)
    return text if len(text) <= _MOST_SHOWN else f"{text[:_MOST_SHOWN]}..."
