"""A teacher's frames and times turned into nodes."""

import tempfile
from pathlib import Path
from typing import Any

from aiida import orm
from aiida.engine import ExitCode

from aiida_haml.calculations.levels import label_kind, level_key
from aiida_haml.data.frames import FramesData
from aiida_haml.frames import Frames
from aiida_haml.parsers.base import EngineParser


class TeacherParser(EngineParser):
    """Keep the finite frames, whatever ended the run."""

    STOPS = {"wall_time": "ERROR_OUT_OF_WALLTIME", "not_finite": "ERROR_SCF_NOT_CONVERGED"}

    def parse_results(self, results: dict[str, Any]) -> ExitCode | None:
        """Store ``frames`` and ``output_parameters``."""
        self.out("output_parameters", orm.Dict(results))
        if "frames" not in self.retrieved.base.repository.list_object_names():
            return self.exit_codes.ERROR_NO_CONVERGED_FRAME
        with tempfile.TemporaryDirectory() as scratch:
            frames = Frames.load(self.path("frames", Path(scratch)))
        kind = label_kind(self.node.inputs)
        key = level_key(self.node.inputs.level.get_dict(), results["code_version"])
        self.out("frames", FramesData(frames, kind=kind, level_of_theory=key))
        return self.exit_codes[self.STOPS[results["stopped"]]] if results["stopped"] else None
