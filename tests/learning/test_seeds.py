"""Seeds are within CP2K's range, differ where their purpose differs, and are the same for ever."""

from itertools import product

import pytest

from aiida_haml.learning.seeds import LARGEST_SEED, derive


def test_many_draws_of_many_runs_do_not_collide():
    drawn = [derive(seed, role, slug, n) for seed, role, slug, n in product((1, 2, 20241125), "ab", "xy", range(300))]
    assert len(set(drawn)) == len(drawn)
    assert min(drawn) >= 1
    assert max(drawn) <= LARGEST_SEED


@pytest.mark.parametrize("seed", [0, 2**31, 10**30])
def test_any_seed_gives_one_within_range(seed):
    assert 1 <= derive(seed, "burst", 10**12) <= LARGEST_SEED


def test_parts_are_told_apart():
    assert (
        len({derive(1, "ab", "c"), derive(1, "a", "bc"), derive(1, "abc"), derive(1), derive(1, 1), derive(1, "1")})
        == 6
    )


def test_seeds_do_not_change_between_versions():
    """What was computed under a seed must be found in the cache again."""
    assert derive(1, "burst", "slug", 3) == 1388930562
