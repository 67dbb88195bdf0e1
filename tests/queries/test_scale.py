"""Chains far beyond what recursion or one parameter a node would bear, laid by bulk insertion."""

import pytest
from aiida import orm

from aiida_haml.queries import audit, cost, find_labels, labels_behind, trace, training_steps
from aiida_haml.queries.labels import isolated_atom, level_of_code
from aiida_haml.queries.lattices import known_constant
from aiida_haml.queries.progress import progress
from tests.benchmarks._bulk import COMPONENT, LEVEL, N_FRAMES, THEORY, Bulk

N_TRAININGS = 1200


@pytest.fixture(scope="module")
def potential(aiida_profile):
    bulk = Bulk()
    pk = bulk.chain(N_TRAININGS)
    bulk.write()
    return orm.load_node(pk)


def test_a_long_line_of_potentials_is_traced(potential):
    text = trace(potential)
    assert text.count("made by haml.learn") == N_TRAININGS
    # Each generation has a line of its own, the label that it added, and the step behind that; none is indented more.
    assert max(len(line) - len(line.lstrip("│ ├└─")) for line in text.splitlines()) <= 9
    assert len(text.splitlines()) < 4 * N_TRAININGS


def test_a_long_line_of_potentials_is_audited_and_listed(potential):
    report = audit(potential)
    assert report.ok, report.problems[:3]
    assert report.n_training_frames == 2 * N_TRAININGS + 1  # and the isolated atom
    steps = training_steps(potential)
    assert len({step.label_uuid for step in steps if step.use != "isolated_atom"}) > 0.95 * N_TRAININGS
    assert all(step.calculation_uuid for step in steps)
    assert len(labels_behind(potential)) == N_TRAININGS + 1


def test_a_screen_that_was_laid_at_once_reads_like_one_that_ran(aiida_profile):
    bulk = Bulk(seed=1)
    pk = bulk.screen(3, 4, label="laid")
    bulk.write()
    screen = orm.load_node(pk)
    report = audit(screen)
    assert report.ok, [*map(str, report.problems[:3])]
    assert cost(screen).aimd_steps == 3 * 4 * (N_FRAMES - 1)
    assert cost(screen).simulated_fs == 3 * 480.0
    now = progress(screen)
    assert [(c.slug, c.n_bursts, c.n_stretches, c.round, c.simulated_fs) for c in now.candidates] == [
        (f"c{i:03d}", 4, 3, 3, 480.0) for i in range(3)
    ]
    assert "steps 0 to 20 of CP2K calculation" in trace(screen)
    assert len(find_labels(LEVEL, kind="probes")) == 3 * 3
    assert isolated_atom(LEVEL, "Li").kind == "isolated_atom"
    assert known_constant(LEVEL, COMPONENT, 0.1)["constant_A"] == 9.9
    assert level_of_code(isolated_atom(LEVEL, "Li").creator.inputs.code, THEORY) == LEVEL
