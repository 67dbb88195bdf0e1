"""Checks that refuse a cell, with numbers, before a machine spends a night on it.

Each check returns a :class:`~aiida_haml.structures.findings.Finding`, passed or not. :func:`check` raises the first
that is not; :func:`examine` gets all of them.
"""

from collections.abc import Sequence

import numpy as np
from ase import Atoms
from ase.data import covalent_radii
from numpy.typing import NDArray

from aiida_haml.structures.charges import charges_of
from aiida_haml.structures.errors import StructureError
from aiida_haml.structures.findings import Check, Finding, require
from aiida_haml.structures.geometry import (
    PHOSPHORUS_BOND,
    TETRAHEDRON_ANIONS,
    cell_heights,
    count_intact_tetrahedra,
    pairs_within,
    widest_void,
)
from aiida_haml.structures.reservoir import Reservoir, reservoir_of

#: Cutoff of the potentials that the platform trains by default, Angstrom.
REACH = 5.0

#: Of the sum of the covalent radii; pairs closer than that overlap.
OVERLAP_FRACTION = 0.7

#: Volume per atom of what an interface holds, Angstrom^3, without vacuum. The densest of the reference phases
#: is LiF (8.1), the least dense lithium metal (21.6); liquids of small organic molecules have 10 to 13.
VOLUME_PER_ATOM = (7.0, 26.0)

#: An empty layer thicker than this is a vacuum, Angstrom: no contact is as wide.
VACUUM = 5.0

#: Label in ``arrays['sites']`` of atoms that belong to the metal.
_METAL = "metal"


def is_molecular(atoms: Atoms) -> bool:
    """Return whether a cell holds molecules, which a formal charge for each element does not describe."""
    return bool({"C", "H"} & set(atoms.get_chemical_symbols()))


def _metal_of(atoms: Atoms) -> NDArray[np.bool_] | None:
    """Return which atoms are labelled as metal; None where a cell has no labels."""
    return None if "sites" not in atoms.arrays else np.asarray(atoms.arrays["sites"] == _METAL)


# -- the cell -----------------------------------------------------------------------------------------------


def check_finite(atoms: Atoms) -> Finding:
    """Refuse a cell without atoms or volume, or with NaN in it."""
    if len(atoms) == 0:
        return Finding("numbers", False, "atoms", 0, "is no structure", "Give a cell with atoms in it.")
    bad = np.flatnonzero(~np.isfinite(atoms.positions).all(axis=1)).tolist()
    if bad:
        problem = "are the atoms whose coordinates are not finite"
        return Finding("numbers", False, "positions", bad, problem, "Look at what wrote them.")
    volume = float(abs(np.linalg.det(atoms.cell.array)))
    if not np.isfinite(volume) or (atoms.pbc.all() and volume < 1e-6):
        return Finding("numbers", False, "cell", volume, "is not a volume in Angstrom^3", "Give three cell vectors.")
    held = f"{len(atoms)} atoms in {volume:.1f} Angstrom^3, all coordinates finite"
    return Finding("numbers", True, "atoms", len(atoms), held)


def check_cell(atoms: Atoms) -> Finding:
    """Refuse what is not periodic in all directions."""
    lengths = atoms.cell.lengths().round(4).tolist()
    if atoms.cell.rank == 3 and atoms.pbc.all():
        shown = " x ".join(f"{length:.3f}" for length in lengths)
        return Finding("cell", True, "cell", lengths, f"periodic in all directions, {shown} Angstrom")
    problem = "is not periodic in all directions" if atoms.cell.rank == 3 else "is no cell"
    remedy = "No periodic code takes it: give three cell vectors, and periodic boundaries."
    return Finding("cell", False, "cell", lengths, problem, remedy)


def check_reach(atoms: Atoms, reach: float = REACH) -> Finding:
    """Refuse a periodic cell that is thinner than ``reach`` (Angstrom) along a periodic direction."""
    if not 0 < reach < np.inf:
        raise StructureError("reach", reach, "is no distance", "Give the potential's cutoff in Angstrom, such as 5.")
    if not atoms.pbc.any():
        return Finding("reach", None, "cell", None, "the cell is not periodic")
    heights = [round(float(h), 3) for h, periodic in zip(cell_heights(atoms), atoms.pbc, strict=True) if periodic]
    if min(heights) >= reach:
        held = f"the thinnest way across is {min(heights):.3f} Angstrom, not below {reach:g}"
        return Finding("reach", True, "cell", heights, held)
    problem = (
        f"are the distances between its faces in Angstrom, of which {[h for h in heights if h < reach]} lie below the "
        f"potential's reach of {reach:g}, so that atoms see their own images"
    )
    return Finding("reach", False, "cell", heights, problem, "Repeat the cell in that direction, or add layers.")


def check_packing(atoms: Atoms) -> Finding:
    """Refuse a volume per atom, vacuum left out, that no phase of an interface has."""
    if not atoms.pbc.all():
        return Finding("packing", None, "volume", None, "the cell is not periodic in all directions")
    void = widest_void(atoms)
    height = float(cell_heights(atoms)[2])
    filled = height - void if void > VACUUM else height
    if filled <= 0:
        return Finding("packing", None, "volume", None, "all atoms lie in one plane")
    per_atom = round(float(atoms.get_volume()) * filled / height / len(atoms), 3)
    low, high = VOLUME_PER_ATOM
    vacuum = f", a vacuum of {void:.1f} Angstrom left out" if void > VACUUM else ""
    numbers = f"Angstrom^3 is the volume per atom{vacuum}"
    if low <= per_atom <= high:
        return Finding("packing", True, "volume", per_atom, f"{per_atom} {numbers}, between {low:g} and {high:g}")
    remedy = "Look at the cell's size: from LiF (8.1) to lithium metal (21.6) nothing is packed like that."
    return Finding("packing", False, "volume", per_atom, f"{numbers}, outside of {low:g} to {high:g}", remedy)


# -- its atoms ----------------------------------------------------------------------------------------------


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
    apart = f"{pairs.distances[worst]:.3f} Angstrom apart"
    if pairs.distances[worst] >= limits[worst]:
        held = f"the nearest to the limit, {names}, are {apart}, above {rule}"
        return Finding("overlaps", True, "positions", names, held)
    problem = f"are {apart}, below {rule}; {int((pairs.distances < limits).sum()) // 2} pairs overlap"
    remedy = "Widen the gap or choose another cut, cell or configuration."
    return Finding("overlaps", False, "positions", names, problem, remedy)


def check_tetrahedra(atoms: Atoms, expected: int | None = None) -> Finding:
    """Refuse a cell that holds another number of whole PS4 units (S, O, Se corners) than ``expected``.

    Without ``expected`` every P is expected to be the centre of one, but in molecules and phosphides.
    """
    symbols = set(atoms.get_chemical_symbols())
    if expected is None and (is_molecular(atoms) or "P" not in symbols or not symbols & set(TETRAHEDRON_ANIONS)):
        return Finding("PS4 units", None, "PS4 units", 0, "there are none to speak of in such a cell")
    wanted = int((atoms.symbols == "P").sum()) if expected is None else expected
    intact = count_intact_tetrahedra(atoms)
    if intact == wanted:
        return Finding("PS4 units", True, "PS4 units", intact, f"{intact} of {wanted} are whole")
    problem = (
        f"is the number of whole ones (four S, O or Se within {PHOSPHORUS_BOND} Angstrom of P); {wanted} are expected"
    )
    remedy = "Cut where no P-S bond crosses, or do not displace the corners."
    return Finding("PS4 units", False, "PS4 units", intact, problem, remedy)


def check_charge(atoms: Atoms) -> Finding:
    """Refuse formal charges that do not add up to nothing, the metal left out.

    A cell without labels may be neutral with some of its Li as metal: as many as the charge in excess.
    """
    if is_molecular(atoms):
        return Finding("charge", None, "charge", None, "molecules have charges, but not by element")
    symbols = np.array(atoms.get_chemical_symbols())
    metal = _metal_of(atoms)
    ions = symbols if metal is None else symbols[~metal]
    charges = charges_of(atoms)
    unknown = ", ".join(sorted(set(ions.tolist()) - set(charges)))
    if unknown:
        return Finding("charge", None, "elements", unknown, f"{unknown} have no oxidation state here")
    charge = int(sum(charges[symbol] for symbol in ions))
    if charge == 0:
        return Finding("charge", True, "charge", 0, f"the formal charges of {len(ions)} ions add up to 0 e")
    if metal is None and 0 < charge <= int((ions == "Li").sum()):
        problem = f"the formal charges add up to {charge:+d} e, which is nothing if {charge} of the Li are metal"
        return Finding("charge", None, "charge", charge, problem)
    problem = "e is the sum of the formal charges outside the metal, which should be 0"
    remedy = "Add or take away Li, or label the metal's atoms in arrays['sites']."
    return Finding("charge", False, "charge", charge, problem, remedy)


def check_reservoir(atoms: Atoms) -> Finding:
    """Refuse too little metal for results beside what the electrolyte can take up, or too thin a metal."""
    reservoir = find_reservoir(atoms)
    if reservoir is None:
        problem = "no metal is labelled beside an electrolyte whose oxidation states are known"
        return Finding("reservoir", None, "metal", None, problem)
    if short := "; ".join(reservoir.shortcomings()):
        problem = f"Li of the metal are too few for results: {short}"
        remedy = "Add layers of metal (interface.layers; null takes enough), or call it a demonstration."
        return Finding("reservoir", False, "metal", reservoir.metal, problem, remedy)
    return Finding("reservoir", True, "metal", reservoir.metal, reservoir.in_words())


def find_reservoir(atoms: Atoms) -> Reservoir | None:
    """Return the metal beside a cell's electrolyte; None without either, or where an element has no known charge."""
    metal = _metal_of(atoms)
    if metal is None or not metal.any() or metal.all():
        return None
    n_metal, thickness = int(metal.sum()), _thickness(atoms, metal)
    if is_molecular(atoms):
        return Reservoir(None, n_metal, thickness)
    if set(atoms.symbols[~metal]) - set(charges_of(atoms)):
        return None
    return reservoir_of(atoms[~metal], n_metal, thickness)


def _thickness(atoms: Atoms, metal: NDArray[np.bool_]) -> float:
    """Return the thickness of the thinnest slab of metal, outermost plane to outermost plane, Angstrom."""
    height = float(cell_heights(atoms)[2])
    planes = np.sort(atoms.get_scaled_positions()[metal, 2] % 1.0) * height
    gaps = np.diff(np.append(planes, planes[0] + height))
    last = int(gaps.argmax()) + 1  # the planes behind the widest gap come first
    ordered = np.concatenate([planes[last:] - height, planes[:last]])
    slabs = np.split(ordered, np.flatnonzero(np.diff(ordered) > VACUUM) + 1)
    return min(float(slab[-1] - slab[0]) for slab in slabs)


# -- all of them --------------------------------------------------------------------------------------------


def check(
    atoms: Atoms,
    *,
    reach: float = REACH,
    overlap_fraction: float = OVERLAP_FRACTION,
    tetrahedra: int | None = None,
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
    neutral : bool
        Whether the formal charges outside the metal must add up to nothing.
    more : sequence of Check
        Further checks, after those.

    Raises
    ------
    StructureError
        With the field, the numbers and the remedy of the first check that fails.
    """
    require(check_finite(atoms))
    require(check_reach(atoms, reach))
    require(check_overlaps(atoms, overlap_fraction))
    if tetrahedra is not None:
        require(check_tetrahedra(atoms, tetrahedra))
    if neutral:
        require(check_charge(atoms))
    for one in more:
        require(one(atoms))


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
        Up to the first that fails, where there is nothing to look at further: no numbers, no cell.
    """
    findings: list[Finding] = []
    for basic in (check_finite, check_cell):
        findings.append(basic(atoms))
        if not findings[-1].passed:
            return findings
    findings.append(check_reach(atoms, reach))
    own: list[Check] = [check_overlaps, check_packing, check_charge, check_tetrahedra, check_reservoir]
    return findings + [one(atoms) for one in [*own, *more]]
