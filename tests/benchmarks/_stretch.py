"""A stretch run by `haml-lammps` in a folder of its own, without AiiDA."""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from aiida_haml.engines import lammps_files
from aiida_haml.engines.lammps_files import Dynamics
from aiida_haml.engines.stretch import RESULTS, TASK, StretchTask
from aiida_haml.engines.watch import Thresholds
from aiida_haml.frames import Frames


def run_stretch(
    folder: Path, start: Frames, models: list[Path], watch: Thresholds, precision: str = "float32", **md: Any
) -> dict[str, Any]:
    """Run a stretch and return its ``results.json``.

    Parameters
    ----------
    folder : Path
        Made for it.
    start : Frames
        One frame with velocities.
    models : list of Path
        The committee; the first one drives.
    watch : Thresholds
    precision : str
    **md
        ``steps``, ``timestep_fs``, ``temperature_K``, ``thermostat_time_fs``, ``seed``, ``save_every``.
    """
    folder.mkdir(parents=True)
    hashes = {}
    for i, path in enumerate(models):
        content = path.read_bytes()
        hashes[f"member_{i}.model"] = hashlib.sha256(content).hexdigest()
        (folder / f"member_{i}.model").write_bytes(content)
    n_restarts = watch.n_restarts(md["save_every"], md["timestep_fs"])
    dynamics = Dynamics(**md, restart_every=watch.every, n_restarts=n_restarts)
    task = StretchTask(hashes, start.elements, start.n_atoms, dynamics.steps, dynamics.timestep_fs, watch, precision)
    task.write(folder / TASK)
    (folder / lammps_files.STRUCTURE).write_text(lammps_files.data_file(start))
    (folder / "input.in").write_text(lammps_files.deck(start.elements, "member_0.model", dynamics))
    program = str(Path(sys.executable).parent / "haml-lammps")
    command = [program, "-in", "input.in", "-log", lammps_files.LOG, "-screen", "none"]
    environment = {"OMP_NUM_THREADS": "1", **os.environ}
    subprocess.run(command, cwd=folder, env=environment, check=False, capture_output=True)
    return json.loads((folder / RESULTS).read_text())
