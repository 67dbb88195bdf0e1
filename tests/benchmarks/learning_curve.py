"""Force error against the number of labels: consecutive AIMD frames, frames at random, frames that were selected.

Labels are CHGNet's, of a reacting interface (`_lessons.py`). Every training starts from scratch and has the same number
of gradient steps, so that the labels alone differ.

    python tests/benchmarks/learning_curve.py [--quick]

The last line is a JSON object; the exit code is 1 where the aim is missed: selected frames reach the error that random
ones have at the largest number with half as many labels.
"""

from __future__ import annotations

import argparse
import os
import sys
import warnings
from itertools import pairwise
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"
sys.path.insert(0, str(Path(__file__).parents[2]))

import numpy as np
import torch
from numpy.typing import NDArray

from aiida_haml.engines.mace_examination import examine
from aiida_haml.frames import Frames
from aiida_haml.learning.selection import ProbeSettings, choose
from tests.benchmarks._lessons import Figures, finish, interface, learn, reacting, scratch

#: Labels of each training, a sixth of which validate.
NUMBERS = (12, 24, 48, 96)
#: Selected frames join by so many, each time compared with those that joined before, as in rounds.
ROUND = 12
#: Share of random's labels with which selected frames have to reach its error.
AIM = 0.5
#: Blocks of so many frames belong to the labels and to the examination in turn.
BLOCK = 10


def split(frames: Frames) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the frames that may be labelled and those of the examination: blocks of 50 fs in turn."""
    coarse = np.flatnonzero(frames.times % 5 == 0)
    blocks = np.arange(len(coarse)) // BLOCK
    return coarse[blocks % 2 == 0], coarse[(blocks % 2 == 1)][::2]


def random(allowed: NDArray[np.int64], n: int, seed: int) -> NDArray[np.int64]:
    """Return frames at random; a larger number holds the smaller one's."""
    return np.random.default_rng(seed).permutation(allowed)[:n]


def consecutive(frames: Frames, n: int) -> NDArray[np.int64]:
    """Return the first frames, 1 fs apart up to 60 fs, as one long burst brings them."""
    return np.arange(n)


def selected(frames: Frames, allowed: NDArray[np.int64], n: int) -> NDArray[np.int64]:
    """Return frames that join a dozen at a time: half evenly spread, half farthest from all labels so far."""
    chosen = [int(allowed[0]), int(allowed[-1])]
    while len(chosen) < n:
        left = np.array([i for i in allowed if i not in chosen or i == allowed[0]])
        settings = ProbeSettings(n_probes=min(ROUND, n - len(chosen)), even_share=0.5)
        known = [frames[i] for i in chosen]
        chosen += [int(left[choice.index]) for choice in choose(frames[left], None, known, settings)]
    return np.array(chosen[:n])


def measure(frames: Frames, train: NDArray[np.int64], examined: Frames, steps: int, seed: int) -> Figures:
    """Train on some frames from scratch, and return the errors on others, meV/A."""
    order = np.random.default_rng(seed).permutation(train)
    n_valid = max(2, len(order) // 6)
    with scratch() as folder:
        settings = {"steps_first": steps, "seed": seed}
        results = learn(Path(folder), frames, {"train": order[n_valid:], "valid": order[:n_valid]}, settings)
        module = torch.load(Path(folder) / "member_0.model", weights_only=False)
    (one,) = examine([module], [examined])
    squares = np.square(one.forces - examined.forces).mean(axis=2)
    active = reacting(examined)
    return {
        "all": rms(squares),
        "reacting": rms(squares[active]),
        **{symbol: rms(squares[:, np.array(examined.symbols) == symbol]) for symbol in examined.elements},
        "cpu_s": round(results["cpu_s"], 1),
    }


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


def main(argv: list[str] | None = None) -> int:
    """Measure the three curves."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="Fewer labels and steps: whether it runs.")
    warnings.filterwarnings("ignore")
    quick = parser.parse_args(argv).quick
    frames = interface()
    allowed, held_out = split(frames)
    examined = frames[held_out]
    numbers, steps, seeds = (NUMBERS[:2], 60, (1,)) if quick else (NUMBERS, 600, (1, 2))
    ways = {
        "consecutive": lambda n, seed: consecutive(frames, n),
        "random": lambda n, seed: random(allowed, n, seed),
        "selected": lambda n, seed: selected(frames, allowed, n),
    }
    curves: dict[str, dict[int, Figures]] = {}
    for way, pick in ways.items():
        for n in numbers:
            if way == "consecutive" and n > 60:
                continue
            runs = [measure(frames, pick(n, seed), examined, steps, seed) for seed in seeds]
            curves.setdefault(way, {})[n] = {key: round(float(np.mean([r[key] for r in runs])), 1) for key in runs[0]}
            print(way, n, curves[way][n], flush=True)
    shares = {}
    for what in ("all", "reacting"):
        target = curves["random"][numbers[-1]][what]
        shares[what] = round(labels_for(curves["selected"], what, target) / numbers[-1], 2)
    missed = [f"{what}: {share} of random's labels" for what, share in shares.items() if not share <= AIM and not quick]
    rms_force = rms(np.square(examined.forces).mean(axis=2))
    return finish({"curves": curves, "share_of_random": shares, "rms_force": rms_force}, missed)


if __name__ == "__main__":
    sys.exit(main())
