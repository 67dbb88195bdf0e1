"""What is wrong with a specification: the field, the value, the reason and the remedy."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

#: Problems that a message lists; one mistake can make hundreds.
MOST_TOLD = 30


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong with a specification.

    Parameters
    ----------
    path : str
        The field, as in ``dopings[1].fraction``.
    value : str
        What stands there.
    reason : str
        What is wrong with it.
    remedy : str
        What to write instead.
    """

    path: str
    value: str
    reason: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.path}: {self.value} {self.reason}. {self.remedy}"


class SpecError(ValueError):
    """A specification that cannot be run, with every problem that was found in it.

    Parameters
    ----------
    source : str
        The file that was read.
    problems : list of Problem
    """

    def __init__(self, source: str, problems: Iterable[Problem]):
        self.source = source
        self.problems = list(problems)
        count = f"{len(self.problems)} problem{'' if len(self.problems) == 1 else 's'}"
        lines = [f"  {problem}" for problem in self.problems[:MOST_TOLD]]
        lines += [f"  ... and {len(self.problems) - MOST_TOLD} more"] if len(self.problems) > MOST_TOLD else []
        super().__init__("\n".join([f"{source}: {count}", *lines]))


def place(where: str, field: str) -> str:
    """Return where a person wrote what the structures call ``field``."""
    field = re.sub(r"^doping(\[0\])?\.", "", field)
    field = re.sub(r"^doping\[(\d+)\]", r"together[\1]", field).removeprefix("liquid.")
    return field if field.split(".")[0] in ("host", "interface") else f"{where}.{field}"
