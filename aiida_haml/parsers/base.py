"""What the parsers of all `haml-engine` tasks share."""

import json
from pathlib import Path
from typing import Any, ClassVar

from aiida.engine import ExitCode
from aiida.parsers import Parser


class EngineParser(Parser):
    """Read ``results.json``, keep the scheduler's verdict, and turn the engine's errors into exit codes.

    An engine that gives up writes ``{"error": {"kind": ..., "message": ...}}`` (see
    `aiida_haml.engines.outcome`). A subclass maps the kinds to its exit codes in ``EXIT_CODES`` and makes its
    outputs in `parse_results`.
    """

    #: Kind of error in ``results.json`` -> label of the exit code.
    EXIT_CODES: ClassVar[dict[str, str]] = {"refused": "ERROR_TASK_REFUSED"}

    def parse(self, **kwargs: Any) -> ExitCode | None:
        """Make the outputs from the retrieved files.

        What the job had finished is always made into outputs; the exit status which the scheduler set
        (wall time, memory) wins over ours.
        """
        status = self._parse()
        if (before := self.node.exit_status) is not None:
            return ExitCode(before, self.node.exit_message)
        return status

    def parse_results(self, results: dict[str, Any]) -> ExitCode | None:
        """Make the outputs of a task that wrote ``results`` without an error."""
        raise NotImplementedError

    def _parse(self) -> ExitCode | None:
        if "results.json" not in self.retrieved.base.repository.list_object_names():
            return self.exit_codes.ERROR_NO_RESULTS.format(message=self.log_tail())
        try:
            results = json.loads(self.retrieved.base.repository.get_object_content("results.json", mode="r"))
        except ValueError as error:
            return self.exit_codes.ERROR_UNREADABLE_RESULTS.format(message=f"results.json: {error}.")
        if failure := results.get("error"):
            label = self.EXIT_CODES.get(failure["kind"], "ERROR_TASK_REFUSED")
            return self.exit_codes[label].format(message=failure["message"])
        try:
            return self.parse_results(results)
        except (KeyError, OSError, ValueError) as error:
            return self.exit_codes.ERROR_UNREADABLE_RESULTS.format(message=f"{type(error).__name__}: {error}.")

    def path(self, name: str, scratch: Path) -> Path:
        """Copy the retrieved file or folder ``name`` below ``scratch`` and return its path there."""
        repository = self.retrieved.base.repository
        target = scratch / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if repository.get_object(name).file_type.name == "DIRECTORY":
            repository.copy_tree(target, name)
        else:
            target.write_bytes(repository.get_object_content(name, mode="rb"))
        return target

    def log_tail(self, n_lines: int = 3) -> str:
        """Return the last lines of the engine's log, on one line."""
        name = self.node.get_option("output_filename")
        if name not in self.retrieved.base.repository.list_object_names():
            return "there is no log"
        lines = [
            line.strip() for line in self.retrieved.base.repository.get_object_content(name, mode="r").splitlines()
        ]
        return " | ".join([line for line in lines if line][-n_lines:]) or "the log is empty"
