"""The LAMMPS launcher against ASE's MACECalculator: equality of the forces, and milliseconds a step.

Times are CPU time of one thread, which other work on the machine disturbs least, without loading and the
first steps.

    python tests/benchmarks/launcher.py [--quick]

The last line is a JSON object; the exit code is 1 where an aim is missed: forces within 1e-6 eV / Angstrom
(float64), and a step of dynamics within 1.5 times an evaluation by the bare calculator.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"  # spinning threads on shared cores would be what is measured
os.environ["CUDA_VISIBLE_DEVICES"] = ""  # CPU time says nothing of a GPU's
sys.path.insert(0, str(Path(__file__).parents[2]))

import numpy as np
from ase import Atoms
from ase.build import bulk

from aiida_haml.engines import lammps_files
from aiida_haml.frames import Frames, maxwell_boltzmann
from tests.models import tiny_mace

FORCE_AIM = 1e-6
RATIO_AIM = 1.5
SIZES = {"100": (3, 2, 2), "800": (5, 5, 4)}  # 96 and 800 atoms
#: Steps timed for each size, full and quick.
STEPS = {"100": (100, 40), "800": (30, 10)}
#: Evaluations before them, in which TorchScript still compiles the model; the launcher leaves out as many.
WARM_UP = 5
#: As large as the models of FACTS' table: 16 scalar channels, a cutoff of 5 Angstrom.
MODEL = {"channels": 16, "cutoff": 5.0}


def start(repeat: tuple[int, int, int]) -> Frames:
    """Return rattled LiCl at 300 K."""
    atoms = bulk("LiCl", "rocksalt", a=5.13, cubic=True) * repeat
    atoms.rattle(0.05, seed=1)
    frames = Frames.from_ase(atoms)
    return dataclasses.replace(frames, velocities=maxwell_boltzmann(frames.masses, 300.0, seed=1)[None])


def launcher_ms(frames: Frames, model: Path, folder: Path, steps: int) -> float:
    """Run the deck of a stretch with `haml-lammps` and return the CPU time of a step, ms."""
    dynamics = lammps_files.Dynamics(
        steps=steps, timestep_fs=1.0, temperature_K=300.0, thermostat_time_fs=100.0, seed=1, save_every=10
    )
    (folder / lammps_files.STRUCTURE).write_text(lammps_files.data_file(frames))
    (folder / lammps_files.DECK).write_text(lammps_files.deck(frames.elements, str(model), dynamics))
    program = Path(sys.executable).parent / "haml-lammps"
    command = [str(program), "-in", lammps_files.DECK, "-log", lammps_files.LOG, "-screen", "none"]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    return 1e3 * json.loads((folder / lammps_files.RESULTS).read_text())["cpu_s_per_step"]


def largest_difference(frames: Frames, folder: Path, calculator: Any) -> float:
    """Return the largest difference of a force component over all dumped frames, eV / Angstrom."""
    worst = 0.0
    for dump in lammps_files.read_dump(folder / lammps_files.TRAJECTORY, frames.n_atoms):
        atoms = Atoms(frames.numbers, dump.positions, cell=frames.cells[0], pbc=True)
        atoms.calc = calculator
        worst = max(worst, float(np.abs(atoms.get_forces() - dump.forces).max()))
    return worst


def bare_ms(frames: Frames, calculator: Any, evaluations: int) -> float:
    """Return the CPU time of an evaluation through ASE on moving atoms, ms."""
    atoms = frames.to_ase()[0]
    atoms.calc = calculator
    rng = np.random.default_rng(0)
    begun = 0.0
    for k in range(WARM_UP + evaluations):
        if k == WARM_UP:
            begun = time.process_time()
        atoms.positions += 1e-3 * rng.standard_normal(atoms.positions.shape)
        atoms.get_forces()
    return 1e3 * (time.process_time() - begun) / evaluations


def measure(precision: str, size: str, steps: int, folder: Path) -> dict[str, float]:
    """Compare launcher and calculator for one model and one cell."""
    from mace.calculators import MACECalculator
    from mace.tools.torch_tools import default_dtype

    folder.mkdir()
    model = tiny_mace(folder / "model", ["Cl", "Li"], dtype=precision, **MODEL)
    calculator = MACECalculator(model_paths=[str(model)], device="cpu", default_dtype=precision)
    frames = start(SIZES[size])
    # Some of MACE's constants are of the default type, whatever the model's.
    with default_dtype(precision):
        launcher = launcher_ms(frames, model, folder, steps)
        bare = bare_ms(frames, calculator, steps)
        difference = largest_difference(frames, folder, calculator)
    return {
        "atoms": frames.n_atoms,
        "launcher_ms_per_step": round(launcher, 2),
        "bare_ms_per_evaluation": round(bare, 2),
        "ratio": round(launcher / bare, 3),
        "force_difference": difference,
    }


def main() -> None:
    """Measure, print, and compare with the aims."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer steps; float64 only")
    quick = parser.parse_args().quick
    warnings.filterwarnings("ignore")
    results: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as scratch:
        for precision in ("float64",) if quick else ("float64", "float32"):
            for size in SIZES:
                name = f"{precision}_{size}"
                results[name] = measure(precision, size, STEPS[size][quick], Path(scratch) / name)
                print(name, results[name], flush=True)
    missed = [f"{name}: ratio" for name, figures in results.items() if not figures["ratio"] <= RATIO_AIM]
    missed += [
        f"{name}: force_difference"
        for name, figures in results.items()
        if name.startswith("float64") and not figures["force_difference"] < FORCE_AIM
    ]
    print(json.dumps({"results": results, "aims_missed": missed}))
    sys.exit(1 if missed else 0)


if __name__ == "__main__":
    main()
