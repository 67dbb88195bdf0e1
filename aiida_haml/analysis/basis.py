"""The projection of descriptors, and what the reference phases look like in it.

A basis is a function of the element set and the settings alone, never of the candidates: describing a
candidate needs nothing of the others, and adding one to a screen recomputes nothing.

Each phase is described, for each central species, by a few normal distributions in the leading principal
components, fitted to disordered snapshots of its crystal. The distance of an environment to a phase is the
smallest Mahalanobis distance to them in units of the phase's thermal radius, the 99th percentile of the
distances of snapshots that the fit has not seen. The probability of a phase falls exponentially with its
distance; that of 'none of these' belongs to a constant distance. The rate and that constant are fitted, for
each species, by maximum likelihood on those snapshots and on cells that are no phase (random mixtures, heavy
solid solutions, molten products), each phase and 'none' counting as much as another.
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
from scipy.optimize import minimize
from scipy.special import log_softmax
from sklearn.cluster import KMeans
from threadpoolctl import threadpool_limits

from aiida_haml.analysis.references import ELECTROLYTE, ReferencePhase, mixtures, reference_phases, snapshot, strangers
from aiida_haml.analysis.settings import DescriptionSettings

Float32Array = NDArray[np.float32]
FloatArray = NDArray[np.float64]

#: Raise when the phases, the disorder or the fit change: it enters the key that marks comparable results.
BASIS_VERSION = 2
#: Snapshots of a phase for each temperature, for the fit and as many for the calibration; those of an
#: electrolyte differ in dopants and lithium sites as well.
SNAPSHOTS = 6
ELECTROLYTE_SNAPSHOTS = 100
#: Environments of each phase that the principal components are fitted on.
MAX_POINTS = 600
#: Principal components that phases are told apart in; the others hold little but noise.
PHASE_COMPONENTS = 24
#: Normal distributions for a species in an electrolyte; in other phases, one for each crystal site.
ELECTROLYTE_MODES = 6
THERMAL_QUANTILE = 0.99
#: Added to the variance of each mode along each component, in descriptors of unit length: keeps directions in
#: which the snapshots of a high crystal do not vary from deciding alone.
VARIANCE_FLOOR = 1e-6


def soap(settings: DescriptionSettings, dtype: str = "float32") -> SOAP:
    """Return the descriptor: SOAP with the chemistry of neighbours kept (mu1nu1)."""
    return SOAP(
        species=list(settings.elements), r_cut=settings.r_cut, n_max=settings.n_max, l_max=settings.l_max,
        sigma=settings.sigma, periodic=True, compression={"mode": "mu1nu1"}, dtype=dtype,
    )  # fmt: skip


def describe_atoms(descriptor: SOAP, atoms: Atoms, centres: NDArray[np.int64] | None = None) -> Float32Array:
    """Return (M, D) descriptors of unit length, of all atoms or of the chosen ones."""
    values = np.asarray(descriptor.create(atoms, centers=None if centres is None else centres.tolist()))
    norms = np.linalg.norm(values, axis=1, keepdims=True)
    return np.asarray(values / np.maximum(norms, np.finfo(np.float32).tiny), dtype=np.float32)


@dataclass(frozen=True, eq=False)
class Modes:
    """Normal distributions of the environments of one central species in the phases, K of them.

    Attributes
    ----------
    whitening : (C', K * C') array
        Takes the leading C' components, after `shift`, to components of unit variance for each mode.
    shift : (K * C',) array
    phase : (K,) int array
        Index of each mode's phase in `Basis.phases`; ascending.
    radii : (P,) array
        Thermal radius of each phase, in Mahalanobis distances divided by the root of C'; infinite for phases
        without this species.
    rate, none_distance : float
        Log-probabilities are -rate * distance, up to a constant, and -rate * none_distance for 'none'.
    accuracy : float
        Share of the snapshots that are not in the fit that are answered rightly, phases and 'none' counting
        alike.
    """

    whitening: Float32Array
    shift: Float32Array
    phase: NDArray[np.int64]
    radii: Float32Array
    rate: float
    none_distance: float
    accuracy: float

    def distances(self, projected: Float32Array) -> Float32Array:
        """Return (M, P) distances of (M, C) environments to the phases, in thermal radii."""
        found = np.full((len(projected), len(self.radii)), np.inf, dtype=np.float32)
        if not len(self.phase):
            return found
        size = len(self.whitening)
        white = projected[:, :size] @ self.whitening
        white -= self.shift
        modes = white.reshape(len(projected), len(self.phase), size)
        squared = np.einsum("mkc,mkc->mk", modes, modes)
        held, starts = np.unique(self.phase, return_index=True)  # modes lie in the order of their phases
        nearest = np.minimum.reduceat(squared, starts, axis=1)
        found[:, held] = np.sqrt(nearest / size) / self.radii[held]
        return found

    def log_probabilities(self, distances: Float32Array) -> FloatArray:
        """Return (M, P + 1) natural logarithms of the probabilities of the phases and, last, of none."""
        return log_probabilities(distances, self.rate, self.none_distance)


def log_probabilities(distances: Float32Array, rate: float, none_distance: float) -> FloatArray:
    """Return (M, P + 1) natural logarithms of the probabilities of the phases and, last, of none."""
    none = np.full((len(distances), 1), none_distance, dtype=distances.dtype)
    return np.asarray(log_softmax(-rate * np.concatenate([distances, none], axis=1), axis=1))


@dataclass(frozen=True, eq=False)
class SpeciesBasis:
    """Projection of the environments of one central species, and the phases in it.

    Attributes
    ----------
    mean : (D,) array
    components : (D, C) array
        Columns are principal components; zero columns where fewer exist.
    modes : Modes
    """

    mean: Float32Array
    components: Float32Array
    modes: Modes

    def project(self, descriptors: Float32Array) -> Float32Array:
        """Return the (M, C) coordinates of (M, D) descriptors of unit length."""
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
             "reference_temperatures_K")  # fmt: skip
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
    phases = reference_phases(settings.elements, settings.host)
    numbers = [atomic_numbers[e] for e in settings.elements]
    with threadpool_limits(1):  # one order of summation on every machine; and threads fight for these small sizes
        samples = _samples(phases, settings)
        species = {z: _fit_species(samples, phases, z, settings.n_components) for z in numbers}
    names, roles = tuple(p.name for p in phases), tuple(p.role for p in phases)
    return Basis(basis_key(settings, phases), settings, names, roles, species)


#: What a sample is of: the index of a phase, or one of these.
MIXED, STRANGE = -2, -1


class _Samples:
    """Descriptors by use ('fit' or 'calibrate'), what they are of, and central species."""

    def __init__(self, descriptor: SOAP) -> None:
        self.descriptor = descriptor
        self.rows: list[tuple[str, int, NDArray[np.int64], Float32Array]] = []

    def add(self, use: str, what: int, atoms: Atoms) -> None:
        self.rows.append((use, what, atoms.numbers, describe_atoms(self.descriptor, atoms)))

    def take(self, use: str, what: int, central: int) -> Float32Array:
        parts = [x[z == central] for u, w, z, x in self.rows if u == use and w == what]
        return np.concatenate(parts) if parts else np.empty((0, self.descriptor.get_number_of_features()), np.float32)


def _samples(phases: list[ReferencePhase], settings: DescriptionSettings) -> _Samples:
    samples = _Samples(soap(settings))
    for k, phase in enumerate(phases):
        rng = np.random.default_rng([settings.reference_seed, 0, k])
        count = ELECTROLYTE_SNAPSHOTS if phase.role == ELECTROLYTE else SNAPSHOTS
        for temperature in settings.reference_temperatures_K:
            for use in ("fit", "calibrate"):
                for _ in range(count):
                    samples.add(use, k, snapshot(phase, temperature, settings.elements, rng))
    for atoms in mixtures(settings.elements, phases, settings.reference_seed):
        samples.add("fit", MIXED, atoms)
    for atoms in strangers(settings.elements, phases, settings.reference_seed):
        samples.add("calibrate", STRANGE, atoms)
    return samples


def _fit_species(samples: _Samples, phases: list[ReferencePhase], central: int, n_components: int) -> SpeciesBasis:
    everything = [samples.take("fit", p, central) for p in range(len(phases))]
    mixed = samples.take("fit", MIXED, central)
    mean, components = _principal_components(
        np.concatenate([*(_thin(x, MAX_POINTS) for x in everything), mixed]), n_components
    )
    size = min(PHASE_COMPONENTS, n_components)
    leading = components[:, :size]
    parts: list[tuple[int, Float32Array, Float32Array]] = []
    for p, (phase, rows) in enumerate(zip(phases, everything, strict=True)):
        if len(rows):
            parts += [(p, *mode) for mode in _modes((rows - mean) @ leading, _n_modes(phase, central))]
    held_out = [samples.take("calibrate", p, central) for p in [*range(len(phases)), STRANGE]]
    calibration = [np.asarray((x - mean) @ leading, dtype=np.float32) for x in held_out]
    return SpeciesBasis(mean, components, _calibrated(parts, calibration, size))


def _n_modes(phase: ReferencePhase, central: int) -> int:
    if phase.role == ELECTROLYTE:
        return ELECTROLYTE_MODES
    chosen = phase.atoms.numbers == central
    sites = phase.atoms.arrays.get("sites")
    return 1 if sites is None else len(set(sites[chosen].tolist()))


def _modes(rows: NDArray[np.floating], count: int) -> list[tuple[Float32Array, Float32Array]]:
    """Return (C, C) whitening and (C,) shift of normal distributions fitted to the groups of k-means.

    Covariances are drawn towards their diagonal, the more the fewer the rows.
    """
    rows = rows.astype(np.float64)
    size = rows.shape[1]
    group = KMeans(count, n_init=2, random_state=0).fit_predict(rows) if count > 1 else np.zeros(len(rows), dtype=int)
    found = []
    for k in range(count):
        own = rows[group == k]
        if len(own) < 2:
            continue
        covariance = np.cov(own.T).reshape(size, size)
        weight = min(1.0, size / len(own))
        diagonal = np.diag(np.diag(covariance))
        covariance = (1 - weight) * covariance + weight * diagonal + VARIANCE_FLOOR * np.eye(size)
        whitening = np.linalg.inv(np.linalg.cholesky(covariance)).T
        found.append((whitening.astype(np.float32), (own.mean(axis=0) @ whitening).astype(np.float32)))
    return found


def _calibrated(
    parts: list[tuple[int, Float32Array, Float32Array]], calibration: list[Float32Array], size: int
) -> Modes:
    """Return the modes with radii, rate and level of 'none' from samples of each phase and, last, of none."""
    n_phases = len(calibration) - 1
    phase = np.array([p for p, _, _ in parts], dtype=np.int64)
    whitening = np.concatenate([np.empty((size, 0), np.float32), *(w for _, w, _ in parts)], axis=1)
    shift = np.concatenate([np.empty(0, np.float32), *(b for _, _, b in parts)])
    held = np.isin(np.arange(n_phases), phase)
    bare = Modes(whitening, shift, phase, np.where(held, 1.0, np.inf).astype(np.float32), 1.0, 1.0, 1.0)
    if not held.any():
        return bare
    radii = bare.radii.copy()
    for p in np.flatnonzero(held):
        radii[p] = np.quantile(bare.distances(calibration[p])[:, p], THERMAL_QUANTILE)
    scaled = Modes(whitening, shift, phase, radii, 1.0, 1.0, 1.0)
    distances = [(p, scaled.distances(x)) for p, x in enumerate(calibration) if len(x)]

    def cost(logarithms: FloatArray) -> float:
        rate, none = np.exp(logarithms)
        return -float(np.mean([log_probabilities(d, rate, none)[:, p].mean() for p, d in distances]))

    rate, none = np.exp(minimize(cost, np.log([10.0, 1.1]), method="Nelder-Mead").x)
    right = [np.mean(log_probabilities(d, rate, none).argmax(axis=1) == p) for p, d in distances]
    return Modes(whitening, shift, phase, radii, float(rate), float(none), float(np.mean(right)))


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
