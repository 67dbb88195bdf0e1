"""What passes between frames and LAMMPS: the data file, the input deck and the log.

Nothing here starts LAMMPS, or needs it installed. LAMMPS' units are `metal`: Angstrom, eV, ps, amu.
"""

import math
from dataclasses import dataclass

import numpy as np

from aiida_haml.arrays import FloatArray
from aiida_haml.engines.lammps_dump import COLUMNS, LAST_FRAME, PICOSECOND, RESTARTS, TRAJECTORY
from aiida_haml.frames import Frames

STRUCTURE = "structure.data"
LOG = "log.lammps"

#: Largest seed of LAMMPS' random numbers.
LARGEST_SEED = 900_000_000
#: Steps between two removals of the drift, which forces that sum up to zero keep at rounding errors.
DRIFT_EVERY = 100


# -- the cell -------------------------------------------------------------------------------------------


def lower_triangular(cell: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Turn a cell into LAMMPS' frame, a along x and b in the xy plane.

    Parameters
    ----------
    cell : (3, 3) array
        Cell vectors as rows, Angstrom.

    Returns
    -------
    lower : (3, 3) array
        The same vectors in LAMMPS' frame: lower triangular, with a positive diagonal.
    rotation : (3, 3) array
        Orthogonal, with ``cell = lower @ rotation.T``. A row vector v of the cell's frame is
        ``v @ rotation`` in LAMMPS' frame. A left-handed cell needs a reflection, which leaves MACE's
        energies alone. For a cell that already has this form it is exactly the identity.

    Raises
    ------
    ValueError
        If the vectors lie in one plane.
    """
    if abs(np.linalg.det(cell)) < 1e-6:
        raise ValueError("the cell's vectors lie in one plane; give the cell three independent vectors")
    if np.array_equal(cell, np.tril(cell)) and np.all(np.diag(cell) > 0):
        return np.array(cell), np.eye(3)
    rotation, upper = np.linalg.qr(cell.T)
    signs = np.sign(np.diag(upper))
    lower = (upper * signs[:, None]).T
    lower[np.abs(lower) < 1e-12 * np.abs(lower).max()] = 0.0
    return lower, rotation * signs


def data_file(frame: Frames) -> str:
    """Return LAMMPS' data file of the last frame, with velocities, to the last bit of every number.

    Positions go in as they are: LAMMPS wraps them into the cell, counts how often, and gives them back
    unwrapped. Atom types are the elements in alphabetical order.

    Raises
    ------
    ValueError
        If the frame has no velocities or is not periodic in all directions.
    """
    frame = frame[-1]
    if frame.velocities is None:
        raise ValueError("the frame has no velocities; draw them first")
    if not frame.pbc.all():
        raise ValueError(f"the cell's pbc is {frame.pbc.tolist()}; put the vacuum into the cell and make it periodic")
    lower, rotation = lower_triangular(frame.cells[0])
    types = {symbol: i for i, symbol in enumerate(frame.elements, start=1)}
    masses = dict(zip(frame.symbols, frame.masses, strict=True))
    lines = ["Written by aiida-haml", "", f"{frame.n_atoms} atoms", f"{len(types)} atom types", ""]
    lines += [f"0.0 {float(lower[k, k])!r} {axis}lo {axis}hi" for k, axis in enumerate("xyz")]
    if np.any(tilts := lower[[1, 2, 2], [0, 0, 1]]):
        lines += [f"{_row(tilts)} xy xz yz"]
    lines += ["", "Masses", "", *(f"{i} {float(masses[symbol])!r}" for symbol, i in types.items())]
    positions = frame.positions[0] @ rotation
    lines += ["", "Atoms # atomic", ""]
    lines += [f"{i} {types[s]} {_row(x)}" for i, (s, x) in enumerate(zip(frame.symbols, positions, strict=True), 1)]
    velocities = frame.velocities[0] @ rotation * PICOSECOND
    lines += ["", "Velocities", "", *(f"{i} {_row(v)}" for i, v in enumerate(velocities, start=1))]
    return "\n".join(lines) + "\n"


def _row(values: FloatArray) -> str:
    return " ".join(repr(float(value)) for value in values)


# -- the deck -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Dynamics:
    """Settings of one run.

    Parameters
    ----------
    steps, save_every : int
        Number of steps, and steps between two saved frames.
    restart_every, n_restarts : int
        Steps between two frames that a stretch could be cut back to, and how many of the latest are kept.
    timestep_fs, temperature_K, thermostat_time_fs : float
        Time step and relaxation time of the CSVR thermostat, fs; its temperature, K.
    seed : int
        Of the thermostat's random numbers.
    max_wall_time_s : float, optional
        LAMMPS ends the run by itself, files complete, after so many seconds.
    """

    steps: int
    timestep_fs: float
    temperature_K: float
    thermostat_time_fs: float
    seed: int
    save_every: int
    restart_every: int
    n_restarts: int
    max_wall_time_s: float | None = None


def deck(elements: list[str], model: str, dynamics: Dynamics) -> str:
    """Return the input deck of an NVT run, for a LAMMPS with ML-IAP and for our launcher alike.

    The order of the fixes is the order of their updates: velocity Verlet first, then at the end of each step
    the stochastic rescaling of Bussi, Donadio and Parrinello (10.1063/1.2408420), then the removal of drift.

    Parameters
    ----------
    elements : list of str
        Chemical symbol of each atom type.
    model : str
        File name of the potential.
    dynamics : Dynamics
    """
    temperature, relaxation = dynamics.temperature_K, dynamics.thermostat_time_fs / PICOSECOND
    seed = 1 + (dynamics.seed - 1) % LARGEST_SEED
    wall_time = dynamics.max_wall_time_s
    lines = [
        "units metal",
        "atom_style atomic",
        "atom_modify map yes",
        "newton on",
        "boundary p p p",
        "box tilt large",
        f"read_data {STRUCTURE}",
        f"pair_style mliap unified {model} 0",
        f"pair_coeff * * {' '.join(elements)}",
        f"timestep {dynamics.timestep_fs / PICOSECOND!r}",
        *([f"timer timeout {_clock(wall_time)} every 1"] if wall_time is not None else []),
        "fix integrator all nve",
        f"fix thermostat all temp/csvr {temperature!r} {temperature!r} {relaxation!r} {seed}",
        f"fix drift all momentum {DRIFT_EVERY} linear 1 1 1",
        "thermo_style custom step time temp pe ke press f_thermostat cpu",
        "thermo_modify format float %.15g flush yes",
        f"thermo {dynamics.save_every}",
        f"dump trajectory all custom {dynamics.save_every} {TRAJECTORY} {COLUMNS}",
        "dump_modify trajectory sort id flush yes",
        f"dump restarts all custom {dynamics.restart_every} {RESTARTS} {COLUMNS}",
        f"dump_modify restarts sort id maxfiles {dynamics.n_restarts}",
        f"run {dynamics.steps}",
        f"write_dump all custom {LAST_FRAME} {COLUMNS} modify sort id",
    ]
    return "\n".join(lines) + "\n"


def _clock(seconds: float) -> str:
    """Return a time as LAMMPS reads it, hours:minutes:seconds."""
    whole = max(int(seconds), 1)
    return f"{whole // 3600}:{whole // 60 % 60:02d}:{whole % 60:02d}"


# -- what comes back ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Log:
    """What LAMMPS' log tells of a run.

    Parameters
    ----------
    thermo : dict of str to list of float
        Columns as LAMMPS heads them (Step, Temp, PotEng, ...), one entry an output step.
    seconds_per_step : float or None
        Wall time of the time-stepping loop, measured up to the last output step where it was cut off.
    is_complete : bool
        Whether LAMMPS came to its end.
    error : str or None
        The first error message.
    """

    thermo: dict[str, list[float]]
    seconds_per_step: float | None
    is_complete: bool
    error: str | None


def read_log(text: str) -> Log:
    """Read a log, also one that a killed job left."""
    columns: list[str] = []
    rows: list[list[float]] = []
    seconds_per_step = error = None
    # What follows the last line break may be half a number.
    for line in text.splitlines()[: text.count("\n")]:
        words = line.split()
        if words[:1] == ["Step"]:
            columns = words
        elif line.startswith("Loop time of"):
            seconds_per_step = float(words[3]) / max(int(words[8]), 1)
        elif line.startswith("ERROR") and error is None:
            error = line.removeprefix("ERROR:").strip()
        elif columns and len(words) == len(columns) and (row := _numbers(words)) is not None:
            rows.append(row)
    thermo = {name: [row[k] for row in rows] for k, name in enumerate(columns)}
    if seconds_per_step is None and rows and rows[-1][0] > 0 and "CPU" in thermo:
        seconds_per_step = thermo["CPU"][-1] / thermo["Step"][-1]
    return Log(thermo, seconds_per_step, "Total wall time" in text, error)


def _numbers(words: list[str]) -> list[float] | None:
    try:
        numbers = [float(word) for word in words]
    except ValueError:
        return None
    return numbers if all(math.isfinite(number) for number in numbers) else None
