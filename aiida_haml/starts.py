"""What a screen starts from: a committee that this database holds, and the labels that it learned from."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from aiida import orm
from aiida.common import exceptions

from aiida_haml.data.potential import PotentialData
from aiida_haml.queries.catalogue import find_potentials

#: What a specification says for the newest committee of this database that fits, or none where there is none yet.
OWN = "own"


def start_from(said: str, theory: str, elements: Iterable[str]) -> dict[str, Any]:
    """Return the inputs ``potential`` and ``pool`` that a specification asks for.

    Parameters
    ----------
    said : str
        `OWN`, or the pk or UUID of a potential.
    theory : str
        As `aiida_haml.calculations.levels.theory_key` gives it: labels of another level teach other forces.
    elements : iterable of str
        That will be met.

    Raises
    ------
    ValueError
        If there is no such potential, or it was taught at another level of theory. Whether it knows the elements, is
        trusted and has members enough is looked at like any other input.
    """
    if said == OWN:
        fitting = [
            entry for entry in find_potentials(elements=elements) if entry.is_trusted and _is_of(entry.level, theory)
        ]
        return _inputs(orm.load_node(max(entry.pk for entry in fitting))) if fitting else {}
    node = _stored("potential", said, f"give '{OWN}', or a pk or UUID")
    if not _is_of(node.level_of_theory, theory):
        raise ValueError(
            f"potential {said} was taught at {node.level_of_theory or 'an unknown level of theory'}, and the screen "
            f"asks for {theory}; their forces differ. Choose one of 'aiida-haml potential list', or let it "
            "be taught anew: name it as foundation."
        )
    return _inputs(node)


def foundation_from(said: str) -> dict[str, Any]:
    """Return the input ``foundation`` that a specification asks for: models of any level, which are taught anew.

    Parameters
    ----------
    said : str
        The pk or UUID of a potential.

    Raises
    ------
    ValueError
        If there is no such potential.
    """
    return {"foundation": _stored("foundation", said, "give a pk or UUID")}


def _stored(field: str, said: str, remedy: str) -> PotentialData:
    try:
        node = orm.load_node(said)
    except (exceptions.NotExistent, exceptions.MultipleObjectsError, ValueError):
        node = None
    if not isinstance(node, PotentialData):
        raise ValueError(
            f"{field} is '{said}', which is no potential of this database; {remedy} from 'aiida-haml potential list'."
        )
    return node


def _is_of(level: str | None, theory: str) -> bool:
    return level is not None and level.partition("@")[0] == theory


def _inputs(potential: Any) -> dict[str, Any]:
    taught = potential.creator
    known = {"pool": taught.inputs.pool} if taught is not None and "pool" in taught.inputs else {}
    return {"potential": potential, **known}
