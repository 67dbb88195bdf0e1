"""The start potential that comes with the package: models are built of its numbers; nothing is unpickled."""

import json
import tempfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ase.data import chemical_symbols

from aiida_haml.engines.mace_batches import atomic_energies
from aiida_haml.engines.mace_network import network, write
from aiida_haml.engines.start_numbers import FILE, digest
from aiida_haml.learning.learner import LearnerSettings

#: What a model is made of, in the words of `LearnerSettings`; all is stored, as defaults may change.
_SIZE = (
    "num_channels", "max_L", "num_interactions", "correlation", "max_ell", "num_radial_basis", "r_max", "precision",
)  # fmt: skip


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
