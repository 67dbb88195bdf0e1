"""What an evaluation found: errors, deviations and their calibration."""

from __future__ import annotations

import io
from typing import Any, ClassVar

import numpy as np
from aiida import orm
from aiida.engine import ExitCode

from aiida_haml.parsers.base import EngineParser


class EvaluateParser(EngineParser):
    """Store errors and deviations."""

    EXIT_CODES: ClassVar[dict[str, str]] = {
        "model_refused": "ERROR_MODEL_REFUSED",
        "diverged": "ERROR_DIVERGED",
    }

    def parse_results(self, results: dict[str, Any]) -> ExitCode | None:
        """Make ``errors``, ``deviations`` and ``output_parameters``."""
        content = self.retrieved.base.repository.get_object_content("deviations.npy", mode="rb")
        deviations = np.load(io.BytesIO(content), allow_pickle=False)
        self.out("errors", orm.Dict(results.pop("errors")))
        self.out("deviations", orm.ArrayData({"deviations": deviations}))
        self.out("output_parameters", orm.Dict(results))
        return None
