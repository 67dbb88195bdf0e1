"""Seeds of everything that is drawn: one number a person gives, and as many independent ones as there are draws."""

import hashlib

#: Largest seed: CP2K reads seeds as signed integers of 32 bits and aborts above.
LARGEST_SEED = 2**31 - 1


def derive(seed: int, *parts: str | int) -> int:
    """Return the seed of one draw.

    A sum such as ``1000 * seed + cycle`` gives two draws the same noise sooner or later; a hash does not, and keeps
    its range whatever the seed.

    Parameters
    ----------
    seed : int
        What the person gave.
    *parts : str or int
        What the draw is for, such as ``"burst", "Li6PS5Cl", 3``. 3 and "3" are two different parts.

    Returns
    -------
    int
        Between 1 and `LARGEST_SEED`.
    """
    digest = hashlib.sha256(repr((int(seed), *parts)).encode()).digest()
    return int.from_bytes(digest[:8], "big") % LARGEST_SEED + 1
