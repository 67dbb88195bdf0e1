"""Which labels taught what: behind a rank, and onward from a label to the potentials and candidates it served."""

from collections.abc import Iterable
from dataclasses import dataclass

from aiida import orm

from aiida_haml.data.pool import PREVIOUS
from aiida_haml.queries.anatomy import MD, Calls
from aiida_haml.queries.rows import rows
from aiida_haml.queries.training import POOL, TRAINING, Teaching, engines
from aiida_haml.queries.walks import ancestors, callers, feeds, links_out_of, pk_of

GATHER = "aiida.calculations:haml.gather"


@dataclass(frozen=True)
class Teacher:
    """Labelled frames that stand behind a result.

    Attributes
    ----------
    pk : int
    uuid, kind : str
    name : str
        Under which they joined the pool: ``SLUG__burst_0003``.
    candidate : str
        Whose labels they are; empty for isolated atoms.
    n_frames : int
        That joined the pool.
    calculation : int or None
        Pk of the AIMD calculation that made them.
    """

    pk: int
    uuid: str
    kind: str
    name: str
    candidate: str
    n_frames: int
    calculation: int | None


@dataclass(frozen=True)
class Pupil:
    """A candidate that was followed by potentials which some labels had taught.

    Attributes
    ----------
    screen : int
        Pk of the process that a person started: a screen, or a hybrid run of its own.
    screen_label : str
    candidate : str
        Slug.
    n_stretches : int
        Runs of MLP-MD under these potentials.
    """

    screen: int
    screen_label: str
    candidate: str
    n_stretches: int


def labels_behind(result: orm.Node) -> list[Teacher]:
    """Return the labels that all potentials behind a result had in sight, those of champions included.

    Parameters
    ----------
    result : Node
        A ranking, a stretch, a potential.
    """
    pk = pk_of(result)
    made = {pk} | ancestors(pk)
    kinds = rows(made, process_type="process_type")
    lessons = Teaching(node for node, row in kinds.items() if row.process_type == TRAINING).all_lessons()
    nodes, jobs = rows(lessons, uuid="uuid", kind="attributes.kind"), engines(lessons)
    return [
        Teacher(
            pk=lesson.pk,
            uuid=str(nodes[lesson.pk].uuid),
            kind=nodes[lesson.pk].kind or "",
            name=lesson.name,
            candidate="" if "isolated_atom" in lesson.parts else lesson.name.partition("__")[0],
            n_frames=lesson.n_frames,
            calculation=jobs[lesson.pk].id if lesson.pk in jobs else None,
        )
        for lesson in sorted(lessons.values(), key=lambda lesson: lesson.pk)
    ]


def potentials_taught_by(labels: Iterable[int]) -> list[int]:
    """Return the pks of the potentials whose trainings had labels in sight."""
    found = links_out_of(trainings_with(labels), ["create"], ["potential"])
    return sorted(link.target for link in found)


def trainings_with(labels: Iterable[int]) -> list[int]:
    """Return the pks of the trainings whose pools hold labels, or which were given them as isolated atoms."""
    links = links_out_of(labels, ["input_calc"])
    kinds = rows({link.target for link in links}, process_type="process_type")
    gathered = {link.target for link in links if kinds[link.target].process_type == GATHER}
    pools = {link.target for link in links_out_of(gathered, ["create"])}
    read = {link.target for link in links_out_of(pools | feeds(pools, PREVIOUS), ["input_calc"], [POOL])}
    read |= {pk for pk, row in kinds.items() if row.process_type == TRAINING}
    kinds = rows(read, process_type="process_type")
    return [pk for pk, row in kinds.items() if row.process_type == TRAINING]


def candidates_taught_by(labels: Iterable[int]) -> list[Pupil]:
    """Return the candidates of all screens that were followed by potentials which had labels in sight."""
    driven = {link.target for link in links_out_of(potentials_taught_by(labels), ["input_calc"], ["potential"])}
    kinds = rows(driven, process_type="process_type")
    stretches = [pk for pk, row in kinds.items() if row.process_type == MD]
    calls = Calls({*stretches, *callers(stretches)})
    counts: dict[tuple[int, str], int] = {}
    for pk in stretches:
        whose = (calls.top(pk), calls.candidate(pk))
        counts[whose] = counts.get(whose, 0) + 1
    screens = rows((screen for screen, _ in counts), label="label")
    return [Pupil(screen, screens[screen].label, slug, n) for (screen, slug), n in sorted(counts.items())]
