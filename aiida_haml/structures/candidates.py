"""Candidates: from a specification in plain numbers and words to a cell, its label and a report.

This is the one entry for what builds on the structures; see :mod:`aiida_haml.structures.specification` for what is
asked for.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from ase import Atoms

from aiida_haml.structures.charges import formal_charge
from aiida_haml.structures.checks import check
from aiida_haml.structures.doping import DopedCell, Lattice, dopant_indices, dope
from aiida_haml.structures.geometry import count_intact_tetrahedra
from aiida_haml.structures.host.settings import KnownHost, OwnHost
from aiida_haml.structures.interface import build_interface
from aiida_haml.structures.liquid import build_liquid, liquid_elements, liquid_label, plan_filling
from aiida_haml.structures.liquid.packing import find_packmol
from aiida_haml.structures.reservoir import Reservoir, lithium_needed
from aiida_haml.structures.specification import CellCandidate, LiquidCandidate, SolidCandidate, read_candidate


def validate(spec: Mapping[str, Any]) -> dict[str, Any]:
    """Check a specification without building its cell, in about 0.1 s.

    Parameters
    ----------
    spec : mapping
        See :mod:`aiida_haml.structures.specification`.

    Returns
    -------
    dict
        The same with every default written out.

    Raises
    ------
    StructureError
        If a key or value is refused, the cell cannot realise a fraction, the charge is not balanced, there is no such
        arrangement, or no match or cut within the limits.
    """
    checked = read_candidate(spec)
    if isinstance(checked, LiquidCandidate):
        find_packmol()
        plan_filling(checked.liquid, checked.interface)
    elif isinstance(checked, CellCandidate):
        checked.cell.build()
    else:
        checked.lattice.check_configuration(checked.plan, checked.configuration)
        _ = checked.layout
    return checked.to_dict()


def reservoir(spec: Mapping[str, Any]) -> Reservoir | None:
    """Return the metal beside a candidate's electrolyte, without building its cell; None in bulk.

    Raises
    ------
    StructureError
        As :func:`validate`.
    """
    checked = read_candidate(spec)
    if isinstance(checked, LiquidCandidate):
        metal = plan_filling(checked.liquid, checked.interface).metal
        return None if metal is None else Reservoir(None, len(metal), float(np.ptp(metal.positions[:, 2])))
    if isinstance(checked, CellCandidate):
        return checked.cell.reservoir
    if checked.layout is None or checked.interface is None:
        return None
    counts = checked.lattice.doped_composition(checked.plan)
    return checked.layout.reservoir(lithium_needed(counts, checked.lattice.charges), checked.interface)


def candidate_label(spec: Mapping[str, Any]) -> str:
    """Return what people read: ``Li6PS4.75O0.25Cl#16e-00``, or ``Li6PS5Cl`` where nothing is doped.

    The label names the doping and its arrangement, and in brackets what the host has that is not the default:
    ``Li6PS4.75O0.25Cl#16e-00(24g,x0.25,1x1x2)``. Interfaces, temperatures and seeds are for a screen to tell apart.

    Raises
    ------
    StructureError
        As :func:`validate`, but for match and cut.
    """
    checked = read_candidate(spec)
    if isinstance(checked, CellCandidate):
        return checked.cell.name
    return liquid_label(checked.liquid) if isinstance(checked, LiquidCandidate) else _label(checked)


def _label(checked: SolidCandidate) -> str:
    lattice, host = checked.lattice, checked.host
    special = [] if host.name == lattice.formula(lattice.plan(())) else [host.name]
    if isinstance(host, KnownHost):
        usual = KnownHost()
        special += [host.lithium] if host.lithium != usual.lithium else []
        special += [f"x{host.exchange:.10g}"] if host.exchange != usual.exchange else []
    if host.a_A is not None:
        special.append(f"a{host.a_A:.10g}")
    if host.supercell != (1, 1, 1):
        special.append("x".join(str(n) for n in host.supercell))
    return lattice.label(checked.plan, checked.configuration) + (f"({','.join(special)})" if special else "")


def candidate_elements(spec: Mapping[str, Any]) -> list[str]:
    """Return the chemical symbols that a candidate holds, in alphabetical order, without building it.

    Raises
    ------
    StructureError
        As :func:`candidate_label`.
    """
    checked = read_candidate(spec)
    if isinstance(checked, CellCandidate):
        return sorted(set(checked.cell.symbols))
    if isinstance(checked, LiquidCandidate):
        held = liquid_elements(checked.liquid)
    else:
        held = {element for element, n in checked.lattice.doped_composition(checked.plan).items() if n}
    return sorted(held | ({checked.interface.metal} if checked.interface is not None else set()))


def count_configurations(spec: Mapping[str, Any]) -> int:
    """Return the number of distinct arrangements of a solid's doping; its own ``configuration`` is left out of account.

    Raises
    ------
    StructureError
        If the doping is refused, or there are too many arrangements to be enumerated.
    """
    checked = SolidCandidate.read({**spec, "configuration": 0})
    return len(checked.lattice.enumerate(checked.plan))


def build(spec: Mapping[str, Any]) -> tuple[Atoms, dict[str, Any]]:
    """Build the cell of a candidate.

    Parameters
    ----------
    spec : mapping
        See :mod:`aiida_haml.structures.specification`.

    Returns
    -------
    atoms : Atoms
        Periodic; sublattice labels and 'metal' in ``arrays['sites']``.
    report : dict
        Plain values: the specification with its defaults, label, formula, composition, formal charge of the electrolyte
        (e), volume (Angstrom^3), the interface or None, and the regions as lists of indices. Of a solid also the host
        with what was assumed of it, intact PS4 units, the arrangement of the dopants and the ordering of partially
        occupied sites (an `OrderingReport`) or None.

    Raises
    ------
    StructureError
        As :func:`validate`, or if sites cannot be ordered or the cell fails its checks.
    """
    checked = read_candidate(spec)
    if isinstance(checked, LiquidCandidate):
        atoms, report = build_liquid(checked.liquid, checked.interface, checked.seed)
    elif isinstance(checked, CellCandidate):
        atoms, report = checked.cell.build()
    else:
        atoms, report = _build_solid(checked)
    return atoms, {
        "spec": checked.to_dict(),
        **report,
        "n_atoms": len(atoms),
        "composition": atoms.get_chemical_formula(mode="hill"),
        "volume": round(float(atoms.get_volume()), 6),
        "sites": atoms.arrays["sites"].tolist(),
    }


def _build_solid(checked: SolidCandidate) -> tuple[Atoms, dict[str, Any]]:
    lattice = checked.lattice
    doped = dope(lattice, checked.doping, checked.configuration, checked.seed, checked.compensation)
    atoms = doped.atoms
    check(atoms, tetrahedra=doped.tetrahedra, neutral=True)
    report: dict[str, Any] = {
        "label": _label(checked),
        "formula": lattice.formula(doped.plan),
        "formal_charge": formal_charge(atoms),
        "host": _host_report(checked.host, lattice),
        "ordering": doped.ordering,
        "interface": None,
        "regions": {"electrolyte": list(range(len(atoms))), "metal": []},
    }
    if checked.interface is not None:
        atoms, interface = build_interface(atoms, checked.interface, lattice.parent)
        described = interface.to_dict()
        report["regions"] = described.pop("regions")
        report["interface"] = described
    report["doping"] = _doping_report(atoms, doped)
    report["tetrahedra_intact"] = count_intact_tetrahedra(atoms)
    return atoms, report


def _host_report(host: KnownHost | OwnHost, lattice: Lattice) -> dict[str, Any]:
    return {
        "name": host.name,
        "formula": lattice.formula(lattice.plan(())),
        "n_sites": len(lattice.parent),
        "notes": lattice.parent.info.get("notes", []),
        "sublattices": {
            label: {"n_sites": len(sites), "occupancy": lattice.shares[label]}
            for label, sites in lattice.members.items()
        },
    }


def _doping_report(atoms: Atoms, doped: DopedCell) -> dict[str, Any]:
    """Say which atoms of the built cell, repeated or not, are dopants, and which arrangement they have."""
    arrangement = doped.arrangement
    return {
        "substituted": list(dopant_indices(atoms, doped.plan)),
        "configuration": arrangement.index,
        "n_distinct": arrangement.distinct,
        "degeneracy": arrangement.degeneracy,
        "n_arrangements": arrangement.total,
        "mismatch": arrangement.mismatch,
        "charge": sum(part.charge for part in doped.plan.parts),
    }
