"""How far apart interphases are, with chance taken off; which clusters set them apart."""

import numpy as np
import pytest
from scipy.spatial.distance import jensenshannon

from aiida_haml.analysis.compare.distances import (
    arrival,
    differences,
    distance,
    distance_matrix,
    floor,
    similarity_in_kind,
    stillness,
)

KINDS = np.eye(4)
CLUSTERS = [{"id": i, "central": "S", "nearest_phase": name} for i, name in enumerate("ABCD")]


def atoms_of(shares, atoms, rng):
    """Return what so many atoms drawn from a distribution show."""
    return rng.multinomial(atoms, shares).astype(float)


def test_distance_is_zero_for_the_same_and_one_for_nothing_in_common():
    assert distance(100 * KINDS[0], 100 * KINDS[0]) == 0
    assert distance(1e6 * KINDS[0], 1e6 * KINDS[1]) == pytest.approx(1, abs=1e-3)
    assert np.isnan(distance(KINDS[0], 0 * KINDS[0]))


@pytest.mark.parametrize("atoms", [20, 100, 1000])
def test_two_samples_of_one_interphase_are_near_whatever_their_size(atoms):
    """Without what chance makes of it, twenty atoms over ten clusters would be 0.4 apart."""
    rng = np.random.default_rng(atoms)
    shares, other = np.full(10, 0.1), np.array([0.3, 0.3, 0.3, *[0.1 / 7] * 7])
    pairs = [(atoms_of(shares, atoms, rng), atoms_of(shares, atoms, rng)) for _ in range(200)]
    found = np.mean([distance(a, b) ** 2 for a, b in pairs])
    assert found < 0.5 * np.mean([jensenshannon(a, b, base=2) ** 2 for a, b in pairs])
    apart = np.mean([distance(atoms_of(shares, atoms, rng), atoms_of(other, atoms, rng)) for _ in range(200)])
    assert apart > 1.5 * np.sqrt(found)


def test_a_mixture_of_protective_products_is_of_their_kind_and_a_phosphide_is_not():
    phases = KINDS[:2]
    assert similarity_in_kind(500 * (0.6 * KINDS[0] + 0.4 * KINDS[1]), phases) > 0.95
    half = similarity_in_kind(500 * (0.5 * KINDS[0] + 0.5 * KINDS[2]), phases)
    assert similarity_in_kind(500 * KINDS[2], phases) < 0.1 < half < 0.8
    assert np.isnan(similarity_in_kind(0 * KINDS[0], phases))
    assert np.isnan(similarity_in_kind(KINDS[0], np.zeros((0, 4))))


def test_an_interphase_that_goes_on_changing_is_not_still():
    late = slice(6, None)
    still = np.repeat(200 * KINDS[:1], 12, axis=0)
    turning = np.array([200 * KINDS[k % 4] for k in range(12)])
    assert stillness(still, late) == 1
    assert stillness(turning, late) < 0.1
    assert np.isnan(stillness(0 * still, late))


def test_arrival_is_when_it_becomes_what_it_stays():
    windows = np.repeat(200 * KINDS[:1], 12, axis=0)
    windows[:5] = 200 * KINDS[1]
    assert arrival(windows, slice(8, None), 0.3) == pytest.approx(5 / 12, abs=0.5 / 12)
    assert arrival(windows[5:], slice(4, None), 0.3) < 0.5 / 7
    windows[7] = 200 * KINDS[1]  # it comes back once
    assert arrival(windows, slice(8, None), 0.3) == pytest.approx(8 / 12, abs=0.5 / 12)
    assert arrival(windows[:8], slice(5, None), 0.1) == 1


def test_arrival_moves_with_the_course_and_not_in_steps_of_a_window():
    def course(moment):
        share = 1 / (1 + np.exp(-(np.arange(12) + 0.5 - moment)))
        return 500 * (share[:, None] * KINDS[0] + (1 - share)[:, None] * KINDS[1])

    found = [arrival(course(moment), slice(8, None), 0.3) for moment in (3.0, 3.25, 3.5, 3.75, 4.0)]
    assert np.diff(found) == pytest.approx([0.25 / 12] * 4, rel=0.3)


def test_the_floor_is_the_distance_between_seeds():
    rng = np.random.default_rng(1)
    shares = {"a": [0.5, 0.5, 0, 0], "b": [0.5, 0.5, 0, 0], "c": [0, 0, 0.5, 0.5]}
    labels = [label for label in shares for _ in range(3)]
    layers = [atoms_of(shares[label], 60, rng) for label in labels]
    cut = floor(distance_matrix(layers), labels)
    assert cut < 0.2
    pooled = distance_matrix([np.mean(layers[k : k + 3], axis=0) for k in (0, 3, 6)])
    assert pooled[0, 1] < max(cut, 0.1) < min(pooled[0, 2], pooled[1, 2])
    assert np.isnan(floor(pooled, ["a", "b", "c"]))


def test_the_planted_cluster_is_named():
    layers = [1000 * np.array([0.5, 0.3, 0.2, 0.0]), 1000 * np.array([0.5, 0.3, 0.0, 0.2])]
    (row,) = differences(["x", "y"], layers, distance_matrix(layers), CLUSTERS, 0.1)
    assert row["labels"] == ["x", "y"]
    assert [c["nearest_phase"] for c in row["clusters"]] == ["C", "D"]
    assert [c["contribution"] for c in row["clusters"]] == pytest.approx([0.5, 0.5])
    assert row["clusters"][0]["shares"] == pytest.approx([0.2, 0])


def test_candidates_within_the_floor_and_without_an_interphase_differ_in_nothing():
    layers = [100 * KINDS[0], 100 * KINDS[0], 0 * KINDS[0]]
    assert differences(["x", "y", "z"], layers, distance_matrix(layers), CLUSTERS, 0.1) == []
