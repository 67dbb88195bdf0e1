"""How many runs of a potential end as they should, and how well they conserve their energy.

    python tests/benchmarks/stability.py --potential member_0.model [member_1.model ...] --start start.extxyz
        [--runs 20] [--ps 10] [--temperatures 300 600] [--jobs 2] [--keep FOLDER] [--quick]

Each run is a stretch of `haml-lammps` in float32 from the last frame of the start, with velocities and a thermostat of
its own seed. It has survived if it did all its steps: no atoms closer than 0.6 of their covalent radii, no temperature
above twice that of the thermostat (interfaces react, and heat), no drift of the conserved energy above
0.02 eV / atom, nothing lost and nothing infinite. Of a committee, the deviations are recorded and end nothing. The
model files are loaded, which runs what is in them.

--quick takes two short runs at each temperature; without a potential, of a small model with random weights on LiCl,
which shows that the script runs and nothing else. The last line is a JSON object; the exit code is 1 where an aim is
missed: all runs survive, and no run drifts by more than 1 meV / atom / ps.
"""

import argparse
import dataclasses
import json
import sys
import tempfile
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

import ase.io
import numpy as np
from _stretch import run_stretch
from ase.build import bulk

from aiida_haml.engines.records import read_records
from aiida_haml.engines.stretch import CHECKS
from aiida_haml.engines.watch import Thresholds
from aiida_haml.frames import Frames, maxwell_boltzmann
from tests.models import tiny_mace

DRIFT_AIM = 1e-3
TIMESTEP_FS = 1.0
MAX_HEATING = 2.0


def run(start: Frames, models: list[Path], temperature: float, seed: int, ps: float, folder: Path) -> dict[str, Any]:
    """Run once and return how it went."""
    velocities = maxwell_boltzmann(start.masses, temperature, seed)
    watch = Thresholds(
        every=20,
        max_temperature_K=MAX_HEATING * temperature,
        max_drift_eV_per_atom=0.02,
        min_distance_ratio=0.6,
        max_deviation=None,
    )
    results = run_stretch(
        folder,
        dataclasses.replace(start, velocities=velocities[None]),
        models,
        watch,
        steps=round(1000 * ps / TIMESTEP_FS),
        timestep_fs=TIMESTEP_FS,
        temperature_K=temperature,
        thermostat_time_fs=50.0,
        seed=seed,
        save_every=100,
    )
    checks = read_records(folder / CHECKS)
    times = checks["step"] * TIMESTEP_FS / 1000
    slope = float(np.polyfit(times, checks["drift"], 1)[0]) if len(checks) > 2 else None
    known = checks["deviation"][np.isfinite(checks["deviation"])]
    return {
        "temperature_K": temperature,
        "seed": seed,
        "survived": results["stopped_by"] is None,
        "stopped_by": results["stopped_by"],
        "simulated_ps": results["steps_done"] * TIMESTEP_FS / 1000,
        "drift_eV_per_atom_per_ps": slope,
        "temperature_mean_K": float(checks["temperature"].mean()),
        "temperature_max_K": float(checks["temperature"].max()),
        "deviation_max": float(known.max()) if len(known) else None,
    }


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--potential", type=Path, nargs="+", help="model files; the first one drives")
    parser.add_argument("--start", type=Path, help="anything that ASE reads; the last frame counts")
    parser.add_argument("--runs", type=int, default=20, help="at each temperature")
    parser.add_argument("--ps", type=float, default=10.0)
    parser.add_argument("--temperatures", type=float, nargs="+", default=[300.0, 600.0])
    parser.add_argument("--jobs", type=int, default=1, help="at a time, one thread each")
    parser.add_argument("--keep", type=Path, help="folder for the runs; else they are deleted")
    parser.add_argument("--quick", action="store_true")
    given = parser.parse_args()
    if (given.potential is None) != (given.start is None) or (given.potential is None and not given.quick):
        parser.error("give --potential and --start, or --quick without both")
    return given


def subject(given: argparse.Namespace, folder: Path) -> tuple[Frames, list[Path]]:
    """Return the start and the model files."""
    if given.potential is None:
        atoms = bulk("LiCl", "rocksalt", a=5.13, cubic=True) * (2, 2, 2)
        return Frames.from_ase(atoms), [tiny_mace(folder / "quick.model", ["Cl", "Li"], scale=1.0)]
    atoms = ase.io.read(given.start, index=-1)
    atoms.pbc = True
    return Frames.from_ase(atoms), given.potential


def main() -> None:
    """Run, print, and compare with the aims."""
    warnings.filterwarnings("ignore")
    given = arguments()
    runs, ps = (2, 0.04) if given.quick else (given.runs, given.ps)
    with tempfile.TemporaryDirectory() as scratch, ThreadPoolExecutor(given.jobs) as pool:
        folder = given.keep or Path(scratch)
        start, models = subject(given, Path(scratch))
        jobs = [
            pool.submit(run, start, models, t, seed, ps, folder / f"{t:g}K_{seed:03d}")
            for t in given.temperatures
            for seed in range(1, runs + 1)
        ]
        rows = []
        for job in jobs:
            rows.append(job.result())
            print(rows[-1], flush=True)
    survived = sum(row["survived"] for row in rows) / len(rows)
    drifts = [abs(row["drift_eV_per_atom_per_ps"]) for row in rows if row["drift_eV_per_atom_per_ps"] is not None]
    worst = max(drifts, default=None)
    met = survived == 1 and worst is not None and worst <= DRIFT_AIM
    figures = {"n_atoms": start.n_atoms, "ps": ps, "survived": survived, "worst_drift_eV_per_atom_per_ps": worst}
    print(json.dumps({**figures, "is_rehearsal": given.potential is None, "runs": rows, "met": met}))
    sys.exit(0 if met else 1)


if __name__ == "__main__":
    main()
