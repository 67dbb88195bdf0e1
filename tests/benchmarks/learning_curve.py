"""Force error against the number of labels: consecutive AIMD frames, frames at random, frames that were selected.

Labels are CHGNet's, of a reacting interface (`_lessons.py`). Every training starts from scratch and has the same number
of gradient steps, so that the labels alone differ.

    python tests/benchmarks/learning_curve.py [--quick] [--jobs N]

The last line is a JSON object; the exit code is 1 where the aim is missed: selected frames reach the error that random
ones have at the largest number with half as many labels.
"""

import argparse
import os
import sys
import warnings
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"
sys.path.insert(0, str(Path(__file__).parents[2]))

import numpy as np
from numpy.typing import NDArray

from aiida_haml.frames import Frames
from tests.benchmarks._curves import each, force_errors, labels_for, rms, selected
from tests.benchmarks._lessons import Figures, finish, interface, learn, scratch

#: Labels of each training, a sixth of which validate.
NUMBERS = (12, 24, 48, 96)
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


def measure(frames: Frames, train: NDArray[np.int64], examined: Frames, steps: int, seed: int) -> Figures:
    """Train on some frames from scratch, and return the errors on others, meV/A."""
    order = np.random.default_rng(seed).permutation(train)
    n_valid = max(2, len(order) // 6)
    with scratch() as folder:
        settings = {"steps_first": steps, "seed": seed}
        results = learn(Path(folder), frames, {"train": order[n_valid:], "valid": order[:n_valid]}, settings)
        errors = force_errors(Path(folder) / "member_0.model", examined)
    return errors | {"cpu_s": round(results["cpu_s"], 1)}


def main(argv: list[str] | None = None) -> int:
    """Measure the three curves."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="Fewer labels and steps: whether it runs.")
    warnings.filterwarnings("ignore")
    parser.add_argument("--jobs", type=int, default=1, help="Trainings at a time, a core each.")
    arguments = parser.parse_args(argv)
    quick, jobs = arguments.quick, arguments.jobs
    frames = interface()
    allowed, held_out = split(frames)
    examined = frames[held_out]
    numbers, steps, seeds = (NUMBERS[:2], 60, (1,)) if quick else (NUMBERS, 600, (1, 2))
    ways = {
        "consecutive": lambda n, seed: consecutive(frames, n),
        "random": lambda n, seed: random(allowed, n, seed),
        "selected": lambda n, seed: selected(frames, allowed, n),
    }
    wanted = [(way, n, seed) for way in ways for n in numbers for seed in seeds if way != "consecutive" or n <= 60]
    given = [(frames, ways[way](n, seed), examined, steps, seed) for way, n, seed in wanted]
    runs: dict[tuple[str, int], list[Figures]] = {}
    for (way, n, _), figures in zip(wanted, each(measure, given, jobs), strict=True):
        runs.setdefault((way, n), []).append(figures)
    curves: dict[str, dict[int, Figures]] = {way: {} for way in ways}
    for (way, n), these in runs.items():
        curves[way][n] = {key: round(float(np.mean([one[key] for one in these])), 1) for key in these[0]}
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
