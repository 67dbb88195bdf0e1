"""Milliseconds a step in LAMMPS, watched, against the bare model, at 100, 1,000 and 10,000 atoms in float32.

    python tests/benchmarks/md_speed.py [--quick | --gpu]

A step is one of `haml-lammps` in a stretch: neighbours, the driving member, velocity Verlet and thermostat, files,
and the watch of a committee of two, of which the second is asked every tenth step. The bare model is the forward and
backward pass of MACE alone on a graph that is already there. Both are CPU time of one thread, which other work on the
machine disturbs least, without loading and the first steps. The share of the watch is of the wall time in the
callback. Beside it stand the bytes of a saved frame.

The last line is a JSON object; the exit code is 1 where an aim is missed: a step within 1.5 times the bare model in
all, and forces within 1e-4 eV / Angstrom of MACE's own calculator in float64. --quick leaves out 10,000 atoms; --gpu
runs on the GPU, 100,000 atoms too: the process waits for it at work, so that its CPU time is again that of a step.
"""

import argparse
import dataclasses
import json
import os
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"  # spinning threads on shared cores would be what is measured
if "--gpu" not in sys.argv:
    os.environ["CUDA_VISIBLE_DEVICES"] = ""
sys.path.insert(0, str(Path(__file__).parents[2]))

import torch
from _stretch import run_stretch
from ase.build import bulk
from mace.tools.torch_tools import default_dtype

from aiida_haml.engines.lammps_driver import WARM_UP
from aiida_haml.engines.lammps_dump import TRAJECTORY, read_dump
from aiida_haml.engines.mace_forces import Graph, MaceModel, device
from aiida_haml.engines.watch import Thresholds
from aiida_haml.frames import Frames, maxwell_boltzmann
from tests.models import tiny_mace

RATIO_AIM = 1.5
PARITY_AIM = 1e-4
#: Atoms: repeats of a cell of eight, and steps to be timed.
SIZES = {96: ((3, 2, 2), 200), 1000: ((5, 5, 5), 60), 10648: ((11, 11, 11), 20)}
#: On a GPU.
LARGE = {97336: ((23, 23, 23), 20)}
#: As large as the models of the demonstration: 16 scalar channels, a cutoff of 5 Angstrom.
MODEL = {"channels": 16, "cutoff": 5.0, "dtype": "float32"}
#: All limits are watched and none is reached.
WATCH = Thresholds(
    every=10,
    max_deviation=1e3,
    max_temperature_K=1e5,
    max_kinetic_energy_eV=1e3,
    max_drift_eV_per_atom=1e3,
    max_pressure_GPa=1e4,
    min_distance_ratio=0.1,
)


def start(repeat: tuple[int, int, int]) -> Frames:
    """Return rattled LiCl at 300 K."""
    atoms = bulk("LiCl", "rocksalt", a=5.13, cubic=True) * repeat
    atoms.rattle(0.05, seed=1)
    frames = Frames.from_ase(atoms)
    return dataclasses.replace(frames, velocities=maxwell_boltzmann(frames.masses, 300.0, seed=1)[None])


def bare_ms(frames: Frames, model: Path, evaluations: int) -> float:
    """Return the CPU time of the model alone, on a graph that does not change, ms."""
    bound = MaceModel.load(model, frames.symbols)
    graph = Graph.within(bound.cutoff, frames.positions[0], frames.cells[0], frames.pbc)
    begun = 0.0
    wait = torch.cuda.synchronize if device() == "cuda" else lambda: None
    with default_dtype("float32"):
        inputs = bound.inputs(graph)
        for k in range(WARM_UP + evaluations):
            if k == WARM_UP:
                wait()
                begun = time.process_time()
            energy = bound.module(inputs, compute_force=False)["interaction_energy"].sum()
            torch.autograd.grad(energy, inputs["shifts"])
        wait()
    return 1e3 * (time.process_time() - begun) / evaluations


def measure(repeat: tuple[int, int, int], steps: int, folder: Path) -> dict[str, float]:
    """Compare a stretch with the bare model for one cell."""
    folder.mkdir()
    models = [tiny_mace(folder / f"member_{seed}.model", ["Cl", "Li"], seed, **MODEL) for seed in range(2)]
    frames = start(repeat)
    results = run_stretch(
        folder / "run",
        frames,
        models,
        WATCH,
        steps=steps + WARM_UP,
        timestep_fs=1.0,
        temperature_K=300.0,
        thermostat_time_fs=100.0,
        seed=1,
        save_every=10,
    )
    bare = bare_ms(frames, models[0], max(steps // 4, 4))
    step = 1e3 * results["cpu_s_per_step"]
    trajectory = folder / "run" / TRAJECTORY
    saved = len(list(read_dump(trajectory, frames.n_atoms)))
    return {
        "step_ms": round(step, 2),
        "bare_ms": round(bare, 2),
        "ratio": round(step / bare, 3),
        "watch_share": round(results["watch_s"] / (results["watch_s"] + results["forces_s"]), 3),
        "force_difference": results["parity"]["force_eV_per_A"],
        "bytes_per_atom_and_frame": round(trajectory.stat().st_size / saved / frames.n_atoms, 1),
    }


def main() -> None:
    """Measure, print, and compare with the aims."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="without the largest cell")
    parser.add_argument("--gpu", action="store_true", help="on the GPU")
    given = parser.parse_args()
    if given.gpu and device() != "cuda":
        parser.error("torch sees no GPU here")
    warnings.filterwarnings("ignore")
    results: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as scratch:
        for n_atoms, (repeat, steps) in (SIZES | (LARGE if given.gpu else {})).items():
            if given.quick and n_atoms > 1000:
                continue
            results[str(n_atoms)] = measure(repeat, steps, Path(scratch) / str(n_atoms))
            print(n_atoms, results[str(n_atoms)], flush=True)
    missed = [f"{n}: ratio" for n, figures in results.items() if not figures["ratio"] <= RATIO_AIM]
    missed += [f"{n}: force_difference" for n, x in results.items() if not x["force_difference"] < PARITY_AIM]
    where = torch.cuda.get_device_name() if given.gpu else "cpu, one thread"
    print(json.dumps({"device": where, "results": results, "aims_missed": missed}))
    sys.exit(1 if missed else 0)


if __name__ == "__main__":
    main()
