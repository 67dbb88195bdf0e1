"""Training: the champion tested on new labels, and a challenger where it fails."""

from typing import Any

from aiida import orm
from aiida.engine import ProcessHandlerReport, process_handler

from aiida_haml.calculations.learn import LearnCalculation
from aiida_haml.data.frames import FramesData
from aiida_haml.data.pool import LabelPoolData
from aiida_haml.data.potential import PotentialData
from aiida_haml.learning.learner import LearnerSettings
from aiida_haml.workchains.job import OUT_OF_WALLTIME, JobWorkChain, fill, restart_inputs
from aiida_haml.workchains.protocols import protocol_settings

_CODES = LearnCalculation.exit_codes
#: Factor on the learning rates after a training that diverged.
CALMER = 0.3


class LearnWorkChain(JobWorkChain):
    """Test a committee on new labels and train a challenger on the pool."""

    _process_class = LearnCalculation

    @classmethod
    def define(cls, spec: Any) -> None:
        super().define(spec)
        spec.expose_outputs(LearnCalculation, exclude=("remote_folder", "retrieved", "remote_stash"))

    @classmethod
    def get_builder_from_protocol(
        cls,
        code: orm.AbstractCode,
        pool: LabelPoolData,
        isolated_atoms: dict[str, FramesData],
        protocol: str | None = None,
        overrides: dict[str, Any] | None = None,
        champion: PotentialData | None = None,
        seed: int = 1,
    ) -> Any:
        """Return a builder of one training.

        Parameters
        ----------
        code : AbstractCode
            haml-engine.
        pool : LabelPoolData
        isolated_atoms : dict
            Labelled atoms by element.
        protocol : str, optional
        overrides : dict, optional
            Merged into the protocol's settings; unknown keys are refused.
        champion : PotentialData, optional
            Committee to start from, which the new one has to beat.
        seed : int

        Raises
        ------
        ValueError
            If the protocol or an override is unknown.
        """
        settings = protocol_settings(protocol, overrides)
        builder: Any = cls.get_builder()
        builder.job.code = code
        builder.job.pool = pool
        builder.job.isolated_atoms = isolated_atoms
        if champion is not None:
            builder.job.champion = champion
        builder.job.settings = orm.Dict(settings["learning"] | {"seed": seed})
        fill(builder.job.metadata.options, settings["options"]["learn"])
        fill(builder, restart_inputs(settings))
        return builder

    @process_handler(priority=200)
    def use_what_was_trained(self, node: orm.CalcJobNode) -> ProcessHandlerReport | None:
        """Accept a training that its wall time ended: what it has learned by then was tested like any other."""
        if node.exit_status != _CODES.ERROR_OUT_OF_WALLTIME.status or "errors" not in node.outputs:
            return None
        self.report(f"{node.process_label}<{node.pk}> ended by its wall time; what it learned is used.")
        self.ctx.is_finished = True
        return ProcessHandlerReport(do_break=True)

    @process_handler(priority=190)
    def train_less(self, node: orm.CalcJobNode) -> ProcessHandlerReport | None:
        """Take half the steps where the wall time ended a training with nothing to show."""
        if node.exit_status not in (OUT_OF_WALLTIME, _CODES.ERROR_OUT_OF_WALLTIME_EMPTY.status):
            return None
        settings = self.ctx.inputs["settings"].get_dict()
        for name in ("steps_first", "steps_per_round"):
            if name in settings:
                settings[name] = max(settings[name] // 2, 1)
        self.ctx.inputs["settings"] = orm.Dict(settings)
        return self.try_anew(node, "starting it anew with half the steps")

    @process_handler(priority=100)
    def calm_down(self, node: orm.CalcJobNode) -> ProcessHandlerReport | None:
        """Lower the learning rates after NaN."""
        if node.exit_status != _CODES.ERROR_DIVERGED.status:
            return None
        settings = self.ctx.inputs["settings"].get_dict()
        rates = {name: CALMER * settings[name] for name in ("lr", "fine_tune_lr") if name in settings}
        self.ctx.inputs["settings"] = orm.Dict(settings | rates)
        return self.try_anew(node, "starting it anew with smaller learning rates")

    @process_handler(priority=80)
    def halve_the_batch(self, node: orm.CalcJobNode) -> ProcessHandlerReport | None:
        """Take fewer frames a step where a GPU's memory did not hold them."""
        if node.exit_status != _CODES.ERROR_OUT_OF_MEMORY.status:
            return None
        settings = self.ctx.inputs["settings"].get_dict()
        batch = settings.get("batch_size", LearnerSettings.batch_size)
        self.ctx.inputs["settings"] = orm.Dict(settings | {"batch_size": max(batch // 2, 1)})
        return self.try_anew(node, "starting it anew with half the batch")

    @process_handler(priority=70)
    def was_killed(self, node: orm.CalcJobNode) -> ProcessHandlerReport | None:
        """Start anew a training that left nothing."""
        if node.exit_status not in (_CODES.ERROR_NO_RESULTS.status, _CODES.ERROR_TRAINING_FAILED.status):
            return None
        return self.try_anew(node)
