"""Candidates: from a specification in plain numbers and words to a cell, its label and a report.

This is the one entry for what builds on the structures. A specification is a dictionary::

    {
        "host": "Li6PS5Cl",
        "a_A": None,                       # lattice constant of the host instead of the experimental one
        "doping": {"dopant": "O", "site": "16e", "fraction": 0.25, "configuration": 0},   # or None
        "interface": {"metal": "Li", "facet": [1, 0, 0], "layers": 2, "max_strain": 0.03,
                      "gap_A": None, "max_area_A2": 200.0, "metal_a_A": None},            # or None: bulk
        "seed": 0,                         # draws the arrangement where doping.configuration is None
    }

Every key may be left out; unknown ones are refused. The same specification gives the same atoms, bit for bit.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, fields
from typing import Any

from ase import Atoms

from aiida_haml.structures.checks import check, count_intact_tetrahedra
from aiida_haml.structures.crystals import ARGYRODITE, HOSTS, formal_charge, host
from aiida_haml.structures.doping import DopedCell, Doping, dope, formula
from aiida_haml.structures.errors import StructureError
from aiida_haml.structures.interfaces import InterfaceSettings, build_interface, interface_match


@dataclass(frozen=True)
class CandidateSpec:
    """A checked specification; ``to_dict`` gives it back with every default written out."""

    host: str = ARGYRODITE.name
    a_A: float | None = None
    doping: Doping | None = None
    interface: InterfaceSettings | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if not isinstance(self.host, str) or self.host not in HOSTS:
            raise StructureError("host", self.host, "is not a known host", f"Choose one of {', '.join(HOSTS)}.")
        if self.a_A is not None and (
            isinstance(self.a_A, bool) or not isinstance(self.a_A, (int, float)) or not 5.0 < self.a_A < 20.0
        ):
            raise StructureError(
                "a_A", self.a_A, "is no lattice constant of a host", "Give 5 to 20 Angstrom, or leave it out."
            )
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
        if values.get("doping") is not None:
            values["doping"] = Doping(**_known(values["doping"], Doping, "doping."))
        if values.get("interface") is not None:
            values["interface"] = InterfaceSettings(**_known(values["interface"], InterfaceSettings, "interface."))
        return cls(**values)

    def to_dict(self) -> dict[str, Any]:
        """Return plain numbers, words and lists."""
        plain = asdict(self)
        if plain["interface"] is not None:
            plain["interface"]["facet"] = list(plain["interface"]["facet"])
        return plain


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
    names = [field.name for field in declared]
    for key in given:
        if key not in names:
            raise StructureError(f"{prefix}{key}", given[key], "has an unknown key", f"Known are {', '.join(names)}.")
    for field in declared:
        if field.default is MISSING and field.name not in given:
            raise StructureError(f"{prefix}{field.name}", None, "is missing", f"Give {prefix}{field.name}.")
    return dict(given)


def validate(spec: Mapping[str, Any]) -> dict[str, Any]:
    """Check a specification without building its interface, in about 0.1 s.

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
        If a key or value is refused, the cell cannot realise the fraction, there is no such configuration, or
        no commensurate match within the limits.
    """
    checked = CandidateSpec.from_dict(spec)
    parent = host(checked.host, checked.a_A)
    _dope(parent, checked)
    if checked.interface is not None:
        interface_match(parent, checked.interface)
    return checked.to_dict()


def candidate_label(spec: Mapping[str, Any]) -> str:
    """Return what people read: ``Li6PS4.75O0.25Cl#16e-00``, or ``Li6PS5Cl`` where nothing is doped.

    The label names the doping and its arrangement alone; interfaces, temperatures and seeds of a screen are
    the screen's to tell apart.

    Raises
    ------
    StructureError
        As :func:`validate`, but for the match.
    """
    checked = CandidateSpec.from_dict(spec)
    return _dope(host(checked.host, checked.a_A), checked).label


def build(spec: Mapping[str, Any]) -> tuple[Atoms, dict[str, Any]]:
    """Build the cell of a candidate.

    Parameters
    ----------
    spec : mapping
        See the module.

    Returns
    -------
    atoms : Atoms
        Periodic; Wyckoff labels and 'metal' in ``arrays['sites']``.
    report : dict
        Plain values: the specification with its defaults, label, composition, formal charge of the
        electrolyte (e), intact PS4 units, volume (Angstrom^3), the arrangement of the dopant, the interface
        (an :class:`~aiida_haml.structures.interfaces.InterfaceReport`) or None, and the regions as lists of
        indices.

    Raises
    ------
    StructureError
        As :func:`validate`, or if the cell fails its checks.
    """
    checked = CandidateSpec.from_dict(spec)
    parent = host(checked.host, checked.a_A)
    doped = _dope(parent, checked)
    report: dict[str, Any] = {
        "spec": checked.to_dict(),
        "label": doped.label,
        "formula": formula(doped.atoms),
        "formal_charge": formal_charge(doped.atoms),
        "interface": None,
        "regions": {"electrolyte": list(range(len(parent))), "metal": []},
    }
    atoms = doped.atoms
    if checked.interface is None:
        check(atoms, tetrahedra=count_intact_tetrahedra(parent))
    else:
        atoms, interface = build_interface(doped.atoms, checked.interface, parent)
        described = interface.to_dict()
        report["regions"] = described.pop("regions")
        report["interface"] = described
    report["doping"] = _doping_report(atoms, doped, checked.doping)
    report["n_atoms"] = len(atoms)
    report["composition"] = atoms.get_chemical_formula(mode="hill")
    report["tetrahedra_intact"] = count_intact_tetrahedra(atoms)
    report["volume"] = round(float(atoms.get_volume()), 6)
    report["sites"] = atoms.arrays["sites"].tolist()
    return atoms, report


def _dope(parent: Atoms, checked: CandidateSpec) -> DopedCell:
    if checked.doping is None:
        return DopedCell(parent.copy(), formula(parent), (), 0, 1, 1)
    return dope(parent, checked.doping, checked.seed)


def _doping_report(atoms: Atoms, doped: DopedCell, doping: Doping | None) -> dict[str, Any]:
    """Say which atoms of the built cell, repeated or not, are dopants, and which arrangement they have."""
    dopant = doping.dopant if doping is not None else None
    return {
        "substituted": [i for i, symbol in enumerate(atoms.get_chemical_symbols()) if symbol == dopant],
        "configuration": doped.index,
        "n_distinct": doped.n_distinct,
        "degeneracy": doped.degeneracy,
    }
