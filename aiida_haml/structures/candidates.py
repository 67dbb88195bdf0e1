"""Candidates: from a specification in plain numbers and words to a cell, its label and a report.

This is the one entry for what builds on the structures. The specification of a solid is a dictionary::

    {
        "host": "Li6PS5Cl",                # or its long form, see aiida_haml.structures.host.sites
        "doping": [{"dopant": "O", "site": "16e", "fraction": 0.25}],   # several are made together; or None
        "compensation": None,              # "vacancies" or "interstitials" of Li where the doping brings a charge
        "configuration": 0,                # of the distinct arrangements; or {"sample": k}, or "sqs"
        "interface": {"metal": "Li", "facet": [1, 0, 0], "layers": 2, ...},   # or None: bulk
        "seed": 0,                         # of draws, of the quasi-random search and of the ordering
    }

and that of a liquid, with the key "liquid", is described in :mod:`aiida_haml.structures.liquid.build`. Every key may be
left out; unknown ones are refused. The same specification gives the same atoms, bit for bit.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import MISSING, asdict, dataclass, field, fields
from functools import lru_cache
from typing import Any

from ase import Atoms

from aiida_haml.structures.checks import check
from aiida_haml.structures.crystals import ARGYRODITE, formal_charge
from aiida_haml.structures.doping.lattice import (
    Configuration,
    DopedCell,
    Lattice,
    Plan,
    Substitution,
    dope,
    numbered,
    read_configuration,
    substituted,
)
from aiida_haml.structures.errors import StructureError
from aiida_haml.structures.geometry import TETRAHEDRON_ANIONS, count_intact_tetrahedra
from aiida_haml.structures.host.sites import BUILT_IN_DEFAULTS, host_settings, parent
from aiida_haml.structures.interface.build import InterfaceSettings, build_interface, interface_match


@dataclass(frozen=True)
class CandidateSpec:
    """A checked specification of a solid; ``to_dict`` gives it back with every default written out."""

    host: dict[str, Any] = field(default_factory=lambda: host_settings(ARGYRODITE.name))
    doping: tuple[Substitution, ...] = ()
    compensation: str | None = None
    configuration: Configuration = 0
    interface: InterfaceSettings | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        read_configuration(self.configuration)
        if isinstance(self.seed, bool) or not isinstance(self.seed, int) or self.seed < 0:
            raise StructureError("seed", self.seed, "is not a seed", "Give a whole number from 0 on.")

    @classmethod
    def from_dict(cls, spec: Mapping[str, Any]) -> CandidateSpec:
        """Read a specification.

        Raises
        ------
        StructureError
            If a key is unknown or missing, or a value is refused.
        """
        values = _known(spec, cls, "")
        if "host" in values:
            values["host"] = _read_host(values["host"])
        values["doping"] = _read_doping(values.get("doping"))
        if values.get("interface") is not None:
            values["interface"] = InterfaceSettings(**_known(values["interface"], InterfaceSettings, "interface."))
        return cls(**values)

    def to_dict(self) -> dict[str, Any]:
        """Return plain numbers, words and lists."""
        kind, number = read_configuration(self.configuration)
        return {
            "host": deepcopy(self.host),
            "doping": [asdict(substitution) for substitution in self.doping] or None,
            "compensation": self.compensation,
            "configuration": {"index": number, "sample": {"sample": number}, "sqs": "sqs"}[kind],
            "interface": None if self.interface is None else self.interface.to_dict(),
            "seed": self.seed,
        }

    @property
    def host_key(self) -> str:
        """The host as text."""
        return json.dumps(self.host, sort_keys=True)

    @property
    def lattice(self) -> Lattice:
        """The host's sublattices; shared by all candidates of one host, not to be changed."""
        return _lattice(self.host_key)

    @property
    def plan(self) -> Plan:
        """What the doping means in the host."""
        return self.lattice.plan(self.doping, self.compensation)


def _read_host(host: object) -> dict[str, Any]:
    """Check a host; one that was checked before is remembered."""
    try:
        return json.loads(_settings(json.dumps(host, sort_keys=True)))
    except TypeError:  # holds what is no plain value
        return host_settings(host)  # which refuses it


@lru_cache(maxsize=64)
def _settings(host: str) -> str:
    return json.dumps(host_settings(json.loads(host)))


def _read_doping(doping: object) -> tuple[Substitution, ...]:
    given = [doping] if isinstance(doping, Mapping) else [] if doping is None else doping
    if not isinstance(given, Sequence) or isinstance(given, str):
        raise StructureError(
            "doping",
            doping,
            "is no list of substitutions",
            'Give [{"dopant": "O", "site": "16e", "fraction": 0.25}], or null.',
        )
    read = []
    for k, substitution in enumerate(given):
        try:
            read.append(Substitution(**_known(substitution, Substitution, "doping.")))
        except StructureError as error:
            raise numbered(error, k, len(given)) from error
    return tuple(read)


def _known(given: object, kind: type, prefix: str) -> dict[str, Any]:
    """Return the settings of one level, refusing what its dataclass does not know and what it lacks."""
    if not isinstance(given, Mapping):
        raise StructureError(
            prefix.rstrip(".") or "specification",
            given,
            "is not a set of keys and values",
            "Give a dictionary.",
        )
    declared = fields(kind)
    names = [known.name for known in declared]
    for key in given:
        if key not in names:
            raise StructureError(f"{prefix}{key}", given[key], "has an unknown key", f"Known are {', '.join(names)}.")
    for known in declared:
        optional = known.default is not MISSING or known.default_factory is not MISSING
        if not optional and known.name not in given:
            raise StructureError(f"{prefix}{known.name}", None, "is missing", f"Give {prefix}{known.name}.")
    return dict(given)


@lru_cache(maxsize=32)
def _lattice(host: str) -> Lattice:
    settings = json.loads(host)
    return Lattice(parent(settings), settings["supercell"])


@lru_cache(maxsize=512)
def _require_match(host: str, interface: InterfaceSettings) -> None:
    """Refuse an interface without a commensurate match; one that was found is remembered."""
    interface_match(_lattice(host).parent, interface)


def _is_liquid(spec: object) -> bool:
    return isinstance(spec, Mapping) and "liquid" in spec


def validate(spec: Mapping[str, Any]) -> dict[str, Any]:
    """Check a specification without building its cell, in about 0.1 s.

    Parameters
    ----------
    spec : mapping
        See the module.

    Returns
    -------
    dict
        The same with every default written out.

    Raises
    ------
    StructureError
        If a key or value is refused, the cell cannot realise a fraction, the charge is not balanced, there is no such
        arrangement, or no commensurate match within the limits.
    """
    if _is_liquid(spec):
        from aiida_haml.structures.liquid import (
            build as liquids,  # molecules and packing are heavy, and no solid needs them
        )

        return liquids.validate_liquid(spec)
    checked = CandidateSpec.from_dict(spec)
    checked.lattice.check_configuration(checked.plan, checked.configuration)
    if checked.interface is not None:
        _require_match(checked.host_key, checked.interface)
    return checked.to_dict()


def candidate_label(spec: Mapping[str, Any]) -> str:
    """Return what people read: ``Li6PS4.75O0.25Cl#16e-00``, or ``Li6PS5Cl`` where nothing is doped.

    The label names the doping and its arrangement, and in brackets what the host has that is not the default:
    ``Li6PS4.75O0.25Cl#16e-00(48h,x0.25,1x1x2)``. Interfaces and temperatures are for a screen to tell apart.

    Raises
    ------
    StructureError
        As :func:`validate`, but for the match.
    """
    if _is_liquid(spec):
        from aiida_haml.structures.liquid import build as liquids  # heavy, as above

        return liquids.liquid_label(spec)
    checked = CandidateSpec.from_dict(spec)
    return _label(checked)


def _label(checked: CandidateSpec) -> str:
    lattice, plan, host = checked.lattice, checked.plan, checked.host
    special = [] if host["name"] == lattice.formula(lattice.plan(())) else [host["name"]]
    if host.get("lithium", BUILT_IN_DEFAULTS["lithium"]) != BUILT_IN_DEFAULTS["lithium"]:
        special.append(host["lithium"])
    if host.get("exchange"):
        special.append(f"x{host['exchange']:.10g}")
    if host["a_A"] is not None:
        special.append(f"a{host['a_A']:.10g}")
    if host["supercell"] != [1, 1, 1]:
        special.append("x".join(str(n) for n in host["supercell"]))
    if checked.seed and (plan.ordered or read_configuration(checked.configuration)[0] != "index"):
        special.append(f"seed{checked.seed}")
    return lattice.label(plan, checked.configuration) + (f"({','.join(special)})" if special else "")


def candidate_elements(spec: Mapping[str, Any]) -> list[str]:
    """Return the chemical symbols that a candidate holds, in alphabetical order, without building it.

    Raises
    ------
    StructureError
        As :func:`candidate_label`.
    """
    if _is_liquid(spec):
        from aiida_haml.structures.liquid import build as liquids  # heavy, as above

        return liquids.liquid_elements(spec)
    checked = CandidateSpec.from_dict(spec)
    held = checked.lattice.doped_composition(checked.plan)
    metal = {checked.interface.metal} if checked.interface is not None else set()
    return sorted({element for element, n in held.items() if n} | metal)


def count_configurations(spec: Mapping[str, Any]) -> int:
    """Return the number of distinct arrangements of a solid's doping; its own ``configuration`` is left out of account.

    Raises
    ------
    StructureError
        If the doping is refused, or there are too many arrangements to be enumerated.
    """
    checked = CandidateSpec.from_dict({**spec, "configuration": 0})
    return len(checked.lattice.enumerate(checked.plan))


def build(spec: Mapping[str, Any]) -> tuple[Atoms, dict[str, Any]]:
    """Build the cell of a candidate.

    Parameters
    ----------
    spec : mapping
        See the module.

    Returns
    -------
    atoms : Atoms
        Periodic; sublattice labels and 'metal' in ``arrays['sites']``.
    report : dict
        Plain values. Of a solid: the specification with its defaults, label, formula, composition, formal charge of
        the electrolyte (e), intact PS4 units, volume (Angstrom^3), the host, the arrangement of the dopants, the
        ordering of partially occupied sites (an `OrderingReport`) or None, the interface (an `InterfaceReport`) or
        None, and the regions as lists of indices.

    Raises
    ------
    StructureError
        As :func:`validate`, or if sites cannot be ordered or the cell fails its checks.
    """
    if _is_liquid(spec):
        from aiida_haml.structures.liquid import build as liquids  # heavy, as above

        return liquids.build_liquid(spec)
    return _build_solid(CandidateSpec.from_dict(spec))


def _build_solid(checked: CandidateSpec) -> tuple[Atoms, dict[str, Any]]:
    lattice = checked.lattice
    doped = dope(lattice, checked.doping, checked.configuration, checked.seed, checked.compensation)
    atoms = doped.atoms
    report: dict[str, Any] = {
        "spec": checked.to_dict(),
        "label": _label(checked),
        "formula": lattice.formula(doped.plan),
        "formal_charge": formal_charge(atoms),
        "host": _host_report(checked),
        "ordering": doped.ordering,
        "interface": None,
        "regions": {"electrolyte": list(range(len(atoms))), "metal": []},
    }
    check(atoms, tetrahedra=_whole_tetrahedra(lattice, doped), neutral=True)
    if checked.interface is not None:
        atoms, interface = build_interface(atoms, checked.interface, lattice.parent)
        described = interface.to_dict()
        report["regions"] = described.pop("regions")
        report["interface"] = described
    report["doping"] = _doping_report(atoms, doped)
    report["n_atoms"] = len(atoms)
    report["composition"] = atoms.get_chemical_formula(mode="hill")
    report["tetrahedra_intact"] = count_intact_tetrahedra(atoms)
    report["volume"] = round(float(atoms.get_volume()), 6)
    report["sites"] = atoms.arrays["sites"].tolist()
    return atoms, report


def _whole_tetrahedra(lattice: Lattice, doped: DopedCell) -> int:
    """Return how many PS4 the doped cell should hold: a unit with a corner of F is none, the others stay whole."""
    host, dopants = lattice.parent, doped.arrangement.dopants
    odd = [site for site, dopant in dopants.items() if dopant not in TETRAHEDRON_ANIONS]
    corners = [site for site in odd if lattice.is_corner(str(host.arrays["sites"][site]))]
    phosphorus = [atom.index for atom in host if atom.symbol == "P"]
    broken = {int(host.get_distances(site, phosphorus, mic=True).argmin()) for site in corners}
    return count_intact_tetrahedra(host) - len(broken)


def _host_report(checked: CandidateSpec) -> dict[str, Any]:
    lattice = checked.lattice
    return {
        "name": checked.host["name"],
        "formula": lattice.formula(lattice.plan(())),
        "n_sites": len(lattice.parent),
        "sublattices": {
            label: {"n_sites": len(sites), "occupancy": lattice.shares[label]}
            for label, sites in lattice.members.items()
        },
    }


def _doping_report(atoms: Atoms, doped: DopedCell) -> dict[str, Any]:
    """Say which atoms of the built cell, repeated or not, are dopants, and which arrangement they have."""
    arrangement = doped.arrangement
    return {
        "substituted": list(substituted(atoms, doped.plan)),
        "configuration": arrangement.index,
        "n_distinct": arrangement.distinct,
        "degeneracy": arrangement.degeneracy,
        "n_arrangements": arrangement.total,
        "mismatch": arrangement.mismatch,
        "charge": sum(part.charge for part in doped.plan.parts),
    }
