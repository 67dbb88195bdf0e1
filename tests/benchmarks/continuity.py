"""Is a hybrid trajectory the trajectory that one code alone would give, across its switches?

The level of theory and the potential are one and the same small MACE model (random weights, float64, on LiCl), so that
AIMD and stretch move on one surface, in two codes, and whatever differs is the fault of the handovers.

nve     without a thermostat: 10 switches against one uninterrupted run; positions, and the drift of the energy.
nvt     with the thermostat: mean and variance of the kinetic energy over 20 switches against the canonical ensemble,
        and that two seeds differ.
cp2k    the same of CP2K's own thermostat: 5,000 steps of an LiCl cell at gfn1-xtb, half of them with another seed.

    python tests/benchmarks/continuity.py [--quick]

The last line is a JSON object; the exit code is 1 where an aim is missed. --quick leaves CP2K out and takes short runs.
"""

import argparse
import itertools
import os
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"
sys.path.insert(0, str(Path(__file__).parents[2]))

import numpy as np
from _lessons import finish, scratch
from _workplace import SCRIPTS, bare_profile
from ase import units
from ase.build import bulk
from numpy.typing import NDArray

from aiida_haml.frames import Frames, maxwell_boltzmann
from tests.models import tiny_mace

TEMPERATURE = 300.0
#: Relaxation time of a thermostat that never acts, fs.
NEVER = 1e30
#: Largest difference of a position from the uninterrupted run's after all switches, Angstrom: single precision in a
#: cell of 10 Angstrom. LAMMPS's constants of its metal units have eight digits, so that forces act 6e-8 weaker there.
SAME_POSITION = 1e-6
#: Largest drift of the total energy, meV / atom / ps, of a time step of 1 fs.
DRIFT = 0.5
#: Standard errors that a mean or a variance may be off.
SIGMAS = 4.0
#: Energies are kept independent by taking one in so many relaxation times.
INDEPENDENT = 2.0


def start() -> Frames:
    """Return 64 atoms of LiCl with velocities."""
    atoms = bulk("LiCl", "rocksalt", a=5.13, cubic=True) * (2, 2, 2)
    atoms.rattle(0.02, seed=3)
    velocities = maxwell_boltzmann(atoms.get_masses(), TEMPERATURE, 1)
    return Frames(
        atoms.numbers, atoms.positions[None], np.asarray(atoms.cell)[None], atoms.pbc, velocities=velocities[None]
    )


class Surface:
    """One MACE model as level of theory and as potential, and what runs on it.

    Parameters
    ----------
    folder : Path
        Where the model and the list of trusted calculators lie.
    """

    def __init__(self, folder: Path) -> None:
        from aiida import orm

        from aiida_haml.data.frames import FramesData
        from aiida_haml.data.potential import PotentialData

        model = tiny_mace(folder / "surface.model", ["Cl", "Li"], scale=0.3)
        trusted = folder / "trusted"
        trusted.write_text("mace.calculators.mace\n")
        os.environ["HAML_TRUSTED_CALCULATORS"] = str(trusted)
        parameters = {"model_paths": [str(model)], "device": "cpu", "default_dtype": "float64"}
        theory = {"calculator": "mace.calculators.mace:MACECalculator", "parameters": parameters}
        self.level = orm.Dict({"engine": "teacher", "name": "surface", "theory": theory, "solver": [{}]}).store()
        self.potential = PotentialData.from_files([model], ["Cl", "Li"], 4.0, "float64")
        self.potential.trust()
        self.potential.store()
        self.start = FramesData(start(), kind="structure").store()
        self.codes = {
            "label": orm.load_code("haml-engine@localhost"),
            "engine": orm.load_code("haml-engine@localhost"),
            "lammps": orm.load_code("haml-lammps@localhost"),
        }

    def hybrid(self, burst: int, stretch: int, n_rounds: int, thermostat_fs: float, seed: int = 1) -> list[Frames]:
        """Return the segments of a hybrid trajectory of so many rounds of equal bursts and stretches."""
        from aiida.engine import run_get_node

        from aiida_haml.workchains.hybrid import HybridWorkChain

        overrides = {
            "dynamics": {"thermostat_time_fs": thermostat_fs, "save_every": 1},
            "equilibration": {"relax_steps": 0, "warm_up_steps": 0},
            "hybrid": {"simulated_fs": float(n_rounds * (burst + stretch))},
            "rounds": {"n_burst_first": burst, "min_burst": burst, "max_burst": burst}
            | {"n_stretch_first": stretch, "min_stretch": stretch, "max_stretch": stretch},
            "learning": {"n_committee": 1},
        }
        builder = HybridWorkChain.get_builder_from_protocol(
            self.start, self.codes, self.level, "quick", overrides, TEMPERATURE, seed
        )
        builder.potential = self.potential
        outputs, node = run_get_node(builder)
        if not node.is_finished_ok:
            raise RuntimeError(node.exit_message)
        segments = outputs["trajectories"]["trajectory"]["segments"]
        return [segments[name].frames for name in sorted(segments)]

    def alone(self, steps: int, thermostat_fs: float, seed: int = 1) -> Frames:
        """Return an uninterrupted run of the label engine."""
        from aiida import orm
        from aiida.engine import run_get_node

        from aiida_haml.calculations.teacher import TeacherCalculation

        md = dynamics(steps, thermostat_fs, seed)
        inputs = {"code": self.codes["label"], "initial": self.start, "level": self.level, "md": orm.Dict(md)}
        outputs, node = run_get_node(TeacherCalculation, **inputs)
        if not node.is_finished_ok:
            raise RuntimeError(node.exit_message)
        return outputs["frames"].frames


def dynamics(steps: int, thermostat_fs: float, seed: int) -> dict[str, Any]:
    """Return the settings of a run of one code."""
    return {
        "steps": steps, "timestep_fs": 1.0, "temperature_K": TEMPERATURE,
        "thermostat_time_fs": thermostat_fs, "seed": seed,
    }  # fmt: skip


# -- what is measured --------------------------------------------------------------------------------------


def drift(runs: list[Frames]) -> float:
    """Return the slope of the total energy along time, meV / atom / ps."""
    times, energies = [], []
    for run in runs:
        times.append(np.asarray(run.times))
        energies.append(np.asarray(run.energies) + kinetic(run))
    n_atoms = runs[0].n_atoms
    return float(np.polyfit(np.concatenate(times), np.concatenate(energies), 1)[0] * 1e6 / n_atoms)


def kinetic(run: Frames) -> NDArray[np.float64]:
    """Return (F,) the kinetic energy, eV."""
    degrees = 3 * run.n_atoms - 3
    return np.asarray(run.temperatures()) * 0.5 * degrees * units.kB


def canonical(energies: NDArray[np.float64], n_atoms: int, every: int) -> dict[str, float]:
    """Compare a series of kinetic energies (one a step) with the canonical ensemble.

    With ``n = 3 N - 3`` degrees of freedom, 2 K / kT is distributed as chi squared of n: mean n, variance 2 n, fourth
    central moment 12 n (n + 4). The centre of mass is at rest.
    """
    degrees = 3 * n_atoms - 3
    drawn = 2 * energies[::every] / (units.kB * TEMPERATURE)
    count = len(drawn)
    variance = 2.0 * degrees
    error_of_variance = np.sqrt((12.0 * degrees * (degrees + 4) - variance**2) / count)
    return {
        "samples": count,
        "mean_over_theory": float(drawn.mean() / degrees),
        "variance_over_theory": float(drawn.var(ddof=1) / variance),
        "mean_off_by_sigmas": float((drawn.mean() - degrees) / np.sqrt(variance / count)),
        "variance_off_by_sigmas": float((drawn.var(ddof=1) - variance) / error_of_variance),
    }


def nve(surface: Surface) -> dict[str, Any]:
    """Ten switches without a thermostat, against one run."""
    segments = surface.hybrid(burst=10, stretch=20, n_rounds=6, thermostat_fs=NEVER)
    whole = surface.alone(180, NEVER)
    at = {float(t): i for i, t in enumerate(np.asarray(whole.times))}
    differences = [
        float(np.abs(run.positions - whole.positions[[at[float(t)] for t in np.asarray(run.times)]]).max())
        for run in segments
    ]
    return {
        "switches": len(segments) - 1,
        "difference_A": differences,
        "drift_meV_per_atom_per_ps": {"hybrid": drift(segments), "alone": drift([whole])},
    }


def nvt(surface: Surface, burst: int, stretch: int, n_rounds: int, tau: float) -> dict[str, Any]:
    """Twenty switches with the thermostat, against theory; and another seed."""
    runs = [surface.hybrid(burst, stretch, n_rounds, tau, seed) for seed in (1, 2)]
    series = [np.concatenate([kinetic(run)[1:] for run in segments]) for segments in runs]
    settled = [values[round(5 * tau) :] for values in series]
    n_atoms = runs[0][0].n_atoms
    return {
        "switches": len(runs[0]) - 1,
        "seeds": [canonical(values, n_atoms, round(INDEPENDENT * tau)) for values in settled],
        "seeds_differ": not any(np.allclose(*pair) for pair in itertools.combinations(series, 2)),
    }


def cp2k(steps: int, tau: float) -> dict[str, Any]:
    """CP2K's thermostat alone, with two seeds."""
    from aiida import orm
    from aiida.engine import run_get_node

    from aiida_haml.calculations.cp2k import Cp2kLabelCalculation
    from aiida_haml.data.frames import FramesData
    from aiida_haml.workchains.label import level_inputs

    atoms = bulk("LiCl", "rocksalt", a=5.13, cubic=True)
    atoms.rattle(0.02, seed=3)
    series = []
    for seed in (1, 2):
        inputs = level_inputs("gfn1-xtb")
        given = {name: inputs[name] for name in ("level", "solver") if name in inputs}
        md = orm.Dict(dynamics(steps // 2, tau, seed))
        outputs, node = run_get_node(
            Cp2kLabelCalculation,
            code=orm.load_code("cp2k@localhost"),
            initial=FramesData.from_ase(atoms),
            md=md,
            **given,
        )
        if not node.is_finished_ok:
            raise RuntimeError(node.exit_message)
        series.append(kinetic(outputs["frames"].frames))
    settled = np.concatenate([values[round(5 * tau) :] for values in series])
    return {
        "steps": steps,
        "together": canonical(settled, len(atoms), round(INDEPENDENT * tau)),
        "seeds_differ": not np.allclose(*series),
    }


def missed(found: dict[str, Any]) -> list[str]:
    """Return the aims that were missed."""
    told = []
    worst = max(found["nve"]["difference_A"])
    if worst > SAME_POSITION:
        told.append(f"nve: positions differ by {worst:.1e} A")
    told += [f"nve: {name} drifts by {value:.2f} meV/atom/ps"
             for name, value in found["nve"]["drift_meV_per_atom_per_ps"].items() if abs(value) > DRIFT]  # fmt: skip
    for name in ("nvt", "cp2k"):
        part = found.get(name)
        if part is None:
            continue
        for figures in part.get("seeds") or [part["together"]]:
            told += [f"{name}: {key} is {value:.1f}" for key, value in figures.items()
                     if key.endswith("sigmas") and abs(value) > SIGMAS]  # fmt: skip
        if not part["seeds_differ"]:
            told.append(f"{name}: two seeds give one trajectory")
    return told


def main(argv: list[str] | None = None) -> int:
    """Run and compare."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="without CP2K, short runs")
    quick = parser.parse_args(argv).quick
    warnings.filterwarnings("ignore")
    with scratch() as name, bare_profile(("verdi", "presto", "-n", "-p", "bench")):
        subprocess.run([str(SCRIPTS / "aiida-haml"), "setup"], check=True, stdout=subprocess.DEVNULL)
        surface = Surface(Path(name))
        found = {"nve": nve(surface)}
        print(found, flush=True)
        found["nvt"] = nvt(surface, *((10, 40, 4, 10.0) if quick else (50, 200, 11, 20.0)))
        print(found["nvt"], flush=True)
        if not quick:
            found["cp2k"] = cp2k(5000, 20.0)
    return finish(found, missed(found))


if __name__ == "__main__":
    sys.exit(main())
