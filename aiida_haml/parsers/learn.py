"""What a round's learning brought: tests, a verdict, and perhaps a new potential."""

import tempfile
from pathlib import Path
from typing import Any, ClassVar

from aiida import orm
from aiida.engine import ExitCode

from aiida_haml.data.frames import FramesData
from aiida_haml.data.potential import PotentialData
from aiida_haml.frames import Frames
from aiida_haml.learning.runs import load_runs
from aiida_haml.parsers.arrays import read_arrays
from aiida_haml.parsers.base import EngineParser

#: Entries of the results that say what was learned; the others say how long it took.
_ERRORS = (
    "challenger", "champion", "examined_on", "explored", "gate", "held_out", "largest", "members",
    "parity", "reason", "trained", "trained_on", "valid", "verdict",
)  # fmt: skip
#: Frames of hot runs and explorations.
_HOT = "hot.npz"
#: Parts whose errors a potential carries along.
_PARTS = ("valid", "held_out")


class LearnParser(EngineParser):
    """Store tests and errors and, if a challenger won, its models, which this database has seen trained."""

    EXIT_CODES: ClassVar[dict[str, str]] = {
        "failed": "ERROR_TRAINING_FAILED",
        "out_of_memory": "ERROR_OUT_OF_MEMORY",
        "model_refused": "ERROR_MODEL_REFUSED",
        "no_checkpoint": "ERROR_OUT_OF_WALLTIME_EMPTY",
        "diverged": "ERROR_DIVERGED",
    }

    def parse_results(self, results: dict[str, Any]) -> ExitCode | None:
        """Make ``tests``, ``errors``, ``output_parameters`` and perhaps ``potential``.

        Raises
        ------
        ValueError
            If a model file is not the one that the results name.
        """
        if "tests" in self.retrieved.base.repository.list_object_names():
            self.out("tests", read_arrays(self.retrieved, "tests"))
        if _HOT in self.retrieved.base.repository.list_object_names():
            for name, frames in self._hot().items():
                self.out(f"hot.{name}", FramesData(frames, kind="selection"))
        if results.get("verdict", {}).get("winner") == "challenger":
            self.out("potential", self._potential(results))
        for name in ("sha256", "cutoff"):
            results.pop(name, None)
        self.out("errors", orm.Dict({name: results.pop(name) for name in _ERRORS if name in results}))
        self.out("output_parameters", orm.Dict(results))
        return self.exit_codes.ERROR_OUT_OF_WALLTIME if results["stopped_by"] else None

    def _hot(self) -> dict[str, Frames]:
        with tempfile.TemporaryDirectory() as scratch:
            return load_runs(self.path(_HOT, Path(scratch)))

    def _potential(self, results: dict[str, Any]) -> PotentialData:
        pool = self.node.inputs.pool
        with tempfile.TemporaryDirectory() as scratch:
            potential = PotentialData.from_files(
                [self.path(f"member_{i}.model", Path(scratch)) for i in range(len(results["sha256"]))],
                elements=results["elements"],
                cutoff=results["cutoff"],
                precision=results["precision"],
                level_of_theory=pool.level_of_theory,
                errors={part: results[part] for part in _PARTS},
                pool=pool.content_key,
            )
        if potential.sha256 != results["sha256"]:
            raise ValueError(f"the models have the hashes {potential.sha256}, the results say {results['sha256']}")
        potential.trust_for_all()
        return potential
