"""What calculations share: the CalcJobs that run `haml-engine TASK`, and all of them where they fail."""

import json
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from aiida import orm
from aiida.common.datastructures import CalcInfo, CodeInfo
from aiida.common.folders import Folder
from aiida.engine import CalcJob, ExitCode, Process

from aiida_haml.data.potential import PotentialData
from aiida_haml.settings import Settings

#: Share of the wall time after which an engine has to stop by itself and write what it has.
USABLE_WALL_TIME = 0.9


def export_threads(options: Mapping[str, Any]) -> str:
    """Return the line of the job's script that gives an engine as many threads as it was allocated cores.

    It stands behind the prepend texts of computer and code. Spinning OpenMP threads on shared cores cost a factor of
    twenty, so that without a word on cores there is one; the option ``environment_variables`` has the last one.
    """
    cores = (options.get("resources") or {}).get("num_cores_per_mpiproc") or 1
    threads = (options.get("environment_variables") or {}).get("OMP_NUM_THREADS", cores)
    return f"export OMP_NUM_THREADS={int(threads)}"


class EngineCalculation(CalcJob):
    """A task of `haml-engine`: ``task.json`` and folders of node files in, ``results.json`` and files out.

    A subclass sets ``TASK`` and ``OUTPUTS``, adds its ports and its exit codes from 310 on in `define`,
    and says in `task` and `folders` what the engine is to read. Its parser derives from
    `aiida_haml.parsers.base.EngineParser`.
    """

    #: Name of the task, a key of ``aiida_haml.engines.TASKS``; the default parser is ``haml.TASK``.
    TASK: ClassVar[str]
    #: Files and folders to bring back besides the log and ``results.json``; glob patterns allowed.
    OUTPUTS: ClassVar[tuple[str, ...]] = ()
    #: Raise in a subclass when its engine computes something else from the same inputs.
    CACHE_VERSION = 1

    @classmethod
    def define(cls, spec: Any) -> None:
        """Declare the options of a serial Python job and the exit codes every task has."""
        super().define(spec)
        ports: Any = spec.inputs
        options = ports["metadata"]["options"]
        options["parser_name"].default = f"haml.{getattr(cls, 'TASK', '')}"
        options["resources"].default = {"num_machines": 1, "num_mpiprocs_per_machine": 1}
        options["withmpi"].default = False
        options["output_filename"].default = "engine.log"
        ports["code"].required = True
        spec.exit_code(
            300,
            "ERROR_NO_RESULTS",
            message="The engine ended without writing results.json; the end of its log says: {message}",
        )
        spec.exit_code(
            301,
            "ERROR_UNREADABLE_RESULTS",
            message="What the engine wrote could not be read: {message}",
        )
        spec.exit_code(
            302,
            "ERROR_TASK_REFUSED",
            message="The engine refused the task: {message}",
        )
        failures_are_no_cache(spec)

    def task(self) -> dict[str, Any]:
        """Return what goes into ``task.json``: plain JSON, made of the inputs' content alone."""
        raise NotImplementedError

    def folders(self) -> dict[str, orm.Node]:
        """Return the nodes whose repository the engine finds under a folder, by the folder's path.

        Paths are made of input labels (``inputs/labels/burst_0000``), never of uuids.
        """
        return {}

    def usable_wall_time(self) -> float | None:
        """Return the seconds after which the engine stops by itself, or None without a limit.

        core.direct does not enforce its limit, and no scheduler lets a job that it kills write its results.
        """
        limit = self.inputs.metadata.options.get("max_wallclock_seconds")
        return None if limit is None else USABLE_WALL_TIME * limit

    def prepare_for_submission(self, folder: Folder) -> CalcInfo:
        """Write ``task.json`` and list the files to copy there and back."""
        task = {**self.task(), "max_wall_time_s": self.usable_wall_time()}
        with folder.open("task.json", "w", encoding="utf8") as handle:
            json.dump(task, handle, indent=2, sort_keys=True)

        codeinfo = CodeInfo()
        codeinfo.code_uuid = self.inputs.code.uuid
        codeinfo.cmdline_params = [self.TASK]
        codeinfo.stdout_name = self.options.output_filename
        codeinfo.join_files = True

        calcinfo = CalcInfo()
        calcinfo.codes_info = [codeinfo]
        calcinfo.prepend_text = export_threads(self.options)
        # Without the name of an object the whole repository is copied.
        calcinfo.local_copy_list = [(node.uuid, "", path) for path, node in self.folders().items()]
        calcinfo.retrieve_list = [self.options.output_filename, "results.json"]
        # The depth keeps the folders of a path; a plain string would put every file at the top.
        calcinfo.retrieve_list += [(name, ".", name.count("/") + 1) for name in self.OUTPUTS]
        return calcinfo


def failures_are_no_cache(spec: Any) -> None:
    """Take every failure of a job out of the cache, those of its base classes too: it has to be run again."""
    for label, code in list(spec.exit_codes.items()):
        if code.status:
            spec.exit_code(code.status, label, message=code.message, invalidates_cache=True)


def settings_validator(settings: type[Settings]) -> Callable[[orm.Dict | None, Any], str | None]:
    """Return a port's validator that refuses what is unknown to a dataclass of settings, or out of its range."""

    def validate(node: orm.Dict | None, _: Any) -> str | None:
        try:
            settings.from_dict(node.get_dict() if node is not None else {})
        except ValueError as error:
            return str(error)
        return None

    return validate


def refused(status: int, message: str) -> ExitCode:
    """Return how a calcfunction ends that has no result, and take it out of the cache.

    AiiDA looks for ``invalidates_cache`` among the exit codes that a process declares, and a function declares none.
    """
    process: Any = Process.current()
    process.node.base.caching.is_valid_cache = False
    return ExitCode(status, message)


def validate_potential(node: PotentialData | None, _: Any) -> str | None:
    """Refuse a potential whose files this profile may not load."""
    if node is None or node.is_trusted:
        return None
    return (
        f"The potential {node.pk} was not trained here, and a MACE model file is code that runs when it is "
        "loaded. If you know where it comes from, call its `trust()`."
    )


def also(first: Callable[..., str | None] | None, second: Callable[..., str | None]) -> Callable[..., str | None]:
    """Return a validator that complains where either does: a port holds one, and that of every CalcJob has to stay."""

    def both(value: Any, port: Any) -> str | None:
        return (first(value, port) if first is not None else None) or second(value, port)

    return both
