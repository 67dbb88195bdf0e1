"""Liquid electrolytes against lithium metal: molecules packed between the faces of one periodic slab.

A specification is a dictionary::

    {
        "liquid": {
            "solvents": {"EC": 1.0, "DMC": 1.0},   # parts
            "parts": "volume",                     # or "mole": what the parts are of, before mixing
            "salt": "LiPF6",                       # or None
            "molarity_M": 1.0,                     # mol of salt in a litre of solution
            "density_g_cm3": None,                 # from ideal mixing
            "n_atoms": 200,                        # of the whole cell, metal included; or
            "thickness_A": None,                   # of the liquid
            "molecules": {},                       # a person's own: {name: {"smiles", "charge", "density"}}
        },
        "interface": {"metal": "Li", "facet": [1, 0, 0], "layers": 4, "area_A2": 110.0, "repeat": None,
                      "gap_A": None, "metal_a_A": None},       # or None: the bulk liquid in a cube
        "seed": 0,
    }

**Density.** Volumes add up: each solvent brings that of the neat liquid, each salt that of its crystal
(`aiida_haml.structures.molecules`). A density that is given replaces the sum.

**Volume.** The liquid has the volume between two dividing planes. Each lies half an interlayer distance outside the
metal's outermost plane, so that every metal atom has the volume that it has in the bulk, and ``SKIN`` inside the
outermost nuclei of the liquid, which is the room that their shells take up: the gap between nuclei is the sum of the
two. A gap that is given moves the dividing planes with the liquid. The cell's height follows from the density, exactly;
what cannot be exact is the composition, as molecules are whole.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import MISSING, asdict, dataclass, field, fields
from typing import Any

import numpy as np
from ase import Atoms, units
from ase.data import atomic_masses, atomic_numbers
from numpy.typing import NDArray

from aiida_haml.structures.checks import check, pairs_within
from aiida_haml.structures.errors import StructureError
from aiida_haml.structures.interfaces import FACETS, METAL_SITE, METALS
from aiida_haml.structures.molecules import (
    IONS,
    SOLVENTS,
    Species,
    conformers,
    count_intact,
    molecule_key,
    nearest,
    own_species,
    read_molecule,
)
from aiida_haml.structures.packing import find_packmol, pack

#: Cubic Angstrom in a mol of cm^3: volumes of molecules from molar volumes.
CM3_PER_MOL = 1e24 * units._Nav**-1

#: Distance from a dividing plane to the liquid's nearest nuclei, Angstrom: about a van der Waals radius of hydrogen and
#: oxygen.
SKIN = 1.4

#: Atoms of the whole cell where neither their number nor a thickness is given.
DEFAULT_ATOMS = 200

#: Largest deviation of the molarity reached with whole molecules, relative.
MOLARITY_TOLERANCE = 0.25

#: Largest factor between the share of a solvent that is reached and that which is asked for.
SHARE_TOLERANCE = 2.0

#: The number of atoms may deviate by this share of what is asked for, in favour of the composition.
SIZE_TOLERANCE = 0.25

#: What a deviation in size counts beside one in composition.
SIZE_WEIGHT = 0.2

#: Densities that a liquid may be given, g/cm^3.
DENSITIES = (0.3, 3.0)

#: Numbers of metal cells tried along each side for an area.
MAX_REPEAT = 12


# -- settings -----------------------------------------------------------------------------------------------


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
    max_strain : float, optional
        Taken for the sake of solid interfaces, which share their settings; nothing here is strained.
    """

    metal: str = "Li"
    facet: tuple[int, int, int] = (1, 0, 0)
    layers: int = 4
    area_A2: float = 110.0
    repeat: tuple[int, int] | None = None
    gap_A: float | None = None
    metal_a_A: float | None = None
    max_area_A2: float = 2000.0
    max_strain: float | None = None

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
        m, n = self.repeat or _near_square(one.cell.lengths()[:2], min(self.area_A2, self.max_area_A2))
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
        return slab, a / float(np.linalg.norm(self.facet)) / (2 if self.facet != (1, 1, 0) else 1)

    def _layers(self, m: int, n: int, a: float) -> Atoms:
        """Build rectangular surface cells; those of (110) and (111) hold two atoms a layer."""
        if self.facet == (1, 0, 0):
            return FACETS[self.facet](self.metal, size=(m, n, self.layers), a=a, vacuum=1.0)
        return FACETS[self.facet](self.metal, size=(m, 2 * n, self.layers), a=a, vacuum=1.0, orthogonal=True)


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _near_square(sides: NDArray[np.float64], area: float) -> tuple[int, int]:
    """Return the repeats whose area and aspect deviate least, relative, from the area and a square."""

    def deviation(m: int, n: int) -> float:
        x, y = m * sides[0], n * sides[1]
        return round(float(abs(np.log(x * y / area)) + abs(np.log(x / y))), 9)

    tried = [(m, n) for m in range(1, MAX_REPEAT + 1) for n in range(1, MAX_REPEAT + 1)]
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


def read_files(liquid: Mapping[str, Any], folder: Any = ".") -> dict[str, Any]:
    """Return a liquid's settings in which each molecule's ``file`` has become its coordinates.

    A specification holds what it needs, so that it means the same everywhere; files are read once, by this.

    Parameters
    ----------
    liquid : mapping
        As in a specification; molecules may say ``file`` (xyz, mol or sdf).
    folder : path
        What the files' names are relative to.
    """
    from pathlib import Path

    molecules = {}
    for name, given in (liquid.get("molecules") or {}).items():
        plain = dict(given)
        if "file" in plain:
            plain |= read_molecule(Path(folder) / str(plain.pop("file")), plain.get("charge"))
        molecules[name] = plain
    return {**liquid, "molecules": molecules} if molecules else dict(liquid)


# -- composition --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Component:
    """What the arithmetic needs to know of a solvent or of a salt's formula unit.

    ``share``: parts of a solvent, 0 for the salt; ``mass`` in g/mol; ``density`` in g/cm^3, None where not known;
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
    solvents: list[Component], salt: Component | None, molarity: float, parts: str, density: float | None
) -> dict[str, float]:
    """Return what a litre of solution holds, mol, by name.

    Parameters
    ----------
    solvents, salt : Component
    molarity : float
        mol/L of the salt.
    parts : str
        ``volume`` (before mixing) or ``mole``.
    density : float, optional
        Of the solution, g/cm^3; volumes add up where left out.

    Raises
    ------
    StructureError
        If the salt leaves no room for a solvent.
    """
    shares = np.array([c.share / c.volume if parts == "volume" else c.share for c in solvents])
    shares = shares / shares.sum()
    if density is None:
        left = 1000.0 - (molarity * salt.volume if salt else 0.0)
        total = left / float(shares @ [c.volume for c in solvents])
    else:
        left = 1000.0 * density - (molarity * salt.mass if salt else 0.0)
        total = left / float(shares @ [c.mass for c in solvents])
    if left <= 0 and salt is not None:
        raise StructureError(
            "liquid.molarity_M", molarity, f"of {salt.name} leaves no room for a solvent", "Lower the molarity."
        )
    found = {c.name: float(share * total) for c, share in zip(solvents, shares, strict=True)}
    return found | ({salt.name: molarity} if salt else {})


def choose_counts(
    solvents: list[Component],
    salt: Component | None,
    molarity: float,
    target_atoms: float,
    parts: str = "volume",
    density: float | None = None,
) -> dict[str, int]:
    """Return whole numbers of molecules and formula units that come nearest to a composition and a size.

    Every solvent and the salt have one at least. Of all sizes within ``SIZE_TOLERANCE`` that is taken for which the
    relative errors of molarity and solvent shares, and ``SIZE_WEIGHT`` times that of the size, add up to the least.

    Parameters
    ----------
    solvents, salt, molarity, parts, density
        As in `amounts`.
    target_atoms : float
        Atoms of the liquid.

    Raises
    ------
    StructureError
        If whole molecules miss the molarity by more than ``MOLARITY_TOLERANCE``, or a solvent's share by more than
        ``SHARE_TOLERANCE``.
    """
    wanted = amounts(solvents, salt, molarity, parts, density)
    parts_of = [*solvents, *([salt] if salt else [])]
    atoms = np.array([c.atoms for c in parts_of])
    ideal = np.array([wanted[c.name] for c in parts_of])
    litres = target_atoms / float(atoms @ ideal)
    scales = litres * np.linspace(1 - SIZE_TOLERANCE, 1 + SIZE_TOLERANCE, 501)
    tried = np.unique(np.maximum(1, np.rint(scales[:, None] * ideal)).astype(int), axis=0)
    reached = np.array([_molarity(row, parts_of, salt, density) for row in tried])
    n = len(solvents)
    with np.errstate(divide="ignore"):
        off_molarity = np.abs(np.log(reached / molarity)) if salt else np.zeros(len(tried))
    shares = tried[:, :n] / tried[:, :n].sum(axis=1, keepdims=True)
    off_shares = np.abs(np.log(shares / (ideal[:n] / ideal[:n].sum())))
    off_size = np.abs(tried @ atoms / target_atoms - 1)
    best = int(np.round(off_molarity + off_shares.sum(axis=1) + SIZE_WEIGHT * off_size, 9).argmin())
    needed = int(np.ceil((atoms @ ideal) / ideal.min()))
    if salt and off_molarity[best] > np.log(1 + MOLARITY_TOLERANCE):
        raise StructureError(
            "liquid.molarity_M",
            molarity,
            f"is not reached with whole ions in about {target_atoms:.0f} atoms of liquid: the nearest is "
            f"{reached[best]:.2f} M",
            f"One formula unit of {salt.name} needs {int(np.ceil((atoms @ ideal) / molarity))} atoms of liquid: raise "
            "n_atoms or thickness_A, or the molarity.",
        )
    worst = int(off_shares[best].argmax())
    if off_shares[best, worst] > np.log(SHARE_TOLERANCE) + 1e-9:
        raise StructureError(
            f"liquid.solvents.{solvents[worst].name}",
            solvents[worst].share,
            f"is not reached with whole molecules in about {target_atoms:.0f} atoms of liquid",
            f"About {needed} atoms of liquid hold every solvent in its share: raise n_atoms or thickness_A.",
        )
    return {c.name: int(k) for c, k in zip(parts_of, tried[best], strict=True)}


def _molarity(
    counts: NDArray[np.int64], components: list[Component], salt: Component | None, density: float | None
) -> float:
    """Return mol/L of the salt, which is the last component."""
    return 1000.0 * float(counts[-1]) / _molar_volume(counts, components, density) if salt else 0.0


def _molar_volume(counts: NDArray[np.int64], components: list[Component], density: float | None) -> float:
    """Return the volume of a mol of such cells, cm^3."""
    if density is not None:
        return float(counts @ [c.mass for c in components]) / density
    return float(counts @ [c.volume for c in components])


# -- the plan: everything but the places of the molecules ---------------------------------------------------


@dataclass(frozen=True)
class Plan:
    """What is packed into which cell.

    ``counts``: molecules and ions by short name; ``molarity`` in mol/L and ``density`` in g/cm^3 as reached;
    ``volume`` of the liquid in Angstrom^3; ``lengths`` (3,) of the cell in Angstrom; ``region`` the heights between
    which the liquid's nuclei are, None in bulk; ``gap`` from the metal's outermost planes to these, Angstrom.
    """

    species: dict[str, Species]
    counts: dict[str, int]
    molarity: float
    density: float
    volume: float
    lengths: tuple[float, float, float]
    region: tuple[float, float] | None
    gap: float | None
    metal: Atoms | None


def plan_liquid(checked: LiquidSpec) -> Plan:
    """Choose numbers of molecules and the cell, without packing.

    Raises
    ------
    StructureError
        If the cell is too small for the composition, or the metal leaves no room.
    """
    settings = checked.liquid
    species = settings.species()
    solvents, salt = _components(settings, species)
    metal, spacing = checked.interface.slab() if checked.interface is not None else (None, 0.0)
    area = float(metal.cell.lengths()[0] * metal.cell.lengths()[1]) if metal is not None else 0.0
    target = _target_atoms(settings, solvents, salt, metal, area)
    chosen = choose_counts(solvents, salt, settings.molarity_M or 0.0, target, settings.parts, settings.density_g_cm3)
    numbers = np.array(list(chosen.values()))
    components = [*solvents, *([salt] if salt else [])]
    molar_volume = _molar_volume(numbers, components, settings.density_g_cm3)
    volume = molar_volume * CM3_PER_MOL
    mass = float(numbers @ [c.mass for c in components])
    counts = {name: n for name, n in chosen.items() if name in settings.solvents}
    if salt is not None and settings.anion is not None:
        counts |= {"Li": -species[settings.anion].charge * chosen[salt.name], settings.anion: chosen[salt.name]}
    where = _cell(checked.interface, metal, spacing, area, volume)
    molarity = _molarity(numbers, components, salt, settings.density_g_cm3)
    return Plan(species, counts, molarity, mass / molar_volume, volume, *where, metal)


def _components(settings: LiquidSettings, species: dict[str, Species]) -> tuple[list[Component], Component | None]:
    solvents = [
        Component(name, float(share), _mass(species[name]), species[name].density, len(species[name].formula))
        for name, share in settings.solvents.items()
    ]
    if settings.salt is None or settings.anion is None:
        return solvents, None
    anion = species[settings.anion]
    lithium = -anion.charge
    mass = lithium * _mass(species["Li"]) + _mass(anion)
    return solvents, Component(settings.salt, 0.0, mass, anion.density, lithium + len(anion.formula))


def _mass(species: Species) -> float:
    """Molar mass, g/mol."""
    return float(sum(atomic_masses[atomic_numbers[symbol]] for symbol in species.formula))


def _target_atoms(
    settings: LiquidSettings, solvents: list[Component], salt: Component | None, metal: Atoms | None, area: float
) -> float:
    """Return about how many atoms the liquid is to have."""
    wanted = amounts(solvents, salt, settings.molarity_M or 0.0, settings.parts, settings.density_g_cm3)
    components = [*solvents, *([salt] if salt else [])]
    if settings.n_atoms is None:
        thickness = settings.thickness_A or 0.0
        size = area * thickness if metal is not None else thickness**3
        return size / (1000.0 * CM3_PER_MOL) * sum(wanted[c.name] * c.atoms for c in components)
    left = settings.n_atoms - (len(metal) if metal is not None else 0)
    least = sum(c.atoms for c in components)
    if left < least:
        raise StructureError(
            "liquid.n_atoms",
            settings.n_atoms,
            f"leaves {left} atoms for the liquid, where one molecule of each kind has {least}",
            "Raise it, or take fewer layers or a smaller area of metal.",
        )
    return float(left)


def _cell(
    interface: LiquidInterface | None, metal: Atoms | None, spacing: float, area: float, volume: float
) -> tuple[tuple[float, float, float], tuple[float, float] | None, float | None]:
    """Return lengths of the cell, region of the liquid's nuclei and gap, Angstrom."""
    if interface is None or metal is None:
        edge = round(float(np.cbrt(volume)), 8)
        return (edge, edge, edge), None, None
    gap = spacing / 2 + SKIN if interface.gap_A is None else interface.gap_A
    top = float(metal.positions[:, 2].max())
    height = top + 2 * (gap - SKIN) + volume / area
    region = (top + gap, height - gap)
    if region[1] - region[0] < 2.0:
        raise StructureError(
            "liquid.n_atoms",
            interface.area_A2,
            f"Angstrom^2 of metal spread the liquid into a layer of {region[1] - region[0]:.1f} Angstrom",
            "Raise n_atoms or thickness_A, or take a smaller area.",
        )
    x, y = metal.cell.lengths()[:2]
    return (float(x), float(y), round(height, 8)), region, gap


# -- entries ------------------------------------------------------------------------------------------------


def validate_liquid(spec: Mapping[str, Any]) -> dict[str, Any]:
    """Check a specification without packing, in some milliseconds.

    Returns
    -------
    dict
        The same with every default written out.

    Raises
    ------
    StructureError
        If a key or value is refused, the cell is too small for the composition, or Packmol is missing.
    """
    checked = LiquidSpec.from_dict(spec)
    find_packmol()
    plan_liquid(checked)
    return checked.to_dict()


def liquid_label(spec: Mapping[str, Any]) -> str:
    """Return what people read: ``1M LiFSI in DME``, ``1M LiPF6 in EC:DMC 1:1``.

    What is not a default of density, parts and size follows after a comma. Interfaces and seeds are the screen's to
    tell apart.
    """
    settings = LiquidSpec.from_dict(spec).liquid
    text = f"{settings.molarity_M:g}M {settings.salt} in " if settings.salt else ""
    text += ":".join(settings.solvents)
    if len(settings.solvents) > 1:
        text += " " + ":".join(f"{share:g}" for share in settings.solvents.values())
        text += " mol" if settings.parts == "mole" else ""
    if settings.density_g_cm3 is not None:
        text += f", {settings.density_g_cm3:g} g/cm3"
    if settings.thickness_A is not None:
        text += f", {settings.thickness_A:g} A"
    elif settings.n_atoms != DEFAULT_ATOMS:
        text += f", {settings.n_atoms} atoms"
    return text


def liquid_elements(spec: Mapping[str, Any]) -> list[str]:
    """Return the chemical symbols that a cell will hold, in alphabetical order."""
    checked = LiquidSpec.from_dict(spec)
    symbols = {symbol for species in checked.liquid.species().values() for symbol in species.formula}
    return sorted(symbols | ({checked.interface.metal} if checked.interface is not None else set()))


def build_liquid(spec: Mapping[str, Any]) -> tuple[Atoms, dict[str, Any]]:
    """Build the cell of a liquid.

    Parameters
    ----------
    spec : mapping
        See the module.

    Returns
    -------
    atoms : Atoms
        Periodic; the liquid, molecule by molecule, then the metal from its lowest layer up. ``arrays['sites']``:
        ``solvent:DME``, ``cation``, ``anion:FSI`` and ``metal``; ``arrays['molecule']``: numbers of the molecules,
        -1 for the metal.
    report : dict
        Plain values: the specification with its defaults, label, composition, what was reached (``molecules``,
        ``molarity``, ``density``, each beside what was asked for), shortest distances, whole molecules, regions.

    Raises
    ------
    StructureError
        As `validate_liquid`, or if the molecules cannot be packed or the cell fails its checks.
    """
    checked = LiquidSpec.from_dict(spec)
    plan = plan_liquid(checked)
    names = [name for name, count in plan.counts.items() for _ in range(count)]
    molecules = _shapes(plan, checked.seed)
    places, scale = pack(molecules, plan.lengths, plan.region, plan.metal, checked.seed)
    atoms = _assemble(plan, names, molecules, places)
    keys = {name: molecule_key(shape) for name, shape in zip(names, molecules, strict=True)}
    intact = _count_whole(atoms, plan, keys)
    if intact != plan.counts:
        raise StructureError(
            "molecules", intact, f"are whole, where {plan.counts} were packed", "Try another seed or a lower density."
        )
    check(atoms)
    return atoms, _report(checked, plan, atoms, intact, scale)


def _shapes(plan: Plan, seed: int) -> list[Atoms]:
    """Return a geometry for each molecule: conformers of their own, by kind and seed."""
    return [
        shape
        for k, (name, count) in enumerate(plan.counts.items())
        for shape in conformers(plan.species[name], count, int(np.random.default_rng([seed, k]).integers(2**31 - 1)))
    ]


def _assemble(plan: Plan, names: list[str], molecules: list[Atoms], places: list[NDArray[np.float64]]) -> Atoms:
    sizes = [len(molecule) for molecule in molecules]
    symbols = [symbol for molecule in molecules for symbol in molecule.get_chemical_symbols()]
    sites = [_site(plan.species[name]) for name, size in zip(names, sizes, strict=True) for _ in range(size)]
    numbers = np.repeat(np.arange(len(molecules)), sizes)
    points = np.concatenate(places)
    if plan.metal is not None:
        order = np.lexsort(np.round(plan.metal.positions, 6).T)
        points = np.concatenate([points, plan.metal.positions[order]])
        symbols += list(np.array(plan.metal.get_chemical_symbols())[order])
        sites += [METAL_SITE] * len(plan.metal)
        numbers = np.concatenate([numbers, np.full(len(plan.metal), -1)])
    atoms = Atoms(symbols, points, cell=np.diag(plan.lengths), pbc=True)
    atoms.positions[:, 2] += (plan.gap or 0.0) / 2  # so that no plane of the metal lies on the cell's face
    atoms.wrap()
    atoms.set_array("sites", np.array(sites))
    atoms.set_array("molecule", numbers.astype(np.int64))
    return atoms


def _site(species: Species) -> str:
    if species.charge == 0:
        return f"solvent:{species.name}"
    return "cation" if species.charge > 0 else f"anion:{species.name}"


def _count_whole(atoms: Atoms, plan: Plan, keys: dict[str, str]) -> dict[str, int]:
    """Count molecules by their graphs, kinds of one graph (as neat and in a mixture) by their atoms' sites."""
    counts = {}
    for name in plan.counts:
        mine = np.isin(atoms.arrays["sites"], [_site(plan.species[name])])
        counts[name] = count_intact(atoms[mine], {name: keys[name]})[name]
    # A bond between two kinds shows in the whole cell alone.
    liquid = atoms[atoms.arrays["molecule"] >= 0]
    together = count_intact(liquid, keys)
    return {name: min(counts[name], together[name]) for name in counts}


def _shortest(atoms: Atoms) -> dict[str, dict[str, float]]:
    """Return the shortest distances between molecules and to the metal, Angstrom, by pairs of elements."""
    pairs = pairs_within(atoms, 4.0)
    number = atoms.arrays["molecule"]
    symbols = atoms.get_chemical_symbols()
    found: dict[str, dict[str, float]] = {"between_molecules": {}, "to_metal": {}}
    across = (number[pairs.i] != number[pairs.j]) & (number[pairs.i] >= 0)
    for i, j, distance in zip(pairs.i[across], pairs.j[across], pairs.distances[across], strict=True):
        metal = number[j] < 0
        pair = f"{symbols[j]}-{symbols[i]}" if metal else "-".join(sorted((symbols[i], symbols[j])))
        group = found["to_metal" if metal else "between_molecules"]
        group[pair] = min(group.get(pair, np.inf), round(float(distance), 6))
    return {name: dict(sorted(group.items(), key=lambda item: (item[1], item[0]))) for name, group in found.items()}


def _report(checked: LiquidSpec, plan: Plan, atoms: Atoms, intact: dict[str, int], scale: float) -> dict[str, Any]:
    spec = checked.to_dict()
    liquid = np.flatnonzero(atoms.arrays["molecule"] >= 0)
    shortest = _shortest(atoms)
    interface = None
    if plan.metal is not None and plan.gap is not None:
        interface = {
            "area": round(plan.lengths[0] * plan.lengths[1], 6),
            "gap_below_metal": round(plan.gap, 6),
            "gap_above_metal": round(plan.gap, 6),
            "liquid_thickness": round(plan.volume / plan.lengths[0] / plan.lengths[1], 6),
            "metal_thickness": round(float(np.ptp(plan.metal.positions[:, 2])), 6),
            "metal_layers": checked.interface.layers if checked.interface else 0,
            "n_metal": len(plan.metal),
            "n_electrolyte": len(liquid),
            "shortest_by_pair": shortest["to_metal"],
        }
    return {
        "spec": spec,
        "label": liquid_label(spec),
        "formula": atoms[liquid].get_chemical_formula(mode="hill"),
        "formal_charge": sum(count * plan.species[name].charge for name, count in plan.counts.items()),
        "interface": interface,
        "regions": {
            "electrolyte": liquid.tolist(),
            "metal": np.flatnonzero(atoms.arrays["molecule"] < 0).tolist(),
        },
        "molecules": dict(plan.counts),
        "molecules_intact": intact,
        "density": round(_density(atoms[liquid], plan.volume), 6),
        "density_target": round(plan.density, 6),
        "molarity": round(plan.molarity, 6),
        "molarity_target": spec["liquid"]["molarity_M"],
        "liquid_volume": round(plan.volume, 6),
        "packed_radii": scale,
        "shortest_distances": shortest["between_molecules"],
        "n_atoms": len(atoms),
        "composition": atoms.get_chemical_formula(mode="hill"),
        "volume": round(float(atoms.get_volume()), 6),
        "sites": atoms.arrays["sites"].tolist(),
    }


def _density(liquid: Atoms, volume: float) -> float:
    """Return g/cm^3 from the atoms that are there and a volume in Angstrom^3."""
    return float(liquid.get_masses().sum()) / volume * CM3_PER_MOL


def molecule_numbers(atoms: Atoms) -> Iterator[tuple[int, NDArray[np.int64]]]:
    """Yield number and atoms of each molecule of a built cell."""
    numbers = atoms.arrays["molecule"]
    for k in range(int(numbers.max()) + 1):
        yield k, np.flatnonzero(numbers == k)
