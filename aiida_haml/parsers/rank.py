"""A ranking and its clusters turned into nodes."""

import json
from typing import Any

from aiida import orm
from aiida.engine import ExitCode

from aiida_haml.parsers.arrays import read_arrays
from aiida_haml.parsers.base import EngineParser


class RankParser(EngineParser):
    """Store ``ranking``, ``clusters`` and ``output_parameters``."""

    def parse_results(self, results: dict[str, Any]) -> ExitCode | None:
        ranking = json.loads(self.retrieved.base.repository.get_object_content("ranking.json", mode="r"))
        self.out("ranking", orm.Dict(ranking))
        self.out("clusters", read_arrays(self.retrieved, "clusters"))
        self.out("output_parameters", orm.Dict(results))
        return None
