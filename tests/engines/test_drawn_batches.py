"""What a batch holds of what is new and of what is replayed."""

import numpy as np
import pytest

from aiida_haml.engines.mace_fit import Deck, draw_batch


@pytest.mark.parametrize("size", [1, 2, 3, 4])
def test_half_of_what_is_learned_is_replayed_however_small_the_batch(size):
    """A GPU that holds one frame at a time must not make a committee forget all that it knew."""
    parts = [["new"] * 5, ["old"] * 7]
    decks = [Deck(np.ones(len(part)), np.random.default_rng(k)) for k, part in enumerate(parts)]
    drawn = [frame for step in range(1, 101) for frame in draw_batch(parts, decks, size, step)]
    assert len(drawn) == 100 * size
    assert drawn.count("new") == drawn.count("old")
