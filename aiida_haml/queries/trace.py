"""From a rank, a potential or a frame down to the AIMD steps behind it, as a tree that a person reads."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from aiida import orm

from aiida_haml.data.frames import FramesData
from aiida_haml.data.potential import PotentialData
from aiida_haml.queries.training import LABEL_ENGINES, TRAINING, TrainingLabel, training_labels

#: Inputs that carry science; codes and settings are left to `verdi process show`.
_SCIENCE = (orm.ArrayData, orm.StructureData, PotentialData)
_ENGINE_NAMES = {LABEL_ENGINES[0]: "CP2K", LABEL_ENGINES[1]: "TEACHER"}


@dataclass
class Branch:
    """A line of the tree and what hangs below it."""

    text: str
    children: list[Branch] = field(default_factory=list)

    def lines(self, indent: str = "") -> Iterator[str]:
        """Yield the tree's lines, drawn with box characters."""
        for i, child in enumerate(self.children):
            last = i == len(self.children) - 1
            yield f"{indent}{'└─ ' if last else '├─ '}{child.text}"
            yield from child.lines(indent + ("   " if last else "│  "))


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

    Raises
    ------
    ValueError
        If a frame is asked of a node that has none, or not that many; or a process has no results.
    """
    node = _result_of(node) if isinstance(node, orm.ProcessNode) else node
    root = _trace_frame(node, frame) if frame is not None else _Tracer().branch(node, "")
    return "\n".join([root.text, *root.lines()])


def _result_of(process: orm.ProcessNode) -> orm.Node:
    outgoing = process.base.links.get_outgoing().all()
    results = {e.link_label: e.node for e in outgoing if isinstance(e.node, orm.Data)}
    for name in ("ranking", "potential", "frames", *sorted(results)):
        if name in results and not isinstance(results[name], orm.RemoteData | orm.FolderData):
            return results[name]
    raise ValueError(f"{process.process_label}<{process.pk}> has no results yet; trace it when it has finished.")


def _trace_frame(node: orm.Node, frame: int) -> Branch:
    if not isinstance(node, FramesData):
        raise ValueError(f"{_name(node)} holds no frames; leave out --frame, or name a node of frames.")
    if not -len(node) <= frame < len(node):
        raise ValueError(f"frame {frame} does not exist: {_name(node)} holds frames 0 to {len(node) - 1}.")
    frame %= len(node)
    times = node.read(frame).times
    at = "" if times is None else f" at {times[0]:g} fs"
    root = Branch(f"frame {frame}{at} of {_describe_frames(node)}")
    creator = node.creator
    if creator is not None and creator.process_type in LABEL_ENGINES:
        root.children = [Branch(f"step {frame} of {_engine(creator)}")]
    else:
        root.children = _Tracer().branch(node, "").children
    return root


class _Tracer:
    """Walks up the creators, expanding each node and calculation once."""

    def __init__(self) -> None:
        self.seen: set[int] = set()

    def branch(self, node: orm.Node, link: str) -> Branch:
        """Draw a data node and how it was made."""
        branch = Branch(f"{link + ': ' if link else ''}{_describe(node)}")
        creator = node.creator
        if creator is None:
            branch.text += "  (given by a person)" if node.base.links.get_outgoing().all() else "  (no creator)"
            return branch
        if creator.process_type in LABEL_ENGINES:
            branch.children = [Branch(f"{_steps_of(node)} of {_engine(creator)}")]
            return branch
        if creator.pk in self.seen:
            branch.text += f"  (made by <{creator.pk}>, see above)"
            return branch
        self.seen.add(creator.pk)
        made = Branch(f"made by {creator.process_label}<{creator.pk}>")
        made.children = list(self._inputs(creator))
        branch.children = [made]
        return branch

    def _inputs(self, process: orm.ProcessNode) -> Iterator[Branch]:
        incoming = sorted(process.base.links.get_incoming().all(), key=lambda e: e.link_label)
        if process.process_type == TRAINING:
            yield from (_training_branch(label) for label in training_labels(process))
            incoming = [e for e in incoming if e.link_label == "initial"]
        for entry in incoming:
            if isinstance(entry.node, _SCIENCE):
                yield self.branch(entry.node, entry.link_label.replace("__", "."))


def _training_branch(label: TrainingLabel) -> Branch:
    use = "; ".join(f"{name} {_ranges(frames)}" for name, frames in label.split.items() if frames)
    branch = Branch(f"{label.key}: {_describe_frames(label.node)}: {use}")
    engine = label.engine
    text = f"{_steps_of(label.node)} of {_engine(engine)}" if engine else "NOT TRACED to an AIMD calculation"
    branch.children = [Branch(text)]
    return branch


def _steps_of(node: orm.Node) -> str:
    n = len(node) if isinstance(node, FramesData) else 1
    return "the single point" if n == 1 else f"steps 0 to {n - 1}"


def _engine(calculation: orm.ProcessNode) -> str:
    name = _ENGINE_NAMES.get(calculation.process_type or "", "unknown")
    return f"{name} calculation <{calculation.pk}> {calculation.uuid}"


def _name(node: orm.Node) -> str:
    return f"{type(node).__name__}<{node.pk}>"


def _describe_frames(node: FramesData) -> str:
    start, end = (node.base.attributes.get(key, None) for key in ("time_start", "time_end"))
    span = "" if start is None or end is None else f", {start:g} to {end:g} fs"
    plural = "" if len(node) == 1 else "s"
    return f"{node.kind} <{node.pk}> of {len(node)} frame{plural}{span}"


def _describe(node: orm.Node) -> str:
    if isinstance(node, FramesData):
        text = _describe_frames(node)
    elif isinstance(node, PotentialData):
        text = f"potential <{node.pk}> of {node.n_members} members"
    else:
        text = _name(node)
    return f"{text} '{node.label}'" if node.label else text


def _ranges(numbers: list[int]) -> str:
    """Write 0, 1, 2, 5 as '0-2, 5'."""
    runs: list[list[int]] = []
    for n in sorted(numbers):
        if runs and n == runs[-1][-1] + 1:
            runs[-1].append(n)
        else:
            runs.append([n])
    return ", ".join(str(r[0]) if len(r) == 1 else f"{r[0]}-{r[-1]}" for r in runs)
