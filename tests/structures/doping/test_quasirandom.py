"""Special quasi-random arrangements: the optimum of small cells, better than draws in large ones, repeatable."""

import numpy as np
import pytest
from ase.build import bulk

from aiida_haml.structures.crystals import argyrodite
from aiida_haml.structures.doping.arrangements import (
    Choice,
    all_arrangements,
    distinct_arrangements,
    draw,
    symmetry_permutations,
)
from aiida_haml.structures.doping.quasirandom import expected_colours, mismatch, quasirandom, shells
from aiida_haml.structures.errors import StructureError

HOST = argyrodite()
SULFUR = np.flatnonzero(HOST.symbols == "S")


def test_shells_are_those_of_the_crystal():
    copper = bulk("Cu", cubic=True) * (3, 3, 3)
    around = shells(copper, np.arange(len(copper)), 5.0)
    assert around.neighbours.sum(axis=2)[:, 0].tolist() == [12, 6, 24]  # fcc, up to the third shell
    sizes = around.neighbours.sum(axis=(1, 2))
    assert around.weights @ sizes == pytest.approx(1)
    shares = around.weights * sizes
    assert shares / shares[0] == pytest.approx([1, 1 / 2, 1 / 3])


def test_expected_colours_are_the_mean_of_all_arrangements():
    choices = [Choice(tuple(range(6)), 2), Choice((0, 1, 2), 1), Choice((6, 7), 1)]
    rows = all_arrangements(8, choices)
    mean = np.stack([(rows == colour).mean(axis=0) for colour in range(1, 5)], axis=1)
    np.testing.assert_allclose(expected_colours(8, choices), mean, atol=1e-12)


def test_an_ordered_alloy_is_as_far_from_random_as_can_be_calculated():
    # Rock-salt order on a simple cubic lattice: all first neighbours unlike. A half and a half expect each of the four
    # ordered pairs in a quarter of the cases, and find two of them in a half: 4 x 1/4.
    cubic = bulk("Po", "sc", a=3.0) * (4, 4, 4)
    around = shells(cubic, np.arange(64), 3.1)
    parity = np.rint(cubic.positions / 3.0).astype(int).sum(axis=1) % 2
    assert mismatch((1 + parity).astype(np.uint8), [Choice(tuple(range(64)), 32)], around) == pytest.approx(1.0)


@pytest.mark.parametrize("count", [3, 5, 8])
def test_the_best_of_all_arrangements_of_a_small_cell_is_found(count):
    choices, around = [Choice(tuple(range(20)), count)], shells(HOST, SULFUR)
    distinct = distinct_arrangements(symmetry_permutations(HOST, SULFUR), choices)
    best = min(mismatch(colours, choices, around) for colours in distinct.colours)
    assert quasirandom(choices, around, 0)[1] == pytest.approx(best, abs=1e-12)


@pytest.mark.parametrize("sites", [range(32), range(40)])
def test_it_is_more_random_than_the_best_of_many_draws(sites):
    cell = HOST.repeat((1, 1, 2))
    sulfur = np.flatnonzero(cell.symbols == "S")
    around = shells(cell, sulfur)
    choices = [Choice(tuple(sites), 8), Choice(tuple(range(40)), 4)]
    colours, objective = quasirandom(choices, around, 1)
    draws = [mismatch(draw(40, choices, np.random.default_rng(k)), choices, around) for k in range(40)]
    assert objective < min(draws) < np.median(draws)
    assert objective == pytest.approx(mismatch(colours, choices, around), abs=1e-12)  # kept up to date over all swaps
    assert [(colours == k).sum() for k in (1, 2, 3)] == [8, 4, 28]
    assert set(np.flatnonzero(colours == 1)) <= set(sites)


def test_the_same_seed_gives_the_same_arrangement():
    choices, around = [Choice(tuple(range(20)), 6)], shells(HOST, SULFUR)
    first, second = quasirandom(choices, around, 5), quasirandom(choices, around, 5)
    assert first[0].tobytes() == second[0].tobytes()
    assert first[1] == second[1]


def test_what_cannot_be_searched_is_refused():
    with pytest.raises(StructureError, match=r"2500 sites at most, not on 2501.*sample"):
        shells(HOST, np.zeros(2501, dtype=np.int64))
    with pytest.raises(StructureError, match="within 3 Angstrom of each other"):
        shells(HOST, SULFUR[:1], 3.0)
