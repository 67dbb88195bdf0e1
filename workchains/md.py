"""Molecular dynamics with a potential: one stretch, kept up to its last trusted frame."""

from __future__ import annotations

from typing import Any

from aiida import orm
from aiida.engine import ProcessHandlerReport, process_handler

from aiida_haml.calculations.lammps import LammpsMdCalculation
from aiida_haml.data.frames import FramesData
from aiida_haml.data.potential import PotentialData
from aiida_haml.workchains.job import JobWorkChain
from aiida_haml.workchains.protocols import md_settings, protocol_settings


class MdWorkChain(JobWorkChain):
    """Run one stretch from the last frame of a node.

    A stretch that ended early (a breach of the watch, wall time, lost atoms, NaN) succeeds with its trusted frames:
    the hybrid trajectory goes on from the last of them with a burst.
    """

    _process_class = LammpsMdCalculation

    @classmethod
    def define(cls, spec: Any) -> None:
        super().define(spec)
        spec.expose_outputs(LammpsMdCalculation, include=("frames", "untrusted", "output_parameters"))

    @classmethod
    def get_builder_from_protocol(
        cls,
        code: orm.AbstractCode,
        initial: FramesData,
        potential: PotentialData,
        steps: int,
        max_deviation: float | None = None,
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
        max_deviation : float, optional
            Committee deviation that ends the stretch, eV / Angstrom; None does not watch it.
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
        builder = cls.get_builder()
        builder.code = code
        builder.initial = initial
        builder.potential = potential
        builder.md = orm.Dict(md | {"save_every": settings["dynamics"]["save_every"]})
        builder.watch = orm.Dict(settings["watch"] | {"max_deviation": max_deviation})
        builder.options = orm.Dict(settings["options"]["md"])
        return builder

    @process_handler(priority=200)
    def keep_trusted_frames(self, node: orm.CalcJobNode) -> ProcessHandlerReport | None:
        """Accept a stretch that was cut short, whatever cut it, if it left trusted frames; not one unwatched."""
        if node.is_finished_ok or "frames" not in node.outputs or "output_parameters" not in node.outputs:
            return None
        if node.exit_status == LammpsMdCalculation.exit_codes.ERROR_NOT_WATCHED.status:
            return None
        self.report(f"{node.process_label}<{node.pk}> ended early ({node.exit_message}); its trusted frames are kept.")
        self.ctx.is_finished = True
        return ProcessHandlerReport(do_break=True)
