"""Clusters over all candidates, and their ranking."""

from __future__ import annotations

from typing import Any

from aiida import orm

from aiida_haml.analysis.settings import RankingSettings
from aiida_haml.calculations.base import EngineCalculation
from aiida_haml.calculations.levels import level_key


class RankCalculation(EngineCalculation):
    """Cluster the environments of all candidates together, and rank the candidates."""

    TASK = "rank"
    OUTPUTS = ("ranking.json", "clusters")

    @classmethod
    def define(cls, spec: Any) -> None:
        super().define(spec)
        for port in ("environments", "series"):
            spec.input_namespace(port, dynamic=True, valid_type=orm.ArrayData, help="As `haml.describe` made them.")
        spec.input_namespace("candidates", dynamic=True, valid_type=orm.Dict, help="What each candidate is.")
        spec.input("level", valid_type=orm.Dict, help="Level of theory of the labels behind all of it.")
        spec.input("settings", valid_type=orm.Dict, validator=validate_settings, help="Weights and limits.")
        spec.inputs.validator = validate_keys
        spec.output("ranking", valid_type=orm.Dict, required=False, help="Candidates in order, with their metrics.")
        spec.output("clusters", valid_type=orm.ArrayData, required=False, help="Centres, labels, distributions.")
        spec.output("output_parameters", valid_type=orm.Dict, required=False, help="Times and counts.")

    def task(self) -> dict[str, Any]:
        level = self.inputs.level.get_dict()
        return {
            "candidates": {
                key: {name: node[name] for name in ("label", "temperature_K", "seed")}
                for key, node in self.inputs.candidates.items()
            },
            "settings": self.inputs.settings.get_dict(),
            "level_of_theory": level_key(level),
            "teacher": level["engine"] == "teacher",
        }

    def folders(self) -> dict[str, orm.Node]:
        return {
            f"inputs/{port}/{key}": node
            for port in ("environments", "series")
            for key, node in self.inputs[port].items()
        }


def validate_settings(node: orm.Dict | None, _: Any) -> str | None:
    """Refuse unknown settings and values out of range."""
    try:
        RankingSettings.from_dict(node.get_dict() if node is not None else {})
    except ValueError as error:
        return str(error)
    return None


def validate_keys(inputs: Any, _: Any) -> str | None:
    """Refuse namespaces that do not speak of the same candidates."""
    keys = {port: set(inputs.get(port, {})) for port in ("environments", "series", "candidates")}
    if not keys["candidates"]:
        return "There is no candidate to rank."
    if len({frozenset(k) for k in keys.values()}) > 1:
        return "`environments`, `series` and `candidates` have different keys; give one of each for every candidate."
    return None
