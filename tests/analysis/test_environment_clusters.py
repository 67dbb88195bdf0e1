"""Planted clusters of environments are found, named and counted; candidates are told apart by them."""

import numpy as np
import pytest

from aiida_haml.analysis.clusters import (
    NEW,
    Described,
    distance_matrix,
    find_clusters,
    hierarchy,
    jensen_shannon,
)
from aiida_haml.analysis.settings import RankingSettings

SETTINGS = RankingSettings(max_centres=120, time_bins=4)
PHASES = ["Li2S", "electrolyte"]
CENTRES = np.zeros((3, 8), dtype=np.float32)
CENTRES[1, 0], CENTRES[2, 1] = 5.0, 5.0


def candidate(key, which, seed=0, central=16, n=1500, length=100.0):
    """Return environments round the planted centres, in time order; the third centre resembles no phase."""
    rng = np.random.default_rng(seed)
    kind = np.asarray(which)[np.linspace(0, len(which) - 1e-9, n).astype(int)]
    projected = (CENTRES[kind] + 0.2 * rng.standard_normal((n, 8))).astype(np.float32)
    phase = np.array([0, 1, -1])[kind].astype(np.int16)
    return Described(key, projected, np.full(n, central, np.int16), phase, np.linspace(0, length, n))


def test_planted_clusters_are_found_and_named():
    found = find_clusters([candidate("a", [0, 1]), candidate("b", [1, 2], seed=1)], PHASES, 100.0, SETTINGS)
    dense = np.flatnonzero(~found.noise)
    assert len(dense) == 3
    assert sorted(found.nearest_phase[i] for i in dense) == sorted(["Li2S", "electrolyte", NEW])
    assert found.size.sum() == 3000
    assert np.allclose(found.distribution.sum(axis=2), 1)


def test_distributions_follow_time():
    found = find_clusters([candidate("a", [0, 1]), candidate("b", [1, 2])], PHASES, 100.0, SETTINGS)
    product = [i for i, name in enumerate(found.nearest_phase) if name == "Li2S"]
    share = found.distribution[0][:, product].sum(axis=1)
    assert share[0] > 0.9
    assert share[-1] < 0.1


def test_species_are_never_clustered_together():
    sulfur, oxygen = candidate("a", [0, 1]), candidate("a", [0, 1], central=8)
    both = Described("a", *(np.concatenate([getattr(sulfur, n), getattr(oxygen, n)])
                            for n in ("projected", "central", "phase", "time")))  # fmt: skip
    found = find_clusters([both], PHASES, 100.0, SETTINGS)
    assert set(found.central) == {8, 16}
    assert found.size[found.central == 8].sum() == 1500


def test_few_environments_make_one_cluster():
    found = find_clusters([candidate("a", [0], n=30)], PHASES, 100.0, SETTINGS)
    assert found.nearest_phase == ["Li2S"]
    assert found.size.tolist() == [30]


def test_clusters_are_the_same_each_time():
    given = [candidate("a", [0, 1]), candidate("b", [1, 2], seed=1)]
    first, second = (find_clusters(given, PHASES, 100.0, SETTINGS) for _ in range(2))
    assert np.array_equal(first.distribution, second.distribution)
    assert first.nearest_phase == second.nearest_phase


def test_frames_beyond_the_compared_time_do_not_count():
    found = find_clusters([candidate("a", [0, 1])], PHASES, 50.0, SETTINGS)
    product = [i for i, name in enumerate(found.nearest_phase) if name == "Li2S"]
    assert found.distribution[0][:, product].sum(axis=1).min() > 0.9


def test_distance_is_zero_for_the_same_and_one_for_nothing_in_common():
    p, q = np.array([[1.0, 0], [0.5, 0.5]]), np.array([[0.0, 1], [0, 0]])
    assert jensen_shannon(p, p) == 0
    assert jensen_shannon(p[:1], q[:1]) == pytest.approx(1)
    assert jensen_shannon(p, q) == pytest.approx(1)  # the second bin has no frame in q
    assert np.isnan(jensen_shannon(p[1:], q[1:]))


def test_alike_candidates_are_neighbours_in_the_hierarchy():
    given = [
        candidate("a", [0]),
        candidate("x", [2], seed=1),
        candidate("b", [0], seed=2),
        candidate("y", [2], seed=3),
    ]
    found = find_clusters(given, PHASES, 100.0, SETTINGS)
    distances = distance_matrix(list(found.distribution))
    assert np.allclose(distances, distances.T)
    assert distances[0, 2] < 0.2 < 0.9 < distances[0, 1]
    _, leaves = hierarchy(distances)
    assert {frozenset(leaves[:2]), frozenset(leaves[2:])} == {frozenset({0, 2}), frozenset({1, 3})}
    assert hierarchy(distances[:1, :1])[1] == [0]
