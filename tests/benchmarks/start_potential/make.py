"""Make the start potential: distil a universal potential over the cells of `cells.py`, in rounds.

Round 0 labels the cells shaken, strained and with pairs pushed together; each round after it labels frames of hot
dynamics that the student itself runs, which end where it fails: what it gets wrong it is taught. Reactions are among
them. The last training is from scratch, of each member on all labels.

    python -m venv teacher && teacher/bin/pip install torch sevenn==0.13.*
    python -m tests.benchmarks.start_potential.make FOLDER --teacher teacher/bin/python [--model 7net-0]

FOLDER keeps all labels; run again, it goes on after the last round that is complete. What it makes, and what
`start_numbers.FILE` of the package is, is ``FOLDER/start_potential.npz``.
"""

import argparse
import json
import os
import subprocess
import sys
import warnings
from collections import defaultdict
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[3]))

os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np
import torch
from ase import Atoms, units
from ase.data import covalent_radii
from ase.io import read, write
from ase.md.langevin import Langevin
from ase.md.velocitydistribution import MaxwellBoltzmannDistribution

from aiida_haml.engines.mace_forces import Graph
from aiida_haml.engines.mace_start import pack
from aiida_haml.frames import Frames
from aiida_haml.learning.distortions import DistortionSettings, distort
from aiida_haml.learning.learner import LearnerSettings
from tests.benchmarks._curves import each
from tests.benchmarks._lessons import Figures, Taken, learn_from
from tests.benchmarks.start_potential.cells import ELEMENTS, starts

DISTORTIONS = DistortionSettings(n_rattled=3, amplitudes=(0.04, 0.12, 0.25), strains=(0.0, 0.05), contact_ratios=(0.8,))
#: Of the student's dynamics: temperatures at which cells are heated in turn, K, time step, fs, and friction, 1 / fs.
TEMPERATURES, TIMESTEP, FRICTION = (300.0, 600.0, 1000.0, 1600.0), 1.5, 0.02
#: Steps of each run, and between two frames that are labelled.
RUN, EVERY = 300, 75
#: A run ends at the closest contact, in covalent distances, and at the temperature, K, that no matter survives.
LEAST_RATIO, MOST_KELVIN = 0.55, 6000.0
#: One frame in so many is held out, and one validates.
HELD_OUT = 16
FORCE_CAP = 25.0

Run = tuple[int, Atoms]


def explore(model: Path, cell: int, atoms: Atoms, temperature: float, seed: int) -> list[Run]:
    """Run the student's dynamics, and return frames along it, up to where it fails."""
    from mace.calculators import MACECalculator

    torch.set_num_threads(1)
    atoms = atoms.copy()
    atoms.calc = MACECalculator(model_paths=[str(model)], device="cpu", default_dtype="float32")
    rng = np.random.RandomState(seed)
    MaxwellBoltzmannDistribution(atoms, temperature_K=temperature, rng=rng)
    dynamics = Langevin(atoms, TIMESTEP * units.fs, temperature_K=temperature, friction=FRICTION / units.fs, rng=rng)
    found, last = [], atoms.positions.copy()
    for step in range(5, RUN + 1, 5):
        dynamics.run(5)
        if not (_ratio(atoms) > LEAST_RATIO and atoms.get_temperature() < MOST_KELVIN):
            found.append((cell, Atoms(atoms.numbers, last, cell=atoms.cell, pbc=True)))
            break
        last = atoms.positions.copy()
        if step % EVERY == 0:
            found.append((cell, Atoms(atoms.numbers, last, cell=atoms.cell, pbc=True)))
    return found


def _ratio(atoms: Atoms) -> float:
    graph = Graph.within(2.5, np.nan_to_num(atoms.positions), atoms.cell.array, atoms.pbc)
    radii = covalent_radii[atoms.numbers]
    ratios = graph.distances / (radii[graph.senders] + radii[graph.receivers])
    return float(ratios.min(initial=1.0)) if np.isfinite(atoms.positions).all() else 0.0


def label(folder: Path, name: str, runs: list[Run], teacher: Path, model: str) -> None:
    """Have frames labelled by two teachers side by side, and keep them in the folder."""
    halves = []
    for k in (0, 1):
        source = folder / f"{name}_{k}.asked.extxyz"
        frames = []
        for cell, atoms in runs[k::2]:
            atoms.info["cell_index"] = cell
            frames.append(atoms)
        write(source, frames, columns=["symbols", "positions"])
        command = [str(teacher), str(Path(__file__).parent / "label.py"), model, str(source)]
        halves.append(subprocess.Popen([*command, str(folder / f"{name}_{k}.part.extxyz")]))
    if any(half.wait() for half in halves):
        raise RuntimeError("A teacher failed; see above.")
    found = [atoms for k in (0, 1) for atoms in read(folder / f"{name}_{k}.part.extxyz", ":")]
    write(folder / f"{name}.extxyz", found)


def gather(folder: Path) -> dict[str, Frames]:
    """Return all labels by their cell; exploded frames teach nothing."""
    images: dict[str, list[Atoms]] = defaultdict(list)
    for path in sorted(folder.glob("round_?.extxyz")):
        for atoms in read(path, ":"):
            if np.linalg.norm(atoms.get_forces(), axis=1).max() < FORCE_CAP:
                images[f"cell_{atoms.info['cell_index']:03d}"].append(atoms)
    return {name: Frames.from_ase(those) for name, those in images.items()}


def isolated(runs: dict[str, Frames]) -> dict[str, float]:
    """Return energies of atoms by which compositions explain most, eV: no teacher of solids knows an isolated atom."""
    counts = [[run.symbols.count(symbol) for symbol in ELEMENTS] for run in runs.values() for _ in range(len(run))]
    energies = np.concatenate([np.asarray(run.energies) for run in runs.values()])
    weights = 1 / np.sum(counts, axis=1)
    found = np.linalg.lstsq(np.array(counts) * weights[:, None], energies * weights, rcond=None)[0]
    return dict(zip(ELEMENTS, found.tolist(), strict=True))


def teach(folder: Path, runs: dict[str, Frames], settings: Figures, champion: list[Path]) -> Figures:
    """Train on all labels but one in `HELD_OUT`, and as many that validate."""
    taken, n = [], 0
    for name, run in runs.items():
        for row in range(len(run)):
            part = {HELD_OUT // 2: "valid", HELD_OUT - 1: "held_out"}.get(n % HELD_OUT, "train")
            taken.append(Taken(name, row, part))
            n += 1
    given = {"batch_size": 4, "force_cap": FORCE_CAP, "elements": list(ELEMENTS)} | settings
    return learn_from(folder, runs, taken, given, champion, isolated(runs))


def rounds(folder: Path, n_rounds: int, teacher: Path, model: str, cells: list[Atoms]) -> None:
    """Label, train and explore."""
    ends = list(enumerate(cells))
    if not (folder / "round_0.extxyz").exists():
        made = [
            (i, frames.to_ase()[k])
            for i, atoms in ends
            for frames in [_distorted(atoms, i)]
            for k in range(len(frames))
        ]
        label(folder, "round_0", made, teacher, model)
    for r in range(1, n_rounds + 1):
        student, settings = folder / f"student_{r}", {"steps_first": 1200, "steps_per_round": 800}
        if not (student / "results.json").exists():
            champion = [folder / f"student_{r - 1}/member_0.model"] if r > 1 else []
            told = teach(student, gather(folder), settings, champion)
            print(f"student {r}:", json.dumps(told.get("examination", told.get("report", {})))[:400], flush=True)
        if (folder / f"round_{r}.extxyz").exists():
            continue
        given = [
            (student / "member_0.model", i, atoms, TEMPERATURES[(i + r + 2 * k) % 4], 1000 * r + 2 * i + k)
            for i, atoms in ends
            for k in range(2 if len(atoms) > 70 else 1)
        ]
        found = [frame for run in each(explore, given, 2) for frame in run]
        label(folder, f"round_{r}", found, teacher, model)


def _distorted(atoms: Atoms, seed: int) -> Frames:
    return distort(Frames.from_ase([atoms]), DISTORTIONS, seed)[0]


def main(argv: list[str] | None = None) -> None:
    """Make it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--teacher", type=Path, required=True, help="Python of the environment with sevenn.")
    parser.add_argument("--model", default="7net-0")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--channels", type=int, default=16)
    parser.add_argument("--steps", type=int, default=8000)
    parser.add_argument("--quick", action="store_true", help="Three cells and few steps: whether it runs.")
    given: Any = parser.parse_args(argv)
    warnings.filterwarnings("ignore")
    given.folder.mkdir(parents=True, exist_ok=True)
    cells = starts(seed=1)
    if given.quick:
        cells = cells[:3]
    rounds(given.folder, given.rounds, given.teacher, given.model, cells)
    settings = {"num_channels": given.channels, "steps_first": given.steps, "n_committee": 2, "n_parallel": 2}
    final = given.folder / f"final_{given.channels}"
    told = teach(final, gather(given.folder), settings, [])
    models = [torch.load(final / f"member_{i}.model", weights_only=False) for i in (0, 1)]
    made_with = LearnerSettings.from_dict(settings)
    pack(models, made_with, f"{given.model} of sevenn 0.13, distilled", given.folder / "start_potential.npz")
    print(json.dumps({key: told[key] for key in told if key not in ("trained_on",)}, default=str))


if __name__ == "__main__":
    sys.exit(main())
