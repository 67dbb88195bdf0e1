"""What WorkChains share that run jobs for several trajectories side by side: a queue, bounded in flight."""

from typing import Any

from aiida import orm
from aiida.engine import ToContext

from aiida_haml.calculations.rounds import port
from aiida_haml.workchains.once import OnceWorkChain


class SideBySideWorkChain(OnceWorkChain):
    """Run jobs of one stage for several trajectories, at most ``max_in_flight`` at a time.

    A step puts pairs of a kind of job and a slug into ``self.ctx.waiting``; ``while_(has_waiting)(launch)`` works them
    off; the step behind it takes the results. What a job is follows from the method `job` of the subclass. The next
    stage waits for all: what it learns depends on the inputs, not on who was faster.
    """

    @classmethod
    def define(cls, spec: Any) -> None:
        super().define(spec)
        spec.input("max_in_flight", valid_type=orm.Int, default=lambda: orm.Int(4), help="Jobs at a time.")

    def prepare(self, slugs: list[str]) -> None:
        """Set the queue and the list of those who take part."""
        self.ctx.waiting = []
        self.ctx.active = slugs
        self.ctx.failures = {}

    def has_waiting(self) -> bool:
        """Whether a job of this stage has not been started."""
        return bool(self.ctx.waiting)

    def launch(self) -> ToContext:
        """Start as many jobs as may be in flight, in the order of the queue."""
        n = self.inputs.max_in_flight.value
        batch, self.ctx.waiting = self.ctx.waiting[:n], self.ctx.waiting[n:]
        children = {}
        for kind, slug in batch:
            process, inputs = self.job(kind, slug)
            inputs["metadata"] = {"call_link_label": port(slug, self.numbered(kind))}
            children[f"{kind}_{slug}"] = self.submit(process, **inputs)
        return ToContext(**children)

    def job(self, kind: str, slug: str) -> tuple[Any, dict[str, Any]]:
        """Return the process of a job and its inputs."""
        raise NotImplementedError

    def numbered(self, kind: str) -> str:
        """Return what a job is called among others of its kind."""
        return kind

    def was_launched(self, kind: str, slug: str) -> bool:
        """Whether this stage had such a job."""
        return f"{kind}_{slug}" in self.ctx

    def take(self, kind: str, slug: str) -> orm.ProcessNode | None:
        """Return a job of this stage that ended well; None if there was none, or it failed, its trajectory with it."""
        launched = self.ctx.get(f"{kind}_{slug}", None)
        child = self.take_or_tell(kind, slug)
        if launched is not None and child is None:
            self.ctx.failures = {**self.ctx.failures, slug: f"{kind}: {why(launched)}"}
        return child

    def take_or_tell(self, kind: str, slug: str) -> orm.ProcessNode | None:
        """Return a job that ended well; None if there was none, or it failed, which the report alone says."""
        child = self.ctx.pop(f"{kind}_{slug}", None)
        if child is not None and not child.is_finished_ok:
            self.report(f"{slug}: {kind} <{child.pk}> failed: {why(child)}")
            return None
        return child

    def drop(self, slug: str) -> None:
        """End a trajectory with what it has; the others go on."""
        self.ctx.active = [name for name in self.ctx.active if name != slug]


def why(child: orm.ProcessNode) -> str:
    """Return why a process failed, in a sentence."""
    return child.exit_message or f"{child.process_label}<{child.pk}> ended as {child.process_state}"
