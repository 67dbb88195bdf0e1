"""Clusters of environments over all candidates and references: the alphabet that the balance of a layer is written in.

Two stages, as for one million environments plain HDBSCAN is out of reach and plain k-means is much worse:
MiniBatchKMeans to at most a thousand centres, then HDBSCAN on the centres, for each central species by
itself. Snapshots of the reference phases are clustered with the candidates, so that each phase has its own distribution
over the same alphabet. What is counted of a candidate is its interphase alone: reacted atoms that are not lithium.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.cluster.hierarchy import fcluster, linkage
from sklearn.cluster import HDBSCAN, MiniBatchKMeans

from aiida_haml.analysis.balance.states import HOST
from aiida_haml.analysis.chemistry.bonds import LITHIUM
from aiida_haml.analysis.environments.modes import Float32Array
from aiida_haml.analysis.settings import RankingSettings
from aiida_haml.arrays import FloatArray

#: Environments needed for each centre of the first stage.
ENVIRONMENTS_PER_CENTRE = 20
#: Most groups that the environments of one species between its dense clusters are divided into.
MAX_BETWEEN = 8
#: Rows that are assigned to clusters at a time.
ASSIGN_ROWS = 100_000
#: Environments of a candidate that are counted, about; frames that follow on each other say the same.
MAX_COUNTED = 50_000
#: Most faces that a cell has.
FACES = 2
NEW = "new"


@dataclass(frozen=True, eq=False)
class Described:
    """Environments of one candidate, or of the references; the arrays may be memory maps.

    Attributes
    ----------
    key : str
    projected : (M, C) array
    central : (M,) int array
    phase : (M,) int array
        Index of the phase resembled, -1 for none; of references, the phase that they are of.
    state : (M,) int array
        See `aiida_haml.analysis.balance.states`.
    face : (M,) int array
        Index of the face that the atom is at.
    frame : (M,) int array
    time : (M,) array
        fs since the start of the candidate.
    """

    key: str
    projected: Float32Array
    central: NDArray[np.int16]
    phase: NDArray[np.int16]
    state: NDArray[np.int8]
    face: NDArray[np.int8]
    frame: NDArray[np.int32]
    time: FloatArray


@dataclass(frozen=True, eq=False)
class SpeciesClusters:
    """Centres of one central species and the cluster that each belongs to, counted from `offset`.

    The first `n_dense` clusters are dense, the rest lies between them.
    """

    central: int
    offset: int
    model: MiniBatchKMeans | None
    cluster_of_centre: NDArray[np.int64]
    n_dense: int
    n_clusters: int

    def assign(self, projected: Float32Array) -> NDArray[np.int64]:
        """Return the cluster of each (M, C) environment."""
        if self.model is None:
            return np.full(len(projected), self.offset)
        return self.offset + self.cluster_of_centre[self.model.predict(np.ascontiguousarray(projected))]


@dataclass(frozen=True, eq=False)
class Clusters:
    """Clusters over all candidates, K of them.

    Attributes
    ----------
    central, size : (K,) int array
        Atomic number of the central species; environments counted, of all candidates (`MAX_COUNTED`).
    nearest_phase : list of str
        Phase that more than half of the cluster's environments resemble, or 'new'.
    noise : (K,) bool array
        Whether it collects what HDBSCAN put into no cluster of its species: environments in between, or all
        of them where they form a continuum. These are divided by Ward's method.
    layer : (N, B, F, K) array
        Reacted atoms other than lithium of each candidate in each time bin at each face, atoms in a frame; NaN where a
        candidate has no frame.
    references : (P, K) array
        Distribution of the atoms other than lithium of each phase; zeros where it has none.
    time_edges : (N, B + 1) array
        fs since each candidate's start.
    """

    central: NDArray[np.int64]
    size: NDArray[np.int64]
    nearest_phase: list[str]
    noise: NDArray[np.bool_]
    layer: FloatArray
    references: FloatArray
    time_edges: FloatArray


def find_clusters(
    candidates: Sequence[Described], references: Described, phases: Sequence[str], compared_fs: Sequence[float],
    settings: RankingSettings,
) -> Clusters:  # fmt: skip
    """Cluster the environments of all candidates and of the references together.

    Parameters
    ----------
    candidates : sequence of Described
        Made with the same basis.
    references : Described
        Snapshots of the phases.
    phases : sequence of str
    compared_fs : sequence of float
        Of each candidate, the time over which its layer is counted: that of its group.
    settings : RankingSettings
    """
    sample, central = _sample(candidates, settings)
    sample, central = np.concatenate([sample, references.projected]), np.concatenate([central, references.central])
    species, offset = [], 0
    for z in np.unique(central):
        rows = sample[central == z]
        share = max(1, round(settings.max_centres * len(rows) / len(sample)))
        found = _fit_species(int(z), rows, min(share, len(rows) // ENVIRONMENTS_PER_CENTRE), offset, settings)
        species.append(found)
        offset += found.n_clusters
    return _count(candidates, references, species, list(phases), compared_fs, settings)


def _sample(candidates: Sequence[Described], settings: RankingSettings) -> tuple[Float32Array, NDArray[np.int16]]:
    """Draw environments evenly over the candidates."""
    quota = max(1, settings.max_fit_environments // len(candidates))
    rows, central = [], []
    for k, c in enumerate(candidates):
        rng = np.random.default_rng([settings.seed, k])
        n = len(c.central)
        chosen = np.arange(n) if n <= quota else np.sort(rng.choice(n, quota, replace=False))
        rows.append(np.asarray(c.projected[chosen]))
        central.append(np.asarray(c.central[chosen]))
    return np.concatenate(rows), np.concatenate(central)


def _fit_species(
    central: int, rows: Float32Array, n_centres: int, offset: int, settings: RankingSettings
) -> SpeciesClusters:
    smallest = settings.min_cluster_centres
    if n_centres < 2 * smallest:  # too few to speak of density: one cluster
        return SpeciesClusters(central, offset, None, np.zeros(1, dtype=int), 1, 1)
    model = MiniBatchKMeans(
        n_centres, random_state=settings.seed, n_init=1, batch_size=2048, init_size=max(4096, 2 * n_centres),
        compute_labels=False,
    ).fit(rows)  # fmt: skip
    found = HDBSCAN(min_cluster_size=smallest, min_samples=2, copy=True).fit_predict(model.cluster_centers_)
    n_dense = int(found.max()) + 1
    between = found < 0
    groups = _grouped(model.cluster_centers_[between], smallest)
    cluster_of_centre = found.astype(np.int64)
    cluster_of_centre[between] = n_dense + groups
    return SpeciesClusters(central, offset, model, cluster_of_centre, n_dense, int(cluster_of_centre.max()) + 1)


def _grouped(centres: FloatArray, smallest: int) -> NDArray[np.int64]:
    """Divide centres between the dense clusters by Ward's method, so that they too tell candidates apart."""
    count = min(MAX_BETWEEN, len(centres) // smallest)
    if count < 2:
        return np.zeros(len(centres), dtype=np.int64)
    return np.asarray(fcluster(linkage(centres, method="ward"), count, criterion="maxclust") - 1, dtype=np.int64)


def _chunks(candidate: Described) -> Iterator[NDArray[np.int64]]:
    """Yield the rows that are counted: those of all frames, or of frames evenly spread over the trajectory."""
    frame = np.cumsum(np.diff(candidate.time, prepend=candidate.time[:1]) > 0)
    rows = np.flatnonzero(frame % -(-len(frame) // MAX_COUNTED) == 0)
    for start in range(0, len(rows), ASSIGN_ROWS):
        yield rows[start : start + ASSIGN_ROWS]


def _count(
    candidates: Sequence[Described], references: Described, species: list[SpeciesClusters], phases: list[str],
    compared_fs: Sequence[float], settings: RankingSettings,
) -> Clusters:  # fmt: skip
    n_clusters = sum(s.n_clusters for s in species)
    time_edges = np.linspace(0, np.maximum(compared_fs, 1e-6), settings.time_bins + 1, axis=1)
    layer = np.full((len(candidates), settings.time_bins, FACES, n_clusters), np.nan)
    votes = np.zeros((n_clusters, len(phases) + 1), dtype=np.int64)
    for k, candidate in enumerate(candidates):
        edges, counts = time_edges[k], np.zeros(layer.shape[1:])
        frames: list[set[int]] = [set() for _ in range(settings.time_bins)]
        for part in _chunks(candidate):
            cluster = _assign(species, candidate, part)
            np.add.at(votes, (cluster, np.asarray(candidate.phase[part]).astype(int)), 1)  # -1 is the last column
            time = np.asarray(candidate.time[part])
            time_bin = np.clip(np.searchsorted(edges, time, side="right") - 1, 0, settings.time_bins - 1)
            inside = time <= edges[-1] + 1e-6
            for b in np.unique(time_bin[inside]):
                frames[b].update(np.unique(candidate.frame[part][inside & (time_bin == b)]).tolist())
            own = inside & (np.asarray(candidate.state[part]) > HOST)
            np.add.at(counts, (time_bin[own], np.asarray(candidate.face[part])[own], cluster[own]), 1)
        number = np.array([len(f) for f in frames])
        layer[k, number > 0] = counts[number > 0] / number[number > 0, None, None]
    size = votes.sum(axis=1)
    everything = np.arange(len(references.central))
    of_references = _assign(species, references, everything)
    np.add.at(votes, (of_references, np.asarray(references.phase).astype(int)), 1)
    best = votes[:, :-1].argmax(axis=1) if phases else np.zeros(n_clusters, dtype=int)
    clear = [bool(phases) and 2 * votes[i, best[i]] > votes[i].sum() for i in range(n_clusters)]
    own = np.zeros((len(phases), n_clusters))
    framework = np.asarray(references.central) != LITHIUM
    np.add.at(own, (np.asarray(references.phase)[framework].astype(int), of_references[framework]), 1)
    return Clusters(
        central=np.concatenate([np.full(s.n_clusters, s.central) for s in species]),
        size=size,
        nearest_phase=[phases[best[i]] if clear[i] else NEW for i in range(n_clusters)],
        noise=np.concatenate([np.arange(s.n_clusters) >= s.n_dense for s in species]),
        layer=layer,
        references=own / np.maximum(own.sum(axis=1, keepdims=True), 1),
        time_edges=time_edges,
    )


def _assign(species: list[SpeciesClusters], candidate: Described, part: NDArray[np.int64]) -> NDArray[np.int64]:
    central, projected = np.asarray(candidate.central[part]), np.asarray(candidate.projected[part])
    cluster = np.empty(len(central), dtype=np.int64)
    for s in species:
        rows = central == s.central
        if rows.any():
            cluster[rows] = s.assign(projected[rows])
    return cluster
