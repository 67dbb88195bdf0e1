"""Many runs of frames in one file: what a job is given, whatever the number of labels."""

from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np

from aiida_haml.frames import Frames


def save_runs(path: Path | IO[bytes], runs: Mapping[str, Frames]) -> None:
    """Write runs of frames under their names."""
    arrays: dict[str, Any] = {
        f"{name}/{what}": array for name, run in runs.items() for what, array in run.arrays().items()
    }
    np.savez(path, **arrays)


def load_runs(path: Path) -> dict[str, Frames]:
    """Read what `save_runs` wrote; nothing where there is no file."""
    if not path.is_file():
        return {}
    gathered: dict[str, dict[str, np.ndarray]] = {}
    with np.load(path, allow_pickle=False) as file:
        for key in file.files:
            name, what = key.split("/")
            gathered.setdefault(name, {})[what] = file[key]
    return {name: Frames(**arrays) for name, arrays in gathered.items()}
