"""What a screen will take is told from what others took, in proportion, with its spread, or not at all."""

import pytest
from aiida import orm
from click.testing import CliRunner

from aiida_haml.cli import haml
from aiida_haml.queries.estimates import Past, estimate, history
from aiida_haml.queries.stored import distinct_bytes, stored_bytes
from aiida_haml.workchains.protocols import level_of_theory
from tests.graphs import Builder, frames, lay_screen

TEACHER = level_of_theory("teacher")


def past(**changes):
    """A screen of two candidates of 100 atoms, each followed for 1 ps by two at a time in an hour."""
    content = {
        "pk": 1, "n_atoms": 100, "n_labels": 200, "n_jobs": 50, "n_bytes": 10_000_000, "simulated_fs": 2000.0,
        "longest_fs": 1000.0, "seconds": {"labels": 3600.0, "training": 1800.0}, "wall_s": 3600.0, "in_flight": 2,
    }  # fmt: skip
    return Past(**content | changes)


def test_the_same_screen_takes_the_same():
    guess = estimate([past()], [100, 100], 1000.0, 2, {})
    assert (guess.labels.middle, guess.jobs.middle, guess.core_hours.middle) == pytest.approx((200, 50, 1.5))
    assert (guess.wall_hours.middle, guess.megabytes.middle) == pytest.approx((1.0, 10.0))


def test_atoms_cost_time_and_bytes_and_no_labels():
    guess = estimate([past()], [200, 400], 1000.0, 2, {})
    assert (guess.labels.middle, guess.core_hours.middle, guess.megabytes.middle) == pytest.approx((200, 4.5, 30.0))


def test_cores_count_for_the_jobs_that_have_them_and_neighbours_shorten_the_wall_time():
    guess = estimate([past()], [100] * 4, 1000.0, 4, {"label": 8, "learn": 2})
    assert guess.core_hours.middle == pytest.approx(2 * (8 * 1.0 + 2 * 0.5))
    assert guess.wall_hours.middle == pytest.approx(1.0)


def test_the_spread_is_that_of_the_screens():
    seen = [past(n_labels=n) for n in (400, 100, 200)]
    labels = estimate(seen, [100, 100], 1000.0, 2, {}).labels
    assert (labels.low, labels.middle, labels.high) == pytest.approx((100, 200, 400))


def test_without_a_past_nothing_is_told():
    assert estimate([], [100], 1000.0, 2, {}) is None


@pytest.fixture
def graph(aiida_profile_clean, aiida_localhost, tmp_path):
    builder = Builder(aiida_localhost, tmp_path)
    return lay_screen(builder, label__job__level=orm.Dict(TEACHER), max_in_flight=orm.Int(2)).made


def test_the_past_is_read_from_the_graph(graph):
    (seen,) = history(TEACHER)
    assert (seen.pk, seen.n_atoms, seen.n_labels, seen.simulated_fs) == (graph["screen"].pk, 2, 10, 12.0)
    assert (seen.n_jobs, seen.in_flight) == (8, 1)
    assert {kind: seen.seconds[kind] for kind in ("labels", "training", "MLP-MD")} == {
        "labels": 16.0, "training": 60.0, "MLP-MD": 4.0}  # fmt: skip
    assert seen.n_bytes > 0


def test_another_level_of_theory_has_another_past(graph):
    assert history(level_of_theory("gfn1-xtb")) == []
    assert history(level_of_theory("teacher", {"calculator": "ase.calculators.emt:EMT", "parameters": {}})) == []
    pinned = {**TEACHER, "theory": {**TEACHER["theory"], "kinds": {"Li": {}}}}
    assert len(history(pinned)) == 1, "a preset is known before its basis sets are read"


def test_a_dry_run_tells_it(graph, tmp_path):
    CliRunner().invoke(haml, ["setup"], catch_exceptions=False)
    spec = tmp_path / "spec.yaml"
    spec.write_text("name: a\ndopings: [pristine]\nprotocol: quick\nlevel_of_theory: teacher\n")
    before = orm.QueryBuilder().append(orm.Node).count()
    said = CliRunner().invoke(haml, ["screen", "submit", "--dry-run", str(spec)]).output
    assert "to be expected from 1 screen at this level" in said
    assert "830  labels" in said, "10 labels for 12 fs, and 1000 fs are asked for"
    assert "these screens followed a candidate for 12 fs" in said
    assert "one screen has no spread" in said
    assert orm.QueryBuilder().append(orm.Node).count() == before


def test_equal_content_is_counted_once(aiida_profile_clean):
    one, other = frames("burst").store(), frames("burst").store()
    each = stored_bytes([one.pk, other.pk])
    assert each[one.pk] == each[other.pk] == distinct_bytes([one.pk, other.pk]) > 1000
