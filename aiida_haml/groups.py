"""Groups that several people share: screens by owner and name, labels and potentials by level of theory.

WorkChains and commands put nodes in as they come to be; to put a node in twice, or from two workers at once, is to put
it in once. A group's label is what it is found by, with `verdi group list -a -A -T haml.labels` too.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from aiida import orm

from aiida_haml.data.frames import FramesData
from aiida_haml.data.pool import LabelPoolData
from aiida_haml.data.potential import PotentialData
from aiida_haml.queries.jobs import CACHED_FROM
from aiida_haml.queries.rows import rows
from aiida_haml.queries.walks import links_into
from aiida_haml.storage import patiently

G = TypeVar("G", bound=orm.Group)

_AT_A_LEVEL: tuple[Any, ...] = (FramesData, LabelPoolData, PotentialData)
_IMPORTED = re.compile(r"(?P<label>.+) \(Imported #\d+\)")


class ScreenGroup(orm.Group):
    """The screens that one person submitted under one name; the label is ``EMAIL/NAME``.

    Extras
    ------
    name, owner : str
        As in the label.
    specification : dict
        What the person wrote for the latest of them.
    """


class LabelGroup(orm.Group):
    """The labels at one level of theory, and the pools that index them; the label is the level's key.

    Extras
    ------
    level : dict
        What the key stands for: ``name``, ``engine``, ``theory``. Absent where only the key is known, as of labels that
        a person imported.
    """


class PotentialGroup(orm.Group):
    """The potentials that learned from the labels at one level of theory; the label is the level's key."""


def add_screen(screen: orm.WorkChainNode, name: str, specification: Mapping[str, Any]) -> ScreenGroup:
    """Put a screen into the group of its owner and name, and keep what the owner specified."""
    owner = screen.user.email
    group = _group(ScreenGroup, f"{owner}/{name}", f"Screens '{name}' of {owner}")
    _add(group, [screen])
    extras = {"name": name, "owner": owner, "specification": dict(specification)}
    patiently(group.base.extras.set_many, extras)
    return group


def add_labels(nodes: Iterable[FramesData | LabelPoolData], level: Mapping[str, Any] | None = None) -> list[LabelGroup]:
    """Put labelled frames, or pools of them, into the groups of their levels of theory.

    Copies that the cache made are left out: the original is there.

    Parameters
    ----------
    nodes : iterable of FramesData or LabelPoolData
        Stored.
    level : mapping, optional
        The level of theory of all of them, to be kept with the group.

    Raises
    ------
    ValueError
        If frames are no labels.
    """
    groups = []
    for key, members in _by_level(nodes).items():
        group = _group(LabelGroup, key, f"Labels at {key}")
        _add(group, members)
        groups.append(group)
        if level is not None and "level" not in group.base.extras:
            content = {name: level[name] for name in ("name", "engine", "theory")}
            patiently(group.base.extras.set, "level", content)
    return groups


def add_potentials(nodes: Iterable[PotentialData]) -> list[PotentialGroup]:
    """Put potentials into the groups of their levels of theory.

    Raises
    ------
    ValueError
        If a potential names none, as one of unknown origin.
    """
    groups = []
    for key, members in _by_level(nodes).items():
        groups.append(_group(PotentialGroup, key, f"Potentials at {key}"))
        _add(groups[-1], members)
    return groups


def collect(pks: Iterable[int] | None = None) -> tuple[int, int]:
    """Put labels, pools and potentials into their groups; return the numbers of nodes.

    For databases that were filled before there were groups, and archives that came without them. What is no label, or
    was imported and belongs to no level of theory, is passed over.

    Parameters
    ----------
    pks : iterable of int, optional
        Only of these nodes; of the whole database otherwise.
    """
    filters: dict[str, Any] = {"attributes.level_of_theory": {"like": "%"}}
    if pks is not None:
        filters["id"] = {"in": [-1, *pks]}  # an empty list is refused
    found = orm.QueryBuilder().append(_AT_A_LEVEL, filters=filters).all(flat=True)
    potentials = [node for node in found if isinstance(node, PotentialData)]
    labels = [node for node in found if isinstance(node, LabelPoolData) or getattr(node, "has_labels", False)]
    add_labels(labels)
    add_potentials(potentials)
    return len(labels), len(potentials)


def merge_imported() -> int:
    """Merge the groups that an archive brought beside groups of the same label; return their number.

    AiiDA calls them ``KEY (Imported #0)``, so that nobody's group changes unasked. The extras of one's own group stay.
    """
    merged = 0
    kinds: tuple[type[orm.Group], ...] = (ScreenGroup, LabelGroup, PotentialGroup)
    for kind in kinds:
        collection: Any = kind.collection
        for group in collection.all():
            if (match := _IMPORTED.fullmatch(group.label)) is None:
                continue
            own = _group(kind, match["label"], group.description)
            _add(own, list(group.nodes))
            patiently(own.base.extras.set_many, {**group.base.extras.all, **own.base.extras.all})
            patiently(collection.delete, group.pk)
            merged += 1
    return merged


def _by_level(nodes: Iterable[Any]) -> dict[str, list[orm.Node]]:
    found: dict[str, list[orm.Node]] = {}
    for node in _originals(nodes):
        if node.level_of_theory is None or (isinstance(node, FramesData) and not node.has_labels):
            raise ValueError(
                f"{type(node).__name__}<{node.pk}> belongs to no level of theory; groups hold what was labelled at one."
            )
        found.setdefault(node.level_of_theory, []).append(node)
    return found


def _originals(nodes: Iterable[Any]) -> list[Any]:
    """Return the nodes that no copy of a calculation made."""
    given = list(nodes)
    made = links_into((node.pk for node in given), ["create"])
    copies = {
        pk for pk, row in rows((link.source for link in made), cached=f"extras.{CACHED_FROM}").items() if row.cached
    }
    copied = {link.target for link in made if link.source in copies}
    return [node for node in given if node.pk not in copied]


def _group(kind: type[G], label: str, description: str) -> G:
    collection: Any = kind.collection
    return patiently(collection.get_or_create, label=label, description=description)[0]


def _add(group: orm.Group, nodes: list[Any]) -> None:
    patiently(group.add_nodes, nodes)
