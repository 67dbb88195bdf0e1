"""Synthetic motion: vibrating crystals, planted reactions."""

import numpy as np
from ase import Atoms

from aiida_haml.frames import Frames
from aiida_haml.structures import crystals


def run(atoms: Atoms, moved: np.ndarray, step_fs: float = 2.0, start_fs: float = 0.0) -> Frames:
    """Return frames of displaced atoms, `moved` (F, N, 3) in Angstrom, at equal steps of time."""
    n = len(moved)
    return Frames(
        atoms.numbers,
        atoms.positions + moved,
        np.broadcast_to(atoms.cell.array, (n, 3, 3)),
        atoms.pbc,
        times=start_fs + step_fs * np.arange(n),
    )


def vibrations(n_frames: int, n_atoms: int, width: float, memory: float, seed: int = 0) -> np.ndarray:
    """Return (F, N, 3) displacements about fixed places: `width` along each axis, `memory` in frames."""
    rng = np.random.default_rng(seed)
    kept = np.exp(-1 / memory) if memory > 0 else 0.0
    moved = rng.standard_normal((n_frames, n_atoms, 3)) * width
    for f in range(1, n_frames):
        moved[f] = kept * moved[f - 1] + np.sqrt(1 - kept**2) * moved[f]
    return moved


def walk(n_frames: int, n_atoms: int, diffusivity: float, step_fs: float, seed: int = 0) -> np.ndarray:
    """Return (F, N, 3) displacements of a random walk of known diffusivity, Angstrom^2 / fs."""
    rng = np.random.default_rng(seed)
    return np.cumsum(rng.standard_normal((n_frames, n_atoms, 3)) * np.sqrt(2 * diffusivity * step_fs), axis=0)


def pair(symbols: str, distances: np.ndarray, height: float = 5.0) -> Frames:
    """Return two atoms at the given distances, 2 fs apart, in a cell of 20 Angstrom."""
    atoms = Atoms(symbols, [[5.0, 5.0, height], [5.0, 5.0, height]], cell=[20, 20, 20], pbc=True)
    moved = np.zeros((len(distances), 2, 3))
    moved[:, 1, 0] = distances
    return run(atoms, moved)


def stretched(
    break_at: int = 60, n_frames: int = 200, reach: float = 2.0, step_fs: float = 2.0
) -> tuple[Frames, int, int]:
    """A vibrating argyrodite of which one S leaves its P within a frame; also that P and S."""
    atoms = crystals.argyrodite()
    phosphorus = int(np.flatnonzero(atoms.symbols == "P")[0])
    sulfur = np.flatnonzero(atoms.symbols == "S")
    vectors = atoms.get_distances(phosphorus, sulfur, mic=True, vector=True)
    nearest = int(np.linalg.norm(vectors, axis=1).argmin())
    moved = vibrations(n_frames, len(atoms), 0.05, 20.0)
    moved[break_at:, sulfur[nearest]] += reach * vectors[nearest] / np.linalg.norm(vectors[nearest])
    return run(atoms, moved, step_fs), phosphorus, int(sulfur[nearest])
