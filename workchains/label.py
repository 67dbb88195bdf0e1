"""Labels: one burst, relaxation or evaluation, with the failures that ab initio codes show dealt with."""

from __future__ import annotations

from typing import Any

from aiida import orm
from aiida.engine import BaseRestartWorkChain, ProcessHandlerReport, process_handler, while_
from aiida.plugins import CalculationFactory

from aiida_haml.calculations.cp2k import Cp2kLabelCalculation
from aiida_haml.calculations.levels import LABEL_ENGINES, pin
from aiida_haml.calculations.molecular_dynamics import validate_initial, validate_md, validate_relax
from aiida_haml.data.frames import FramesData
from aiida_haml.workchains.protocols import level_of_theory, md_settings, protocol_settings

#: Ports that one label engine has and another has not.
OPTIONAL_PORTS = ("basissets", "pseudos")
#: A run that failed after this many frames is kept as a shorter burst: its labels are paid for.
FEWEST_FRAMES = 2


class LabelWorkChain(BaseRestartWorkChain):
    """Run the engine of a level of theory from the last frame of a node.

    A burst cut short (wall time, a step whose SCF did not converge) succeeds with the frames before the cut: the
    hybrid trajectory goes on from its last good frame. Without any, the next SCF recipe of the level is tried.
    """

    _process_class = Cp2kLabelCalculation

    @classmethod
    def define(cls, spec: Any) -> None:
        super().define(spec)
        spec.input("code", valid_type=orm.AbstractCode, help="The engine's code.")
        spec.input("initial", valid_type=FramesData, validator=validate_initial, help="Its last frame is the start.")
        spec.input("level", valid_type=orm.Dict, validator=validate_level, help="Level of theory, with its recipes.")
        spec.input(
            "md",
            valid_type=orm.Dict,
            required=False,
            validator=validate_md,
            help="AIMD; else one evaluation.",
        )
        spec.input(
            "relax", valid_type=orm.Dict, required=False, validator=validate_relax, help="A relaxation instead of AIMD."
        )
        spec.input("options", valid_type=orm.Dict, required=False, help="Options of the scheduler.")
        for port in OPTIONAL_PORTS:
            spec.input_namespace(port, dynamic=True, required=False, valid_type=orm.Data)
        spec.output("frames", valid_type=FramesData, help="Labelled frames.")
        spec.output("output_parameters", valid_type=orm.Dict, help="Times, steps, the code's version.")
        spec.outline(cls.setup, while_(cls.should_run_process)(cls.run_process, cls.inspect_process), cls.results)
        spec.exit_code(
            410,
            "ERROR_NO_LABELS",
            message="No SCF recipe of the level of theory gave a label; last: {message}",
        )

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
        builder = cls.get_builder()
        builder.code = code
        builder.initial = initial
        for port, value in level_inputs(level).items():
            builder[port] = value
        chosen = settings["controller"]["n_burst_first"] if steps is None else steps
        builder.md = orm.Dict(md_settings(settings, chosen, temperature, seed))
        builder.options = orm.Dict(settings["options"]["label"])
        return builder

    @property
    def process_class(self) -> Any:
        if "level" not in (self.inputs or {}):  # asked by the search for handlers, before there are inputs
            return self._process_class
        return CalculationFactory(LABEL_ENGINES[self.inputs.level["engine"]])

    def setup(self) -> None:
        """Prepare the inputs of the first run."""
        super().setup()
        ports = self.process_class.spec().inputs
        inputs = {name: self.inputs[name] for name in ("code", "initial", "md", "relax") if name in self.inputs}
        # What only describes a level, or leads to its SCF, must not make the job another one for the cache.
        inputs["level"] = orm.Dict({name: self.inputs.level[name] for name in ("engine", "name", "theory")})
        elements = self.inputs.initial.elements
        for port in OPTIONAL_PORTS:
            if port in ports and port in self.inputs:
                inputs[port] = {element: self.inputs[port][element] for element in elements}
        options = self.inputs.options.get_dict() if "options" in self.inputs else {}
        self.ctx.inputs = {**inputs, "metadata": {"options": options}}
        self.ctx.recipe = 0
        self._set_recipe()

    def _set_recipe(self) -> None:
        if "solver" in self.process_class.spec().inputs:
            self.ctx.inputs["solver"] = orm.Dict(self.inputs.level["solver"][self.ctx.recipe])

    def get_outputs(self, node: orm.CalcJobNode) -> dict[str, orm.Data]:
        """Return what all engines give; the class, and so what it exposes, is known only from the inputs."""
        return {name: node.outputs[name] for name in ("frames", "output_parameters")}

    @process_handler(priority=200)
    def keep_finished_frames(self, node: orm.CalcJobNode) -> ProcessHandlerReport | None:
        """Accept a burst that was cut short, whatever cut it, if it left labels enough."""
        if node.is_finished_ok or "frames" not in node.outputs or len(node.outputs.frames) < FEWEST_FRAMES:
            return None
        self.report(f"{node.process_label}<{node.pk}> ended early ({node.exit_message}); its labels are kept.")
        self.ctx.is_finished = True
        return ProcessHandlerReport(do_break=True)

    @process_handler(priority=100)
    def try_next_recipe(self, node: orm.CalcJobNode) -> ProcessHandlerReport | None:
        """Go on to the next way to a converged SCF."""
        if node.is_finished_ok or node.exit_status not in (305, 450, 451):
            return None
        self.ctx.recipe += 1
        if self.ctx.recipe >= len(self.inputs.level["solver"]):
            code = self.exit_codes.ERROR_NO_LABELS.format(message=node.exit_message)
            return ProcessHandlerReport(do_break=True, exit_code=code)
        self.report(f"{node.process_label}<{node.pk}> did not converge; trying SCF recipe {self.ctx.recipe}.")
        self._set_recipe()
        return ProcessHandlerReport(do_break=True)

    @process_handler(priority=50)
    def run_again(self, node: orm.CalcJobNode) -> ProcessHandlerReport | None:
        """Start a run anew that was cut off before its first frame: killed, or on a machine that went away."""
        if node.is_finished_ok or node.exit_status not in (300, 303):
            return None
        self.report(f"{node.process_label}<{node.pk}> left nothing ({node.exit_message}); starting it anew.")
        return ProcessHandlerReport(do_break=True)


def level_inputs(level: orm.Dict | str, teacher: dict[str, Any] | None = None) -> dict[str, Any]:
    """Return the inputs that say the level of theory: `level` and, for DFT, `basissets` and `pseudos`.

    Raises
    ------
    ValueError
        If there is no such preset, or CP2K's data folder lacks what it needs.
    """
    if isinstance(level, orm.Dict):
        return {"level": level}
    pinned, gaussians = pin(level_of_theory(level, teacher))
    return {"level": orm.Dict(pinned), **gaussians}


def validate_level(node: orm.Dict | None, _: Any) -> str | None:
    """Refuse an engine that is not there, or a level without a recipe."""
    if node is None:
        return None
    level = node.get_dict()
    if level.get("engine") not in LABEL_ENGINES:
        return f"The level of theory has the engine {level.get('engine')!r}; known are {', '.join(LABEL_ENGINES)}."
    if not level.get("solver"):
        return "The level of theory lacks `solver`, a list of SCF recipes (a teacher has one empty recipe)."
    return None
