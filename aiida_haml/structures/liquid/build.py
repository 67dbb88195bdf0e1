"""Liquid electrolytes against lithium metal: molecules packed between the faces of one periodic slab."""

from typing import Any

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from aiida_haml.structures.checks import check
from aiida_haml.structures.errors import StructureError
from aiida_haml.structures.geometry import pairs_within
from aiida_haml.structures.interface.stacking import METAL_SITE
from aiida_haml.structures.liquid.filling import CM3_PER_MOL, Filling, plan_filling
from aiida_haml.structures.liquid.graphs import count_intact, molecule_key
from aiida_haml.structures.liquid.packing import pack
from aiida_haml.structures.liquid.settings import DEFAULT_ATOMS, Liquid, LiquidInterface
from aiida_haml.structures.liquid.species import Species, conformers
from aiida_haml.structures.reservoir import Reservoir


def liquid_label(liquid: Liquid) -> str:
    """Return what people read: ``1M LiFSI in DME``, ``1M LiPF6 in EC:DMC 1:1``.

    What is not a default of density, parts and size follows after a comma. Interfaces and seeds are the screen's to
    tell apart.
    """
    salts = " + ".join(f"{molarity:g}M {salt}" for salt, molarity in liquid.salts.items())
    text = f"{salts} in " if salts else ""
    text += ":".join(liquid.solvents)
    if len(liquid.solvents) > 1:
        text += " " + ":".join(f"{share:g}" for share in liquid.solvents.values())
        text += " mol" if liquid.parts == "mole" else ""
    if liquid.density_g_cm3 is not None:
        text += f", {liquid.density_g_cm3:g} g/cm3"
    if liquid.thickness_A is not None:
        text += f", {liquid.thickness_A:g} A"
    elif liquid.target_atoms != DEFAULT_ATOMS:
        text += f", {liquid.target_atoms} atoms"
    return text


def liquid_elements(liquid: Liquid) -> set[str]:
    """Return the chemical symbols that the liquid holds."""
    return {symbol for species in liquid.species().values() for symbol in species.formula}


def build_liquid(
    liquid: Liquid, interface: LiquidInterface | None = None, seed: int = 0
) -> tuple[Atoms, dict[str, Any]]:
    """Build the cell of a liquid.

    Parameters
    ----------
    liquid : Liquid
    interface : LiquidInterface, optional
        The bulk liquid in a cube where left out.
    seed : int
        Of shapes and packing.

    Returns
    -------
    atoms : Atoms
        Periodic; the liquid, molecule by molecule, then the metal from its lowest layer up. ``arrays['sites']``:
        ``solvent:DME``, ``cation``, ``anion:FSI`` and ``metal``; ``arrays['molecule']``: numbers of the molecules,
        -1 for the metal.
    report : dict
        Plain values: label, composition, what was reached (``molecules``, ``molarity``, ``density``, each beside what
        was asked for), shortest distances, whole molecules, regions.

    Raises
    ------
    StructureError
        If the cell is too small for the composition, the molecules cannot be packed or the cell fails its checks.
    """
    filling = plan_filling(liquid, interface)
    names = [name for name, count in filling.counts.items() for _ in range(count)]
    molecules = _shapes(filling, seed)
    places, scale = pack(molecules, filling.lengths, filling.region, filling.metal, seed)
    atoms = _assemble(filling, names, molecules, places)
    keys = {name: molecule_key(shape) for name, shape in zip(names, molecules, strict=True)}
    intact = _count_whole(atoms, filling, keys)
    if intact != filling.counts:
        broken = ", ".join(f"{intact[name]} of {n} {name}" for name, n in filling.counts.items() if intact[name] != n)
        raise StructureError("molecules", broken, "are whole", "Try another seed or a lower density.")
    check(atoms)
    return atoms, _report(liquid, interface, filling, atoms, intact, scale)


def _shapes(filling: Filling, seed: int) -> list[Atoms]:
    """Return a geometry for each molecule: conformers of their own, by kind and seed."""
    return [
        shape
        for k, (name, count) in enumerate(filling.counts.items())
        for shape in conformers(filling.species[name], count, int(np.random.default_rng([seed, k]).integers(2**31 - 1)))
    ]


def _assemble(filling: Filling, names: list[str], molecules: list[Atoms], places: list[NDArray[np.float64]]) -> Atoms:
    sizes = [len(molecule) for molecule in molecules]
    symbols = [symbol for molecule in molecules for symbol in molecule.get_chemical_symbols()]
    sites = [_site(filling.species[name]) for name, size in zip(names, sizes, strict=True) for _ in range(size)]
    numbers = np.repeat(np.arange(len(molecules)), sizes)
    points = np.concatenate(places)
    if filling.metal is not None:
        order = np.lexsort(np.round(filling.metal.positions, 6).T)
        points = np.concatenate([points, filling.metal.positions[order]])
        symbols += list(np.array(filling.metal.get_chemical_symbols())[order])
        sites += [METAL_SITE] * len(filling.metal)
        numbers = np.concatenate([numbers, np.full(len(filling.metal), -1)])
    atoms = Atoms(symbols, points, cell=np.diag(filling.lengths), pbc=True)
    atoms.positions[:, 2] += (filling.gap or 0.0) / 2  # so that no plane of the metal lies on the cell's face
    atoms.wrap()
    atoms.set_array("sites", np.array(sites))
    atoms.set_array("molecule", numbers.astype(np.int64))
    return atoms


def _site(species: Species) -> str:
    if species.charge == 0:
        return f"solvent:{species.name}"
    return "cation" if species.charge > 0 else f"anion:{species.name}"


def _count_whole(atoms: Atoms, filling: Filling, keys: dict[str, str]) -> dict[str, int]:
    """Count molecules by their graphs, kinds of one graph (as neat and in a mixture) by their atoms' sites."""
    counts = {}
    for name in filling.counts:
        mine = np.isin(atoms.arrays["sites"], [_site(filling.species[name])])
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


def _report(
    liquid: Liquid,
    interface: LiquidInterface | None,
    filling: Filling,
    atoms: Atoms,
    intact: dict[str, int],
    scale: float,
) -> dict[str, Any]:
    members = np.flatnonzero(atoms.arrays["molecule"] >= 0)
    shortest = _shortest(atoms)
    return {
        "label": liquid_label(liquid),
        "formula": atoms[members].get_chemical_formula(mode="hill"),
        "formal_charge": sum(count * filling.species[name].charge for name, count in filling.counts.items()),
        "interface": None if interface is None else _interface_report(filling, len(members), shortest["to_metal"]),
        "regions": {
            "electrolyte": members.tolist(),
            "metal": np.flatnonzero(atoms.arrays["molecule"] < 0).tolist(),
        },
        "molecules": dict(filling.counts),
        "molecules_intact": intact,
        "density": round(float(atoms[members].get_masses().sum()) / filling.volume * CM3_PER_MOL, 6),
        "density_target": round(filling.density, 6),
        "molarity": {salt: round(molarity, 6) for salt, molarity in filling.molarities.items()},
        "molarity_target": liquid.salts,
        "liquid_volume": round(filling.volume, 6),
        "packed_radii": scale,
        "shortest_distances": shortest["between_molecules"],
    }


def _interface_report(filling: Filling, n_electrolyte: int, shortest: dict[str, float]) -> dict[str, Any]:
    assert filling.metal is not None
    assert filling.gap is not None
    heights = filling.metal.positions[:, 2]
    thickness = round(float(np.ptp(heights)), 6)
    return {
        "area": round(filling.lengths[0] * filling.lengths[1], 6),
        "gap_below_metal": round(filling.gap, 6),
        "gap_above_metal": round(filling.gap, 6),
        "liquid_thickness": round(filling.volume / filling.lengths[0] / filling.lengths[1], 6),
        "metal_thickness": thickness,
        "metal_layers": len(np.unique(np.round(heights, 4))),
        "reservoir": Reservoir(None, len(filling.metal), thickness).to_dict(),
        "n_metal": len(filling.metal),
        "n_electrolyte": n_electrolyte,
        "shortest_by_pair": shortest,
    }
