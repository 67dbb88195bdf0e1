"""Planted clusters of environments are found, named and counted at the faces where they are."""

import numpy as np
import pytest

from aiida_haml.analysis.balance.states import HOST, PRODUCT
from aiida_haml.analysis.compare.clusters import NEW, Described, find_clusters
from aiida_haml.analysis.settings import RankingSettings

SETTINGS = RankingSettings(max_centres=120, time_bins=6)
PHASES = ["Li2S", "electrolyte"]
CENTRES = np.zeros((3, 8), dtype=np.float32)
CENTRES[1, 0], CENTRES[2, 1] = 5.0, 5.0
PER_FRAME = 10


def candidate(key, which, seed=0, central=16, n=1800, length=120.0, reacted=True):
    """Return environments round the planted centres, in time order; the third centre resembles no phase.

    Even atoms are at the first face, odd ones at the second.
    """
    rng = np.random.default_rng(seed)
    kind = np.asarray(which)[np.linspace(0, len(which) - 1e-9, n).astype(int)]
    projected = (CENTRES[kind] + 0.2 * rng.standard_normal((n, 8))).astype(np.float32)
    frame = (np.arange(n) // PER_FRAME).astype(np.int32)
    return Described(
        key, projected, np.full(n, central, np.int16), np.array([0, 1, -1])[kind].astype(np.int16),
        np.full(n, PRODUCT if reacted else HOST, np.int8), (np.arange(n) % 2).astype(np.int8), frame,
        frame * length / (n / PER_FRAME - 1),
    )  # fmt: skip


#: Snapshots of Li2S and of the electrolyte.
REFERENCES = candidate("references", [0, 1], seed=7, n=400)


def clusters(candidates, length=120.0):
    return find_clusters(candidates, REFERENCES, PHASES, [length] * len(candidates), SETTINGS)


def test_each_candidate_is_counted_over_the_time_of_its_own_group():
    """A long trajectory elsewhere leaves no window of a short one empty."""
    short, long = candidate("short", [0, 1], seed=1, length=30.0), candidate("long", [0, 1], seed=2, length=120.0)
    found = find_clusters([short, long], REFERENCES, PHASES, [30.0, 120.0], SETTINGS)
    assert np.isfinite(found.layer).all()
    assert found.time_edges[:, -1].tolist() == [30.0, 120.0]


def named(found, name):
    return [i for i, own in enumerate(found.nearest_phase) if own == name]


def test_planted_clusters_are_found_and_named():
    found = clusters([candidate("a", [0, 1]), candidate("b", [1, 2], seed=1)])
    dense = np.flatnonzero(~found.noise)
    assert len(dense) == 3
    assert sorted(found.nearest_phase[i] for i in dense) == sorted(["Li2S", "electrolyte", NEW])
    assert found.size.sum() == 3600


def test_what_is_counted_are_atoms_in_a_frame_at_each_face_in_each_window():
    found = clusters([candidate("a", [0, 2])])
    product = found.layer[0][:, :, named(found, "Li2S")].sum(axis=2)
    assert product[0] == pytest.approx([PER_FRAME / 2] * 2)
    assert product[-1] == pytest.approx([0, 0])
    assert found.layer[0].sum(axis=(1, 2)) == pytest.approx([PER_FRAME] * 6)


def test_atoms_that_have_not_reacted_are_no_interphase():
    found = clusters([candidate("a", [0, 1], reacted=False)])
    assert found.layer.sum() == 0
    assert found.size.sum() == 1800


def test_reference_phases_have_a_distribution_over_the_same_alphabet():
    found = clusters([candidate("a", [0, 2])])
    assert found.references.sum(axis=1) == pytest.approx([1, 1])
    assert found.references[0, named(found, "Li2S")].sum() > 0.95


def test_species_are_never_clustered_together():
    sulfur, oxygen = candidate("a", [0, 1]), candidate("a", [0, 1], central=8)
    arrays = [n for n in vars(sulfur) if n != "key"]
    both = Described("a", **{n: np.concatenate([getattr(sulfur, n), getattr(oxygen, n)]) for n in arrays})
    found = clusters([both])
    assert set(found.central) == {8, 16}
    assert found.size[found.central == 8].sum() == 1800


def test_clusters_are_the_same_each_time():
    given = [candidate("a", [0, 1]), candidate("b", [1, 2], seed=1)]
    first, second = clusters(given), clusters(given)
    assert np.array_equal(first.layer, second.layer)
    assert first.nearest_phase == second.nearest_phase


def test_frames_beyond_the_compared_time_do_not_count_and_missing_ones_are_unknown():
    early = clusters([candidate("a", [0, 2])], length=60.0)
    assert early.layer[0][:, :, named(early, "Li2S")].sum() == pytest.approx(6 * PER_FRAME, rel=0.02)
    longer = clusters([candidate("a", [0, 2])], length=250.0)
    assert np.isnan(longer.layer[0]).all(axis=(1, 2)).tolist() == [False] * 3 + [True] * 3
