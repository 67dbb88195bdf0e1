"""Descriptions, rankings and evaluations, started anew where a job or its machine went away."""

from typing import Any

from aiida import orm
from aiida.engine import ProcessHandlerReport, process_handler

from aiida_haml.calculations.describe import DescribeCalculation
from aiida_haml.calculations.evaluate import EvaluateCalculation
from aiida_haml.calculations.rank import RankCalculation
from aiida_haml.workchains.job import OUT_OF_WALLTIME, JobWorkChain

#: Factor on the wall time of an analysis that was cut: it has no half results.
MORE_TIME = 2


class AnalysisWorkChain(JobWorkChain):
    """What these jobs share: they are whole or they are nothing."""

    _process_class: Any = DescribeCalculation

    @classmethod
    def define(cls, spec: Any) -> None:
        super().define(spec)
        spec.expose_outputs(cls._process_class, exclude=("remote_folder", "retrieved", "remote_stash"))

    @process_handler(priority=200)
    def give_more_time(self, node: orm.CalcJobNode) -> ProcessHandlerReport | None:
        """Ask for more wall time."""
        if node.exit_status != OUT_OF_WALLTIME:
            return None
        options = self.ctx.inputs["metadata"]["options"]
        if limit := options.get("max_wallclock_seconds"):
            options["max_wallclock_seconds"] = MORE_TIME * limit
        return self.try_anew(node, "starting it anew with more wall time")

    @process_handler(priority=70)
    def was_killed(self, node: orm.CalcJobNode) -> ProcessHandlerReport | None:
        """Start a job anew that left no results."""
        return (
            self.try_anew(node) if node.exit_status == DescribeCalculation.exit_codes.ERROR_NO_RESULTS.status else None
        )


class DescribeWorkChain(AnalysisWorkChain):
    """Describe segments of one trajectory."""


class RankWorkChain(AnalysisWorkChain):
    """Rank described candidates."""

    _process_class = RankCalculation


class EvaluateWorkChain(AnalysisWorkChain):
    """Score a potential on labels."""

    _process_class = EvaluateCalculation
