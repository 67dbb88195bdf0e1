"""Hot dynamics from every start: the gate, which a potential with a hole or a false slope does not survive, and an
exploration, which finds what is worth a label beside the path of a first potential.
"""

import math
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from ase import units
from ase.data import covalent_radii

from aiida_haml.arrays import FloatArray
from aiida_haml.engines.mace_batches import atomic_energies, evaluate, make_samples
from aiida_haml.engines.mace_forces import Graph
from aiida_haml.frames import Frames, maxwell_boltzmann

#: Temperature at which a run has failed, in units of the one that it begins at. Reactions heat; holes explode.
MAX_HEATING = 3.0
#: Closest approach of any pair, as a fraction of the sum of covalent radii (ASE's table).
MIN_RATIO = 0.6
#: Most by which the conserved energy may have changed, eV / atom.
MAX_DRIFT = 0.02
#: Steps between two looks.
_EVERY = 5
#: Looks that are kept of a run that failed: they show the way into the hole. Atoms closer than the ratio teach nothing.
_KEPT, _KEPT_RATIO = 3, 0.4
#: Reach within which contacts are looked for, Angstrom.
_REACH = 2.5
#: Relaxation time of an exploration's thermostat, fs.
_RELAXATION_FS = 100.0


@dataclass(frozen=True)
class HotRun:
    """How one run went.

    Attributes
    ----------
    passed : bool
    steps : int
        Done; fewer than wanted where it failed or the time ended.
    max_temperature_K, min_ratio, drift_eV_per_atom : float
        Extremes over the run.
    reason : str or None
        Why it failed, in a sentence.
    way : tuple of (N, 3) arrays
        Positions at the last looks before a failure, Angstrom: what the potential has to be taught.
    """

    passed: bool
    steps: int
    max_temperature_K: float
    min_ratio: float
    drift_eV_per_atom: float
    reason: str | None = None
    way: tuple[FloatArray, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return a plain dictionary."""
        return {field.name: getattr(self, field.name) for field in fields(self) if field.name != "way"}


def hot_run(
    module: Any,
    start: Frames,
    steps: int,
    temperature: float,
    timestep: float,
    seed: int,
    deadline: float = math.inf,
) -> HotRun:
    """Follow undamped dynamics (velocity Verlet) from the last frame of a start.

    Parameters
    ----------
    module : torch.nn.Module
        The model that would drive.
    start : Frames
        Its velocities are scaled to the temperature; where there are none, they are drawn.
    steps : int
    temperature : float
        K, at the beginning.
    timestep : float
        fs.
    seed : int
        Of drawn velocities.
    deadline : float
        On the clock of `time.perf_counter`, s; a run that it cuts short has passed as far as it came.
    """
    course = _Course(module, start, temperature, timestep, seed)
    begun = course.conserved
    hottest, closest, drift = 0.0, math.inf, 0.0
    way: deque[FloatArray] = deque(maxlen=_KEPT)
    for step in range(steps + 1):
        if step % _EVERY == 0 or step == steps:
            drift = abs(course.conserved - begun) / course.state.n_atoms
            hottest = max(hottest, course.temperature)
            closeness = course.closeness
            closest = min(closest, closeness)
            if closeness > _KEPT_RATIO and course.is_finite:
                way.append(course.positions)
            if reason := _failure(step, hottest / temperature, closest, drift):
                return HotRun(False, step, _finite(hottest), _finite(closest), _finite(drift), reason, tuple(way))
        if step == steps or time.perf_counter() > deadline:
            break
        course.step()
    return HotRun(True, step, hottest, _finite(closest), drift)


def explore(
    module: Any,
    start: Frames,
    n_frames: int,
    steps: int,
    temperature: float,
    timestep: float,
    seed: int,
    deadline: float = math.inf,
) -> tuple[FloatArray, ...]:
    """Return positions, (N, 3), Angstrom, along Langevin dynamics (100 fs) in which bonds break.

    Parameters
    ----------
    n_frames : int
        Most positions; fewer where atoms fell into each other or the time ended. Each is as far from the next.
    module, start, steps, temperature, timestep, seed, deadline
        As of `hot_run`; the temperature is the thermostat's, and the seed of its noise too.
    """
    course = _Course(module, start, temperature, timestep, seed)
    noise = np.random.default_rng(seed)
    found: list[FloatArray] = []
    for step in range(1, steps + 1):
        course.step()
        course.exchange_heat(temperature, timestep / _RELAXATION_FS, noise)
        if step * n_frames // steps > (step - 1) * n_frames // steps:
            hot = course.temperature / temperature
            if _failure(step, hot, course.closeness, 0.0) or not course.is_finite or time.perf_counter() > deadline:
                break
            found.append(course.positions)
    return tuple(found)


class _Course:
    """Velocity Verlet under a model, from the last frame of a start."""

    def __init__(self, module: Any, start: Frames, temperature: float, timestep: float, seed: int) -> None:
        self.module, self.state, self.dt = module, start[-1], timestep * units.fs
        self.masses = self.state.masses[:, None]
        self.velocities = _velocities(self.state, temperature, seed) / units.fs
        self.positions = self.state.positions[0].copy()
        self.energy, self.forces = _evaluate(module, self.state, self.positions)

    def step(self) -> None:
        self.velocities = self.velocities + 0.5 * self.dt * self.forces / self.masses
        self.positions = self.positions + self.dt * self.velocities
        self.energy, self.forces = _evaluate(self.module, self.state, self.positions)
        self.velocities = self.velocities + 0.5 * self.dt * self.forces / self.masses

    def exchange_heat(self, temperature: float, share: float, noise: np.random.Generator) -> None:
        """Lose a share of the momenta, and take as much from a bath (Ornstein-Uhlenbeck)."""
        kept = math.exp(-share)
        spread = np.sqrt((1 - kept**2) * units.kB * temperature / self.masses)
        self.velocities = kept * self.velocities + spread * noise.normal(size=self.velocities.shape)

    @property
    def kinetic(self) -> float:
        return float(0.5 * (self.masses * self.velocities**2).sum())

    @property
    def conserved(self) -> float:
        return self.energy + self.kinetic

    @property
    def temperature(self) -> float:
        """K."""
        return 2 * self.kinetic / (max(3 * self.state.n_atoms - 3, 1) * units.kB)

    @property
    def is_finite(self) -> bool:
        return bool(np.isfinite(self.positions).all())

    @property
    def closeness(self) -> float:
        """Closest approach of any pair, as a fraction of the sum of covalent radii."""
        graph = Graph.within(_REACH, np.nan_to_num(self.positions), self.state.cells[0], self.state.pbc)
        if not len(graph.senders):
            return math.inf
        radii = covalent_radii[self.state.numbers]
        return float((graph.distances / (radii[graph.senders] + radii[graph.receivers])).min())


def gate(module: Any, starts: Mapping[str, Frames], **run: Any) -> dict[str, HotRun]:
    """Return the hot run of every start, by its name; see `hot_run`."""
    return {name: hot_run(module, start, **run) for name, start in sorted(starts.items())}


def explorations(module: Any, starts: Mapping[str, Frames], **run: Any) -> dict[str, Frames]:
    """Return the frames, not labelled, of the exploration of every start that led anywhere; see `explore`."""
    ways = {name: explore(module, start, **run) for name, start in sorted(starts.items())}
    return {name: along(starts[name], way) for name, way in ways.items() if way}


def along(start: Frames, way: Sequence[FloatArray]) -> Frames:
    """Return positions that a run from a start came to as frames."""
    return Frames(start.numbers, np.stack(way), np.repeat(start.cells[-1:], len(way), axis=0), start.pbc)


def _velocities(state: Frames, temperature: float, seed: int) -> FloatArray:
    """Return velocities of the wanted temperature, (N, 3), Angstrom / fs."""
    if state.velocities is not None and (found := float(state.temperatures()[0])) > 0:
        return np.asarray(state.velocities[0] * math.sqrt(temperature / found))
    return maxwell_boltzmann(state.masses, temperature, seed)


def _evaluate(module: Any, state: Frames, positions: FloatArray) -> tuple[float, FloatArray]:
    moved = Frames(state.numbers, np.nan_to_num(positions)[None], state.cells, state.pbc)
    samples = make_samples(module, moved)
    ((energy, forces),) = evaluate(module, samples)
    return energy + float(atomic_energies(module)[samples[0].kinds.numpy()].sum()), forces


def _failure(step: int, heating: float, ratio: float, drift: float) -> str | None:
    # Written so that NaN fails.
    if not heating <= MAX_HEATING:
        return f"After {step} steps the temperature is {heating:.1f} times that of the start (limit {MAX_HEATING:g})."
    if not ratio >= MIN_RATIO:
        return f"After {step} steps two atoms are at {ratio:.2f} of their covalent distance (limit {MIN_RATIO:g})."
    if not drift <= MAX_DRIFT:
        return f"After {step} steps the conserved energy is off by {drift:.3f} eV/atom (limit {MAX_DRIFT:g})."
    return None


def _finite(value: float) -> float:
    """Return what JSON can hold."""
    return value if math.isfinite(value) else 1e9
