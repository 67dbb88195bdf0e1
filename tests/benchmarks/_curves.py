"""Error against the number of labels: how labels are chosen, what a model is off by, and where two curves meet."""

from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from itertools import pairwise
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from aiida_haml.engines.mace_examination import examine
from aiida_haml.frames import Frames
from aiida_haml.learning.selection import ProbeSettings, choose
from tests.benchmarks._lessons import Figures, reacting

#: Selected frames join by so many, each time compared with those that joined before, as in rounds.
ROUND = 12


def each(function: Callable[..., Any], given: Iterable[tuple[Any, ...]], jobs: int) -> list[Any]:
    """Return what a function gives for each set of arguments, so many at a time, each in a process of its own."""
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        return [job.result() for job in [pool.submit(function, *arguments) for arguments in given]]


def selected(frames: Frames, allowed: NDArray[np.int64], n: int) -> NDArray[np.int64]:
    """Return frames that join a dozen at a time: half evenly spread, half farthest from all labels so far."""
    chosen = [int(allowed[0]), int(allowed[-1])]
    while len(chosen) < n:
        left = np.array([i for i in allowed if i not in chosen or i == allowed[0]])
        settings = ProbeSettings(n_probes=min(ROUND, n - len(chosen)), even_share=0.5)
        known = [frames[i] for i in chosen]
        chosen += [int(left[choice.index]) for choice in choose(frames[left], None, known, settings)]
    return np.array(chosen[:n])


def force_errors(model: Path, examined: Frames) -> Figures:
    """Return the root mean square errors of a model's forces, meV/A: of all atoms, reacting ones, and by element."""
    (one,) = examine([torch.load(model, weights_only=False)], [examined])
    squares = np.square(one.forces - examined.forces).mean(axis=2)
    by_element = {symbol: rms(squares[:, np.array(examined.symbols) == symbol]) for symbol in examined.elements}
    return {"all": rms(squares), "reacting": rms(squares[reacting(examined)]), **by_element}


def rms(squares: NDArray[np.float64]) -> float:
    return round(1e3 * float(np.sqrt(squares.mean())), 1)


def labels_for(curve: dict[int, Figures], what: str, error: float) -> float:
    """Return how many labels a curve needs for an error, between its points in powers; infinite if never."""
    numbers = sorted(curve)
    for few, many in pairwise(numbers):
        high, low = curve[few][what], curve[many][what]
        if high <= error:
            return float(few)
        if low <= error:
            return float(few * (many / few) ** (np.log(high / error) / np.log(high / low)))
    return float("inf")
