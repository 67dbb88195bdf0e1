"""What a check of a cell found: passed or not, with numbers."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from ase import Atoms

from aiida_haml.structures.errors import StructureError


@dataclass(frozen=True)
class Finding:
    """What one check found.

    Parameters
    ----------
    check : str
        Its name.
    passed : bool or None
        None where the check does not apply or cannot tell.
    field, value, problem, remedy
        As :class:`~aiida_haml.structures.errors.StructureError` has them. Where the check did not fail,
        ``problem`` is the end of a whole sentence with the numbers that were found, and there is no remedy.
    """

    check: str
    passed: bool | None
    field: str
    value: Any
    problem: str
    remedy: str = ""

    def __str__(self) -> str:
        if self.passed is False:
            return f"{self.check}: failed: {self.error()}"
        return f"{self.check}: {'passed' if self.passed else 'not judged'}: {self.problem}."

    def error(self) -> StructureError:
        """Return the exception that says the same."""
        return StructureError(self.field, self.value, self.problem, self.remedy)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return asdict(self)


#: A check of a cell; liquids bring their own beside those of all cells.
Check = Callable[[Atoms], Finding]


def require(finding: Finding) -> None:
    """Raise what did not pass.

    Raises
    ------
    StructureError
        If the finding is a failure.
    """
    if finding.passed is False:
        raise finding.error()
