"""The projection of descriptors and the reference environments in it.

A basis is a function of the element set and the settings alone, never of the candidates: describing a
candidate needs nothing of the others, and adding one to a screen recomputes nothing.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from ase import Atoms
from ase.data import atomic_numbers, chemical_symbols
from dscribe.descriptors import SOAP
from numpy.typing import NDArray
from scipy.linalg import eigh
from threadpoolctl import threadpool_limits

from aiida_haml.analysis.references import ReferencePhase, disordered, mixtures, reference_phases
from aiida_haml.analysis.settings import DescriptionSettings

Float32Array = NDArray[np.float32]

#: Raise when the phases, the disorder or the fit change: it enters the key that marks comparable results.
BASIS_VERSION = 1
FIT_SNAPSHOTS = 4
CALIBRATION_SNAPSHOTS = 2
MAX_POINTS = 300
THERMAL_QUANTILE = 0.99


def soap(settings: DescriptionSettings) -> SOAP:
    """Return the descriptor: SOAP with the chemistry of neighbours kept (mu1nu1), single precision."""
    return SOAP(
        species=list(settings.elements), r_cut=settings.r_cut, n_max=settings.n_max, l_max=settings.l_max,
        sigma=settings.sigma, periodic=True, compression={"mode": "mu1nu1"}, dtype="float32",
    )  # fmt: skip


def describe_atoms(descriptor: SOAP, atoms: Atoms, centres: NDArray[np.int64] | None = None) -> Float32Array:
    """Return (M, D) descriptors of unit length, of all atoms or of the chosen ones."""
    values = np.asarray(descriptor.create(atoms, centers=None if centres is None else centres.tolist()))
    norms = np.linalg.norm(values, axis=1, keepdims=True)
    return np.asarray(values / np.maximum(norms, np.finfo(np.float32).tiny), dtype=np.float32)


@dataclass(frozen=True, eq=False)
class SpeciesBasis:
    """Projection and references of the environments of one central species.

    Attributes
    ----------
    mean : (D,) array
    components : (D, C) array
        Columns are principal components; zero columns where fewer exist.
    points : (R, C) array
        Reference environments, thermally disordered.
    phase : (R,) int array
        Index of each point's phase in `Basis.phases`; ascending.
    radii : (P,) array
        How far a thermal environment of a phase lies from that phase's points (its 99th percentile); infinite
        for phases without this species.
    """

    mean: Float32Array
    components: Float32Array
    points: Float32Array
    phase: NDArray[np.int64]
    radii: Float32Array

    def project(self, descriptors: Float32Array) -> Float32Array:
        """Return the (M, C) coordinates of (M, D) descriptors."""
        return np.asarray(descriptors @ self.components - self.mean @ self.components, dtype=np.float32)


@dataclass(frozen=True, eq=False)
class Basis:
    """Everything that turns atoms into comparable environments.

    Attributes
    ----------
    key : str
        Environments are comparable only if made with the same key.
    phases : tuple of str
    roles : tuple of str
        Role of each phase.
    species : dict
        Atomic number -> `SpeciesBasis`.
    """

    key: str
    settings: DescriptionSettings
    phases: tuple[str, ...]
    roles: tuple[str, ...]
    species: dict[int, SpeciesBasis]


def basis_key(settings: DescriptionSettings, phases: list[ReferencePhase]) -> str:
    """Return a hash of what decides the projection and the phase answers: the settings and the phases."""
    names = ("elements", "r_cut", "n_max", "l_max", "sigma", "n_components", "reference_seed",
             "reference_temperatures_K", "none_threshold")  # fmt: skip
    chosen = {name: settings.to_dict()[name] for name in names} | {"version": BASIS_VERSION}
    digest = hashlib.sha256(json.dumps(chosen, sort_keys=True).encode())
    for phase in phases:
        digest.update(phase.name.encode() + phase.atoms.numbers.astype("<i8").tobytes())
        # Rounded, so that the last digits of another machine's arithmetic do not matter; + 0.0 unites -0 and
        # 0.
        for array in (phase.atoms.positions, phase.atoms.cell.array):
            digest.update((np.round(array, 4) + 0.0).astype("<f8").tobytes())
    return digest.hexdigest()[:16]


@lru_cache(maxsize=4)
def make_basis(settings: DescriptionSettings) -> Basis:
    """Fit the basis of an element set on disordered reference phases and mixtures.

    Parameters
    ----------
    settings : DescriptionSettings

    Returns
    -------
    Basis
        The same for the same settings. Some seconds for seven elements; kept for the life of the process.

    Raises
    ------
    ValueError
        If an element is unknown.
    """
    unknown = sorted(set(settings.elements) - set(chemical_symbols[1:]))
    if unknown:
        raise ValueError(f"DescriptionSettings.elements holds {unknown}, which are no chemical symbols; correct them.")
    phases = reference_phases(settings.elements, settings.reference_seed)
    roles = {p.name: p.role for p in phases}
    samples = _Samples(soap(settings), list(roles))
    numbers = [atomic_numbers[e] for e in settings.elements]
    with threadpool_limits(1):  # one order of summation on every machine; and threads fight for these small sizes
        _fill(samples, phases, settings)
        species = {z: _fit_species(samples, z, settings.n_components) for z in numbers}
    return Basis(basis_key(settings, phases), settings, tuple(roles), tuple(roles.values()), species)


class _Samples:
    """Descriptors by use ('fit', 'calibrate', 'mix'), central species and phase."""

    def __init__(self, descriptor: SOAP, names: list[str]) -> None:
        self.descriptor, self.names = descriptor, names
        self.rows: list[tuple[str, int, NDArray[np.int64], Float32Array]] = []

    def add(self, use: str, phase: int, atoms: Atoms) -> None:
        self.rows.append((use, phase, atoms.numbers, describe_atoms(self.descriptor, atoms)))

    def take(self, use: str, central: int, phase: int) -> Float32Array:
        parts = [x[z == central] for u, p, z, x in self.rows if u == use and p == phase]
        return np.concatenate(parts) if parts else np.empty((0, self.descriptor.get_number_of_features()), np.float32)


def _fill(samples: _Samples, phases: list[ReferencePhase], settings: DescriptionSettings) -> None:
    for k, phase in enumerate(phases):
        rng = np.random.default_rng([settings.reference_seed, 0, k])
        index = samples.names.index(phase.name)
        for temperature in settings.reference_temperatures_K:
            for use, count in (("fit", FIT_SNAPSHOTS), ("calibrate", CALIBRATION_SNAPSHOTS)):
                for _ in range(count):
                    samples.add(use, index, disordered(phase, temperature, rng))
    for atoms in mixtures(settings.elements, phases, settings.reference_seed):
        samples.add("mix", -1, atoms)


def _fit_species(samples: _Samples, central: int, n_components: int) -> SpeciesBasis:
    n_phases = len(samples.names)
    by_phase = [_thin(samples.take("fit", central, p), MAX_POINTS) for p in range(n_phases)]
    mixed = samples.take("mix", central, -1)
    everything = np.concatenate([*by_phase, mixed])
    mean, components = _principal_components(everything, n_components)
    points = [np.asarray((x - mean) @ components, dtype=np.float32) for x in by_phase]
    held_out = [(samples.take("calibrate", central, p) - mean) @ components for p in range(n_phases)]
    radii = [_thermal_radius(points[p], held_out[p]) for p in range(n_phases)]
    return SpeciesBasis(
        mean=mean,
        components=components,
        points=np.concatenate([np.empty((0, n_components), dtype=np.float32), *points]),
        phase=np.repeat(np.arange(n_phases), [len(x) for x in points]),
        radii=np.array(radii, dtype=np.float32),
    )


def _thin(rows: Float32Array, limit: int) -> Float32Array:
    """Return at most `limit` rows, evenly spread."""
    return rows if len(rows) <= limit else rows[np.linspace(0, len(rows) - 1, limit).astype(int)]


def _principal_components(samples: Float32Array, count: int) -> tuple[Float32Array, Float32Array]:
    """Return mean and leading components, each with its largest entry positive so that signs are defined."""
    size = samples.shape[1]
    mean = samples.mean(axis=0, dtype=np.float64)
    centred = samples - mean
    kept = min(count, size)
    _, vectors = eigh(centred.T @ centred, subset_by_index=[size - kept, size - 1])
    vectors = vectors[:, ::-1]
    vectors = vectors * np.sign(vectors[np.abs(vectors).argmax(axis=0), np.arange(kept)])
    components = np.zeros((size, count), dtype=np.float32)
    components[:, :kept] = vectors
    return mean.astype(np.float32), components


def _thermal_radius(points: NDArray[np.floating], held_out: NDArray[np.floating]) -> float:
    if not len(points) or not len(held_out):
        return float("inf")
    squared = (held_out**2).sum(1)[:, None] + (points**2).sum(1)[None] - 2 * held_out @ points.T
    return float(np.quantile(np.sqrt(squared.min(axis=1).clip(0)), THERMAL_QUANTILE))
