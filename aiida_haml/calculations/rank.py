"""Clusters over all candidates, and their ranking."""

import hashlib
import json
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from aiida import orm

from aiida_haml.analysis.settings import RankingSettings
from aiida_haml.calculations.base import EngineCalculation, also, settings_validator
from aiida_haml.calculations.label_engines import label_engine
from aiida_haml.calculations.levels import theory_key
from aiida_haml.structures.crystals import ARGYRODITE
from aiida_haml.structures.host.settings import KnownHost, OwnHost
from aiida_haml.structures.interface import SolidInterface
from aiida_haml.structures.liquid import LiquidInterface
from aiida_haml.structures.settings import Settings

#: How often a cell is repeated: amounts per area do not hang on it, and the thickness is compared as it was built.
REPEATS = ("supercell", "repeat", "electrolyte_cells")
#: What stands at the head of the words for an interface.
SAID_FIRST = ("name", "metal", "facet")
#: Characters that a setting may take up there.
LONGEST = 60


class RankCalculation(EngineCalculation):
    """Cluster the environments of all candidates together, and rank those that are alike in all but their doping."""

    TASK = "rank"
    OUTPUTS = ("ranking.json", "clusters")
    CACHE_VERSION = 9

    @classmethod
    def define(cls, spec: Any) -> None:
        super().define(spec)
        for port in ("environments", "series"):
            spec.input_namespace(
                port, dynamic=True, valid_type=orm.ArrayData,
                help="For each candidate its parts (`part_0000`, ...) in time order, as `haml.describe` made them.",
            )  # fmt: skip
        spec.input_namespace("candidates", dynamic=True, valid_type=orm.Dict, help="What each candidate is.")
        spec.input_namespace(
            "histories", dynamic=True, valid_type=orm.Dict, required=False,
            help="`history` of candidates' hybrid trajectories, for the errors of their potentials.",
        )  # fmt: skip
        spec.input("level", valid_type=orm.Dict, help="Level of theory of the labels behind all of it.")
        spec.input(
            "settings", valid_type=orm.Dict, validator=settings_validator(RankingSettings), help="Weights and limits."
        )
        spec.inputs.validator = also(spec.inputs.validator, validate_keys)
        spec.output("ranking", valid_type=orm.Dict, required=False, help="Candidates in order, with their metrics.")
        spec.output("clusters", valid_type=orm.ArrayData, required=False, help="Centres, labels, distributions.")
        spec.output("output_parameters", valid_type=orm.Dict, required=False, help="Times and counts.")

    def task(self) -> dict[str, Any]:
        level = self.inputs.level.get_dict()
        histories = self.inputs.get("histories", {})
        errors = {key: potential_error(node.get_dict()) for key, node in histories.items()}
        return {
            "candidates": {
                key: {name: node[name] for name in ("label", "temperature_K", "seed")}
                | {"interface": interface_words(node["structure"]), "force_rmse": errors.get(key)}
                for key, node in self.inputs.candidates.items()
            },
            "settings": self.inputs.settings.get_dict(),
            "level_of_theory": theory_key(level),
            "teacher": label_engine(level["engine"]).is_rehearsal,
        }

    def folders(self) -> dict[str, orm.Node]:
        return {
            f"inputs/{port}/{key}/{part}": node
            for port in ("environments", "series")
            for key, parts in self.inputs[port].items()
            for part, node in parts.items()
        }


def interface_words(structure: Mapping[str, Any]) -> str:
    """Say what interface a candidate has been built with: only candidates of which it says the same are compared.

    Parameters
    ----------
    structure : mapping
        As `aiida_haml.structures.candidates` takes it. Host and interface count, and what is dissolved or doped does
        not.

    Returns
    -------
    str
        As 'Li6PS5Cl | Li(100), layers 8'; settings that have their default are the same for all, and not named.
        Nobody says what a cell of one's own is a face of: sides to the Angstrom and metal tell one from another, and
        what is in its electrolyte, which may be a doping, does not.
    """
    if "cell" in structure:
        return _own_cell(**structure["cell"])
    interface = structure.get("interface") or {}
    metal, facet = interface.get("metal", "Li"), interface.get("facet", "100")
    face = f"{metal}({''.join(str(index) for index in facet)})"
    if "liquid" in structure:
        return f"liquid | {', '.join([face, *_choices(interface, LiquidInterface)])}"
    host = structure.get("host", ARGYRODITE.name)
    if isinstance(host, Mapping):
        host = ", ".join([host["name"], *_choices(host, OwnHost if "crystal" in host else KnownHost)])
    return f"{host} | {', '.join([face, *_choices(interface, SolidInterface)])}"


def _own_cell(cell: Sequence[Sequence[float]], metal: Sequence[int], **_: Any) -> str:
    a, b = np.linalg.norm(cell[:2], axis=1)
    return f"a cell of one's own, {a:.0f} x {b:.0f} Å, {len(metal)} Li of metal"


def _choices(settings: Mapping[str, Any], model: type[Settings]) -> list[str]:
    """Name the settings that differ from their defaults, a crystal by a few digits of its content's hash."""
    told = []
    for name, value in sorted(settings.items()):
        if name in SAID_FIRST or name in REPEATS or value == model.model_fields[name].default:
            continue
        written = value if isinstance(value, str) else json.dumps(value, sort_keys=True)
        if isinstance(value, Mapping) and len(written) > LONGEST:
            written = hashlib.sha256(written.encode()).hexdigest()[:6]
        told.append(f"{name.removesuffix('_A')} {written}".replace('"', ""))
    return told


def potential_error(history: Mapping[str, Any]) -> float | None:
    """Return the force error of a candidate's potential, eV/Angstrom, or None where none was measured.

    It is the median of the prequential errors in the later half of the rounds that have one: early rounds speak
    of a potential that has hardly been taught, a single one of its luck.
    """
    known = [float(told["force_rmse"]) for told in history.get("rounds", []) if told.get("force_rmse") is not None]
    return statistics.median(known[len(known) // 2 :]) if known else None


def validate_keys(inputs: Any, _: Any) -> str | None:
    """Refuse namespaces that do not speak of the same candidates and parts."""
    keys = {port: set(inputs.get(port, {})) for port in ("environments", "series", "candidates")}
    if not keys["candidates"]:
        return "There is no candidate to rank."
    if len({frozenset(k) for k in keys.values()}) > 1:
        return "`environments`, `series` and `candidates` have different keys; give one of each for every candidate."
    for key in sorted(keys["candidates"]):
        parts = [inputs[port][key] for port in ("environments", "series")]
        if not all(isinstance(p, Mapping) for p in parts) or set(parts[0]) != set(parts[1]):
            return f"`environments.{key}` and `series.{key}` hold different parts; give both of every description."
    if unknown := sorted(set(inputs.get("histories", {})) - keys["candidates"]):
        return f"`histories` names {', '.join(unknown)}, which are no candidates."
    return None
