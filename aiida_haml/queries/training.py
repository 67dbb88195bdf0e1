"""From a potential to the AIMD steps that taught it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, cast

from aiida import orm

from aiida_haml.data.frames import FramesData
from aiida_haml.data.potential import PotentialData

#: Process types of the calculations whose frames are ab initio labels, one MD step a frame, step 0 included.
LABEL_ENGINES = ("aiida.calculations:haml.cp2k", "aiida.calculations:haml.teacher")
TRAINING = "aiida.calculations:haml.train"
#: Namespaces of the training's inputs that hold labels.
LABEL_PORTS = ("labels__", "isolated_atoms__")


@dataclass(frozen=True)
class TrainingStep:
    """One frame that a potential learned from, and the AIMD step that made it.

    Parameters
    ----------
    label_uuid : str
        UUID of the frames node.
    frame : int
        Index in that node.
    calculation_uuid : str or None
        UUID of the AIMD calculation; None if no such calculation made the frames.
    step : int or None
        Number of its MD step.
    use : str
        ``train``, ``valid`` or ``isolated_atom``.
    """

    label_uuid: str
    frame: int
    calculation_uuid: str | None
    step: int | None
    use: str


def training_steps(potential: PotentialData) -> list[TrainingStep]:
    """List every frame that a potential learned from, those of the potentials that it started from included.

    Frames that only measured its error (held out) taught it nothing and are left out. A frame that several
    generations used is listed once.
    """
    found: dict[tuple[str, int], TrainingStep] = {}
    for calculation in trainings(potential):
        for label in training_labels(calculation):
            for step in _steps(label):
                found.setdefault((step.label_uuid, step.frame), step)
    return list(found.values())


def trainings(potential: PotentialData) -> Iterator[orm.CalcJobNode]:
    """Yield the calculation that trained a potential, then those of the potentials that it started from."""
    seen: set[str] = set()
    current: orm.Node | None = potential
    while current is not None and current.uuid not in seen:
        seen.add(current.uuid)
        creator = current.creator
        if creator is None or creator.process_type != TRAINING:
            return
        yield creator
        current = creator.inputs.initial if "initial" in creator.inputs else None


@dataclass(frozen=True)
class TrainingLabel:
    """One frames node that a training read, and which of its frames served for what."""

    node: FramesData
    key: str
    split: dict[str, list[int]]

    @property
    def engine(self) -> orm.CalcJobNode | None:
        """The AIMD calculation that made the frames; None if nothing or something else did."""
        creator = self.node.creator
        return creator if creator is not None and creator.process_type in LABEL_ENGINES else None


def training_labels(calculation: orm.ProcessNode) -> list[TrainingLabel]:
    """Return the frames that a training calculation read, with its split into train, valid and held out."""
    split = _split(calculation)
    labels = []
    for entry in sorted(calculation.base.links.get_incoming().all(), key=lambda e: e.link_label):
        port = next((p for p in LABEL_PORTS if entry.link_label.startswith(p)), None)
        if port is None:
            continue
        key = entry.link_label.removeprefix(port)
        whole = {"train" if port == "labels__" else "isolated_atom": list(range(len(cast(FramesData, entry.node))))}
        node = cast(FramesData, entry.node)
        labels.append(TrainingLabel(node, key, split.get(key, whole) if port == "labels__" else whole))
    return labels


def _split(calculation: orm.ProcessNode) -> dict[str, Any]:
    outputs = calculation.outputs
    return outputs.errors.get_dict().get("split", {}) if "errors" in outputs else {}


def _steps(label: TrainingLabel) -> Iterable[TrainingStep]:
    engine = label.engine
    for use, frames in label.split.items():
        if use == "held_out":
            continue
        for frame in frames:
            yield TrainingStep(
                label_uuid=label.node.uuid,
                frame=frame,
                calculation_uuid=engine.uuid if engine else None,
                step=frame if engine else None,
                use=use,
            )
