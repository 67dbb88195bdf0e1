"""Crystals from CIF files, by pymatgen's parser; what came in is held against what the file says of itself.

The parser leaves out sites whose symbol it does not understand (``OH2``) and makes too many of one that lies a little
off its special position. Every row of the file's list of sites is therefore looked for among the sites that were read,
and composition and multiplicities are compared where the file gives them.
"""

import re
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from aiida_haml.arrays import FloatArray
from aiida_haml.structures.errors import StructureError

#: A site that was read belongs to a row of the file within this, in fractions of the cell.
SAME_PLACE = 5e-3
#: Occupancies of rows in one place may differ from what was read there by this.
SHARE_TOLERANCE = 5e-3
#: A composition may differ by this share of an element from what the file says of itself, before it is told.
FORMULA_TOLERANCE = 0.02
#: Names that stand for a group of atoms, of which the parser keeps one or none.
GROUPS = ("wat", "oh", "oh2", "h2o", "no3", "nh4", "och3")
ISOTOPES = {"D": "H", "T": "H"}
MULTIPLICITIES = ("_atom_site_site_symmetry_multiplicity", "_atom_site_symmetry_multiplicity")


@dataclass(frozen=True, eq=False)
class CifCell:
    """What a CIF holds: one cell with all its sites.

    Parameters
    ----------
    cell : (3, 3) array
        Angstrom.
    scaled : (N, 3) array
    occupancies : list of N dict
        Share of each element on each site.
    charges : dict
        Oxidation states that the file gives, e.
    notes : list of str
        What a reader should know.
    """

    cell: FloatArray
    scaled: FloatArray
    occupancies: list[dict[str, float]]
    charges: dict[str, int] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def is_cif(path: Path) -> bool:
    """Say whether a file is a CIF, by its suffix."""
    return path.suffix.lower() in (".cif", ".mcif")


def read_cif(path: Path) -> CifCell:
    """Read the first crystal of a CIF.

    Raises
    ------
    StructureError
        If it cannot be read, or sites or elements that it names were not understood.
    """
    from pymatgen.io.cif import CifParser  # heavy

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what matters is checked below
            parser = CifParser(path, occupancy_tolerance=1e6)  # occupancies above 1 are refused by name elsewhere
            structures = parser.parse_structures(primitive=False, check_occu=False)
    except Exception as error:  # the parser raises what the file makes it stumble over
        raise unreadable(path, error) from error
    if not structures:
        raise unreadable(path, "it holds no crystal")
    structure = structures[0]
    block = _block_of(parser)
    occupancies = [_by_element(site.species) for site in structure]
    read = CifCell(np.array(structure.lattice.matrix), np.array(structure.frac_coords), occupancies)
    if len(structures) > 1:
        read.notes.append(f"the file holds {len(structures)} crystals, of which the first was read")
    rows = _rows(block)
    _require_all_rows(path, rows, read)
    _compare_multiplicities(path, rows, block, read)
    _compare_formula(path, block, read)
    _read_charges(rows, block, read)
    return read


def unreadable(path: Path, problem: object) -> StructureError:
    """Return the refusal of a file that no reader takes."""
    reason = f"{type(problem).__name__}: {problem}" if isinstance(problem, Exception) else str(problem)
    reason = " ".join(reason.split())[:200]
    return StructureError(
        "file", path.name, f"cannot be read as a crystal ({reason})", "Give a CIF or another file that ASE reads."
    )


def _by_element(species: Any) -> dict[str, float]:
    shares: dict[str, float] = {}
    for one, share in species.items():
        symbol = str(getattr(one, "element", one).symbol)
        symbol = ISOTOPES.get(symbol, symbol)
        shares[symbol] = shares.get(symbol, 0.0) + float(share)
    return shares


def _block_of(parser: Any) -> dict[str, Any]:
    """Return the tags of the first block with sites."""
    return next((block.data for block in parser._cif.data.values() if "_atom_site_fract_x" in block.data), {})


# -- the rows of the file ------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Row:
    """One line of the file's list of sites."""

    label: str
    symbol: str
    place: FloatArray
    share: float

    @property
    def name(self) -> str:
        return self.label if self.label == self.symbol else f"{self.label} ({self.symbol})"

    @property
    def element(self) -> str:
        found = re.match(r"[A-Za-z]{1,2}", self.symbol)
        text = found[0].capitalize() if found else self.symbol
        return ISOTOPES.get(text, text)


def _number(text: object) -> float:
    """Read 0.3160(5) as 0.316; what is unknown ('?', '.') is NaN."""
    try:
        return float(re.sub(r"\(.*\)?$", "", str(text)))
    except ValueError:
        return float("nan")


def _rows(block: dict[str, Any]) -> list[_Row]:
    labels = block.get("_atom_site_label", block.get("_atom_site_type_symbol", []))
    symbols = block.get("_atom_site_type_symbol", labels)
    shares = block.get("_atom_site_occupancy", ["1"] * len(labels))
    columns = [block.get(f"_atom_site_fract_{axis}", []) for axis in "xyz"]
    dummies = block.get("_atom_site_calc_flag", [""] * len(labels))
    return [
        _Row(str(label), str(symbol), np.array([_number(x) for x in xyz]), 1.0 if np.isnan(s := _number(share)) else s)
        for label, symbol, share, flag, *xyz in zip(labels, symbols, shares, dummies, *columns, strict=True)
        if flag != "dum"
    ]


def _require_all_rows(path: Path, rows: list[_Row], read: CifCell) -> None:
    lost = [row.name for row in rows if row.symbol.lower() in GROUPS or not _is_there(row, rows, read)]
    if lost:
        one = len(lost) == 1
        raise StructureError(
            "file",
            path.name,
            f"names site{'' if one else 's'} {', '.join(lost)}, which {'was' if one else 'were'} not understood: "
            f"{len(rows)} sites in the file, {len(rows) - len(lost)} read",
            "Give each atom a row of its own, with an element and three coordinates.",
        )


def _is_there(row: _Row, rows: list[_Row], read: CifCell) -> bool:
    """Say whether what a row puts in its place, with the other rows in that place, was read there."""
    if not np.isfinite(row.place).all():
        return False
    here = _apart(read.scaled, row.place) < SAME_PLACE
    held = sum(read.occupancies[k].get(row.element, 0.0) for k in np.flatnonzero(here)[:1])
    wanted = sum(r.share for r in rows if r.element == row.element and _apart(r.place[None], row.place)[0] < SAME_PLACE)
    return bool(here.any()) and held > wanted - SHARE_TOLERANCE


def _apart(scaled: FloatArray, place: FloatArray) -> FloatArray:
    difference = scaled - place
    return np.asarray(np.abs(difference - np.round(difference)).max(axis=1))


# -- what the file says of itself ----------------------------------------------------------------------------


def _content(read: CifCell) -> dict[str, float]:
    """Return the atoms of each element in the cell."""
    total: dict[str, float] = {}
    for occupancy in read.occupancies:
        for element, share in occupancy.items():
            total[element] = total.get(element, 0.0) + share
    return total


def _compare_multiplicities(path: Path, rows: list[_Row], block: dict[str, Any], read: CifCell) -> None:
    column = next((block[tag] for tag in MULTIPLICITIES if tag in block), None)
    if column is None or len(column) != len(rows) or not all(str(n).isdigit() for n in column):
        return
    wanted: dict[str, float] = {}
    for row, n in zip(rows, column, strict=True):
        wanted[row.element] = wanted.get(row.element, 0.0) + int(n) * row.share
    held = _content(read)
    for element, n in wanted.items():
        if abs(held.get(element, 0.0) - n) > FORMULA_TOLERANCE * max(n, 1.0):
            raise StructureError(
                "file",
                path.name,
                f"says by its multiplicities that the cell holds {n:g} {element}, and its sites and symmetry make "
                f"{held.get(element, 0.0):g}",
                "Look for a coordinate a little off its special position, or a wrong space group.",
            )


def _compare_formula(path: Path, block: dict[str, Any], read: CifCell) -> None:
    text = re.sub(r"[^A-Za-z0-9. ]", " ", str(block.get("_chemical_formula_sum", "")))
    said = {ISOTOPES.get(e, e): float(n or 1) for e, n in re.findall(r"([A-Z][a-z]?)\s*([0-9.]*)", text)}
    held = _content(read)
    if not said:
        return
    if missing := sorted(set(said) - set(held)):
        raise StructureError(
            "file",
            path.name,
            f"says that it is {' '.join(text.split())}, and no site of {', '.join(missing)} was read",
            "Add the sites that are missing, or correct _chemical_formula_sum.",
        )
    units = _number(block.get("_cell_formula_units_Z", "?"))
    if not np.isfinite(units) or units <= 0:
        # Lithium is what refinements know least: the most frequent of the others sets the scale.
        scale = max(said, key=lambda element: (element != "Li", held[element]))
        units = held[scale] / said[scale]
    off = [
        f"{element} {held[element]:g} for {units * n:g}"
        for element, n in said.items()
        if abs(held[element] - units * n) > FORMULA_TOLERANCE * units * n
    ]
    if off:
        read.notes.append(f"the sites differ from the file's own formula: {', '.join(off)} in the cell")


def _read_charges(rows: list[_Row], block: dict[str, Any], read: CifCell) -> None:
    """Collect the oxidation states of the table of types, or else of the symbols (P5+); all zero says nothing."""
    table = zip(block.get("_atom_type_symbol", []), block.get("_atom_type_oxidation_number", []), strict=False)
    given = [(str(symbol), _number(number)) for symbol, number in table]
    if not given:
        signed = (re.match(r"([A-Z][a-z]?)(\d*)([+-])$", row.symbol) for row in rows)
        given = [(m[1], float(m[3] + (m[2] or "1"))) for m in signed if m]
    states: dict[str, set[int]] = {}
    for symbol, number in given:
        named = re.match(r"[A-Z][a-z]?", symbol)
        if named and np.isfinite(number) and number == round(number) and number != 0:
            states.setdefault(ISOTOPES.get(named[0], named[0]), set()).add(int(number))
    for element, found in states.items():
        if len(found) == 1:
            read.charges[element] = found.pop()
        else:
            several = " and ".join(f"{n:+d}" for n in sorted(found))
            read.notes.append(
                f"the file gives {element} {several}; one state for each element is taken, see host.charges"
            )
