"""What screens keep on disk, by what it is, and what of it nobody needs any more."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from aiida import orm

from aiida_haml.data.frames import FramesData
from aiida_haml.data.potential import PotentialData
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


@dataclass(frozen=True)
class Spare:
    """What a screen can do without.

    Attributes
    ----------
    tails : tuple of int
        Pks of untrusted ends of stretches that nothing was made from: no probe, no training, no cut stretch.
    tails_bytes : int
    folders : tuple of int
        Pks of the work folders that its jobs left on their computers, and that were not cleaned.
    """

    tails: tuple[int, ...]
    tails_bytes: int
    folders: tuple[int, ...]


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


def spare(screens: Iterable[int]) -> Spare:
    """Return what some processes that have ended can do without."""
    made = rows(_made(screens), node_type="node_type", kind="attributes.kind", cleaned="extras.cleaned")
    tails = {pk for pk, row in made.items() if row.node_type == _FRAMES and row.kind == "untrusted"}
    used = {link.source for link in links_out_of(tails)}
    unused = tuple(sorted(tails - used))
    folders = tuple(pk for pk, row in made.items() if row.node_type == _REMOTE and not row.cleaned)
    return Spare(unused, sum(stored_bytes(unused).values()), folders)


def _made(processes: Iterable[int]) -> set[int]:
    started = set(processes)
    return {link.target for link in links_out_of(started | called_descendants(started), ["create"])}


_NAMES = {_POTENTIAL: "potential", _FOLDER: "retrieved"}
