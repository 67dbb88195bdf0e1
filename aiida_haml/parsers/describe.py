"""Environments and series turned into nodes."""

from typing import Any

from aiida import orm
from aiida.engine import ExitCode

from aiida_haml.parsers.arrays import read_arrays
from aiida_haml.parsers.base import EngineParser


class DescribeParser(EngineParser):
    """Store ``environments``, ``series`` and ``output_parameters``."""

    def parse_results(self, results: dict[str, Any]) -> ExitCode | None:
        self.out("environments", read_arrays(self.retrieved, "environments"))
        self.out("series", read_arrays(self.retrieved, "series"))
        self.out("output_parameters", orm.Dict(results))
        return None
