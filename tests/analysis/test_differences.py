"""Which environments set candidates apart, and how thick the layer between them is."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aiida_haml.analysis.clusters import jensen_shannon
from aiida_haml.analysis.differences import chosen_pairs, differences, divergence_by_cluster
from aiida_haml.analysis.layers import layer_thickness


def distribution(rng, bins=3, clusters=6):
    made = rng.random((bins, clusters)) * (rng.random((bins, clusters)) < 0.6)
    made[:, 0] += 0.1
    return made / made.sum(axis=1, keepdims=True)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6))
def test_contributions_are_positive_and_add_up_to_the_divergence(seed):
    rng = np.random.default_rng(seed)
    first, second = distribution(rng), distribution(rng)
    parts = divergence_by_cluster(first, second)
    assert (parts >= 0).all()
    assert np.sqrt(parts.sum()) == pytest.approx(jensen_shannon(first, second))


def test_the_planted_cluster_is_named():
    first = np.array([[0.5, 0.3, 0.2, 0.0]])
    second = np.array([[0.5, 0.3, 0.0, 0.2]])
    clusters = [{"id": i, "central": "S", "nearest_phase": n, "size": 1} for i, n in enumerate("ABCD")]
    distance = jensen_shannon(first, second)
    (row,) = differences(["x", "y"], [first, second], np.array([[0, distance], [distance, 0]]), clusters)
    assert row["labels"] == ["x", "y"]
    assert [c["nearest_phase"] for c in row["clusters"]] == ["C", "D"]
    assert [c["contribution"] for c in row["clusters"]] == pytest.approx([0.5, 0.5])
    assert row["clusters"][0]["shares"] == pytest.approx([0.2, 0])


def test_candidates_that_are_alike_differ_in_nothing():
    same = np.array([[0.5, 0.5]])
    clusters = [{"id": i, "central": "P", "nearest_phase": "new"} for i in range(2)]
    assert differences(["x", "y"], [same, same], np.zeros((2, 2)), clusters)[0]["clusters"] == []


def test_a_candidate_without_frames_is_compared_with_nothing():
    empty, full = np.zeros((1, 2)), np.array([[0.5, 0.5]])
    clusters = [{"id": i, "central": "P", "nearest_phase": "new"} for i in range(2)]
    (row,) = differences(["x", "y"], [empty, full], np.array([[0, np.nan], [np.nan, 0]]), clusters)
    assert row["distance"] is None
    assert row["clusters"] == []


def test_of_many_candidates_each_meets_its_nearest():
    place = np.arange(30.0)
    pairs = chosen_pairs(np.abs(place[:, None] - place[None]))
    assert len(pairs) < 30 * 3
    assert all((i, i + 1) in pairs for i in range(29))
    assert len(chosen_pairs(np.zeros((4, 4)))) == 6


ROLES = np.array(["metal", "electrolyte", "product"])


def slabs(*columns):
    """Return one frame's counts of metal, electrolyte, product and none in each slab."""
    return np.array([columns])


def test_a_planted_layer_has_its_thickness():
    cells = np.repeat(np.diag([10.0, 10.0, 40.0])[None], 2, axis=0)
    counts = slabs((8, 0, 0, 0), (2, 0, 6, 0), (0, 4, 2, 2), (0, 8, 0, 0))
    series = {"z_phase_counts": counts, "roles": ROLES, "snapshot_cells": cells}
    assert layer_thickness(series) == pytest.approx([10 * 0.75 + 10 * 0.5])


def test_a_sheared_cell_counts_by_its_height():
    cells = np.repeat(np.array([[10.0, 0, 0], [0, 10, 0], [20, 0, 40]])[None], 2, axis=0)
    series = {"z_phase_counts": slabs((0, 0, 8, 0)), "roles": ROLES, "snapshot_cells": cells}
    assert layer_thickness(series) == pytest.approx([40])


def test_broken_molecules_count_by_the_height_of_the_electrolyte():
    cells = np.repeat(np.diag([10.0, 10.0, 40.0])[None], 2, axis=0)
    counts = np.repeat(slabs((8, 0, 0, 0), (8, 0, 0, 1), (0, 0, 0, 9), (0, 0, 0, 9)), 3, axis=0)
    series = {"z_phase_counts": counts, "roles": ROLES, "snapshot_cells": cells,
              "reacted_by": np.array(["molecules"]), "reacted_fraction": np.array([0.0, 0.1, 0.5])}  # fmt: skip
    assert layer_thickness(series) == pytest.approx([0, 2, 10])


def test_without_a_cell_there_is_no_thickness():
    series = {"z_phase_counts": slabs((1, 0, 0, 0)), "roles": ROLES, "snapshot_cells": np.zeros((2, 3, 3))}
    assert layer_thickness(series) is None
    assert layer_thickness({}) is None
