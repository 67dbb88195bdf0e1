"""The description of trajectories against the bare descriptor, over processes, in memory, and as a screen grows.

    python tests/benchmarks/throughput.py [--quick]

Speed is CPU time, which other work on the machine disturbs least, of interleaved repeats on the same frames. What
is compared is all that a description does (projection, phases, bonds, molecules, reactions, transport) with dscribe
alone, called once for each frame with all elements of the settings, as descriptors that can be compared between
dopings need; beside it, dscribe with the elements present alone, which a description calls. A description learns its
cell's own references first, whatever its length: what that takes (`once_s`), and the ratio without it, stand beside.
Two processes are compared with one by what they would take on two free cores: the CPU time of the first process and
half of that of the two that it starts; the wall time, which says this on an idle machine alone, stands beside it.
Memory is the peak of a child process, as Linux tells it.

A screen of fifty is one description fifty times over, with noise. What one more candidate costs is its
description and the clustering of all; what the whole costs is fifty-one descriptions and that clustering.

The last line is a JSON object; the exit code is 1 where an aim is missed.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"  # spinning threads on shared cores would be what is measured
sys.path.insert(0, str(Path(__file__).parents[2]))

import numpy as np
from ase import Atoms
from threadpoolctl import threadpool_limits

from aiida_haml.analysis.compare.clusters import Described, find_clusters
from aiida_haml.analysis.description import Description, describe_batch
from aiida_haml.analysis.environments.basis import Basis, make_basis, reference_environments
from aiida_haml.analysis.environments.soap import soap
from aiida_haml.analysis.settings import DescriptionSettings, RankingSettings
from aiida_haml.frames import Frames
from aiida_haml.structures import crystals

#: Bare descriptor over description: 1 is no cost at all beyond the descriptor.
SPEED_AIM = 0.9
#: Time of one process over that of two.
SCALING_AIM = 1.7
MEMORY_AIM_GB = 2.0
#: Cost of one more candidate over that of a screen of fifty and it.
GROWTH_AIM = 0.05
SETTINGS = DescriptionSettings(every_fs=0)
CANDIDATES = 50


def interface(n_frames: int, repeat: int = 1) -> Frames:
    """Return argyrodite against lithium (106 atoms for each repeat), wandering off its sites."""
    electrolyte, metal = crystals.argyrodite(), crystals.lithium() * (3, 3, 3)
    metal.set_cell([*electrolyte.cell.lengths()[:2], metal.cell.lengths()[2]], scale_atoms=True)
    metal.positions[:, 2] += electrolyte.cell.lengths()[2] + 1.2
    both = Atoms([*electrolyte.symbols, *metal.symbols], np.concatenate([electrolyte.positions, metal.positions]))
    both.set_cell([*electrolyte.cell.lengths()[:2], electrolyte.cell.lengths()[2] + metal.cell.lengths()[2] + 2.0])
    both.pbc = True
    atoms = both * (repeat, 1, 1)
    # Up to 0.4 Angstrom off the sites in two modes that beat: no two frames are alike, and no atom drifts away.
    rng = np.random.default_rng(0)
    modes = 0.2 * rng.standard_normal((2, len(atoms), 3))
    times = 2.0 * np.arange(n_frames, dtype=np.float64)
    waves = np.stack([np.sin(times / 31.0), np.cos(times / 47.0)])
    positions = atoms.positions + np.einsum("mf,mni->fni", waves, modes)
    cells = np.repeat(atoms.cell.array[None], n_frames, axis=0)
    return Frames(atoms.numbers, positions, cells, atoms.pbc, times=times)


def bare_s(frames: Frames, elements: tuple[str, ...]) -> float:
    """Return the CPU time of dscribe alone, s."""
    descriptor = soap(replace(SETTINGS, elements=elements))
    images = [Atoms(frames.numbers, p, cell=frames.cells[0], pbc=True) for p in frames.positions]
    begun = time.process_time()
    for atoms in images:
        descriptor.create(atoms)
    return time.process_time() - begun


def description_s(frames: Frames, basis: Basis) -> tuple[float, Description]:
    """Return the CPU time of a description, s, and the description."""
    begun = time.process_time()
    made = describe_batch({"segment_000": frames}, basis)
    return time.process_time() - begun, made


def speed(frames: Frames, basis: Basis, repeats: int) -> dict[str, float]:
    """Compare a description with the bare descriptor."""
    with threadpool_limits(1):
        bare, present, whole = (
            min(times)
            for times in zip(
                *(
                    (bare_s(frames, SETTINGS.elements), bare_s(frames, tuple(frames.elements)),
                     description_s(frames, basis)[0])
                    for _ in range(repeats)
                ),
                strict=True,
            )
        )  # fmt: skip
        once = min(description_s(frames[:1], basis)[0] for _ in range(repeats))
    n = len(frames) * frames.n_atoms
    return {
        "atoms": frames.n_atoms,
        "environments": n,
        "us_per_environment": round(1e6 * whole / n, 2),
        "bare_us_per_environment": round(1e6 * bare / n, 2),
        "ratio": round(bare / whole, 3),
        "once_s": round(once, 2),
        "ratio_without_once": round(bare / (whole - once), 3),
        "ratio_elements_present": round(present / whole, 3),
    }


def scaling(frames: Frames, basis: Basis) -> dict[str, float]:
    """Compare one process with two: CPU time of this one, and half of that of the two."""
    found: dict[str, float] = {}
    for name, count in (("one", 1), ("two", 2)):
        begun, own, others = time.perf_counter(), time.process_time(), children_s()
        describe_batch({"segment_000": frames}, basis, n_workers=count)
        found[f"{name}_wall_s"] = time.perf_counter() - begun
        found[f"{name}_s"] = time.process_time() - own + (children_s() - others) / count
    found["ratio"] = found["one_s"] / found["two_s"]
    return {name: round(value, 3) for name, value in found.items()}


def children_s() -> float:
    """Return the CPU time of the processes that this one has started and that have ended, s."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def candidates(description: Description, count: int) -> list[Described]:
    """Return environments of many candidates: one description with noise."""
    environments, rng = description.environments, np.random.default_rng(1)
    shape = environments.projected.shape
    return [
        Described(
            f"{k:03d}",
            environments.projected + 0.01 * rng.standard_normal(shape, dtype=np.float32),
            environments.central,
            environments.phase,
            environments.state,
            environments.face,
            environments.frame,
            description.series["time"][environments.frame],
        )
        for k in range(count)
    ]


def references(basis: Basis) -> Described:
    """Return the environments of the reference phases, as the ranking takes them."""
    made = reference_environments(basis)
    nothing = np.zeros(len(made["reference_central"]), dtype=np.int8)
    named = (made[f"reference_{name}"] for name in ("projected", "central", "phase"))
    return Described("references", *named, nothing, nothing, nothing.astype(np.int32), nothing.astype(float))


def growth(frames: Frames, basis: Basis) -> dict[str, float]:
    """Compare the cost of one more candidate with that of the whole screen."""
    one_s, described = description_s(frames, basis)
    screen = candidates(described, CANDIDATES + 1)
    horizon = float(described.series["time"][-1])
    with threadpool_limits(1):
        begun = time.process_time()
        find_clusters(screen, references(basis), basis.names, [horizon] * len(screen), RankingSettings())
        cluster_s = time.process_time() - begun
    whole = (CANDIDATES + 1) * one_s + cluster_s
    return {
        "candidates": CANDIDATES + 1,
        "environments": (CANDIDATES + 1) * len(described.environments),
        "description_s": round(one_s, 2),
        "clusters_s": round(cluster_s, 2),
        "ratio": round((one_s + cluster_s) / whole, 4),
    }


def memory(environments: int) -> dict[str, float]:
    """Describe so many environments in a child process, cluster them, and return its peak, GB."""
    command = [sys.executable, __file__, "--child", str(environments)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return dict(json.loads(done.stdout.splitlines()[-1]))


def child(environments: int) -> None:
    """Describe and cluster, and say how much memory it took."""
    frames = interface(environments // 106)
    basis = make_basis(SETTINGS)
    described = describe_batch({"segment_000": frames}, basis)
    (one,) = candidates(described, 1)
    find_clusters([one], references(basis), basis.names, [float(one.time[-1])], RankingSettings())
    # Not ru_maxrss, in which a child begins with the peak of the process that started it.
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    peak = 1024 * int(lines["VmHWM"].split()[0]) / 1e9
    print(json.dumps({"environments": len(described.environments), "peak_GB": round(peak, 3)}))


def missed(results: dict[str, Any]) -> list[str]:
    """Return the names of the aims that are missed."""
    found = [name for name in ("speed_106", "speed_848") if results[name]["ratio"] < SPEED_AIM]
    if results["scaling"]["ratio"] < SCALING_AIM:
        found.append("scaling")
    if results["memory"]["peak_GB"] > MEMORY_AIM_GB:
        found.append("memory")
    if results["growth"]["ratio"] > GROWTH_AIM:
        found.append("growth")
    return found


def main() -> None:
    """Measure, print, and compare with the aims."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer frames and repeats; a tenth of the memory's test")
    parser.add_argument("--child", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        child(arguments.child)
        return
    quick = arguments.quick
    begun = time.process_time()
    basis = make_basis(SETTINGS)
    results: dict[str, Any] = {"basis_s": round(time.process_time() - begun, 2)}
    frames = {"speed_106": interface(60 if quick else 500), "speed_848": interface(8 if quick else 60, 8)}
    for name, cell in frames.items():
        results[name] = speed(cell, basis, 3 if quick else 5)
        print(name, results[name], flush=True)
    results["scaling"] = scaling(interface(400 if quick else 2000), basis)
    print("scaling", results["scaling"], flush=True)
    results["growth"] = growth(interface(1000), basis)
    print("growth", results["growth"], flush=True)
    results["memory"] = memory(100_000 if quick else 1_000_000)
    results["aims_missed"] = missed(results)
    print(json.dumps(results))
    sys.exit(1 if results["aims_missed"] else 0)


if __name__ == "__main__":
    main()
