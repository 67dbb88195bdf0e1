"""The inputs of a production run and of its stretches, and what is refused before it starts."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from aiida import orm
from aiida.common.links import LinkType

from aiida_haml.calculations.cutouts import widen_cell
from aiida_haml.calculations.learn import ignorance_of
from aiida_haml.calculations.levels import theory_key
from aiida_haml.calculations.rounds import port, read_calibration
from aiida_haml.handover import given_options
from aiida_haml.learning.cutouts import CutoutSettings, divisions
from aiida_haml.learning.plan import WatchSettings, deviation_limit, thresholds
from aiida_haml.learning.rounds import RoundSettings
from aiida_haml.learning.seeds import derive
from aiida_haml.queries.timelines import time_lines
from aiida_haml.settings import require_integer, require_number
from aiida_haml.workchains.inputs import require_dynamics

#: Sections of the settings that are read.
SECTIONS = ("dynamics", "watch", "rounds", "cutouts")
#: Name of the time line among the outputs, as a candidate has one in the hybrid dynamics.
SLUG = "production"
#: Whose codes and options each kind of job takes over from a screen or a hybrid run.
_SOURCES = {"label": "label", "md": "md", "evaluate": "learn"}


def inputs_from_run(
    process: orm.WorkChainNode,
    slug: str,
    repeats: tuple[int, int, int],
    simulated_fs: float,
    temperature: float | None = None,
    overrides: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Return the inputs that go on with what a run has taught; see `ProductionWorkChain.get_builder_from_run`.

    Raises
    ------
    ValueError
        If there is no such time line or no potential, or the cell would be too narrow to cut anything out of it.
    """
    lines = time_lines(process)
    first = lines.segments.get(port(slug, "segment_0000"))
    if first is None:
        known = ", ".join(lines.slugs) or "none yet"
        raise ValueError(f"{slug} has no time line in <{process.pk}>; there are: {known}.")
    if lines.potential is None:
        raise ValueError(f"<{process.pk}> has taught no potential yet.")
    cutouts = CutoutSettings.from_dict(overrides)
    divisions(first.read(0).cells[0] * np.array(repeats)[:, None], cutouts.width)  # before anything is stored
    candidate, settings = process.inputs.candidates[slug], process.inputs.settings.get_dict()
    taken = {name: getattr(lines, name) for name in ("potential", "calibration", "pool")}
    return {
        **_engines(process),
        **{name: node for name, node in taken.items() if node is not None},
        "structure": widen_cell(first, orm.Int(0), orm.List(list(repeats))),
        "candidate": orm.Dict(
            {
                "temperature_K": temperature or candidate["temperature_K"],
                "seed": derive(candidate["seed"], SLUG, slug, 0),
                "simulated_fs": simulated_fs,
            }
        ),
        "settings": orm.Dict({name: settings[name] for name in SECTIONS[:-1]} | {"cutouts": cutouts.to_dict()}),
        "max_in_flight": process.inputs.max_in_flight,
    }


def _engines(process: orm.WorkChainNode) -> dict[str, Any]:
    """Return codes, level and scheduler options of a run; potentials are tested where they were trained."""
    inputs = process.base.links.get_incoming(link_type=LinkType.INPUT_WORK).nested()
    options = given_options(process)
    engines: dict[str, Any] = {}
    for kind, source in _SOURCES.items():
        job = dict(inputs[source]["job"]) if kind == source else {"code": inputs[source]["job"]["code"]}
        engines[kind] = {"job": {**job, "metadata": {"options": options[source]}}}
    return engines


def what_is_watched(inputs: Mapping[str, Any], calibration: orm.Dict | None) -> dict[str, Any]:
    """Return what ends a stretch: what the calibration says that a deviation is worth, and the common limits."""
    known = calibration.get_dict() if calibration is not None else {}
    settings = inputs["settings"].get_dict()
    limit = deviation_limit(
        RoundSettings.from_dict(settings["rounds"]), read_calibration(known), inputs["potential"].n_members
    )
    watch, temperature = WatchSettings.from_dict(settings["watch"]), inputs["candidate"]["temperature_K"]
    return thresholds(watch, temperature, inputs["structure"].n_atoms, limit, known.get("shortest", {}))


def validate_settings(node: orm.Dict | None, _: Any) -> str | None:
    """Refuse settings that a stretch or a look would refuse later."""
    settings = node.get_dict() if node is not None else {}
    if missing := sorted(set(SECTIONS) - set(settings)):
        return f"The settings lack {', '.join(missing)}; start from a protocol."
    try:
        RoundSettings.from_dict(settings["rounds"])
        WatchSettings.from_dict(settings["watch"])
        CutoutSettings.from_dict(settings["cutouts"])
        require_dynamics(settings["dynamics"])
    except ValueError as error:
        return str(error)
    return None


def validate_inputs(inputs: Mapping[str, Any], _: Any) -> str | None:
    """Refuse a cell that has no cut-outs, or that the potential does not know, and numbers that make no run."""
    structure, potential, settings = inputs["structure"], inputs["potential"], inputs["settings"].get_dict()
    given = inputs["candidate"].get_dict()
    try:
        require_number("candidate.temperature_K", given.get("temperature_K"))
        require_number("candidate.simulated_fs", given.get("simulated_fs"))
        require_integer("candidate.seed", given.get("seed"), 0)
        divisions(structure.read(-1).cells[0], settings["cutouts"]["width"])
    except ValueError as error:
        return str(error)
    if not structure.read(-1).pbc.all():
        return "The cell is not periodic in all directions; put the vacuum into the cell."
    level = theory_key(inputs["label"]["job"]["level"].get_dict())
    if potential.level_of_theory is not None and potential.level_of_theory.partition("@")[0] != level:
        return (
            f"`potential` was taught at {potential.level_of_theory}, and the cut-outs are to be labelled at {level}; "
            "their difference would not be an error."
        )
    return ignorance_of("potential", potential, structure.elements)
