"""From a rank, a potential or a frame down to the AIMD steps behind it, as a tree that a person reads."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from aiida import orm

from aiida_haml.calculations.label_engines import engine_of
from aiida_haml.data.frames import FramesData
from aiida_haml.queries.rows import rows
from aiida_haml.queries.training import CHAMPION, POOL, TRAINING, Lesson, Teaching
from aiida_haml.queries.tree import Branch
from aiida_haml.queries.walks import DATA, Link, ancestors, links_into, links_out_of, pk_of

#: Inputs that carry science; codes and settings are left to `verdi process show`.
_SCIENCE = ("data.core.array.", "data.core.structure.", "data.haml.")
#: Inputs that a calculation goes on from. Their stories stand beside its own and not below it: a time line, or a line
#: of potentials, would else be indented once more each time.
_GOES_ON_FROM = (CHAMPION, "initial")
_FIELDS = {
    "uuid": "uuid", "node_type": "node_type", "process_type": "process_type", "label": "label",
    "process_label": "attributes.process_label", "kind": "attributes.kind", "n_frames": "attributes.n_frames",
    "start": "attributes.time_start", "end": "attributes.time_end", "n_members": "attributes.n_members",
}  # fmt: skip


def trace(node: orm.Node, frame: int | None = None) -> str:
    """Draw how a node came to be, down to the AIMD calculations, each node expanded once.

    Parameters
    ----------
    node : Node
        A ranking or other result, a potential, frames, or a process (whose first result is traced).
    frame : int, optional
        Index of one frame, where the node holds frames.

    Returns
    -------
    str
        Of each generation of potentials stands what it had learned beyond the one before.

    Raises
    ------
    ValueError
        If a frame is asked of a node that has none, or not that many; or a process has no results.
    """
    node = _result_of(node) if isinstance(node, orm.ProcessNode) else node
    pk = pk_of(node)
    story = _Story(pk)
    root = story.draw(pk) if frame is None else _draw_frame(story, node, frame)
    return root.draw()


def _result_of(process: orm.ProcessNode) -> orm.Node:
    outgoing = process.base.links.get_outgoing().all()
    results = {e.link_label: e.node for e in outgoing if isinstance(e.node, orm.Data)}
    for name in ("ranking", "potential", "frames", *sorted(results)):
        if name in results and not isinstance(results[name], orm.RemoteData | orm.FolderData):
            return results[name]
    raise ValueError(f"{process.process_label}<{process.pk}> has no results yet; trace it when it has finished.")


def _draw_frame(story: _Story, node: orm.Node, frame: int) -> Branch:
    if not isinstance(node, FramesData):
        name = f"{type(node).__name__}<{node.pk}>"
        raise ValueError(f"{name} holds no frames; leave out --frame, or name a node of frames.")
    if not -len(node) <= frame < len(node):
        name = f"FramesData<{node.pk}>"
        raise ValueError(f"frame {frame} does not exist: {name} holds frames 0 to {len(node) - 1}.")
    frame %= len(node)
    times, pk = node.read(frame).times, pk_of(node)
    at = "" if times is None else f" at {times[0]:g} fs"
    root = story.draw(pk)
    root.text = f"frame {frame}{at} of {root.text}"
    if (engine := story.engine(pk)) is not None:
        root.children = [Branch(f"step {frame} of {engine}")]
    return root


class _Story:
    """All that a node was made from, read at once, and drawn from the node upwards."""

    def __init__(self, pk: int) -> None:
        nodes = {pk} | ancestors(pk)
        self.rows = rows(nodes, **_FIELDS)
        self.creator: dict[int, int] = {}
        self.inputs: dict[int, list[Link]] = {}
        for link in links_into(nodes, DATA):
            if link.type == "create":
                self.creator[link.target] = link.source
            else:
                self.inputs.setdefault(link.target, []).append(link)
        trainings = [node for node, row in self.rows.items() if row.process_type == TRAINING]
        self.teaching = Teaching(trainings)
        self.is_used = {link.source for link in links_out_of(nodes - set(self.creator))}
        self.seen: set[int] = set()

    def draw(self, pk: int) -> Branch:
        """Return the tree of a node."""
        root = Branch(self.describe(pk))
        waiting = [(root, pk)]
        while waiting:
            branch, node = waiting.pop()
            waiting += reversed(self._expand(branch, node))
        return root

    def engine(self, pk: int) -> str | None:
        """Return the AIMD calculation that made a node; None if nothing or something else did."""
        creator = self.rows.get(self.creator.get(pk, -1))
        if creator is None or (engine := engine_of(creator.process_type)) is None:
            return None
        return f"{engine.title} calculation <{creator.id}> {creator.uuid}"

    def describe(self, pk: int) -> str:
        """Return what a node is, in a line."""
        row = self.rows[pk]
        kind = row.node_type.split(".")[-2]
        if kind == "FramesData":
            span = "" if row.start is None or row.end is None else f", {row.start:g} to {row.end:g} fs"
            text = f"{row.kind} <{pk}> of {row.n_frames} frame{'' if row.n_frames == 1 else 's'}{span}"
        elif kind == "PotentialData":
            text = f"potential <{pk}> of {row.n_members} members"
        else:
            text = f"{kind}<{pk}>"
        return f"{text} '{row.label}'" if row.label else text

    def _expand(self, branch: Branch, pk: int) -> list[tuple[Branch, int]]:
        """Draw how a node was made, and return the branches that are still to be expanded with their nodes."""
        further: list[tuple[Branch, int]] = []
        made = branch
        while True:
            creator = self.creator.get(pk)
            if creator is None:
                made.text += "  (given by a person)" if pk in self.is_used else "  (no creator)"
                return further
            if (engine := self.engine(pk)) is not None:
                made.children.append(Branch(f"{_steps(self.rows[pk])} of {engine}"))
                return further
            if creator in self.seen:
                made.text += f"  (made by <{creator}>, see above)"
                return further
            self.seen.add(creator)
            if made is branch:
                made = Branch(self._made_by(creator))
                branch.children.append(made)
            else:
                made.text += f", {self._made_by(creator)}"
            further += self._draw_inputs(made, creator)
            before = [link for link in self.inputs.get(creator, []) if link.label in _GOES_ON_FROM]
            if not before:
                return further
            made = Branch(f"{before[0].label}: {self.describe(before[0].source)}")
            branch.children.append(made)
            pk = before[0].source

    def _made_by(self, creator: int) -> str:
        text = f"made by {self.rows[creator].process_label}<{creator}>"
        if creator not in self.teaching.pool:
            return text
        n_labels = self.teaching.attributes.get(self.teaching.pool[creator], {}).get("n_labels", "?")
        return f"{text} with {n_labels} labels in sight"

    def _draw_inputs(self, branch: Branch, creator: int) -> list[tuple[Branch, int]]:
        further = []
        is_training = self.rows[creator].process_type == TRAINING
        if is_training:
            self._draw_lessons(branch, creator)
        for link in sorted(self.inputs.get(creator, []), key=lambda link: link.label):
            if link.label in _GOES_ON_FROM or (is_training and link.label.startswith((POOL, "isolated_atoms__"))):
                continue
            if self.rows[link.source].node_type.startswith(_SCIENCE):
                child = Branch(f"{link.label.replace('__', '.')}: {self.describe(link.source)}")
                branch.children.append(child)
                further.append((child, link.source))
        return further

    def _draw_lessons(self, branch: Branch, training: int) -> None:
        """Draw what is new in this training; what its champion had in sight stands there."""
        champion = self.creator.get(self.teaching.champion.get(training, -1), -1)
        known = self.teaching.pool.get(champion)
        for pool in self.teaching.pools(training, until=known):
            if pool in self.seen:
                branch.children.append(Branch(f"and the labels of LabelPoolData<{pool}>, see above"))
                break
            self.seen.add(pool)
            branch.children += self._lessons(self.teaching.joined.get(pool, []))
        branch.children += self._lessons(a for a in self.teaching.atoms.get(training, []) if a.pk not in self.seen)
        self.seen |= {atom.pk for atom in self.teaching.atoms.get(training, [])}

    def _lessons(self, lessons: Iterable[Lesson]) -> list[Branch]:
        found = []
        for lesson in lessons:
            use = "; ".join(f"{part} {_ranges(frames)}" for part, frames in lesson.parts.items() if frames)
            engine = self.engine(lesson.pk)
            source = f"{_steps(self.rows[lesson.pk])} of {engine}" if engine else "NOT TRACED to an AIMD calculation"
            text = f"{lesson.name}: {self.describe(lesson.pk)}: {use or 'nothing new'}"
            found.append(Branch(text, [Branch(source)]))
        return found


def _steps(row: Any) -> str:
    """Say which steps of a calculation frames are."""
    name, n_frames = "single point" if row.kind == "probes" else "step", row.n_frames or 1
    if n_frames == 1:
        return "the single point"
    return f"{name}s 0 to {n_frames - 1}"


def _ranges(numbers: list[int]) -> str:
    """Write 0, 1, 2, 5 as '0-2, 5'."""
    runs: list[list[int]] = []
    for n in sorted(numbers):
        if runs and n == runs[-1][-1] + 1:
            runs[-1].append(n)
        else:
            runs.append([n])
    return ", ".join(str(r[0]) if len(r) == 1 else f"{r[0]}-{r[-1]}" for r in runs)
