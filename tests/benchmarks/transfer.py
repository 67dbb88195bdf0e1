"""How many labels does a doping need where the pristine interface is known, and any interface with the start potential?

Frames are those of `fidelity.py`'s uninterrupted runs, every 50 fs of 5 ps, labelled anew by CHGNet: the first seed's
are for labels, the second's for the examination, which no training sees. For each doping:

alone   potentials from scratch, on ever more selected labels of the doping
after   potentials that go on from one of the pristine interface, as a round does: the same labels, fewer of them, and a
        replay of the pristine ones. The doping's element has an isolated atom in it, and no label before.
begun   first potentials that begin with the package's start potential: for the pristine interface too. It was taught by
        another universal potential (SevenNet-0), on other cells.

    python tests/benchmarks/transfer.py [--quick] [--jobs N] [--device cuda] [--dopings O Se F]

The last line is a JSON object; the exit code is 1 where an aim is missed: after the pristine interface a quarter of
the labels, and with the start potential half of them, brings the reacting atoms to the error that the largest number
brings from scratch.
"""

import argparse
import os
import sys
import warnings
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

os.environ["OMP_NUM_THREADS"] = "1"
sys.path.insert(0, str(Path(__file__).parents[2]))

import numpy as np
from ase import Atoms
from ase.io import read
from numpy.typing import NDArray

from aiida_haml.engines.mace_start import write_models
from aiida_haml.frames import Frames
from tests.benchmarks._curves import each, force_errors, labels_for, rms, selected
from tests.benchmarks._lessons import DATA, Figures, Taken, finish, learn_from, scratch

DOPINGS = ("O", "Se", "F")
ELEMENTS = ("Cl", "F", "Li", "O", "P", "S", "Se")
#: Labels of a doping from scratch, and after the pristine interface; of the latter.
ALONE, AFTER, KNOWN = (12, 24, 48, 96), (3, 6, 12, 24, 48), 96
#: Share of the labels from scratch with which one that goes on, or begins, has to reach their error.
AIMS = {"after": 0.25, "begun": 0.5}
#: Of the second seed's frames one in so many is examined.
EVERY = 4


def calculator(device: str) -> Any:
    """Return the level of theory."""
    from chgnet.model.dynamics import CHGNetCalculator

    return CHGNetCalculator(use_device=device, verbose=False, on_isolated_atoms="ignore")


def isolated_atoms(device: str) -> dict[str, float]:
    """Return the energy of each element's atom in an empty cell, eV."""
    level = calculator(device)
    energies = {}
    for symbol in ELEMENTS:
        atom = Atoms(symbol, cell=[15.0] * 3, pbc=True)
        atom.calc = level
        energies[symbol] = float(atom.get_potential_energy())
    return energies


def labelled(name: str, seed: int, every: int, device: str) -> Frames:
    """Return frames of an uninterrupted run, with energies and forces."""
    level = calculator(device)
    atoms = read(DATA / f"fidelity_start_{name}.extxyz")
    images = []
    with np.load(DATA / f"fidelity_{name}_{seed}_direct.npz") as file:
        positions = file["positions"][::every].astype(float)
    for one in positions:
        image = Atoms(atoms.numbers, one, cell=atoms.cell, pbc=True)
        image.calc = level
        image.get_forces()
        images.append(image)
    return Frames(
        atoms.numbers,
        positions,
        np.repeat(np.asarray(atoms.cell)[None], len(images), axis=0),
        np.ones(3, dtype=bool),
        energies=np.array([image.get_potential_energy() for image in images]),
        forces=np.array([image.get_forces() for image in images]),
    )


def parts(name: str, chosen: NDArray[np.int64], is_new: bool) -> list[Taken]:
    """Return labels that train, and a sixth, two at least, that validate."""
    order = np.random.default_rng(1).permutation(chosen)
    n_valid = max(len(order) // 6, min(2, len(order) - 1))
    return [Taken(name, int(i), "valid" if k < n_valid else "train", is_new) for k, i in enumerate(order)]


class Training(NamedTuple):
    """A training to come: the labels of which runs, what it goes on from, where its model goes; `of` names it."""

    of: tuple[str, str, int]  # way, doping, number of labels
    taken: list[Taken]
    champion: list[Path]
    foundation: list[Path]
    model: Path


def train(training: Training, runs: dict[str, Frames], settings: Figures, isolated: Figures) -> None:
    """Train in a folder that goes away, and keep the model; the champion, where it stands."""
    used = {name: run for name, run in runs.items() if any(taken.run == name for taken in training.taken)}
    with scratch() as folder:
        learn_from(Path(folder), used, training.taken, settings, training.champion, isolated, training.foundation)
        challenger = Path(folder) / "member_0.model"
        training.model.write_bytes((challenger if challenger.exists() else training.champion[0]).read_bytes())


def plan(
    folder: Path, order: dict[str, NDArray[np.int64]], alone: Sequence[int], after: Sequence[int]
) -> tuple[list[Training], list[Training]]:
    """Return the trainings that need no pristine potential, and those that go on from it."""
    known = len(order["pristine"])
    replayed = [one._replace(is_new=False) for one in parts("pristine", order["pristine"], True)]
    start = write_models(folder)[:1]

    def training(way: str, name: str, n: int) -> Training:
        new = parts(name, order[name][:n], True)
        old, champion = (replayed, [folder / f"alone_pristine_{known}.model"]) if way == "after" else ([], [])
        foundation = start if way == "begun" else []
        return Training((way, name, n), old + new, champion, foundation, folder / f"{way}_{name}_{n}.model")

    dopings = [name for name in order if name != "pristine"]
    return (
        [training("alone", *pair) for pair in product(order, alone)]
        + [training("begun", *pair) for pair in product(order, after)],
        [training("after", *pair) for pair in product(dopings, after)],
    )


def share(curves: dict[str, dict[int, Figures]], way: str, what: str, n: int) -> float | None:
    """Return the share of n labels with which one that goes on has the error of n labels alone; None if never."""
    needed = labels_for(curves[way], what, curves["alone"][n][what])
    return round(needed / n, 3) if np.isfinite(needed) else None


def main(argv: list[str] | None = None) -> int:
    """Train the pristine potential, then all others."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="Few labels and steps: whether it runs.")
    parser.add_argument("--jobs", type=int, default=1, help="Trainings at a time, a core each.")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--dopings", nargs="+", choices=DOPINGS, default=DOPINGS)
    warnings.filterwarnings("ignore")
    given = parser.parse_args(argv)
    alone, after, known, every = ((4, 8), (3,), 8, 10) if given.quick else (ALONE, AFTER, KNOWN, 1)
    dopings = given.dopings[:1] if given.quick else given.dopings
    settings = {"seed": 1, "device": given.device} | ({"steps_first": 40, "steps_per_round": 20} if given.quick else {})
    isolated = isolated_atoms(given.device)
    frames = {name: labelled(name, 1, every, given.device) for name in ("pristine", *dopings)}
    examined = {name: labelled(name, 2, EVERY * every, given.device) for name in frames}
    order = {name: selected(run, np.arange(len(run)), min(known, len(run))) for name, run in frames.items()}
    print({name: len(run) for name, run in frames.items()}, flush=True)
    curves: dict[str, dict[str, dict[int, Figures]]] = {name: {} for name in frames}
    with scratch() as folder:
        first, later = plan(Path(folder), order, alone, after)
        for trainings in (first, later):
            each(train, [(one, frames, settings, isolated) for one in trainings], given.jobs)
        for way, name, n, model in ((*one.of, one.model) for one in [*first, *later]):
            curves[name].setdefault(way, {})[n] = force_errors(model, examined[name])
            print(name, way, n, curves[name][way][n], flush=True)
    shares = {
        way: {
            name: {what: share(found, way, what, alone[-1]) for what in ("all", "reacting")}
            for name, found in curves.items()
            if way in found
        }
        for way in AIMS
    }
    rms_force = {name: rms(np.square(run.forces).mean(axis=2)) for name, run in examined.items()}
    missed = [
        f"{name} {way}: {told['reacting'] or 'more than all those'} of the labels"
        for way, found in shares.items()
        for name, told in found.items()
        if told["reacting"] is None or told["reacting"] > AIMS[way]
    ]
    return finish({"curves": curves, "share": shares, "rms_force": rms_force}, [] if given.quick else missed)


if __name__ == "__main__":
    sys.exit(main())
