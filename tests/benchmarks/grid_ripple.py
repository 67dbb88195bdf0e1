"""How much of a DFT label is the grid under the atoms? Forces of one cell, and of the same moved as a whole.

The cell is that of `fidelity_cp2k.py` (68 atoms of Li | Li6PS5Cl), labelled by a preset at several cutoffs in two
places. What differs no potential can learn, as none knows where the grid lies. The net force, which is zero by physics,
tells of it without a second place.

    python tests/benchmarks/grid_ripple.py [--level pbe-szv] [--cutoffs 250 400 600]

takes some minutes of a core a cutoff. The last line is a JSON object; the exit code is 1 where the preset's own cutoff
misses `AIM`.
"""

import argparse
import sys
import warnings
from typing import Any

import numpy as np
from _lessons import finish
from _workplace import wait_for, workplace
from fidelity import start

from aiida_haml.frames import Frames

#: How far the cell is moved, Angstrom, and the difference that a label may have, eV/Angstrom rms: a fifth of what the
#: `precise` protocol lets a potential miss.
MOVED, AIM = (0.06, 0.045, 0.03), 0.01


def both_places() -> Frames:
    """Return the cell and the cell moved."""
    cell = start("cp2k", 1)
    positions = np.concatenate([cell.positions, cell.positions + MOVED])
    return Frames(cell.numbers, positions, np.repeat(cell.cells, 2, axis=0), cell.pbc)


def ripple(level: str, cutoff: float | None) -> dict[str, Any]:
    """Return what the grid of a cutoff (Ry) makes of the forces; of the preset's own where none is given."""
    from aiida import orm
    from aiida.engine import submit

    from aiida_haml.codes import find_code
    from aiida_haml.data.frames import FramesData
    from aiida_haml.workchains.label import LabelWorkChain, level_inputs

    builder = LabelWorkChain.get_builder()
    builder.job.code = find_code("cp2k", None)
    builder.job.initial = FramesData(both_places(), kind="selection")
    builder.job.metadata.options = {"resources": {"num_machines": 1}}
    changed = {"DFT": {"MGRID": {"CUTOFF": cutoff}}} if cutoff else {}
    for port, value in level_inputs(level, changed).items():
        builder.job[port] = value
    node: orm.WorkChainNode = submit(builder)
    wait_for([node])
    if "frames" not in node.outputs:
        raise RuntimeError(node.exit_message)
    forces = node.outputs.frames.frames.forces
    difference, numbers = forces[1] - forces[0], node.outputs.frames.frames.numbers
    return {
        "cutoff_Ry": cutoff or "preset",
        "rms_force": _rms(forces[0]),
        "difference": _rms(difference),
        "by_element": {int(z): _rms(difference[numbers == z]) for z in np.unique(numbers)},
        "net_force": round(float(np.linalg.norm(forces[0].sum(axis=0))), 3),
    }


def _rms(values: Any) -> float:
    return round(float(np.sqrt(np.mean(np.square(values)))), 4)


def main() -> int:
    """Measure it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--level", default="pbe-szv")
    parser.add_argument("--cutoffs", type=float, nargs="*", default=[250.0, 600.0])
    given = parser.parse_args()
    warnings.filterwarnings("ignore")
    with workplace():
        found = [ripple(given.level, cutoff) for cutoff in (None, *given.cutoffs)]
    missed = [f"the preset's forces differ by {found[0]['difference']} eV/A"] if found[0]["difference"] > AIM else []
    return finish({"level": given.level, "found": found}, missed)


if __name__ == "__main__":
    sys.exit(main())
