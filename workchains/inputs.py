"""The inputs of the hybrid dynamics that reach down to its jobs, and what is refused before the first of them runs."""

from collections.abc import Mapping
from typing import Any

from aiida import orm

from aiida_haml.calculations.base import validate_potential
from aiida_haml.calculations.learn import ignorance_of
from aiida_haml.calculations.rounds import OF
from aiida_haml.codes import watches
from aiida_haml.data.frames import FramesData
from aiida_haml.data.pool import LabelPoolData
from aiida_haml.data.potential import PotentialData
from aiida_haml.learning.distortions import DistortionSettings
from aiida_haml.learning.learner import LearnerSettings
from aiida_haml.learning.plan import WatchSettings
from aiida_haml.learning.rounds import RoundSettings
from aiida_haml.learning.selection import ProbeSettings
from aiida_haml.settings import require_integer, require_number
from aiida_haml.workchains.equilibrate import equilibration_complaint
from aiida_haml.workchains.job import restart_inputs
from aiida_haml.workchains.label import FILLED, LabelWorkChain
from aiida_haml.workchains.learn import LearnWorkChain
from aiida_haml.workchains.md import MdWorkChain

#: Ports of the engines that the hybrid dynamics fills, by namespace. All others are for the user: code, level of
#: theory, scheduler options, handlers, number of tries.
ENGINES: dict[str, tuple[Any, tuple[str, ...]]] = {
    "label": (LabelWorkChain, FILLED),
    "md": (MdWorkChain, ("job.initial", "job.potential", "job.md", "job.watch")),
    "learn": (
        LearnWorkChain,
        ("job.pool", "job.champion", "job.tests", "job.starts", "job.isolated_atoms", "job.settings"),
    ),
}
#: Sections of the settings that are read here.
SECTIONS = ("dynamics", "watch", "rounds", "probes", "distortions", "hybrid", "learning", "equilibration")


def expose_engines(spec: Any) -> None:
    """Expose what a user may say of each kind of job."""
    for namespace, (process, filled) in ENGINES.items():
        spec.expose_inputs(process, namespace=namespace, exclude=filled)


def expose_starts(spec: Any) -> None:
    """Declare what a run of the hybrid dynamics may start from or go on with."""
    spec.input("potential", valid_type=PotentialData, required=False, help="Committee to start from.")
    spec.input("foundation", valid_type=PotentialData, required=False, help="Models to teach a first committee on.")
    spec.input("pool", valid_type=LabelPoolData, required=False, help="Labels to start from.")
    spec.input("calibration", valid_type=orm.Dict, required=False, help="Of the run that is gone on with.")
    for name, kind, text in (
        ("segments", FramesData, "Time lines to go on with, as SLUG__segment_NNNN."),
        ("plans", orm.Dict, "By slug the plan of its last round in the run that is gone on with."),
        ("verdicts", orm.Dict, "By slug what was said of that round."),
    ):
        spec.input_namespace(name, dynamic=True, required=False, valid_type=kind, help=text)


def engine_inputs(codes: Mapping[str, orm.AbstractCode], level: Mapping[str, Any], settings: Mapping[str, Any]) -> Any:
    """Return the inputs of all engines.

    Parameters
    ----------
    codes : mapping
        ``label``, ``engine`` and ``lammps``. A LAMMPS that does not watch is watched by the engine of its computer.
    level : mapping
        As `aiida_haml.workchains.label.level_inputs` returns it.
    settings : mapping
        Of a protocol; read are ``options``, of each kind of job, and ``restarts``.

    Raises
    ------
    ValueError
        If the restarts are refused.
    """
    names = {"label": "label", "md": "lammps", "learn": "engine"}
    inputs: dict[str, Any] = {
        kind: {"job": {"code": codes[code], "metadata": {"options": dict(settings["options"][kind])}}}
        | restart_inputs(settings)
        for kind, code in names.items()
    }
    inputs["label"]["job"] |= level
    lammps, engine = codes["lammps"], codes["engine"]
    computers = {code.computer.uuid for code in (lammps, engine) if code.computer is not None}
    if not watches(lammps) and len(computers) == 1:
        inputs["md"]["job"]["watcher"] = engine
    return inputs


def validate_settings(node: orm.Dict | None, _: Any) -> str | None:
    """Refuse settings that a round or a training would refuse hours later."""
    return None if node is None else settings_complaint(node.get_dict())


def settings_complaint(settings: Mapping[str, Any]) -> str | None:
    """Return what is wrong with the settings of the hybrid dynamics, or None."""
    if missing := sorted(set(SECTIONS) - set(settings)):
        return f"The settings lack {', '.join(missing)}; start from a protocol."
    if complaint := equilibration_complaint(settings):
        return complaint
    try:
        RoundSettings.from_dict(settings["rounds"])
        LearnerSettings.from_dict(settings["learning"])
        WatchSettings.from_dict(settings["watch"])
        ProbeSettings.from_dict(settings["probes"])
        DistortionSettings.from_dict(settings["distortions"])
        require_number("hybrid.simulated_fs", settings["hybrid"].get("simulated_fs"))
        require_dynamics(settings["dynamics"])
    except ValueError as error:
        return str(error)
    return None


def require_dynamics(dynamics: Mapping[str, Any]) -> None:
    """Refuse a section `dynamics` that makes no run.

    Raises
    ------
    ValueError
    """
    for name in ("timestep_fs", "thermostat_time_fs"):
        require_number(f"dynamics.{name}", dynamics.get(name))
    require_integer("dynamics.save_every", dynamics.get("save_every"), 1)


def validate_trajectories(inputs: Mapping[str, Any], _: Any) -> str | None:
    """Refuse trajectories and starts that do not go together."""
    return _fault_of_trajectories(inputs) or start_complaint(inputs)


def _fault_of_trajectories(inputs: Mapping[str, Any]) -> str | None:
    if "structures" not in inputs or "candidates" not in inputs:  # a screen builds its cells later
        return None
    structures, candidates = inputs["structures"], inputs["candidates"]
    if not structures:
        return "`structures` is empty; give the cell of at least one candidate."
    if set(structures) != set(candidates):
        return "`structures` and `candidates` name different trajectories; give one of each."
    for slug, node in candidates.items():
        if OF in slug:
            return f"The candidate {slug!r} holds {OF!r}, which separates names of nodes; use single underscores."
        if complaint := _candidate_complaint(slug, node.get_dict()):
            return complaint
    for slug, node in structures.items():
        if not node.read(-1).pbc.all():
            return f"The cell of {slug} is not periodic in all directions; put the vacuum into the cell."
    return None


def _candidate_complaint(slug: str, content: Mapping[str, Any]) -> str | None:
    try:
        require_number(f"candidates.{slug}.temperature_K", content.get("temperature_K"))
        require_integer(f"candidates.{slug}.seed", content.get("seed"), 0)
    except ValueError as error:
        return str(error)
    return None


def start_complaint(inputs: Mapping[str, Any]) -> str | None:
    """Return why the first stretch or training would refuse the models to start from, or None.

    Parameters
    ----------
    inputs : mapping
        ``settings``, and perhaps ``potential``, ``foundation`` and ``structures``; a screen has no cells yet, and what
        it is to learn stands in its settings.
    """
    if "settings" not in inputs:
        return None
    learning = LearnerSettings.from_dict(inputs["settings"]["learning"])
    present = {symbol for node in inputs.get("structures", {}).values() for symbol in node.elements}
    learned = set(learning.elements or present)
    for port in ("potential", "foundation"):
        models = inputs.get(port)
        if complaint := ignorance_of(port, models, learned | present) or validate_potential(models, None):
            return complaint
    potential = inputs.get("potential")
    if potential is None:
        return None
    if potential.n_members < learning.n_committee:
        return f"`potential` has {potential.n_members} members, and `learning.n_committee` is {learning.n_committee}."
    if learned and (more := sorted(set(potential.elements) - learned)):
        return (
            f"`potential` knows {', '.join(more)} too, which is not among the elements to be learned; name all that it "
            "knows in `learning.elements`, or give it as `foundation`, which is cut down to what is needed."
        )
    return None
