"""What a screen starts from: a committee that this database holds, and the labels that it learned from."""

import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from aiida import orm
from aiida.common import exceptions

from aiida_haml.data.pool import LabelPoolData
from aiida_haml.data.potential import PotentialData
from aiida_haml.data.trust import note_start
from aiida_haml.engines import quietly
from aiida_haml.engines.start_numbers import facts
from aiida_haml.queries.catalogue import find_potentials

#: What a specification says for the newest committee of this database that fits, or none where there is none yet.
OWN = "own"
#: And for the models that come with the package.
START = "start"
_WORDS: dict[type[Any], str] = {PotentialData: "potential", LabelPoolData: "pool"}
_LISTED = "a pk or UUID from 'aiida-haml potential list'"


def start_from(said: str, level: str, elements: Iterable[str]) -> dict[str, Any]:
    """Return the inputs ``potential`` and ``pool`` that a specification asks for.

    Parameters
    ----------
    said : str
        `OWN`, or the pk or UUID of a potential.
    level : str
        As `aiida_haml.calculations.levels.level_key` gives it: labels of another level, or of another version of the
        code, teach other forces. Of a code that has made no labels yet no version is known: what `theory_key` gives.
    elements : iterable of str
        That are learned: a committee goes on learning with just those it knows.

    Raises
    ------
    ValueError
        If there is no such potential, or it was taught at another level of theory. Whether it knows the elements, is
        trusted and has members enough is looked at like any other input.
    """
    if said == OWN:
        fitting = [
            entry
            for entry in find_potentials(elements=elements)
            if entry.is_trusted and _is_of(entry.level, level) and set(entry.elements) == set(elements)
        ]
        return _inputs(orm.load_node(max(entry.pk for entry in fitting))) if fitting else {}
    node = _stored(PotentialData, "potential", said, f"give '{OWN}', or {_LISTED}")
    if not _is_of(node.level_of_theory, level):
        raise ValueError(
            f"potential {said} was taught at {node.level_of_theory or 'an unknown level of theory'}, and the screen's "
            f"labels are of {level}; their forces differ. Choose one of 'aiida-haml potential list', or let it "
            "be taught anew: name it as foundation."
        )
    return _inputs(node)


def foundation_from(said: str) -> dict[str, Any]:
    """Return the input ``foundation`` that a specification asks for: models of any level, which are taught anew.

    Parameters
    ----------
    said : str
        `START` for the models that come with the package, or the pk or UUID of a potential.

    Raises
    ------
    ValueError
        If there is no such potential.
    """
    if said == START:
        return {"foundation": start_potential()}
    return {"foundation": _stored(PotentialData, "foundation", said, f"give '{START}', or {_LISTED}")}


def start_potential() -> PotentialData:
    """Return the package's start potential: the node of this database where it has been used before, else a new one.

    Its files are built here from the package's numbers, so that they are trusted like the package itself.
    """
    told = facts()
    query = orm.QueryBuilder().append(PotentialData, filters={"attributes.level_of_theory": told["level_of_theory"]})
    for (node,) in query.order_by({PotentialData: {"id": "desc"}}).all():
        if node.is_trusted and node.is_start:
            return node
    names = ("elements", "cutoff", "precision", "level_of_theory")
    with quietly(), tempfile.TemporaryDirectory() as folder:
        from aiida_haml.engines.mace_start import write_models  # torch loads for seconds

        node = PotentialData.from_files(write_models(Path(folder)), **{name: told[name] for name in names})
    note_start(node.sha256)
    node.trust()
    return node


def labels_from(said: str, level: str, elements: Iterable[str]) -> dict[str, Any]:
    """Return the input ``pool`` that a specification asks for: labels to learn from, without a committee.

    Parameters
    ----------
    said : str
        `OWN` for the fitting pool of this database that holds the most labels, or the pk or UUID of a pool.
    level : str
        As for `start_from`.
    elements : iterable of str
        That the potential will know.

    Raises
    ------
    ValueError
        If there is no such pool, its labels are of another level of theory, or they hold other elements.
    """
    known = set(elements)
    if said == OWN:
        query = orm.QueryBuilder().append(
            LabelPoolData,
            filters={"attributes.level_of_theory": {"or": [{"==": level}, {"like": f"{level}@%"}]}},
            project=["attributes.n_labels", "id", "attributes.elements"],
        )
        pools = [(n_labels, pk) for n_labels, pk, elements in query.all() if set(elements) <= known]
        return {"pool": orm.load_node(max(pools)[1])} if pools else {}
    node = _stored(LabelPoolData, "labels", said, f"give '{OWN}', or the pk that 'aiida-haml labels gather' prints")
    if not _is_of(node.level_of_theory, level):
        raise ValueError(
            f"labels {said} are of {node.level_of_theory}, and the screen's are of {level}; their forces differ."
        )
    if more := sorted(set(node.elements) - known):
        raise ValueError(
            f"labels {said} hold {', '.join(more)}, which no candidate has; name all elements in "
            "overrides.learning.elements, or take other labels."
        )
    return {"pool": node}


def _stored(kind: type[Any], field: str, said: str, remedy: str) -> Any:
    """Return the node that a field of the specification names, if it is of the kind that is meant."""
    try:
        node = orm.load_node(said)
    except (exceptions.NotExistent, exceptions.MultipleObjectsError, ValueError):
        node = None
    if not isinstance(node, kind):
        raise ValueError(f"{field} is '{said}', which is no {_WORDS[kind]} of this database; {remedy}.")
    return node


def _is_of(known: str | None, level: str) -> bool:
    return known is not None and level in (known, known.partition("@")[0])


def _inputs(potential: Any) -> dict[str, Any]:
    taught = potential.creator
    known = {"pool": taught.inputs.pool} if taught is not None and "pool" in taught.inputs else {}
    return {"potential": potential, **known}
