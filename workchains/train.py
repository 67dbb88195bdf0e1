"""Training: a committee from labels, started anew with a smaller step where it diverges."""

from __future__ import annotations

from typing import Any

from aiida import orm
from aiida.engine import ProcessHandlerReport, process_handler

from aiida_haml.calculations.train import TrainCalculation
from aiida_haml.data.frames import FramesData
from aiida_haml.data.potential import PotentialData
from aiida_haml.workchains.job import JobWorkChain
from aiida_haml.workchains.protocols import protocol_settings

#: Factor on the learning rates after a training that diverged.
CALMER = 0.3


class TrainWorkChain(JobWorkChain):
    """Train a committee of potentials from label nodes."""

    _process_class = TrainCalculation

    @classmethod
    def define(cls, spec: Any) -> None:
        super().define(spec)
        spec.expose_outputs(TrainCalculation, exclude=("remote_folder", "retrieved", "remote_stash"))

    @classmethod
    def get_builder_from_protocol(
        cls,
        code: orm.AbstractCode,
        labels: dict[str, FramesData],
        isolated_atoms: dict[str, FramesData],
        protocol: str | None = None,
        overrides: dict[str, Any] | None = None,
        initial: PotentialData | None = None,
        seed: int = 1,
    ) -> Any:
        """Return a builder of one training.

        Parameters
        ----------
        code : AbstractCode
            haml-engine.
        labels, isolated_atoms : dict
            Labelled frames by a name of your choice, and labelled atoms by element.
        protocol : str, optional
        overrides : dict, optional
            Merged into the protocol's settings; unknown keys are refused.
        initial : PotentialData, optional
            Committee to start from.
        seed : int

        Raises
        ------
        ValueError
            If the protocol or an override is unknown.
        """
        settings = protocol_settings(protocol, overrides)
        builder = cls.get_builder()
        builder.code = code
        builder.labels = labels
        builder.isolated_atoms = isolated_atoms
        if initial is not None:
            builder.initial = initial
        builder.settings = orm.Dict(settings["training"] | {"seed": seed})
        builder.options = orm.Dict(settings["options"]["train"])
        return builder

    @process_handler(priority=100)
    def calm_down(self, node: orm.CalcJobNode) -> ProcessHandlerReport | None:
        """Lower the learning rates after NaN."""
        if node.is_finished_ok or node.exit_status != TrainCalculation.exit_codes.ERROR_DIVERGED.status:
            return None
        settings = self.ctx.inputs["settings"].get_dict()
        rates = {name: settings[name] * CALMER for name in ("lr", "fine_tune_lr") if name in settings}
        if not rates:
            return ProcessHandlerReport(do_break=True, exit_code=self.exit_codes.ERROR_UNHANDLED_FAILURE)
        self.ctx.inputs["settings"] = orm.Dict(settings | rates)
        self.report(f"{node.process_label}<{node.pk}> diverged; learning rates now {rates}.")
        return ProcessHandlerReport(do_break=True)
