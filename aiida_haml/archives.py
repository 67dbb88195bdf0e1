"""Screens that travel between databases, as files of AiiDA's archive format.

A screen is packed with all that it was made from and all that it made: ranking, report, audit and trace need nothing
else, and what is extended elsewhere goes on from it. Nodes keep their UUIDs, so that what a database has already is not
stored twice. What came with an archive counts for nothing until it is adopted (`aiida_haml.adoption`).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiida import orm
from aiida.common import exceptions
from aiida.manage import get_manager
from aiida.orm.entities import EntityTypes
from aiida.tools.archive import create_archive, import_archive
from aiida.tools.archive.abstract import get_format
from aiida.tools.archive.exceptions import ArchiveExportError, ArchiveImportError

from aiida_haml.groups import add_screen, collect, merge_imported
from aiida_haml.queries.anatomy import FAILURES, SCREEN
from aiida_haml.queries.rows import rows
from aiida_haml.storage import patiently

#: UUIDs that are asked for at once.
BATCH = 500
#: What AiiDA raises where a file is none of its archives, or one of a later version.
_UNREADABLE = (
    ArchiveImportError, exceptions.CorruptStorage, exceptions.IncompatibleStorageSchema,
    exceptions.UnreachableStorage, exceptions.StorageMigrationError,
)  # fmt: skip


@dataclass(frozen=True)
class Arrival:
    """What an archive brought.

    Attributes
    ----------
    new : tuple of int
        Pks of the nodes that were not here before.
    n_known : int
        Number of its nodes that were.
    screens : tuple of int
        Pks of its screens, new or known.
    """

    new: tuple[int, ...]
    n_known: int
    screens: tuple[int, ...]


def pack(screens: Iterable[orm.WorkChainNode], path: Path, overwrite: bool = False) -> None:
    """Write screens, with everything they were made from and everything they made, into an archive.

    Raises
    ------
    ValueError
        If one of them, or a process it started, has not ended.
    """
    try:
        create_archive(list(screens), filename=path, overwrite=overwrite)
    except ArchiveExportError as error:
        raise ValueError(str(error)) from error


def unpack(path: Path) -> Arrival:
    """Store what an archive holds and this database lacks, and put its screens into their groups.

    Extras are a person's notes and other people's are left behind, but for the reasons of failed candidates.

    Raises
    ------
    ValueError
        If the file is no archive, or one that this AiiDA cannot read.
    """
    try:
        uuids = _uuids(path)
        known = set(_pks(uuids))
        import_archive(path, create_group=False)
    except _UNREADABLE as error:
        raise ValueError(str(error)) from error
    everything = _pks(uuids)
    new = tuple(sorted(set(everything) - known))
    _keep_reasons_only(new)
    types = rows(everything, process_type="process_type")
    screens = tuple(pk for pk, row in types.items() if row.process_type == SCREEN)
    for pk in screens:
        if pk not in known:
            screen: Any = orm.load_node(pk)
            specification = screen.inputs.specification.get_dict() if "specification" in screen.inputs else {}
            add_screen(screen, screen.label or str(pk), specification)
    merge_imported()
    collect(new)
    return Arrival(new, len(known), screens)


def _uuids(path: Path) -> list[str]:
    """Return the UUIDs of the nodes in an archive."""
    with get_format().open(path, "r") as reader:
        return [str(uuid) for uuid in reader.querybuilder().append(orm.Node, project="uuid").all(flat=True)]


def _pks(uuids: list[str]) -> list[int]:
    """Return the pks of those of the nodes that are here."""
    found: list[int] = []
    for start in range(0, len(uuids), BATCH):
        query = orm.QueryBuilder().append(
            orm.Node, filters={"uuid": {"in": uuids[start : start + BATCH]}}, project="id"
        )
        found += query.all(flat=True)
    return found


def _keep_reasons_only(pks: Iterable[int]) -> None:
    """Take the extras off nodes that came with an archive, but for those that say why candidates failed."""
    found = rows(pks, extras="extras")
    stripped = [{"id": pk, "extras": _reasons(row.extras)} for pk, row in found.items() if row.extras]
    storage: Any = get_manager().get_profile_storage()
    patiently(storage.bulk_update, EntityTypes.NODE, stripped)


def _reasons(extras: Mapping[str, Any]) -> dict[str, Any]:
    reasons = extras.get(FAILURES)
    is_sound = isinstance(reasons, dict) and all(isinstance(text, str) for text in reasons.values())
    return {FAILURES: reasons} if is_sound else {}
