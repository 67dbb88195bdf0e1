"""CP2K's files as numbers: a value is found by its label, its unit by what stands in the brackets beside it.

The layout changed with 2024: ``energy [a.u.]:`` became ``energy [hartree]``, the table of forces got rows that begin
with ``FORCES|``, the stress is in bar instead of GPa, and an SCF that does not converge aborts the run instead of
raising a warning. A value that cannot be read ends the reading there; what came before is kept.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from ase import units

#: Units that CP2K writes in brackets, in ASE's; a.u. is that of the quantity.
ENERGY_UNITS = {"a.u.": units.Hartree, "hartree": units.Hartree, "Ha": units.Hartree, "eV": 1.0}
FORCE_UNITS = {
    "a.u.": units.Hartree / units.Bohr,
    "hartree/bohr": units.Hartree / units.Bohr,
    "eV/angstrom": 1.0,
}
STRESS_UNITS = {"GPa": units.GPa, "bar": 1e-4 * units.GPa, "kbar": 0.1 * units.GPa, "MPa": 1e-3 * units.GPa}

_ENERGY = re.compile(r"ENERGY\| Total FORCE_EVAL.*?\[([^\]\n]+)\]:?[ \t]+(\S+)")
_COMPONENTS = re.compile(r"^ +(\S.*?):[ \t]+(-?\d+\.\d+)[ \t]*$", re.MULTILINE)
#: What the total energy of GFN-xTB is made of. CP2K prints the electronic entropic energy beside it and leaves it out,
#: where that of DFT has it in; forces are the slope of the energy with it (the conserved energy of dynamics drifts by
#: exactly what is left out: 0.6 meV/atom in 0.15 ps of Li | Li6PS5Cl at 1000 K).
_OF_XTB = ("Core Hamiltonian energy", "Repulsive potential energy", "Electronic energy", "DFTB3 3rd order energy",
           "Dispersion energy", "Correction for halogen bonding")  # fmt: skip
_ENTROPIC = "Electronic entropic energy"
_FAILED = re.compile(r"SCF run NOT converged|outer SCF loop FAILED to converge|SCF loop NOT converged", re.IGNORECASE)
_OUT_OF_TIME = "exceeded requested execution time"
_ITERATION = re.compile(r"^\s+\d+ (?:OT |Broy\.|P_Mix|DIIS|NoMix|Pulay|Kerker)", re.MULTILINE)
_VERSION = re.compile(r"CP2K\| version string:\s+(.*)")
_REVISION = re.compile(r"CP2K\| source code revision number:\s+(\S+)")
_STRESS = re.compile(r"STRESS\| Analytical stress tensor \[([^\]\n]+)\]")
_FORCES = re.compile(r"^ *(?:FORCES\| *)?ATOMIC FORCES (?:in )?\[([^\]\n]+)\]", re.MULTILINE | re.IGNORECASE)
_SECONDS = re.compile(r"^ CP2K\s+\d+\s+\S+\s+\S+\s+\S+\s+\S+\s+(\S+)\s*$", re.MULTILINE)
_ABORT = re.compile(r"^ \* \[ABORT\](.*?)^ \*{20,}", re.MULTILINE | re.DOTALL)


class UnknownLayout(ValueError):  # noqa: N818 - it says what was met
    """What is looked for is not where any known version of CP2K writes it."""


@dataclass(frozen=True)
class Evaluation:
    """One SCF that gave an energy (eV), converged or not; stress (6,) in eV/Angstrom^3 or None.

    The energy is that whose slope the forces are; what CP2K calls its total energy is ``printed``.
    """

    energy: float
    printed: float
    converged: bool
    scf_iterations: int
    stress: np.ndarray | None


@dataclass(frozen=True)
class Output:
    """What CP2K's main output says.

    Parameters
    ----------
    version : str or None
        As CP2K writes it, such as ``CP2K version 2025.1``; None if it ended before.
    evaluations : list of Evaluation
    stuck : bool
        Whether an SCF after the last evaluation is said not to have converged, and ended the run.
    abort : str or None
        Why CP2K gave up, in its own words.
    out_of_time, ended : bool
        Whether it stopped by its own clock; whether it came to its end.
    seconds : float or None
        Wall time of a run that came to its end, s.
    """

    version: str | None
    evaluations: list[Evaluation]
    stuck: bool
    abort: str | None
    out_of_time: bool
    ended: bool
    seconds: float | None


def read_output(text: str) -> Output:
    """Read CP2K's main output.

    Raises
    ------
    UnknownLayout
        If an energy or a stress has an unknown unit, or a run that came to its end shows no energy.
    """
    energies = list(_ENERGY.finditer(text))
    ended = "PROGRAM ENDED" in text
    if ended and not energies:
        raise UnknownLayout("no total energy is found in it.")
    seconds, abort = _SECONDS.search(text), _ABORT.search(text)
    rest = text[energies[-1].end() if energies else 0 :]
    return Output(
        version=read_version(text),
        evaluations=list(_evaluations(text, energies)),
        stuck=not ended and _FAILED.search(rest) is not None and _OUT_OF_TIME not in rest,
        abort=_words_in_box(abort.group(1)) if abort else "it says no more" if "ABORT" in text else None,
        out_of_time=_OUT_OF_TIME in text,
        ended=ended,
        seconds=float(seconds.group(1)) if seconds else None,
    )


def read_version(text: str) -> str | None:
    """Return the version as the main output says it; between two releases the revision goes with it."""
    version, revision = _VERSION.search(text), _REVISION.search(text)
    if version is None:
        return None
    if revision is not None and "develop" in version.group(1).lower():
        return f"{version.group(1).strip()} {revision.group(1)}"
    return version.group(1).strip()


def _evaluations(text: str, energies: list[re.Match[str]]) -> Iterator[Evaluation]:
    """Yield what lies around each energy: its SCF before it, its stress after."""
    begin = 0
    for i, match in enumerate(energies):
        before = text[begin : match.start()]
        after = text[match.end() : energies[i + 1].start() if i + 1 < len(energies) else len(text)]
        begin = match.end()
        printed = _number(match.group(2))
        if printed is None or _OUT_OF_TIME in before:
            return  # an SCF that the clock ended says nothing, whatever CP2K says of its convergence
        printed *= _unit(match.group(1), ENERGY_UNITS, "the energy")
        yield Evaluation(
            energy=printed + _left_out(before),
            printed=printed,
            converged=not _FAILED.search(before) and "SCF run converged" in before,
            scf_iterations=len(_ITERATION.findall(before)),
            stress=_read_stress(after),
        )


def _left_out(text: str) -> float:
    """Return the entropic energy of the last SCF if its total energy, by its components, is without it, eV."""
    parts = {name: float(number) for name, number in _COMPONENTS.findall(text[text.rfind("SCF run converged") :])}
    if not {*_OF_XTB, _ENTROPIC, "Total energy"} <= set(parts):
        return 0.0
    rest = parts["Total energy"] - sum(parts[name] for name in _OF_XTB)
    return parts[_ENTROPIC] * units.Hartree if abs(rest) < 0.5 * abs(parts[_ENTROPIC]) else 0.0


def _read_stress(text: str) -> np.ndarray | None:
    """Return the stress in ASE's sign and order: CP2K prints the pressure tensor, positive under compression."""
    head = _STRESS.search(text)
    if head is None:
        return None
    rows = [re.search(rf"STRESS\|[ \t]+{axis}((?:[ \t]+\S+){{3}})[ \t]*\n", text[head.end() :]) for axis in "xyz"]
    values = [_number(word) for row in rows if row for word in row.group(1).split()]
    if len(values) != 9 or None in values:
        return None
    tensor = -np.array(values, dtype=float).reshape(3, 3) * _unit(head.group(1), STRESS_UNITS, "the stress")
    return tensor[[0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]]


def read_forces(text: str, n_atoms: int) -> np.ndarray | None:
    """Return the (N, 3) forces that the main output prints first, eV / Angstrom; None if there is no whole table.

    Raises
    ------
    UnknownLayout
        If its unit is unknown, or a run that came to its end printed no such table.
    """
    head = _FORCES.search(text)
    if head is None:
        if "PROGRAM ENDED" in text:
            raise UnknownLayout("no table of atomic forces is found in it.")
        return None
    lines = [line.replace("FORCES|", " ").replace("#", " ").split() for line in text[head.end() :].splitlines()]
    title, *rows = [line for line in lines if line] or [[]]
    if not {"x", "y", "z"} <= {name.lower() for name in title}:
        return None
    columns = [title.index(axis) if axis in title else title.index(axis.upper()) for axis in "xyz"]
    numbers = [[_number(row[c]) for c in columns] for row in rows[:n_atoms] if len(row) >= len(title)]
    if len(numbers) < n_atoms or any(None in row for row in numbers):
        return None
    return np.array(numbers, dtype=float) * _unit(head.group(1), FORCE_UNITS, "the forces")


def read_xyz(text: str, n_atoms: int) -> np.ndarray:
    """Read the vectors of a CP2K XYZ trajectory, (F, N, 3), up to the first frame that is cut off or unreadable."""
    lines = text.splitlines()
    if lines and not text.endswith("\n"):
        lines.pop()  # the last line may hold half a number
    block = n_atoms + 2
    frames: list[list[list[float | None]]] = []
    for begin in range(0, len(lines) - block + 1, block):
        frame = [[_number(word) for word in line.split()[1:4]] for line in lines[begin + 2 : begin + block]]
        if any(len(row) != 3 or None in row for row in frame):
            break
        frames.append(frame)
    return np.array(frames, dtype=float).reshape(len(frames), n_atoms, 3)


def read_energies(text: str) -> np.ndarray:
    """Read the (F,) energies in the comment lines of a CP2K XYZ trajectory, eV."""
    return np.array(re.findall(r"^ i = .*\bE =\s*(\S+)", text, re.MULTILINE), dtype=float) * units.Hartree


def read_cells(text: str) -> np.ndarray:
    """Read the cells of CP2K's file of them, (F, 3, 3), Angstrom, up to the first row that is cut off or unreadable.

    Raises
    ------
    UnknownLayout
        If its columns are not the nine components, in Angstrom.
    """
    if not text:
        return np.empty((0, 3, 3))
    title, *lines = text.splitlines(keepends=True)
    names = re.split(r"\s{2,}", title.strip("# \n"))
    wanted = [f"{vector}{axis} [Angstrom]" for vector in "ABC" for axis in "xyz"]
    if not set(wanted) <= set(names):
        raise UnknownLayout(f"its file of cells has the columns {', '.join(names)}, not {', '.join(wanted)}.")
    cells = []
    for line in lines:
        row = [_number(word) for word in line.split()]
        if len(row) != len(names) or None in row or not line.endswith("\n"):
            break
        cells.append([row[names.index(name)] for name in wanted])
    return np.array(cells, dtype=float).reshape(-1, 3, 3)


def read_energy_file(text: str) -> tuple[np.ndarray, np.ndarray]:
    """Read CP2K's energy file up to the first row that is cut off or unreadable.

    Returns
    -------
    conserved : (F,) array
        Conserved energy, eV.
    seconds : (F,) array
        Wall time of each step, s.

    Raises
    ------
    UnknownLayout
        If there is no such column.
    """
    if not text:
        return np.empty(0), np.empty(0)
    title, *lines = text.splitlines(keepends=True)
    names = re.split(r"\s{2,}", title.strip("# \n"))
    conserved = next((i for i, name in enumerate(names) if name.startswith("Cons Qty")), None)
    seconds = next((i for i, name in enumerate(names) if name.startswith("UsedTime")), None)
    if conserved is None or seconds is None:
        raise UnknownLayout(f"its energy file has the columns {', '.join(names)}; `Cons Qty` or `UsedTime` is missing.")
    rows = []
    for line in lines:
        row = [_number(word) for word in line.split()]
        if len(row) != len(names) or None in row or not line.endswith("\n"):
            break
        rows.append(row)
    table = np.array(rows, dtype=float).reshape(-1, len(names))
    unit = re.search(r"\[(.*)\]", names[conserved])
    return table[:, conserved] * _unit(unit.group(1) if unit else "", ENERGY_UNITS, "`Cons Qty`"), table[:, seconds]


def _number(word: str) -> float | None:
    """Return a finite number, or None: Fortran fills a field that is too narrow with asterisks."""
    try:
        number = float(word)
    except ValueError:
        return None
    return number if np.isfinite(number) else None


def _unit(name: str, known: dict[str, float], what: str) -> float:
    if name.strip() not in known:
        raise UnknownLayout(f"the unit of {what} is [{name}]; known are {', '.join(known)}.")
    return known[name.strip()]


def _words_in_box(box: str) -> str:
    """Return the words in CP2K's box of an abort, without the figure on its left and the place in its source."""
    words = [line[11:].strip(" *") for line in box.splitlines()]
    return " ".join(word for word in words if word and not re.fullmatch(r"\S+\.F:\d+", word))
