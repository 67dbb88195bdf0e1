"""A crystal with partial and mixed occupancies as plain values, and how it is read from a file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import spglib
from ase import Atoms
from ase.data import atomic_numbers, chemical_symbols, covalent_radii
from pydantic import AfterValidator, Field, field_validator, model_validator

from aiida_haml.structures.cif import CifCell, is_cif, read_cif
from aiida_haml.structures.errors import StructureError
from aiida_haml.structures.files import read_cell
from aiida_haml.structures.settings import Integer, Number, Settings

#: Shares are taken as given to three decimals, as refinements give them: a third of 48 sites may be written 0.333.
SHARE_TOLERANCE = 5e-4

#: A site of which less is occupied is no site.
SMALLEST_SHARE = 1e-4

#: Two full sites closer than this share of the sum of their covalent radii are one site written twice.
OVERLAP = 0.7


def _element(symbol: str) -> str:
    if symbol not in chemical_symbols[1:]:
        raise ValueError("is no element")
    return symbol


Element = Annotated[str, AfterValidator(_element)]
Share = Annotated[Number, Field(ge=SMALLEST_SHARE, le=1 + SHARE_TOLERANCE)]
Vector = tuple[Number, Number, Number]
#: Oxidation states by element, e.
Charges = dict[Element, Annotated[Integer, Field(ge=-8, le=8)]]


class Site(Settings):
    """One site of a cell."""

    label: str = Field(min_length=1, description="Name of the sublattice, such as 16e; equal for equal occupancies.")
    occupancy: dict[Element, Share] = Field(min_length=1, description="Share of each element, such as {Li: 0.5}.")
    scaled: Vector = Field(description="Place in fractions of the cell vectors.")

    @field_validator("occupancy")
    @classmethod
    def _shares(cls, value: dict[str, float]) -> dict[str, float]:
        """Sort the shares, the largest first, or refuse more than a full site."""
        total = sum(value.values())
        if total > 1 + SHARE_TOLERANCE:
            held = " and ".join(f"{element} {share:g}" for element, share in value.items())
            raise StructureError("", held, f"sums to {total:.4f}, which is above 1", "Correct the occupancies.")
        shares = {element: min(round(share, 8), 1.0) for element, share in value.items()}
        return dict(sorted(shares.items(), key=lambda item: (-item[1], item[0])))

    @field_validator("scaled")
    @classmethod
    def _wrapped(cls, value: Vector) -> Vector:
        """Wrap into [0, 1) without the last digits' noise."""
        x, y, z = (round(v, 8) % 1.0 for v in value)
        return x, y, z


class Crystal(Settings):
    """What :func:`read_crystal` makes of a file: every site with how much of it is occupied."""

    name: str = Field(default="", description="The formula, where left out.")
    cell: tuple[Vector, Vector, Vector] = Field(description="Cell vectors, Angstrom.")
    sites: list[Site] = Field(min_length=1, description="All sites of the cell.")
    source: str = Field(default="", description="The file that it was read from.")
    charges: Charges = Field(default={}, description="Oxidation states that the file gives.")
    notes: list[str] = Field(default=[], description="What was noticed on reading.")

    @field_validator("cell")
    @classmethod
    def _volume(cls, value: Any) -> Any:
        if abs(np.linalg.det(np.array(value))) < 1.0:
            raise StructureError("", value, "is no cell", "Give three vectors in Angstrom that span a volume.")
        return value

    @model_validator(mode="before")
    @classmethod
    def _named(cls, value: Any) -> Any:
        """Take the average formula for a name."""
        if isinstance(value, dict) and not value.get("name") and isinstance(value.get("sites"), list):
            return {**value, "name": _average_formula(value["sites"])}
        return value

    @model_validator(mode="after")
    def _consistent(self) -> Crystal:
        shares: dict[str, dict[str, float]] = {}
        for k, site in enumerate(self.sites):
            if shares.setdefault(site.label, site.occupancy) != site.occupancy:
                raise StructureError(
                    f"sites[{k}].occupancy",
                    site.label,
                    "is the label of sites that differ in their occupancy",
                    "Give sites of different occupancy different labels.",
                )
        self._refuse_overlaps()
        return self

    def _refuse_overlaps(self) -> None:
        full = [site for site in self.sites if sum(site.occupancy.values()) > 1 - SHARE_TOLERANCE]
        if not full:
            return
        symbols = [next(iter(site.occupancy)) for site in full]
        atoms = Atoms(symbols, scaled_positions=[site.scaled for site in full], cell=np.array(self.cell), pbc=True)
        radii = np.array([covalent_radii[atomic_numbers[symbol]] for symbol in symbols])
        for a in range(len(full) - 1):
            distances = atoms.get_distances(a, range(a + 1, len(full)), mic=True)
            limits = OVERLAP * (radii[a] + radii[a + 1 :])
            worst = int((distances - limits).argmin())
            if distances[worst] < limits[worst]:
                b = a + 1 + worst
                raise StructureError(
                    "sites",
                    f"{full[a].label} ({symbols[a]}) and {full[b].label} ({symbols[b]})",
                    f"are both full and {distances[worst]:.3f} Angstrom apart",
                    "Give partial occupancies to sites that exclude each other, or remove one.",
                )


def _average_formula(sites: list[Any]) -> str:
    """Return the formula of sites that have still to be checked; nothing where they hold none."""
    from pymatgen.core import Composition  # heavy, and needed for a name alone

    totals: dict[str, float] = {}
    for site in sites:
        occupancy = site.get("occupancy") if isinstance(site, dict) else getattr(site, "occupancy", None)
        for element, share in (occupancy if isinstance(occupancy, dict) else {}).items():
            if element in chemical_symbols and isinstance(share, (int, float)):
                totals[element] = totals.get(element, 0.0) + share
    return str(Composition({element: round(n, 4) for element, n in totals.items()}).reduced_formula) if totals else ""


# -- files --------------------------------------------------------------------------------------------------


def read_crystal(path: str | Path) -> Crystal:
    """Read a crystal, with partial and mixed occupancies where the file has them.

    Parameters
    ----------
    path : str or Path
        A CIF, or any file that ASE reads (its sites are full then).

    Returns
    -------
    Crystal
        Labels are Wyckoff labels in the conventional cell (16e); where several orbits have the same one, they are told
        apart as 4c_a, 4c_b in the order of the sites. Letters depend on the choice of the origin, which is spglib's
        where the file does not give a conventional cell: in F-43m, 4c may be what others call 4d.

    Raises
    ------
    StructureError
        If the file is missing or cannot be read, has no cell, names sites that were not understood, has occupancies
        above 1 or two full sites in one place.
    """
    path = Path(path)
    if not path.is_file():
        raise StructureError("file", str(path), "is not a file", "Give the path of a CIF or another structure file.")
    found = read_cif(path) if is_cif(path) else _all_full(path)
    cell = np.round(found.cell, 10)
    shares = [
        {e: min(round(s, 8), 1.0) if s <= 1 + SHARE_TOLERANCE else s for e, s in one.items()}
        for one in found.occupancies
    ]
    sites = [
        {"label": label, "occupancy": occupancy, "scaled": place}
        for label, occupancy, place in zip(
            _wyckoff_labels(cell, found.scaled, shares), shares, found.scaled.tolist(), strict=True
        )
    ]
    content = {
        "cell": cell.tolist(),
        "sites": sites,
        "source": path.name,
        "charges": found.charges,
        "notes": found.notes,
    }
    return Crystal.read(content, path.name)


def _all_full(path: Path) -> CifCell:
    atoms = read_cell(path).atoms
    if atoms.cell.rank < 3:
        raise StructureError("file", path.name, "has no cell", "Give a periodic structure.")
    return CifCell(atoms.cell.array, atoms.get_scaled_positions(), [{symbol: 1.0} for symbol in atoms.symbols])


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
            "file", len(shares), "sites have no symmetry that spglib finds; some may overlap", "Correct the file."
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
