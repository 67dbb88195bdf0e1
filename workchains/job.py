"""What the WorkChains around one kind of job share: how inputs are passed on, and failures that any job can show."""

from collections.abc import Mapping
from typing import Any

from aiida import orm
from aiida.engine import BaseRestartWorkChain, ProcessHandlerReport, process_handler, while_

from aiida_haml.settings import require_integer
from aiida_haml.workchains.once import OnceWorkChain

#: Exit codes that the schedulers' plugins of AiiDA set.
OUT_OF_MEMORY, OUT_OF_WALLTIME, NODE_FAILURE = 110, 120, 140
#: Exit codes of jobs whose files did not come back whole: no folder, no output in it, or one that cannot be read.
NOT_BROUGHT_BACK = (100, 200, 210, 301)
#: Times that a job which left nothing is started anew.
MAX_TRIES = 2
#: Factor on the memory that is asked for, where the job was killed for want of it.
MORE_MEMORY = 2


class JobWorkChain(OnceWorkChain, BaseRestartWorkChain):
    """Run one kind of CalcJob, given under ``job``, and deal with what can happen to it, one handler a failure.

    A job that a handler starts anew is never a valid cache: AiiDA would answer with the same failure.
    """

    @classmethod
    def define(cls, spec: Any) -> None:
        super().define(spec)
        cls.define_job(spec)
        spec.outline(cls.setup, while_(cls.should_run_process)(cls.run_process, cls.inspect_process), cls.results)
        spec.exit_code(
            403, "ERROR_TRIES_EXHAUSTED", message="Started {tries} times, the job left nothing each time: {message}"
        )

    @classmethod
    def define_job(cls, spec: Any) -> None:
        """Declare the inputs under ``job``."""
        spec.expose_inputs(cls._process_class, namespace="job")

    def setup(self) -> None:
        """Prepare the inputs of the first run."""
        super().setup()
        self.ctx.inputs = self.job_inputs()
        metadata = self.ctx.inputs["metadata"]
        metadata["label"] = metadata.get("label") or self.node.label
        self.ctx.tries = 0

    def job_inputs(self) -> dict[str, Any]:
        """Return what was given under ``job``."""
        inputs = dict(self.exposed_inputs(self.process_class, namespace="job"))
        inputs["metadata"] = {**inputs.get("metadata", {}), "options": dict(inputs["metadata"].get("options", {}))}
        return inputs

    def inspect_process(self) -> Any:
        """Have a failure dealt with by its handler; a job that broke in AiiDA's own hands starts anew.

        Its disk was full, say, when its results were to be stored. AiiDA shows handlers no such job.
        """
        node = self.ctx.children[self.ctx.iteration - 1]
        if not node.is_excepted:
            return super().inspect_process()
        report = self.try_anew(node)
        return report.exit_code if report.exit_code.status else None

    def again(self, node: orm.CalcJobNode, what: str) -> ProcessHandlerReport:
        """Report that a failure was dealt with, and see to it that the failed job is not found in the cache."""
        node.base.caching.is_valid_cache = False
        self.report(f"{node.process_label}<{node.pk}> failed ({failure(node)}); {what}.")
        return ProcessHandlerReport(do_break=True)

    def try_anew(
        self, node: orm.CalcJobNode, what: str = "starting it anew", times: int = MAX_TRIES
    ) -> ProcessHandlerReport:
        """Start a job anew that left nothing, a bounded number of times."""
        self.ctx.tries += 1
        return self.again(node, what) if self.ctx.tries <= times else self.give_up(node)

    def start_again(self, node: orm.CalcJobNode, what: str = "starting it anew") -> ProcessHandlerReport:
        """Start a job again that was stopped from outside; what leaves parts of its work begins where it was."""
        return self.try_anew(node, what)

    def give_up(self, node: orm.CalcJobNode) -> ProcessHandlerReport:
        """End without a result."""
        node.base.caching.is_valid_cache = False
        code = self.exit_codes.ERROR_TRIES_EXHAUSTED.format(tries=self.ctx.tries, message=failure(node))
        return ProcessHandlerReport(do_break=True, exit_code=code)

    @process_handler(priority=90)
    def node_went_away(self, node: orm.CalcJobNode) -> ProcessHandlerReport | None:
        """Start anew a job whose machine failed: that says nothing about the job."""
        return self.start_again(node) if node.exit_status == NODE_FAILURE else None

    @process_handler(priority=80)
    def ran_out_of_memory(self, node: orm.CalcJobNode) -> ProcessHandlerReport | None:
        """Ask for more memory; without a limit that could be raised, try once more, as others may have used it up."""
        if node.exit_status != OUT_OF_MEMORY:
            return None
        options = self.ctx.inputs["metadata"]["options"]
        if limit := options.get("max_memory_kb"):
            options["max_memory_kb"] = MORE_MEMORY * limit
            return self.start_again(node, f"starting it anew with {options['max_memory_kb']} kB of memory")
        return self.start_again(node)

    @process_handler(priority=60)
    def came_back_broken(self, node: orm.CalcJobNode) -> ProcessHandlerReport | None:
        """Start anew, once, what a full or absent file system may have broken: what is unreadable twice stays so."""
        return self.try_anew(node, times=1) if node.exit_status in NOT_BROUGHT_BACK else None


def restart_inputs(settings: Mapping[str, Any]) -> dict[str, orm.Data]:
    """Return how often a job is started and whether its folders are emptied, as a protocol's ``restarts`` say.

    Raises
    ------
    ValueError
        If they say it of neither a number nor a yes.
    """
    require_restarts(restarts := settings["restarts"])
    return {
        "max_iterations": orm.Int(restarts["max_iterations"]),
        "clean_workdir": orm.Bool(restarts["clean_workdir"]),
    }


def require_restarts(restarts: Mapping[str, Any]) -> None:
    """Refuse a section `restarts` that says neither a number nor a yes.

    Raises
    ------
    ValueError
    """
    require_integer("restarts.max_iterations", restarts["max_iterations"], 1)
    if not isinstance(restarts["clean_workdir"], bool):
        raise ValueError(f"`restarts.clean_workdir` is {restarts['clean_workdir']!r}; it has to be true or false.")


def failure(node: orm.CalcJobNode) -> str:
    """Return how a job failed: its exit code, or the last line of what was raised."""
    if node.is_excepted:
        return (node.exception or "an exception").strip().splitlines()[-1]
    return f"{node.exit_status}: {node.exit_message}"


def fill(builder: Any, inputs: Mapping[str, Any]) -> None:
    """Set inputs of a builder leaf by leaf, so that what is not named keeps its default.

    AiiDA replaces a namespace whole, and then misses what it lacks.

    Raises
    ------
    ValueError
        If a port refuses its value.
    """
    for name, value in inputs.items():
        if isinstance(value, Mapping) and getattr(builder.get(name), "_port_namespace", None):
            fill(builder[name], value)
        else:
            builder[name] = value
