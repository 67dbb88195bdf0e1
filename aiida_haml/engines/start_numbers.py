"""The numbers of the start potential that comes with the package, and what can be said of them without torch.

It knows the solids that are screened from a universal potential (``docs/reference/start_potential.md`` says what it saw
and how good it is), and saves a first training at another level of theory what is the same at every one.
"""

import hashlib
import io
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from aiida_haml.learning.learner import LearnerSettings

FILE = Path(__file__).with_name("start_potential.npz")


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
