"""What is packed into which cell: everything of a liquid but the places of its molecules.

**Density.** Volumes add up: each solvent brings that of the neat liquid, each salt that of its crystal
(`aiida_haml.structures.liquid.species`). A density that is given replaces the sum.

**Volume.** The liquid has the volume between two dividing planes. Each lies half an interlayer distance outside the
metal's outermost plane, so that every metal atom has the volume that it has in the bulk, and ``SKIN`` outside the
liquid's outermost nuclei, which is the room that their shells take up: the gap between nuclei is the sum of the two. A
gap that is given moves the dividing planes with the liquid. The cell's height follows from the density, exactly; what
cannot be exact is the composition, as molecules are whole.
"""

from dataclasses import dataclass

import numpy as np
from ase import Atoms, units
from ase.data import atomic_masses, atomic_numbers

from aiida_haml.structures.errors import StructureError
from aiida_haml.structures.interface.stacking import FACETS, METALS, PLANE_SPACINGS
from aiida_haml.structures.liquid.mixtures import Component, amounts, choose_counts, molar_volume, molarities
from aiida_haml.structures.liquid.settings import Liquid, LiquidInterface
from aiida_haml.structures.liquid.species import Species
from aiida_haml.structures.reservoir import enough_layers

#: Volume of one molecule, Angstrom^3, where a mol has 1 cm^3.
CM3_PER_MOL = 1e24 * units._Nav**-1

#: Distance from a dividing plane to the liquid's nearest nuclei, Angstrom: about a van der Waals radius of hydrogen and
#: oxygen.
SKIN = 1.4

#: Numbers of metal cells tried along each side for an area.
MAX_REPEAT = 12


@dataclass(frozen=True)
class Filling:
    """What is packed into which cell.

    ``counts``: molecules and ions by short name; ``molarities`` of the salts in mol/L and ``density`` in g/cm^3 as
    reached; ``volume`` of the liquid in Angstrom^3; ``lengths`` (3,) of the cell in Angstrom; ``region`` the heights
    between which the liquid's nuclei are, None in bulk; ``gap`` from the metal's outermost planes to these, Angstrom.
    """

    species: dict[str, Species]
    counts: dict[str, int]
    molarities: dict[str, float]
    density: float
    volume: float
    lengths: tuple[float, float, float]
    region: tuple[float, float] | None
    gap: float | None
    metal: Atoms | None


def plan_filling(liquid: Liquid, interface: LiquidInterface | None) -> Filling:
    """Choose numbers of molecules and the cell, without packing.

    Raises
    ------
    StructureError
        If the cell is too small for the composition, or the metal leaves no room.
    """
    species, anions = liquid.species(), liquid.anions()
    solvents = [
        Component(name, float(share), _mass(species[name]), species[name].density, len(species[name].formula))
        for name, share in liquid.solvents.items()
    ]
    salts = [_formula_unit(salt, liquid.salts[salt], anion, species["Li"]) for salt, anion in anions.items()]
    components = [*solvents, *salts]
    metal, spacing = metal_beside(interface) if interface is not None else (None, 0.0)
    area = float(metal.cell.lengths()[0] * metal.cell.lengths()[1]) if metal is not None else 0.0
    target = _target_atoms(liquid, solvents, salts, metal, area)
    chosen = choose_counts(solvents, salts, target, liquid.parts, liquid.density_g_cm3)
    numbers = np.array(list(chosen.values()))
    cell_volume = molar_volume(numbers, components, liquid.density_g_cm3)
    counts = {name: chosen[name] for name in liquid.solvents}
    if salts:
        counts["Li"] = sum(-anion.charge * chosen[salt] for salt, anion in anions.items())
        counts |= {anion.name: chosen[salt] for salt, anion in anions.items()}
    reached = molarities(numbers, components, liquid.density_g_cm3)[len(solvents) :]
    density = float(numbers @ [c.mass for c in components]) / cell_volume
    volume = cell_volume * CM3_PER_MOL
    where = _cell(interface, metal, spacing, area, volume)
    told = {salt.name: float(molarity) for salt, molarity in zip(salts, reached, strict=True)}
    return Filling(species, counts, told, density, volume, *where, metal)


def _formula_unit(name: str, molarity: float, anion: Species, cation: Species) -> Component:
    lithium = -anion.charge
    mass = lithium * _mass(cation) + _mass(anion)
    return Component(name, molarity, mass, anion.density, lithium + len(anion.formula))


def _mass(species: Species) -> float:
    """Molar mass, g/mol."""
    return float(sum(atomic_masses[atomic_numbers[symbol]] for symbol in species.formula))


def _target_atoms(
    liquid: Liquid, solvents: list[Component], salts: list[Component], metal: Atoms | None, area: float
) -> float:
    """Return about how many atoms the liquid is to have."""
    components = [*solvents, *salts]
    if liquid.target_atoms is None:
        wanted = amounts(solvents, salts, liquid.parts, liquid.density_g_cm3)
        thickness = liquid.thickness_A or 0.0
        size = area * thickness if metal is not None else thickness**3
        return size / (1000.0 * CM3_PER_MOL) * sum(wanted[c.name] * c.atoms for c in components)
    left = liquid.target_atoms - (len(metal) if metal is not None else 0)
    least = sum(c.atoms for c in components)
    if left < least:
        raise StructureError(
            "liquid.n_atoms",
            liquid.target_atoms,
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


# -- the metal ----------------------------------------------------------------------------------------------


def metal_beside(settings: LiquidInterface) -> tuple[Atoms, float]:
    """Return the metal, lowest plane at z = 0, in a rectangular cell, and its interlayer distance, Angstrom.

    Raises
    ------
    StructureError
        If its area exceeds the limit.
    """
    a = settings.metal_a_A or METALS[settings.metal]
    spacing = a * PLANE_SPACINGS[settings.facet_indices]
    layers = settings.layers or enough_layers(0.0, 1, spacing)
    one = _slab(settings, 1, 1, layers, a)
    m, n = settings.repeat or _near_square(one, min(settings.area_A2, settings.max_area_A2))
    slab = _slab(settings, m, n, layers, a)
    area = float(slab.cell.lengths()[0] * slab.cell.lengths()[1])
    if area > settings.max_area_A2:
        raise StructureError(
            "interface.max_area_A2",
            settings.max_area_A2,
            f"is below the {area:.1f} Angstrom^2 of {m} x {n} cells",
            "Repeat less, or raise it.",
        )
    slab.positions[:, 2] -= slab.positions[:, 2].min()
    return slab, spacing


def _slab(settings: LiquidInterface, m: int, n: int, layers: int, a: float) -> Atoms:
    """Build rectangular surface cells; those of (110) and (111) hold two atoms a layer."""
    build = FACETS[settings.facet_indices]
    if settings.facet == "100":
        return build(settings.metal, size=(m, n, layers), a=a, vacuum=1.0)
    return build(settings.metal, size=(m, 2 * n, layers), a=a, vacuum=1.0, orthogonal=True)


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
