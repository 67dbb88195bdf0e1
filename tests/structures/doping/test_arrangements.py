"""Arrangements: counts, orbits and degeneracies against bsym and Burnside, draws that are uniform and repeatable."""

from collections import Counter
from itertools import islice
from math import comb

import numpy as np
import pytest
from bsym.interface.pymatgen import unique_structure_substitutions
from hypothesis import given, settings
from hypothesis import strategies as st
from pymatgen.io.ase import AseAtomsAdaptor

from aiida_haml.structures.crystals import argyrodite
from aiida_haml.structures.doping.arrangements import (
    Choice,
    all_arrangements,
    canonical,
    count_arrangements,
    distinct_arrangements,
    distinct_draws,
    draw,
    generators,
    order_of_first_draws,
    symmetry_permutations,
)

HOST = argyrodite()
SULFUR = np.flatnonzero(np.array(HOST.get_chemical_symbols()) == "S")
GROUP = symmetry_permutations(HOST, SULFUR)
ALL, CORNERS, FREE = tuple(range(20)), tuple(range(16)), tuple(range(16, 20))


def burnside(permutations, n_chosen):
    """Count orbits of subsets as the mean number of subsets that an element leaves as they are."""
    fixed = 0
    for permutation in permutations:
        ways, seen = [1] + [0] * n_chosen, set()
        for start in range(len(permutation)):
            length, k = 0, start
            while k not in seen:
                seen.add(k)
                length, k = length + 1, permutation[k]
            for size in range(n_chosen, length - 1, -1) if length else ():
                ways[size] += ways[size - length]
        fixed += ways[n_chosen]
    assert fixed % len(permutations) == 0
    return fixed // len(permutations)


# -- symmetry -------------------------------------------------------------------------------------------------


def test_the_group_is_that_of_the_cubic_cell():
    assert len(GROUP) == 96  # 24 operations of -43m times 4 centrings
    assert {tuple(sorted(p)) for p in GROUP.tolist()} == {ALL}
    assert len(generators(GROUP)) < 6


@pytest.mark.parametrize(
    ("supercell", "order"), [((1, 1, 2), 8 * 4 * 2), ((2, 2, 1), 8 * 4 * 4), ((2, 2, 2), 24 * 4 * 8)]
)
def test_supercells_add_translations_and_lose_what_does_not_fit(supercell, order):
    cell = HOST.repeat(supercell)
    group = symmetry_permutations(cell, np.flatnonzero(cell.symbols == "S"))
    assert len(group) == order
    # Each permutation keeps every distance: it is an isometry of the crystal, whatever spglib says.
    distances = cell[cell.symbols == "S"].get_all_distances(mic=True)
    for g in group[:: max(1, order // 20)]:
        np.testing.assert_allclose(distances[np.ix_(g, g)], distances, atol=1e-6)


def test_sites_told_apart_by_what_they_hold_lower_the_symmetry():
    kinds = HOST.numbers.copy()
    kinds[SULFUR[0]] = 99
    assert len(symmetry_permutations(HOST, SULFUR, kinds)) == 6  # 3m of a 16e site


def test_generators_make_the_whole_group():
    made = {tuple(ALL)}
    while True:
        grown = made | {tuple(np.array(p)[g]) for p in made for g in generators(GROUP)}
        if grown == made:
            break
        made = grown
    assert made == {tuple(p) for p in GROUP.tolist()}


def test_sites_outside_the_symmetry_are_noticed():
    with pytest.raises(ValueError, match="not closed"):
        symmetry_permutations(HOST, SULFUR[:3])


# -- enumeration ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("n_chosen", "distinct"), [(0, 1), (1, 2), (2, 7), (3, 23), (4, 82), (5, 203)])
def test_both_sulfur_sublattices_give_the_known_counts(n_chosen, distinct):
    found = distinct_arrangements(GROUP, [Choice(ALL, n_chosen)])
    assert len(found) == distinct == burnside(GROUP, n_chosen)
    assert found.degeneracies.sum() == comb(20, n_chosen)


@pytest.mark.parametrize(
    "wanted", [{"O": 1}, {"O": 2}, {"O": 3}, {"O": 1, "Se": 1}, {"O": 2, "Se": 1}], ids=lambda wanted: str(wanted)
)
def test_orbits_are_those_of_bsym(wanted):
    """Not only as many, with the same degeneracies: the same structures."""
    structure = AseAtomsAdaptor.get_structure(HOST)
    theirs = unique_structure_substitutions(structure, "S", {**wanted, "S": 20 - sum(wanted.values())}, atol=1e-3)
    ours = distinct_arrangements(GROUP, [Choice(ALL, n) for n in wanted.values()])
    colour = {**{element: k for k, element in enumerate(wanted, start=1)}, "S": len(wanted) + 1}
    expected = {}
    for found in theirs:
        # Substituted sites come in the order of bsym: find each by its place.
        colours = np.zeros(20, dtype=np.uint8)
        for site in found:
            if site.specie.symbol in colour:
                steps = HOST.get_scaled_positions()[SULFUR] - site.frac_coords
                colours[np.abs(steps - np.round(steps)).sum(axis=1).argmin()] = colour[site.specie.symbol]
        expected[canonical(colours, GROUP).tobytes()] = found.number_of_equivalent_configurations
    found = {colours.tobytes(): n for colours, n in zip(ours.colours, ours.degeneracies.tolist(), strict=True)}
    assert found == expected


def test_representatives_are_first_of_their_orbits_and_orbits_are_disjoint():
    found = distinct_arrangements(GROUP, [Choice(ALL, 3)])
    chosen = [tuple(np.flatnonzero(colours == 1)) for colours in found.colours]
    orbits = [{tuple(sorted(p[list(sites)])) for p in GROUP} for sites in chosen]
    assert [len(orbit) for orbit in orbits] == found.degeneracies.tolist()
    assert len(set.union(*orbits)) == comb(20, 3)
    assert all(sites == min(orbit) for sites, orbit in zip(chosen, orbits, strict=True))
    assert chosen == sorted(chosen)


@settings(max_examples=25, deadline=None)
@given(corner=st.integers(0, 3), free=st.integers(0, 4), second=st.integers(0, 2))
def test_degeneracies_sum_to_the_multinomial(corner, free, second):
    # A second element on the corners, without overlap, beside one on the free sulfur.
    choices = [Choice(CORNERS, corner), Choice(FREE, free), Choice(CORNERS, second)]
    total = comb(16, corner) * comb(16 - corner, second) * comb(4, free)
    found = distinct_arrangements(GROUP, choices)
    assert count_arrangements(choices) == total == found.degeneracies.sum()
    assert ((found.colours == 1).sum(axis=1) == corner).all()
    assert not (found.colours[:, 16:] == 1).any()
    assert (96 % found.degeneracies == 0).all()  # an orbit's size divides the order of the group


def test_a_sublattice_inside_all_sites_of_an_element_is_counted_right():
    choices = [Choice(ALL, 2), Choice(CORNERS, 1)]
    rows = all_arrangements(20, choices)
    brute = sum(1 for i in CORNERS for a in ALL for b in range(a) if i not in (a, b))
    assert len(rows) == len({row.tobytes() for row in rows}) == count_arrangements(choices) == brute


# -- draws ------------------------------------------------------------------------------------------------------


def test_draws_are_uniform_over_arrangements():
    choices = [Choice(tuple(range(5)), 2), Choice((0, 1, 2), 1)]  # one inside the other
    total = count_arrangements(choices)
    drawn = Counter(draw(5, choices, np.random.default_rng([1, k])).tobytes() for k in range(6000))
    assert len(drawn) == total == 18
    expected = 6000 / total
    assert sum((n - expected) ** 2 for n in drawn.values()) / expected < 41  # chi-squared, 17 degrees, p = 0.001


def test_canonical_forms_agree_exactly_within_an_orbit():
    choices = [Choice(ALL, 4), Choice(CORNERS, 2)]
    rng = np.random.default_rng(0)
    for _ in range(20):
        colours = draw(20, choices, rng)
        images = [colours[g] for g in GROUP]
        assert {canonical(image, GROUP).tobytes() for image in images} == {min(image.tobytes() for image in images)}


def test_draws_are_distinct_repeatable_and_do_not_depend_on_how_many_are_taken():
    choices = [Choice(CORNERS, 4)]
    few = list(islice(distinct_draws(GROUP, choices, 7), 3))
    many = list(islice(distinct_draws(GROUP, choices, 7), 20))
    assert [a.tobytes() for a in few] == [a.tobytes() for a in many[:3]]
    assert len({canonical(colours, GROUP).tobytes() for colours in many}) == 20
    other = list(islice(distinct_draws(GROUP, choices, 8), 3))
    assert [a.tobytes() for a in few] != [a.tobytes() for a in other]


def test_draws_end_where_all_arrangements_were_met():
    assert len(list(distinct_draws(GROUP, [Choice(ALL, 2)], 0))) == 7


def test_the_race_meets_arrangements_as_uniform_draws_do():
    degeneracies = np.array([90, 10])
    first = np.mean([order_of_first_draws(degeneracies, seed)[0] for seed in range(2000)])
    assert first == pytest.approx(0.1, abs=0.02)
    assert sorted(order_of_first_draws(np.arange(1, 50), 3).tolist()) == list(range(49))
