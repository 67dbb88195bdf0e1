"""Does the hybrid trajectory tell AIMD's story? Uninterrupted dynamics and HAML from the same start, side by side.

The level is `chgnet` (a universal potential that reacts; its weights lie in the wheel of `chgnet`), the cell 100 atoms
of Li | Li6PS5Cl(100) with six planes of lithium, relaxed, at 300 K (CSVR, 50 fs; 1 fs a step), pristine and with a
quarter of the sulfur on 16e, one PS4 unit, replaced by oxygen; a seed draws velocities and noise. `reactive.py` asks
also for the same unit with selenium, and for fluorine in place of one chlorine of four.

    python tests/benchmarks/fidelity.py cell NAME                   make a doped cell of the pristine one
    python tests/benchmarks/fidelity.py direct NAME SEED [--ps 5]   uninterrupted, with ASE: 20 minutes of one core
    python tests/benchmarks/fidelity.py haml NAME SEED [--ps 5] [--foundation start]
                                                                    in rounds, with the daemon, everything recorded; the
                                                                    runs that are kept began with the start potential
    python tests/benchmarks/fidelity.py compare [--figure FILE]     of what lies under data/, with the aims

Each run leaves ``data/fidelity_NAME_SEED_HOW.npz``: positions every 50 fs, temperature and potential energy every
10 fs, and what it cost. The last line is a JSON object; ``compare`` exits with 1 where an aim is missed: temperature,
P-S bonds, energy and g(r) of HAML as near to a direct run as direct runs of other seeds are to each other, labels under
3 % of the steps, and no step hotter than 1.5 times the target unless a direct run is as hot.
"""

import argparse
import json
import os
import sys
import time
import warnings
from itertools import combinations, combinations_with_replacement
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"
sys.path.insert(0, str(Path(__file__).parents[2]))

import numpy as np
from _lessons import finish
from ase import Atoms, units
from ase.io import read, write

from aiida_haml.arrays import FloatArray
from aiida_haml.frames import Frames, maxwell_boltzmann

DATA = Path(__file__).parent / "data"
TEMPERATURE, RELAXATION_FS = 300.0, 50.0
#: Steps between stored positions, and between stored temperatures and energies.
SPARSE, DENSE = 50, 10
#: A sulfur or oxygen within this distance of a phosphorus is bonded to it, Angstrom.
BOND = 2.6
#: Of g(r): the widest distance, and the width of a bin, Angstrom.
REACH, BIN = 4.9, 0.1
MAX_LABELS, MAX_HEATING = 0.03, 1.5
#: Of what is drawn, in strides of `DENSE`: a tenth of a picosecond.
WINDOW = 10

Run = dict[str, Any]
#: Atoms of the pristine cell that a dopant replaces.
DOPED = {"Se": (28, 29, 30, 31), "F": (48,)}
CELLS = ("pristine", "O", *DOPED)


def cell(name: str) -> Run:
    """Replace atoms of the pristine cell, let them find their places, and store that.

    The rest stays where it is: all atoms free, the cell reacts on its way downhill.
    """
    from ase.constraints import FixAtoms
    from ase.optimize import LBFGS
    from chgnet.model.dynamics import CHGNetCalculator

    atoms = read(DATA / "fidelity_start_pristine.extxyz")
    atoms.symbols[list(DOPED[name])] = name
    atoms.calc = CHGNetCalculator(use_device="cpu", verbose=False)
    atoms.set_constraint(FixAtoms(np.setdiff1d(np.arange(len(atoms)), DOPED[name])))
    relaxation = LBFGS(atoms, logfile=None)
    relaxation.run(fmax=0.1, steps=200)
    force = float(np.linalg.norm(atoms.get_forces(), axis=1).max())
    atoms.calc, atoms.constraints = None, []
    write(DATA / f"fidelity_start_{name}.extxyz", atoms, columns=["symbols", "positions"])
    return {"told": {"steps": relaxation.nsteps, "largest_force_eV_A": force}}


def start(name: str, seed: int) -> Frames:
    """Return the relaxed cell, with velocities of a seed."""
    atoms = read(DATA / f"fidelity_start_{name}.extxyz")
    velocities = maxwell_boltzmann(atoms.get_masses(), TEMPERATURE, seed)
    return Frames(
        atoms.numbers,
        atoms.positions[None],
        np.asarray(atoms.cell)[None],
        np.ones(3, bool),
        velocities=velocities[None],
    )


# -- the two ways ------------------------------------------------------------------------------------------


def direct(name: str, seed: int, ps: float, device: str = "cpu") -> Run:
    """Run without interruption, in ASE."""
    from ase.md.bussi import Bussi
    from chgnet.model.dynamics import CHGNetCalculator

    first = start(name, seed)
    atoms = first.to_ase()[0]
    atoms.calc = CHGNetCalculator(use_device=device, verbose=False)
    noise = np.random.RandomState(seed)
    dynamics = Bussi(atoms, units.fs, TEMPERATURE, taut=RELAXATION_FS * units.fs, rng=noise)
    positions, temperatures, energies = [], [], []
    began = time.perf_counter()
    for i in range(round(1000 * ps / DENSE) + 1):
        if i:
            dynamics.run(DENSE)
        temperatures.append(atoms.get_temperature())
        energies.append(atoms.get_potential_energy())
        if i * DENSE % SPARSE == 0:
            positions.append(atoms.positions.copy())
    told = {"wall_time_s": time.perf_counter() - began, "labels": round(1000 * ps), "steps": round(1000 * ps)}
    told["device"] = device
    return {"positions": positions, "temperatures": temperatures, "energies": energies, "told": told}


def haml(
    name: str,
    seed: int,
    ps: float,
    champion: Path | None = None,
    foundation: str | None = None,
    level: str = "chgnet",
    role: str = "engine",
) -> Run:
    """Run in rounds, under provenance; keep the last champion's models and the last frame in a folder, if wanted.

    With a foundation of ``start`` the first training begins with the package's start potential, of another level.
    """
    from _workplace import wait_for, workplace

    with workplace():
        from aiida.engine import submit

        from aiida_haml.codes import find_code
        from aiida_haml.data.frames import FramesData
        from aiida_haml.queries import audit, cost
        from aiida_haml.starts import foundation_from
        from aiida_haml.workchains.hybrid import HybridWorkChain

        codes = {"label": find_code(role, None), **{name: find_code(name, None) for name in ("engine", "lammps")}}
        overrides = {
            "dynamics": {"thermostat_time_fs": RELAXATION_FS, "save_every": 5},
            "equilibration": {"relax_steps": 0, "warm_up_steps": 0},
            "hybrid": {"simulated_fs": 1000.0 * ps},
        }
        builder = HybridWorkChain.get_builder_from_protocol(
            FramesData(start(name, seed), kind="structure"), codes, level, "fast", overrides, TEMPERATURE, seed
        )
        if foundation is not None:
            builder.foundation = foundation_from(foundation)["foundation"]
        began = time.perf_counter()
        node = submit(builder)
        wait_for([node])
        wall = time.perf_counter() - began
        if "trajectories" not in node.outputs:
            raise RuntimeError(node.exit_message)
        line = node.outputs.trajectories.trajectory
        history = line.history.get_dict()
        segments = [line.segments[key].frames for key in sorted(line.segments)]
        report, account = audit(node), cost(node)
        told = {
            "wall_time_s": wall,
            "labels": history["n_labels"],
            "steps": round(history["simulated_fs"]),
            "foundation": foundation,
            "ended_because": history["ended_because"],
            "rounds": [
                {
                    key: entry[key]
                    for key in ("action", "advanced_fs", "n_labels", "force_rmse", "temperature_K", "reason")
                }
                | {
                    "learned": ((entry["learning"] or {}).get("verdict") or {}).get("reason"),
                    "planned": (entry["planned"] or {}).get("n_stretch"),
                    "watch": (entry["stretch"] or {}).get("reason"),
                }
                for entry in history["rounds"]
            ],
            "cuts_and_untraced": [report.n_cut, report.n_untraced],
            "cost": account.as_dict(),
        }
        if champion is not None:
            champion.mkdir(parents=True, exist_ok=True)
            write(champion / "start.extxyz", segments[-1].to_ase()[-1])
            for member in (models := node.outputs.potential.base.repository).list_object_names():
                (champion / member).write_bytes(models.get_object_content(member, "rb"))
    return sampled(segments) | {"told": told}


def sampled(segments: list[Frames]) -> Run:
    """Return positions, temperatures and energies of a time line at the strides of the direct run.

    Stretches begin where bursts end, at any step: of each stride the frame nearest in time stands for it.
    """
    times = np.concatenate([np.asarray(run.times) for run in segments])
    owners = [(run, i) for run in segments for i in range(len(run))]
    wanted = np.arange(0, times.max() + 0.5 * DENSE, DENSE)
    nearest = [owners[int(np.abs(times - moment).argmin())] for moment in wanted]
    if (worst := max(np.abs(times - moment).min() for moment in wanted)) > DENSE:
        raise RuntimeError(f"the time line has a hole of {worst:.0f} fs")
    return {
        "positions": [run.positions[i] for run, i in nearest[:: SPARSE // DENSE]],
        "temperatures": [float(run[i].temperatures()[0]) for run, i in nearest],
        "energies": [float(np.asarray(run.energies)[i]) for run, i in nearest],
    }


def store(run: Run, path: Path) -> None:
    """Write what a run left, small."""
    arrays = {
        "positions": np.asarray(run["positions"], dtype=np.float32),
        "temperatures": np.asarray(run["temperatures"], dtype=np.float32),
        "energies": np.asarray(run["energies"], dtype=np.float64),
        "told": np.array(json.dumps(run["told"], default=str)),
    }
    np.savez_compressed(path, **arrays)


# -- the comparison ----------------------------------------------------------------------------------------


def story(name: str, path: Path) -> Run:
    """Return the observables of a stored run."""
    atoms = read(DATA / f"fidelity_start_{name}.extxyz")
    with np.load(path) as file:
        positions, temperatures, energies = (
            file[key].astype(float) for key in ("positions", "temperatures", "energies")
        )
        told = json.loads(str(file["told"]))
    frames = [Atoms(atoms.numbers, p, cell=atoms.cell, pbc=True) for p in positions]
    half = len(temperatures) // 5  # the first picosecond of five belongs to the reaction
    return {
        "temperatures": temperatures,
        "temperature_K": float(temperatures[half:].mean()),
        "temperature_std_K": float(temperatures[half:].std()),
        "temperature_std_chance_K": chance(temperatures[half:]),
        "temperature_max_K": float(temperatures.max()),
        "bonds": np.array([bonds(frame) for frame in frames], dtype=float),
        "energy_per_atom": energies / len(atoms),
        "gr": pair_distributions(frames[len(frames) // 2 :]),
        "told": told,
    }


def chance(temperatures: FloatArray, n_blocks: int = 10) -> float:
    """Return the standard error of the standard deviation of a run's temperatures, by a jackknife over blocks, K."""
    blocks = np.array_split(temperatures, n_blocks)
    without = np.array([np.concatenate(blocks[:i] + blocks[i + 1 :]).std() for i in range(n_blocks)])
    return float(np.sqrt((n_blocks - 1) * without.var()))


def stories(name: str, how: str) -> dict[str, Run]:
    """Return the stored runs of a cell by seed."""
    paths = sorted(DATA.glob(f"fidelity_{name}_*_{how}.npz"))
    return {path.stem.split("_")[2]: story(name, path) for path in paths}


def bonds(atoms: Atoms) -> int:
    """Return the number of P-S, P-O and P-Se bonds."""
    phosphorus = np.flatnonzero(atoms.numbers == 15)
    corners = np.flatnonzero(np.isin(atoms.numbers, (8, 16, 34)))
    return int((atoms.get_all_distances(mic=True)[np.ix_(phosphorus, corners)] < BOND).sum())


def pair_distributions(frames: list[Atoms]) -> dict[str, FloatArray]:
    """Return g(r) of each pair of elements up to `REACH`, averaged over frames."""
    edges = np.arange(0.0, REACH + BIN, BIN)
    shells = 4.0 / 3.0 * np.pi * (edges[1:] ** 3 - edges[:-1] ** 3)
    symbols = sorted(set(frames[0].get_chemical_symbols()))
    found = {f"{a}-{b}": np.zeros(len(shells)) for a, b in combinations_with_replacement(symbols, 2)}
    for atoms in frames:
        distances = atoms.get_all_distances(mic=True)
        names = np.array(atoms.get_chemical_symbols())
        for pair, histogram in found.items():
            a, b = pair.split("-")
            i, j = np.flatnonzero(names == a), np.flatnonzero(names == b)
            between = distances[np.ix_(i, j)].ravel()
            counted = np.histogram(between[between > 1e-6], edges)[0]
            histogram += counted * atoms.get_volume() / (len(i) * len(j) * shells * len(frames))
    return found


def distances(a: Run, b: Run) -> dict[str, float]:
    """Return how far two runs are from each other in each observable."""
    n = min(len(a["bonds"]), len(b["bonds"]))
    m = min(len(a["energy_per_atom"]), len(b["energy_per_atom"]))
    pairs = [np.abs(a["gr"][pair] - b["gr"][pair]).mean() for pair in a["gr"]]
    return {
        "temperature_K": abs(a["temperature_K"] - b["temperature_K"]),
        "temperature_std_K": abs(a["temperature_std_K"] - b["temperature_std_K"]),
        "bonds": float(np.abs(a["bonds"][:n] - b["bonds"][:n]).mean()),
        "energy_meV_per_atom": 1e3 * float(np.abs(a["energy_per_atom"][:m] - b["energy_per_atom"][:m]).mean()),
        "gr": float(np.mean(pairs)),
    }


def compare(figure: Path | None) -> int:
    """Compare all stored runs, cell by cell."""
    figures: dict[str, Any] = {}
    missed: list[str] = []
    for name in ("pristine", "O"):
        runs = {how: stories(name, how) for how in ("direct", "haml")}
        if not runs["haml"] or not runs["direct"]:
            missed.append(f"{name}: {len(runs['direct'])} direct and {len(runs['haml'])} HAML runs are stored")
            continue
        figures[name], told = compared(name, runs)
        missed += told
        if figure is not None:
            draw(name, runs, figure.with_name(f"{figure.stem}_{name}{figure.suffix}"))
    return finish(figures, missed)


def compared(name: str, runs: dict[str, dict[str, Run]]) -> tuple[dict[str, Any], list[str]]:
    """Return how far each hybrid run of a cell is from the nearest direct one, and the aims that were missed."""
    direct_runs = list(runs["direct"].values())
    between = [distances(a, b) for a, b in combinations(direct_runs, 2)]
    scatter = {key: max(d[key] for d in between) for key in between[0]} if between else {}
    hottest = max([run["temperature_max_K"] for run in direct_runs] + [MAX_HEATING * TEMPERATURE])
    rows, missed = {}, []
    for seed, run in runs["haml"].items():
        nearest = {
            key: min(distances(run, other)[key] for other in direct_runs) for key in distances(run, direct_runs[0])
        }
        told = run["told"]
        share = told["labels"] / told["steps"]
        rows[seed] = {"nearest": nearest, "label_share": share, "hottest_K": run["temperature_max_K"], **_short(told)}
        rows[seed]["temperature_std_chance_K"] = [one["temperature_std_chance_K"] for one in (run, *direct_runs)]
        beyond = [key for key, value in nearest.items() if scatter and value > scatter[key]]
        missed += [f"{name} {seed}: {key} {nearest[key]:.3g} away, seeds {scatter[key]:.3g}" for key in beyond]
        if not scatter:
            missed.append(f"{name}: one direct run tells no scatter")
        if share > MAX_LABELS:
            missed.append(f"{name} {seed}: labels are {100 * share:.1f} % of the steps")
        if run["temperature_max_K"] > hottest:
            missed.append(f"{name} {seed}: {run['temperature_max_K']:.0f} K, the direct runs at most {hottest:.0f} K")
    means = {seed: run["temperature_K"] for seed, run in runs["direct"].items()}
    return {"scatter": scatter, "direct_mean_temperature_K": means, "haml": rows}, missed


def _short(told: dict[str, Any]) -> dict[str, Any]:
    return {
        key: told[key]
        for key in ("steps", "labels", "wall_time_s", "ended_because", "cuts_and_untraced")
        if key in told
    }


def draw(name: str, runs: dict[str, dict[str, Run]], path: Path) -> None:
    """Draw temperature, bonds and energy along time; uninterrupted runs grey, hybrid ones in colour."""
    import matplotlib.pyplot as plt

    plot, axes = plt.subplots(3, 1, figsize=(5.4, 5.6), sharex=True, layout="constrained")
    n_units = int(np.sum(read(DATA / f"fidelity_start_{name}.extxyz").numbers == 15))
    styles = {
        "direct": {"color": "0.55", "label": "uninterrupted, one seed each", "lw": 1.0},
        "haml": {"color": "#b2182b", "label": "HAML", "lw": 1.3, "zorder": 3},
    }
    for how, style in styles.items():
        for i, run in enumerate(runs[how].values()):
            style = style | ({"label": None} if i else {})
            dense = np.arange(len(run["temperatures"])) * DENSE / 1000
            axes[0].plot(dense, smooth(run["temperatures"]), **style)
            axes[1].plot(np.arange(len(run["bonds"])) * SPARSE / 1000, run["bonds"] / n_units, **style)
            axes[2].plot(dense, smooth(run["energy_per_atom"]), **style)
    axes[0].axhline(TEMPERATURE, color="k", lw=0.6, ls=":")
    for axis, text in zip(axes, ("temperature (K)", "bonds of each P", "energy (eV/atom)"), strict=True):
        axis.set_ylabel(text)
        axis.spines[["top", "right"]].set_visible(False)
    axes[0].legend(frameon=False, fontsize="small")
    axes[-1].set_xlabel("time (ps)")
    plot.savefig(path, dpi=130)
    plt.close(plot)


def smooth(values: FloatArray) -> FloatArray:
    """Return running means over `WINDOW` values: 100 atoms fluctuate by 24 K from one moment to the next."""
    window = min(WINDOW, len(values))
    counts = np.convolve(np.ones(len(values)), np.ones(window), "same")
    return np.convolve(values, np.ones(window), "same") / counts


def main(argv: list[str] | None = None) -> int:
    """Run, or compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("cell").add_argument("name", choices=tuple(DOPED))
    for how in ("direct", "haml"):
        command = commands.add_parser(how)
        command.add_argument("name", choices=CELLS)
        command.add_argument("seed", type=int)
        command.add_argument("--ps", type=float, default=5.0)
        if how == "direct":
            command.add_argument("--device", default="cpu", help="cpu or cuda")
        else:
            command.add_argument("--champion", type=Path, help="folder for the last potential, for `stability.py`")
            command.add_argument("--foundation", help="start, for the package's start potential")
        command.add_argument("--to", type=Path, default=DATA, help="folder for what the run leaves")
    commands.add_parser("compare").add_argument("--figure", type=Path)
    given = parser.parse_args(argv)
    warnings.filterwarnings("ignore")
    if given.command == "compare":
        return compare(given.figure)
    if given.command == "cell":
        return finish(cell(given.name)["told"], [])
    if given.command == "direct":
        run = direct(given.name, given.seed, given.ps, given.device)
    else:
        run = haml(given.name, given.seed, given.ps, given.champion, given.foundation)
    store(run, given.to / f"fidelity_{given.name}_{given.seed}_{given.command}.npz")
    return finish(run["told"], [])


if __name__ == "__main__":
    sys.exit(main())
