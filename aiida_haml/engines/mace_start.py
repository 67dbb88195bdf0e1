"""The start potential that comes with the package: numbers, of which models are built; nothing is unpickled.

It knows the solids that are screened from a universal potential (``docs/reference/start_potential.md`` says what it saw
and how good it is), and saves a first training at another level of theory what is the same at every one.
"""

from __future__ import annotations

import hashlib
import io
import json
import tempfile
import zipfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ase.data import chemical_symbols

from aiida_haml.engines.mace_batches import atomic_energies
from aiida_haml.engines.mace_network import network, write
from aiida_haml.learning.learner import LearnerSettings

FILE = Path(__file__).with_name("start_potential.npz")
#: What a model is made of, in the words of `LearnerSettings`; all is stored, as defaults may change.
_SIZE = (
    "num_channels", "max_L", "num_interactions", "correlation", "max_ell", "num_radial_basis", "r_max", "precision",
)  # fmt: skip


def facts(file: Path = FILE) -> dict[str, Any]:
    """Return what is said of the start potential.

    Returns
    -------
    dict
        ``elements`` that it knows, ``cutoff`` (Angstrom), ``precision``, ``n_members`` and ``level_of_theory``: of its
        labels.
    """
    with np.load(file) as stored:
        told: dict[str, Any] = json.loads(str(stored["facts"]))
    size = LearnerSettings.from_dict(told["size"])
    return {
        "elements": sorted(told["energies"][0]),
        "cutoff": size.r_max,
        "precision": size.precision,
        "n_members": len(told["energies"]),
        "level_of_theory": told["level_of_theory"],
    }


def write_models(folder: Path, file: Path = FILE) -> list[Path]:
    """Write each member as MACE reads it, and return the files."""
    with np.load(file) as stored:
        told = json.loads(str(stored["facts"]))
        size = LearnerSettings.from_dict(told["size"])
        paths = []
        for m, energies in enumerate(told["energies"]):
            model = network(size, energies, 0.0, told["neighbours"][m])
            state = model.state_dict()
            weights = {name: torch.as_tensor(stored[f"{m}/{name}"]).to(state[name].dtype) for name in state}
            model.load_state_dict(weights)
            paths.append(folder / f"member_{m}.model")
            write(model, paths[-1])
    return paths


def digest(content: bytes) -> str | None:
    """Return the SHA-256 of all numbers in a model file, without loading it; None if it is no such file.

    What torch writes around the numbers differs from one version to the next, and even within a process.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as file:
            names = [name for name in file.namelist() if "/data/" in name]
            numbers = [file.read(name) for name in sorted(names, key=lambda name: int(name.rpartition("/")[2]))]
    except (zipfile.BadZipFile, ValueError):
        return None
    return hashlib.sha256(b"".join(numbers)).hexdigest()


@cache
def digests() -> tuple[str | None, ...]:
    """Return the digest of each member's file."""
    with tempfile.TemporaryDirectory() as folder:
        return tuple(digest(path.read_bytes()) for path in write_models(Path(folder)))


def pack(models: Sequence[Any], settings: LearnerSettings, level_of_theory: str, file: Path) -> None:
    """Store models that `aiida_haml.engines.mace_network.network` has made.

    Parameters
    ----------
    models : sequence of torch.nn.Module
    settings : LearnerSettings
        With which they were made.
    level_of_theory : str
        In a few words.
    file : path
    """
    elements = [chemical_symbols[int(z)] for z in models[0].atomic_numbers]
    told = {
        "size": {name: getattr(settings, name) for name in _SIZE},
        "energies": [dict(zip(elements, atomic_energies(model).tolist(), strict=True)) for model in models],
        "neighbours": [float(model.interactions[0].avg_num_neighbors) for model in models],
        "level_of_theory": level_of_theory,
    }
    arrays = {
        f"{m}/{name}": tensor.numpy() for m, model in enumerate(models) for name, tensor in model.state_dict().items()
    }
    np.savez_compressed(file, facts=np.array(json.dumps(told)), **arrays)
