"""Labels: one burst, relaxation or batch of single points, with the failures that ab initio codes show dealt with."""

from collections.abc import Mapping
from typing import Any

from aiida import orm
from aiida.engine import ProcessHandlerReport, process_handler

from aiida_haml.calculations.label_engines import CP2K, label_engine, label_engines
from aiida_haml.calculations.levels import pin
from aiida_haml.calculations.molecular_dynamics import validate_initial, validate_md, validate_relax
from aiida_haml.data.frames import FramesData
from aiida_haml.learning.seeds import derive
from aiida_haml.workchains.continued import ContinuedWorkChain, n_frames
from aiida_haml.workchains.job import OUT_OF_WALLTIME, fill, restart_inputs
from aiida_haml.workchains.protocols import level_of_theory, md_settings, protocol_settings

#: Ports that one label engine has and another has not.
OPTIONAL_PORTS = ("basissets", "pseudos")
#: Exit codes of the engines: not one label; the wall time ended it; killed; SCF not converged; SCF in a false state.
NO_LABEL, WALL_TIME, NOT_CONVERGED, FALSE_STATE = 305, 400, 450, 451
#: Exit codes of a run that was killed or aborted, whatever it left.
KILLED = (300, 303, 304)
#: Ports of a label that those fill who ask for it; all others are for the user.
FILLED = ("job.initial", "job.md", "job.relax", "job.parent_folder")
#: Labels that a batch of single points may lack: it is not an order of steps, and the rest is not worth a second job.
RUNS_IN_TIME = ("md", "relax")


class LabelWorkChain(ContinuedWorkChain):
    """Run the engine of a level of theory: AIMD or a relaxation from the last frame of a node, or single points of all.

    A burst that is cut short (by its wall time, a kill, a step whose SCF did not converge) goes on from its last good
    frame until it is whole, with no step run twice and none missing, the next SCF recipe where one failed.
    """

    @classmethod
    def define(cls, spec: Any) -> None:
        super().define(spec)
        spec.output("frames", valid_type=FramesData, help="Labelled frames.")
        spec.output("output_parameters", valid_type=orm.Dict, help="Times, steps, the code's version.")
        spec.output("remote_folder", valid_type=orm.RemoteData, required=False, help="Of the last run.")
        spec.exit_code(
            410, "ERROR_NO_LABELS", message="No SCF recipe of the level of theory gave a label; last: {message}"
        )

    @classmethod
    def define_job(cls, spec: Any) -> None:
        """Declare the ports that all engines have: which one it is follows from the level of theory."""
        # Of a namespace with ports of its own alone does AiiDA keep what is no node, for those who go on with a screen.
        spec.input("job.metadata.options", valid_type=dict, is_metadata=True, required=False, help="Of the scheduler.")
        spec.inputs["job"].validator = validate_job
        spec.input("job.code", valid_type=orm.AbstractCode, help="The engine's code.")
        spec.input("job.initial", valid_type=FramesData, validator=validate_initial, help="What is labelled.")
        spec.input("job.level", valid_type=orm.Dict, validator=validate_level, help="Level of theory, with recipes.")
        spec.input("job.md", valid_type=orm.Dict, required=False, validator=validate_md, help="AIMD.")
        spec.input("job.relax", valid_type=orm.Dict, required=False, validator=validate_relax, help="A relaxation.")
        spec.input(
            "job.parent_folder", valid_type=orm.RemoteData, required=False, help="Where a wave function may lie."
        )
        for port in OPTIONAL_PORTS:
            spec.input_namespace(f"job.{port}", dynamic=True, required=False, valid_type=orm.Data)

    @classmethod
    def get_builder_from_protocol(
        cls,
        code: orm.AbstractCode,
        initial: FramesData,
        level: orm.Dict | str = "gfn1-xtb",
        protocol: str | None = None,
        overrides: dict[str, Any] | None = None,
        steps: int | None = None,
        temperature: float = 300.0,
        seed: int = 1,
    ) -> Any:
        """Return a builder of one burst.

        Parameters
        ----------
        code : AbstractCode
            The engine of the level of theory.
        initial : FramesData
            Its last frame is the start.
        level : Dict or str
            A level of theory, or the name of a preset.
        protocol : str, optional
        overrides : dict, optional
            Merged into the protocol's settings; unknown keys are refused.
        steps : int, optional
            Steps of AIMD; the protocol's first burst if None.
        temperature : float
            K.
        seed : int

        Raises
        ------
        ValueError
            If the protocol, the level or an override is unknown.
        """
        settings = protocol_settings(protocol, overrides)
        builder: Any = cls.get_builder()
        builder.job.code = code
        builder.job.initial = initial
        for port, value in level_inputs(level).items():
            builder.job[port] = value
        chosen = settings["rounds"]["n_burst_first"] if steps is None else steps
        builder.job.md = orm.Dict(md_settings(settings, chosen, temperature, seed))
        builder.job.metadata.options = dict(settings["options"]["label"])
        fill(builder, restart_inputs(settings))
        return builder

    @property
    def process_class(self) -> Any:
        if "job" not in (self.inputs or {}):  # asked by the search for handlers, before there are inputs
            return CP2K.job
        return label_engine(self.inputs.job.level["engine"]).job

    def setup(self) -> None:
        """Prepare the inputs of the first run."""
        super().setup()
        self.ctx.recipe = 0
        self._set_recipe()

    def job_inputs(self) -> dict[str, Any]:
        """Return what was given under ``job``, as far as the engine has a port for it."""
        ports = self.process_class.spec().inputs
        given = self.inputs.job
        names = ("code", "initial", "md", "relax", "parent_folder")
        inputs: dict[str, Any] = {name: given[name] for name in names if name in given and name in ports}
        # What only describes a level, or leads to its SCF, must not make the job another one for the cache.
        inputs["level"] = orm.Dict({name: given.level[name] for name in ("engine", "name", "theory")})
        for port in OPTIONAL_PORTS:
            if port in ports and port in given:
                inputs[port] = {element: given[port][element] for element in given.initial.elements}
        return inputs | {"metadata": {"options": dict(given.get("metadata", {}).get("options", {}))}}

    def _set_recipe(self) -> None:
        if "solver" in self.process_class.spec().inputs:
            self.ctx.inputs["solver"] = orm.Dict(self.inputs.job.level["solver"][self.ctx.recipe])

    # -- failures ------------------------------------------------------------------------------------------

    @process_handler(priority=200)
    def continue_after_wall_time(self, node: orm.CalcJobNode) -> ProcessHandlerReport | None:
        """Run the steps that are left, from the last frame that was made."""
        if node.exit_status not in (WALL_TIME, OUT_OF_WALLTIME):
            return None
        return self.go_on(node) or self.try_anew(node)

    @process_handler(priority=190)
    def try_next_recipe(self, node: orm.CalcJobNode) -> ProcessHandlerReport | None:
        """Go on with the next way to a converged SCF, from the last good frame of the same run."""
        if node.exit_status not in (NO_LABEL, NOT_CONVERGED, FALSE_STATE):
            return None
        self.ctx.recipe += 1
        if self.ctx.recipe >= len(self.inputs.job.level["solver"]):
            return self._out_of_recipes(node)
        self._set_recipe()
        self.ctx.inputs.pop("parent_folder", None)  # its wave function may be what led astray
        return self.go_on(node) or self.again(node, f"trying SCF recipe {self.ctx.recipe}")

    @process_handler(priority=70)
    def was_killed(self, node: orm.CalcJobNode) -> ProcessHandlerReport | None:
        """Go on from what a killed run left, or start it anew."""
        if node.exit_status not in KILLED:
            return None
        return self.go_on(node) or self.try_anew(node)

    def _out_of_recipes(self, node: orm.CalcJobNode) -> ProcessHandlerReport:
        """End with the labels that there are, which are paid for; without any, say that there are none."""
        if n_frames(node) or self.ctx.parts:
            return self.end_with_what_there_is(node)
        node.base.caching.is_valid_cache = False
        return ProcessHandlerReport(True, self.exit_codes.ERROR_NO_LABELS.format(message=node.exit_message))

    def go_on(self, node: orm.CalcJobNode) -> ProcessHandlerReport | None:
        """Keep the frames of a run that was cut short and run what is left; None where it left none to go on from."""
        if not n_frames(node):
            return None
        run = next((name for name in RUNS_IN_TIME if name in self.ctx.inputs), None)
        if run is None:  # single points: those that are there are taken
            return self.end_with_what_there_is(node)
        done = n_frames(node) - 1
        if not done:
            return None
        settings = self.ctx.inputs[run].get_dict()
        settings["steps"] -= done
        if ended := self.keep_part(node, settings["steps"]):
            return ended
        if "seed" in settings:
            settings["seed"] = derive(settings["seed"], "continued")
        self.ctx.inputs[run] = orm.Dict(settings)
        self.ctx.inputs["initial"] = node.outputs.frames
        return self.again(node, f"its {done} steps are kept, {settings['steps']} are left")

    def get_outputs(self, node: orm.CalcJobNode) -> dict[str, orm.Node]:
        """Return the outputs of all runs; without the folder of one whose SCF went astray, where others would begin."""
        outputs = super().get_outputs(node)
        if node.exit_status in (NO_LABEL, NOT_CONVERGED, FALSE_STATE):
            outputs.pop("remote_folder", None)
        return outputs


def level_inputs(level: orm.Dict | str, *own: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the inputs that say the level of theory: `level` and, for DFT, `basissets` and `pseudos`.

    Parameters
    ----------
    level : Dict or str
        Whole, or the name of a preset.
    *own
        Theory and gaussians, as `aiida_haml.workchains.protocols.level_of_theory` takes them.

    Raises
    ------
    ValueError
        If there is no such preset, or CP2K's data folder lacks what it needs.
    """
    if isinstance(level, orm.Dict):
        return {"level": level}
    pinned, gaussians = pin(level_of_theory(level, *own))
    return {"level": orm.Dict(pinned), **gaussians}


def validate_level(node: orm.Dict | None, _: Any) -> str | None:
    """Refuse an engine that is not there, or a level without a recipe."""
    if node is None:
        return None
    level = node.get_dict()
    try:
        label_engine(level.get("engine"))
    except ValueError as error:
        return str(error)
    if not level.get("solver"):
        return "The level of theory lacks `solver`, a list of SCF recipes (a teacher has one empty recipe)."
    return None


def validate_job(inputs: Any, _: Any) -> str | None:
    """Refuse scheduler options that the engine's own job would refuse when it is started."""
    engine = label_engines().get(inputs["level"].get_dict().get("engine")) if "level" in inputs else None
    if engine is None:
        return None
    options = engine.job.spec().inputs["metadata"]["options"]
    given = options.pre_process(dict(inputs.get("metadata", {}).get("options", {})))
    fault = options.validate(given)
    return None if fault is None else f"The scheduler options of the labels are refused: {fault.message} ({fault.port})"
