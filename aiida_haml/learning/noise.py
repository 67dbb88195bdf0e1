"""What the forces of a level of theory show of their own error: they have to add up to nothing."""

import numpy as np

from aiida_haml.frames import Frames

#: Error of forces beyond which a level of theory teaches nothing, eV / Angstrom: a third of the usual tolerance of the
#: judge, who would find every potential wrong by it. Our choice.
MAX_FORCE_NOISE = 0.05


def force_noise(frames: Frames) -> float | None:
    """Return the error of a component of the forces (root mean square), as their sum shows it, eV / Angstrom.

    Errors e of N atoms that are independent of each other have a sum of about e sqrt(N) along each axis, where true
    forces have none. It is the median over the frames; errors that cancel make it an estimate from below: grids that
    are too coarse for lithium's core have shown 0.13 of 0.27. None without forces, or of a single atom.
    """
    if frames.forces is None or frames.n_atoms < 2:
        return None
    left = np.linalg.norm(np.asarray(frames.forces, dtype=float).sum(axis=1), axis=1)
    return float(np.median(left) / np.sqrt(3 * frames.n_atoms))


def noise_complaint(noise: float | None) -> str | None:
    """Return why labels with such an error are refused, or None."""
    if noise is None or noise <= MAX_FORCE_NOISE:
        return None
    return (
        f"The forces of the level of theory do not add up to nothing: {noise:.2f} eV/Å of each is an error (limit "
        f"{MAX_FORCE_NOISE:g}), which no potential can learn. Raise the cutoff of its grid."
    )
