"""Which candidates are compared: like with like."""

from collections.abc import Mapping

Conditions = tuple[str, float]


def grouped(conditions: Mapping[str, Conditions], tolerance: float) -> dict[str, str]:
    """Return the group of each candidate: equal conditions in words, and an electrolyte of about the same thickness.

    Parameters
    ----------
    conditions : mapping
        Key -> words that have to be equal (temperature, interface), and thickness, Angstrom.
    tolerance : float
        Share by which thicknesses in a group may differ.

    Returns
    -------
    dict
        Key -> name of its group, as '300 K, Li(100) | Li6PS5Cl, 20 Å'.
    """
    groups: dict[str, str] = {}
    for words in sorted({words for words, _ in conditions.values()}):
        members = sorted((length, key) for key, (own, length) in conditions.items() if own == words)
        thinnest = -1.0
        for length, key in members:
            if thinnest < 0 or length > thinnest * (1 + tolerance):
                thinnest = length
            groups[key] = f"{words}, {thinnest:.0f} Å" if words else f"{thinnest:.0f} Å"
    return groups
