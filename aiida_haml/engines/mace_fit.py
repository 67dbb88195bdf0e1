"""A fixed number of gradient steps for one model: batches half new and half replayed, the best average kept."""

import copy
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from mace.tools.torch_tools import default_dtype
from numpy.typing import NDArray
from torch_ema import ExponentialMovingAverage

from aiida_haml.engines.mace_batches import Batch, Sample, collate, evaluate
from aiida_haml.engines.outcome import TaskError
from aiida_haml.learning.comparison import Group, total
from aiida_haml.learning.learner import LearnerSettings

#: Validations in a training, evenly spread; only a validated average can be kept.
N_VALIDATIONS = 8
#: Steps over which the learning rate rises: Adam knows nothing of the gradients' sizes before.
_WARM_UP = 10
#: Largest norm of the gradient in a step, MACE's default.
_MAX_GRADIENT = 10.0
#: What a restart after a divergence multiplies the learning rate by, and how often it may happen.
_CALMER, _MAX_RESTARTS = 0.3, 3
#: A loss so many times the best one has diverged.
_EXPLODED = 1e4


@dataclass(frozen=True)
class Course:
    """What one member is trained on.

    Attributes
    ----------
    module : torch.nn.Module
        To start from; it is not changed.
    new, replay : sequence of Sample
        `replay` is empty where everything is new.
    new_weights, replay_weights : arrays
        How often each is to be drawn, relative to the others of its kind.
    valid : sequence of Sample
    groups : sequence of Group
        Of each of `valid`.
    n_steps : int
    lr : float
    seed : int
        Of the batches.
    device : str
    settings : LearnerSettings
    """

    module: Any
    new: Sequence[Sample]
    replay: Sequence[Sample]
    new_weights: NDArray[np.float64]
    replay_weights: NDArray[np.float64]
    valid: Sequence[Sample]
    groups: Sequence[Group]
    n_steps: int
    lr: float
    seed: int
    device: str
    settings: LearnerSettings


@dataclass
class Fit:
    """What a training came to.

    Attributes
    ----------
    module : torch.nn.Module
        The best average, on the CPU.
    steps : int
        Gradient steps done.
    lr : float
        Learning rate at the start; lower than asked for if the training diverged and began anew.
    restarts : int
    stopped_by : str or None
        ``wall_time`` or None.
    validations : list of dict
        ``step``, ``loss`` of each.
    """

    module: Any
    steps: int = 0
    lr: float = 0.0
    restarts: int = 0
    stopped_by: str | None = None
    validations: list[dict[str, float]] = field(default_factory=list)


class Deck:
    """Indices drawn in proportion to weights, each about as often as any other of its weight at every time.

    Every index has a place in the queue; one that is drawn goes back by the inverse of its weight, a little at random,
    so that batches differ from pass to pass (stride scheduling; Waldspurger and Weihl, MIT/LCS/TM-528 (1995)).
    """

    def __init__(self, weights: NDArray[np.float64], rng: np.random.Generator) -> None:
        self._stride = 1 / np.maximum(weights, 1e-3)
        self._rng = rng
        self._place = rng.random(len(weights)) * self._stride

    def draw(self, n: int) -> NDArray[np.int64]:
        """Return the next ``n`` indices, or all if there are fewer."""
        chosen = np.argsort(self._place, kind="stable")[:n]
        self._place[chosen] += self._stride[chosen] * self._rng.uniform(0.5, 1.5, len(chosen))
        return chosen


def fit(
    course: Course,
    deadline: float = math.inf,
    on_step: Callable[[], None] = lambda: None,
    tell: Callable[[str], None] = lambda _: None,
) -> Fit:
    """Train one model.

    A loss that is not finite or explodes starts the training anew from its beginning, with a lower learning rate.

    Parameters
    ----------
    course : Course
    deadline : float
        On the clock of `time.perf_counter`, s; what was trained until then is kept.
    on_step : callable
        Called ahead of every step.
    tell : callable
        Called with words on each validation, for who follows a long training.

    Raises
    ------
    TaskError
        Of kind ``diverged``, if lower learning rates did not help; of kind ``no_checkpoint``, if the time ended before
        the first step; of kind ``out_of_memory``, if a batch does not fit the GPU.
    """
    lr = course.lr
    for restarts in range(_MAX_RESTARTS + 1):
        try:
            result = _attempt(course, lr, deadline, on_step, tell)
        except torch.OutOfMemoryError as error:
            raise TaskError(
                "out_of_memory",
                f"A batch of {course.settings.batch_size} frames does not fit the GPU; lower batch_size.",
            ) from error
        if result is not None:
            result.restarts = restarts
            return result
        lr *= _CALMER
    raise TaskError(
        "diverged",
        f"The training diverged at a learning rate of {course.lr:g} and at {_MAX_RESTARTS} lower ones; look for broken "
        "labels, or lower lr and fine_tune_lr.",
    )


def loss(module: Any, batch: Batch, settings: LearnerSettings) -> torch.Tensor:
    """Return the mean over frames of weighted squared errors of energy per atom and forces.

    Each frame counts alike, whatever its number of atoms, and each atom in it by its weight.
    """
    output = module(batch.inputs, training=True)
    n_frames = len(batch.sizes)

    def mean_of_atoms(values: torch.Tensor) -> torch.Tensor:
        return torch.zeros(n_frames, dtype=values.dtype, device=values.device).index_add(0, batch.index, values) / sizes

    sizes = batch.sizes.to(batch.forces.dtype)
    squares = (output["forces"] - batch.forces).square().mean(dim=1)
    forces = mean_of_atoms(batch.weights * squares)
    # Of large numbers that are nearly equal, the difference is taken in float64.
    difference = (output["interaction_energy"].double() - batch.energies).to(batch.forces.dtype) / sizes
    energies = mean_of_atoms(batch.weights) * difference.square()
    return (settings.energy_weight * energies + settings.forces_weight * forces).mean()


def validate(module: Any, course: Course) -> float:
    """Return the loss on the validation frames, every group of them counting alike."""
    settings = course.settings
    gathered: dict[Group, list[float]] = {}
    for sample, group, (energy, forces) in zip(
        course.valid, course.groups, evaluate(module, course.valid), strict=True
    ):
        weights = sample.weights.double().numpy()
        squares = np.square(forces - sample.forces.double().numpy()).mean(axis=1)
        energies = weights.mean() * ((energy - sample.energy) / sample.n_atoms) ** 2
        value = settings.energy_weight * energies + settings.forces_weight * float((weights * squares).mean())
        gathered.setdefault(group, []).append(value)
    return total({group: float(np.sqrt(np.mean(values))) for group, values in gathered.items()}) ** 2


def _attempt(
    course: Course, lr: float, deadline: float, on_step: Callable[[], None], tell: Callable[[str], None]
) -> Fit | None:
    """Train once; return None if it diverged."""
    settings = course.settings
    rng = np.random.default_rng(course.seed)
    decks = [Deck(course.new_weights, rng), Deck(course.replay_weights, rng)]
    module = copy.deepcopy(course.module).to(course.device)
    samples = [[s.to(course.device) for s in part] for part in (course.new, course.replay)]
    parameters = [p for p in module.parameters() if p.requires_grad]
    optimizer = torch.optim.Adam(parameters, lr=lr, amsgrad=True)
    average = ExponentialMovingAverage(parameters, decay=settings.ema_decay)
    result = Fit(module=course.module, lr=lr)
    points = {math.ceil(course.n_steps * (i + 1) / N_VALIDATIONS) for i in range(N_VALIDATIONS)}
    with default_dtype(next(module.parameters()).dtype):
        best = validate(module, course)  # of the start, which is kept if nothing better is found
        result.validations.append({"step": 0, "loss": best})
        tell(f"{course.n_steps} steps from lr {lr:g}, validation {best:.3g}")
        for step in range(1, course.n_steps + 1):
            on_step()
            late = time.perf_counter() > deadline
            if not late:
                _set_rate(optimizer, lr, step, course)
                drawn = draw_batch(samples, decks, settings.batch_size, step)
                value = _step(module, collate(drawn, len(module.atomic_numbers)), settings, optimizer)
                average.update()
                result.steps = step
                if not math.isfinite(value):
                    return None
            if step in points or late:
                with average.average_parameters():
                    value = validate(module, course)
                    if value < best:
                        result.module = copy.deepcopy(module).cpu()
                if not value <= _EXPLODED * max(best, 1e-6):  # NaN too
                    return None
                best = min(best, value)
                result.validations.append({"step": result.steps, "loss": value})
                tell(f"step {result.steps} of {course.n_steps}, validation {value:.3g}")
            if late:
                result.stopped_by = "wall_time"
                break
    if result.steps == 0:
        raise TaskError(
            "no_checkpoint", "The wall time ended before the first gradient step; allow more time for the training."
        )
    return result


def draw_batch(samples: list[list[Sample]], decks: list[Deck], n: int, step: int) -> list[Sample]:
    """Return a batch, half of it new and half replayed where there is both; of an odd one, in turn more of either."""
    new, replay = samples
    n_new = n if not replay else 0 if not new else (n + step % 2) // 2
    counts = (n_new, n - n_new)
    return [part[i] for part, deck, k in zip(samples, decks, counts, strict=True) if part for i in deck.draw(k)]


def _set_rate(optimizer: torch.optim.Optimizer, lr: float, step: int, course: Course) -> None:
    decay = course.settings.lr_final ** ((step - 1) / max(course.n_steps - 1, 1))
    for group in optimizer.param_groups:
        group["lr"] = lr * decay * min(1.0, step / _WARM_UP)


def _step(module: Any, batch: Batch, settings: LearnerSettings, optimizer: torch.optim.Optimizer) -> float:
    optimizer.zero_grad(set_to_none=True)
    value = loss(module, batch, settings)
    value.backward()
    torch.nn.utils.clip_grad_norm_([p for g in optimizer.param_groups for p in g["params"]], _MAX_GRADIENT)
    optimizer.step()
    return float(value.detach())
