"""The hybrid dynamics: stretches, labels, judge, learner and plan in rounds, for all trajectories together."""

from typing import Any

from aiida import orm
from aiida.common import timezone
from aiida.engine import ToContext, if_, while_

from aiida_haml.calculations.history import tell_history
from aiida_haml.calculations.planning import plan_round
from aiida_haml.calculations.rounds import flat, judge_round, port
from aiida_haml.data.frames import FramesData
from aiida_haml.data.pool import LabelPoolData
from aiida_haml.data.potential import PotentialData
from aiida_haml.workchains import timeline
from aiida_haml.workchains.equilibrate import asks_for_equilibration
from aiida_haml.workchains.inputs import (
    SECTIONS,
    engine_inputs,
    expose_engines,
    expose_starts,
    validate_settings,
    validate_trajectories,
)
from aiida_haml.workchains.job import fill
from aiida_haml.workchains.label import LabelWorkChain, level_inputs
from aiida_haml.workchains.learning import LearningWorkChain, last_of_false_states
from aiida_haml.workchains.prepare import PrepareWorkChain
from aiida_haml.workchains.protocols import protocol_settings
from aiida_haml.workchains.side_by_side import why


class HybridWorkChain(LearningWorkChain):
    """Follow interfaces for a simulated time, ab initio where it is needed and by a potential where it is not.

    One round, for all trajectories side by side: a *stretch* under the present potential; *labels*, which are an AIMD
    burst from its end and single points along it; one *test and training* on all of them; the *judge*, who accepts,
    cuts or revokes each stretch by its true errors; and the *plan* of the next round. The first round, without a
    potential, has labels only, as have the next ones, which show the first potentials where they come to when they are
    hot. What is learned follows from the inputs, not from who was faster.
    """

    @classmethod
    def define(cls, spec: Any) -> None:
        super().define(spec)
        expose_engines(spec)
        spec.input_namespace("structures", dynamic=True, valid_type=FramesData, help="By slug; the last frame counts.")
        spec.input_namespace(
            "candidates", dynamic=True, valid_type=orm.Dict, help="By slug: `temperature_K`, `seed`, and a `label`."
        )
        spec.input("settings", valid_type=orm.Dict, validator=validate_settings, help="As a protocol gives them.")
        expose_starts(spec)
        spec.inputs.validator = validate_trajectories
        spec.output_namespace(
            "trajectories",
            dynamic=True,
            help="By slug: `segments` (the time line), `untrusted`, `history`, `equilibration`.",
        )
        spec.output("pool", valid_type=LabelPoolData, required=False, help="All labels, as an index.")
        spec.output("potential", valid_type=PotentialData, required=False, help="The last champion.")
        spec.output("calibration", valid_type=orm.Dict, required=False, help="What its deviation is worth.")
        spec.outline(
            cls.setup,
            cls.start,
            cls.inspect_start,
            cls.plan,
            while_(cls.goes_on)(
                cls.queue_stretches,
                while_(cls.has_waiting)(cls.launch),
                cls.inspect_stretches,
                cls.queue_labels,
                while_(cls.has_waiting)(cls.launch),
                cls.inspect_labels,
                if_(cls.has_labels)(cls.learn, cls.inspect_learning, cls.judge, cls.plan),
            ),
            cls.finish,
        )
        spec.exit_code(410, "ERROR_SOME_FAILED", message="Followed without the trajectories that failed: {names}.")
        spec.exit_code(411, "ERROR_ALL_FAILED", message="Not one trajectory could be followed; the first: {message}")
        spec.exit_code(412, "ERROR_TRAINING_FAILED", message="The training of round {round} failed: {message}")
        spec.exit_code(414, "ERROR_PREPARATION_FAILED", message="The cells could not be prepared: {message}")

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
        """Return a builder that follows one trajectory, by the name of ``trajectory``, with a protocol's settings.

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
        settings = protocol_settings(protocol, overrides)
        builder: Any = cls.get_builder()
        builder.structures = {"trajectory": structure}
        builder.candidates = {"trajectory": orm.Dict({"temperature_K": temperature, "seed": seed})}
        fill(builder, engine_inputs(codes, level_inputs(level), settings))
        builder.settings = orm.Dict({name: settings[name] for name in SECTIONS})
        return builder

    # -- start ---------------------------------------------------------------------------------------------

    def setup(self) -> None:
        """Set the counters; the context holds nodes and settings, never content."""
        self.ctx.settings = self.inputs.settings.get_dict()
        self.ctx.round = -1  # the first plan makes it 0
        self.prepare(sorted(self.inputs.structures))
        given = self.inputs.get("segments", {})
        self.ctx.trajectories = {s: timeline.begin(s, node, given) for s, node in self.inputs.structures.items()}
        self.ctx.labels = {}  # gathered at the end of the round
        self.ctx.records = {}
        self.ctx.explorations, self.ctx.is_exploring = 0, False
        for name in ("pool", "potential", "calibration"):
            self.ctx[name] = self.inputs.get(name, None)
        self.ctx.plans = self.ctx.verdicts = self.ctx.challenger = self.ctx.error = None
        self.ctx.false = last_of_false_states(self.inputs.get("verdicts", {}).values())

    def start(self) -> ToContext:
        """Have atoms labelled, and every cell that has not been followed yet relaxed and warmed up."""
        fresh = [slug for slug in self.ctx.active if not self.ctx.trajectories[slug]["segments"]]
        child = self.submit(
            PrepareWorkChain,
            label=self.exposed_inputs(LabelWorkChain, namespace="label"),
            structures={slug: self.inputs.structures[slug] for slug in fresh},
            candidates={slug: self.inputs.candidates[slug] for slug in fresh},
            settings=orm.Dict({name: self.ctx.settings[name] for name in ("equilibration", "dynamics")}),
            elements=orm.List(self._elements()),
            max_in_flight=self.inputs.max_in_flight,
            metadata={"call_link_label": "prepare"},
        )
        return ToContext(preparation=child)

    def inspect_start(self) -> Any:
        """Start from the equilibrated cells, and learn from the frames that led to them."""
        child = self.ctx.preparation
        if not child.is_finished_ok:
            return self.exit_codes.ERROR_PREPARATION_FAILED.format(message=why(child))
        self.ctx.atoms = dict(child.outputs.atoms)
        self.ctx.labels = flat(child.outputs.labels) if "labels" in child.outputs else {}
        if not asks_for_equilibration(self.ctx.settings):
            return None
        calm = dict(child.outputs.structures) if "structures" in child.outputs else {}
        for slug in list(self.ctx.active):
            trajectory = self.ctx.trajectories[slug]
            if slug in calm:
                trajectory |= {"last": calm[slug], "equilibration": child.outputs.calmness[slug]}
            elif not trajectory["segments"]:
                self.fail(slug, "its cell could not be equilibrated.")
        return None

    # -- one round -----------------------------------------------------------------------------------------

    def goes_on(self) -> bool:
        """Whether a trajectory is left that has not ended."""
        return bool(self.ctx.active)

    def has_labels(self) -> bool:
        """Whether the round brought any label."""
        return bool(self.ctx.active)

    def inspect_learning(self) -> Any:
        """Keep the errors of the potential that drove, and the challenger where it won."""
        child = self.ctx.training
        self.ctx.tests = child.outputs.tests if "tests" in child.outputs else None
        if not child.is_finished_ok:
            self.ctx.error = self.exit_codes.ERROR_TRAINING_FAILED.format(round=self.ctx.round, message=why(child))
            return self.finish()
        self.ctx.challenger = child.outputs.potential if "potential" in child.outputs else None
        hot = dict(child.outputs.hot) if "hot" in child.outputs else {}
        for slug in self.ctx.active:
            self.ctx.trajectories[slug]["hot"] = hot.get(slug)
        self.ctx.records[f"learning_{self.ctx.round:04d}"] = child.outputs.errors
        learned = child.outputs.errors.get_dict()
        self.ctx.is_exploring = "explored" in learned
        self.ctx.explorations += self.ctx.is_exploring
        self.report(f"round {self.ctx.round}: {learned.get('reason', 'trained')}")
        return None

    def judge(self) -> None:
        """Let truth decide on every stretch, move the time lines accordingly, and keep the challenger if it may."""
        names = ("start", "stretch", "probes", "why", "parameters", "burst")
        nodes = {
            port(slug, name): self.ctx.trajectories[slug]["round"][name]
            for slug in self.ctx.active
            for name in names
            if name in self.ctx.trajectories[slug]["round"]
        }
        learned = self.ctx.records[f"learning_{self.ctx.round:04d}"]
        known = {"tests": self.ctx.tests, "calibration": self.ctx.calibration, "learning": learned}
        known["plan"] = self.ctx.plans
        nodes |= {name: node for name, node in known.items() if node is not None}
        judged = judge_round(orm.Dict(self.ctx.settings["rounds"]), **nodes, metadata=self.named("judge"))
        self.ctx.calibration, self.ctx.verdicts = judged["calibration"], judged["verdicts"]
        self.ctx.records[f"verdicts_{self.ctx.round:04d}"] = self.ctx.verdicts
        self.ctx.records[f"calibration_{self.ctx.round:04d}"] = self.ctx.calibration
        for slug in self.ctx.active:
            verdict = self.ctx.verdicts[slug]
            self.report(f"{slug}, round {self.ctx.round}: {verdict['reason']} Now at {verdict['reached_fs']:g} fs.")
            timeline.apply_verdict(slug, self.ctx.trajectories[slug], verdict, self.ctx.round)
        self.promote()

    def plan(self) -> None:
        """Plan the next round of every trajectory that has not ended."""
        settings = self.ctx.settings
        hybrid = {
            "rounds": settings["rounds"],
            "watch": settings["watch"],
            "timestep_fs": settings["dynamics"]["timestep_fs"],
            "simulated_fs": settings["hybrid"]["simulated_fs"],
            "n_committee": settings["learning"]["n_committee"],
        }
        nodes = {"previous": self.ctx.plans, "verdicts": self.ctx.verdicts, "calibration": self.ctx.calibration}
        nodes |= {"learning": self.ctx.records.get(f"learning_{self.ctx.round:04d}")}
        nodes = {name: node for name, node in nodes.items() if node is not None}
        if self.ctx.plans is None:
            nodes |= self._earlier()
        if settings["rounds"].get("max_wall_time_s") is not None:
            nodes["wall_time_s"] = orm.Float((timezone.now() - self.node.ctime).total_seconds())
        self.ctx.plans = plan_round(
            orm.Dict(hybrid), orm.Dict(self._candidates()), **nodes, metadata=self.named("plan", self.ctx.round + 1)
        )
        self.ctx.round += 1
        self.ctx.records[f"plan_{self.ctx.round:04d}"] = self.ctx.plans
        plans = self.ctx.plans.get_dict()
        for slug in self.ctx.active:
            self.report(f"{slug}: {plans[slug]['reason']}")
        self.ctx.active = [slug for slug in self.ctx.active if plans[slug]["n_burst"]]

    def _earlier(self) -> dict[str, orm.Dict]:
        """Return plan and verdicts of the last round of each candidate that is gone on with."""
        given = {"plan": self.inputs.get("plans", {}), "verdicts": self.inputs.get("verdicts", {})}
        return {
            port(slug, name): nodes[slug] for name, nodes in given.items() for slug in self.ctx.active if slug in nodes
        }

    def _candidates(self) -> dict[str, Any]:
        return {
            slug: {
                "temperature_K": self.inputs.candidates[slug]["temperature_K"],
                "n_atoms": self.inputs.structures[slug].n_atoms,
                "reached_fs": self.ctx.trajectories[slug]["last"].base.attributes.get("time_end", None) or 0.0,
            }
            for slug in self.ctx.active
        }

    # -- end -----------------------------------------------------------------------------------------------

    def finish(self) -> Any:
        """Return all that there is, whatever ended the run, and say what is missing."""
        self.settle()
        told = dict(self.ctx.records)
        histories = tell_history(**told) if any(name.startswith("verdicts_") for name in told) else {}
        for slug, trajectory in self.ctx.trajectories.items():
            outputs = {
                name: trajectory[name] for name in ("segments", "untrusted", "equilibration") if trajectory.get(name)
            }
            if slug in histories:
                outputs["history"] = histories[slug]
            if outputs:
                self.out(f"trajectories.{slug}", outputs)
        for name in ("pool", "potential", "calibration"):
            if self.ctx[name] is not None:
                self.out(name, self.ctx[name])
        if self.ctx.error is not None:
            return self.ctx.error
        failed = self.ctx.failures
        if len(failed) == len(self.ctx.trajectories):
            return self.exit_codes.ERROR_ALL_FAILED.format(message=next(iter(failed.values())))
        return self.exit_codes.ERROR_SOME_FAILED.format(names=", ".join(sorted(failed))) if failed else None
