"""CP2K's input as a dictionary: what is evaluated, what is done with it, and from where the SCF starts."""

import copy
from typing import Any

import numpy as np
from aiida_cp2k.utils import merge_dict
from ase import units
from ase.data import ground_state_magnetic_moments

from aiida_haml.calculations.base import USABLE_WALL_TIME
from aiida_haml.calculations.molecular_dynamics import relaxes_cell
from aiida_haml.frames import Frames, maxwell_boltzmann

#: Angstrom / fs in CP2K's unit of velocity, bohr per atomic unit of time.
VELOCITY_TO_CP2K = (units.AUT / units.fs) / units.Bohr
#: Names of the files that single points are read from, and of the parent's wave function.
SERIES, SERIES_CELLS, PARENT_WAVE_FUNCTION = "series.xyz", "series.cell", "parent-RESTART.wfn"
#: Moduli of the two halves of CP2K's random number generator (L'Ecuyer 2002, 10.1287/opre.50.6.1073.358).
RNG_MODULI = (4294967087, 4294944443)


def build_parameters(
    frame: Frames,
    theory: dict[str, Any],
    solver: dict[str, Any],
    run: dict[str, Any],
    isolated: bool,
    wall_time: float | None,
) -> dict[str, Any]:
    """Return the whole CP2K input as a dictionary, but for the coordinates.

    Parameters
    ----------
    frame : Frames
        One frame, with velocities or not.
    theory, solver : dict
        CP2K's FORCE_EVAL section: what decides the values, and what only leads there.
    run : dict
        What is done with it, see `run_parameters`.
    isolated : bool
        Evaluate one atom with the spin of its ground state.
    wall_time : float or None
        Limit in seconds.
    """
    force_eval: dict[str, Any] = {"METHOD": "QUICKSTEP", "DFT": {"SCF": {"PRINT": wave_function_section(isolated)}}}
    merge_dict(force_eval, copy.deepcopy({key: value for key, value in theory.items() if key != "kinds"}))
    merge_dict(force_eval, copy.deepcopy(solver))
    parameters = {
        "GLOBAL": {"PRINT_LEVEL": "LOW"},
        "FORCE_EVAL": force_eval,
    }
    if wall_time is not None:
        parameters["GLOBAL"]["WALLTIME"] = int(USABLE_WALL_TIME * wall_time)
    if isolated:
        element = int(frame.numbers[0])
        force_eval["DFT"]["LSD"] = True
        force_eval["DFT"]["MULTIPLICITY"] = round(ground_state_magnetic_moments[element]) + 1
        # Keywords of a cell: k-points of its reciprocal lattice, its own spin and charge.
        for keyword in ("KPOINTS", "UKS", "CHARGE"):
            force_eval["DFT"].pop(keyword, None)
        # Whole electrons in the spin's ground state: a small basis has no empty orbital left to smear into.
        for keyword in ("SMEAR", "ADDED_MOS"):
            force_eval["DFT"]["SCF"].pop(keyword, None)
    if "STRESS_TENSOR" in force_eval and not isolated:
        force_eval["PRINT"] = {"STRESS_TENSOR": {"_": "ON"}}
    force_eval.setdefault("SUBSYS", {})["CELL"] = {
        "PERIODIC": "".join(axis for axis, periodic in zip("XYZ", frame.pbc, strict=True) if periodic) or "NONE"
    }
    merge_dict(parameters, run)
    return parameters


def wave_function_section(isolated: bool) -> dict[str, Any]:
    """Return what CP2K writes of its wave function: one file for the next job; nothing of an atom, which has none."""
    return {"RESTART": {"_": "OFF"} if isolated else {"_": "ON", "BACKUP_COPIES": 0}}


def warm_start() -> dict[str, Any]:
    """Return the keywords that make the first SCF start from a parent's wave function.

    Where the file is gone by then, CP2K says so and takes its atomic guess.
    """
    return {"FORCE_EVAL": {"DFT": {"WFN_RESTART_FILE_NAME": PARENT_WAVE_FUNCTION, "SCF": {"SCF_GUESS": "RESTART"}}}}


def run_parameters(frames: Frames, md: dict[str, Any] | None, relax: dict[str, Any] | None) -> dict[str, Any]:
    """Return what CP2K is told to do: MD or a relaxation from the last frame, or an evaluation of each."""
    if md is not None:
        return {
            "GLOBAL": {"RUN_TYPE": "MD", "SEED": int(md["seed"])},
            "MOTION": {"MD": md_section(md), "PRINT": printed("MD")},
            "FORCE_EVAL": {"SUBSYS": {"VELOCITY": {" ": velocity_lines(frames[-1], md)}}},
        }
    if relax is not None and relaxes_cell(relax):
        return cell_relaxation(frames[-1], relax)
    if relax is not None:
        return {
            "GLOBAL": {"RUN_TYPE": "GEO_OPT"},
            "MOTION": {"GEO_OPT": relaxation_section(relax), "PRINT": printed("GEO_OPT")},
            "FORCE_EVAL": {"PRINT": {"FORCES": {"_": "ON"}}},  # CP2K's trajectory of a relaxation leaves the start out
        }
    return {
        "GLOBAL": {"RUN_TYPE": "MD"},
        "MOTION": {"MD": series_section(len(frames)), "PRINT": printed("MD")},
        # The frames are no steps of one motion, along which a wave function could be extrapolated.
        "FORCE_EVAL": {"DFT": {"QS": {"EXTRAPOLATION": "USE_PREV_WF"}}},
    }


def md_section(md: dict[str, Any]) -> dict[str, Any]:
    """Return CP2K's section of NVT dynamics with CSVR."""
    return {
        "ENSEMBLE": "NVT",
        "STEPS": int(md["steps"]),
        "TIMESTEP": float(md["timestep_fs"]),
        "TEMPERATURE": float(md["temperature_K"]),
        "COMVEL_TOL": 1e-8,  # the centre of mass stays at rest
        "THERMOSTAT": {
            "TYPE": "CSVR",
            "REGION": "GLOBAL",
            "CSVR": {"TIMECON": float(md["thermostat_time_fs"]), "RNG_INIT": {" ": rng_record(int(md["seed"]))}},
        },
    }


def rng_record(seed: int) -> str:
    """Return the state of the thermostat's random numbers, as CP2K writes and reads it.

    GLOBAL/SEED does not reach the thermostat: without this record every run has the same noise.

    The record is ``A40,I2,3L2,ES25.16,18F20.1``: a name, Gaussian deviates, neither antithetic nor buffered, in
    extended precision, and three times the generator's six integers (of the state, its substream and its stream).
    """
    rng = np.random.default_rng(seed)
    state = [int(rng.integers(1, modulus)) for modulus in RNG_MODULI for _ in range(3)]
    numbers = "".join(f"{value:20.1f}" for value in state * 3)
    return f"{'Wiener process for Thermostat # 1':<40}{1:2d} F T F{0.0:25.16E}{numbers}"


def series_section(n_frames: int) -> dict[str, Any]:
    """Return CP2K's section of one evaluation after another, of the frames in a file.

    CP2K calls that a dynamics along a reference trajectory. Without both keywords the forces printed are zero; later
    versions know one keyword for them and take these two as well.
    """
    return {
        "ENSEMBLE": "REFTRAJ",
        "STEPS": n_frames,
        "REFTRAJ": {
            "TRAJ_FILE_NAME": SERIES,
            "CELL_FILE_NAME": SERIES_CELLS,
            "VARIABLE_VOLUME": True,
            "EVAL_ENERGY_FORCES": True,
            "EVAL_FORCES": True,
        },
    }


def series_files(frames: Frames) -> dict[str, str]:
    """Return the files of `series_section` by name; CP2K reads columns of the title lines at fixed places."""
    atoms, cells = [], ["# Step Time Ax Ay Az Bx By Bz Cx Cy Cz Volume"]
    for i in range(len(frames)):
        atoms += [f"{frames.n_atoms:8d}", f" i = {i:8d}, time = {i:12.3f}, E = {0.0:20.10f}"]
        atoms += [
            f"{symbol} {_row(position)}" for symbol, position in zip(frames.symbols, frames.positions[i], strict=True)
        ]
        volume = abs(np.linalg.det(frames.cells[i]))
        cells.append(f"{i} {float(i)} {_row(frames.cells[i].ravel())} {volume:.16e}")
    return {SERIES: "\n".join(atoms) + "\n", SERIES_CELLS: "\n".join(cells) + "\n"}


def relaxation_section(relax: dict[str, Any]) -> dict[str, Any]:
    """Return CP2K's section of a relaxation at fixed cell, which ends by the largest force alone."""
    met = 1.0e3  # a criterion so loose that it is always met
    return {
        "TYPE": "MINIMIZATION",
        "OPTIMIZER": "BFGS",
        "MAX_ITER": int(relax["steps"]),
        "MAX_FORCE": float(relax["max_force"]) * units.Bohr / units.Hartree,
        "RMS_FORCE": met,
        "MAX_DR": met,
        "RMS_DR": met,
    }


def cell_relaxation(frame: Frames, relax: dict[str, Any]) -> dict[str, Any]:
    """Return what CP2K is told for a relaxation of atoms and cell lengths, ended by the largest force and pressure."""
    run = "CELL_OPT"
    section = {
        **relaxation_section(relax),
        "TYPE": "DIRECT_CELL_OPT",
        "KEEP_ANGLES": True,
        "EXTERNAL_PRESSURE": 0.0,
        "PRESSURE_TOLERANCE": float(relax["max_pressure_GPa"]) * units.GPa / units.bar,
    }
    # The grid stays that of the first cell: energies on different grids do not compare.
    reference = {name: _row(vector) for name, vector in zip("ABC", frame.cells[0], strict=True)}
    return {
        "GLOBAL": {"RUN_TYPE": run},
        "MOTION": {run: section, "PRINT": {**printed(run), "CELL": {"EACH": {run: 1}}}},
        "FORCE_EVAL": {
            "STRESS_TENSOR": "ANALYTICAL",
            "PRINT": {"FORCES": {"_": "ON"}, "STRESS_TENSOR": {"_": "ON"}},
            "SUBSYS": {"CELL": {"CELL_REF": reference}},
        },
    }


def printed(run: str) -> dict[str, Any]:
    """Return CP2K's section of what a run writes at each of its steps, units told, not left to its defaults."""
    each_step = {"EACH": {run: 1}}
    return {
        "TRAJECTORY": {"FORMAT": "XYZ", "UNIT": "angstrom", **each_step},
        "VELOCITIES": {"FORMAT": "XYZ", "UNIT": "bohr*au_t^-1", **each_step},
        "FORCES": {"FORMAT": "XYZ", "UNIT": "hartree*bohr^-1", **each_step},
        "RESTART": {"_": "OFF"},
        "RESTART_HISTORY": {"_": "OFF"},
    }


def velocity_lines(frame: Frames, md: dict[str, Any]) -> list[str]:
    """Return one line an atom: the frame's velocities, or a Maxwell-Boltzmann draw from the seed."""
    if frame.velocities is not None:
        velocities = frame.velocities[0]
    else:
        velocities = maxwell_boltzmann(frame.masses, md["temperature_K"], md["seed"])
    return [_row(row) for row in velocities * VELOCITY_TO_CP2K]


def _row(numbers: np.ndarray) -> str:
    return " ".join(f"{number:.16e}" for number in numbers)
