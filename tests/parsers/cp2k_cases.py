"""Small CP2K jobs whose outputs are kept, one folder a version: what every version has to be read from.

`pytest tests/parsers/record_cp2k.py` runs them with the CP2K of the tests (or that of HAML_TEST_CP2K) and writes its
folder anew.
"""

import copy
from pathlib import Path
from typing import Any

from aiida import orm
from ase.spacegroup import crystal

from aiida_haml.calculations.building import build_isolated_atom
from aiida_haml.data.frames import FramesData

OUTPUTS = Path(__file__).parent / "cp2k_outputs"
VERSIONS = sorted(folder.name for folder in OUTPUTS.iterdir()) if OUTPUTS.exists() else []
MD = {"steps": 3, "timestep_fs": 1.0, "temperature_K": 300.0, "thermostat_time_fs": 20.0, "seed": 5}
CASES = ("burst", "relaxation", "arrived", "probes", "atom", "stuck", "late", "broken")


def rock_salt(amplitude: float = 0.05, seed: int = 1) -> Any:
    """Return eight atoms of LiCl, displaced at random (Angstrom)."""
    atoms = crystal(["Li", "Cl"], [(0, 0, 0), (0.5, 0.5, 0.5)], spacegroup=225, cellpar=[5.14] * 3 + [90] * 3)
    atoms.rattle(amplitude, seed=seed)
    return atoms


def probes() -> FramesData:
    """Return three frames, the last in another cell."""
    images = [rock_salt(seed=1), rock_salt(seed=2), rock_salt(seed=3)]
    images[2].set_cell(images[2].cell * 1.02, scale_atoms=True)
    return FramesData.from_ase(images, kind="selection")


def inputs(case: str, level: dict[str, Any]) -> dict[str, orm.Data]:
    """Return what a job of that name is given, its code, basis sets and pseudopotentials apart.

    relaxation, arrived : one that is out of steps, and one that comes to the force that is wanted.
    stuck : the second of three single points needs more iterations than it gets.
    late : CP2K's own clock ends a burst.
    broken : a keyword that CP2K does not know.
    """
    solver = copy.deepcopy(level["solver"][0])
    given: dict[str, Any] = {"initial": FramesData.from_ase(rock_salt())}
    if case in ("burst", "broken"):
        given["md"] = orm.Dict(MD)
    elif case == "late":
        given["md"] = orm.Dict(MD | {"steps": 500})
    elif case == "relaxation":
        given["relax"] = orm.Dict({"steps": 3, "max_force": 0.01})
    elif case == "arrived":
        given["relax"] = orm.Dict({"steps": 30, "max_force": 0.2})
    elif case == "atom":
        given["initial"] = build_isolated_atom(orm.Str("Li"))
    else:
        given["initial"] = probes()
    if case == "stuck":
        solver["DFT"]["SCF"]["MAX_SCF"] = 15
        images = [rock_salt(0.0), rock_salt(0.6, seed=4), rock_salt(0.0)]
        given["initial"] = FramesData.from_ase(images, kind="selection")
    if case == "broken":
        solver["DFT"]["SCF"]["NO_SUCH_KEYWORD"] = True
    given["level"] = orm.Dict({key: level[key] for key in ("engine", "name", "theory")})
    return {**given, "solver": orm.Dict(solver)}


def cases_of(version: str) -> list[str]:
    """Return the jobs that a version's outputs are kept of."""
    return sorted(folder.name for folder in (OUTPUTS / version).iterdir())


def kept_files(version: str, case: str) -> dict[str, str | None]:
    """Return the files of a job that a version left."""
    return {path.name: path.read_text() for path in sorted((OUTPUTS / version / case).iterdir())}
