"""How atoms and regions look in a picture: colours that colour-blind readers tell apart too, and radii."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from ase import Atoms
from ase.data import covalent_radii
from ase.data.colors import jmol_colors
from matplotlib.colors import to_rgb
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]

#: Colours of the elements, told apart by colour-blind readers too; others have those of Jmol.
COLOURS = {
    "Li": "#8E7CC3", "P": "#D55E00", "S": "#F0C419", "Cl": "#2E9E6B", "O": "#C0392B", "F": "#56B4E9",
    "Se": "#8B5E3C", "Br": "#7B4B2A", "I": "#5E2A84", "C": "#4A4A4A", "H": "#E8E8E8", "N": "#3B5BA5",
}  # fmt: skip
METAL_COLOUR = "#AEB4BD"
OUTLINE = "#C2185B"

#: Bands behind the regions.
BANDS = {"electrolyte": "#E4EEFA", "metal": "#ECECEC", "liquid": "#E0F3EE"}
OTHER_BAND = "#F6EFE3"

#: Radii of the circles, Angstrom: small enough that bonds and depth can be seen. Others have 0.6 of the covalent
#: radius.
RADII = {"Li": 0.55, "P": 0.62, "S": 0.78, "Cl": 0.78, "Se": 0.86, "Br": 0.86, "O": 0.55, "F": 0.55, "H": 0.28}
METAL_RADIUS = 0.85


def looks_of(atoms: Atoms, regions: Mapping[str, Sequence[int]]) -> tuple[FloatArray, FloatArray]:
    """Return the (N, 3) colours and the (N,) radii of the atoms, Angstrom."""
    symbols = atoms.get_chemical_symbols()
    colours = np.array([colour_of(symbol, False) for symbol in symbols])
    radii = np.array([RADII.get(s, 0.6 * covalent_radii[n]) for s, n in zip(symbols, atoms.numbers, strict=True)])
    for i in regions.get("metal", ()):
        colours[i], radii[i] = colour_of(symbols[i], True), METAL_RADIUS
    return colours, radii


def colour_of(symbol: str, metal: bool) -> tuple[float, float, float]:
    if metal:
        return to_rgb(METAL_COLOUR)
    if symbol in COLOURS:
        return to_rgb(COLOURS[symbol])
    red, green, blue = jmol_colors[Atoms(symbol).numbers[0]]
    return float(red), float(green), float(blue)


def rim_of(colour: tuple[float, float, float]) -> tuple[float, float, float]:
    red, green, blue = colour
    return 0.62 * red, 0.62 * green, 0.62 * blue
