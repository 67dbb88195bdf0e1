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
            "thickness_A": None,                   # of the liquid; in bulk the edge of the cube
            "molecules": {},                       # a person's own: {name: {"smiles", "charge", "density"}}
        },
        "interface": {"metal": "Li", "facet": [1, 0, 0], "layers": 4, "area_A2": 110.0, "repeat": None,
                      "gap_A": None, "metal_a_A": None},       # or None: the bulk liquid in a cube
        "seed": 0,
    }

**Density.** Volumes add up: each solvent brings that of the neat liquid, each salt that of its crystal
(`aiida_haml.structures.liquid.molecules`). A density that is given replaces the sum.

**Volume.** The liquid has the volume between two dividing planes. Each lies half an interlayer distance outside the
metal's outermost plane, so that every metal atom has the volume that it has in the bulk, and ``SKIN`` outside the
liquid's outermost nuclei, which is the room that their shells take up: the gap between nuclei is the sum of the two. A
gap that is given moves the dividing planes with the liquid. The cell's height follows from the density, exactly; what
cannot be exact is the composition, as molecules are whole.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from ase import Atoms, units
from ase.data import atomic_masses, atomic_numbers
from numpy.typing import NDArray

from aiida_haml.structures.checks import check
from aiida_haml.structures.errors import StructureError
from aiida_haml.structures.geometry import pairs_within
from aiida_haml.structures.interface.stacking import METAL_SITE
from aiida_haml.structures.liquid.mixtures import Component, amounts, choose_counts, molar_volume, molarity_of
from aiida_haml.structures.liquid.molecules import Species, conformers, count_intact, molecule_key
from aiida_haml.structures.liquid.packing import find_packmol, pack
from aiida_haml.structures.liquid.settings import DEFAULT_ATOMS, LiquidInterface, LiquidSettings, LiquidSpec

#: Volume of one molecule, Angstrom^3, where a mol has 1 cm^3.
CM3_PER_MOL = 1e24 * units._Nav**-1

#: Distance from a dividing plane to the liquid's nearest nuclei, Angstrom: about a van der Waals radius of hydrogen and
#: oxygen.
SKIN = 1.4


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
    cell_volume = molar_volume(numbers, components, settings.density_g_cm3)
    volume = cell_volume * CM3_PER_MOL
    mass = float(numbers @ [c.mass for c in components])
    counts = {name: n for name, n in chosen.items() if name in settings.solvents}
    if salt is not None and settings.anion is not None:
        counts |= {"Li": -species[settings.anion].charge * chosen[salt.name], settings.anion: chosen[salt.name]}
    where = _cell(checked.interface, metal, spacing, area, volume)
    molarity = molarity_of(numbers, components, salt, settings.density_g_cm3)
    return Plan(species, counts, molarity, mass / cell_volume, volume, *where, metal)


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
