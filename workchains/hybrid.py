"""The hybrid trajectory: burst, test, train, stretch, rollback, repeat, on one continuous time line."""

from __future__ import annotations

from typing import Any

from aiida import orm
from aiida.common import timezone
from aiida.engine import ToContext, WorkChain, if_, while_

from aiida_haml.calculations.evaluate import EvaluateCalculation
from aiida_haml.calculations.functions import control, summarize
from aiida_haml.calculations.levels import GAUSSIAN_PORTS
from aiida_haml.data.frames import FramesData
from aiida_haml.data.potential import PotentialData
from aiida_haml.engines.watch import Thresholds
from aiida_haml.learning.controller import ControllerSettings
from aiida_haml.learning.training import TrainingSettings
from aiida_haml.settings import require_integer, require_number
from aiida_haml.workchains.atoms import AtomsWorkChain
from aiida_haml.workchains.equilibrate import EquilibrateWorkChain, asks_for_equilibration, equilibration_complaint
from aiida_haml.workchains.label import LabelWorkChain, level_inputs, validate_level
from aiida_haml.workchains.md import MdWorkChain
from aiida_haml.workchains.protocols import md_settings, protocol_settings
from aiida_haml.workchains.train import TrainWorkChain

#: Seeds of the engines of one cycle lie this far from those of the next.
SEED_STRIDE = 1000


class HybridWorkChain(WorkChain):
    """Follow one candidate for a simulated time, by AIMD where it is needed and by a potential where it is not.

    A cell as it was built may be equilibrated first. One cycle is a burst, the test of the present committee on it,
    the controller's plan, the training of a new committee on all labels so far, and a stretch. The run ends with a
    burst, so that the last stretch is tested too.
    """

    @classmethod
    def define(cls, spec: Any) -> None:
        super().define(spec)
        spec.input("structure", valid_type=FramesData, help="Its last frame is the start.")
        spec.input("level", valid_type=orm.Dict, validator=validate_level, help="Level of theory of the labels.")
        spec.input("settings", valid_type=orm.Dict, validator=validate_settings, help="As a protocol gives them.")
        spec.input("temperature_K", valid_type=orm.Float, help="Temperature of the thermostats, K.")
        spec.input("seed", valid_type=orm.Int, help="Of velocities, thermostats, splits and committees.")
        spec.input("codes.label", valid_type=orm.AbstractCode, help="CP2K, or haml-engine for a teacher.")
        spec.input("codes.engine", valid_type=orm.AbstractCode, help="haml-engine.")
        spec.input("codes.lammps", valid_type=orm.AbstractCode, help="haml-lammps, or a LAMMPS with ML-IAP.")
        spec.input_namespace("isolated_atoms", dynamic=True, required=False, valid_type=FramesData)
        spec.input_namespace(
            "labels",
            dynamic=True,
            required=False,
            valid_type=FramesData,
            help="Labels to learn from at the start.",
        )
        spec.input("potential", valid_type=PotentialData, required=False, help="Committee to start from.")
        for port in GAUSSIAN_PORTS:
            spec.input_namespace(port, dynamic=True, required=False, valid_type=orm.Data)

        spec.output_namespace("segments", dynamic=True, valid_type=FramesData, help="The time line, in order.")
        spec.output_namespace("untrusted", dynamic=True, valid_type=FramesData, help="Tails that were cut off.")
        spec.output("potential", valid_type=PotentialData, required=False, help="The last committee.")
        spec.output("equilibration", valid_type=orm.Dict, required=False, help="How calm the cell was at the start.")
        spec.output("history", valid_type=orm.Dict, help="What happened in each cycle, and the simulated time.")

        spec.outline(
            cls.setup,
            if_(cls.needs_atoms)(cls.label_atoms, cls.inspect_atoms),
            if_(cls.wants_equilibration)(cls.equilibrate, cls.inspect_equilibration),
            while_(cls.goes_on)(
                cls.run_burst,
                cls.inspect_burst,
                if_(cls.has_potential)(cls.test_potential, cls.inspect_test),
                cls.plan,
                if_(cls.wants_stretch)(cls.train, cls.inspect_training, cls.run_stretch, cls.inspect_stretch),
            ),
            cls.finish,
        )
        spec.exit_code(410, "ERROR_LABEL_FAILED", message="The burst of cycle {cycle} gave no labels: {message}")
        spec.exit_code(
            411, "ERROR_TEST_FAILED", message="The potential could not be tested in cycle {cycle}: {message}"
        )
        spec.exit_code(412, "ERROR_TRAINING_FAILED", message="The training of cycle {cycle} failed: {message}")
        spec.exit_code(413, "ERROR_STRETCH_FAILED", message="The stretch of cycle {cycle} left no frame: {message}")
        spec.exit_code(414, "ERROR_ATOMS_FAILED", message="The isolated atoms could not be labelled.")
        spec.exit_code(415, "ERROR_EQUILIBRATION_FAILED", message="The cell could not be equilibrated: {message}")

    @classmethod
    def get_builder_from_protocol(
        cls,
        structure: FramesData,
        codes: dict[str, orm.AbstractCode],
        level: orm.Dict | str = "gfn1-xtb",
        protocol: str | None = None,
        overrides: dict[str, Any] | None = None,
        temperature: float = 300.0,
        seed: int = 1,
    ) -> Any:
        """Return a builder with the settings of a protocol.

        Parameters
        ----------
        structure : FramesData
            The last frame is the start.
        codes : dict
            ``label``, ``engine`` and ``lammps``.
        level : Dict or str
            A level of theory, or the name of a preset.
        protocol : str, optional
        overrides : dict, optional
            Merged into the protocol's settings; unknown keys are refused.
        temperature : float
            K.
        seed : int

        Raises
        ------
        ValueError
            If the protocol, the level or an override is unknown.
        """
        builder = cls.get_builder()
        builder.structure = structure
        builder.codes = codes
        for port, value in level_inputs(level).items():
            builder[port] = value
        builder.settings = orm.Dict(protocol_settings(protocol, overrides))
        builder.temperature_K = orm.Float(temperature)
        builder.seed = orm.Int(seed)
        return builder

    # -- start ---------------------------------------------------------------------------------------------

    def setup(self) -> None:
        """Set the counters; the context holds nodes and settings, never content."""
        settings = self.inputs.settings.get_dict()
        self.ctx.settings = settings
        self.ctx.cycle = -1  # the first burst makes it 0
        self.ctx.segments = {}
        self.ctx.untrusted = {}
        self.ctx.records = {}
        self.ctx.labels = dict(self.inputs.get("labels", {}))
        self.ctx.potential = self.inputs.get("potential", None)
        self.ctx.last = self.inputs.structure
        self.ctx.n_labels = 0
        self.ctx.steps_done = 0
        self.ctx.steps_wanted = round(settings["hybrid"]["simulated_fs"] / settings["dynamics"]["timestep_fs"])
        self.ctx.plan = control(self._controller())
        self.ctx.records["plan_0000"] = self.ctx.plan
        self.ctx.over = False
        self.ctx.atoms = dict(self.inputs.get("isolated_atoms", {}))

    def _controller(self) -> orm.Dict:
        return orm.Dict(self.ctx.settings["controller"])

    def _options(self, kind: str) -> orm.Dict:
        return orm.Dict(self.ctx.settings["options"][kind])

    def _gaussians(self) -> dict[str, Any]:
        return {port: self.inputs[port] for port in GAUSSIAN_PORTS if port in self.inputs}

    def _md(self, steps: int, offset: int, **more: Any) -> orm.Dict:
        """Settings of one segment; the seed is a function of the run's seed and the cycle."""
        seed = SEED_STRIDE * (self.inputs.seed.value + 1) + 2 * self.ctx.cycle + offset
        return orm.Dict(md_settings(self.ctx.settings, steps, self.inputs.temperature_K.value, seed) | more)

    def needs_atoms(self) -> bool:
        """Whether the isolated atoms of some element were not given."""
        return not set(self._elements()) <= set(self.ctx.atoms)

    def _elements(self) -> list[str]:
        return sorted(self.ctx.settings["training"].get("elements") or self.inputs.structure.elements)

    def label_atoms(self) -> ToContext:
        """Have the isolated atoms labelled, or found in the database."""
        child = self.submit(
            AtomsWorkChain,
            code=self.inputs.codes.label,
            level=self.inputs.level,
            elements=orm.List(self._elements()),
            options=self._options("label"),
            metadata={"call_link_label": "atoms"},
            **self._gaussians(),
        )
        return ToContext(atoms_chain=child)

    def inspect_atoms(self) -> Any:
        """Keep the labelled atoms."""
        if not self.ctx.atoms_chain.is_finished_ok:
            return self.exit_codes.ERROR_ATOMS_FAILED
        self.ctx.atoms = dict(self.ctx.atoms_chain.outputs.atoms)
        return None

    def wants_equilibration(self) -> bool:
        """Whether the cell is relaxed and warmed up first."""
        return asks_for_equilibration(self.ctx.settings)

    def equilibrate(self) -> ToContext:
        """Relax the cell and warm it up."""
        child = self.submit(
            EquilibrateWorkChain,
            code=self.inputs.codes.label,
            structure=self.inputs.structure,
            level=self.inputs.level,
            settings=self.inputs.settings,
            temperature_K=self.inputs.temperature_K,
            seed=self.inputs.seed,
            metadata={"call_link_label": "equilibration"},
            **self._gaussians(),
        )
        return ToContext(equilibration=child)

    def inspect_equilibration(self) -> Any:
        """Start from the equilibrated cell, and learn from the frames that led to it."""
        child = self.ctx.equilibration
        if not child.is_finished_ok:
            code = self.exit_codes.ERROR_EQUILIBRATION_FAILED
            return code.format(message=child.exit_message or f"it ended as {child.process_state}")
        self.ctx.last = child.outputs.structure
        self.ctx.labels |= {f"equilibration_{name}": node for name, node in child.outputs.labels.items()}
        self.ctx.n_labels += sum(len(node) for node in child.outputs.labels.values())
        self.out("equilibration", child.outputs.output_parameters)
        return None

    # -- one cycle -----------------------------------------------------------------------------------------

    def goes_on(self) -> bool:
        """Whether the plan holds another burst."""
        return not self.ctx.over

    def run_burst(self) -> ToContext:
        """Follow the interface ab initio."""
        self.ctx.cycle += 1
        steps = min(self.ctx.plan["n_burst"], self.ctx.steps_wanted - self.ctx.steps_done)
        self.report(f"cycle {self.ctx.cycle}: burst of {steps} steps from {self._now():g} fs")
        child = self.submit(
            LabelWorkChain,
            code=self.inputs.codes.label,
            initial=self.ctx.last,
            level=self.inputs.level,
            md=self._md(steps, 1),
            options=self._options("label"),
            metadata={"call_link_label": f"burst_{self.ctx.cycle:04d}"},
            **self._gaussians(),
        )
        return ToContext(burst=child)

    def inspect_burst(self) -> Any:
        """Put the burst on the time line and its frames among the labels."""
        child = self.ctx.burst
        if not child.is_finished_ok:
            return self._failed(self.exit_codes.ERROR_LABEL_FAILED, child)
        self._append(child.outputs.frames)
        self.ctx.labels[f"burst_{self.ctx.cycle:04d}"] = child.outputs.frames
        self.ctx.records[f"burst_{self.ctx.cycle:04d}"] = child.outputs.output_parameters
        self.ctx.n_labels += len(child.outputs.frames) - 1
        self.ctx.errors = None
        return None

    def has_potential(self) -> bool:
        """Whether there is a committee to test before it learns from the burst."""
        return self.ctx.potential is not None

    def test_potential(self) -> ToContext:
        """Score the committee on the burst that it has not seen."""
        child = self.submit(
            EvaluateCalculation,
            code=self.inputs.codes.engine,
            potential=self.ctx.potential,
            frames=self.ctx.last,
            metadata={
                "call_link_label": f"test_{self.ctx.cycle:04d}",
                "options": self.ctx.settings["options"]["analysis"],
            },
        )
        return ToContext(test=child)

    def inspect_test(self) -> Any:
        """Keep the prequential errors."""
        child = self.ctx.test
        if not child.is_finished_ok:
            return self._failed(self.exit_codes.ERROR_TEST_FAILED, child)
        self.ctx.errors = child.outputs.errors
        self.ctx.records[f"errors_{self.ctx.cycle:04d}"] = child.outputs.errors
        errors = child.outputs.errors.get_dict()
        self.report(
            f"cycle {self.ctx.cycle}: prequential force error {1000 * errors['force_rmse']:.0f} meV/A, "
            f"largest committee deviation {1000 * errors['deviation_max']:.0f} meV/A"
        )
        return None

    def plan(self) -> None:
        """Let the controller decide on the stretch and on the burst after it."""
        remaining = self.ctx.steps_wanted - self.ctx.steps_done
        inputs = {
            "previous": self.ctx.plan,
            "remaining_steps": orm.Int(remaining),
            "n_labels": orm.Int(self.ctx.n_labels),
        }
        if self.ctx.errors is not None:
            inputs["errors"] = self.ctx.errors
        stretch = self.ctx.records.get(f"stretch_{self.ctx.cycle - 1:04d}")
        if stretch is not None:
            inputs["stretch"] = stretch
        if self.ctx.settings["controller"].get("max_wall_time_s") is not None:
            inputs["wall_time_s"] = orm.Float((timezone.now() - self.node.ctime).total_seconds())
        self.ctx.plan = control(self._controller(), **inputs)
        self.ctx.records[f"plan_{self.ctx.cycle:04d}"] = self.ctx.plan
        self.ctx.over = self.ctx.plan["n_burst"] == 0 and self.ctx.plan["n_stretch"] == 0
        self.report(f"cycle {self.ctx.cycle}: {self.ctx.plan['reason']}")

    def wants_stretch(self) -> bool:
        """Whether the plan holds a stretch: near the end there may be time for a last burst alone."""
        return self.ctx.plan["n_stretch"] > 0

    def train(self) -> ToContext:
        """Train a committee on all labels so far, from the present one if there is one."""
        settings = self.ctx.settings["training"] | {
            "elements": self._elements(),
            "seed": self.inputs.seed.value,
        }
        inputs = {"initial": self.ctx.potential} if self.ctx.potential is not None else {}
        self.report(f"cycle {self.ctx.cycle}: training on {sum(map(len, self.ctx.labels.values()))} labels")
        child = self.submit(
            TrainWorkChain,
            code=self.inputs.codes.engine,
            labels=self.ctx.labels,
            isolated_atoms=self.ctx.atoms,
            settings=orm.Dict(settings),
            options=self._options("train"),
            metadata={"call_link_label": f"train_{self.ctx.cycle:04d}"},
            **inputs,
        )
        return ToContext(training=child)

    def inspect_training(self) -> Any:
        """Take the new committee."""
        child = self.ctx.training
        if not child.is_finished_ok:
            return self._failed(self.exit_codes.ERROR_TRAINING_FAILED, child)
        self.ctx.potential = child.outputs.potential
        self.ctx.records[f"training_{self.ctx.cycle:04d}"] = child.outputs.errors
        return None

    def run_stretch(self) -> ToContext:
        """Follow the interface with the potential, watched."""
        dynamics = self.ctx.settings["dynamics"]
        watch = {**self.ctx.settings["watch"], "max_deviation": self.ctx.plan["max_deviation"]}
        self.report(f"cycle {self.ctx.cycle}: stretch of {self.ctx.plan['n_stretch']} steps from {self._now():g} fs")
        child = self.submit(
            MdWorkChain,
            code=self.inputs.codes.lammps,
            initial=self.ctx.last,
            potential=self.ctx.potential,
            md=self._md(self.ctx.plan["n_stretch"], 2, save_every=dynamics["save_every"]),
            watch=orm.Dict(watch),
            options=self._options("md"),
            metadata={"call_link_label": f"stretch_{self.ctx.cycle:04d}"},
        )
        return ToContext(stretch=child)

    def inspect_stretch(self) -> Any:
        """Put the trusted frames on the time line; the tail is kept apart."""
        child = self.ctx.stretch
        if not child.is_finished_ok:
            return self._failed(self.exit_codes.ERROR_STRETCH_FAILED, child)
        self._append(child.outputs.frames)
        self.ctx.records[f"stretch_{self.ctx.cycle:04d}"] = child.outputs.output_parameters
        if "untrusted" in child.outputs:
            self.ctx.untrusted[f"stretch_{self.ctx.cycle:04d}"] = child.outputs.untrusted
        parameters = child.outputs.output_parameters.get_dict()
        if parameters["stopped_by"]:
            self.report(
                f"cycle {self.ctx.cycle}: stretch stopped by {parameters['stopped_by']} and rolled back to step "
                f"{parameters['trusted_steps']}"
            )
        return None

    # -- end -----------------------------------------------------------------------------------------------

    def finish(self) -> None:
        """Return the time line and what happened on it."""
        self.out("segments", self.ctx.segments)
        if self.ctx.untrusted:
            self.out("untrusted", self.ctx.untrusted)
        if self.ctx.potential is not None:
            self.out("potential", self.ctx.potential)
        self.out("history", summarize(**self.ctx.records, **self.ctx.segments))

    def _append(self, segment: FramesData) -> None:
        self.ctx.segments[f"segment_{len(self.ctx.segments):04d}"] = segment
        self.ctx.last = segment
        self.ctx.steps_done = round(self._now() / self.ctx.settings["dynamics"]["timestep_fs"])

    def _now(self) -> float:
        """Time reached, fs."""
        segments = list(self.ctx.segments.values())
        if not segments:
            return 0.0
        return segments[-1].base.attributes.get("time_end") - segments[0].base.attributes.get("time_start")

    def _failed(self, code: Any, child: orm.ProcessNode) -> Any:
        message = child.exit_message or f"{child.process_label}<{child.pk}> ended as {child.process_state}"
        return code.format(cycle=self.ctx.cycle, message=message)


def validate_settings(node: orm.Dict | None, _: Any) -> str | None:
    """Refuse settings that a controller or a training would refuse hours later."""
    return None if node is None else hybrid_complaint(node.get_dict())


def hybrid_complaint(settings: dict[str, Any]) -> str | None:
    """Return what is wrong with the settings of a hybrid trajectory, or None."""
    missing = {"dynamics", "watch", "controller", "hybrid", "training", "options", "equilibration"} - set(settings)
    if missing:
        return f"The settings lack {', '.join(sorted(missing))}; start from a protocol."
    if complaint := equilibration_complaint(settings):
        return complaint
    try:
        ControllerSettings.from_dict(settings["controller"])
        TrainingSettings.from_dict(settings["training"])
        Thresholds.from_dict(settings["watch"])
        require_number("hybrid.simulated_fs", settings["hybrid"].get("simulated_fs"))
        for name in ("timestep_fs", "thermostat_time_fs"):
            require_number(f"dynamics.{name}", settings["dynamics"].get(name))
        require_integer("dynamics.save_every", settings["dynamics"].get("save_every"), 1)
    except ValueError as error:
        return str(error)
    return None
