"""What a training brought: a potential and its errors."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any, ClassVar

from aiida import orm
from aiida.engine import ExitCode

from aiida_haml.data.potential import PotentialData
from aiida_haml.parsers.base import EngineParser

#: Entries of the results that say what was learned; the others say how long it took.
_ERRORS = ("calibration", "members", "split")


class TrainParser(EngineParser):
    """Store the committee and its errors, and trust the models: this database has seen them trained."""

    EXIT_CODES: ClassVar[dict[str, str]] = {
        "failed": "ERROR_TRAINING_FAILED",
        "model_refused": "ERROR_MODEL_REFUSED",
        "no_checkpoint": "ERROR_OUT_OF_WALLTIME_EMPTY",
        "diverged": "ERROR_DIVERGED",
    }

    def parse_results(self, results: dict[str, Any]) -> ExitCode | None:
        """Make ``potential``, ``errors`` and ``output_parameters``.

        Raises
        ------
        ValueError
            If a model file is not the one that the results name.
        """
        with tempfile.TemporaryDirectory() as scratch:
            paths = [self.path(f"member_{i}.model", Path(scratch)) for i in range(len(results["sha256"]))]
            potential = PotentialData.from_files(
                paths,
                elements=results["elements"],
                cutoff=results["cutoff"],
                precision=results["precision"],
                level_of_theory=next(iter(self.node.inputs.labels.values())).level_of_theory,
                errors=results["errors"],
            )
        if potential.sha256 != results["sha256"]:
            raise ValueError(f"the models have the hashes {potential.sha256}, the results say {results['sha256']}")
        potential.trust_for_all()
        self.out("potential", potential)
        errors = results.pop("errors") | {name: results.pop(name) for name in _ERRORS}
        self.out("errors", orm.Dict(errors))
        self.out("output_parameters", orm.Dict(results))
        return self.exit_codes.ERROR_OUT_OF_WALLTIME if results["stopped_by"] else None
