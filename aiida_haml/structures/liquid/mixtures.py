"""Mixtures: from parts, molarity and density to whole numbers of molecules. Arithmetic alone.

Volumes add up: each solvent brings that of the neat liquid, each salt that of its crystal. A density that is given
replaces the sum.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from aiida_haml.structures.errors import StructureError

#: Largest deviation of the molarity reached with whole molecules, relative.
MOLARITY_TOLERANCE = 0.25

#: Largest factor between the share of a solvent that is reached and that which is asked for.
SHARE_TOLERANCE = 2.0

#: The number of atoms may deviate by this share of what is asked for, in favour of the composition.
SIZE_TOLERANCE = 0.25

#: Sizes that are tried within it.
SIZES = 501

#: What a deviation in size counts beside one in composition.
SIZE_WEIGHT = 0.2


@dataclass(frozen=True)
class Component:
    """What the arithmetic needs to know of a solvent or of a salt's formula unit.

    ``share``: parts of a solvent, mol/L of a salt; ``mass`` in g/mol; ``density`` in g/cm^3, None where not known;
    ``atoms`` of a molecule or formula unit.
    """

    name: str
    share: float
    mass: float
    density: float | None
    atoms: int

    @property
    def volume(self) -> float:
        """Molar volume, cm^3/mol."""
        if self.density is None:
            raise ValueError(f"density: {self.name} has none. Give it in g/cm^3.")
        return self.mass / self.density


def amounts(
    solvents: Sequence[Component], salts: Sequence[Component], parts: str, density: float | None
) -> dict[str, float]:
    """Return what a litre of solution holds, mol, by name.

    Parameters
    ----------
    solvents, salts : sequence of Component
    parts : str
        ``volume`` (before mixing) or ``mole``: what the solvents' shares are of.
    density : float, optional
        Of the solution, g/cm^3; volumes add up where left out.

    Raises
    ------
    StructureError
        If the salts leave no room for a solvent.
    """
    shares = np.array([c.share / c.volume if parts == "volume" else c.share for c in solvents])
    shares = shares / shares.sum()
    if density is None:
        left = 1000.0 - sum(salt.share * salt.volume for salt in salts)
        total = left / float(shares @ [c.volume for c in solvents])
    else:
        left = 1000.0 * density - sum(salt.share * salt.mass for salt in salts)
        total = left / float(shares @ [c.mass for c in solvents])
    if left <= 0:
        named = " and ".join(f"{salt.share:g} M {salt.name}" for salt in salts)
        raise StructureError("liquid.molarity_M", named, "leaves no room for a solvent", "Lower the molarity.")
    found = {c.name: float(share * total) for c, share in zip(solvents, shares, strict=True)}
    return found | {salt.name: salt.share for salt in salts}


def choose_counts(
    solvents: Sequence[Component],
    salts: Sequence[Component],
    target_atoms: float,
    parts: str = "volume",
    density: float | None = None,
) -> dict[str, int]:
    """Return whole numbers of molecules and formula units that come nearest to a composition and a size.

    Every solvent and salt has one at least. Of all sizes within ``SIZE_TOLERANCE`` that is taken for which the
    relative errors of molarities and solvent shares, and ``SIZE_WEIGHT`` times that of the size, add up to the least.

    Parameters
    ----------
    solvents, salts, parts, density
        As in `amounts`.
    target_atoms : float
        Atoms of the liquid.

    Raises
    ------
    StructureError
        If whole molecules miss a molarity by more than ``MOLARITY_TOLERANCE``, or a solvent's share by more than
        ``SHARE_TOLERANCE``.
    """
    wanted = amounts(solvents, salts, parts, density)
    components = [*solvents, *salts]
    ideal = np.array([wanted[c.name] for c in components])
    atoms = np.array([c.atoms for c in components])
    scales = target_atoms / float(atoms @ ideal) * np.linspace(1 - SIZE_TOLERANCE, 1 + SIZE_TOLERANCE, SIZES)
    tried = np.unique(np.maximum(1, np.rint(scales[:, None] * ideal)).astype(int), axis=0)
    reached = np.array([molarities(row, components, density)[len(solvents) :] for row in tried])
    off_molarity = np.abs(np.log(reached / [salt.share for salt in salts])) if salts else np.zeros((len(tried), 0))
    off_shares = _share_errors(tried[:, : len(solvents)], ideal[: len(solvents)])
    off_size = np.abs(tried @ atoms / target_atoms - 1)
    errors = off_molarity.sum(axis=1) + off_shares.sum(axis=1) + SIZE_WEIGHT * off_size
    best = int(np.round(errors, 9).argmin())
    for salt, off, molarity in zip(salts, off_molarity[best], reached[best], strict=True):
        if off > np.log(1 + MOLARITY_TOLERANCE):
            raise StructureError(
                "liquid.molarity_M" if len(salts) == 1 else f"liquid.salt.{salt.name}",
                salt.share,
                f"is not reached with whole ions in about {target_atoms:.0f} atoms of liquid: the nearest is "
                f"{molarity:.2f} M",
                f"One formula unit of {salt.name} needs {int(np.ceil((atoms @ ideal) / salt.share))} atoms of liquid: "
                "raise n_atoms or thickness_A, or the molarity.",
            )
    worst = int(off_shares[best].argmax())
    if off_shares[best, worst] > np.log(SHARE_TOLERANCE) + 1e-9:
        raise StructureError(
            f"liquid.solvents.{solvents[worst].name}",
            solvents[worst].share,
            f"is not reached with whole molecules in about {target_atoms:.0f} atoms of liquid",
            f"{int(np.ceil((atoms @ ideal) / ideal.min()))} atoms of liquid hold each in its share: raise n_atoms or "
            "thickness_A.",
        )
    return {c.name: int(k) for c, k in zip(components, tried[best], strict=True)}


def _share_errors(tried: NDArray[np.int64], ideal: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the (M, N) logarithms of the solvents' mole fractions over those asked for, without their signs."""
    shares = tried / tried.sum(axis=1, keepdims=True)
    return np.asarray(np.abs(np.log(shares / (ideal / ideal.sum()))))


def molarities(
    counts: NDArray[np.int64], components: Sequence[Component], density: float | None
) -> NDArray[np.float64]:
    """Return mol/L of each component."""
    return np.asarray(1000.0 * counts / molar_volume(counts, components, density))


def molar_volume(counts: NDArray[np.int64], components: Sequence[Component], density: float | None) -> float:
    """Return the volume of a mol of such cells, cm^3."""
    if density is not None:
        return float(counts @ [c.mass for c in components]) / density
    return float(counts @ [c.volume for c in components])
