"""What a liquid electrolyte and the metal beside it are to be: settings, checked as they are made."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, field, fields
from typing import Any

import numpy as np
from ase import Atoms

from aiida_haml.structures.errors import StructureError
from aiida_haml.structures.interface.stacking import FACETS, METALS, PLANE_SPACINGS
from aiida_haml.structures.liquid.molecules import IONS, SOLVENTS, Species, nearest, own_species

#: Atoms of the whole cell where neither their number nor a thickness is given.
DEFAULT_ATOMS = 200

#: Short names of molecules: they stand in labels and on atoms.
NAMES = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,19}")

#: Densities that a liquid may be given, g/cm^3.
DENSITIES = (0.3, 3.0)

#: Numbers of metal cells tried along each side for an area.
MAX_REPEAT = 12


@dataclass(frozen=True)
class LiquidSettings:
    """What a liquid is to be; see the module.

    Raises
    ------
    StructureError
        If a value is refused.
    """

    solvents: Mapping[str, float]
    salt: str | None = None
    molarity_M: float | None = None
    parts: str = "volume"
    density_g_cm3: float | None = None
    n_atoms: int | None = None
    thickness_A: float | None = None
    molecules: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _require_parts(self.solvents)
        if self.parts not in ("volume", "mole"):
            raise StructureError("liquid.parts", self.parts, "is not what parts are of", "Choose volume or mole.")
        if not isinstance(self.molecules, Mapping):
            raise StructureError("liquid.molecules", self.molecules, "is no set of molecules", "Give {name: {...}}.")
        for name in self.molecules:
            if not isinstance(name, str) or not NAMES.fullmatch(name) or name == "Li":
                raise StructureError(
                    f"liquid.molecules.{name}",
                    name,
                    "is no name for a molecule of your own",
                    "Use up to 20 letters, digits, dashes and underscores, and not Li, which is the cation.",
                )
        self._check_salt()
        if self.density_g_cm3 is not None:
            _require_number("liquid.density_g_cm3", self.density_g_cm3, *DENSITIES)
        if self.n_atoms is not None and self.thickness_A is not None:
            raise StructureError(
                "liquid.thickness_A", self.thickness_A, "contradicts liquid.n_atoms", "Give one of the two."
            )
        if self.thickness_A is not None:
            _require_number("liquid.thickness_A", self.thickness_A, 4.0, 500.0)
        elif self.n_atoms is None:
            object.__setattr__(self, "n_atoms", DEFAULT_ATOMS)
        elif isinstance(self.n_atoms, bool) or not isinstance(self.n_atoms, int) or not 1 <= self.n_atoms <= 100_000:
            raise StructureError(
                "liquid.n_atoms", self.n_atoms, "is not a number of atoms", "Give 1 to 100000, metal included."
            )
        for species in self.species().values():
            _ = species.formula  # a SMILES string that RDKit refuses is refused here

    def _check_salt(self) -> None:
        if self.salt is None:
            if self.molarity_M:
                raise StructureError(
                    "liquid.molarity_M", self.molarity_M, "is given without a salt", "Name the salt, or leave it out."
                )
            object.__setattr__(self, "molarity_M", 0.0)
            return
        _ = self.anion
        if self.molarity_M is None:
            object.__setattr__(self, "molarity_M", 1.0)
        _require_number("liquid.molarity_M", self.molarity_M, 0.0, 10.0)

    @property
    def anion(self) -> str | None:
        """Short name of the salt's anion.

        Raises
        ------
        StructureError
            If the salt is unknown.
        """
        if self.salt is None:
            return None
        own = [name for name, given in self.molecules.items() if isinstance(given, Mapping) and _is_anion(name, given)]
        anions = [name for name, ion in IONS.items() if ion.charge < 0] + own
        salts = {f"Li{name}": name for name in anions} | {f"Li{-_charge(n, self.molecules)}{n}": n for n in own}
        if not isinstance(self.salt, str) or self.salt not in salts:
            raise StructureError("liquid.salt", self.salt, "is not a known salt", nearest(str(self.salt), salts))
        return salts[self.salt]

    def species(self) -> dict[str, Species]:
        """Return the solvents, lithium and the anion by short name, in this order.

        Raises
        ------
        StructureError
            If one is unknown, is an ion among the solvents, or lacks the density that the mixture needs.
        """
        found = {name: self._solvent(name) for name in self.solvents}
        anion = self.anion
        if anion is not None:
            found["Li"] = IONS["Li"]
            found[anion] = own_species(anion, self.molecules[anion]) if anion in self.molecules else IONS[anion]
        for name, species in found.items():
            needs = self.density_g_cm3 is None or (name in self.solvents and self.parts == "volume")
            if needs and species.density is None and name != "Li":
                raise StructureError(
                    f"liquid.molecules.{name}.density",
                    None,
                    "is missing, and the mixture's density or volume parts need it",
                    "Give it in g/cm^3 (of an anion: its lithium salt's), or density_g_cm3 and mole parts.",
                )
        return found

    def _solvent(self, name: str) -> Species:
        if name in self.molecules:
            species = own_species(name, self.molecules[name])
        elif name in SOLVENTS:
            species = SOLVENTS[name]
        else:
            raise StructureError(
                f"liquid.solvents.{name}",
                name,
                "is not a known solvent",
                f"{nearest(name, [*SOLVENTS, *self.molecules])} Or describe it under liquid.molecules.",
            )
        if species.charge != 0:
            raise StructureError(
                f"liquid.solvents.{name}", species.charge, "is the charge of this solvent", "Name ions by their salt."
            )
        return species

    def to_dict(self) -> dict[str, Any]:
        """Return plain values with every default written out."""
        plain = {f.name: getattr(self, f.name) for f in fields(self)}
        plain["solvents"] = dict(self.solvents)
        plain["molecules"] = {name: dict(given) for name, given in self.molecules.items()}
        return plain


def _is_anion(name: str, given: Mapping[str, Any]) -> bool:
    return _charge(name, {name: given}) < 0


def _charge(name: str, molecules: Mapping[str, Mapping[str, Any]]) -> int:
    return own_species(name, molecules[name]).charge


def _require_parts(solvents: object) -> None:
    if not isinstance(solvents, Mapping) or not solvents:
        raise StructureError("liquid.solvents", solvents, "names no solvent", "Give {name: parts}, as in {DME: 1}.")
    for name, value in solvents.items():
        _require_number(f"liquid.solvents.{name}", value, 0.0, 1e6)


def _require_number(name: str, value: object, low: float, high: float) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not low < value <= high:
        raise StructureError(name, value, "is out of range", f"Give a number above {low:g} and up to {high:g}.")


@dataclass(frozen=True)
class LiquidInterface:
    """The metal beside a liquid. The liquid takes its shape, so that nothing is strained.

    Parameters
    ----------
    metal : str
    facet : (int, int, int)
    layers : int
        Atomic layers.
    area_A2 : float
        The area is that multiple of the surface's cell which comes nearest to it and to a square, Angstrom^2.
    repeat : (int, int), optional
        Rectangular surface cells along both sides, in place of ``area_A2``.
    gap_A : float, optional
        Least distance along z between the metal's outermost plane and the liquid's nuclei, Angstrom.
    metal_a_A : float, optional
        Lattice constant in place of the experimental one, Angstrom.
    max_area_A2 : float
        Limit of the area, Angstrom^2.
    """

    metal: str = "Li"
    facet: tuple[int, int, int] = (1, 0, 0)
    layers: int = 4
    area_A2: float = 110.0
    repeat: tuple[int, int] | None = None
    gap_A: float | None = None
    metal_a_A: float | None = None
    max_area_A2: float = 2000.0

    def __post_init__(self) -> None:
        if not isinstance(self.metal, str) or self.metal not in METALS:
            raise StructureError(
                "interface.metal", self.metal, "is not a known metal", f"Choose one of {', '.join(METALS)}."
            )
        if not isinstance(self.facet, (list, tuple)) or list(self.facet) not in [list(known) for known in FACETS]:
            known = ", ".join(str(list(f)) for f in FACETS)
            raise StructureError(
                "interface.facet", self.facet, "is not a facet that can be built", f"Choose one of {known}."
            )
        object.__setattr__(self, "facet", tuple(int(h) for h in self.facet))
        if not _is_count(self.layers):
            raise StructureError("interface.layers", self.layers, "is not a number of layers", "Give 1 or more.")
        if self.repeat is not None:
            if (
                not isinstance(self.repeat, (list, tuple))
                or len(self.repeat) != 2
                or not all(map(_is_count, self.repeat))
            ):
                raise StructureError(
                    "interface.repeat",
                    self.repeat,
                    "are not two numbers of cells",
                    "Give two whole numbers, as [3, 3].",
                )
            object.__setattr__(self, "repeat", tuple(self.repeat))
        _require_number("interface.area_A2", self.area_A2, 20.0, 10_000.0)
        _require_number("interface.max_area_A2", self.max_area_A2, 20.0, 10_000.0)
        if self.gap_A is not None:
            _require_number("interface.gap_A", self.gap_A, 1.0, 20.0)
        if self.metal_a_A is not None:
            _require_number("interface.metal_a_A", self.metal_a_A, 2.0, 8.0)

    def slab(self) -> tuple[Atoms, float]:
        """Return the metal, lowest plane at z = 0, in a rectangular cell, and its interlayer distance, Angstrom.

        Raises
        ------
        StructureError
            If its area exceeds the limit.
        """
        a = self.metal_a_A or METALS[self.metal]
        one = self._layers(1, 1, a)
        m, n = self.repeat or _near_square(one, min(self.area_A2, self.max_area_A2))
        slab = self._layers(m, n, a)
        area = float(slab.cell.lengths()[0] * slab.cell.lengths()[1])
        if area > self.max_area_A2:
            raise StructureError(
                "interface.max_area_A2",
                self.max_area_A2,
                f"is below the {area:.1f} Angstrom^2 of {m} x {n} cells",
                "Repeat less, or raise it.",
            )
        slab.positions[:, 2] -= slab.positions[:, 2].min()
        return slab, a * PLANE_SPACINGS[self.facet]

    def _layers(self, m: int, n: int, a: float) -> Atoms:
        """Build rectangular surface cells; those of (110) and (111) hold two atoms a layer."""
        if self.facet == (1, 0, 0):
            return FACETS[self.facet](self.metal, size=(m, n, self.layers), a=a, vacuum=1.0)
        return FACETS[self.facet](self.metal, size=(m, 2 * n, self.layers), a=a, vacuum=1.0, orthogonal=True)


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _near_square(one: Atoms, area: float) -> tuple[int, int]:
    """Return the repeats whose area and aspect deviate least, relative, from the area and a square.

    The metal has an even number of atoms then, and with it the cell of electrons, where each atom has an odd one.
    """
    sides = one.cell.lengths()

    def deviation(m: int, n: int) -> float:
        x, y = m * sides[0], n * sides[1]
        return round(float(abs(np.log(x * y / area)) + abs(np.log(x / y))), 9)

    each = range(1, MAX_REPEAT + 1)
    tried = [(m, n) for m in each for n in each if m * n * int(one.numbers.sum()) % 2 == 0]
    return min(tried, key=lambda mn: (deviation(*mn), mn))


@dataclass(frozen=True)
class LiquidSpec:
    """A checked specification."""

    liquid: LiquidSettings
    interface: LiquidInterface | None = None
    seed: int = 0

    @classmethod
    def from_dict(cls, spec: Mapping[str, Any]) -> LiquidSpec:
        """Read a specification.

        Raises
        ------
        StructureError
            If a key is unknown or missing, or a value is refused.
        """
        values = _known(spec, cls, "")
        seed = values.get("seed", 0)
        if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
            raise StructureError("seed", seed, "is not a seed", "Give a whole number from 0 on.")
        values["liquid"] = LiquidSettings(**_known(values["liquid"], LiquidSettings, "liquid."))
        if values.get("interface") is not None:
            values["interface"] = LiquidInterface(**_known(values["interface"], LiquidInterface, "interface."))
        return cls(**values)

    def to_dict(self) -> dict[str, Any]:
        """Return plain numbers, words and lists with every default written out."""
        interface = None
        if self.interface is not None:
            interface = {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self.interface).items()}
        return {"liquid": self.liquid.to_dict(), "interface": interface, "seed": self.seed}


def _known(given: object, kind: type, prefix: str) -> dict[str, Any]:
    """Return the settings of one level, refusing what its dataclass does not know and what it lacks."""
    if not isinstance(given, Mapping):
        raise StructureError(
            prefix.rstrip(".") or "specification", given, "is not a set of keys and values", "Give a dictionary."
        )
    names = [f.name for f in fields(kind)]
    for key in given:
        if key not in names:
            raise StructureError(f"{prefix}{key}", given[key], "has an unknown key", nearest(str(key), names))
    for f in fields(kind):
        if f.default is MISSING and f.default_factory is MISSING and f.name not in given:
            raise StructureError(f"{prefix}{f.name}", None, "is missing", f"Give {prefix}{f.name}.")
    return dict(given)
