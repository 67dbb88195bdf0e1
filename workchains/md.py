"""Molecular dynamics with a potential: one stretch, kept up to its last trusted frame."""

from typing import Any

from aiida import orm
from aiida.engine import ProcessHandlerReport, process_handler

from aiida_haml.calculations.lammps import LammpsMdCalculation
from aiida_haml.data.frames import FramesData
from aiida_haml.data.potential import PotentialData
from aiida_haml.learning.seeds import derive
from aiida_haml.workchains.continued import ContinuedWorkChain, n_frames
from aiida_haml.workchains.job import OUT_OF_WALLTIME, fill, restart_inputs
from aiida_haml.workchains.protocols import md_settings, protocol_settings

_CODES = LammpsMdCalculation.exit_codes


class MdWorkChain(ContinuedWorkChain):
    """Run one stretch from the last frame of a node.

    A stretch that a breach of the watch ended is a success with its trusted frames: what becomes of it is not decided
    here. One that the wall time cut goes on from its last frame, with no step run twice and none missing.
    """

    _process_class = LammpsMdCalculation

    @classmethod
    def define(cls, spec: Any) -> None:
        super().define(spec)
        spec.expose_outputs(LammpsMdCalculation, include=("frames", "untrusted", "output_parameters"))
        spec.exit_code(411, "ERROR_NOT_WATCHED", message="{message}")

    @classmethod
    def get_builder_from_protocol(
        cls,
        code: orm.AbstractCode,
        initial: FramesData,
        potential: PotentialData,
        steps: int,
        watch: dict[str, Any] | None = None,
        protocol: str | None = None,
        overrides: dict[str, Any] | None = None,
        temperature: float = 300.0,
        seed: int = 1,
    ) -> Any:
        """Return a builder of one stretch.

        Parameters
        ----------
        code : AbstractCode
            haml-lammps, or a LAMMPS with ML-IAP.
        initial : FramesData
            Its last frame is the start.
        potential : PotentialData
        steps : int
        watch : dict, optional
            What ends the stretch, see `aiida_haml.engines.watch.Thresholds`; what is not named has its default.
        protocol : str, optional
        overrides : dict, optional
            Merged into the protocol's settings; unknown keys are refused.
        temperature : float
            K.
        seed : int

        Raises
        ------
        ValueError
            If the protocol or an override is unknown.
        """
        settings = protocol_settings(protocol, overrides)
        md = md_settings(settings, steps, temperature, seed)
        builder: Any = cls.get_builder()
        builder.job.code = code
        builder.job.initial = initial
        builder.job.potential = potential
        builder.job.md = orm.Dict(md | {"save_every": settings["dynamics"]["save_every"]})
        builder.job.watch = orm.Dict(watch or {})
        fill(builder.job.metadata.options, settings["options"]["md"])
        fill(builder, restart_inputs(settings))
        return builder

    @process_handler(priority=200)
    def continue_after_wall_time(self, node: orm.CalcJobNode) -> ProcessHandlerReport | None:
        """Run the steps that are left from the last trusted frame, with a seed of their own."""
        if node.exit_status not in (OUT_OF_WALLTIME, _CODES.ERROR_OUT_OF_WALLTIME.status):
            return None
        return self.start_again(node)

    @process_handler(priority=195)
    def start_anew_where_killed(self, node: orm.CalcJobNode) -> ProcessHandlerReport | None:
        """Start a killed run anew: with its own noise it gives the same numbers. Killed again, it goes on instead."""
        if node.exit_status != _CODES.ERROR_KILLED.status:
            return None
        return self.start_again(node) if self.ctx.tries else self.try_anew(node)

    def go_on(self, node: orm.CalcJobNode) -> ProcessHandlerReport | None:
        """Keep the trusted frames of a run that was cut short and run what is left; None where none are trusted."""
        done = node.outputs.output_parameters.get_dict().get("trusted_steps", 0) if n_frames(node) else 0
        if not done:
            return None
        md = self.ctx.inputs["md"].get_dict()
        left = md["steps"] - done
        if ended := self.keep_part(node, left):
            return ended
        self.ctx.inputs["initial"] = node.outputs.frames
        self.ctx.inputs["md"] = orm.Dict(md | {"steps": left, "seed": derive(md["seed"], "continued")})
        return self.again(node, f"going on with the {left} steps that are left")

    @process_handler(priority=190)
    def keep_trusted_frames(self, node: orm.CalcJobNode) -> ProcessHandlerReport | None:
        """Take what is trusted of a stretch that ended by lost atoms or NaN: running it again would end alike."""
        if node.exit_status not in (_CODES.ERROR_LOST_ATOMS.status, _CODES.ERROR_NOT_FINITE.status):
            return None
        if not n_frames(node):
            return self.try_anew(node)
        self.report(f"{node.process_label}<{node.pk}> ended early ({node.exit_message}); its trusted frames are kept.")
        self.ctx.is_finished = True
        return ProcessHandlerReport(do_break=True)

    @process_handler(priority=180)
    def refuse_what_was_not_watched(self, node: orm.CalcJobNode) -> ProcessHandlerReport | None:
        """End here: nobody has looked at this stretch, and running it again would not change that."""
        if node.exit_status != _CODES.ERROR_NOT_WATCHED.status:
            return None
        return ProcessHandlerReport(True, self.exit_codes.ERROR_NOT_WATCHED.format(message=node.exit_message))

    @process_handler(priority=70)
    def was_killed(self, node: orm.CalcJobNode) -> ProcessHandlerReport | None:
        """Start anew a run that was killed, or that LAMMPS ended by an error, before anything was trusted."""
        killed = (_CODES.ERROR_NOTHING_HARVESTED.status, _CODES.ERROR_LAMMPS.status)
        return self.try_anew(node) if node.exit_status in killed else None
