"""The quantities of a frame: the names that they go by, and their units and forms."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from ase import Atoms, units
from numpy.typing import NDArray

from aiida_haml.reading.text import ReadingError

#: The names that each quantity goes by, in lower case; the first of a row is taken where several say the same.
NAMES: Mapping[str, tuple[str, ...]] = {
    "energies": ("energy", "ref_energy", "dft_energy", "total_energy", "free_energy", "ref_free_energy", "e_hartree"),
    "forces": ("forces", "force", "ref_forces", "ref_force", "dft_forces", "dft_force", "frc"),
    "stresses": ("stress", "ref_stress", "dft_stress", "virial", "virials", "ref_virial", "ref_virials", "dft_virial"),
    "velocities": ("momenta", "velocities", "velocity", "velo", "vel", "v"),
    "times": ("time", "time_fs"),
}
#: Names of which one may differ from the other by right: an energy extrapolated to no smearing, and the free energy.
_OTHER_ENERGIES = ("free_energy", "ref_free_energy")


@dataclass(frozen=True)
class Choice:
    """What a person says of a file.

    Parameters
    ----------
    names : mapping
        Quantity to the name that it has in the file, where the known names (`NAMES`) do not do.
    cell : (3, 3) array, optional
        Cell of frames that name none, A; they are periodic then.
    """

    names: Mapping[str, str] = field(default_factory=dict)
    cell: NDArray[np.float64] | None = None


@dataclass(frozen=True)
class Taken:
    """One frame of a file, its quantities read."""

    number: int
    atoms: Atoms
    values: Mapping[str, Any]
    found: Mapping[str, str]
    left: tuple[str, ...]


def take(number: int, atoms: Atoms, choice: Choice) -> Taken:
    """Read the quantities of one frame, as `aiida_haml.reading.text.read_images` yields it.

    Raises
    ------
    ReadingError
        If a value is no such quantity, or two names say different things of one.
    """
    columns = {name.removeprefix("given_"): v for name, v in atoms.arrays.items() if name.startswith("given_")}
    given = {**atoms.info.get("given", {}), **columns}
    if choice.cell is not None and not atoms.cell.any():
        atoms.set_cell(choice.cell)
        atoms.pbc = True
    values: dict[str, Any] = {}
    found: dict[str, str] = {}
    for quantity in NAMES:
        if name := _name_of(number, quantity, given, choice):
            values[quantity] = _value(number, quantity, name, given[name], atoms)
            found[quantity] = name
    known = {name for names in NAMES.values() for name in names}
    left = [name for name in given if name not in found.values() and not (name.lower() in known and _told(name, found))]
    return Taken(number, atoms, values, found, tuple(sorted(left)))


def _told(name: str, found: Mapping[str, str]) -> bool:
    """Whether a name that was not taken says what another one said already."""
    return any(name.lower() in NAMES[quantity] for quantity in found) and name.lower() not in _OTHER_ENERGIES


def _name_of(number: int, quantity: str, given: Mapping[str, Any], choice: Choice) -> str | None:
    """Return the name under which a frame holds a quantity."""
    if wanted := choice.names.get(quantity):
        return wanted if wanted in given else None
    by_lower = {name.lower(): name for name in given}
    there = [by_lower[name] for name in NAMES[quantity] if name in by_lower]
    rivals = [name for name in there[1:] if name.lower() not in _OTHER_ENERGIES and "virial" not in name.lower()]
    for rival in rivals:
        if not _same(given[there[0]], given[rival]):
            option = {"energies": "--energy-key", "forces": "--forces-key", "stresses": "--stress-key"}.get(quantity)
            remedy = f"name the right one with {option}" if option else "remove one"
            raise ReadingError(f"frame {number} holds {there[0]} and {rival}, which differ; {remedy}.")
    return there[0] if there else None


def _same(one: Any, other: Any) -> bool:
    try:
        return bool(np.allclose(np.asarray(one, float), np.asarray(other, float)))
    except (TypeError, ValueError):
        return False


def _value(number: int, quantity: str, name: str, value: Any, atoms: Atoms) -> Any:
    """Return a quantity in our units and form."""
    try:
        numbers = np.asarray(value, dtype=float)
    except (TypeError, ValueError) as error:
        raise ReadingError(f"frame {number}: {name} is {value!r}, which is no number.") from error
    if quantity == "stresses":
        return _stress(number, name, numbers, atoms)
    wanted = {"energies": (), "times": ()}.get(quantity, (len(atoms), 3))
    if numbers.shape != wanted:
        raise ReadingError(f"frame {number}: {name} has the shape {numbers.shape}, not {wanted}; name the right one.")
    if name.lower() == "e_hartree":
        return numbers * units.Hartree
    if quantity == "velocities" and name.lower() == "momenta":
        return numbers / atoms.get_masses()[:, None] * units.fs
    return numbers


def _stress(number: int, name: str, numbers: NDArray[np.float64], atoms: Atoms) -> NDArray[np.float64]:
    """Return a stress in Voigt's order, eV/A^3, from six numbers, nine, or a virial."""
    if numbers.size == 9:
        full = numbers.reshape(3, 3)
        full = (full + full.T) / 2
        voigt = full[[0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]]
    elif numbers.size == 6:
        voigt = numbers.reshape(6)
    else:
        raise ReadingError(f"frame {number}: {name} has {numbers.size} numbers; a stress has 6 or 9.")
    if "virial" not in name.lower():
        return voigt
    if not atoms.cell.rank == 3:
        raise ReadingError(f"frame {number} holds {name} and no cell; give the cell with --cell.")
    return -voigt / atoms.get_volume()
