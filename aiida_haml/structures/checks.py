"""Checks that refuse a cell, with numbers, before a machine spends a night on it.

Each check returns a :class:`Finding`, passed or not. :func:`check` raises the first that is not; a file given
to :func:`check_file` gets all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.data import covalent_radii
from ase.io import read
from numpy.typing import NDArray

from aiida_haml.structures.crystals import FORMAL_CHARGES
from aiida_haml.structures.errors import StructureError
from aiida_haml.structures.geometry import (
    PHOSPHORUS_BOND,
    cell_heights,
    count_intact_tetrahedra,
    pairs_within,
    widest_void,
)

#: Cutoff of the potentials that the platform trains by default, Angstrom.
REACH = 5.0

#: Of the sum of the covalent radii; pairs closer than that overlap.
OVERLAP_FRACTION = 0.7

#: Volume per atom of what an interface holds, Angstrom^3, without vacuum. The densest of the reference phases
#: is LiF (8.1), the least dense lithium metal (21.6); liquids of small organic molecules have 10 to 13.
VOLUME_PER_ATOM = (7.0, 26.0)

#: An empty layer thicker than this is a vacuum, Angstrom: no contact is as wide.
VACUUM = 5.0

#: Relative deviation of a side's density from its bulk that is refused.
DENSITY_TOLERANCE = 0.03

#: Label in ``arrays['sites']`` of atoms that belong to the metal.
_METAL = "metal"


@dataclass(frozen=True)
class Finding:
    """What one check found.

    Parameters
    ----------
    check : str
        Its name.
    passed : bool or None
        None where the check does not apply or cannot tell.
    field, value, problem, remedy
        As :class:`~aiida_haml.structures.errors.StructureError` has them. Where the check did not fail,
        ``problem`` is the end of a whole sentence with the numbers that were found, and there is no remedy.
    """

    check: str
    passed: bool | None
    field: str
    value: Any
    problem: str
    remedy: str = ""

    def __str__(self) -> str:
        if self.passed is False:
            return f"{self.check}: failed: {self.error()}"
        return f"{self.check}: {'passed' if self.passed else 'not judged'}: {self.problem}."

    def error(self) -> StructureError:
        """Return the exception that says the same."""
        return StructureError(self.field, self.value, self.problem, self.remedy)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return asdict(self)


#: A check of a cell; liquids bring their own beside those of this module.
Check = Callable[[Atoms], Finding]


def is_molecular(atoms: Atoms) -> bool:
    """Return whether a cell holds molecules, which a formal charge for each element does not describe."""
    return bool({"C", "H"} & set(atoms.get_chemical_symbols()))


def _metal_of(atoms: Atoms) -> NDArray[np.bool_] | None:
    """Return which atoms are labelled as metal; None where a cell has no labels."""
    return None if "sites" not in atoms.arrays else np.asarray(atoms.arrays["sites"] == _METAL)


# -- checks -------------------------------------------------------------------------------------------------


def check_finite(atoms: Atoms) -> Finding:
    """Refuse a cell without atoms or volume, or with NaN in it."""

    def found(field: str, value: object, problem: str, remedy: str = "") -> Finding:
        return Finding("numbers", not remedy, field, value, problem, remedy)

    if len(atoms) == 0:
        return found("atoms", 0, "is no structure", "Give a cell with atoms in it.")
    if not np.isfinite(atoms.positions).all():
        bad = np.flatnonzero(~np.isfinite(atoms.positions).all(axis=1)).tolist()
        return found("positions", bad, "are the atoms whose coordinates are not finite", "Look at what wrote them.")
    volume = float(abs(np.linalg.det(atoms.cell.array)))
    if not np.isfinite(volume) or (atoms.pbc.all() and volume < 1e-6):
        return found("cell", volume, "is not a volume in Angstrom^3", "Give three cell vectors.")
    return found("atoms", len(atoms), f"{len(atoms)} atoms in {volume:.1f} Angstrom^3, all coordinates finite")


def check_overlaps(atoms: Atoms, fraction: float = OVERLAP_FRACTION) -> Finding:
    """Refuse two atoms closer than ``fraction`` of the sum of their covalent radii."""
    radii = covalent_radii[atoms.numbers]
    pairs = pairs_within(atoms, 4 * fraction * float(radii.max()))
    if not len(pairs.i):
        return Finding("overlaps", True, "positions", None, "no two atoms are near each other")
    limits = fraction * (radii[pairs.i] + radii[pairs.j])
    worst = int(np.argmin(pairs.distances / limits))
    i, j = int(pairs.i[worst]), int(pairs.j[worst])
    names = f"{atoms.symbols[i]}{i}-{atoms.symbols[j]}{j}"
    rule = f"{limits[worst]:.3f} ({fraction:g} of the sum of their covalent radii)"
    if pairs.distances[worst] >= limits[worst]:
        near = f"the nearest to the limit, {names}, are {pairs.distances[worst]:.3f} Angstrom apart, above {rule}"
        return Finding("overlaps", True, "positions", names, near)
    return Finding(
        "overlaps",
        False,
        "positions",
        names,
        f"are {pairs.distances[worst]:.3f} Angstrom apart, below {rule}; "
        f"{int((pairs.distances < limits).sum()) // 2} pairs overlap",
        "Widen the gap or choose another cut, cell or configuration.",
    )


def check_reach(atoms: Atoms, reach: float = REACH) -> Finding:
    """Refuse a periodic cell that is thinner than ``reach`` (Angstrom) along a periodic direction."""
    if not atoms.pbc.any():
        return Finding("reach", None, "cell", None, "the cell is not periodic")
    heights = cell_heights(atoms)
    shown = [round(float(h), 3) for h in heights]
    thin = [round(float(heights[k]), 3) for k in range(3) if atoms.pbc[k] and heights[k] < reach]
    if not thin:
        least = min(float(heights[k]) for k in range(3) if atoms.pbc[k])
        return Finding(
            "reach", True, "cell", shown, f"the thinnest way across is {least:.3f} Angstrom, not below {reach:g}"
        )
    return Finding(
        "reach",
        False,
        "cell",
        shown,
        f"are the distances between its faces in Angstrom, of which {thin} lie below "
        f"the potential's reach of {reach:g}, so that atoms see their own images",
        "Repeat the cell in that direction, or add layers.",
    )


def check_tetrahedra(atoms: Atoms, expected: int | None = None) -> Finding:
    """Refuse a cell that holds another number of whole PS4 units (S, O, Se corners) than ``expected``.

    Without ``expected`` every P is expected to be the centre of one.
    """
    if expected is None and is_molecular(atoms):
        return Finding("PS4 units", None, "PS4 units", 0, "a cell of molecules has none to speak of")
    n_phosphorus = atoms.get_chemical_symbols().count("P")
    wanted = n_phosphorus if expected is None else expected
    if n_phosphorus == 0 and not wanted:
        return Finding("PS4 units", None, "PS4 units", 0, "there is no P")
    intact = count_intact_tetrahedra(atoms)
    if intact == wanted:
        return Finding("PS4 units", True, "PS4 units", intact, f"{intact} of {wanted} are whole")
    return Finding(
        "PS4 units",
        False,
        "PS4 units",
        intact,
        f"is the number of whole ones (four S, O or Se within {PHOSPHORUS_BOND} Angstrom of P); {wanted} are expected",
        "Cut where no P-S bond crosses, or do not displace the corners.",
    )


def check_charge(atoms: Atoms) -> Finding:
    """Refuse formal charges that do not add up to nothing, the metal left out.

    A cell without labels may be neutral with some of its Li as metal: as many as the charge in excess.
    """
    if is_molecular(atoms):
        return Finding("charge", None, "charge", None, "molecules have charges, but not by element")
    symbols = np.array(atoms.get_chemical_symbols())
    metal = _metal_of(atoms)
    ions = symbols if metal is None else symbols[~metal]
    unknown = sorted(set(ions.tolist()) - set(FORMAL_CHARGES))
    if unknown:
        return Finding("charge", None, "elements", unknown, f"{', '.join(unknown)} have no formal charge here")
    charge = int(sum(FORMAL_CHARGES[symbol] for symbol in ions))
    if charge == 0:
        return Finding("charge", True, "charge", 0, f"the formal charges of {len(ions)} ions add up to 0 e")
    if metal is None and 0 < charge <= int((ions == "Li").sum()):
        problem = f"the formal charges add up to {charge:+d} e, which is nothing if {charge} of the Li are metal"
        return Finding("charge", None, "charge", charge, problem)
    return Finding(
        "charge",
        False,
        "charge",
        charge,
        "e is the sum of the formal charges outside the metal, which should be 0",
        "Add or take away Li, or label the metal's atoms in arrays['sites'].",
    )


def check_strain(strain: NDArray[np.float64], limit: float) -> Finding:
    """Refuse a strain tensor whose largest principal value exceeds ``limit``, both dimensionless."""
    largest = float(np.abs(np.linalg.eigvalsh(np.asarray(strain))).max())
    value = round(largest, 5)
    if largest <= limit + 1e-9:
        return Finding("strain", True, "strain", value, f"{value} is the largest principal strain, not above {limit:g}")
    return Finding(
        "strain",
        False,
        "strain",
        value,
        f"is the largest principal strain, above the limit of {limit:g}",
        "Allow a larger cell, or raise max_strain if that is meant.",
    )


def check_side_density(side: str, built: float, bulk: float, tolerance: float = DENSITY_TOLERANCE) -> Finding:
    """Refuse a side whose density (g/cm^3) is off its bulk's by more than a share of that."""
    deviation = built / bulk - 1
    numbers = f"g/cm^3 is the density of the {side}, {deviation:+.2%} off its bulk's {bulk:.4f}"
    if abs(deviation) <= tolerance:
        return Finding("density", True, f"density.{side}", round(built, 4), f"{built:.4f} {numbers}")
    return Finding(
        "density",
        False,
        f"density.{side}",
        round(built, 4),
        f"{numbers}, more than {tolerance:.0%}",
        "Choose a match with less strain, or share the misfit otherwise (interface.strained).",
    )


def check_packing(atoms: Atoms) -> Finding:
    """Refuse a volume per atom, vacuum left out, that no phase of an interface has."""
    if not atoms.pbc.all():
        return Finding("packing", None, "volume", None, "the cell is not periodic in all directions")
    void = widest_void(atoms)
    height = float(cell_heights(atoms)[2])
    filled = height - void if void > VACUUM else height
    if filled <= 0:
        return Finding("packing", None, "volume", None, "all atoms lie in one plane")
    per_atom = float(atoms.get_volume()) * filled / height / len(atoms)
    low, high = VOLUME_PER_ATOM
    vacuum = f", a vacuum of {void:.1f} Angstrom left out" if void > VACUUM else ""
    numbers = f"Angstrom^3 is the volume per atom{vacuum}"
    if low <= per_atom <= high:
        held = f"{per_atom:.3f} {numbers}, between {low:g} and {high:g}"
        return Finding("packing", True, "volume", round(per_atom, 3), held)
    return Finding(
        "packing",
        False,
        "volume",
        round(per_atom, 3),
        f"{numbers}, outside of {low:g} to {high:g}",
        "Look at the cell's size: from LiF (8.1) to lithium metal (21.6) nothing is packed like that.",
    )


# -- all of them --------------------------------------------------------------------------------------------


def check(
    atoms: Atoms,
    *,
    reach: float = REACH,
    overlap_fraction: float = OVERLAP_FRACTION,
    tetrahedra: int | None = None,
    strain: NDArray[np.float64] | None = None,
    max_strain: float = 0.03,
    neutral: bool = False,
    more: Sequence[Check] = (),
) -> None:
    """Refuse a cell that should not be simulated; return nothing if all is well.

    Parameters
    ----------
    atoms : Atoms
    reach : float
        Cutoff of the potential, Angstrom; no periodic direction may be thinner.
    overlap_fraction : float
        Of the sum of the covalent radii; closer pairs are refused.
    tetrahedra : int, optional
        Whole PS4 units (S, O or Se at the corners) that there must be; not counted where left out.
    strain : (2, 2) or (3, 3) array, optional
        Symmetric strain tensor to be held against ``max_strain``.
    max_strain : float
    neutral : bool
        Whether the formal charges outside the metal must add up to nothing.
    more : sequence of Check
        Further checks, after those.

    Raises
    ------
    StructureError
        With the field, the numbers and the remedy of the first check that fails.
    """
    checks: list[Check] = [
        check_finite,
        lambda a: check_reach(a, reach),
        lambda a: check_overlaps(a, overlap_fraction),
    ]
    if tetrahedra is not None:
        checks.append(lambda a: check_tetrahedra(a, tetrahedra))
    if strain is not None:
        checks.append(lambda _: check_strain(strain, max_strain))
    if neutral:
        checks.append(check_charge)
    for one in [*checks, *more]:
        require(one(atoms))


def require(finding: Finding) -> None:
    """Raise what did not pass.

    Raises
    ------
    StructureError
        If the finding is a failure.
    """
    if finding.passed is False:
        raise finding.error()


def examine(atoms: Atoms, *, reach: float = REACH, more: Sequence[Check] = ()) -> list[Finding]:
    """Run every check that a cell by itself can answer, and return all findings.

    Parameters
    ----------
    atoms : Atoms
        With ``arrays['sites']``, atoms labelled 'metal' are left out of the charge.
    reach : float
        Cutoff of the potential, Angstrom.
    more : sequence of Check
        Further checks, after those of this module.

    Returns
    -------
    list of Finding
        The first alone where there is nothing to look at further.
    """
    first = check_finite(atoms)
    if not first.passed:
        return [first]
    own: list[Check] = [lambda a: check_reach(a, reach), check_overlaps, check_packing, check_charge, check_tetrahedra]
    return [first, *(one(atoms) for one in [*own, *more])]


def check_file(path: str | Path, *, reach: float = REACH, index: int = -1, more: Sequence[Check] = ()) -> list[Finding]:
    """Run every check on a file that ASE reads.

    Parameters
    ----------
    path : str or Path
    reach : float
        Cutoff of the potential, Angstrom.
    index : int
        Frame of a file with several; the last by default.
    more : sequence of Check
        Further checks, after those of this module.

    Returns
    -------
    list of Finding

    Raises
    ------
    StructureError
        If there is no such file, or ASE does not read it.
    """
    if not Path(path).is_file():
        raise StructureError("file", str(path), "is not a file", "Give the path of a structure.")
    try:
        atoms = read(path, index=index)
    except Exception as error:  # ASE's readers raise whatever they meet
        raise StructureError(
            "file",
            str(path),
            f"cannot be read as a structure ({type(error).__name__}: {error})",
            "Give a file in a format of ASE's: extxyz, CIF, POSCAR, CP2K restart, LAMMPS data, ...",
        ) from error
    frame = atoms[-1] if isinstance(atoms, list) else atoms
    return examine(frame, reach=reach, more=more)
