"""Jobs that ended, made of their files alone."""

import io
from pathlib import Path
from typing import Any

from aiida import orm
from aiida.common import LinkType
from aiida.plugins import ParserFactory


def parse_cp2k(
    computer: orm.Computer,
    inputs: dict[str, orm.Data],
    files: dict[str, str | None],
    scratch: Path,
    exit_status: int | None = None,
) -> tuple[dict[str, Any], orm.ProcessNode]:
    """Return what the parser makes of a CP2K job, and the node of the parsing.

    ``files`` by name, a file that is None was never written; ``exit_status`` is what the scheduler set.
    """
    node = orm.CalcJobNode(computer=computer, process_type="aiida.calculations:haml.cp2k")
    for name, value in inputs.items():
        node.base.links.add_incoming(value.store(), LinkType.INPUT_CALC, name)
    if exit_status is not None:
        node.set_exit_status(exit_status)
        node.set_exit_message("the scheduler's message")
    node.store()
    retrieved = orm.FolderData()
    for name, text in files.items():
        (scratch / name).unlink(missing_ok=True)
        if text is not None and name == "aiida.out":
            retrieved.base.repository.put_object_from_filelike(io.BytesIO(text.encode()), name)
        elif text is not None:
            (scratch / name).write_text(text)
    retrieved.base.links.add_incoming(node, LinkType.CREATE, "retrieved")
    retrieved.store()
    return ParserFactory("haml.cp2k").parse_from_node(
        node, store_provenance=False, retrieved_temporary_folder=str(scratch)
    )
