"""Production: a wide cell under a potential that small ones have taught, looked into by truth as it goes."""

from collections.abc import Mapping
from typing import Any

from aiida import orm
from aiida.engine import ToContext, if_, while_

from aiida_haml.calculations.base import validate_potential
from aiida_haml.calculations.cutouts import judge_cutouts, take_cutouts
from aiida_haml.calculations.history import tell_history
from aiida_haml.calculations.pool import gather
from aiida_haml.calculations.rounds import port
from aiida_haml.data.frames import FramesData
from aiida_haml.data.pool import LabelPoolData
from aiida_haml.data.potential import PotentialData
from aiida_haml.groups import add_labels
from aiida_haml.learning.seeds import derive
from aiida_haml.workchains import timeline
from aiida_haml.workchains.analysis import EvaluateWorkChain
from aiida_haml.workchains.inputs import ENGINES, engine_inputs
from aiida_haml.workchains.job import fill
from aiida_haml.workchains.label import LabelWorkChain, level_inputs
from aiida_haml.workchains.md import MdWorkChain
from aiida_haml.workchains.production_inputs import (
    SECTIONS,
    SLUG,
    inputs_from_run,
    validate_inputs,
    validate_settings,
    what_is_watched,
)
from aiida_haml.workchains.protocols import md_settings, protocol_settings
from aiida_haml.workchains.side_by_side import SideBySideWorkChain, why


class ProductionWorkChain(SideBySideWorkChain):
    """Follow a cell that is too wide for ab initio with a potential, and have truth look into it as it goes.

    Stretch after stretch under the watch; of each, *cut-outs* small enough to be labelled, around the atoms that are
    least like all labels and around others that are drawn. The judge reads the errors of their inner atoms as he reads
    those of labels in the hybrid dynamics: what no label supports does not stay on the time line. Nothing is learned
    here, so that a whole run has one potential; the labels join the pool, and another run may learn from them.
    """

    @classmethod
    def define(cls, spec: Any) -> None:
        super().define(spec)
        for namespace in ("label", "md"):
            process, filled = ENGINES[namespace]
            spec.expose_inputs(process, namespace=namespace, exclude=filled)
        spec.expose_inputs(EvaluateWorkChain, namespace="evaluate", exclude=("job.potential", "job.frames"))
        spec.input(
            "structure", valid_type=FramesData, help="The last frame is the start; without velocities, some are drawn."
        )
        spec.input("candidate", valid_type=orm.Dict, help="`temperature_K`, `seed`, `simulated_fs`.")
        spec.input("settings", valid_type=orm.Dict, validator=validate_settings, help="As a protocol gives them.")
        spec.input("potential", valid_type=PotentialData, validator=validate_potential, help="The committee.")
        spec.input("calibration", valid_type=orm.Dict, required=False, help="What its deviation is worth.")
        spec.input("pool", valid_type=LabelPoolData, required=False, help="Labels that the cut-outs' ones join.")
        spec.inputs.validator = validate_inputs
        spec.output_namespace("trajectories", dynamic=True, help="`production`: `segments`, `untrusted`, `history`.")
        spec.output("pool", valid_type=LabelPoolData, required=False, help="With the labels of the cut-outs.")
        spec.output("calibration", valid_type=orm.Dict, required=False, help="After the last stretch.")
        spec.outline(
            cls.setup,
            while_(cls.goes_on)(
                cls.stretch,
                cls.inspect_stretch,
                while_(cls.has_waiting)(cls.launch),
                cls.inspect_labels,
                if_(cls.has_labels)(cls.test, cls.judge),
            ),
            cls.finish,
        )
        spec.exit_code(410, "ERROR_ENDED_EARLY", message="Followed for {fs} fs. {reason}")
        spec.exit_code(411, "ERROR_STRETCH_FAILED", message="A stretch could not be run: {message}")
        spec.exit_code(412, "ERROR_NO_LABELS", message="Not one cut-out could be labelled; the last: {message}")
        spec.exit_code(413, "ERROR_TEST_FAILED", message="The potential could not be tested: {message}")

    @classmethod
    def get_builder_from_protocol(
        cls,
        structure: FramesData,
        potential: PotentialData,
        codes: Mapping[str, orm.AbstractCode],
        simulated_fs: float,
        level: orm.Dict | str = "gfn1-xtb",
        protocol: str | None = None,
        overrides: Mapping[str, Any] | None = None,
        temperature: float = 300.0,
        seed: int = 1,
    ) -> Any:
        """Return a builder with a protocol's settings.

        Parameters
        ----------
        structure : FramesData
            A wide cell; the last frame is the start.
        potential : PotentialData
        codes : mapping
            ``label``, ``engine`` and ``lammps``.
        simulated_fs : float
        level : Dict or str
            A level of theory, or the name of a preset.
        protocol : str, optional
        overrides : mapping, optional
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
        engines = engine_inputs(codes, level_inputs(level), settings)
        builder: Any = cls.get_builder()
        fill(builder, {"label": engines["label"], "md": engines["md"], "evaluate": engines["learn"]})
        builder.structure, builder.potential = structure, potential
        builder.candidate = orm.Dict({"temperature_K": temperature, "seed": seed, "simulated_fs": simulated_fs})
        builder.settings = orm.Dict({name: settings[name] for name in SECTIONS})
        return builder

    @classmethod
    def get_builder_from_run(
        cls,
        process: orm.WorkChainNode,
        slug: str,
        repeats: tuple[int, int, int],
        simulated_fs: float,
        temperature: float | None = None,
        overrides: Mapping[str, Any] | None = None,
    ) -> Any:
        """Return a builder of a run with what a screen or a hybrid run has taught, with its codes and settings.

        Parameters
        ----------
        process : WorkChainNode
        slug : str
            Of the candidate whose cell is repeated: that from which its time line starts.
        repeats : tuple of int
            Along each cell vector.
        simulated_fs : float
        temperature : float, optional
            K; the candidate's if None.
        overrides : mapping, optional
            Of `aiida_haml.learning.cutouts.CutoutSettings`.

        Raises
        ------
        ValueError
            If there is no such time line or no potential, or the cell would be too narrow to cut anything out of it.
        """
        builder: Any = cls.get_builder()
        fill(builder, inputs_from_run(process, slug, repeats, simulated_fs, temperature, overrides))
        builder.metadata.label = f"{SLUG} of {slug}"
        return builder

    def setup(self) -> None:
        """Begin a time line at the cell."""
        self.prepare([SLUG])
        self.ctx.trajectory = timeline.begin(SLUG, self.inputs.structure, {})
        self.ctx.calibration = self.inputs.get("calibration", None)
        self.ctx.pool = self.inputs.get("pool", None)
        self.ctx.records, self.ctx.verdict, self.ctx.error = {}, {}, None
        self.ctx.round = self.ctx.alarms = 0  # alarms of the watch in a row

    def goes_on(self) -> bool:
        """Whether nothing has ended the run."""
        return self.ctx.error is None and not self.ctx.verdict.get("ends")

    def numbered(self, kind: str) -> str:
        """Return what a job is called: its kind and the number of the stretch."""
        return f"{kind}_{self.ctx.round:04d}"

    def _seed(self, role: str) -> int:
        return derive(self.inputs.candidate["seed"], role, SLUG, self.ctx.round)

    def stretch(self) -> ToContext:
        """Follow the cell to the next look, or to its end."""
        timeline.begin_round(self.ctx.trajectory)
        given, settings = self.inputs.candidate, self.inputs.settings.get_dict()
        left = round((given["simulated_fs"] - self._reached()) / settings["dynamics"]["timestep_fs"])
        steps = min(left, settings["cutouts"]["n_stretch"])
        md = md_settings(settings, steps, given["temperature_K"], self._seed("stretch"))
        inputs = self.exposed_inputs(MdWorkChain, namespace="md")
        inputs["job"] |= {
            "initial": self.ctx.trajectory["last"],
            "potential": self.inputs.potential,
            "md": orm.Dict(md | {"save_every": settings["dynamics"]["save_every"]}),
            "watch": orm.Dict(what_is_watched(self.inputs, self.ctx.calibration)),
        }
        inputs["metadata"] = {"call_link_label": port(SLUG, self.numbered("stretch"))}
        return ToContext(moved=self.submit(MdWorkChain, **inputs))

    def inspect_stretch(self) -> None:
        """Cut out what is to be labelled."""
        child, now = self.ctx.moved, self.ctx.trajectory["round"]
        if not child.is_finished_ok:
            self.ctx.error = self.exit_codes.ERROR_STRETCH_FAILED.format(message=why(child))
            return
        told = child.outputs.output_parameters
        self.ctx.records[port(SLUG, self.numbered("stretch"))] = self.ctx.seen = told
        found = timeline.note_stretch(now, child.outputs)
        self.report(f"stretch {self.ctx.round}: {told['reason'] or 'ran through'}")
        self.ctx.alarms = self.ctx.alarms + 1 if now["seen"]["stopped_by"] else 0
        if "stretch" not in now:
            if "tail" in now:
                self.ctx.trajectory["untrusted"][self.numbered("breached")] = now["tail"]
            self.ctx.error = self.exit_codes.ERROR_ENDED_EARLY.format(fs=self._reached(), reason=told["reason"])
            return
        more = {"pool": self.ctx.pool} if self.ctx.pool is not None else {}
        cut = take_cutouts(
            settings=orm.Dict(self.inputs.settings["cutouts"]),
            seed=orm.Int(self._seed("cutouts")),
            seen=told,
            **found,
            **more,
            **timeline.called(self.numbered("take_cutouts")),
        )
        self.ctx.why, self.ctx.cutouts = cut.pop("why"), cut
        self.ctx.waiting = [("labels", name) for name in sorted(cut)]

    def job(self, kind: str, slug: str) -> tuple[Any, dict[str, Any]]:
        """Return the labelling of a cut-out."""
        inputs = self.exposed_inputs(LabelWorkChain, namespace="label")
        inputs["job"]["initial"] = self.ctx.cutouts[slug]
        return LabelWorkChain, inputs

    def inspect_labels(self) -> None:
        """Collect the labels; a cut-out whose SCF does not converge says nothing, and is left out."""
        if self.ctx.error is not None:
            return
        taken = {name: self.take("labels", name) for name in sorted(self.ctx.cutouts)}
        self.ctx.labels = {name: child.outputs.frames for name, child in taken.items() if child is not None}
        if not self.ctx.labels:
            self.ctx.error = self.exit_codes.ERROR_NO_LABELS.format(message=list(self.ctx.failures.values())[-1])
            return
        named = {port(SLUG, self.numbered(name)): node for name, node in self.ctx.labels.items()}
        before = {"previous": self.ctx.pool} if self.ctx.pool is not None else {}
        self.ctx.pool = gather(**before, **named, **timeline.called(self.numbered("gather")))
        add_labels([*named.values(), self.ctx.pool], self.inputs.label.job.level.get_dict())

    def has_labels(self) -> bool:
        """Whether there is something to judge by."""
        return self.ctx.error is None

    def test(self) -> ToContext:
        """Score the potential on the cut-outs."""
        inputs = self.exposed_inputs(EvaluateWorkChain, namespace="evaluate")
        inputs["job"] |= {"potential": self.inputs.potential, "frames": self.ctx.labels}
        inputs["metadata"] = {"call_link_label": self.numbered("test")}
        return ToContext(tested=self.submit(EvaluateWorkChain, **inputs))

    def judge(self) -> None:
        """Let truth decide how much of the stretch stays, and whether the run goes on."""
        if not self.ctx.tested.is_finished_ok:
            self.ctx.error = self.exit_codes.ERROR_TEST_FAILED.format(message=why(self.ctx.tested))
            return
        more = {"slug": SLUG, "simulated_fs": self.inputs.candidate["simulated_fs"], "n_alarms": self.ctx.alarms}
        before = {"calibration": self.ctx.calibration} if self.ctx.calibration is not None else {}
        judged = judge_cutouts(
            settings=orm.Dict(self.inputs.settings["rounds"] | more),
            stretch=self.ctx.trajectory["round"]["stretch"],
            why=self.ctx.why,
            seen=self.ctx.seen,
            tests=self.ctx.tested.outputs.tests,
            **before,
            **timeline.called(self.numbered("judge")),
        )
        self.ctx.calibration, self.ctx.verdict = judged["calibration"], judged["verdicts"][SLUG]
        self.ctx.records[self.numbered("verdicts")] = judged["verdicts"]
        self.ctx.records[self.numbered("calibration")] = self.ctx.calibration
        self.report(f"stretch {self.ctx.round}: {self.ctx.verdict['reason']} Now at {self._reached():g} fs.")
        timeline.apply_verdict(SLUG, self.ctx.trajectory, self.ctx.verdict, self.ctx.round)
        self.ctx.round += 1

    def _reached(self) -> float:
        return float(self.ctx.verdict.get("reached_fs", 0.0))

    def finish(self) -> Any:
        """Return all that there is, whatever ended the run."""
        outputs = {name: self.ctx.trajectory[name] for name in ("segments", "untrusted") if self.ctx.trajectory[name]}
        if self.ctx.verdict:
            outputs["history"] = tell_history(**self.ctx.records)[SLUG]
        if outputs:
            self.out(f"trajectories.{SLUG}", outputs)
        for name in ("pool", "calibration"):
            if self.ctx[name] is not None and self.ctx[name] is not self.inputs.get(name, None):
                self.out(name, self.ctx[name])
        if self.ctx.error is not None:
            return self.ctx.error
        if self._reached() < self.inputs.candidate["simulated_fs"] - 1e-6:
            return self.exit_codes.ERROR_ENDED_EARLY.format(fs=self._reached(), reason=self.ctx.verdict["ends"])
        return None
