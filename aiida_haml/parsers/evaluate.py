"""What an evaluation found: errors, frame by frame and in all."""

from typing import Any, ClassVar

from aiida import orm
from aiida.engine import ExitCode

from aiida_haml.parsers.arrays import read_arrays
from aiida_haml.parsers.base import EngineParser


class EvaluateParser(EngineParser):
    """Store errors and deviations."""

    EXIT_CODES: ClassVar[dict[str, str]] = {
        "model_refused": "ERROR_MODEL_REFUSED",
        "diverged": "ERROR_DIVERGED",
    }

    def parse_results(self, results: dict[str, Any]) -> ExitCode | None:
        """Make ``errors``, ``tests`` and ``output_parameters``."""
        self.out("tests", read_arrays(self.retrieved, "tests"))
        self.out("errors", orm.Dict(results.pop("errors")))
        self.out("output_parameters", orm.Dict(results))
        return None
