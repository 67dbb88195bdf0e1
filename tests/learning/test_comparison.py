"""Champion and challenger: what is new counts as much as what is old, and nobody is left worse off."""

import numpy as np
import pytest

from aiida_haml.learning.comparison import Group, compare, force_weights, frame_score, group_scores

RULE = {"min_gain": 0.02, "max_regression": 1.2, "tolerance": 0.1}


def scores(**values):
    """``a_new=0.1`` is the score of candidate a on this round's frames."""
    return {Group(name[0], name.endswith("new")): value for name, value in values.items()}


@pytest.mark.parametrize(
    ("champion", "challenger", "winner"),
    [
        (None, scores(a_new=3.0), "challenger"),
        (scores(a_old=0.06, a_new=0.40), scores(a_old=0.07, a_new=0.15), "challenger"),  # learned where it failed
        (scores(a_old=0.10), scores(a_old=0.10), "champion"),  # a tie
        (scores(a_old=0.10), scores(a_old=0.099), "champion"),  # less than the gain asked for
        (scores(a_old=0.10), scores(a_old=0.11), "champion"),
        (scores(a_new=0.50, b_old=0.15), scores(a_new=0.12, b_old=0.25), "champion"),  # b pays for a
        (scores(a_new=0.50, b_old=0.05), scores(a_new=0.12, b_old=0.09), "challenger"),  # b is still within tolerance
        (scores(a_old=0.20, a_new=0.2), scores(a_old=float("inf"), a_new=0.1), "champion"),
    ],
)
def test_who_wins(champion, challenger, winner):
    verdict = compare(champion, challenger, **RULE)
    assert verdict.winner == winner
    assert verdict.reason.endswith(".")


def test_a_challenger_may_be_hardly_worse_where_nothing_speaks_for_the_champion():
    lenient = RULE | {"min_gain": -0.2}
    verdict = compare(scores(a_new=0.111), scores(a_new=0.114), **lenient)
    assert verdict.winner == "challenger"
    assert "hardly worse" in verdict.reason
    assert "better" in compare(scores(a_new=0.2), scores(a_new=0.1), **lenient).reason
    assert compare(scores(a_new=0.2), scores(a_new=0.25), **lenient).winner == "champion"


def test_many_old_frames_do_not_outvote_a_few_new_ones():
    groups = [Group("a", False)] * 100 + [Group("a", True)] * 2
    champion = group_scores(groups, [0.05**2] * 100 + [0.5**2] * 2)
    challenger = group_scores(groups, [0.06**2] * 100 + [0.1**2] * 2)
    assert compare(champion, challenger, **RULE).winner == "challenger"


def test_large_forces_are_measured_by_their_relative_error():
    reference = np.array([[0.1, 0.0, 0.0], [30.0, 0.0, 0.0]])
    weights = force_weights(reference, 3.0)
    assert weights[0] == pytest.approx(1.0, abs=0.01)
    assert weights[1] == pytest.approx(0.01, rel=0.02)
    # 10 % of 30 eV/Å counts like 0.3 eV/Å on an atom with a force of 3, and far less than by itself.
    error = np.array([[0.0, 0.0, 0.0], [3.0, 0.0, 0.0]])
    assert np.sqrt(frame_score(reference + error, reference, 0.0, 3.0, 2.0)) == pytest.approx(
        0.3 / np.sqrt(6), rel=0.02
    )


def test_an_energy_that_is_off_counts_beside_the_forces():
    reference = np.zeros((4, 3))
    alone = frame_score(reference, reference, 0.02, 3.0, 2.0)
    assert np.sqrt(alone) == pytest.approx(0.02 * np.sqrt(2))  # 20 meV/atom like 28 meV/Å
    assert frame_score(reference + 0.1, reference, 0.02, 3.0, 2.0) == pytest.approx(alone + 0.01)
