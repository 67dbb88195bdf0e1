"""Hosts: the electrolyte crystal that is doped, with all its sites, and how much of each is occupied.

A host is a name (``"Li6PS5Cl"``) or a dictionary::

    {"name": "Li6PS5Cl", "lithium": "24g", "exchange": 0.0, "a_A": None, "supercell": [1, 1, 1]}
    {"name": "Li3PS4", "crystal": {...}, "a_A": None, "supercell": [1, 1, 1]}

where ``crystal`` is what :func:`read_crystal` makes of a file::

    {"name": "Li3PS4", "cell": [[ax, ay, az], ...], "source": "Li3PS4.cif",
     "sites": [{"label": "4b", "occupancy": {"Li": 0.7}, "scaled": [x, y, z]}, ...]}

The parent of a host holds every site, occupied in part or not. Dopings are enumerated on it, under its full symmetry;
:func:`aiida_haml.structures.host.ordering.order` then decides which of its sites are taken.
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeGuard

import numpy as np
import spglib
from ase import Atoms
from ase.data import chemical_symbols, covalent_radii

from aiida_haml.structures.crystals import ARGYRODITE, FORMAL_CHARGES, Phase
from aiida_haml.structures.errors import StructureError
from aiida_haml.structures.numbers import is_integer, is_number

#: Share of each element on the sites of each label, as ``{"48h": {"Li": 0.5}}``.
Occupancies = dict[str, dict[str, float]]

#: Shares are taken as given to three decimals, as refinements give them: a third of 48 sites may be written 0.333.
SHARE_TOLERANCE = 5e-4

#: A site of which less is occupied is no site.
SMALLEST_SHARE = 1e-4

#: Two full sites closer than this share of the sum of their covalent radii are one site written twice.
OVERLAP = 0.7

#: The argyrodite with Li on 48h, in the tetrahedra of three S and one Cl at both sides of 24g; half of the sites are
#: occupied. The place is near to what refinements find, 0.307, 0.025, 0.693 in the axes of Kraft et al.: S at 2.36
#: and 2.45 (twice) Angstrom, Cl at 2.70, and 1.59 between the two sites of a pair, of which one is taken.
ARGYRODITE_48H = replace(
    ARGYRODITE,
    sites=(("Li", "48h", (0.307, 0.307, 0.975)), *(site for site in ARGYRODITE.sites if site[0] != "Li")),
    source="M. A. Kraft et al., J. Am. Chem. Soc. 139, 10909 (2017), to three decimals; Li on 48h alone",
)


@dataclass(frozen=True)
class BuiltIn:
    """A host known by name: a phase for each place that its lithium can have, and the anions that change places."""

    variants: dict[str, tuple[Phase, Occupancies]]
    exchanged: tuple[tuple[str, str], tuple[str, str]]


#: Hosts known by name. The first variant is the default.
BUILT_IN = {
    ARGYRODITE.name: BuiltIn(
        {"24g": (ARGYRODITE, {}), "48h": (ARGYRODITE_48H, {"48h": {"Li": 0.5}})},
        (("4a", "Cl"), ("4d", "S")),
    )
}

DEFAULTS: dict[str, Any] = {"a_A": None, "supercell": [1, 1, 1]}
BUILT_IN_DEFAULTS: dict[str, Any] = {"lithium": "24g", "exchange": 0.0, **DEFAULTS}


# -- what was asked for -------------------------------------------------------------------------------------


def host_settings(host: object) -> dict[str, Any]:
    """Check a host and write out its defaults.

    Parameters
    ----------
    host : str or mapping
        See the module; anything else is refused.

    Returns
    -------
    dict
        Plain values; checking it again changes nothing.

    Raises
    ------
    StructureError
        If a name, a key or a value is unknown or makes no sense.
    """
    if isinstance(host, str):
        host = {"name": host}
    if not isinstance(host, Mapping):
        raise StructureError("host", host, "is neither a name nor a dictionary", 'Give "Li6PS5Cl", or {"name": ...}.')
    return _crystal_settings(host) if "crystal" in host else _built_in_settings(host)


def _built_in_settings(host: Mapping[str, Any]) -> dict[str, Any]:
    name = host.get("name")
    if not isinstance(name, str) or name not in BUILT_IN:
        raise StructureError(
            "host",
            name,
            "is not a known host",
            f"Choose one of {', '.join(BUILT_IN)}, or read a file and give what it holds as host.crystal.",
        )
    _refuse_unknown("host", host, ("name", *BUILT_IN_DEFAULTS))
    settings = {"name": name, **BUILT_IN_DEFAULTS, **host}
    variants = BUILT_IN[name].variants
    if not isinstance(settings["lithium"], str) or settings["lithium"] not in variants:
        raise StructureError(
            "host.lithium", settings["lithium"], f"is no place of Li in {name}", f"Choose one of {', '.join(variants)}."
        )
    exchange = settings["exchange"]
    if not _is_number(exchange) or not 0 <= exchange <= 1:
        raise StructureError("host.exchange", exchange, "is no share of exchanged anions", "Give a number from 0 to 1.")
    return settings | {"exchange": float(exchange)} | _size(settings)


def _crystal_settings(host: Mapping[str, Any]) -> dict[str, Any]:
    _refuse_unknown("host", host, ("name", "crystal", *DEFAULTS))
    crystal = _checked_crystal(host["crystal"])
    name = host.get("name", crystal["name"])
    if not isinstance(name, str) or not name.strip():
        raise StructureError("host.name", name, "is not a name", "Give a word, such as the formula.")
    settings = {**DEFAULTS, **host}
    return {"name": name, "crystal": crystal, **_size(settings)}


def _size(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Check what every host has: a lattice constant and a supercell."""
    a, supercell = settings["a_A"], settings["supercell"]
    if a is not None and (not _is_number(a) or not 2.0 < a < 100.0):
        raise StructureError("host.a_A", a, "is no lattice constant", "Give 2 to 100 Angstrom, or leave it out.")
    whole = isinstance(supercell, Sequence) and len(supercell) == 3 and all(is_integer(n) for n in supercell)
    if not whole or not all(1 <= n <= 20 for n in supercell):
        raise StructureError(
            "host.supercell", supercell, "is no supercell", "Give three whole numbers from 1 to 20, as [2, 1, 1]."
        )
    return {"a_A": None if a is None else float(a), "supercell": [int(n) for n in supercell]}


def _refuse_unknown(field: str, given: Mapping[str, Any], known: Sequence[str]) -> None:
    for key in given:
        if key not in known:
            raise StructureError(
                f"{field}.{key}", given[key], "is not a known setting", f"Known are {', '.join(known)}."
            )


def _is_number(value: object) -> TypeGuard[float]:
    return is_number(value) and bool(np.isfinite(value))


# -- crystals as plain values -------------------------------------------------------------------------------


def _checked_crystal(crystal: object) -> dict[str, Any]:
    """Return a crystal in its plain form, or refuse it."""
    if not isinstance(crystal, Mapping):
        raise StructureError("host.crystal", crystal, "is not a dictionary", "Give what read_crystal makes of a file.")
    _refuse_unknown("host.crystal", crystal, ("name", "cell", "sites", "source"))
    for key in ("cell", "sites"):
        if key not in crystal:
            raise StructureError("host.crystal", sorted(crystal), f"lacks {key!r}", "Give 'cell' and 'sites'.")
    cell = _checked_cell(crystal["cell"])
    if not isinstance(crystal["sites"], Sequence) or isinstance(crystal["sites"], str) or not crystal["sites"]:
        raise StructureError("host.crystal.sites", crystal["sites"], "is no list of sites", "Give at least one site.")
    sites = [_checked_site(k, site) for k, site in enumerate(crystal["sites"])]
    shares: dict[str, dict[str, float]] = {}
    for k, site in enumerate(sites):
        if shares.setdefault(site["label"], site["occupancy"]) != site["occupancy"]:
            raise StructureError(
                f"host.crystal.sites[{k}].occupancy",
                site["occupancy"],
                f"differs from that of other sites of label {site['label']}, {shares[site['label']]}",
                "Give sites of different occupancy different labels.",
            )
    _refuse_overlaps(cell, sites)
    return {
        "name": str(crystal.get("name") or _average_formula(sites)),
        "cell": cell.tolist(),
        "sites": sites,
        "source": str(crystal.get("source", "")),
    }


def _checked_cell(value: object) -> np.ndarray:
    try:
        cell = np.array(value, dtype=float)
    except (TypeError, ValueError):
        cell = np.zeros(0)
    if cell.shape != (3, 3) or not np.isfinite(cell).all() or abs(np.linalg.det(cell)) < 1.0:
        raise StructureError(
            "host.crystal.cell", value, "is no cell", "Give three vectors in Angstrom that span a volume."
        )
    return cell


def _checked_site(k: int, site: object) -> dict[str, Any]:
    field = f"host.crystal.sites[{k}]"
    if not isinstance(site, Mapping) or set(site) != {"label", "occupancy", "scaled"}:
        raise StructureError(field, site, "is no site", "Give 'label', 'occupancy' and 'scaled', and nothing else.")
    if not isinstance(site["label"], str) or not site["label"]:
        raise StructureError(f"{field}.label", site["label"], "is no label", "Give a word, such as 16e.")
    try:
        scaled = np.array(site["scaled"], dtype=float)
    except (TypeError, ValueError):
        scaled = np.zeros(0)
    if scaled.shape != (3,) or not np.isfinite(scaled).all():
        raise StructureError(f"{field}.scaled", site["scaled"], "is no place in the cell", "Give three numbers.")
    occupancy = _checked_occupancy(f"{field}.occupancy", site["occupancy"])
    return {"label": site["label"], "occupancy": occupancy, "scaled": _tidy(scaled).tolist()}


def _checked_occupancy(field: str, occupancy: object) -> dict[str, float]:
    """Return the shares of a site's elements, the largest first, or refuse them."""
    if not isinstance(occupancy, Mapping) or not occupancy:
        raise StructureError(field, occupancy, "names no element", 'Give shares, as {"Li": 0.5}.')
    for element, share in occupancy.items():
        if element not in FORMAL_CHARGES:
            known = ", ".join(FORMAL_CHARGES)
            raise StructureError(field, element, "has no formal charge here", f"Known are {known}.")
        if not _is_number(share) or not SMALLEST_SHARE <= share <= 1 + SHARE_TOLERANCE:
            raise StructureError(field, share, f"is no share of a site for {element}", "Give more than 0, up to 1.")
    total = float(sum(occupancy.values()))
    if total > 1 + SHARE_TOLERANCE:
        raise StructureError(
            field, dict(occupancy), f"sums to {total:.4f}, which is above 1", "Correct the occupancies in the file."
        )
    shares = {element: min(round(float(share), 8), 1.0) for element, share in occupancy.items()}
    return dict(sorted(shares.items(), key=lambda item: (-item[1], item[0])))


def _tidy(scaled: np.ndarray) -> np.ndarray:
    """Wrap into [0, 1) without the last digits' noise."""
    return np.asarray(np.round(scaled, 8) % 1.0)


def _refuse_overlaps(cell: np.ndarray, sites: list[dict[str, Any]]) -> None:
    full = [k for k, site in enumerate(sites) if sum(site["occupancy"].values()) > 1 - SHARE_TOLERANCE]
    scaled = np.array([sites[k]["scaled"] for k in full]).reshape(-1, 3)
    numbers = np.array([chemical_symbols.index(next(iter(sites[k]["occupancy"]))) for k in full], dtype=int)
    atoms = Atoms(numbers, scaled_positions=scaled, cell=cell, pbc=True)
    for a in range(len(full) - 1):
        distances = atoms.get_distances(a, range(a + 1, len(full)), mic=True)
        limits = OVERLAP * (covalent_radii[numbers[a]] + covalent_radii[numbers[a + 1 :]])
        worst = int((distances - limits).argmin())
        if distances[worst] < limits[worst]:
            b = a + 1 + worst
            names = [f"{sites[full[i]]['label']} ({atoms.symbols[i]}, site {full[i]})" for i in (a, b)]
            raise StructureError(
                "host.crystal.sites",
                " and ".join(names),
                f"are both full and {distances[worst]:.3f} Angstrom apart",
                "Give partial occupancies to sites that exclude each other, or remove one.",
            )


def _average_formula(sites: list[dict[str, Any]]) -> str:
    from pymatgen.core import Composition  # heavy, and needed for a name alone

    totals: Counter[str] = Counter()
    for site in sites:
        totals.update(site["occupancy"])
    return str(Composition({element: round(n, 4) for element, n in totals.items()}).reduced_formula)


# -- the parent ---------------------------------------------------------------------------------------------


def parent(host: str | Mapping[str, Any]) -> Atoms:
    """Return all sites of a host's high-symmetry cell.

    Parameters
    ----------
    host : str or mapping
        See the module.

    Returns
    -------
    Atoms
        Periodic, the supercell applied; each site bears the element that is most often found on it.
        ``arrays["sites"]`` holds the labels, ``info["occupancies"]`` ``{label: {element: share}}``.

    Raises
    ------
    StructureError
        As :func:`host_settings`, or if the host bears a net charge.
    """
    settings = host_settings(host)
    atoms, occupancies = _crystal_parent(settings) if "crystal" in settings else _built_in_parent(settings)
    atoms = atoms.repeat(settings["supercell"])
    atoms.info["occupancies"] = occupancies
    _refuse_charge(atoms)
    return atoms


def _built_in_parent(settings: Mapping[str, Any]) -> tuple[Atoms, Occupancies]:
    built_in = BUILT_IN[settings["name"]]
    phase, partial = built_in.variants[settings["lithium"]]
    occupancies = {label: {symbol: 1.0} for symbol, label, _ in phase.sites} | {
        label: dict(shares) for label, shares in partial.items()
    }
    x = settings["exchange"]
    (first, one), (second, other) = built_in.exchanged
    if x > 0:
        # Shares are rounded, since 1 - 0.9 is not 0.1.
        keep = round(1 - x, 8)
        mixed = {first: {one: keep, other: x}, second: {other: keep, one: x}}
        occupancies |= {label: {e: s for e, s in shares.items() if s > 0} for label, shares in mixed.items()}
    atoms = phase.build(settings["a_A"])
    for label, shares in occupancies.items():
        atoms.symbols[atoms.arrays["sites"] == label] = _majority(shares)
    return atoms, occupancies


def _majority(shares: Mapping[str, float]) -> str:
    """Return the element with the largest share; the first of them where two are as large."""
    return max(shares, key=lambda element: shares[element])


def _crystal_parent(settings: Mapping[str, Any]) -> tuple[Atoms, Occupancies]:
    crystal = settings["crystal"]
    cell = np.array(crystal["cell"])
    if settings["a_A"] is not None:
        cell *= settings["a_A"] / np.linalg.norm(cell[0])
    occupancies = {site["label"]: dict(site["occupancy"]) for site in crystal["sites"]}
    atoms = Atoms(
        [_majority(site["occupancy"]) for site in crystal["sites"]],
        scaled_positions=[site["scaled"] for site in crystal["sites"]],
        cell=cell,
        pbc=True,
    )
    labels = np.array([site["label"] for site in crystal["sites"]])
    atoms.set_array("sites", labels, dtype=labels.dtype)
    return atoms, occupancies


def _refuse_charge(atoms: Atoms) -> None:
    """Refuse shares that leave a charge, beyond what three decimals explain."""
    occupancies: Occupancies = atoms.info["occupancies"]
    members = Counter(atoms.arrays["sites"].tolist())
    charge = sum(
        members[label] * share * FORMAL_CHARGES[element]
        for label, shares in occupancies.items()
        for element, share in shares.items()
    )
    if abs(charge) > 2 * SHARE_TOLERANCE * len(atoms):
        raise StructureError(
            "host.crystal.sites",
            occupancies,
            f"leave a charge of {charge:+.3f} e in a cell of {len(atoms)} sites, by formal charges",
            "Adjust the occupancies until the cell is neutral; refined ones often are not.",
        )


def site_counts(parent: Atoms) -> dict[str, dict[str, int]]:
    """Return how many sites of each label each element takes.

    Parameters
    ----------
    parent : Atoms
        With ``arrays["sites"]`` and ``info["occupancies"]``, as :func:`parent` makes it.

    Raises
    ------
    StructureError
        If a share is no whole number of sites; the message says how much larger the cell must be.
    """
    occupancies: Occupancies = parent.info["occupancies"]
    members = Counter(parent.arrays["sites"].tolist())
    counts: dict[str, dict[str, int]] = {}
    for label, shares in occupancies.items():
        n_sites = members[label]
        for element, share in shares.items():
            if not _is_whole(share, n_sites):
                raise StructureError(
                    "host.supercell",
                    f"{share:g} of the {n_sites} {label} sites",
                    f"is {share * n_sites:.3f} {element}, and only whole atoms can be placed",
                    f"Make the cell {_smallest_factor(occupancies, members)} times as large with host.supercell.",
                )
        counts[label] = {element: round(share * n_sites) for element, share in shares.items()}
    return counts


def _is_whole(share: float, n_sites: int) -> bool:
    return abs(share - round(share * n_sites) / n_sites) <= SHARE_TOLERANCE


def _smallest_factor(occupancies: Occupancies, members: Mapping[str, int]) -> int:
    """Return the smallest multiple of the cell in which all shares are whole; 1000 is always one."""
    return next(
        factor
        for factor in range(1, 1001)
        if all(
            _is_whole(share, factor * members[label])
            for label, shares in occupancies.items()
            for share in shares.values()
        )
    )


# -- files --------------------------------------------------------------------------------------------------


def read_crystal(path: str | Path) -> dict[str, Any]:
    """Read a crystal, with partial and mixed occupancies where the file has them.

    Parameters
    ----------
    path : str or Path
        A CIF, or any file that ASE reads (its sites are full then).

    Returns
    -------
    dict
        Plain values: name (the formula), cell (3, 3) in Angstrom, sites and source, see the module. Labels are
        Wyckoff labels in the conventional cell (16e); where several orbits have the same one, they are told apart
        as 4c_a, 4c_b in the order of the sites. Letters depend on the choice of the origin, which is spglib's where
        the file does not give a conventional cell: in F-43m, 4c may be what others call 4d.

    Raises
    ------
    StructureError
        If the file is missing or cannot be read, has no cell, has occupancies above 1, two full sites in one place,
        or an element of which no formal charge is known.
    """
    path = Path(path)
    if not path.is_file():
        raise StructureError("crystal", str(path), "is not a file", "Give the path of a CIF or another structure file.")
    cif = path.suffix.lower() in (".cif", ".mcif")
    cell, scaled, occupancies = _read_cif(path) if cif else _read_ase(path)
    cell = _checked_cell(np.round(cell, 10).tolist())
    shares = [
        _checked_occupancy(f"{path.name}: site at {np.round(place, 4).tolist()}", occupancy)
        for place, occupancy in zip(scaled, occupancies, strict=True)
    ]
    labels = _wyckoff_labels(cell, scaled, shares)
    sites = [
        {"label": label, "occupancy": occupancy, "scaled": place}
        for label, occupancy, place in zip(labels, shares, scaled.tolist(), strict=True)
    ]
    return _checked_crystal({"cell": cell.tolist(), "sites": sites, "source": path.name})


Read = tuple[np.ndarray, np.ndarray, list[dict[str, float]]]


def _read_ase(path: Path) -> Read:
    from ase.io import read

    try:
        atoms = read(path)
    except Exception as error:  # readers of three dozen formats raise what they like
        raise _unreadable(path, error) from error
    if not isinstance(atoms, Atoms) or len(atoms) == 0:
        raise _unreadable(path, "it holds no atoms")
    if atoms.cell.rank < 3:
        raise StructureError("crystal", path.name, "has no cell", "Give a periodic structure.")
    return atoms.cell.array, atoms.get_scaled_positions(), [{symbol: 1.0} for symbol in atoms.get_chemical_symbols()]


def _read_cif(path: Path) -> Read:
    from pymatgen.io.cif import CifParser

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # on rounded coordinates and the like; what matters is checked below
            parser = CifParser(path, occupancy_tolerance=1e6)  # occupancies above 1 are refused by name below
            structures = parser.parse_structures(primitive=False, check_occu=False)
    except Exception as error:  # the parser raises what the file makes it stumble over
        raise _unreadable(path, error) from error
    if not structures:
        raise _unreadable(path, "it holds no crystal")
    structure = structures[0]
    occupancies = [
        {symbol: float(share) for symbol, share in site.species.element_composition.as_dict().items()}
        for site in structure
    ]
    return structure.lattice.matrix, structure.frac_coords, occupancies


def _unreadable(path: Path, problem: object) -> StructureError:
    reason = f"{type(problem).__name__}: {problem}" if isinstance(problem, Exception) else str(problem)
    reason = " ".join(reason.split())[:200]
    return StructureError(
        "crystal", path.name, f"cannot be read as a crystal ({reason})", "Give a CIF or another file that ASE reads."
    )


def _wyckoff_labels(cell: np.ndarray, scaled: np.ndarray, shares: list[dict[str, float]]) -> list[str]:
    """Return the label of each site: sites of different occupancy count as different kinds of atoms."""
    kinds: list[dict[str, float]] = []
    for share in shares:
        if share not in kinds:
            kinds.append(share)
    numbers = [kinds.index(share) + 1 for share in shares]
    dataset = spglib.get_symmetry_dataset((cell.tolist(), scaled.tolist(), numbers), symprec=1e-3)
    if dataset is None:
        raise StructureError(
            "crystal", len(shares), "sites have no symmetry that spglib finds; some may overlap", "Correct the file."
        )
    orbits, letters = dataset.crystallographic_orbits, dataset.wyckoffs
    conventional = abs(np.linalg.det(dataset.std_lattice)) / abs(np.linalg.det(cell))
    names = {int(orbit): f"{round(int((orbits == orbit).sum()) * conventional)}{letters[orbit]}" for orbit in orbits}
    shared = Counter(names.values())
    suffixes = {name: _letters() for name, n in shared.items() if n > 1}
    unique = {orbit: f"{name}_{next(suffixes[name])}" if name in suffixes else name for orbit, name in names.items()}
    return [unique[int(orbit)] for orbit in orbits]


def _letters() -> Iterator[str]:
    """Yield a, b, ... z, aa, ab, ..."""
    alphabet = "abcdefghijklmnopqrstuvwxyz"
    yield from alphabet
    yield from (first + second for first in alphabet for second in alphabet)
