"""From CP2K's numbers to labelled frames: of dynamics, of a relaxation, of single points."""

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import takewhile

import numpy as np

from aiida_haml.calculations.cp2k_input import VELOCITY_TO_CP2K
from aiida_haml.frames import Frames
from aiida_haml.parsers.cp2k_output import (
    FORCE_UNITS,
    Evaluation,
    UnknownLayout,
    read_cells,
    read_energies,
    read_energy_file,
    read_xyz,
)

#: A jump of the conserved energy from one step to the next means another SCF state if it exceeds this multiple of the
#: run's own noise (the median of its other jumps) and this many eV. On 68 atoms at 1 fs jumps are 1e-5 to 5e-3 eV; a
#: wrong state of one site costs some 0.5 eV, and those seen lay 200 eV away.
NOISE_FACTOR, LEAST_JUMP = 20.0, 0.25

#: Returns the text of one of CP2K's files, empty if it was never written.
Read = Callable[[str], str]


@dataclass(frozen=True)
class Harvest:
    """What a run left, judged by nothing but its SCFs.

    Parameters
    ----------
    frames : Frames or None
        Labelled, up to the first whose SCF did not converge; of single points all whose SCF did.
    kept : list of int, optional
        Of single points: which frames of the input these are.
    conserved, seconds : (F,) arrays
        Conserved energy (eV) and wall time of the steps of dynamics; else empty.
    """

    frames: Frames | None
    kept: list[int] | None = None
    conserved: np.ndarray = field(default_factory=lambda: np.empty(0))
    seconds: np.ndarray = field(default_factory=lambda: np.empty(0))


def of_dynamics(read: Read, evaluations: list[Evaluation], initial: Frames, timestep: float) -> Harvest:
    """Return the steps that all files hold, the start included; ``timestep`` in fs."""
    positions = read_xyz(read("aiida-pos-1.xyz"), initial.n_atoms)
    velocities = read_xyz(read("aiida-vel-1.xyz"), initial.n_atoms) / VELOCITY_TO_CP2K
    forces = read_xyz(read("aiida-frc-1.xyz"), initial.n_atoms)
    conserved, seconds = read_energy_file(read("aiida-1.ener"))
    good = list(takewhile(lambda evaluation: evaluation.converged, evaluations))
    count = min(len(positions), len(velocities), len(forces), len(conserved), len(good))
    if not count:
        return Harvest(None)
    start = initial.times[-1] if initial.times is not None else 0.0
    frames = _labelled(
        initial,
        positions[:count],
        forces[:count],
        good[:count],
        times=start + timestep * np.arange(count),
        velocities=velocities[:count],
    )
    return Harvest(frames, conserved=conserved[:count], seconds=seconds[:count])


def of_relaxation(
    read: Read, evaluations: list[Evaluation], initial: Frames, first_forces: np.ndarray | None, relaxes_cell: bool
) -> Harvest:
    """Return the start, whose forces (eV / Angstrom) stand in the main output alone, and the accepted steps.

    A line search also evaluates points that it leaves again; they are no frames. Nor is the last step once more, which
    CP2K evaluates when it has arrived.
    """
    positions = read_xyz(read("aiida-pos-1.xyz"), initial.n_atoms)
    forces = read_xyz(read("aiida-frc-1.xyz"), initial.n_atoms)
    energies = read_energies(read("aiida-pos-1.xyz"))
    cells = read_cells(read("aiida-1.cell")) if relaxes_cell else np.broadcast_to(initial.cells, (len(positions), 3, 3))
    found = accepted_evaluations(energies[: min(len(positions), len(forces), len(cells), len(energies))], evaluations)
    if not found or first_forces is None:
        return Harvest(None)
    moves = len(found) - 1
    return Harvest(
        _labelled(
            initial,
            np.concatenate([initial.positions, positions[:moves]]),
            np.concatenate([first_forces[None] / FORCE_UNITS["a.u."], forces[:moves]]),
            found,
            cells=np.concatenate([initial.cells, cells[:moves]]),
        )
    )


def of_series(read: Read, evaluations: list[Evaluation], initial: Frames) -> Harvest:
    """Return those single points whose SCF converged, in the order of the input.

    Raises
    ------
    UnknownLayout
        If what was evaluated is not what was asked for, one after the other.
    """
    positions = read_xyz(read("aiida-pos-1.xyz"), initial.n_atoms)
    forces = read_xyz(read("aiida-frc-1.xyz"), initial.n_atoms)
    count = min(len(positions), len(forces), len(evaluations), len(initial))
    if not np.allclose(positions[:count], initial.positions[:count], atol=1e-6):
        raise UnknownLayout("its trajectory does not hold the frames that it was given, in their order.")
    kept = [i for i in range(count) if evaluations[i].converged]
    if not kept:
        return Harvest(None, kept=[])
    chosen = initial[np.array(kept)]
    return Harvest(_labelled(chosen, chosen.positions, forces[kept], [evaluations[i] for i in kept]), kept=kept)


def _labelled(
    system: Frames,
    positions: np.ndarray,
    forces: np.ndarray,
    evaluations: list[Evaluation],
    times: np.ndarray | None = None,
    velocities: np.ndarray | None = None,
    cells: np.ndarray | None = None,
) -> Frames:
    """Return frames in ``cells``, or in those of ``system``, one or one a frame; ``forces`` in Hartree / bohr."""
    stresses = [e.stress for e in evaluations]
    return Frames(
        numbers=system.numbers,
        positions=positions,
        cells=np.broadcast_to(system.cells, (len(positions), 3, 3)) if cells is None else cells,
        pbc=system.pbc,
        times=times,
        velocities=velocities,
        energies=np.array([e.energy for e in evaluations]),
        forces=forces * FORCE_UNITS["a.u."],
        stresses=None if any(s is None for s in stresses) else np.array(stresses),
    )


def accepted_evaluations(energies: np.ndarray, evaluations: list[Evaluation]) -> list[Evaluation]:
    """Return the evaluations of a relaxation's start and of its accepted steps, up to the first that did not converge.

    Frame i stays step i, as of every label: what comes after a step that cannot be trusted is left out with it.

    Parameters
    ----------
    energies : (F,) array
        Of the accepted steps, eV, as CP2K's trajectory gives them (ten decimals of a Hartree), without the start.
    evaluations : list of Evaluation
        Of the start, of the accepted steps, and of points that a line search left again.
    """
    if not evaluations or not evaluations[0].converged:
        return []
    found, remaining = [evaluations[0]], iter(evaluations[1:])
    for energy in energies:
        step = next((e for e in remaining if abs(e.printed - energy) < 3e-7), None)
        if step is None or not step.converged:
            break
        found.append(step)
    return found


def first_jump(conserved: np.ndarray) -> tuple[int, float] | None:
    """Return the first step at which the conserved energy leaves its own noise, and by how much, eV; or None.

    Parameters
    ----------
    conserved : (F,) array
        Conserved energy, eV.
    """
    jumps = np.abs(np.diff(conserved))
    for i, jump in enumerate(jumps):
        others = np.delete(jumps, i)
        noise = float(np.median(others)) if len(others) else 0.0
        if jump > max(LEAST_JUMP, NOISE_FACTOR * noise):
            return i + 1, float(jump)
    return None
