"""What each member of a committee starts from, and what it is trained on."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from aiida_haml.engines.mace_batches import make_samples
from aiida_haml.engines.mace_fit import Course
from aiida_haml.engines.mace_foundation import cut_out
from aiida_haml.engines.mace_network import build, trainable
from aiida_haml.frames import Frames
from aiida_haml.learning.comparison import Group
from aiida_haml.learning.learner import LearnerSettings
from aiida_haml.learning.lesson import bootstrap_weight


@dataclass(frozen=True)
class Label:
    """One label that takes part: its entry in the pool and its frame."""

    key: str
    part: str
    group: Group
    frame: Frames


def lay_out(
    settings: LearnerSettings, champion: list[Any], foundation: list[Any], energies: Mapping[str, float],
    labels: list[Label], device: str,
) -> list[Course]:  # fmt: skip
    """Return what each member starts from and is trained on.

    Parameters
    ----------
    settings : LearnerSettings
    champion, foundation : list of torch.nn.Module
        Members go on from those of the champion; without one from those of a foundation model, cut down to the
        elements that are wanted; without either from random weights.
    energies : mapping of str to float
        Of the isolated atom of each element that the models are to know, eV.
    labels : list of Label
    device : str

    Raises
    ------
    ValueError
        If there is nothing to train or to validate on.
    """
    parts = {
        name: [label for label in labels if label.part == part and (part == "valid" or label.group.new is new)]
        for name, part, new in (("new", "train", True), ("replay", "train", False), ("valid", "valid", True))
    }
    if not champion:
        parts["new"], parts["replay"] = parts["new"] + parts["replay"], []
    if not parts["new"] and not parts["replay"]:
        raise ValueError("There is no label to train on; give more labels, or a higher force_cap.")
    if not parts["valid"]:
        raise ValueError("There is no label to validate on; give more labels.")
    runs = [label.frame for label in parts["new"] + parts["replay"]]
    is_new_chemistry = bool(parts["replay"]) and not _elements(parts["new"]) <= _elements(parts["replay"])
    courses: list[Course] = []
    for i in range(settings.n_committee):
        seed = settings.seed + i
        if champion:
            module = champion[i % len(champion)]
        elif foundation:
            module = cut_out(foundation[i % len(foundation)], energies, runs, settings.precision)
        else:
            module = build(settings, energies, runs, seed)
        module = trainable(module, settings.precision)
        if courses:  # the graphs are the same for all members
            samples = {"new": courses[0].new, "replay": courses[0].replay, "valid": courses[0].valid}
        else:
            samples = {
                name: [s for label in part for s in make_samples(module, label.frame, settings.large_force)]
                for name, part in parts.items()
            }
        weights = {
            name: np.array([bootstrap_weight(label.key, i, settings.seed) for label in part])
            for name, part in parts.items()
        }
        courses.append(
            Course(
                module=module,
                new=samples["new"],
                replay=samples["replay"],
                new_weights=weights["new"],
                replay_weights=weights["replay"],
                valid=samples["valid"],
                groups=[label.group for label in parts["valid"]],
                n_steps=settings.steps_per_round if champion and not is_new_chemistry else settings.steps_first,
                lr=settings.fine_tune_lr if champion or foundation else settings.lr,
                seed=seed,
                device=f"cuda:{i % torch.cuda.device_count()}" if device == "cuda" else "cpu",
                settings=settings,
            )
        )
    return courses


def _elements(labels: list[Label]) -> set[str]:
    return {symbol for label in labels for symbol in label.frame.elements}
