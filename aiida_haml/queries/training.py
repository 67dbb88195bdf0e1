"""From a potential to the AIMD steps that taught it: the one place that knows how the graph leads there.

A training reads one pool, which indexes the labels of all rounds; a calcfunction ``haml.gather`` made it from the pool
before and the labels of its round. A training may start from a champion, which another training made.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from aiida_haml.calculations.label_engines import engine_of
from aiida_haml.data.pool import PREVIOUS, VERDICTS
from aiida_haml.data.potential import PotentialData
from aiida_haml.queries.rows import rows
from aiida_haml.queries.walks import chain, links_into, links_out_of, pk_of

TRAINING = "aiida.calculations:haml.learn"
#: Names of a training's inputs.
POOL, CHAMPION, ATOMS = "pool", "champion", "isolated_atoms__"
#: Label of the calcfunction that joins the parts of a run that was cut short and went on.
JOIN = "join_frames"
#: Parts of a pool that teach; what is held out only measures, and what has exploded serves for nothing.
TEACHING = ("train", "valid")


@dataclass(frozen=True)
class Lesson:
    """Frames that joined a pool, or an isolated atom.

    Attributes
    ----------
    name : str
        ``SLUG__burst_0003``: whose label it is, and what; ``isolated_atoms__Li``.
    pk : int
        Of the node of frames.
    parts : mapping of str to list of int
        ``train``, ``valid``, ``held_out``, ``exploded`` or ``isolated_atom`` -> indices of the frames that serve so.
    keys : mapping of int to str
        Index of a frame -> key of its configuration; of what joined a pool.
    """

    name: str
    pk: int
    parts: dict[str, list[int]]
    keys: dict[int, str] = field(default_factory=dict)

    @property
    def n_frames(self) -> int:
        """Number of frames that joined; a configuration that the pool knew is not among them."""
        return sum(len(indices) for indices in self.parts.values())

    def joined_with(self, other: Lesson) -> Lesson:
        """Return what the same frames serve for in either of two pools."""
        parts = {*self.parts, *other.parts}
        union = {p: sorted({*self.parts.get(p, []), *other.parts.get(p, [])}) for p in sorted(parts)}
        return Lesson(self.name, self.pk, union, self.keys | other.keys)


class Teaching:
    """What some trainings learned from, read in a number of statements that does not depend on how many they are.

    Parameters
    ----------
    trainings : iterable of int
        Pks of calculations of the type `TRAINING`.

    Attributes
    ----------
    champion : dict of int to int
        Training -> the potential that it started from.
    pool, previous : dict of int to int
        Training -> pool; pool -> the pool before.
    atoms : dict of int to list of Lesson
        Training -> isolated atoms.
    joined : dict of int to list of Lesson
        Pool -> what its round brought.
    attributes : dict of int to dict
        Pool -> its attributes.
    """

    def __init__(self, trainings: Iterable[int]) -> None:
        self.pool: dict[int, int] = {}
        self.champion: dict[int, int] = {}
        self.atoms: dict[int, list[Lesson]] = {}
        for link in links_into(trainings, ["input_calc"]):
            if link.label == POOL:
                self.pool[link.target] = link.source
            elif link.label == CHAMPION:
                self.champion[link.target] = link.source
            elif link.label.startswith(ATOMS):
                atom = Lesson(link.label, link.source, {"isolated_atom": [0]})
                self.atoms.setdefault(link.target, []).append(atom)
        self._read_pools(set(self.pool.values()))

    def _read_pools(self, last: set[int]) -> None:
        reached = last | chain(last, PREVIOUS)
        made_by = {link.source: link.target for link in links_into(reached, ["create"])}
        self.previous: dict[int, int] = {}
        self.joined: dict[int, list[Lesson]] = {pool: [] for pool in made_by.values()}
        self.attributes = {pk: row.attributes for pk, row in rows(self.joined, attributes="attributes").items()}
        for link in links_into(made_by, ["input_calc"]):
            pool = made_by[link.target]
            if link.label == PREVIOUS:
                self.previous[pool] = link.source
            elif link.label != VERDICTS:
                columns = (self.attributes[pool].get("labels") or {}).get(link.label, {})
                self.joined[pool].append(_lesson(link.label, link.source, columns))

    def pools(self, training: int, until: int | None = None) -> Iterator[int]:
        """Yield the pools that a training read, latest first, down to one that is known already.

        Parameters
        ----------
        training : int
        until : int, optional
            A pool that is not yielded any more.
        """
        pool = self.pool.get(training)
        while pool is not None and pool != until:
            yield pool
            pool = self.previous.get(pool)

    def lessons(self, training: int) -> Iterator[Lesson]:
        """Yield all that a training had in sight, latest first."""
        for pool in self.pools(training):
            yield from self.joined.get(pool, [])
        yield from self.atoms.get(training, [])

    def all_lessons(self) -> dict[int, Lesson]:
        """Return what any of the trainings had in sight, each node of frames once, by its pk."""
        found: dict[int, Lesson] = {}
        for lessons in (*self.joined.values(), *self.atoms.values()):
            for lesson in lessons:
                found[lesson.pk] = found[lesson.pk].joined_with(lesson) if lesson.pk in found else lesson
        return found


def _lesson(name: str, pk: int, columns: dict[str, list[Any]]) -> Lesson:
    frames = columns.get("frame", [])
    parts: dict[str, list[int]] = {}
    for frame, part in zip(frames, columns.get("part", []), strict=False):
        parts.setdefault(part, []).append(frame)
    return Lesson(name, pk, parts, dict(zip(frames, columns.get("key", []), strict=False)))


def trainings(potentials: Iterable[int]) -> list[int]:
    """Return the pks of the calculations that trained some potentials and their champions, the latest first."""
    starts = set(potentials)
    made = links_into(starts | chain(starts, CHAMPION), ["create"])
    kinds = rows({link.source for link in made}, process_type="process_type")
    return sorted((pk for pk, row in kinds.items() if row.process_type == TRAINING), reverse=True)


@dataclass(frozen=True)
class Run:
    """An AIMD calculation behind a node of frames.

    Attributes
    ----------
    job : row
        With its ``id`` and ``uuid``.
    first : int
        Index of the first frame of the node that it made.
    step : int
        Number of its step, or of its single point, at that frame.
    """

    job: Any
    first: int = 0
    step: int = 0


def runs(frames: Iterable[int]) -> dict[int, list[Run]]:
    """Return the AIMD calculations that made frames, in the order of their frames, by the pk of the frames' node.

    A run that was cut short and went on has several, whose frames were joined. Frames that no calculation made, or
    another one, are left out.
    """
    wanted = set(frames)
    jobs = _jobs(wanted)
    found = {pk: [Run(job)] for pk, job in jobs.items()}
    joins = _joins(wanted - set(jobs))
    jobs = _jobs({part for parts in joins.values() for part in parts})
    counts = rows({*joins, *jobs}, n="attributes.n_frames")
    for pk, parts in joins.items():
        if not set(parts) <= set(jobs):
            continue
        # A part begins at the last frame of the one before, which is kept once.
        repeated = sum(counts[part].n for part in parts) - counts[pk].n == len(parts) - 1
        found[pk], first = [], 0
        for i, part in enumerate(parts):
            step = int(repeated and i > 0)
            found[pk].append(Run(jobs[part], first, step))
            first += counts[part].n - step
    return found


def engines(frames: Iterable[int]) -> dict[int, Any]:
    """Return the (first) AIMD calculation that made frames: pk of the frames -> a row with its ``id`` and ``uuid``."""
    return {pk: made[0].job for pk, made in runs(frames).items()}


def _jobs(frames: Iterable[int]) -> dict[int, Any]:
    made = links_into(frames, ["create"])
    jobs = rows({link.source for link in made}, uuid="uuid", process_type="process_type")
    found = {link.target: jobs[link.source] for link in made}
    return {pk: job for pk, job in found.items() if engine_of(job.process_type)}


def _joins(frames: Iterable[int]) -> dict[int, list[int]]:
    """Return the nodes whose frames were joined in a node, in their order."""
    made = links_into(frames, ["create"])
    labels = rows({link.source for link in made}, label="attributes.process_label")
    joined = {link.source: link.target for link in made if labels[link.source].label == JOIN}
    parts: dict[int, list[int]] = {}
    for link in sorted(links_into(joined, ["input_calc"]), key=lambda link: link.label):
        parts.setdefault(joined[link.target], []).append(link.source)
    return parts


@dataclass(frozen=True)
class TrainingStep:
    """One frame that a potential learned from, and the AIMD step that made it.

    Attributes
    ----------
    label_uuid : str
        UUID of the frames node.
    frame : int
        Index in that node.
    calculation_uuid : str or None
        UUID of the AIMD calculation; None if no such calculation made the frames.
    step : int or None
        Number of its MD step, or of its single point.
    use : str
        ``train``, ``valid`` or ``isolated_atom``.
    """

    label_uuid: str
    frame: int
    calculation_uuid: str | None
    step: int | None
    use: str


def training_steps(potential: PotentialData) -> list[TrainingStep]:
    """List every frame that a potential learned from, those of the champions that it started from included.

    Frames that only measured its error (held out) taught it nothing, nor did those that no training drew; they are left
    out. A frame that several generations had in sight is listed once.
    """
    made = trainings([pk_of(potential)])
    lessons, drawn = Teaching(made).all_lessons(), _drawn(made)
    nodes, made_by = rows(lessons, uuid="uuid"), runs(lessons)
    return [
        _step(str(nodes[lesson.pk].uuid), frame, use, made_by.get(lesson.pk, []))
        for lesson in lessons.values()
        for use in (*TEACHING, "isolated_atom")
        for frame in lesson.parts.get(use, [])
        if use != "train" or drawn is None or lesson.keys[frame] in drawn
    ]


def _step(label_uuid: str, frame: int, use: str, made_by: list[Run]) -> TrainingStep:
    run = next((run for run in reversed(made_by) if run.first <= frame), None)
    if run is None:
        return TrainingStep(label_uuid, frame, None, None, use)
    return TrainingStep(label_uuid, frame, str(run.job.uuid), run.step + frame - run.first, use)


def _drawn(made: Iterable[int]) -> set[str] | None:
    """Return the keys of all configurations that some trainings say they trained on; None if one does not say."""
    made = set(made)
    told = rows((link.target for link in links_out_of(made, ["create"], ["errors"])), keys="attributes.trained_on")
    if len(told) < len(made) or any(row.keys is None for row in told.values()):
        return None
    return {key for row in told.values() for key in row.keys}
