"""Equilibration of a cell as it was built: relaxed first, then warmed up, at the level of theory of the labels."""

from typing import Any

from aiida import orm
from aiida.engine import ToContext, if_, while_

from aiida_haml.calculations.trajectory import describe_equilibration, take_last_frame
from aiida_haml.data.frames import FramesData
from aiida_haml.learning.noise import noise_complaint
from aiida_haml.learning.seeds import derive
from aiida_haml.settings import require_integer, require_number
from aiida_haml.workchains.job import fill, restart_inputs
from aiida_haml.workchains.label import FILLED, LabelWorkChain, level_inputs
from aiida_haml.workchains.names import reading
from aiida_haml.workchains.once import OnceWorkChain
from aiida_haml.workchains.protocols import md_settings, protocol_settings

#: A part of a stage that does less than this share of it, before its wall time or its level ends it, leads nowhere.
_LEAST_SHARE = 0.1


class EquilibrateWorkChain(OnceWorkChain):
    """Relax a cell down to a largest force, then raise its temperature in stages.

    A cell from a builder has contacts that no dynamics would survive; the reaction that follows is meant to start
    from a cell at rest and at temperature. Every frame is a label of the level of theory, and none is wasted.
    """

    @classmethod
    def define(cls, spec: Any) -> None:
        super().define(spec)
        spec.expose_inputs(LabelWorkChain, namespace="label", exclude=FILLED)
        spec.input("structure", valid_type=FramesData, help="Its last frame is the start.")
        spec.input("settings", valid_type=orm.Dict, validator=validate_settings, help="As a protocol gives them.")
        spec.input("temperature_K", valid_type=orm.Float, help="Temperature at the end, K.")
        spec.input("seed", valid_type=orm.Int, help="Of velocities and thermostat.")
        spec.output("structure", valid_type=FramesData, help="One frame, with velocities if it was warmed up.")
        spec.output_namespace("labels", dynamic=True, valid_type=FramesData, help="All frames on the way there.")
        spec.output("output_parameters", valid_type=orm.Dict, help="Largest forces and temperature, stage by stage.")
        spec.outline(
            cls.setup,
            if_(cls.wants_relaxation)(cls.relax, cls.inspect_relaxation),
            while_(cls.is_colder)(cls.warm_up, cls.inspect_warm_up),
            cls.finish,
        )
        spec.exit_code(410, "ERROR_RELAXATION_FAILED", message="The relaxation gave no frame: {message}")
        spec.exit_code(411, "ERROR_WARM_UP_FAILED", message="Stage {stage} of warming up gave no frame: {message}")
        spec.exit_code(
            412,
            "ERROR_WARM_UP_CUT_SHORT",
            message="Stage {stage} of warming up ended after {done} of {steps} steps, "
            "the last part of it after {last}; give its jobs more wall time, or look at their reports.",
        )
        spec.exit_code(413, "ERROR_NOISY_FORCES", message="{message}")

    @classmethod
    def get_builder_from_protocol(
        cls,
        code: orm.AbstractCode,
        structure: FramesData,
        level: orm.Dict | str = "gfn1-xtb",
        protocol: str | None = None,
        overrides: dict[str, Any] | None = None,
        temperature: float = 300.0,
        seed: int = 1,
    ) -> Any:
        """Return a builder with the settings of a protocol.

        Parameters
        ----------
        code : AbstractCode
            The engine of the level of theory.
        structure : FramesData
            The last frame is the start.
        level : Dict or str
            A level of theory, or the name of a preset.
        protocol : str, optional
        overrides : dict, optional
            Merged into the protocol's settings; the section ``equilibration`` counts here.
        temperature : float
            K.
        seed : int

        Raises
        ------
        ValueError
            If the protocol, the level or an override is unknown.
        """
        builder: Any = cls.get_builder()
        settings = protocol_settings(protocol, overrides)
        builder.label.job.code = code
        builder.label.job.metadata.options = dict(settings["options"]["label"])
        fill(builder.label, restart_inputs(settings))
        for port, value in level_inputs(level).items():
            builder.label.job[port] = value
        builder.structure = structure
        builder.settings = orm.Dict({name: settings[name] for name in ("equilibration", "dynamics")})
        builder.temperature_K = orm.Float(temperature)
        builder.seed = orm.Int(seed)
        return builder

    def setup(self) -> None:
        """Set the counters."""
        self.ctx.settings = self.inputs.settings.get_dict()
        self.ctx.recipe = self.ctx.settings["equilibration"]
        self.ctx.last = self.inputs.structure
        self.ctx.labels = {}
        self.ctx.stage = self.ctx.part = self.ctx.left = 0

    def wants_relaxation(self) -> bool:
        """Whether the recipe relaxes at all."""
        return self.ctx.recipe["relax_steps"] > 0

    def relax(self) -> ToContext:
        """Go downhill."""
        recipe = self.ctx.recipe
        relax = orm.Dict({"steps": recipe["relax_steps"], "max_force": recipe["max_force"]})
        return ToContext(relaxation=self._submit("relaxation", relax=relax))

    def _submit(self, name: str, **run: orm.Dict) -> orm.ProcessNode:
        inputs = self.exposed_inputs(LabelWorkChain, namespace="label")
        inputs["job"] |= {"initial": self.ctx.last, **run}
        if (remote := self.ctx.get("remote")) is not None:
            inputs["job"]["parent_folder"] = remote
        label = f"{reading(name)} in {self.node.label}" if self.node.label else reading(name)
        return self.submit(LabelWorkChain, **{**inputs, "metadata": {"call_link_label": name, "label": label}})

    def inspect_relaxation(self) -> Any:
        """Go on from the last frame; a relaxation out of steps is one that helped."""
        child = self.ctx.relaxation
        if not child.is_finished_ok:
            return self.exit_codes.ERROR_RELAXATION_FAILED.format(message=child.exit_message)
        return self._append("relaxation", child)

    def is_colder(self) -> bool:
        """Whether a stage of warming up is left."""
        recipe = self.ctx.recipe
        return recipe["warm_up_steps"] > 0 and (self.ctx.left > 0 or self.ctx.stage < recipe["warm_up_stages"])

    def warm_up(self) -> ToContext:
        """Run dynamics at the next temperature, tightly coupled; or what a job left of the last one."""
        recipe = self.ctx.recipe
        if self.ctx.left == 0:
            self.ctx.stage, self.ctx.part, self.ctx.left = self.ctx.stage + 1, 0, recipe["warm_up_steps"]
        self.ctx.part += 1
        temperature = self.inputs.temperature_K.value * self.ctx.stage / recipe["warm_up_stages"]
        draw = (self.ctx.stage,) if self.ctx.part == 1 else (self.ctx.stage, self.ctx.part)
        seed = derive(self.inputs.seed.value, "warm_up", *draw)
        md = md_settings(self.ctx.settings, self.ctx.left, temperature, seed)
        md["thermostat_time_fs"] = recipe["thermostat_time_fs"]
        return ToContext(stage_run=self._submit(self._stage_name(), md=orm.Dict(md)))

    def inspect_warm_up(self) -> Any:
        """Go on from the last frame, with what is left of the stage where a job's wall time ended it."""
        child, stage = self.ctx.stage_run, self.ctx.stage
        if not child.is_finished_ok:
            return self._ended(self.exit_codes.ERROR_WARM_UP_FAILED.format(stage=stage, message=child.exit_message))
        if refused := self._append(self._stage_name(), child):
            return refused
        last, steps = len(child.outputs.frames) - 1, self.ctx.recipe["warm_up_steps"]
        self.ctx.left -= last
        if self.ctx.left > 0 and last < _LEAST_SHARE * steps:
            cut = {"stage": stage, "done": steps - self.ctx.left, "steps": steps, "last": last}
            return self._ended(self.exit_codes.ERROR_WARM_UP_CUT_SHORT.format(**cut))
        return None

    def _ended(self, code: Any) -> Any:
        """End too soon, with the labels that were made by then: they are paid for."""
        self.out("labels", self.ctx.labels)
        return code

    def _stage_name(self) -> str:
        name = f"warm_up_{self.ctx.stage:02d}"
        return name if self.ctx.part == 1 else f"{name}_part_{self.ctx.part:02d}"

    def _append(self, name: str, child: orm.ProcessNode) -> Any:
        self.ctx.labels[name] = self.ctx.last = child.outputs.frames
        self.ctx.remote = child.outputs.remote_folder if "remote_folder" in child.outputs else None
        complaint = noise_complaint(self.ctx.last.force_noise)
        return self.exit_codes.ERROR_NOISY_FORCES.format(message=complaint) if complaint else None

    def finish(self) -> None:
        """Return the equilibrated frame, what led there, and how calm it is."""
        self.out("structure", take_last_frame(self.ctx.last))
        self.out("labels", self.ctx.labels)
        self.out("output_parameters", describe_equilibration(**self.ctx.labels))


def asks_for_equilibration(settings: dict[str, Any]) -> bool:
    """Return whether a protocol's settings ask for an equilibration at all."""
    recipe = settings["equilibration"]
    return recipe["relax_steps"] > 0 or recipe["warm_up_steps"] > 0


def validate_settings(node: orm.Dict | None, _: Any) -> str | None:
    """Refuse a recipe that is incomplete, out of range or empty."""
    if node is None:
        return None
    settings = node.get_dict()
    if complaint := equilibration_complaint(settings):
        return complaint
    if not asks_for_equilibration(settings):
        return "The equilibration has neither `relax_steps` nor `warm_up_steps`."
    return None


def equilibration_complaint(settings: dict[str, Any]) -> str | None:
    """Return what is wrong with the recipe of an equilibration, or None."""
    recipe = settings.get("equilibration")
    if not isinstance(recipe, dict):
        return "The settings lack `equilibration`; start from a protocol."
    try:
        for name in ("relax_steps", "warm_up_steps"):
            require_integer(f"equilibration.{name}", recipe.get(name), 0)
        require_integer("equilibration.warm_up_stages", recipe.get("warm_up_stages"), 1)
        for name in ("max_force", "thermostat_time_fs"):
            require_number(f"equilibration.{name}", recipe.get(name))
    except ValueError as error:
        return str(error)
    return None
