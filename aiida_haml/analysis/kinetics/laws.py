"""Growth laws of a layer: the thickness of electrolyte consumed at one face, along time.

With c in Angstrom, t in ps since the start, and c0 what had been consumed by then:

linear
    ``c = c0 + k t``: the reaction at a face sets the pace, and nothing slows it down; k in Angstrom / ps.
parabolic
    ``c = sqrt(c0^2 + k t)``: diffusion through the layer sets it; C. Wagner, Z. Phys. Chem. B 21, 25 (1933);
    k in Angstrom^2 / ps.
logarithmic
    ``c = c0 + a ln(1 + k t)``: transport through the layer decays with its thickness; N. F. Mott, Trans. Faraday Soc.
    35, 1175 (1939), G. Tammann, Z. anorg. allg. Chem. 111, 78 (1920); k in 1 / ps.
first_order
    ``c = e - (e - c0) exp(-k t)``: what can react, e, is used up; k in 1 / ps.
deal_grove
    ``c = -b + sqrt((b + c0)^2 + k t)``: linear while thinner than b, then parabolic; B. E. Deal, A. S. Grove, J. Appl.
    Phys. 36, 3770 (1965); k in Angstrom^2 / ps.
power
    ``c = c0 + (k t)^n``, n between 0.05 and 2: a description, not a mechanism; k in Angstrom^(1/n) / ps.

Nothing can be consumed that is not there: where a law ends, it ends within the electrolyte at a face.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from aiida_haml.arrays import FloatArray

Curve = Callable[..., FloatArray]


@dataclass(frozen=True)
class Law:
    """A growth law.

    Attributes
    ----------
    curve : callable
        Of t (ps) and the parameters; the first is c0, the second the rate constant k.
    parameters : tuple of str
    unit : str
        Of k.
    """

    curve: Curve
    parameters: tuple[str, ...]
    unit: str


LAWS: dict[str, Law] = {
    "linear": Law(lambda t, c0, k: c0 + k * t, ("c0", "k"), "Å/ps"),
    "parabolic": Law(lambda t, c0, k: np.sqrt(c0**2 + k * t), ("c0", "k"), "Å²/ps"),
    "logarithmic": Law(lambda t, c0, k, a: c0 + a * np.log1p(k * t), ("c0", "k", "a"), "1/ps"),
    "first_order": Law(lambda t, c0, k, e: e - (e - c0) * np.exp(-k * t), ("c0", "k", "e"), "1/ps"),
    "deal_grove": Law(lambda t, c0, k, b: np.sqrt((b + c0) ** 2 + k * t) - b, ("c0", "k", "b"), "Å²/ps"),
    "power": Law(lambda t, c0, k, n: c0 + (k * t) ** n, ("c0", "k", "n"), "Å^(1/n)/ps"),
}


def starts(law: str, length: float, amount: float) -> list[list[float]]:
    """Return first guesses of the parameters of a law.

    Parameters
    ----------
    law : str
    length : float
        Of the series, ps.
    amount : float
        Consumed at its end, Angstrom.
    """
    amount = max(amount, 1e-3)
    shapes = {
        "linear": [[amount / length]],
        "parabolic": [[amount**2 / length]],
        "logarithmic": [[x / length, amount / np.log1p(x)] for x in (1.0, 10.0, 100.0, 1000.0)],
        "first_order": [[x / length, amount / -np.expm1(-x)] for x in (1.0, 3.0, 10.0, 30.0)],
        "deal_grove": [[amount * (amount + 2 * b) / length, b] for b in (0.3 * amount, amount, 3 * amount)],
        "power": [[amount ** (1 / n) / length, n] for n in (0.3, 0.6, 1.0, 1.5)],
    }
    return [[0.0, *shape] for shape in shapes[law]]


def bounds(law: str, length: float, available: float) -> tuple[list[float], list[float]]:
    """Return the lowest and highest values of the parameters of a law.

    Parameters
    ----------
    law : str
    length : float
        Of the series, ps.
    available : float
        Electrolyte at one face, Angstrom.
    """
    fastest = 1e4 / length
    highest = {
        "linear": [available * fastest],
        "parabolic": [available**2 * fastest],
        "logarithmic": [fastest, available],
        "first_order": [fastest, available],
        "deal_grove": [100 * available**2 * fastest, 10 * available],
        "power": [available**20 * fastest, 2.0],
    }
    lowest = {"power": [0.0, 0.05]}.get(law, [0.0] * len(highest[law]))
    return [-0.2 * available, *lowest], [available, *highest[law]]
