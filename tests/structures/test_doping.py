"""Dopings: counts of distinct arrangements against an independent count, composition, charge, refusals."""

from math import comb

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aiida_haml.structures.checks import check, count_intact_tetrahedra, pairs_within
from aiida_haml.structures.crystals import argyrodite, formal_charge
from aiida_haml.structures.doping import (
    CORNER_BONDS,
    Configuration,
    Doping,
    choose,
    distinct_configurations,
    dope,
    enumerate_configurations,
    symmetry_permutations,
)
from aiida_haml.structures.errors import StructureError

HOST = argyrodite()
SULFUR = np.flatnonzero(np.array(HOST.get_chemical_symbols()) == "S")
GROUP = symmetry_permutations(HOST, SULFUR)


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


def test_the_group_is_that_of_the_cubic_cell():
    assert len(GROUP) == 96  # 24 operations of -43m times 4 centrings
    assert {tuple(sorted(p)) for p in GROUP.tolist()} == {tuple(range(20))}


@pytest.mark.parametrize(("n_chosen", "distinct"), [(0, 1), (1, 2), (2, 7), (3, 23), (4, 82), (5, 203)])
def test_both_sulfur_sublattices_give_the_known_counts(n_chosen, distinct):
    found = enumerate_configurations(GROUP, n_chosen)
    assert len(found) == distinct == burnside(GROUP, n_chosen)
    assert sum(c.degeneracy for c in found) == comb(20, n_chosen)


@pytest.mark.parametrize("count", range(17))
def test_corner_sublattice_equals_burnside_and_sums_to_the_binomial(count):
    found = distinct_configurations(HOST, "16e", count / 16)
    corners = symmetry_permutations(HOST, np.flatnonzero(HOST.arrays["sites"] == "16e"))
    assert len(found) == burnside(corners, count)
    assert sum(c.degeneracy for c in found) == comb(16, count)


@pytest.mark.parametrize("count", range(5))
def test_halide_sublattice_has_one_arrangement_for_each_fraction(count):
    assert [c.degeneracy for c in distinct_configurations(HOST, "4a", count / 4)] == [comb(4, count)]


def test_representatives_are_in_distinct_orbits():
    found = enumerate_configurations(GROUP, 3)
    orbits = [{tuple(sorted(p[list(c.sites)])) for p in GROUP} for c in found]
    assert [len(orbit) for orbit in orbits] == [c.degeneracy for c in found]
    assert len(set.union(*orbits)) == comb(20, 3)
    assert all(c.sites == min(orbit) for c, orbit in zip(found, orbits, strict=True))


MECHANISMS = st.sampled_from([("O", "16e", 16), ("O", "4d", 4), ("Se", "16e", 16), ("Se", "4d", 4), ("F", "4a", 4)])


@settings(max_examples=40, deadline=None)
@given(mechanism=MECHANISMS, data=st.data(), seed=st.integers(0, 2**31))
def test_composition_charge_and_determinism_hold(mechanism, data, seed):
    dopant, site, n_sites = mechanism
    count = data.draw(st.integers(0, n_sites))
    doping = Doping(dopant, site, count / n_sites, None)
    doped = dope(HOST, doping, seed)
    again = dope(HOST, doping, seed)
    assert np.array_equal(doped.atoms.positions, again.atoms.positions)
    assert doped.label == again.label
    assert doped.atoms.get_chemical_symbols().count(dopant) == count == len(doped.substituted)
    assert set(HOST.arrays["sites"][list(doped.substituted)]) <= {site}
    assert formal_charge(doped.atoms) == 0
    assert len(doped.atoms) == 52
    assert count_intact_tetrahedra(doped.atoms) == 4
    assert 0 <= doped.index < doped.n_distinct
    # What the seed drew is reached by its index too.
    named = dope(HOST, Doping(dopant, site, count / n_sites, doped.index))
    assert np.array_equal(named.atoms.numbers, doped.atoms.numbers)
    check(doped.atoms, tetrahedra=4)


def test_every_seed_weighs_arrangements_by_degeneracy():
    arrangements = [Configuration((0,), 90), Configuration((1,), 10)]
    drawn = np.mean([choose(arrangements, None, seed) for seed in range(2000)])
    assert drawn == pytest.approx(0.1, abs=0.02)


@pytest.mark.parametrize("dopant", ["O", "Se"])
def test_substituted_corners_lie_at_their_own_bond_length(dopant):
    doped = dope(HOST, Doping(dopant, "16e", 0.25, 2))
    symbols = np.array(doped.atoms.get_chemical_symbols())
    pairs = pairs_within(doped.atoms, 2.5)
    bonds = (symbols[pairs.i] == "P") & (symbols[pairs.j] == dopant)
    assert bonds.sum() == 4
    np.testing.assert_allclose(pairs.distances[bonds], CORNER_BONDS[dopant], atol=1e-9)
    others = np.setdiff1d(np.arange(52), doped.substituted)
    np.testing.assert_array_equal(doped.atoms.positions[others], HOST.positions[others])


@pytest.mark.parametrize(
    ("doping", "label"),
    [
        (Doping("O", "16e", 1 / 16), "Li6PS4.75O0.25Cl#16e-00"),
        (Doping("O", "16e", 0.25, 2), "Li6PS4OCl#16e-02"),
        (Doping("Se", "4d", 0.5), "Li6PS4.5Se0.5Cl#4d-00"),
        (Doping("F", "4a", 0.5), "Li6PS5Cl0.5F0.5#4a-00"),
        (Doping("F", "4a", 1), "Li6PS5F#4a-00"),
        (Doping("O", "16e", 0.0), "Li6PS5Cl"),
    ],
)
def test_labels(doping, label):
    assert dope(HOST, doping).label == label


@pytest.mark.parametrize(
    ("arguments", "field", "words"),
    [
        (("N", "16e", 0.25), "doping.dopant", "O, Se, F"),
        (("O", "8c", 0.25), "doping.site", "16e"),
        (("O", "24g", 0.25), "doping.site", "16e"),
        (("O", "4a", 0.25), "doping.site", "aliovalent"),
        (("Se", "4a", 0.25), "doping.site", "aliovalent"),
        (("F", "16e", 0.25), "doping.site", "Put F on 4a"),
        (("F", "4d", 0.25), "doping.site", "F -1, S -2"),
        (("O", "16e", -0.25), "doping.fraction", "0 to 1"),
        (("O", "16e", 1.25), "doping.fraction", "0 to 1"),
        (("O", "16e", float("nan")), "doping.fraction", "0 to 1"),
        (("O", "16e", "a quarter"), "doping.fraction", "0 to 1"),
        (("O", "16e", True), "doping.fraction", "0 to 1"),
        (("O", "16e", 0.1), "doping.fraction", r"0.0625 \(1 sites\) and 0.125 \(2 sites\)"),
        (("F", "4a", 0.3), "doping.fraction", r"0.25 \(1 sites\) and 0.5 \(2 sites\)"),
        (("O", "16e", 0.25, -1), "doping.configuration", "from 0 on"),
        (("O", "16e", 0.25, 1.5), "doping.configuration", "from 0 on"),
        (("O", "16e", 0.25, 33), "doping.configuration", "from 0 to 32"),
    ],
)
def test_what_cannot_be_built_is_refused(arguments, field, words):
    with pytest.raises(StructureError, match=words) as caught:
        dope(HOST, Doping(*arguments))
    assert caught.value.field == field
    assert str(caught.value).startswith(f"{field}: ")


@given(fraction=st.floats(0, 1))
@settings(max_examples=50, deadline=None)
def test_a_fraction_is_a_whole_number_of_sites_or_refused(fraction):
    count = round(fraction * 4)
    if abs(fraction * 4 - count) <= 1e-6 * 4:
        assert len(dope(HOST, Doping("F", "4a", fraction)).substituted) == count
    else:
        with pytest.raises(StructureError, match="nearest fractions"):
            dope(HOST, Doping("F", "4a", fraction))


def test_too_many_arrangements_are_refused_rather_than_waited_for():
    with pytest.raises(StructureError, match="at most"):
        enumerate_configurations(np.arange(40)[None], 20)


def test_sites_outside_the_symmetry_are_noticed():
    with pytest.raises(ValueError, match="not closed"):
        symmetry_permutations(HOST, SULFUR[:3])
