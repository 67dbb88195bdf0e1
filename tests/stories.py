"""Planted stories of interfaces: what is consumed along time, and what the interphase is made of."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from aiida_haml.analysis.balance.areal import Balance
from aiida_haml.analysis.ranking.replicates import Replicate
from aiida_haml.analysis.ranking.verdicts import DOES_NOT_REACT, DOES_NOT_STOP, OUT_OF_LITHIUM, PASSIVATES

#: Of each trajectory, ps; described frames; electrolyte as built, Angstrom (both faces), and P in it.
LENGTH, FRAMES, ELECTROLYTE, UNITS = 100.0, 400, 24.0, 12
#: Clusters of the planted alphabet: four of protective products, four of phosphides, four of what lies between.
CLUSTERS = 12
PROTECTIVE = np.repeat(np.eye(3), 4, axis=1)[:1] / 4
CONDUCTING = np.repeat(np.eye(3), 4, axis=1)[1:2] / 4
BETWEEN = np.repeat(np.eye(3), 4, axis=1)[2:] / 4
#: Windows of the interphase.
WINDOWS = 12


@dataclass(frozen=True)
class Story:
    """What happens at a planted interface.

    Attributes
    ----------
    consumed : callable
        Of time in ps: electrolyte consumed at a face, Angstrom.
    verdict : str
        What is to be said of it.
    protective : float
        Share of the late interphase that is protective products.
    metal : float
        Metal in units of what the electrolyte needs.
    """

    consumed: Callable[[np.ndarray], np.ndarray]
    verdict: str
    protective: float = 0.9
    metal: float = 2.0


STORIES = {
    "thin layer that stops": Story(lambda t: 3 * -np.expm1(-0.2 * t), PASSIVATES),
    "thick layer that stops": Story(lambda t: 8 * -np.expm1(-0.1 * t), PASSIVATES),
    "thin layer that conducts electrons": Story(lambda t: 3 * -np.expm1(-0.2 * t), PASSIVATES, protective=0.2),
    "logarithmic": Story(lambda t: 1.2 * np.log1p(t), PASSIVATES),
    "two steps, then stops": Story(
        lambda t: 2.5 * -np.expm1(-0.5 * t) + 1.5 / (1 + np.exp(-(t - 25) / 2)), PASSIVATES
    ),
    "endless linear": Story(lambda t: 0.08 * t, DOES_NOT_STOP),
    "endless parabolic": Story(lambda t: np.sqrt(0.6 * t), DOES_NOT_STOP),
    "total decomposition": Story(lambda t: 15 * -np.expm1(-0.12 * t), DOES_NOT_STOP),
    "slow start": Story(lambda t: 6 / (1 + np.exp(-(t - 75) / 5)), DOES_NOT_STOP),
    "stops, then goes on": Story(
        lambda t: 2.5 * -np.expm1(-0.3 * t) + 0.12 * np.maximum(t - 60, 0), DOES_NOT_STOP
    ),
    "inert": Story(lambda t: 0 * t, DOES_NOT_REACT),
    # The metal ends before the course does, in every seed.
    "dry": Story(lambda t: np.minimum(0.09 * t, 4.8), OUT_OF_LITHIUM, metal=0.32),
}  # fmt: skip


def replicate(
    name: str, story: Story, seed: int, scatter: float = 0.08, noise: float = 0.12, temperature: float = 300.0,
    length: float = ELECTROLYTE, group: str = "300 K", label: str | None = None,
) -> Replicate:  # fmt: skip
    """Return one replicate of a story: seeds differ in how much and how fast, and frames in noise that has a memory.

    Parameters
    ----------
    name : str
    story : Story
    seed : int
    scatter : float
        Standard deviation of the logarithms of amount and pace between seeds.
    noise : float
        Standard deviation of what is consumed at a face, Angstrom.
    """
    rng = np.random.default_rng([seed, *name.encode()])
    t = np.linspace(0, LENGTH, FRAMES)
    amount, pace = np.exp(scatter * rng.standard_normal(2)) if scatter else (1.0, 1.0)
    ideal = np.minimum(amount * story.consumed(pace * t), length / 2 * min(story.metal, 1))
    faces = np.stack([ideal + noise * remembered(rng, FRAMES, 0.02) for _ in range(2)], axis=1)
    share = faces.sum(axis=1) / length
    left = np.maximum(1 - 2 * ideal / length / story.metal + 0.005 * rng.standard_normal(FRAMES), 0)
    phosphorus = np.zeros((FRAMES, 2, 4))
    phosphorus[..., 0], phosphorus[..., 3] = 1 - faces, faces
    return Replicate(
        key=f"{label or name} {seed}",
        label=label or name,
        group=group,
        balance=Balance(
            time=1000 * t, faces=("lower", "upper"), consumed=faces, thickness=1.2 * faces,
            lithium=40 * share, metal_left=left, electrolyte_left=np.maximum(1 - 2 * ideal / length, 0),
            rungs=phosphorus, phosphorus=phosphorus, sulfur=phosphorus, phases=np.stack([faces, 0 * faces], axis=2),
            connected=np.zeros((FRAMES, 2)), noise=0.02, resolution=length / UNITS, units=UNITS, reservoir=story.metal,
        ),
        layer=interphase(rng, ideal, story.protective),
        temperature_K=temperature,
    )  # fmt: skip


def interphase(rng: np.random.Generator, consumed: np.ndarray, protective: float) -> np.ndarray:
    """Return (B, 2, K) atoms of an interphase in each cluster: what is new lies between, and then becomes products."""
    amount = np.array([part.mean() for part in np.array_split(consumed, WINDOWS)])
    fresh = np.clip(np.gradient(amount) / np.maximum(amount, 1e-9), 0, 1)[:, None]
    final = protective * PROTECTIVE[0] + (1 - protective) * CONDUCTING[0]
    expected = 20 * amount[:, None] * ((1 - fresh) * final + fresh * BETWEEN[0])
    return np.stack([rng.poisson(np.maximum(expected, 0)) for _ in range(2)], axis=1).astype(float)


def remembered(rng: np.random.Generator, n: int, memory: float) -> np.ndarray:
    """Return noise of unit width with a memory that is a share of the series."""
    kept = np.exp(-1 / (memory * n))
    values = rng.standard_normal(n)
    for k in range(1, n):
        values[k] = kept * values[k - 1] + np.sqrt(1 - kept**2) * values[k]
    return values
