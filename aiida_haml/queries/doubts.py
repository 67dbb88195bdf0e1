"""What has a creator, and is still not known to come from where it should.

An archive may hold half of a story, or a made-up one: a job without what it started from, a pool whose labels are not
those that it names, a potential from nowhere, an isolated atom that nobody labelled here.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from aiida import orm

from aiida_haml.calculations.label_engines import engine_of
from aiida_haml.queries.origin import is_foreign
from aiida_haml.queries.rows import rows
from aiida_haml.queries.training import TRAINING, Lesson, Teaching
from aiida_haml.queries.walks import links_into

POTENTIAL = "data.haml.potential."


@dataclass(frozen=True)
class Doubt:
    """A node of whose past something is missing, or does not fit."""

    pk: int
    uuid: str
    type: str
    reason: str

    def __str__(self) -> str:
        return f"{self.type}<{self.pk}> {self.reason}"


def doubts(processes: Mapping[int, str | None], data: Mapping[int, str], teaching: Teaching) -> list[Doubt]:
    """Return what is doubtful in a part of the graph.

    Parameters
    ----------
    processes, data : mapping of int to str
        Pks with their process types, and their node types.
    teaching : Teaching
        Of all trainings among the processes.
    """
    reasons = {
        **dict(_of_potentials(pk for pk, kind in data.items() if kind.startswith(POTENTIAL))),
        **dict(_of_label_jobs(pk for pk, kind in processes.items() if engine_of(kind))),
        **dict(_of_pools(teaching)),
        **dict(_of_atoms(teaching)),
    }
    named = rows(reasons, uuid="uuid", node_type="node_type")
    return [Doubt(pk, str(named[pk].uuid), named[pk].node_type.split(".")[-2], reasons[pk]) for pk in sorted(reasons)]


def _of_potentials(pks: Iterable[int]) -> Iterator[tuple[int, str]]:
    potentials = set(pks)
    made = {link.target: link.source for link in links_into(potentials, ["create"])}
    makers = rows(made.values(), process_type="process_type")
    for pk in potentials:
        if pk not in made:
            if not orm.load_node(pk).is_start:  # whose teacher the docs name
                yield pk, "was trained elsewhere: what taught it is not in this database"
        elif makers[made[pk]].process_type != TRAINING:
            yield pk, f"was made by process <{made[pk]}>, which is no training: what taught it is unknown"


def _of_label_jobs(pks: Iterable[int]) -> Iterator[tuple[int, str]]:
    jobs = set(pks)
    started = {link.target for link in links_into(jobs, ["input_calc"], ["initial"])}
    for pk in jobs - started:
        yield pk, "made labels, and the frames that it started from are not in this database"


def _of_pools(teaching: Teaching) -> Iterator[tuple[int, str]]:
    lessons = {lesson.pk for joined in teaching.joined.values() for lesson in joined}
    lengths = {pk: row.n_frames or 0 for pk, row in rows(lessons, n_frames="attributes.n_frames").items()}
    for training, pool in teaching.pool.items():
        if pool not in teaching.joined:
            yield pool, f"is the pool of training <{training}>, and what was gathered in it is not in this database"
    for pool, joined in teaching.joined.items():
        if reason := _of_pool(teaching.attributes[pool], joined, lengths, pool in teaching.previous):
            yield pool, reason


def _of_pool(
    attributes: Mapping[str, object], joined: list[Lesson], lengths: Mapping[int, int], has_previous: bool
) -> str | None:
    listed = attributes.get("labels") or {}
    assert isinstance(listed, dict)
    names = {lesson.name for lesson in joined}
    if missing := sorted(set(listed) - names):
        return f"lists the labels {', '.join(missing)}, which are not in this database"
    if unknown := sorted(names - set(listed)):
        return f"was gathered from the labels {', '.join(unknown)} and does not list them"
    if (attributes.get("previous") is not None) != has_previous:
        return "does not fit the pool before it: one of the two is missing"
    for lesson in joined:
        largest = max((i for indices in lesson.parts.values() for i in indices), default=0)
        if largest >= lengths[lesson.pk]:
            return f"lists frame {largest} of {lesson.name}, whose node <{lesson.pk}> holds {lengths[lesson.pk]} frames"
    return None


def _of_atoms(teaching: Teaching) -> Iterator[tuple[int, str]]:
    """Doubt an atom from an archive under a training that ran here; a whole screen that was imported is consistent."""
    came = is_foreign({*teaching.atoms, *(atom.pk for atoms in teaching.atoms.values() for atom in atoms)})
    for training, atoms in teaching.atoms.items():
        for atom in atoms:
            if atom.pk in came and training not in came:
                yield atom.pk, f"came with an archive, and training <{training}>, which ran here, relies on its energy"
