"""What becomes of people's CIFs? Each file of a folder as a host: usable, larger, rounded, refused and why.

    python tests/benchmarks/cif_census.py FOLDER [--supercell 1 1 1] [--json census.json]

For each CIF: whether its own cell holds whole, neutral atoms; if not, how much larger a cell would (up to ``LARGEST``
times is counted as usable in a supercell); if not, what rounding makes of it and how far the composition is off; or the
reason of the refusal. Whatever is usable is ordered too, and its composition counted against what was promised. Exits 1
if a file ends in anything but a refusal for one of the known reasons, or a composition was changed without being told.
"""

import argparse
import json
import re
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

from aiida_haml.structures.errors import StructureError
from aiida_haml.structures.host import order, parent, read_crystal, site_counts

#: Multiples of the cell that count as usable without rounding.
LARGEST = 6
#: Sites beyond which a cell is read and counted, and not ordered.
MOST_SITES = 1500
#: Reasons of refusals, as the beginning of what they say, in the order of the table.
REASONS = {
    "unreadable": "cannot be read",
    "sites not understood": "not understood|no site of",
    "multiplicities": "multiplicities",
    "no oxidation state": "no oxidation state",
    "charge": r"bears [+-]",
    "overlaps": "apart",
    "occupancies": "above 1|less than or equal to 1|greater than",
    "no whole neutral cell": "no whole numbers",
    "atoms cannot be kept apart": "too close",
}


def look_at(path: Path, supercell: list[int]) -> dict[str, Any]:
    """Return what one file is good for."""
    try:
        host = {"crystal": read_crystal(path), "supercell": supercell}
        return _ordered(host, "usable")
    except StructureError as error:
        told = str(error)
    if "round: true" in told:
        try:
            rounded = _ordered({**host, "round": True}, "rounded")
        except StructureError as error:
            return _refused(str(error))
        larger = re.search(r"the cell (\d+) times as large", told)
        if larger and int(larger[1]) <= LARGEST:
            return {**rounded, "kind": "larger cell", "times": int(larger[1])}
        return {**rounded, "without": told[:200]}
    return _refused(told)


def _refused(told: str) -> dict[str, Any]:
    reason = next((name for name, words in REASONS.items() if re.search(words, told)), "other")
    return {"kind": "refused", "reason": reason, "told": told[:300]}


def _ordered(host: dict[str, Any], kind: str) -> dict[str, Any]:
    """Order a host's cell, and hold its atoms against the file's occupancies."""
    atoms = parent(host)
    counts = site_counts(atoms)
    promised: Counter[str] = Counter()
    for elements in counts.values():
        promised.update(elements)
    cells = 1
    for n in host["supercell"]:
        cells *= n
    of_file: Counter[str] = Counter()
    for site in host["crystal"].sites:
        for element, share in site.occupancy.items():
            of_file[element] += share * cells
    if len(atoms) <= MOST_SITES:
        built, _ = order(atoms, counts)
        if Counter(built.get_chemical_symbols()) != +promised:
            raise AssertionError(f"{promised} were promised, {built.get_chemical_formula()} built")
    off = {element: promised[element] - n for element, n in of_file.items()}
    moved = {element: round(d, 3) for element, d in off.items() if abs(d) > 0.02 * max(of_file[element], 1)}
    told = any("rounded" in note for note in atoms.info["notes"])
    if moved and not told:
        raise AssertionError(f"the composition was changed by {moved} and nobody told")
    return {"kind": kind, "sites": len(atoms), "formula": host["crystal"].name, "moved": moved,
            "notes": atoms.info["notes"]}  # fmt: skip


def main() -> int:
    """Look at every CIF of a folder and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--supercell", type=int, nargs=3, default=[1, 1, 1], metavar="N")
    parser.add_argument("--json", type=Path, default=None, help="Write what was found of each file.")
    arguments = parser.parse_args()
    paths = sorted(path for path in arguments.folder.rglob("*") if path.suffix.lower() == ".cif")
    if not paths:
        print(f"no CIF in {arguments.folder}")
        return 1
    found: dict[str, dict[str, Any]] = {}
    started = time.monotonic()
    for path in paths:
        try:
            found[path.name] = look_at(path, arguments.supercell)
        except Exception as error:  # what the census is for
            found[path.name] = {"kind": "crash", "told": f"{type(error).__name__}: {error}"[:300]}
    kinds = Counter(one["kind"] for one in found.values())
    print(f"{len(paths)} files in {time.monotonic() - started:.0f} s")
    for kind in ("usable", "larger cell", "rounded", "refused", "crash"):
        print(f"  {kind:12} {kinds[kind]:5}  {kinds[kind] / len(paths):.0%}")
    for reason, n in Counter(one["reason"] for one in found.values() if one["kind"] == "refused").most_common():
        print(f"    {reason:28} {n:5}")
    for name, one in found.items():
        if one["kind"] == "crash" or one.get("reason") == "other":
            print(f"! {name}: {one['told']}")
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(found, indent=1) + "\n")
    return int(any(one["kind"] == "crash" or one.get("reason") == "other" for one in found.values()))


if __name__ == "__main__":
    sys.exit(main())
