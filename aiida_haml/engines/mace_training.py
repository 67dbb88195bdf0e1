"""`haml-engine train`: a committee of MACE models from labels, with MACE's own trainer.

Reads ``inputs/labels/KEY/``, ``inputs/isolated_atoms/SYMBOL/`` and, for a warm start,
``inputs/initial/member_i.model``. ``task.json`` holds ``settings`` (see
`aiida_haml.learning.training.TrainingSettings`), ``initial_sha256`` (a list, for a warm start) and
``max_wall_time_s`` (or null). Writes ``member_i.model`` and ``results.json``; the log shows the progress.

Python, torch and MACE take some seconds to import, so on CPUs the members are children forked from one
process that has imported them. CUDA does not survive a fork: there, each member starts afresh.
"""

from __future__ import annotations

import hashlib
import json
import math
import multiprocessing
import os
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import mace
import numpy as np
import torch
from ase import Atoms
from ase.data import atomic_numbers
from ase.io import write
from mace import tools
from mace.cli.run_train import run as run_train

from aiida_haml.engines.mace_scoring import (
    Prediction,
    calibration,
    elements_of,
    load_potential,
    predict,
    require_labels,
    score,
)
from aiida_haml.engines.outcome import TaskError, reports_errors, write_results
from aiida_haml.frames import Frames
from aiida_haml.learning.splits import PARTS, Split, split_segments
from aiida_haml.learning.training import TrainingSettings

#: Validations in a training; only a validated epoch can become the checkpoint.
_N_VALIDATIONS = 20
#: Share of the wall time that training may take; scoring has to fit into the rest.
_TRAINING_SHARE = 0.8
_POLL_INTERVAL_S = 0.25


@reports_errors
def run(folder: Path, task: dict[str, Any]) -> None:
    """Train a committee and score it.

    Raises
    ------
    TaskError
        Of kind ``model_refused`` (initial potential), ``failed`` or ``diverged``.
    ValueError
        If settings or labels are refused.
    """
    start = time.perf_counter()
    settings = TrainingSettings.from_dict(task["settings"])
    labels = _load_folders(folder / "inputs/labels")
    energies = _isolated_energies(folder / "inputs/isolated_atoms")
    elements = _elements(settings, labels, energies)
    splits = split_segments(
        {key: len(run) for key, run in labels.items()},
        settings.valid_fraction,
        settings.held_out_fraction,
        settings.seed,
    )
    initial = _initial_models(folder, task.get("initial_sha256"), settings, elements)
    _write_training_files(folder, labels, splits, {symbol: energies[symbol] for symbol in elements})

    n_train = sum(len(split.train) for split in splits.values())
    members = [
        Member(i, _mace_arguments(settings, elements, n_train, i, initial[i] if initial else None), folder)
        for i in range(settings.n_committee)
    ]
    limit = task.get("max_wall_time_s")
    deadline = math.inf if limit is None else start + _TRAINING_SHARE * limit
    stopped_by = _train(members, settings, deadline)
    trained = time.perf_counter()
    results = _score(folder, members, elements, labels, splits)
    results |= {
        "stopped_by": stopped_by,
        "elements": elements,
        "precision": settings.precision,
        "training_time_s": trained - start,
        "versions": {"mace": mace.__version__, "torch": torch.__version__},
    }
    write_results(folder, results)


# -- what goes in ------------------------------------------------------------------------------------------


def _load_folders(folder: Path) -> dict[str, Frames]:
    paths = sorted(path for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []
    if not paths:
        raise ValueError(f"There is nothing in {folder.name}; give at least one folder of frames.")
    frames = {}
    for path in paths:
        try:
            frames[path.name] = Frames.load(path)
        except (ValueError, OSError) as error:
            raise ValueError(f"The frames {path.name} in {folder.name} are refused: {error}.") from error
    require_labels(frames)
    return frames


def _isolated_energies(folder: Path) -> dict[str, float]:
    """Return the energy of each isolated atom, eV."""
    energies = {}
    for symbol, frames in _load_folders(folder).items():
        if frames.symbols != [symbol]:
            raise ValueError(f"isolated_atoms.{symbol} holds {frames.symbols}; it has to be one {symbol} atom.")
        assert frames.energies is not None
        energies[symbol] = float(frames.energies[-1])
    return energies


def _elements(settings: TrainingSettings, labels: Mapping[str, Frames], energies: Mapping[str, float]) -> list[str]:
    elements = sorted(settings.elements or energies)
    if missing := sorted(set(elements) - set(energies)):
        raise ValueError(f"isolated_atoms lacks {', '.join(missing)}; give one for each of {', '.join(elements)}.")
    for key, run in labels.items():
        if unknown := sorted(set(run.elements) - set(elements)):
            raise ValueError(
                f"labels.{key} holds {', '.join(unknown)}, which elements ({', '.join(elements)}) does not "
                "name; name all elements of the screen."
            )
    return elements


def _initial_models(
    folder: Path, sha256: Sequence[str] | None, settings: TrainingSettings, elements: list[str]
) -> list[Path]:
    """Return the paths of the models to start from, after checking what they are; none for a cold start."""
    if not sha256:
        return []
    if len(sha256) < settings.n_committee:
        raise ValueError(
            f"n_committee is {settings.n_committee}, and the initial potential has {len(sha256)} members; "
            "ask for as many, or start without it."
        )
    source = folder / "inputs/initial"
    model = load_potential(source, sha256[: settings.n_committee], elements)[0]
    if (known := elements_of(model)) != elements:
        raise ValueError(
            f"The initial potential knows {', '.join(known)}, and elements asks for {', '.join(elements)}; "
            "use the same elements, or start without it."
        )
    if not math.isclose(model.cutoff, settings.r_max):
        raise ValueError(
            f"r_max is {settings.r_max}, and the initial potential has {model.cutoff:g}; use the same, or "
            "start without it."
        )
    return [source / f"member_{i}.model" for i in range(settings.n_committee)]


def _write_training_files(
    folder: Path, labels: Mapping[str, Frames], splits: Mapping[str, Split], energies: Mapping[str, float]
) -> None:
    """Write ``train.extxyz`` (with the isolated atoms) and ``valid.extxyz`` for MACE."""
    for part in ("train", "valid"):
        images = [a for key, run in labels.items() for a in _images(run, getattr(splits[key], part))]
        if part == "train":
            images += [_isolated_image(symbol, energy) for symbol, energy in energies.items()]
        write(folder / f"{part}.extxyz", images, format="extxyz")


def _images(frames: Frames, indices: Sequence[int]) -> list[Atoms]:
    images = []
    for i in indices:
        assert frames.energies is not None
        assert frames.forces is not None
        atoms = Atoms(frames.numbers, frames.positions[i], cell=frames.cells[i], pbc=frames.pbc)
        atoms.info["REF_energy"] = float(frames.energies[i])
        atoms.arrays["REF_forces"] = frames.forces[i].copy()
        images.append(atoms)
    return images


def _isolated_image(symbol: str, energy: float) -> Atoms:
    atoms = Atoms(symbol, info={"REF_energy": energy, "config_type": "IsolatedAtom"})
    atoms.arrays["REF_forces"] = np.zeros((1, 3))
    return atoms


# -- MACE's trainer, one process a member ------------------------------------------------------------------


def _mace_arguments(
    settings: TrainingSettings, elements: Sequence[str], n_train: int, index: int, initial: Path | None
) -> dict[str, Any]:
    """Return the options of ``mace_run_train`` for one member."""
    wanted = settings.max_epochs if initial is None else settings.fine_tune_epochs
    interval = math.ceil(wanted / _N_VALIDATIONS)
    # MACE validates epochs 0, interval, 2 interval, ...; epochs after the last of these would be lost.
    epochs = math.ceil((wanted - 1) / interval) * interval + 1
    options: dict[str, Any] = {
        "name": f"member_{index}",
        "seed": settings.seed + index,
        "model": "ScaleShiftMACE",
        "num_channels": settings.num_channels,
        "max_L": settings.max_L,
        "num_interactions": settings.num_interactions,
        "correlation": settings.correlation,
        "max_ell": settings.max_ell,
        "num_radial_basis": settings.num_radial_basis,
        "r_max": settings.r_max,
        "atomic_numbers": [atomic_numbers[symbol] for symbol in elements],
        "train_file": "train.extxyz",
        "valid_file": "valid.extxyz",
        "energy_key": "REF_energy",
        "forces_key": "REF_forces",
        "energy_weight": settings.energy_weight,
        "forces_weight": settings.forces_weight,
        # MACE drops an incomplete last batch: a batch larger than the set would train nothing.
        "batch_size": min(settings.batch_size, n_train),
        "valid_batch_size": settings.batch_size,
        "lr": settings.lr if initial is None else settings.fine_tune_lr,
        "scheduler": "ExponentialLR",
        "lr_scheduler_gamma": settings.lr_final ** (1 / max(epochs - 1, 1)),
        "max_num_epochs": epochs,
        "eval_interval": interval,
        "default_dtype": settings.precision,
        "device": settings.device,
        "work_dir": f"training/member_{index}",
        "plot": False,
        "pin_memory": settings.device == "cuda",
    }
    if settings.ema_decay > 0:
        options |= {"ema": True, "ema_decay": settings.ema_decay}
    if settings.device == "cuda":
        options["save_cpu"] = True
    if initial is not None:
        options |= {"foundation_model": f"inputs/initial/{initial.name}", "multiheads_finetuning": False}
    return options


#: Options of MACE that are flags, given without a value.
_FLAGS = ("ema", "save_cpu", "restart_latest")


def _command_line(options: Mapping[str, Any]) -> list[str]:
    return [f"--{name}" if name in _FLAGS else f"--{name}={value}" for name, value in options.items()]


def _run_mace(options: Mapping[str, Any], folder: Path) -> None:
    """Run MACE's trainer in this process, its output in a file of its own."""
    os.chdir(folder)
    work = Path(options["work_dir"])
    work.mkdir(parents=True, exist_ok=True)
    with open(work / "log.txt", "a", buffering=1) as log:
        os.dup2(log.fileno(), sys.stdout.fileno())
        os.dup2(log.fileno(), sys.stderr.fileno())
        torch.set_num_threads(1)
        run_train(tools.build_default_arg_parser().parse_args(_command_line(options)))


@dataclass
class Member:
    """One model in training: its process, and what its log of results has told so far."""

    index: int
    options: dict[str, Any]
    folder: Path
    process: BaseProcess | None = None
    n_read: int = 0
    history: list[dict[str, Any]] = field(default_factory=list)

    @property
    def work(self) -> Path:
        return self.folder / self.options["work_dir"]

    @property
    def model(self) -> Path:
        return self.work / f"{self.options['name']}.model"

    def start(self, **more: Any) -> None:
        """Start training, or with ``restart_latest`` make the model from the best checkpoint so far."""
        context: Any = multiprocessing.get_context("fork" if self.options["device"] == "cpu" else "spawn")
        self.process = context.Process(target=_run_mace, args=(self.options | more, self.folder))
        self.process.start()

    def stop(self) -> None:
        """End the process, if it still runs."""
        if self.process is not None and self.process.is_alive():
            self.process.kill()
            self.process.join()

    def read(self) -> None:
        """Take in what MACE has written about its validations, and print it.

        Raises
        ------
        TaskError
            Of kind ``diverged``, if a loss is not finite.
        """
        for path in self.work.glob("results/*_train.txt"):
            lines = path.read_text().splitlines(keepends=True)
            for line in lines[self.n_read :]:
                if not line.endswith("\n"):
                    break
                self.n_read += 1
                self._take(json.loads(line))

    def _take(self, entry: dict[str, Any]) -> None:
        if not math.isfinite(entry["loss"]):
            raise TaskError(
                "diverged",
                f"The loss of member {self.index} became {entry['loss']} in epoch {entry['epoch']}; lower "
                "lr, or look for broken labels.",
            )
        if entry["mode"] != "eval" or entry["epoch"] is None:
            return
        point = {name: entry[name] for name in ("epoch", "loss", "rmse_f", "rmse_e_per_atom")}
        self.history.append(point)
        print(
            f"member {self.index}: epoch {point['epoch'] + 1} of {self.options['max_num_epochs']}, "
            f"validation {1e3 * point['rmse_e_per_atom']:.1f} meV/atom, {1e3 * point['rmse_f']:.1f} meV/Å",
            flush=True,
        )


def _train(members: Sequence[Member], settings: TrainingSettings, deadline: float) -> str | None:
    """Train all members, ``n_parallel`` at a time, until done or the deadline; return what stopped them."""
    slots = settings.n_parallel or len(os.sched_getaffinity(0))
    waiting: list[Member] = list(members)
    running: list[Member] = []
    try:
        while waiting or running:
            while waiting and len(running) < slots:
                running.append(waiting.pop(0))
                running[-1].start()
            if time.perf_counter() > deadline:
                _make_models(members)
                return "wall_time"
            time.sleep(_POLL_INTERVAL_S)
            for member in running:
                member.read()
            running = [member for member in running if not _finished(member)]
    finally:
        for member in members:
            member.stop()
    return None


def _finished(member: Member) -> bool:
    assert member.process is not None
    if member.process.is_alive():
        return False
    member.process.join()
    member.read()
    if member.process.exitcode != 0 or not member.model.is_file():
        log = (member.work / "log.txt").read_text().strip().splitlines() if member.work.is_dir() else []
        raise TaskError(
            "failed",
            f"The training of member {member.index} ended with status {member.process.exitcode}: "
            f"{log[-1] if log else 'it wrote no log'}",
        )
    return True


def _make_models(members: Sequence[Member]) -> None:
    """At the end of the wall time, let MACE write each member's model from its best checkpoint.

    Raises
    ------
    TaskError
        Of kind ``no_checkpoint``, if a member had not come to its first validation.
    """
    for member in members:
        member.stop()
        if member.model.is_file():
            continue
        if not list(member.work.glob("checkpoints/*.pt")):
            raise TaskError(
                "no_checkpoint",
                f"The wall time ended before member {member.index} was validated for the first time; allow "
                "more time or ask for fewer members.",
            )
        member.start(restart_latest=True, max_num_epochs=0)
        assert member.process is not None
        member.process.join()
        _finished(member)


# -- what comes out ----------------------------------------------------------------------------------------


def _score(
    folder: Path,
    members: Sequence[Member],
    elements: list[str],
    labels: Mapping[str, Frames],
    splits: Mapping[str, Split],
) -> dict[str, Any]:
    """Move the models to their final names and measure the errors of each member and of their mean."""
    hashes = []
    for member in members:
        path = folder / f"member_{member.index}.model"
        shutil.copyfile(member.model, path)
        hashes.append(hashlib.sha256(path.read_bytes()).hexdigest())
    models = load_potential(folder, hashes, elements)
    predictions = {key: predict(models, run) for key, run in labels.items()}
    parts = {part: _part(labels, predictions, splits, part) for part in PARTS}
    return {
        "errors": {part: score(pairs) for part, pairs in parts.items()},
        "split": {key: split.to_dict() for key, split in splits.items()},
        # The frames that no member was trained on; those of validation have chosen the checkpoint only.
        "calibration": calibration(parts["valid"] + parts["held_out"]).to_dict(),
        "members": [
            {
                "seed": member.options["seed"],
                "epochs": member.options["max_num_epochs"],
                "validations": member.history,
                "errors": {
                    part: score([(frames, prediction.member(i)) for frames, prediction in pairs])
                    for part, pairs in parts.items()
                },
            }
            for i, member in enumerate(members)
        ],
        "sha256": hashes,
        "cutoff": models[0].cutoff,
    }


def _part(
    labels: Mapping[str, Frames],
    predictions: Mapping[str, Prediction],
    splits: Mapping[str, Split],
    part: str,
) -> list[tuple[Frames, Prediction]]:
    """Return frames and predictions of one part of the split, one pair a segment."""
    pairs = []
    for key, split in splits.items():
        if chosen := getattr(split, part):
            index = np.array(chosen)
            whole = predictions[key]
            pairs.append((labels[key][index], Prediction(whole.energies[:, index], whole.forces[:, index])))
    return pairs
