"""What screens keep on disk, by what it is, and the folders that their jobs left behind.

The database itself gives nothing back: AiiDA deletes the result of a job together with the job, and with it the reason
of all that came after. That goes for the untrusted end of a stretch as for any other result.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from aiida import orm

from aiida_haml.data.frames import FramesData
from aiida_haml.data.potential import PotentialData
from aiida_haml.queries.origin import is_foreign
from aiida_haml.queries.rows import rows
from aiida_haml.queries.stored import stored_bytes
from aiida_haml.queries.walks import called_descendants, links_out_of

_FRAMES = FramesData.class_node_type
_POTENTIAL = PotentialData.class_node_type
_FOLDER = orm.FolderData.class_node_type
_REMOTE = orm.RemoteData.class_node_type


@dataclass(frozen=True)
class Kept:
    """Nodes of one kind.

    Attributes
    ----------
    n_nodes, n_frames, n_bytes : int
        Frames where they hold any. Equal content that is kept once counts for each node that has it.
    """

    n_nodes: int = 0
    n_frames: int = 0
    n_bytes: int = 0


def kept(screens: Iterable[int]) -> dict[str, Kept]:
    """Return what some processes made, by kind: those of frames, ``potential``, ``retrieved``, ``other``."""
    made = _made(screens)
    sizes = stored_bytes(made)
    found: dict[str, Kept] = {}
    columns = {"node_type": "node_type", "kind": "attributes.kind", "n_frames": "attributes.n_frames"}
    for pk, row in rows(made, **columns).items():
        name = row.kind if row.node_type == _FRAMES else _NAMES.get(row.node_type, "other")
        before = found.get(name, Kept())
        n_frames = (row.n_frames or 0) if row.node_type == _FRAMES else 0
        found[name] = Kept(before.n_nodes + 1, before.n_frames + n_frames, before.n_bytes + sizes.get(pk, 0))
    return found


def folders(screens: Iterable[int]) -> tuple[int, ...]:
    """Return the work folders that the jobs of some processes left on their computers, and that were not cleaned.

    Folders that came with an archive are left out: they were another database's, and name whatever path they like.
    """
    made = rows(_made(screens), node_type="node_type", cleaned="extras.cleaned")
    found = [pk for pk, row in made.items() if row.node_type == _REMOTE and not row.cleaned]
    came = is_foreign(found)
    return tuple(pk for pk in found if pk not in came)


def _made(processes: Iterable[int]) -> set[int]:
    started = set(processes)
    return {link.target for link in links_out_of(started | called_descendants(started), ["create"])}


_NAMES = {_POTENTIAL: "potential", _FOLDER: "retrieved"}
