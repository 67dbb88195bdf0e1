"""Densities of phases are calibrated to the likeliest exponent and level of 'none of these', wherever they lie."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from aiida_haml.analysis.environments.modes import LEAST_EXPONENT, Modes, fit_modes

Samples = list[NDArray[np.float32]]


def planted(seed: int) -> tuple[Modes, Samples]:
    """Return densities of phases of all widths, and samples which are more disordered than what they were fitted to."""
    rng = np.random.default_rng(seed)
    size, n_phases = rng.integers(2, 9), rng.integers(2, 6)
    centres = rng.normal(size=(n_phases, size)) * rng.uniform(0.05, 0.5)
    widths = 10 ** rng.uniform(-3, -1, size=n_phases)

    def drawn(phase: int, count: int, disorder: float) -> NDArray[np.float32]:
        spread = rng.normal(size=(count, size)) * widths[phase] * disorder
        return (centres[phase] + spread).astype(np.float32)

    known = fit_modes([drawn(p, 60, 1.0) for p in range(n_phases)], [1] * n_phases, size)
    disorder = rng.uniform(1, 2)
    strangers = (rng.normal(size=(300, size)) * 0.5).astype(np.float32)
    return known, [*(drawn(p, 200, disorder) for p in range(n_phases)), strangers]


def cost(modes: Modes, samples: Samples) -> float:
    """Return minus the mean logarithm of the probability of what is true, all kinds counting alike."""
    return -float(np.mean([modes.log_probabilities(rows)[:, kind].mean() for kind, rows in enumerate(samples)]))


@pytest.mark.parametrize("seed", [1, 9, 16, 27, 35])  # in 16 and 27 a search without slopes stops at 1
def test_no_other_exponent_or_level_is_likelier(seed: int) -> None:
    known, samples = planted(seed)
    found = known.calibrated(samples)
    least = cost(found, samples)
    assert LEAST_EXPONENT <= found.exponent <= 1
    for exponent in np.geomspace(0.02, 1.0, 25):
        for level in np.linspace(found.none_level - 30, found.none_level + 30, 61):
            other = replace(found, exponent=float(exponent), none_level=float(level))
            assert cost(other, samples) > least - 1e-6, (exponent, level)


def test_more_disorder_than_the_densities_know_lowers_the_exponent() -> None:
    rng = np.random.default_rng(0)
    rows = [rng.normal(size=(400, 3)) * 0.1 + centre for centre in (0.0, 0.4)]
    known = fit_modes(rows, [1, 1], 3)
    strangers = rng.normal(size=(400, 3)) * 2
    exponents = [
        known.calibrated([*(((part - part.mean()) * wider + part.mean()).astype(np.float32) for part in rows),
                          strangers.astype(np.float32)]).exponent
        for wider in (1.0, 3.0)
    ]  # fmt: skip
    assert exponents[1] < 0.6 * exponents[0]
