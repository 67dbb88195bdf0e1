"""Which trainings of a run explore: the first ones, as long as no potential has driven."""

from types import SimpleNamespace
from typing import Any

import pytest

from aiida_haml.workchains.hybrid import HybridWorkChain

SETTINGS = {"learning": {"max_regression": 1.2}, "rounds": {"n_explorations": 2}}


def asked(potential: Any, explorations: int, is_exploring: bool) -> dict[str, Any]:
    """Return what a training is told of exploring."""
    context = {"potential": potential, "explorations": explorations, "is_exploring": is_exploring}
    run: Any = SimpleNamespace(ctx=SimpleNamespace(settings=SETTINGS, **context))
    return HybridWorkChain._exploration(run)


@pytest.mark.parametrize(
    ("potential", "explorations", "is_exploring", "explores"),
    [
        (None, 0, False, True),
        ("first", 1, True, True),
        ("second", 2, True, False),
        ("first", 1, False, False),  # it drove meanwhile
        ("given", 0, False, False),
    ],
)
def test_a_training_explores_until_a_potential_has_driven(potential, explorations, is_exploring, explores):
    told = asked(potential, explorations, is_exploring)
    assert (told.get("n_explored") != 0) is explores
    assert ("min_gain" in told) is is_exploring


def test_what_learned_from_an_exploration_may_be_as_much_worse_as_on_one_candidate():
    assert asked("first", 1, True)["min_gain"] == pytest.approx(-0.2)
