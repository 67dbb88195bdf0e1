"""What a label was made for, what the potential of the day got wrong on it, and what it taught."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from aiida import orm

from aiida_haml.data.frames import FramesData
from aiida_haml.queries.anatomy import Calls
from aiida_haml.queries.rows import rows
from aiida_haml.queries.teachers import GATHER, Pupil, candidates_taught_by, potentials_taught_by
from aiida_haml.queries.training import TRAINING
from aiida_haml.queries.walks import callers, links_into, links_out_of, pk_of

_TESTS = "tests__"


@dataclass(frozen=True)
class Purpose:
    """Why one frame was labelled.

    Attributes
    ----------
    frame : int
        Index in the node of labels.
    reason : str
        As the one that chose it says; ``the time line`` for a frame of a burst.
    parts : tuple of str
        What it serves for in the pools that it joined; empty where it was known already.
    """

    frame: int
    reason: str
    parts: tuple[str, ...]


@dataclass(frozen=True)
class Score:
    """What the champion got wrong on labels before it, or its successor, learned from them.

    Attributes
    ----------
    training : int
        Pk of the calculation that scored it.
    force_rmse : tuple of float
        Of each frame, eV / Angstrom.
    outcome : str
        What came of it, in the learner's words.
    """

    training: int
    force_rmse: tuple[float, ...]
    outcome: str


@dataclass(frozen=True)
class LabelStory:
    """All that the graph tells of a node of labels.

    Attributes
    ----------
    pk : int
    name : str
        What the run that asked for it calls it, ``SLUG__probes_0003``; empty where nobody did.
    calculation : int or None
        Pk of the job that made it.
    purposes : tuple of Purpose
    scores : tuple of Score
    potentials : tuple of int
        Pks of the potentials that had it in sight when they were trained.
    pupils : tuple of Pupil
        Candidates that these potentials drove.
    """

    pk: int
    name: str
    calculation: int | None
    purposes: tuple[Purpose, ...]
    scores: tuple[Score, ...]
    potentials: tuple[int, ...]
    pupils: tuple[Pupil, ...]


def label_story(labels: FramesData) -> LabelStory:
    """Return what labels were made for, and what they changed.

    Raises
    ------
    ValueError
        If the frames are no labels.
    """
    if not labels.has_labels:
        raise ValueError(f"FramesData<{labels.pk}> holds no labels; name frames with energies and forces.")
    pk = pk_of(labels)
    job = next((link.source for link in links_into([pk], ["create"])), None)
    calls = Calls({job, *callers(job)}) if job is not None else None
    return LabelStory(
        pk=pk,
        name=calls.role(job) if calls is not None and job is not None else "",
        calculation=job,
        purposes=tuple(_purposes(pk, labels, job)),
        scores=tuple(_scores(pk)),
        potentials=tuple(potentials_taught_by([pk])),
        pupils=tuple(candidates_taught_by([pk])),
    )


def _purposes(pk: int, labels: FramesData, job: int | None) -> list[Purpose]:
    parts: dict[int, list[str]] = {}
    for columns in _joined(pk):
        for frame, part in zip(columns.get("frame", []), columns.get("part", []), strict=False):
            parts.setdefault(frame, []).append(part)
    reasons = _reasons(job, len(labels), labels.kind)
    return [Purpose(i, reasons[i], tuple(parts.get(i, ()))) for i in range(len(labels))]


def _joined(pk: int) -> list[dict[str, Any]]:
    """Return what pools list of the frames."""
    links = links_out_of([pk], ["input_calc"])
    kinds = rows((link.target for link in links), process_type="process_type")
    names = {link.target: link.label for link in links if kinds[link.target].process_type == GATHER}
    pools = {link.target: names[link.source] for link in links_out_of(names, ["create"])}
    found = rows(pools, labels="attributes.labels")
    return [(row.labels or {}).get(pools[pool], {}) for pool, row in found.items()]


def _reasons(job: int | None, n: int, kind: str) -> list[str]:
    """Return why each frame was labelled: what chose it wrote that down beside its choice."""
    if job is None:
        return ["given by a person"] * n
    if kind != "probes":
        return ["the isolated atom" if kind == "isolated_atom" else "the time line"] * n
    chosen = [link.source for link in links_into([job], ["input_calc"], ["initial"])]
    selectors = [link.source for link in links_into(chosen, ["create"])]
    why = [link.target for link in links_out_of(selectors, ["create"], ["why"])]
    told = next((row.frames for row in rows(why, frames="attributes.frames").values()), None) or []
    outputs = [link.target for link in links_out_of([job], ["create"], ["output_parameters"])]
    kept = next((row.kept for row in rows(outputs, kept="attributes.kept").values()), None) or list(range(n))
    return [told[kept[i]]["reason"] if i < len(kept) and kept[i] < len(told) else "not told" for i in range(n)]


def _scores(pk: int) -> list[Score]:
    """Return how champions fared on the frames; the arrays lie in files, one node each."""
    links = [link for link in links_out_of([pk], ["input_calc"]) if link.label.startswith(_TESTS)]
    kinds = rows((link.target for link in links), process_type="process_type")
    asked = {link.target: link.label for link in links if kinds[link.target].process_type == TRAINING}
    outputs = links_out_of(asked, ["create"], ["tests", "errors"])
    told = rows((link.target for link in outputs if link.label == "errors"), reason="attributes.reason")
    outcomes = {link.source: told[link.target].reason or "" for link in outputs if link.label == "errors"}
    found = []
    for link in outputs:
        name = f"{asked[link.source].removeprefix(_TESTS)}__force_rmse"
        node: Any = orm.load_node(link.target) if link.label == "tests" else None
        if node is not None and name in node.get_arraynames():
            rmse = tuple(float(value) for value in np.atleast_1d(node.get_array(name)))
            found.append(Score(link.source, rmse, outcomes.get(link.source, "")))
    return found
