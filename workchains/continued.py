"""Runs in time that are cut short and go on: no step twice, none missing, and what was done is never lost."""

from collections.abc import Callable
from typing import Any

from aiida import orm
from aiida.engine import ProcessHandlerReport

from aiida_haml.calculations.trajectory import join_frames, join_parameters
from aiida_haml.workchains.job import JobWorkChain

_JOINED: dict[str, Callable[..., Any]] = {"frames": join_frames, "output_parameters": join_parameters}


class ContinuedWorkChain(JobWorkChain):
    """Run a job that leaves frames, and run what is left of it where it was cut.

    Where no more jobs may be started, the frames so far are the result: a shorter run is of use, and it is paid for.
    """

    def setup(self) -> None:
        """Prepare the inputs of the first run."""
        super().setup()
        self.ctx.parts = []

    def go_on(self, node: orm.CalcJobNode) -> ProcessHandlerReport | None:
        """Keep the frames of a run that was cut short and run what is left; None where it left none to go on from."""
        raise NotImplementedError

    def start_again(self, node: orm.CalcJobNode, what: str = "starting it anew") -> ProcessHandlerReport:
        """Go on from the frames that a run which was stopped from outside has left, if any."""
        return self.go_on(node) or super().start_again(node, what)

    def inspect_process(self) -> Any:
        """Have a failure dealt with; one that nothing helps against ends the run with the frames of its parts."""
        code = super().inspect_process()
        if self.ctx.parts and code is not None and code.status:
            self.end_with_what_there_is(self.ctx.children[self.ctx.iteration - 1])
            return None
        return code

    def results(self) -> Any:
        """Return what there is, also where no more jobs may be started."""
        last = self.ctx.children[self.ctx.iteration - 1]
        if self.ctx.parts and not self.ctx.is_finished:
            self.end_with_what_there_is(last)
        return super().results()

    def keep_part(self, node: orm.CalcJobNode, left: int) -> ProcessHandlerReport | None:
        """Keep the frames of a run that was cut; end where no step is left, or no job may follow, else return None."""
        self.ctx.parts.append(node)
        if left > 0 and self.ctx.iteration < self.inputs.max_iterations.value:
            return None
        return self.end_with_what_there_is(node)

    def end_with_what_there_is(self, node: orm.CalcJobNode) -> ProcessHandlerReport:
        """Take the frames so far as the result."""
        node.base.caching.is_valid_cache = False
        self.report(f"{node.process_label}<{node.pk}> is the last one; the frames so far are kept.")
        self.ctx.is_finished = True
        return ProcessHandlerReport(do_break=True)

    def give_up(self, node: orm.CalcJobNode) -> ProcessHandlerReport:
        """End with the frames of the runs before, if there are any."""
        return self.end_with_what_there_is(node) if self.ctx.parts else super().give_up(node)

    def get_outputs(self, node: orm.CalcJobNode) -> dict[str, orm.Node]:
        """Return the outputs of the last run, with the frames of all runs that continue one another joined."""
        parts = list({part.pk: part for part in [*self.ctx.parts, node] if n_frames(part)}.values())
        outputs = {link.link_label: link.node for link in node.base.links.get_outgoing(node_class=orm.Data).all()}
        for name, join in _JOINED.items():
            found = {f"part_{i:03d}": part.outputs[name] for i, part in enumerate(parts)}
            outputs[name] = join(**found) if len(found) > 1 else next(iter(found.values()))
        return outputs


def n_frames(node: orm.CalcJobNode) -> int:
    """Return how many frames a job left, with the parameters that say how they came about."""
    return len(node.outputs.frames) if {"frames", "output_parameters"} <= set(node.outputs) else 0
