"""From where a training's potential explores: before one has driven from everywhere, then ahead of where it drives."""

from types import SimpleNamespace
from typing import Any

import pytest

from aiida_haml.workchains.hybrid import HybridWorkChain


class Burst:
    """A burst that ends at a time, fs."""

    def __init__(self, end: float) -> None:
        self.base = SimpleNamespace(attributes={"time_end": end})


class Run:
    """The context of a hybrid run with trajectories that have come so far, fs."""

    def __init__(self, growth: float | None = 2.0, **ends: float) -> None:
        settings = {
            "learning": {"max_regression": 1.2, "n_explored": 8},
            "rounds": {"n_explorations": 2, "exploration_growth": growth},
        }
        self.ctx: Any = SimpleNamespace(settings=settings, explorations=0, explored_fs={}, has_driven=False)
        self._grown = lambda growth: HybridWorkChain._grown(self, growth)  # type: ignore[arg-type]
        self.come_to(**ends)

    def come_to(self, **ends: float) -> None:
        self.ctx.active = sorted(ends)
        self.ctx.trajectories = {slug: {"round": {"burst": Burst(end)}} for slug, end in ends.items()}

    def asked(self) -> dict[str, Any]:
        return HybridWorkChain._exploration(self)  # type: ignore[arg-type]

    def note(self, **explored: int) -> None:
        HybridWorkChain.note_exploration(self, explored)  # type: ignore[arg-type]


def test_the_first_potentials_explore_from_everywhere():
    run = Run(a=10.0, b=10.0)
    assert run.asked() == {"explore_from": ["a", "b"]}
    run.note(a=8, b=8)
    told = run.asked()
    assert told["explore_from"] == ["a", "b"]
    assert told["min_gain"] == pytest.approx(-0.2), "it may be as much worse as on one candidate"
    run.note(a=8, b=8)
    assert "explore_from" not in run.asked()


def test_one_that_drives_explores_from_what_has_doubled():
    run = Run(a=20.0, b=20.0)
    run.note(a=8, b=8)
    run.ctx.has_driven = True
    run.come_to(a=39.0, b=75.0)
    assert run.asked() == {"explore_from": ["b"], "n_explored": 4}
    run.note(b=4)
    run.come_to(a=41.0, b=149.0)
    assert run.asked()["explore_from"] == ["a"]


def test_a_given_potential_explores_once_where_it_begins():
    run = Run(a=10.0)
    run.ctx.has_driven = True
    assert run.asked() == {"explore_from": ["a"], "n_explored": 4}
    run.note(a=4)
    assert run.asked()["explore_from"] == []


def test_none_explores_again_where_that_is_not_wanted():
    run = Run(growth=None, a=1000.0)
    run.ctx.has_driven = True
    assert run.asked()["explore_from"] == []


def test_an_exploration_that_led_nowhere_is_made_again():
    run = Run(a=100.0)
    run.ctx.has_driven = True
    run.note()
    assert run.ctx.explorations == 0
    assert run.asked()["explore_from"] == ["a"]
