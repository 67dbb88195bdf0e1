"""Labels of a reacting interface, and trainings on chosen ones of them: what the benchmarks of learning share.

``data/chgnet_interface.npz`` is 2 ps of AIMD with CHGNet 0.3.0 (a universal potential; its weights lie in the wheel of
`chgnet` 0.4.2) of the relaxed 68-atom Li | Li6PS5Cl cell at 300 K (CSVR, 50 fs, 1 fs a step, from Maxwell-Boltzmann):
every step up to 60 fs, every fifth one after. Forces in eV/A. It cost 2,000 evaluations, 10 minutes of one core. Of the
five PS4 units two to four lose sulfur on the way, most of them in the first 0.3 ps, when the cell heats to 530 K.
"""

import hashlib
import json
import resource
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from aiida_haml.engines.mace_learning import run
from aiida_haml.frames import Frames
from aiida_haml.learning.pool import configuration_keys
from aiida_haml.learning.runs import save_runs

DATA = Path(__file__).parent / "data"
#: Isolated atoms, eV; CHGNet has no use for them, so these are round numbers near its energies per atom.
ISOLATED = {"Li": -1.9, "P": -5.4, "S": -4.1, "Cl": -3.0}
#: A sulfur within this distance of a phosphorus is bonded to it, Angstrom.
BOND = 2.6

Figures = dict[str, Any]


def interface(name: str = "chgnet_interface") -> Frames:
    """Return all frames of a stored trajectory."""
    with np.load(DATA / f"{name}.npz") as file:
        n = len(file["times"])
        return Frames(
            numbers=file["numbers"],
            positions=file["positions"],
            cells=np.repeat(file["cell"][None], n, axis=0),
            pbc=np.ones(3, dtype=bool),
            times=file["times"],
            energies=file["energies"],
            forces=file["forces"],
        )


def reacting(frames: Frames) -> NDArray[np.bool_]:
    """Return (F, N): phosphorus that has not four corners (S, O or Se), and a corner that has no phosphorus."""
    phosphorus, corners = (np.flatnonzero(np.isin(frames.numbers, those)) for those in ((15,), (8, 16, 34)))
    found = np.zeros(frames.positions.shape[:2], dtype=bool)
    for f, atoms in enumerate(frames.to_ase()):
        distances = atoms.get_all_distances(mic=True)[np.ix_(phosphorus, corners)]
        bonded = distances < BOND
        found[f, phosphorus] = bonded.sum(axis=1) != 4
        found[f, corners] = ~bonded.any(axis=0)
    return found


class Taken(NamedTuple):
    """A frame that takes part in a training: of which run, which one, and as what."""

    run: str
    row: int
    part: str  # train, valid or held_out
    is_new: bool = True


def learn(
    folder: Path,
    frames: Frames,
    parts: Mapping[str, Sequence[int]],
    settings: Mapping[str, Any],
    champion: Sequence[Path] = (),
    old: Sequence[int] = (),
    isolated: Mapping[str, float] = ISOLATED,
) -> Figures:
    """Run one round's learning on chosen frames of one run, otherwise as `learn_from` does.

    Parameters
    ----------
    parts : mapping of str to sequence of int
        Frames that ``train``, ``valid`` and are ``held_out``.
    old : sequence of int
        Of the frames, those that the champion knows.
    """
    taken = [Taken("all", int(i), part, i not in set(old)) for part, chosen in parts.items() for i in chosen]
    return learn_from(folder, {"all": frames}, taken, settings, champion, isolated)


def learn_from(
    folder: Path,
    runs: Mapping[str, Frames],
    taken: Sequence[Taken],
    settings: Mapping[str, Any],
    champion: Sequence[Path] = (),
    isolated: Mapping[str, float] = ISOLATED,
    foundation: Sequence[Path] = (),
    starts: Mapping[str, Frames] | None = None,
) -> Figures:
    """Run one round's learning, and return its results and ``cpu_s``, the processor time it took.

    Parameters
    ----------
    folder : path
        Where the models go.
    runs : mapping of str to Frames
        Each is a candidate of its own.
    taken : sequence of Taken
    settings : mapping
        Fields of `LearnerSettings`.
    champion, foundation : sequence of path
        Models to go on from, of this level; and of another one, for a first training.
    isolated : mapping of str to float
        Energies of isolated atoms by element, eV.
    starts : mapping of str to Frames, optional
        Where a challenger runs hot from, and a first potential explores.
    """
    folder.mkdir(parents=True, exist_ok=True)
    save_runs(folder / "labels.npz", dict(runs))
    save_runs(folder / "tests.npz", {})
    save_runs(folder / "starts.npz", dict(starts or {}))
    keys = {name: configuration_keys(frames) for name, frames in runs.items()}
    entries = [
        {"key": keys[t.run][t.row], "source": t.run, "row": t.row, "part": t.part, "candidate": t.run, "new": t.is_new}
        for t in taken
    ]
    hashes = {
        role: [_copied(path, folder / role / f"member_{i}.model") for i, path in enumerate(models)] or None
        for role, models in (("champion", champion), ("foundation", foundation))
    }
    before = cpu_seconds()
    given = {"train": "always", "gate_steps": 0, "n_committee": 1, "device": "cpu"} | dict(settings)
    run(
        folder,
        {
            "settings": given,
            "entries": entries,
            "isolated_atoms": dict(isolated),
            "champion_sha256": hashes["champion"],
            "foundation_sha256": hashes["foundation"],
            "max_wall_time_s": None,
        },
    )
    results = json.loads((folder / "results.json").read_text())
    if "error" in results:
        raise RuntimeError(results["error"]["message"])
    return results | {"cpu_s": cpu_seconds() - before}


def _copied(source: Path, target: Path) -> str:
    """Copy a model to where a training looks for it, and return its hash."""
    content = Path(source).read_bytes()
    target.parent.mkdir(exist_ok=True)
    target.write_bytes(content)
    return hashlib.sha256(content).hexdigest()


def cpu_seconds() -> float:
    """Return the processor time of this process and of its children that have ended, s."""
    return sum(
        used.ru_utime + used.ru_stime
        for used in map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    )


def scratch() -> tempfile.TemporaryDirectory:
    """Return a folder that goes away."""
    return tempfile.TemporaryDirectory(prefix="haml-lessons-")


def finish(figures: Figures, missed: list[str]) -> int:
    """Print the figures as the last line; return 1 where an aim is missed."""
    print(json.dumps(figures | {"missed": missed}))
    return 1 if missed else 0
