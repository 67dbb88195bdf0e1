"""Our training loop against `mace_run_train`: the same labels, model and number of gradient steps.

First a potential from scratch on 40 labels of a reacting interface (`_lessons.py`), then a round that adds 20 from
later on, beside a replay of the old ones; MACE's own trainer takes all of them. Time is that of the processor for the
whole job (imports, graphs, training, scores), the error that of the force on frames between the labels.

    python tests/benchmarks/training.py [--quick | --gpu]

With --gpu the first of these is run on the GPU and on one core, with the default model and with one of 128 channels,
and wall times are compared, without aims.

The last line is a JSON object; the exit code is 1 where an aim is missed: no error more than a tenth larger than with
MACE's trainer, and no job that takes longer.
"""

import argparse
import os
import subprocess
import sys
import time
import warnings
from collections.abc import Sequence
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"
sys.path.insert(0, str(Path(__file__).parents[2]))

import numpy as np
import torch
from ase import Atoms
from ase.io import write

from aiida_haml.engines.mace_examination import examine
from aiida_haml.frames import Frames
from aiida_haml.learning.learner import LearnerSettings
from tests.benchmarks._lessons import ISOLATED, Figures, cpu_seconds, finish, interface, learn, scratch

#: Largest ratio of our error to that of MACE's trainer, and of our time to its.
AIM_ERROR, AIM_TIME = 1.1, 1.0


def mace(
    folder: Path, frames: Frames, train: Sequence[int], valid: Sequence[int], steps: int, lr: float, start: Path | None
) -> Figures:
    """Train with ``mace_run_train`` by as many gradient steps, and return the processor time."""
    folder.mkdir()
    defaults = LearnerSettings()
    isolated = [Atoms(s, info={"REF_energy": e, "config_type": "IsolatedAtom"}) for s, e in ISOLATED.items()]
    for atoms in isolated:
        atoms.arrays["REF_forces"] = np.zeros((1, 3))
    write(folder / "train.xyz", [*_images(frames, train), *isolated])
    write(folder / "valid.xyz", _images(frames, valid))
    epochs = round(steps * defaults.batch_size / len(train))
    options = {
        "name": "m", "seed": 1, "model": "ScaleShiftMACE", "num_channels": defaults.num_channels, "max_L": 0,
        "correlation": 2, "num_interactions": 2, "max_ell": 2, "r_max": 5.0, "train_file": "train.xyz",
        "valid_file": "valid.xyz", "energy_key": "REF_energy", "forces_key": "REF_forces", "energy_weight": 10,
        "forces_weight": 100, "batch_size": defaults.batch_size, "valid_batch_size": 4, "lr": lr,
        "scheduler": "ExponentialLR", "lr_scheduler_gamma": defaults.lr_final ** (1 / epochs), "max_num_epochs": epochs,
        "eval_interval": max(1, epochs // 8), "default_dtype": "float32", "device": "cpu", "plot": False,
        "ema_decay": defaults.ema_decay,
    }  # fmt: skip
    if start is not None:
        options |= {"foundation_model": start, "multiheads_finetuning": False}
    command = [Path(sys.executable).parent / "mace_run_train", "--ema", "--pair_repulsion"]
    before = cpu_seconds()
    with (folder / "log").open("w") as log:
        given = [*command, *(f"--{name}={value}" for name, value in options.items())]
        subprocess.run(given, cwd=folder, stdout=log, stderr=subprocess.STDOUT, check=True)
    return {"cpu_s": round(cpu_seconds() - before, 1)}


def _images(frames: Frames, chosen: Sequence[int]) -> list[Atoms]:
    images = []
    for i in chosen:
        atoms = Atoms(frames.numbers, frames.positions[i], cell=frames.cells[i], pbc=frames.pbc)
        atoms.info["REF_energy"] = float(frames.energies[i])
        atoms.arrays["REF_forces"] = frames.forces[i]
        images.append(atoms)
    return images


def error(model: Path, examined: Frames) -> Figures:
    """Return the force error of a model, meV/A."""
    (one,) = examine([torch.load(model, weights_only=False)], [examined])
    return {"force_rmse_meV_A": round(1e3 * float(np.sqrt(np.square(one.forces - examined.forces).mean())), 1)}


def devices(frames: Frames, parts: dict[str, list[int]], folder: Path) -> Figures:
    """Return wall times and errors of our training on one core and on the GPU, by number of channels."""
    found: Figures = {}
    for channels, steps in ((LearnerSettings().num_channels, LearnerSettings().steps_first), (128, 50)):
        for device in ("cpu", "cuda"):
            path = folder / f"{channels}_{device}"
            settings = {"steps_first": steps, "seed": 1, "num_channels": channels, "device": device}
            began = time.perf_counter()
            learn(path, frames, parts, settings)
            wall = round(time.perf_counter() - began, 1)
            known = frames[np.array(sorted([*parts["train"], *parts["valid"]]))]
            found[f"{channels} channels, {device}"] = {"steps": steps, "wall_s": wall} | error(
                path / "member_0.model", known
            )
            print(channels, device, found, flush=True)
    return found


def main(argv: list[str] | None = None) -> int:
    """Train twice, two ways."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="Few steps: whether it runs.")
    parser.add_argument("--gpu", action="store_true", help="GPU and CPU, without MACE's trainer")
    warnings.filterwarnings("ignore")
    given = parser.parse_args(argv)
    quick = given.quick
    defaults = LearnerSettings()
    frames = interface()
    coarse = {int(t): i for i, t in enumerate(frames.times) if t % 5 == 0}
    first = [coarse[t] for t in range(0, 200, 5)]
    new = [coarse[t] for t in range(200, 400, 10)]
    held_out = [coarse[t] for t in range(205, 400, 10)]
    steps = (40, 20) if quick else (defaults.steps_first, defaults.steps_per_round)
    figures: Figures = {}
    with scratch() as name:
        folder = Path(name)
        parts = {"train": [i for i in first if i % 5], "valid": [i for i in first if i % 5 == 0]}
        if given.gpu:
            return finish({"device": torch.cuda.get_device_name()} | devices(frames, parts, folder), [])
        later = {"train": parts["train"] + new[1:], "valid": parts["valid"] + new[:1]}
        rounds = [
            ("first", parts, steps[0], defaults.lr, [], first, frames[np.array(first)]),
            (
                "round",
                later,
                steps[1],
                defaults.fine_tune_lr,
                [folder / "first/member_0.model"],
                first,
                frames[np.array(held_out)],
            ),
        ]
        for label, these, n, lr, champion, old, examined in rounds:
            settings = {"steps_first": n, "steps_per_round": n, "seed": 1}
            ours = learn(folder / label, frames, these, settings, champion, old if champion else [])
            theirs = mace(
                folder / f"mace_{label}",
                frames,
                these["train"],
                these["valid"],
                n,
                lr,
                champion[0] if champion else None,
            )
            figures[label] = {
                "ours": {"cpu_s": round(ours["cpu_s"], 1)} | error(folder / label / "member_0.model", examined),
                "mace_run_train": theirs | error(folder / f"mace_{label}/m.model", examined),
            }
            print(label, figures[label], flush=True)
    ratios = {
        label: {what: round(f["ours"][what] / f["mace_run_train"][what], 2) for what in f["ours"]}
        for label, f in figures.items()
    }
    missed = [
        f"{label}: {what} {ratio} times MACE's"
        for label, found in ratios.items()
        for what, ratio in found.items()
        if ratio > (AIM_TIME if what == "cpu_s" else AIM_ERROR) and not quick
    ]
    return finish({"figures": figures, "ratios": ratios}, missed)


if __name__ == "__main__":
    sys.exit(main())
